//! Tables of the page: sortable, bounded, and saying what they leave out.

use crate::text::{bytes, count, duration, escape, shorten};

/// Characters of a cell.
const CELL: usize = 400;

/// A cell: what is shown, and what it is sorted by when that is a number.
pub(crate) struct Cell {
    html: String,
    key: Option<f64>,
}

/// Captured or other text.
pub(crate) fn words(text: &str) -> Cell {
    Cell { html: escape(&shorten(text, CELL)), key: None }
}

/// Text in a fixed-width font.
pub(crate) fn code(text: &str) -> Cell {
    Cell { html: format!("<code>{}</code>", escape(&shorten(text, CELL))), key: None }
}

/// A number and how it is shown.
pub(crate) fn figure(value: f64, shown: &str) -> Cell {
    Cell { html: escape(shown), key: Some(value) }
}

/// A count; zero is pale.
pub(crate) fn tally(n: u64) -> Cell {
    let html = if n == 0 { "<span class=\"zero\">0</span>".to_owned() } else { count(n) };
    Cell { html, key: Some(n as f64) }
}

/// A count of something that ought not to be.
pub(crate) fn fault(n: u64) -> Cell {
    let html =
        if n == 0 { "<span class=\"zero\">0</span>".to_owned() } else { format!("<b class=\"bad\">{}</b>", count(n)) };
    Cell { html, key: Some(n as f64) }
}

/// Nothing known.
pub(crate) fn blank() -> Cell {
    Cell { html: "<span class=\"zero\">–</span>".to_owned(), key: Some(-1.0) }
}

/// Something that may not be known.
pub(crate) fn maybe<T>(value: Option<T>, cell: impl FnOnce(T) -> Cell) -> Cell {
    value.map_or_else(blank, cell)
}

/// Counts over time, as bars.
pub(crate) fn bars(columns: &[u64]) -> Cell {
    let most = columns.iter().copied().max().unwrap_or(0).max(1);
    let bars: String = columns
        .iter()
        .enumerate()
        .filter(|(_, n)| **n > 0)
        // One line is a bar that can be seen.
        .map(|(x, n)| format!("M{x} 16v-{}h1V16z", (n * 16).div_ceil(most)))
        .collect();
    let html = format!(
        "<svg width=\"120\" height=\"16\" viewBox=\"0 0 {} 16\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><path fill=\"currentColor\" d=\"{bars}\"/></svg>",
        columns.len().max(1)
    );
    Cell { html, key: Some(most as f64) }
}

/// A duration in nanoseconds.
pub(crate) fn time(ns: u64) -> Cell {
    figure(ns as f64, &duration(ns))
}

/// A size in bytes.
pub(crate) fn size(n: u64) -> Cell {
    figure(n as f64, &bytes(n))
}

/// A table. Columns whose name begins with `#` hold numbers.
pub(crate) fn table(caption: &str, columns: &[&str], rows: Vec<Vec<Cell>>, left_out: Option<String>) -> String {
    let numeric: Vec<bool> = columns.iter().map(|c| c.starts_with('#')).collect();
    let class = |i: usize| if numeric.get(i).copied().unwrap_or(false) { " class=\"n\"" } else { "" };
    let mut out = format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\"><table class=\"sortable\"><thead><tr>",
        escape(caption)
    );
    for (i, column) in columns.iter().enumerate() {
        let name = escape(column.trim_start_matches('#'));
        out.push_str(&format!("<th scope=\"col\"{}><button type=\"button\">{name}</button></th>", class(i)));
    }
    out.push_str("</tr></thead><tbody>\n");
    for row in rows {
        out.push_str("<tr>");
        for (i, cell) in row.into_iter().enumerate() {
            let key = cell.key.filter(|k| k.is_finite()).map(|k| format!(" data-v=\"{k}\"")).unwrap_or_default();
            out.push_str(&format!("<td{}{key}>{}</td>", class(i), cell.html));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
    if let Some(left_out) = left_out {
        out.push_str(&format!("<p class=\"hint\">{}</p>\n", escape(&left_out)));
    }
    out
}

/// `showing 500 of 4,300 connections`, when not all are shown.
pub(crate) fn left_out(shown: usize, all: usize, what: &str) -> Option<String> {
    (shown < all).then(|| format!("Showing {} of {} {what}.", count(shown as u64), count(all as u64)))
}
