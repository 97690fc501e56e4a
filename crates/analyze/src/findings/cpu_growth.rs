//! A process used more CPU after a span became slow.

use coldcase_model::Finding;
use coldcase_model::events::CpuSample;
use coldcase_timeline::IntoBoot;

use super::Seen;
use crate::trend;
use crate::wording::since;

/// Rows that are cited.
const CITED: usize = 5;

/// One finding for each process whose CPU samples grew with the trouble; three at most.
pub(super) fn find(seen: &Seen<'_>) -> Vec<Finding> {
    let Some(trouble) = seen.trouble else { return Vec::new() };
    let told = trend::grown_cpu(seen).into_iter().take(3);
    told.map(|grown| Finding {
        detector: "cpu_growth".to_owned(),
        claim: format!(
            "{} was on the CPU more often{} {}: {:.1} → {:.1} samples per second; {} became slow then",
            grown.process,
            grown.function.as_ref().map(|f| format!(", mostly in {f},")).unwrap_or_default(),
            since(seen.timeline, trouble.change.time),
            grown.milli.before as f64 / 1e3,
            grown.milli.after as f64 / 1e3,
            trouble.span
        ),
        size: grown.milli.growth() as f64 / 1e3,
        unit: "count".to_owned(),
        confidence: 0.5,
        evidence: rows(seen, &grown.process, trouble.change.time),
    })
    .collect()
}

/// The first samples of the process after the change.
fn rows(seen: &Seen<'_>, process: &str, from: i64) -> Vec<coldcase_model::Evidence> {
    let t = seen.timeline;
    let mut out = Vec::new();
    for part in t.rows::<CpuSample>() {
        for i in 0..part.len() {
            let at = part.cols.time[i].into_boot();
            if t.utc(at).0 >= from && crate::process_name(t, part.cols.pid[i], at) == process {
                out.push(t.evidence("kernel.cpu_sample", part.row(i)));
                if out.len() == CITED {
                    return out;
                }
            }
        }
    }
    out
}
