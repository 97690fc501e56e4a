//! A comparison as text, Markdown and JUnit XML. Names are captured text: they are escaped for each.

use std::fmt::Write;

use coldcase_model::compare::{Comparison, Decision, ExactChange, Measure, Run, Verdict};
use coldcase_model::text::visible;

/// Rows of a table in Markdown at most; a comment on a pull request takes 65,536 characters.
const ROWS: usize = 60;
/// Characters of Markdown at most.
const LONGEST: usize = 65_000;
/// Characters of a name in Markdown.
const NAME: usize = 120;

/// The effect and its interval, in words.
fn effect(m: &Measure) -> String {
    m.effect_words().unwrap_or_else(|| "-".to_owned())
}

fn needed(m: &Measure) -> String {
    match m.effect {
        Some(e) if e.runs_needed > 0 => e.runs_needed.to_string(),
        _ => "-".to_owned(),
    }
}

fn exact_words(e: &ExactChange) -> String {
    match e.kind.as_str() {
        "calls" => format!("calls {} {} times a request, it was {}", e.what, e.head, e.base),
        "error" if e.base == 0 => format!("fails in a new way, {} times: {}", e.head, e.what),
        "error" => format!("fails no longer, it did {} times: {}", e.base, e.what),
        _ => e.what.clone(),
    }
}

fn sides(c: &Comparison) -> String {
    let side = |runs: &[Run]| {
        let requests: u64 = runs.iter().map(|r| r.requests).sum();
        format!("{} run{} with {requests} requests", runs.len(), if runs.len() == 1 { "" } else { "s" })
    };
    format!("base {}, head {}", side(&c.base), side(&c.head))
}

/// Columns of a table, each as wide as its widest cell; numbers to the right.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |i: usize| rows.iter().filter_map(|r| r.get(i)).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate();
        let line: Vec<String> =
            cells.map(|(i, (cell, &w))| if i < 2 { format!("{cell:<w$}") } else { format!("{cell:>w$}") }).collect();
        out.push_str(line.join("  ").trim_end());
        out.push('\n');
    }
    out
}

/// For a terminal: the verdict, why, what differs, exact changes, and the first `top` measures.
pub fn compare_text(c: &Comparison, top: usize) -> String {
    let mut out = format!("{}: {}\n", c.verdict.name(), sides(c));
    for reason in &c.reasons {
        let _ = writeln!(out, "  {}", visible(reason));
    }
    if !c.differences.is_empty() {
        out.push_str("\nnot alike on both sides\n");
        let mut rows = vec![["what", "base", "head"].map(str::to_owned).to_vec()];
        rows.extend(c.differences.iter().map(|d| {
            let mark = if d.misleads { " (misleads)" } else { "" };
            vec![format!("{}{mark}", d.what), visible(&d.base).into_owned(), visible(&d.head).into_owned()]
        }));
        out.push_str(&aligned(&rows));
    }
    if !c.exact.is_empty() {
        out.push_str("\nexact changes\n");
        for e in &c.exact {
            let mark = if e.worse { "worse" } else { "other" };
            let _ = writeln!(out, "{mark}  {}: {}", visible(&e.operation), visible(&exact_words(e)));
            for (side, trace) in [("base", &e.traces.0), ("head", &e.traces.1)] {
                if let Some(trace) = trace {
                    let _ = writeln!(out, "       {side} trace {}", visible(trace));
                }
            }
        }
    }
    if !c.measures.is_empty() {
        out.push_str("\nmeasures (one value a run; 95% intervals)\n");
        let head = ["measure", "of", "base", "head", "change", "decision", "runs needed"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        rows.extend(c.measures.iter().take(top).map(|m| {
            let name = format!("{}{}", m.measure, if m.critical { " !" } else { "" });
            let (b, h) = (m.value_words(m.centre.0), m.value_words(m.centre.1));
            vec![name, visible(&m.operation).into_owned(), b, h, effect(m), m.decision.name().to_owned(), needed(m)]
        }));
        out.push_str(&aligned(&rows));
        if c.measures.len() > top {
            let _ = writeln!(out, "and {} more (--top)", c.measures.len() - top);
        }
        out.push_str("! may fail the comparison. \"No change shown\" is not the same as equal\n");
    }
    out
}

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
            let mark = if e.worse { "❌ worse" } else { "other" };
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

/// Text in XML 1.0, in an attribute or between tags.
fn xml(text: &str) -> String {
    let mut out = String::new();
    for c in visible(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            c if c < ' ' || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// JUnit XML: a case for the verdict, each critical measure and each exact change that may fail.
pub fn compare_junit(c: &Comparison) -> String {
    let mut cases: Vec<(String, Option<(&str, String)>)> = Vec::new();
    let verdict = match c.verdict {
        Verdict::Pass => None,
        Verdict::Regression => Some(("failure", c.reasons.join("; "))),
        Verdict::Inconclusive => Some(("skipped", c.reasons.join("; "))),
    };
    cases.push(("verdict".to_owned(), verdict));
    for e in c.exact.iter().filter(|e| e.critical) {
        cases
            .push((format!("{} of {}: {}", e.kind, e.operation, e.what), e.worse.then(|| ("failure", exact_words(e)))));
    }
    for m in c.measures.iter().filter(|m| m.critical) {
        let why = || format!("{} to {}, {}", m.value_words(m.centre.0), m.value_words(m.centre.1), effect(m));
        let outcome = match m.decision {
            Decision::Worse => Some(("failure", why())),
            Decision::TooFew => Some(("skipped", "too few runs or requests".to_owned())),
            Decision::Better | Decision::NotShown => None,
        };
        cases.push((format!("{} of {}", m.measure, m.operation), outcome));
    }
    let count = |kind: &str| cases.iter().filter(|c| c.1.as_ref().is_some_and(|o| o.0 == kind)).count();
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n<testsuite name=\"coldcase compare\" tests=\"{}\" failures=\"{}\" skipped=\"{}\" errors=\"0\">\n",
        cases.len(),
        count("failure"),
        count("skipped")
    );
    for (name, outcome) in &cases {
        match outcome {
            None => {
                let _ = writeln!(out, "<testcase classname=\"coldcase.compare\" name=\"{}\"/>", xml(name));
            }
            Some((kind, why)) => {
                let _ = writeln!(
                    out,
                    "<testcase classname=\"coldcase.compare\" name=\"{}\"><{kind} message=\"{}\"/></testcase>",
                    xml(name),
                    xml(why)
                );
            }
        }
    }
    out.push_str("</testsuite>\n</testsuites>\n");
    out
}

/// Annotations of GitHub Actions: one line for each reason.
pub fn compare_github(c: &Comparison) -> String {
    let kind = match c.verdict {
        Verdict::Pass => "notice",
        Verdict::Regression => "error",
        Verdict::Inconclusive => "warning",
    };
    let mut out = String::new();
    for reason in &c.reasons {
        // Commands end with their line; `%` begins an escape.
        let text = visible(reason).replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
        let _ = writeln!(out, "::{kind} title=coldcase compare {}::{text}", c.verdict.name());
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn hostile() -> Comparison {
        let name = "GET /|<b>\u{1b}[31m@all\n::error::x".to_owned();
        Comparison {
            verdict: Verdict::Regression,
            reasons: vec![format!("worse: {name}")],
            base: vec![Run::default()],
            head: vec![Run::default()],
            differences: Vec::new(),
            exact: vec![ExactChange {
                kind: "error".into(),
                operation: name.clone(),
                what: "]]>&\"".into(),
                base: 0,
                head: 9,
                worse: true,
                critical: true,
                traces: (None, None),
            }],
            measures: (0..1000)
                .map(|_| Measure {
                    measure: "latency p50".into(),
                    operation: name.repeat(20),
                    unit: "ns".into(),
                    base: vec![1.0],
                    head: vec![1.0],
                    centre: (1.0, 1.0),
                    effect: None,
                    tolerance: 1.02,
                    more_is_worse: true,
                    critical: true,
                    decision: Decision::TooFew,
                })
                .collect(),
        }
    }

    #[test]
    fn captured_names_stay_text_in_every_output() {
        let c = hostile();
        for out in [compare_text(&c, 5), compare_markdown(&c), compare_junit(&c), compare_github(&c)] {
            assert!(!out.contains('\u{1b}'), "{out}");
            assert!(!out.contains("<b>") || out == compare_text(&c, 5) || out == compare_github(&c));
        }
        assert!(compare_markdown(&c).chars().count() < 65_100);
        assert!(!compare_markdown(&c).contains("@all"));
        assert_eq!(compare_github(&c).lines().count(), 1, "a name begins no command");
        assert_eq!(compare_text(&c, 5).matches("\n::error").count(), 0);
        assert!(compare_junit(&c).contains("failures=\"2\" skipped=\"1000\""));
    }
}
