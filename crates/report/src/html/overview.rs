//! The head of the page: which bundle, what stands out, six figures.

use coldcase_model::analysis::Analysis;

use crate::facts::Facts;
use crate::text::{bytes, count, duration, escape, offset, plural, shorten, utc};

/// Which bundle.
pub(crate) fn header(a: &Analysis) -> String {
    let b = &a.bundle;
    let file = if b.file.is_empty() { "unnamed bundle" } else { &b.file };
    let mut facts: Vec<String> = Vec::new();
    if !b.host.is_empty() {
        facts.push(format!("<b>{}</b>", escape(&shorten(&b.host, 80))));
    }
    if b.first != 0 {
        facts.push(format!("{} UTC", utc(b.first)));
        facts.push(duration(b.last.saturating_sub(b.first).max(0) as u64));
    }
    facts.push(bytes(b.bytes));
    if b.cpus > 0 {
        facts.push(plural(u64::from(b.cpus), "CPU", "CPUs"));
    }
    if !b.kernel.is_empty() {
        facts.push(escape(&shorten(&b.kernel, 80)));
    }
    if !b.complete {
        facts.push("<b class=\"bad\">not sealed</b>".to_owned());
    }
    format!(
        "<div><p class=\"brand\">coldcase report</p><h1>{}</h1><p class=\"facts\">{}</p></div>",
        escape(&shorten(file, 120)),
        facts.join(" · ")
    )
}

/// Where the page comes from.
pub(crate) fn footer(a: &Analysis) -> String {
    let b = &a.bundle;
    let mut parts = vec![format!("bundle <code>{}</code>", escape(&shorten(&b.id, 64)))];
    if !b.tool.is_empty() {
        parts.push(format!("recorded by {}", escape(&shorten(&b.tool, 80))));
    }
    if !b.ended.is_empty() {
        parts.push(format!("ended: {}", escape(&shorten(&b.ended, 80))));
    }
    parts.push("every number cites rows as <code>bundle/stream#row</code>; this page loads nothing".to_owned());
    parts.join(" · ")
}

/// Sentences and figures.
pub(crate) fn body(a: &Analysis) -> String {
    let mut out = String::new();
    let mut sentences = a.summary.iter();
    match sentences.next() {
        Some(first) => out.push_str(&format!("<p class=\"lead\">{}</p>\n", escape(&shorten(first, 600)))),
        None => out.push_str(&format!("<p class=\"lead\">{}</p>\n", crate::facts::silence(a))),
    }
    let more: String = sentences.take(9).map(|s| format!("<li>{}</li>", escape(&shorten(s, 600)))).collect();
    if !more.is_empty() {
        out.push_str(&format!("<ul class=\"sentences\">{more}</ul>\n"));
    }
    out.push_str(&format!("<dl class=\"tiles\">{}</dl>\n", tiles(a).concat()));
    out
}

fn tile(name: &str, value: &str, under: &str, bad: bool) -> String {
    let class = if bad { " class=\"bad\"" } else { "" };
    format!(
        "<div><dt>{name}</dt><dd{class}>{value}</dd><dd class=\"under\">{}</dd></div>\n",
        escape(&shorten(under, 160))
    )
}

fn tiles(a: &Analysis) -> Vec<String> {
    let facts = Facts::of(a);
    let mut out = Vec::new();
    if let Some(l) = facts.slowest {
        out.push(tile("Slowest span, p99", &duration(l.p99), &format!("{} – p50 {}", l.name, duration(l.p50)), false));
    }
    if let Some(c) = facts.slowest.and_then(|l| l.change) {
        let under = format!("its p99 from then on is {}, before it was {}", duration(c.p99.1), duration(c.p99.0));
        out.push(tile("Slow from", &offset(c.time, a.bundle.first), &under, true));
    }
    if let Some(w) = facts.wait {
        out.push(tile("Top wait, summed", &duration(w.total), &format!("{} in {}", w.process, w.reason), false));
    }
    if let Some(l) = facts.device {
        let under = format!("{} – p50 {}, max {}", l.name, duration(l.p50), duration(l.max));
        out.push(tile("Slowest disk, p99", &duration(l.p99), &under, false));
    }
    if let Some(l) = facts.run_queue {
        let under = format!("waiting for a CPU: {} – p50 {}", l.name, duration(l.p50));
        out.push(tile("Run queue, p99", &duration(l.p99), &under, false));
    }
    if a.flow.packets > 0 || !a.flow.edges.is_empty() {
        let total =
            |f: fn(&coldcase_model::analysis::Edge) -> u64| a.flow.edges.iter().map(f).fold(0u64, u64::saturating_add);
        let resets = total(|e| e.resets);
        let under = format!(
            "resets · {} retransmitted · {} unanswered SYNs",
            count(total(|e| e.retransmissions)),
            count(total(|e| e.unanswered_syns))
        );
        out.push(tile("TCP trouble", &count(resets), &under, !facts.trouble.is_empty()));
    }
    let lost = a.quality.losses.iter().fold(0u64, |s, l| s.saturating_add(l.count));
    let under = match a.quality.losses.iter().max_by_key(|l| l.count).filter(|l| l.count > 0) {
        Some(l) => format!("most: {} ({})", l.source, l.reason),
        None => "no loss was counted".to_owned(),
    };
    out.push(tile("Evidence lost", &count(lost), &under, lost > 0));
    out
}
