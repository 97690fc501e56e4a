//! One page that holds the comparison, works from a file and asks nothing of any network: the verdict first.

use coldcase_model::compare::{Cause, Comparison, Decision, FunctionShare, Measure, Verdict};
use serde_json::json;

use super::{decision, distribution, effect, exact_mark, exact_words, needed, sides, taken};
use crate::ReportError;
use crate::flame;
use crate::html::table::{Cell, blank, code, figure, left_out, maybe, table, words};
use crate::html::{Section, assemble, flame_figures};
use crate::text::{count, duration, escape, island, shorten};

/// Measures and exact changes that the page holds.
const ROWS: usize = 2_000;
/// Characters of a sentence.
const SENTENCE: usize = 600;

/// The page.
///
/// # Errors
/// When a picture cannot be drawn.
pub fn compare_html(c: &Comparison) -> Result<String, ReportError> {
    let some = |id, title, body: Option<String>| body.map(|body| Section { id, title, body });
    let sections = [
        Some(Section { id: "summary", title: "Verdict", body: verdict(c) }),
        some("causes", "What explains it", (!c.causes.is_empty()).then(|| causes(c))),
        some("measures", "Measures", (!c.measures.is_empty()).then(|| measures(c))),
        some("exact", "Exact changes", (!c.exact.is_empty()).then(|| exact(c))),
        some("distributions", "Distributions", distributions(c)?),
        some("flame", "Flame graphs: head against base", flames(c)?),
        some("functions", "Functions", (!c.functions.is_empty()).then(|| functions(c))),
        Some(Section { id: "sides", title: "The two sides", body: two_sides(c) }),
        some("gates", "Gates", (!c.gates.is_empty()).then(|| gates(c))),
    ];
    let sections: Vec<Section> = sections.into_iter().flatten().collect();
    let header = format!(
        "<div><p class=\"brand\">coldcase compare</p><h1>{}</h1><p class=\"facts\">{}</p></div>",
        heading(c.verdict),
        escape(&sides(c))
    );
    let footer = "one value a run; intervals are of 95%; this page loads nothing";
    // No chart of this page follows the pointer.
    let values = island(&json!({ "start": "0", "length": 1, "charts": {} }).to_string());
    Ok(assemble(&format!("compare: {}", c.verdict.name()), [&header, footer], &sections, &values))
}

fn heading(v: Verdict) -> &'static str {
    match v {
        Verdict::Pass => "✔ Pass",
        Verdict::Regression => "<span class=\"bad\">✘ Regression</span>",
        Verdict::Inconclusive => "? Inconclusive",
    }
}

fn sentence(text: &str) -> String {
    escape(&shorten(text, SENTENCE))
}

fn list(class: &str, of: &[String]) -> String {
    let items: String = of.iter().take(50).map(|s| format!("<li>{}</li>", sentence(s))).collect();
    if items.is_empty() { String::new() } else { format!("<ul class=\"{class}\">{items}</ul>\n") }
}

fn verdict(c: &Comparison) -> String {
    let mut out = match c.reasons.split_first() {
        None => String::new(),
        Some((first, more)) => format!("<p class=\"lead\">{}</p>\n{}", sentence(first), list("sentences", more)),
    };
    let warnings: Vec<String> = c.warnings.iter().map(|w| format!("Warning: {w}")).collect();
    out.push_str(&list("reasons", &warnings));
    let of = |d: Decision| c.measures.iter().filter(|m| m.decision == d).count() as u64;
    let critical = c.measures.iter().filter(|m| m.critical).count() as u64;
    let exact = c.exact.iter().filter(|e| e.worse).count() as u64;
    let tile = |name: &str, n: u64, under: &str| {
        format!("<div><dt>{name}</dt><dd>{}</dd><dd class=\"under\">{under}</dd></div>", count(n))
    };
    out.push_str(&format!(
        "<dl class=\"tiles\">{}{}{}{}</dl>\n",
        tile(
            "Worse",
            of(Decision::Worse),
            &format!("of {} measures, {} critical", count(c.measures.len() as u64), count(critical))
        ),
        tile("Better", of(Decision::Better), "by more than the tolerance"),
        tile("Worse, exactly", exact, "counted: no statistics"),
        tile("No change shown", of(Decision::NotShown), "not the same as equal"),
    ));
    out
}

fn causes(c: &Comparison) -> String {
    let one = |cause: &Cause| {
        let traces = [("base", &cause.traces.0), ("head", &cause.traces.1)];
        let traces: Vec<String> = traces
            .iter()
            .filter_map(|(side, t)| {
                t.as_ref().map(|t| format!("{side} trace <code>{}</code>", escape(&shorten(t, 64))))
            })
            .collect();
        let new: Vec<String> =
            cause.functions.iter().map(|f| format!("<code>{}</code>", escape(&shorten(f, 160)))).collect();
        let new = if new.is_empty() { String::new() } else { format!("<p>new in its stacks: {}</p>", new.join(" ")) };
        format!(
            "<li><p><b{}>{}</b> <span class=\"hint\">{}</span></p>{new}{}<p class=\"evidence\">{}</p></li>",
            if cause.critical { " class=\"bad\"" } else { "" },
            sentence(&cause.sentence),
            escape(&cause.confidence),
            list("reasons", &cause.explains),
            traces.join(" · ")
        )
    };
    let items: String = c.causes.iter().take(50).map(one).collect();
    format!(
        "<p class=\"hint\">Alarms stand under what explains them. <i>exact</i>: counted; <i>shown</i>: an alarm of its own; <i>likely</i>: \
its interval excludes no change, and it grew by a good part of what it explains.</p><ol class=\"findings\">{items}</ol>\n"
    )
}

fn change_key(m: &Measure) -> f64 {
    m.effect.map_or(0.0, |e| if m.is_difference() { e.estimate } else { e.estimate.ln() })
}

/// The decision on one line; what it was taken by may go on the next.
fn unbroken(decision: &str) -> String {
    let one_line = |words: &str| words.replace(' ', "\u{a0}");
    match decision.split_once(" (") {
        Some((decision, by)) => format!("{} ({by}", one_line(decision)),
        None => one_line(decision),
    }
}

fn measures(c: &Comparison) -> String {
    let row = |m: &Measure| -> Vec<Cell> {
        let (b, h) = (m.value_words(m.centre.0), m.value_words(m.centre.1));
        let name = format!("{}{}", m.measure, if m.critical { " !" } else { "" });
        vec![
            words(&name),
            words(&m.operation),
            // What matters most stands where narrow windows show it.
            words(&unbroken(&decision(m))),
            figure(change_key(m), &effect(m)),
            figure(m.centre.0, &b),
            figure(m.centre.1, &h),
            words(&m.tolerance_words()),
            maybe(m.effect, |e| figure(e.p, &format!("{:.4}", e.p))),
            maybe(m.effect.filter(|e| e.runs_needed > 0), |e| figure(f64::from(e.runs_needed), &needed(m))),
        ]
    };
    let columns =
        ["measure", "of", "decision", "#change", "#base", "#head", "tolerance", "#p (corrected)", "#runs needed"];
    let rows = c.measures.iter().take(ROWS).map(row).collect();
    let filter = "<div class=\"tools\"><input type=\"search\" data-filter=\"measure-rows\" placeholder=\"Filter rows\" aria-label=\"Filter measures\"><span class=\"matched\" role=\"status\"> </span></div>";
    let body = table("Measures", &columns, rows, left_out(c.measures.len().min(ROWS), c.measures.len(), "measures"));
    let hint = format!("<p class=\"hint\">! may fail the comparison. {}.</p>", taken(c));
    format!("{hint}{filter}<div id=\"measure-rows\">{body}</div>")
}

fn exact(c: &Comparison) -> String {
    let trace = |t: &Option<String>| t.as_ref().map_or_else(blank, |t| code(t));
    let row = |e: &coldcase_model::compare::ExactChange| -> Vec<Cell> {
        vec![
            words(exact_mark(c, e)),
            words(&e.operation),
            words(&exact_words(e)),
            figure(e.base as f64, &count(e.base)),
            figure(e.head as f64, &count(e.head)),
            trace(&e.traces.0),
            trace(&e.traces.1),
        ]
    };
    let columns = ["mark", "operation", "what", "#base", "#head", "base trace", "head trace"];
    let rows = c.exact.iter().take(ROWS).map(row).collect();
    table("Exact changes", &columns, rows, left_out(c.exact.len().min(ROWS), c.exact.len(), "exact changes"))
}

fn distributions(c: &Comparison) -> Result<Option<String>, ReportError> {
    let mut out = String::new();
    for d in &c.pictures.distributions {
        let (base, head): (u64, u64) = (d.base.iter().sum(), d.head.iter().sum());
        out.push_str(&format!(
            "<figure><figcaption><b>{}</b> <span>{} requests in the base, {} in the head</span></figcaption><div class=\"chart\">{}</div></figure>\n",
            escape(&shorten(&d.operation, 200)),
            count(base),
            count(head),
            distribution::svg(d)?
        ));
    }
    Ok((!out.is_empty()).then_some(out))
}

fn flames(c: &Comparison) -> Result<Option<String>, ReportError> {
    let mut graphs = Vec::new();
    for diff in c.pictures.flames.iter().filter(|d| d.stacks.iter().any(|s| s.window > 0)) {
        let against =
            format!("in {} requests of the head, against {} of the base", count(diff.window), count(diff.base));
        let words = ["red: more in a request than in the base", "blue: less", "the same, or calls what changed"];
        graphs.push(flame::diff_graph_as(diff, &against, words)?);
    }
    let hint = "As wide as in the head; each box calls the one above it. What the base has and the head has not is in the table of functions. \
Pointing at a box says how much it changed. Select a box to zoom, <kbd>Esc</kbd> to go back.";
    Ok((!graphs.is_empty()).then(|| flame_figures(&graphs, hint)))
}

fn functions(c: &Comparison) -> String {
    let percent = |v: f64| format!("{:.2}%", 100.0 * v);
    let row = |f: &FunctionShare| -> Vec<Cell> {
        let interval = |(low, high): (f64, f64)| {
            figure(f.head - f.base, &format!("{:+.2} to {:+.2} points", 100.0 * low, 100.0 * high))
        };
        vec![
            words(&f.kind),
            words(&f.service),
            code(&f.function),
            figure(f.base, &percent(f.base)),
            figure(f.head, &percent(f.head)),
            maybe(f.interval, interval),
            words(&f.change),
        ]
    };
    let columns = ["stacks", "service", "function", "#base", "#head", "#interval of the change", "change"];
    let hint = "<p class=\"hint\">Each with all that it calls, as a share of its service's time on the CPU, or off it without idle waits.</p>";
    format!("{hint}{}", table("Functions", &columns, c.functions.iter().map(row).collect(), None))
}

fn two_sides(c: &Comparison) -> String {
    let row = |side: &str, r: &coldcase_model::compare::Run| -> Vec<Cell> {
        vec![
            words(side),
            code(&r.file),
            words(&crate::text::utc(r.begun)),
            figure(r.duration as f64, &duration(r.duration)),
            figure(r.requests as f64, &count(r.requests)),
            figure(r.lost as f64, &count(r.lost)),
        ]
    };
    let rows = c.base.iter().map(|r| row("base", r)).chain(c.head.iter().map(|r| row("head", r))).collect();
    let mut out = table("Runs", &["side", "bundle", "begun (UTC)", "#length", "#requests", "#lost events"], rows, None);
    if !c.differences.is_empty() {
        let row = |d: &coldcase_model::compare::Difference| {
            vec![words(&d.what), words(&d.base), words(&d.head), words(if d.misleads { "misleads" } else { "" })]
        };
        let rows = c.differences.iter().map(row).collect();
        out.push_str(&format!("<h3>Not alike</h3>{}", table("Not alike", &["what", "base", "head", ""], rows, None)));
    }
    if !c.not_compared.is_empty() {
        let have = |(have, all): (u32, u32)| words(&format!("{have} of {all} runs"));
        let rows =
            c.not_compared.iter().map(|n| vec![words(&n.what), have(n.base), have(n.head), words(&n.hint)]).collect();
        let columns = ["what", "base has it", "head has it", "to have it"];
        out.push_str(&format!("<h3>Not compared</h3>{}", table("Not compared", &columns, rows, None)));
    }
    out
}

fn gates(c: &Comparison) -> String {
    let row = |g: &coldcase_model::compare::GateState| -> Vec<Cell> {
        let until = g.override_until.as_deref().map_or(String::new(), |d| format!("{d} ({})", g.override_state));
        vec![
            words(&g.gate),
            words(&g.owner),
            figure(g.matched as f64, &count(g.matched)),
            figure(g.worse as f64, &count(g.worse)),
            words(&until),
            words(&g.reason),
        ]
    };
    let columns = ["gate", "owner", "#decided", "#worse", "override until", "reason"];
    table("Gates", &columns, c.gates.iter().map(row).collect(), None)
}
