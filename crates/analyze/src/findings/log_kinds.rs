//! Kinds of log lines that came with the trouble.
//!
//! It claims that lines of a template were not logged before the moment when spans became slow or failed, or that at
//! least three times as many are logged a second since. It keeps silent where there is no such moment, where too little was
//! recorded before or after it, and of kinds whose lines say that they are harmless (`info` and below). That lines came with the trouble does
//! not say that they tell its cause: confidence is by severity. Templates are Drain's (He et al., ICWS 2017).

use coldcase_model::Finding;
use coldcase_model::analysis::{LogChange, LogHow, LogKind};
use coldcase_model::quantity::format_count;

use super::Seen;
use crate::wording::{count, offset};

/// Most kinds that are told.
const MOST: usize = 5;
/// Characters of a template.
const TEMPLATE: usize = 160;
/// Fewest lines of a kind that tells no severity.
const UNTOLD: u64 = 10;

/// One finding a kind, the most severe first, then those of most lines.
pub(super) fn find(seen: &Seen<'_>) -> Vec<Finding> {
    let mut came: Vec<(f64, &LogKind, LogChange)> = seen
        .log_kinds
        .iter()
        .filter_map(|kind| {
            let change = kind.change.filter(|c| matches!(c.how, LogHow::New | LogHow::More))?;
            Some((confidence(kind, &change)?, kind, change))
        })
        .collect();
    came.sort_by(|x, y| y.0.total_cmp(&x.0).then_with(|| y.2.after.cmp(&x.2.after)));
    came.into_iter().take(MOST).map(|(confidence, kind, change)| finding(seen, confidence, kind, &change)).collect()
}

fn confidence(kind: &LogKind, change: &LogChange) -> Option<f64> {
    match kind.severity.as_deref() {
        Some("fatal" | "error") => Some(0.8),
        Some("warn") => Some(0.6),
        None if change.how == LogHow::New && change.after >= UNTOLD => Some(0.4),
        _ => None,
    }
}

fn finding(seen: &Seen<'_>, confidence: f64, kind: &LogKind, change: &LogChange) -> Finding {
    let template: String = kind.template.chars().take(TEMPLATE).collect();
    let start = seen.timeline.start();
    let claim = match change.how {
        LogHow::New => {
            format!("log kind '{template}' is new since {}: {}", offset(start, kind.first), count(change.after, "line"))
        }
        _ => format!(
            "log kind '{template}' comes {:.1} times as often since {}: {}, {} before",
            change.rate_after / change.rate_before,
            offset(start, change.time),
            count(change.after, "line"),
            format_count(change.before)
        ),
    };
    Finding {
        detector: "log_kinds".to_owned(),
        claim,
        size: change.after as f64,
        unit: "count".to_owned(),
        confidence,
        evidence: kind.evidence.clone(),
    }
}
