//! For a comment on a pull request.

use std::fmt::Write;

use coldcase_model::compare::{Comparison, Decision, Verdict};
use coldcase_model::text::visible;

use super::{effect, exact_mark, exact_words, sides};

/// Rows of a table in Markdown at most; a comment on a pull request takes 65,536 characters.
const ROWS: usize = 60;
/// Characters of Markdown at most.
const LONGEST: usize = 65_000;
/// Characters of a name in Markdown.
const NAME: usize = 120;
/// Causes that are told.
const CAUSES: usize = 10;

/// Text in a cell of Markdown: no markup, no line, no end of the cell.
fn cell(text: &str) -> String {
    let text = visible(text);
    let mut out = String::new();
    for (n, c) in text.chars().enumerate() {
        if n == NAME {
            out.push('…');
            break;
        }
        match c {
            '\n' | '\r' => out.push(' '),
            // A mention or a link in a name would be one.
            '@' => out.push_str("@\u{200b}"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c if "\\`*_{}[]()#+-!|~:".contains(c) => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

/// What explains what, with a pair of traces.
fn causes(c: &Comparison, out: &mut String) {
    if c.causes.is_empty() {
        return;
    }
    out.push_str("\n| | what explains it | what it explains | traces |\n|--:|---|---|---|\n");
    for (i, cause) in c.causes.iter().take(CAUSES).enumerate() {
        let explains: Vec<String> = cause.explains.iter().take(4).map(|e| cell(e)).collect();
        let traces = [("base", &cause.traces.0), ("head", &cause.traces.1)];
        let traces: Vec<String> =
            traces.iter().filter_map(|(side, t)| t.as_ref().map(|t| format!("{side} {}", cell(t)))).collect();
        let (mut what, how) = (cell(&cause.sentence), cell(&cause.confidence));
        if !cause.functions.is_empty() {
            what.push_str(&format!("<br>new in its stacks: {}", cell(&cause.functions.join(", "))));
        }
        let _ = writeln!(out, "| {} | {what} ({how}) | {} | {} |", i + 1, explains.join("<br>"), traces.join("<br>"));
    }
}

/// For a comment on a pull request: worst first, under 65,000 characters.
pub fn compare_markdown(c: &Comparison) -> String {
    let sign = match c.verdict {
        Verdict::Pass => "✅",
        Verdict::Regression => "❌",
        Verdict::Inconclusive => "⚠️",
    };
    let mut out = format!("### {sign} coldcase compare: {}\n\n{}\n\n", c.verdict.name(), sides(c));
    for reason in c.reasons.iter().take(ROWS) {
        let _ = writeln!(out, "- {}", cell(reason));
    }
    for w in c.warnings.iter().take(ROWS) {
        let _ = writeln!(out, "- ⚠️ {}", cell(w));
    }
    causes(c, &mut out);
    if !c.differences.is_empty() {
        out.push_str("\n| not alike | base | head |\n|---|---|---|\n");
        for d in &c.differences {
            let mark = if d.misleads { " **misleads**" } else { "" };
            let _ = writeln!(out, "| {}{mark} | {} | {} |", cell(&d.what), cell(&d.base), cell(&d.head));
        }
    }
    if !c.exact.is_empty() {
        out.push_str("\n| exact change | operation | |\n|---|---|---|\n");
        for e in c.exact.iter().take(ROWS) {
            let mark = exact_mark(c, e).replace("worse", "❌ worse");
            let _ = writeln!(out, "| {mark} | {} | {} |", cell(&e.operation), cell(&exact_words(e)));
        }
    }
    if !c.measures.is_empty() {
        out.push_str("\n| measure | of | base | head | change (95% interval) | |\n|---|---|--:|--:|--:|---|\n");
        for m in c.measures.iter().take(ROWS) {
            let name = format!("{}{}", cell(&m.measure), if m.critical { " **!**" } else { "" });
            let (b, h) = (m.value_words(m.centre.0), m.value_words(m.centre.1));
            let decision = match m.decision {
                Decision::Worse => "❌ worse",
                other => other.name(),
            };
            let _ = writeln!(out, "| {name} | {} | {b} | {h} | {} | {decision} |", cell(&m.operation), effect(m));
        }
        if c.measures.len() > ROWS {
            let _ = writeln!(out, "\nand {} more", c.measures.len() - ROWS);
        }
        out.push_str("\n**!** may fail the comparison. \"No change shown\" is not the same as equal.\n");
    }
    if out.chars().count() > LONGEST {
        out = out.chars().take(LONGEST).collect();
        out.truncate(out.rfind('\n').unwrap_or(0));
        out.push_str("\n\n(cut)\n");
    }
    out
}
