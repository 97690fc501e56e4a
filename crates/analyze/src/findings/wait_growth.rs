//! Threads waited longer for one thing after a span became slow.

use coldcase_model::{Finding, Nanos};

use super::Seen;
use crate::trend::{self, GrownWait};
use crate::wording::since;

/// Most waits that are told.
const MOST: usize = 5;

/// The function, where it is told.
fn under(grown: &GrownWait) -> String {
    grown.function.as_ref().map(|f| format!(" under {f}")).unwrap_or_default()
}

/// One finding for each process and reason whose waiting grew with the trouble.
pub(super) fn find(seen: &Seen<'_>) -> Vec<Finding> {
    let Some(trouble) = seen.trouble else { return Vec::new() };
    let told = trend::grown_waits(seen).into_iter().take(MOST);
    told.map(|grown| {
        let (process, reason) = (&grown.process, grown.reason.name(seen.arch));
        let row = seen.wait_rows.iter().find(|w| w.process == *process && w.reason == reason);
        Finding {
            detector: "wait_growth".to_owned(),
            claim: format!(
                "{process} waited longer in {reason}{} {}: {} → {} per second, all threads together; {} became slow then",
                under(&grown),
                since(seen.timeline, trouble.change.time),
                Nanos(grown.rates.before),
                Nanos(grown.rates.after),
                trouble.span
            ),
            size: grown.rates.growth() as f64,
            unit: "ns".to_owned(),
            // It happened together; that it is the cause is not shown.
            confidence: 0.5,
            evidence: row.map(|w| w.evidence.clone()).unwrap_or_default(),
        }
    })
    .collect()
}
