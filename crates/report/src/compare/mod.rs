//! A comparison as text, Markdown, JUnit XML, annotations and HTML. Names are captured text: they are escaped for each.

mod distribution;
mod explain;
mod html;
mod junit;
mod markdown;
mod text;

use coldcase_model::Nanos;
use coldcase_model::compare::{Basis, Comparison, ExactChange, Measure, Run};

pub use explain::compare_explained;
pub use html::compare_html;
pub use junit::{compare_github, compare_junit};
pub use markdown::compare_markdown;
pub use text::compare_text;

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

/// What is said of a measure; where earlier runs or blocks told, that too.
fn decision(m: &Measure) -> String {
    let by = match m.effect.map(|e| e.basis) {
        Some(basis @ (Basis::History | Basis::Blocks)) => format!(" (by {})", basis.name()),
        _ => String::new(),
    };
    let equal = if m.equivalent == Some(true) { ", equal" } else { "" };
    format!("{}{equal}{by}", m.decision.name())
}

fn exact_words(e: &ExactChange) -> String {
    match e.kind.as_str() {
        "calls" => format!("calls {} {} times a request, it was {}", e.what, e.head, e.base),
        "error" if e.base == 0 => format!("fails in a new way, {} times: {}", e.head, e.what),
        "error" => format!("fails no longer, it did {} times: {}", e.base, e.what),
        "path" if e.base == 0 => format!("calls {}, which it did not ({} times)", e.what, e.head),
        "path" => format!("calls {} no longer, it did {} times", e.what, e.base),
        "peer" if e.base == 0 => format!("{} new connections", e.head),
        "peer" => format!("no connections any more, there were {}", e.base),
        "log" if e.base == 0 => format!("{} new lines: {}", e.head, e.what),
        "log" => format!("lines gone, there were {}: {}", e.base, e.what),
        _ => e.what.clone(),
    }
}

/// How measures were taken, for their heading.
fn taken(c: &Comparison) -> String {
    let has = |basis: Basis| c.measures.iter().any(|m| m.effect.is_some_and(|e| e.basis == basis));
    let mut out = "one value a run".to_owned();
    if has(Basis::Pairs) {
        out.push_str(", compared in pairs recorded next to each other");
    }
    if let Some(pace) = c.pace.filter(|_| has(Basis::Pace)) {
        out.push_str(&format!(
            "; times as if the host had been equally fast in all runs: it ran what was woken after {} and {}",
            nanos(pace.base),
            nanos(pace.head)
        ));
    }
    out.push_str("; 95% intervals");
    out
}

fn nanos(ns: f64) -> Nanos {
    Nanos(ns.max(0.0) as u64)
}

/// How bad an exact change is, in a word.
fn exact_mark(c: &Comparison, e: &ExactChange) -> &'static str {
    match (e.worse, c.lets_pass(e.gate).is_some()) {
        (true, true) => "let pass",
        (true, false) => "worse",
        (false, _) => "other",
    }
}

fn sides(c: &Comparison) -> String {
    let side = |runs: &[Run]| {
        let requests: u64 = runs.iter().map(|r| r.requests).sum();
        format!("{} run{} with {requests} requests", runs.len(), if runs.len() == 1 { "" } else { "s" })
    };
    format!("base {}, head {}", side(&c.base), side(&c.head))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use coldcase_model::analysis::{FlameDiff, StackChange};
    use coldcase_model::compare::{Cause, Decision, Distribution, FunctionShare, Pictures, Verdict};

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
                gate: None,
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
                    as_measured: None,
                    tolerance: 1.02,
                    direction: coldcase_model::compare::Direction::Up,
                    critical: true,
                    gate: None,
                    equivalent: None,
                    decision: Decision::TooFew,
                })
                .collect(),
            causes: vec![Cause {
                kind: "wait".into(),
                sentence: name.clone(),
                critical: true,
                confidence: "shown".into(),
                growth: Some(1.0),
                explains: vec![name.clone()],
                functions: vec![name.clone()],
                traces: (Some(name.clone()), None),
            }],
            functions: vec![FunctionShare {
                kind: "on-cpu".into(),
                service: name.clone(),
                function: name.clone(),
                base: 0.0,
                head: 0.5,
                interval: None,
                change: "new".into(),
            }],
            not_compared: Vec::new(),
            gates: Vec::new(),
            warnings: vec![name.clone()],
            explained: vec![0],
            equivalent: None,
            pace: None,
            pictures: Pictures {
                distributions: vec![Distribution {
                    operation: name.clone(),
                    bounds: vec![1, 10, 100],
                    base: vec![5, 1, 0],
                    head: vec![0, 0, 0],
                    base_medians: vec![3],
                    head_medians: vec![],
                }],
                flames: vec![FlameDiff {
                    kind: "on-cpu".into(),
                    unit: "samples".into(),
                    by: "process".into(),
                    window: 10,
                    base: 10,
                    stacks: vec![StackChange { stack: format!("{name};{name}"), base: 1, window: 5, change: 0.4 }],
                    functions: Vec::new(),
                }],
            },
        }
    }

    #[test]
    fn captured_names_stay_text_in_every_output() {
        let c = hostile();
        let page = compare_html(&c).unwrap();
        assert!(!page.contains("<b>}") && !page.contains("|<b>") && page.contains("|&lt;b&gt;"), "{page}");
        for out in [
            compare_text(&c, 5),
            compare_explained(&c),
            page,
            compare_markdown(&c),
            compare_junit(&c),
            compare_github(&c),
        ] {
            assert!(!out.contains('\u{1b}'), "{out}");
            let plain = out == compare_text(&c, 5) || out == compare_explained(&c) || out == compare_github(&c);
            assert!(plain || !out.contains("|<b>"));
        }
        assert!(compare_markdown(&c).chars().count() < 65_100);
        assert!(!compare_markdown(&c).contains("@all"));
        assert_eq!(compare_github(&c).lines().count(), 1, "a name begins no command");
        assert_eq!(compare_text(&c, 5).matches("\n::error").count(), 0);
        assert!(compare_junit(&c).contains("failures=\"2\" skipped=\"1000\""));
    }
}
