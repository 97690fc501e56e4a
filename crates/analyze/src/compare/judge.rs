//! The verdict, and why.

use coldcase_model::Nanos;
use coldcase_model::compare::{Comparison, Decision, Direction, Effect, GateState, Measure, Verdict};

use super::measure::{ALPHA, beyond};
use super::{LEAST_RUNS, exact, measures};

/// Where a critical measure may be so much worse (upper bound of its ratio), the runs did not tell enough for a pass.
const CEILING: f64 = 2.0;

/// The verdict and its reasons.
pub(super) fn judge(c: &Comparison) -> (Verdict, Vec<String>) {
    let misleading: Vec<String> = c
        .differences
        .iter()
        .filter(|d| d.misleads)
        .map(|d| format!("the sides cannot be held against each other: {} is {} and {}", d.what, d.base, d.head))
        .collect();
    let (mut worse, mut let_pass) = (Vec::new(), Vec::new());
    let of_exact = c.exact.iter().filter(|e| e.worse && e.critical).map(|e| (e.gate, exact::sentence(e)));
    let of_measures = critical(c).filter(|m| m.decision == Decision::Worse).map(|m| (m.gate, measures::sentence(m)));
    for (gate, what) in of_exact.chain(of_measures) {
        match c.lets_pass(gate) {
            Some(g) => let_pass.push(format!("let pass until {} ({}{}): {what}", until(g), g.reason, owner(g))),
            None => worse.push(what),
        }
    }
    let expired = c.gates.iter().filter(|g| g.override_state == "expired").map(expired);
    worse.extend(expired);
    if !misleading.is_empty() {
        return (Verdict::Inconclusive, [misleading, worse, let_pass].concat());
    }
    if !worse.is_empty() {
        return (Verdict::Regression, [worse, let_pass].concat());
    }
    match unproven(c) {
        Some(why) => (Verdict::Inconclusive, [vec![why], let_pass].concat()),
        None => (Verdict::Pass, [vec![passed(c)], let_pass].concat()),
    }
}

fn critical(c: &Comparison) -> impl Iterator<Item = &Measure> {
    c.measures.iter().filter(|m| m.critical)
}

fn until(g: &GateState) -> &str {
    g.override_until.as_deref().unwrap_or_default()
}

fn owner(g: &GateState) -> String {
    if g.owner.is_empty() { String::new() } else { format!(", {}", g.owner) }
}

fn expired(g: &GateState) -> String {
    format!(
        "the override of {} ended on {} ({}{}): take it out, or give it another day",
        g.gate,
        until(g),
        g.reason,
        owner(g)
    )
}

/// Why nothing worse was found is no pass.
fn unproven(c: &Comparison) -> Option<String> {
    let few = c.base.len().min(c.head.len());
    if critical(c).next().is_none() {
        // Operations are there, but the file names others.
        let why = match c.measures.iter().any(|m| m.measure.starts_with("latency")) {
            true => "no critical measure has a value in every run of both sides",
            false => "no operation has enough requests in every run of both sides",
        };
        return Some(why.to_owned());
    }
    if let Some(m) = critical(c).find(|m| m.decision == Decision::TooFew) {
        let plural = if few == 1 { "" } else { "s" };
        return Some(if few < LEAST_RUNS {
            format!(
                "{few} run{plural} on a side cannot show that nothing is slower: {LEAST_RUNS} are needed, more show smaller changes; or --history"
            )
        } else {
            format!("{} of {} has too few values", m.measure, m.operation)
        });
    }
    if let Some(wide) = critical(c).find(|m| beyond_ceiling(m)) {
        let needed = wide.effect.map_or(0, |e| e.runs_needed);
        return Some(format!(
            "{} of {} differs too much from run to run: it may be {CEILING:.0} times as much and these would not show it (about {needed} runs a side would)",
            wide.measure, wide.operation
        ));
    }
    if let (Some(pace), Some(m)) = (c.pace, critical(c).find(|m| is_worse_as_measured(m))) {
        let words = |e: Option<Effect>| e.map(|e| m.words_of(&e)).unwrap_or_default();
        let differs = if pace.differs { "more than by chance" } else { "which may be chance" };
        return Some(format!(
            "{} of {} is {} as measured, and {} had the host been equally fast: it ran what was woken after {} and {} ({differs}). Either the \
host was slower, or what is compared slows it",
            m.measure,
            m.operation,
            words(m.as_measured),
            words(m.effect),
            Nanos(pace.base as u64),
            Nanos(pace.head as u64)
        ));
    }
    let unequal = critical(c).find(|m| m.equivalent == Some(false) && !m.is_difference());
    let by = c.equivalent.map_or(0.0, |ratio| 100.0 * (ratio - 1.0));
    unequal.map(|m| {
        let effect = m.effect_words().unwrap_or_default();
        format!("{} of {} is not shown to be equal within {by:.1}%: {effect}", m.measure, m.operation)
    })
}

fn passed(c: &Comparison) -> String {
    let judged = critical(c).count();
    match c.equivalent {
        Some(ratio) => format!(
            "all {judged} critical measures are shown to be equal within {:.1}%, or within their tolerance",
            100.0 * (ratio - 1.0)
        ),
        None => format!("none of {judged} critical measures is shown to be worse than it may be"),
    }
}

/// Whether only the pace of the host keeps it from being worse.
fn is_worse_as_measured(m: &Measure) -> bool {
    let is_worse = |e: &Effect| beyond(m, e).0;
    m.as_measured.is_some_and(|e| is_worse(&e) && e.p < ALPHA) && !m.effect.is_some_and(|e| is_worse(&e))
}

fn beyond_ceiling(m: &Measure) -> bool {
    !m.is_difference() && m.direction != Direction::Down && m.effect.is_none_or(|e| e.high > CEILING.max(m.tolerance))
}
