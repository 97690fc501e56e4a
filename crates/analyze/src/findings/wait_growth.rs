//! Threads waited longer for one thing after a span became slow.

use coldcase_model::{Finding, Nanos};

use super::Seen;
use crate::trend::{self, Rates};
use crate::wording::since;

/// Most waits that are told.
const MOST: usize = 5;

/// One finding for each process and reason whose waiting grew with the trouble, largest growth first.
pub(super) fn find(seen: &Seen<'_>) -> Vec<Finding> {
    let Some(trouble) = seen.trouble else { return Vec::new() };
    let mut grown: Vec<(Rates, &String, String)> = seen
        .waits
        .iter()
        .map(|((process, reason), group)| (trouble.rates(seen.axis, &group.columns), process, reason.name(seen.arch)))
        .filter(|(rates, ..)| rates.grew(trend::LEAST_WAIT))
        .collect();
    grown.sort_by(|x, y| y.0.growth().cmp(&x.0.growth()).then_with(|| (x.1, &x.2).cmp(&(y.1, &y.2))));
    grown
        .into_iter()
        .take(MOST)
        .map(|(rates, process, reason)| {
            let row = seen.wait_rows.iter().find(|w| &w.process == process && w.reason == reason);
            Finding {
                detector: "wait_growth".to_owned(),
                claim: format!(
                    "{process} waited longer in {reason} {}: {} → {} per second, all threads together; {} became slow then",
                    since(seen.timeline, trouble.change.time),
                    Nanos(rates.before),
                    Nanos(rates.after),
                    trouble.span
                ),
                size: rates.growth() as f64,
                unit: "ns".to_owned(),
                // It happened together; that it is the cause is not shown.
                confidence: 0.5,
                evidence: row.map(|w| w.evidence.clone()).unwrap_or_default(),
            }
        })
        .collect()
}
