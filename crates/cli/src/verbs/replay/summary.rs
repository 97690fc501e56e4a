//! The summary of a replay: text on stderr, or one document.

use std::fmt::Write;

use coldcase_model::Nanos;
use coldcase_model::quantity::{format_count, format_size};
use coldcase_replay::{SinkReport, Summary};
use coldcase_timeline::Timeline;
use serde_json::{Value, json};

use super::play::Args;
use crate::args::rfc3339;
use crate::exit::Failure;
use crate::out::Out;

/// Prints it.
pub(super) fn print(t: &Timeline, args: &Args, s: &Summary, out: &Out) -> Result<(), Failure> {
    if out.json {
        return out.document(&document(t, args, s));
    }
    out.remark(&text(s));
    Ok(())
}

fn document(t: &Timeline, args: &Args, s: &Summary) -> Value {
    let timing = &s.timing;
    let buckets = timing.buckets().into_iter().map(|(up_to, events)| json!({ "up_to": up_to, "events": events }));
    let problems = t.problems().iter().chain(&s.problems);
    json!({
        "schema": { "name": "coldcase.replay", "version": 1 },
        "bundle": t.bundle().id(),
        "file": t.bundle().path(),
        "window": { "from": s.window.0.0, "to": s.window.1.0 },
        "speed": s.speed.to_string(),
        "marked": !args.no_mark,
        "new_ids": args.new_ids.is_some(),
        "rounds": s.rounds,
        "offsets": s.offsets,
        "interrupted": s.interrupted,
        "elapsed": u64::try_from(s.elapsed.as_nanos()).unwrap_or(u64::MAX),
        "events": s.events(),
        "streams": s.streams.iter().map(|(name, events)| json!({ "name": name, "events": events })).collect::<Vec<_>>(),
        "timing": {
            "events": timing.events(),
            "p50": timing.quantile(0.5),
            "p99": timing.quantile(0.99),
            "max": timing.max(),
            "histogram": buckets.collect::<Vec<_>>(),
        },
        "outputs": s.sinks,
        "problems": problems.collect::<Vec<_>>(),
    })
}

fn text(s: &Summary) -> String {
    let mut out = String::new();
    let ended = if s.interrupted { ", ended before its end" } else { "" };
    let elapsed = Nanos(u64::try_from(s.elapsed.as_nanos()).unwrap_or(u64::MAX));
    let rounds = if s.rounds > 1 { format!(" in {} rounds", s.rounds) } else { String::new() };
    _ = writeln!(out, "replayed {} events{rounds} in {elapsed} at speed {}{ended}", format_count(s.events()), s.speed);
    if s.events() == 0 && !s.interrupted {
        _ = writeln!(out, "note: in this window and these streams there is nothing for these outputs");
    }
    if let (Some(first), true) = (s.offsets.first(), s.offsets.iter().any(|o| o.0 != 0)) {
        _ = writeln!(out, "  the start became {}", rfc3339(first.utc(s.window.0), 3));
    }
    for (stream, events) in &s.streams {
        _ = writeln!(out, "  {stream:<28} {:>12}", format_count(*events));
    }
    if s.timing.events() > 0 {
        let at = |share| Nanos(s.timing.quantile(share));
        _ = writeln!(out, "  late by {} at p50, {} at p99, {} at most", at(0.5), at(0.99), Nanos(s.timing.max()));
    }
    s.sinks.iter().for_each(|sink| report(sink, &mut out));
    out
}

fn report(r: &SinkReport, out: &mut String) {
    _ = write!(out, "  {} {}: {} {}, {}", r.sink, r.to, format_count(r.sent), r.unit, format_size(r.bytes));
    for (count, what) in [
        (r.retries, "sent again"),
        (r.rejected, "refused"),
        (r.partly_rejected, "items left out by the receiver"),
        (r.not_sent, "not sent"),
        (r.unsupported, "that it cannot carry"),
        (r.enriched, "spans enriched"),
    ] {
        if count > 0 {
            _ = write!(out, ", {} {what}", format_count(count));
        }
    }
    out.push('\n');
    for why in &r.reasons {
        _ = writeln!(out, "    {why}");
    }
}
