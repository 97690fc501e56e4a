//! The sentences that say what is in a bundle: true, most important first, and no cause that was not shown.

use coldcase_decode::otlp::SpanStatus;
use coldcase_model::Nanos;
use coldcase_model::analysis::Wait;
use coldcase_model::events::OffCpu;
use coldcase_model::manifest::SourceStatus;
use coldcase_model::quantity::format_count;
use coldcase_timeline::IntoBoot;

use crate::findings::Seen;
use crate::functions::own_function;
use crate::latency::offcpu::Reason;
use crate::trend::{self, GrownCpu, GrownWait};
use crate::wording::{count, offset, since};

/// Fewest spans of a name that can be the slowest.
const ENOUGH: u64 = 20;

/// The sentences.
pub(crate) fn sentences(seen: &Seen<'_>) -> Vec<String> {
    let mut out = Vec::new();
    let failures = failing(seen);
    if failures {
        out.extend(errors(seen));
        out.extend(flow(seen));
    }
    out.extend(slowest_span(seen));
    out.extend(together(seen));
    out.extend(top_wait(seen));
    if !failures {
        out.extend(errors(seen));
        out.extend(flow(seen));
    }
    out.push(loss(seen));
    out.extend(left_out(seen));
    out.extend(run_queue(seen));
    out.extend(block(seen));
    out.extend(skipped(seen));
    out
}

fn slowest_span(seen: &Seen<'_>) -> Option<String> {
    let often = seen.spans.iter().find(|s| s.latency.count >= ENOUGH);
    let s = often.or_else(|| seen.spans.first())?;
    let l = &s.latency;
    let mut out = format!(
        "Slowest span: {}, p99 {} against p50 {} ({})",
        l.name,
        Nanos(l.p99),
        Nanos(l.p50),
        count(l.count, "span")
    );
    if let Some(c) = s.change.filter(|c| c.slower()) {
        let tail = format!("p99 is {}, before it was {}", Nanos(c.p99.1), Nanos(c.p99.0));
        let middle = format!("p50 is {}, before it was {}", Nanos(c.p50.1), Nanos(c.p50.0));
        let since = since(seen.timeline, c.time);
        let median_first = c.p50.1 as f64 / c.p50.0.max(1) as f64 > c.growth();
        let (first, second) = if median_first { (middle, tail) } else { (tail, middle) };
        out.push_str(&format!("; {since} its {first}, and its {second}"));
    }
    out.push('.');
    Some(out)
}

/// What grew when the span became slow: the waits and the CPU use that grew most.
fn together(seen: &Seen<'_>) -> Option<String> {
    let trouble = seen.trouble?;
    // What a service does itself, before what it queues for and what reaches it from elsewhere.
    let waits = trend::grown_waits(seen);
    let own = |w: &&GrownWait| w.reason != Reason::RunQueue && !w.reason.is_on_peer(seen.arch);
    let mut parts: Vec<String> = waits.iter().filter(own).take(2).map(|w| grown_wait(seen, w)).collect();
    let cpu = trend::grown_cpu(seen).first().map(|grown| (seen.is_service(&grown.process), grown_cpu(grown)));
    parts.extend(cpu.iter().filter(|c| c.0).map(|c| c.1.clone()));
    let room = 3usize.saturating_sub(parts.len());
    parts.extend(waits.iter().filter(|w| !own(w)).take(room).map(|w| grown_wait(seen, w)));
    parts.extend(cpu.iter().filter(|c| !c.0).map(|c| c.1.clone()));
    let when = format!("When {} became slow, {}", trouble.span, since(seen.timeline, trouble.change.time));
    let recorded = |stream: &str| seen.timeline.bundle().streams().iter().any(|s| &*s.name == stream && s.events > 0);
    if parts.is_empty() && !recorded("kernel.offcpu") && !recorded("kernel.cpu_sample") {
        return Some(format!("{when}, what the services waited for and computed was not recorded."));
    }
    if parts.is_empty() {
        return Some(format!("{when}, no wait and no CPU use of the services grew: no cause found."));
    }
    Some(format!("{when}: {}. This came together; what caused what is not shown.", parts.join("; ")))
}

fn grown_cpu(grown: &GrownCpu) -> String {
    let (before, after) = (grown.milli.before as f64 / 1e3, grown.milli.after as f64 / 1e3);
    let mostly = grown.function.as_ref().map(|f| format!(", mostly in {f}")).unwrap_or_default();
    format!("{} was sampled on the CPU {after:.0} times per second (before: {before:.0}){mostly}", grown.process)
}

fn grown_wait(seen: &Seen<'_>, grown: &GrownWait) -> String {
    let reason = grown.reason.name(seen.arch);
    let (after, before) = (Nanos(grown.rates.after), Nanos(grown.rates.before));
    let process = &grown.process;
    match &grown.function {
        Some(f) if grown.alone => {
            format!("threads of {process} waited {after} per second in {reason} under {f} (before: {before})")
        }
        Some(f) => {
            format!("threads of {process} waited {after} per second in {reason} (before: {before}), mostly under {f}")
        }
        None => format!("threads of {process} waited {after} per second in {reason} (before: {before})"),
    }
}

fn top_wait(seen: &Seen<'_>) -> Option<String> {
    // Waits for a device or a lock before waits on peers, which pass on what happens elsewhere.
    let own = |w: &&Wait| !seen.services.is_empty() && seen.services.contains(&w.process);
    let peer = |w: &&Wait| PEER.iter().any(|p| w.reason.starts_with(p));
    let busy = || seen.wait_rows.iter().filter(|w| !w.idle && w.reason != "run queue");
    let of_service = busy().filter(own).find(|w| !peer(w)).or_else(|| busy().find(own));
    let whose = if of_service.is_some() { " of the services" } else { "" };
    let top = of_service.or_else(|| busy().next())?;
    let function = top.evidence.first().and_then(|e| function(seen, e.row, &top.reason));
    let under = function.map(|f| format!(", the longest under {f}")).unwrap_or_default();
    Some(format!(
        "Most time off the CPU{whose}, waits for work and peers left out: {} in {}, {} in {} (longest {}){under}.",
        top.process,
        top.reason,
        Nanos(top.total),
        count(top.count, "wait"),
        Nanos(top.max)
    ))
}

/// How the names of system calls begin that wait on a socket or pipe.
const PEER: [&str; 8] = ["recv", "read", "poll", "ppoll", "epoll", "select", "pselect", "accept"];

/// The program's function in which the wait of a row was.
fn function(seen: &Seen<'_>, row: u64, reason: &str) -> Option<String> {
    let part =
        seen.timeline.rows::<OffCpu>().find(|p| !p.is_empty() && p.row(0) <= row && row <= p.row(p.len() - 1))?;
    let i = (0..part.len()).find(|&i| part.row(i) == row)?;
    own_function(seen.timeline, part.cols.pid[i], part.cols.time[i].into_boot(), part.cols.user_stack.get(i), reason)
}

fn run_queue(seen: &Seen<'_>) -> Option<String> {
    let queued = || seen.wait_rows.iter().filter(|w| w.reason == "run queue");
    let total: u64 = queued().map(|w| w.total).sum();
    let top = queued().next()?;
    Some(format!(
        "Threads waited {} for a CPU, most of all {} ({}, longest {}).",
        Nanos(total),
        top.process,
        Nanos(top.total),
        Nanos(top.max)
    ))
}

fn block(seen: &Seen<'_>) -> Option<String> {
    let slowest = seen.blocks.iter().filter(|l| l.count >= ENOUGH).max_by_key(|l| (l.p99, std::cmp::Reverse(&l.name)));
    let l = slowest.or_else(|| seen.blocks.first())?;
    Some(format!(
        "Slowest block device: {}, p99 {} against p50 {} ({}{}).",
        l.name,
        Nanos(l.p99),
        Nanos(l.p50),
        count(l.count, "request"),
        l.errors.filter(|&e| e > 0).map(|e| format!(", {} failed", format_count(e))).unwrap_or_default()
    ))
}

/// Whether so many spans failed (one in a hundred) that it is the first thing to say.
fn failing(seen: &Seen<'_>) -> bool {
    let all: u64 = seen.spans.iter().map(|s| s.latency.count).sum();
    let failed: u64 = seen.spans.iter().filter_map(|s| s.latency.errors).sum();
    failed > 0 && failed.saturating_mul(100) >= all
}

fn errors(seen: &Seen<'_>) -> Option<String> {
    let all: u64 = seen.spans.iter().map(|s| s.latency.count).sum();
    let failed: u64 = seen.spans.iter().filter_map(|s| s.latency.errors).sum();
    if failed == 0 {
        return (all > 0).then(|| format!("None of {} failed.", count(all, "span")));
    }
    let most = seen.spans.iter().max_by_key(|s| (s.latency.errors, std::cmp::Reverse(&s.latency.name)))?;
    let t = seen.timeline;
    let ends = t.spans().iter().filter(|r| r.span.status == SpanStatus::Error && r.span.start > 0).map(|r| r.span.end);
    let first = ends.min().map(|e| format!(", the first at {}", offset(t.start(), e))).unwrap_or_default();
    Some(format!(
        "{} of {} failed, most of them {} ({}){first}.",
        format_count(failed),
        count(all, "span"),
        most.latency.name,
        format_count(most.latency.errors.unwrap_or(0))
    ))
}

fn flow(seen: &Seen<'_>) -> Option<String> {
    let f = seen.flow;
    if f.packets == 0 {
        return None;
    }
    let tcp: Vec<_> = f.connections.iter().filter_map(|c| c.tcp.as_ref()).collect();
    let sum = |of: fn(&coldcase_model::analysis::TcpFacts) -> u64| tcp.iter().map(|t| of(t)).sum::<u64>();
    let reset = tcp.iter().filter(|t| t.resets > 0).count() as u64;
    let (again, syns) = (sum(|t| t.retransmissions), sum(|t| t.unanswered_syns));
    let kernel: Option<u64> = tcp.iter().map(|t| t.kernel_retransmissions).sum();
    let mut troubles = Vec::new();
    if reset > 0 {
        troubles.push(format!("{} reset", format_count(reset)));
    }
    if syns > 0 {
        troubles.push(format!("{} without an answer", count(syns, "SYN")));
    }
    if again > 0 || kernel.is_some_and(|k| k > 0) {
        let kernel = kernel.map(|k| format!(" (the kernel says {})", format_count(k))).unwrap_or_default();
        troubles.push(format!("{} sent again{kernel}", count(again, "segment")));
    }
    let what = if troubles.is_empty() {
        "none was reset, none sent segments again, every SYN was answered".to_owned()
    } else {
        troubles.join(", ")
    };
    Some(format!("Of {} in {}: {what}.", count(f.connections.len() as u64, "connection"), count(f.packets, "packet")))
}

fn left_out(seen: &Seen<'_>) -> Option<String> {
    let n = seen.quality.spans_left_out;
    let (is, have) =
        if n == 1 { ("is", "it has no start, or an end") } else { ("are", "they have no start, or an end") };
    (n > 0).then(|| format!("{} {is} in no figure: {have} before it.", count(n, "span")))
}

fn loss(seen: &Seen<'_>) -> String {
    let losses = &seen.quality.losses;
    let lost: Vec<String> = losses
        .iter()
        .filter(|l| l.count > 0 || l.bytes > 0)
        .map(|l| format!("{} of {} ({})", format_count(l.count), l.source, l.reason))
        .collect();
    let counted = match (lost.is_empty(), losses.len()) {
        (true, 0) => "Whether evidence was lost is not known: the ledger has no rows.".to_owned(),
        (true, watched) if whole(seen) => {
            format!("Nothing was lost: {} watched, all zero.", count(watched as u64, "counter"))
        }
        (true, watched) => format!("No loss was counted: {} watched, all zero.", count(watched as u64, "counter")),
        (false, _) => format!("Evidence was lost: {}.", lost.join(", ")),
    };
    // What the recorder counted says nothing of what happened to its file.
    match (seen.quality.problems.len(), seen.timeline.bundle().complete()) {
        (0, true) => counted,
        (0, false) => format!("The bundle was never sealed: its last seconds may be missing. {counted}"),
        (n, _) => format!("Part of the bundle could not be read ({}). {counted}", count(n as u64, "place")),
    }
}

/// Whether all that was written is there and could be read.
fn whole(seen: &Seen<'_>) -> bool {
    seen.timeline.bundle().complete() && seen.quality.problems.is_empty()
}

fn skipped(seen: &Seen<'_>) -> Option<String> {
    let names = |status| {
        let of = seen.quality.sources.iter().filter(move |s| s.status == status);
        of.map(|s| s.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let (skipped, failed) = (names(SourceStatus::Skipped), names(SourceStatus::Failed));
    match (skipped.is_empty(), failed.is_empty()) {
        (true, true) => None,
        (false, true) => Some(format!("Not recorded: {skipped}.")),
        (true, false) => Some(format!("Ended before the recording did: {failed}.")),
        (false, false) => Some(format!("Not recorded: {skipped}; ended before the recording did: {failed}.")),
    }
}
