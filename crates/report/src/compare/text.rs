//! For a terminal.

use std::fmt::Write;

use coldcase_model::columns::columns_with;
use coldcase_model::compare::{Cause, Comparison, FunctionShare};
use coldcase_model::text::visible;

use super::{decision, effect, exact_mark, exact_words, needed, sides, taken};

/// Causes and functions that are told.
const CAUSES: usize = 10;
const FUNCTIONS: usize = 12;

/// The verdict, why, what explains it, what differs, exact changes, the first `top` measures, functions, and what was not compared.
pub fn compare_text(c: &Comparison, top: usize) -> String {
    let mut out = format!("{}: {}\n", c.verdict.name(), sides(c));
    for reason in &c.reasons {
        let _ = writeln!(out, "  {}", visible(reason));
    }
    for warning in &c.warnings {
        let _ = writeln!(out, "  warning: {}", visible(warning));
    }
    if !c.causes.is_empty() {
        out.push_str("\nwhat explains it\n");
        c.causes.iter().take(CAUSES).enumerate().for_each(|(i, cause)| explain(i + 1, cause, &mut out));
    }
    differences(c, &mut out);
    exact(c, &mut out);
    measures(c, top, &mut out);
    functions(&c.functions, &mut out);
    rest(c, &mut out);
    out
}

fn explain(number: usize, cause: &Cause, out: &mut String) {
    let _ = writeln!(out, "{number:>2}. {} [{}]", visible(&cause.sentence), visible(&cause.confidence));
    for sentence in &cause.explains {
        let _ = writeln!(out, "      {}", visible(sentence));
    }
    if !cause.functions.is_empty() {
        let _ = writeln!(out, "      new in its stacks: {}", visible(&cause.functions.join(", ")));
    }
    let traces = [("base", &cause.traces.0), ("head", &cause.traces.1)];
    let traces: Vec<String> =
        traces.iter().filter_map(|(side, t)| t.as_ref().map(|t| format!("{side} {}", visible(t)))).collect();
    if !traces.is_empty() {
        let _ = writeln!(out, "      traces: {}", traces.join(", "));
    }
}

fn differences(c: &Comparison, out: &mut String) {
    if c.differences.is_empty() {
        return;
    }
    let row = |d: &coldcase_model::compare::Difference| {
        let mark = if d.misleads { " (misleads)" } else { "" };
        vec![format!("{}{mark}", d.what), d.base.clone(), d.head.clone()]
    };
    let rows: Vec<Vec<String>> = c.differences.iter().map(row).collect();
    let _ = write!(out, "\nnot alike on both sides\n{}", columns_with(3, &["what", "base", "head"], &rows));
}

fn exact(c: &Comparison, out: &mut String) {
    if c.exact.is_empty() {
        return;
    }
    out.push_str("\nexact changes\n");
    for e in &c.exact {
        let _ = writeln!(out, "{}  {}: {}", exact_mark(c, e), visible(&e.operation), visible(&exact_words(e)));
        for (side, trace) in [("base", &e.traces.0), ("head", &e.traces.1)] {
            if let Some(trace) = trace {
                let _ = writeln!(out, "       {side} trace {}", visible(trace));
            }
        }
    }
}

fn measures(c: &Comparison, top: usize, out: &mut String) {
    if c.measures.is_empty() {
        return;
    }
    let row = |m: &coldcase_model::compare::Measure| {
        let name = format!("{}{}", m.measure, if m.critical { " !" } else { "" });
        let (b, h) = (m.value_words(m.centre.0), m.value_words(m.centre.1));
        vec![name, m.operation.clone(), b, h, effect(m), decision(m), needed(m)]
    };
    let rows: Vec<Vec<String>> = c.measures.iter().take(top).map(row).collect();
    let head = ["measure", "of", "base", "head", "change", "decision", "runs needed"];
    let _ = write!(out, "\nmeasures ({})\n{}", taken(c), columns_with(2, &head, &rows));
    if c.measures.len() > top {
        let _ = writeln!(out, "and {} more (--top)", c.measures.len() - top);
    }
    out.push_str("! may fail the comparison. \"No change shown\" is not the same as equal\n");
}

fn functions(of: &[FunctionShare], out: &mut String) {
    if of.is_empty() {
        return;
    }
    let percent = |v: f64| format!("{:.1}%", 100.0 * v);
    let row = |f: &FunctionShare| {
        let (base, head) = (percent(f.base), percent(f.head));
        vec![f.kind.clone(), f.service.clone(), f.function.clone(), base, head, f.change.clone()]
    };
    let rows: Vec<Vec<String>> = of.iter().take(FUNCTIONS).map(row).collect();
    let head = ["stacks", "service", "function", "base", "head", "change"];
    let _ = write!(out, "\nfunctions, by their share of their service's time\n{}", columns_with(3, &head, &rows));
    if of.len() > FUNCTIONS {
        let _ = writeln!(out, "and {} more (--json)", of.len() - FUNCTIONS);
    }
}

fn rest(c: &Comparison, out: &mut String) {
    if !c.gates.is_empty() {
        let row = |g: &coldcase_model::compare::GateState| {
            let until = g.override_until.as_deref().unwrap_or("-");
            let state = if g.override_state == "none" { String::new() } else { format!(" {}", g.override_state) };
            let (matched, worse) = (g.matched.to_string(), g.worse.to_string());
            vec![g.gate.clone(), g.owner.clone(), matched, worse, format!("{until}{state}"), g.reason.clone()]
        };
        let rows: Vec<Vec<String>> = c.gates.iter().map(row).collect();
        let head = ["gate", "owner", "decided", "worse", "override until", "reason"];
        let _ = write!(out, "\ngates\n{}", columns_with(2, &head, &rows));
    }
    if !c.not_compared.is_empty() {
        let row = |n: &coldcase_model::compare::NotCompared| {
            let side = |(have, all): (u32, u32)| format!("{have} of {all} runs");
            vec![n.what.clone(), side(n.base), side(n.head), n.hint.clone()]
        };
        let rows: Vec<Vec<String>> = c.not_compared.iter().map(row).collect();
        let _ = write!(out, "\nnot compared\n{}", columns_with(4, &["what", "base", "head", "to have it"], &rows));
    }
}
