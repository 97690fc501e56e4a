//! Kinds of log lines on the page: how many, when, and how they changed with the trouble.

use coldcase_model::analysis::{Analysis, LogKind};

use super::table::{Cell, bars, blank, code, fault, figure, left_out, maybe, table, tally, words};
use crate::facts::{changed_logs, how_logs};
use crate::text::offset;

/// Kinds shown.
const ROWS: usize = 100;

/// The section.
pub(crate) fn body(a: &Analysis) -> String {
    let mut kinds: Vec<&LogKind> = changed_logs(a);
    let changed = kinds.len();
    kinds.extend(a.log_kinds.iter().filter(|k| !crate::facts::is_changed(k)));
    let columns = [
        "Template",
        "Lines",
        "Over time",
        "Severity",
        "Errors",
        "First",
        "Last",
        "With the trouble",
        "From",
        "Example",
    ];
    let rows = kinds.iter().take(ROWS).map(|kind| row(kind, a.bundle.first)).collect();
    let hint = match changed {
        0 => "Lines that have a template in common; what differs stands in angle brackets.",
        _ => {
            "Lines that have a template in common; what differs stands in angle brackets. Those that changed with the trouble stand first."
        }
    };
    let caption = "Kinds of log lines";
    format!(
        "<p class=\"hint\">{hint}</p>\n{}",
        table(caption, &columns, rows, left_out(ROWS.min(kinds.len()), kinds.len(), "kinds"))
    )
}

fn row(kind: &LogKind, start: i64) -> Vec<Cell> {
    let changed = kind.change.filter(|_| crate::facts::is_changed(kind));
    vec![
        code(&kind.template),
        tally(kind.count),
        bars(&kind.columns),
        maybe(kind.severity.as_deref(), words),
        fault(kind.errors),
        figure(kind.first as f64, &offset(kind.first, start)),
        figure(kind.last as f64, &offset(kind.last, start)),
        changed.map_or_else(blank, |change| words(&how_logs(&change))),
        words(&kind.origin),
        code(&kind.example),
    ]
}
