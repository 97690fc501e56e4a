//! How a measure was judged: for `--explain`.

use std::fmt::Write;

use coldcase_model::compare::{Comparison, Decision, Direction, Measure, Run};
use coldcase_model::text::visible;

use super::decision;

/// The measures that were asked for, one after another: values of each run, estimate, interval, tolerance, p and decision.
pub fn compare_explained(c: &Comparison) -> String {
    let all: Vec<String> = c.explained.iter().filter_map(|&i| c.measures.get(i)).map(|m| explained(c, m)).collect();
    all.join("\n")
}

fn explained(c: &Comparison, m: &Measure) -> String {
    let mut out = format!("{} of {}\n", visible(&m.measure), visible(&m.operation));
    for (side, runs, values, centre) in [("base", &c.base, &m.base, m.centre.0), ("head", &c.head, &m.head, m.centre.1)]
    {
        let one = |(run, v): (&Run, &f64)| format!("{} ({})", m.value_words(*v), visible(&run.file));
        let list: Vec<String> = runs.iter().zip(values).map(one).collect();
        let _ = writeln!(out, "  {side}       {}; centre {}", list.join(", "), m.value_words(centre));
    }
    let way = match m.direction {
        Direction::Up => "more is worse",
        Direction::Down => "less is worse",
        Direction::Both => "each change is worse",
    };
    let critical = if m.critical { "it may fail the comparison" } else { "it is reported only" };
    let gate = m.gate.and_then(|i| Some((i, c.gates.get(i)?)));
    let gate = gate.map_or(String::new(), |(i, g)| format!(" (gate {}: {})", i + 1, visible(&g.gate)));
    let _ = writeln!(out, "  tolerance  {}, {way}; {critical}{gate}", m.tolerance_words());
    match m.effect {
        None => out.push_str("  estimate   none: too few runs\n"),
        Some(e) => {
            let _ = writeln!(
                out,
                "  estimate   {}, the noise from {}",
                m.effect_words().unwrap_or_default(),
                e.basis.name()
            );
            if let Some(words) = m.as_measured.map(|e| m.words_of(&e)) {
                let _ =
                    writeln!(out, "  measured   {words}, before what follows from the pace of the host is taken out");
            }
            let method = if m.critical { "Holm" } else { "Benjamini and Hochberg" };
            let _ = writeln!(
                out,
                "  p          {:.4} of no more than tolerated, {:.4} corrected by {method} for {} measures",
                e.raw_p, e.p, e.family
            );
        }
    }
    if let Some(equal) = m.equivalent {
        let _ = writeln!(out, "  equal      {}", if equal { "shown" } else { "not shown" });
    }
    let why = match (m.decision, m.effect) {
        (Decision::Worse, _) => ": the interval lies beyond the tolerance, and the corrected p is below 0.05",
        (Decision::Better, _) => ": the interval lies beyond the tolerance, on the good side",
        (Decision::NotShown, _) => ": the interval reaches into what is tolerated; that is not the same as equal",
        (Decision::TooFew, Some(_)) => ": blocks share the luck of their run, so nothing is decided by them",
        (Decision::TooFew, None) => "",
    };
    let _ = writeln!(out, "  decision   {}{why}", decision(m));
    if let Some(e) = m.effect
        && e.runs_needed > 0
    {
        let twice = if m.is_difference() {
            m.value_words(2.0 * m.tolerance)
        } else {
            format!("{:.1}%", 200.0 * (m.tolerance - 1.0))
        };
        let _ = writeln!(
            out,
            "  needed     about {} runs a side would show a change of {twice} in four of five comparisons",
            e.runs_needed
        );
    }
    out
}
