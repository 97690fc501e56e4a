//! The data-quality bar: recorded, skipped and lost, the clock, names of frames, and what recording cost.

use coldcase_model::analysis::Analysis;
use coldcase_model::manifest::SourceStatus;

use super::table::{code, fault, figure, table, tally, words};
use crate::text::{bytes, count, duration, escape, offset, plural, share, shorten};

/// Lines of problems shown.
const PROBLEMS: usize = 40;

/// The bar and what lies behind it.
pub(crate) fn body(a: &Analysis) -> String {
    let mut out = sources(a);
    out.push_str(&facts(a));
    out.push_str(&losses(a));
    out.push_str(&reductions(a));
    out.push_str(&problems(a));
    out.push_str(&streams(a));
    out
}

fn sources(a: &Analysis) -> String {
    if a.quality.sources.is_empty() {
        return "<p class=\"none\">The bundle does not say which sources it had.</p>".to_owned();
    }
    let mut chips = String::new();
    let mut reasons = String::new();
    for s in &a.quality.sources {
        let lost: u64 =
            a.quality.losses.iter().filter(|l| l.source == s.name).fold(0, |n, l| n.saturating_add(l.count));
        let (class, sign, word) = match s.status {
            SourceStatus::Recorded if lost > 0 => ("lossy", "◐", format!("recorded, {} lost", count(lost))),
            SourceStatus::Recorded => ("ok", "●", "recorded".to_owned()),
            SourceStatus::Skipped => ("skipped", "○", "skipped".to_owned()),
            SourceStatus::Failed => ("failed", "✕", "failed".to_owned()),
        };
        let name = escape(&shorten(&s.name, 60));
        chips.push_str(&format!(
            "<li class=\"{class}\"><span aria-hidden=\"true\">{sign}</span> <b>{name}</b> {word}</li>"
        ));
    }
    for (status, word) in
        [(SourceStatus::Failed, "failed"), (SourceStatus::Skipped, "skipped"), (SourceStatus::Recorded, "recorded")]
    {
        for (names, reason, hint) in crate::facts::alike(a, status) {
            if reason.is_empty() && hint.is_empty() {
                continue;
            }
            let names = escape(&shorten(&names.join(", "), 300));
            let hint = if hint.is_empty() {
                String::new()
            } else {
                format!(" <span class=\"hint\">{}</span>", escape(&shorten(hint, 300)))
            };
            reasons.push_str(&format!("<li><b>{names}</b> {word}: {}{hint}</li>", escape(&shorten(reason, 300))));
        }
    }
    let reasons = if reasons.is_empty() { String::new() } else { format!("<ul class=\"reasons\">{reasons}</ul>\n") };
    format!("<ul class=\"chips\">{chips}</ul>\n{reasons}")
}

fn facts(a: &Analysis) -> String {
    let q = &a.quality;
    let seconds = a.bundle.last.saturating_sub(a.bundle.first).max(0) as f64 / 1e9;
    let mut rows: Vec<(&str, String)> = Vec::new();
    let clock = match q.clock_uncertainty {
        Some(ns) => format!("±{}", duration(ns)),
        None => "<b class=\"bad\">no anchors: times may be off</b>".to_owned(),
    };
    let ntp = if q.clock.is_empty() { String::new() } else { format!(", {}", escape(&shorten(&q.clock, 120))) };
    let steps: Vec<String> = q
        .clock_steps
        .iter()
        .take(5)
        .map(|(t, by)| {
            format!(
                "stepped by {}{} at {}",
                if *by < 0 { "−" } else { "+" },
                duration(by.unsigned_abs()),
                offset(*t, a.bundle.first)
            )
        })
        .collect();
    let steps = if steps.is_empty() { String::new() } else { format!("; <b class=\"bad\">{}</b>", steps.join(", ")) };
    rows.push(("Clock", format!("{clock}{ntp}{steps}")));
    if let Some(named) = q.frames_named {
        let bogus = match q.frames_bogus {
            0 => String::new(),
            n => format!("; {n} addresses outside of executable mappings left out"),
        };
        rows.push(("Stack frames with a name", share(named) + &bogus));
    }
    if q.requests_repeated > 0 {
        let requests = plural(q.requests_repeated, "OTLP request", "OTLP requests");
        rows.push(("Sent again", format!("{requests} repeated, byte for byte: counted once")));
    }
    if q.spans_left_out > 0 {
        let spans = plural(q.spans_left_out, "span", "spans");
        rows.push(("In no figure", format!("<b class=\"bad\">{spans} without a start, or with an end before it</b>")));
    }
    let mut cost = format!("{:.2} CPU s", q.recorder_cpu);
    if seconds > 0.0 {
        cost.push_str(&format!(" ({} of one CPU)", share(q.recorder_cpu / seconds)));
    }
    cost.push_str(&format!(
        ", {} at most, {} inside its kernel programs",
        bytes(q.recorder_rss),
        duration(q.recorder_bpf)
    ));
    rows.push(("The recorder itself took", cost));
    if !a.bundle.policies.is_empty() {
        rows.push(("Left out on purpose", escape(&shorten(&a.bundle.policies.join(", "), 300))));
    }
    if !a.bundle.command.is_empty() {
        rows.push(("Command", format!("<code>{}</code>", escape(&shorten(&a.bundle.command, 300)))));
    }
    let rows: String = rows.iter().map(|(k, v)| format!("<div><dt>{k}</dt><dd>{v}</dd></div>")).collect();
    format!("<dl class=\"pairs\">{rows}</dl>\n")
}

fn losses(a: &Analysis) -> String {
    let lost: Vec<_> = a.quality.losses.iter().filter(|l| l.count > 0 || l.bytes > 0).collect();
    if lost.is_empty() {
        return "<p>No loss was counted.</p>\n".to_owned();
    }
    let rows = lost
        .iter()
        .take(200)
        .map(|l| {
            let size = figure(l.bytes as f64, &if l.bytes > 0 { bytes(l.bytes) } else { "–".to_owned() });
            vec![code(&l.source), words(&l.class), words(&l.reason), fault(l.count), size]
        })
        .collect();
    format!("<h3>Lost</h3>\n{}", table("Losses", &["source", "class", "reason", "#count", "#bytes"], rows, None))
}

/// Steps of the recorder shown.
const STEPS: usize = 40;

fn reductions(a: &Analysis) -> String {
    let all = crate::facts::steps(a);
    if all.is_empty() {
        return String::new();
    }
    let items: String = all.iter().take(STEPS).map(|s| format!("<li>{}</li>", escape(&shorten(s, 300)))).collect();
    let more = super::table::left_out(STEPS.min(all.len()), all.len(), "steps").unwrap_or_default();
    format!(
        "<h3>Taken in less, within the recorder's limits</h3>\n<ul class=\"reasons\">{items}</ul><p class=\"hint\">{more}</p>\n"
    )
}

fn problems(a: &Analysis) -> String {
    let all = &a.quality.problems;
    if all.is_empty() {
        return String::new();
    }
    let items: String = all.iter().take(PROBLEMS).map(|p| format!("<li>{}</li>", escape(&shorten(p, 300)))).collect();
    let more = super::table::left_out(PROBLEMS.min(all.len()), all.len(), "problems").unwrap_or_default();
    format!("<h3>Could not be read</h3>\n<ul class=\"reasons\">{items}</ul><p class=\"hint\">{more}</p>\n")
}

fn streams(a: &Analysis) -> String {
    if a.quality.streams.is_empty() {
        return String::new();
    }
    let rows = a.quality.streams.iter().take(200).map(|(name, n)| vec![code(name), tally(*n)]).collect();
    let total = a.quality.streams.iter().fold(0u64, |s, x| s.saturating_add(x.1));
    format!(
        "<details><summary>{} events in {} streams</summary>\n{}</details>\n",
        count(total),
        a.quality.streams.len(),
        table("Events per stream", &["stream", "#events"], rows, None)
    )
}
