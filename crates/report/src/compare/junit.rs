//! For machines that collect tests: JUnit XML, and annotations of GitHub Actions.

use std::fmt::Write;

use coldcase_model::compare::{Comparison, Decision, Verdict};
use coldcase_model::text::visible;

use super::{effect, exact_words};

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

/// A failure, unless an override lets it pass.
fn failed(c: &Comparison, gate: Option<usize>, why: String) -> (&'static str, String) {
    match c.lets_pass(gate) {
        Some(g) => (
            "skipped",
            format!("let pass until {} ({}): {why}", g.override_until.as_deref().unwrap_or_default(), g.reason),
        ),
        None => ("failure", why),
    }
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
        let outcome = e.worse.then(|| failed(c, e.gate, exact_words(e)));
        cases.push((format!("{} of {}: {}", e.kind, e.operation, e.what), outcome));
    }
    for m in c.measures.iter().filter(|m| m.critical) {
        let why = || format!("{} to {}, {}", m.value_words(m.centre.0), m.value_words(m.centre.1), effect(m));
        let outcome = match m.decision {
            Decision::Worse => Some(failed(c, m.gate, why())),
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
