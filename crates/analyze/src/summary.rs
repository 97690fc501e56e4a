//! The sentences that say what is in a bundle: true, most important first, and no cause that was not shown.

use coldcase_model::Nanos;
use coldcase_model::events::OffCpu;
use coldcase_model::manifest::SourceStatus;
use coldcase_timeline::IntoBoot;

use crate::findings::Seen;
use crate::trend;
use crate::wording::{count, grouped, since};

/// Fewest spans of a name that can be the slowest.
const ENOUGH: u64 = 20;

/// The sentences.
pub(crate) fn sentences(seen: &Seen<'_>) -> Vec<String> {
    let mut out = Vec::new();
    out.extend(slowest_span(seen));
    out.extend(together(seen));
    out.extend(top_wait(seen));
    out.extend(run_queue(seen));
    out.extend(block(seen));
    out.extend(errors(seen));
    out.extend(flow(seen));
    out.push(loss(seen));
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
        out.push_str(&format!(
            "; {} its p99 is {}, before it was {} (p50 {}, was {})",
            since(seen.timeline, c.time),
            Nanos(c.p99.1),
            Nanos(c.p99.0),
            Nanos(c.p50.1),
            Nanos(c.p50.0)
        ));
    }
    out.push('.');
    Some(out)
}

/// What grew when the span became slow: the waits and the CPU use that grew most.
fn together(seen: &Seen<'_>) -> Option<String> {
    seen.trouble?;
    let mut parts: Vec<String> = trend::grown_waits(seen)
        .iter()
        .take(2)
        .map(|grown| {
            let reason = grown.reason.name(seen.arch);
            let top = seen.wait_rows.iter().find(|w| w.process == grown.process && w.reason == reason);
            let function = top.and_then(|w| function(seen, w.evidence.first()?.row, &reason));
            let under = function.map(|f| format!(", the longest under {f}")).unwrap_or_default();
            format!(
                "threads of {} waited {} per second in {reason} (before: {}){under}",
                grown.process,
                Nanos(grown.rates.after),
                Nanos(grown.rates.before)
            )
        })
        .collect();
    if let Some((process, milli)) = trend::grown_cpu(seen).first() {
        let (before, after) = (milli.before as f64 / 1e3, milli.after as f64 / 1e3);
        parts.push(format!("{process} was sampled on the CPU {after:.0} times per second (before: {before:.0})"));
    }
    if parts.is_empty() {
        return Some("No wait and no CPU use grew with it: no cause found.".to_owned());
    }
    Some(format!("When it became slow, {}. This came together; what caused what is not shown.", parts.join("; ")))
}

fn top_wait(seen: &Seen<'_>) -> Option<String> {
    let mut busy = seen.wait_rows.iter().filter(|w| !w.idle && w.reason != "run queue");
    let of_service = busy.clone().find(|w| seen.services.contains(&w.process));
    let whose = if of_service.is_some() { " of the services" } else { "" };
    let top = of_service.or_else(|| busy.next())?;
    let function = top.evidence.first().and_then(|e| function(seen, e.row, &top.reason));
    let under = function.map(|f| format!(", the longest under {f}")).unwrap_or_default();
    Some(format!(
        "Most time off the CPU{whose}, waits for work left out: {} in {}, {} in {} (longest {}){under}.",
        top.process,
        top.reason,
        Nanos(top.total),
        count(top.count, "wait"),
        Nanos(top.max)
    ))
}

/// The program's own function nearest to where a thread waited, by the row of its interval; none when the stack says
/// no more than the reason does.
fn function(seen: &Seen<'_>, row: u64, reason: &str) -> Option<String> {
    let t = seen.timeline;
    let part = t.rows::<OffCpu>().find(|p| !p.is_empty() && p.row(0) <= row && row <= p.row(p.len() - 1))?;
    let i = (0..part.len()).find(|&i| part.row(i) == row)?;
    let (pid, at) = (part.cols.pid[i], part.cols.time[i].into_boot());
    let stack = t.symbols().stack(pid, at, &[], part.cols.user_stack.get(i));
    let exe = t.processes().get(pid, at).map(|p| p.exe.rsplit('/').next().unwrap_or_default().to_owned());
    let library = |name: &str| ["std::", "core::", "alloc::", "<"].iter().any(|p| name.starts_with(p));
    let own = |f: &&coldcase_timeline::Frame| exe.as_deref() == Some(&*f.module) && !library(&f.name);
    let mut named = stack.iter().filter(|f| f.named && !f.name.trim_start_matches('_').ends_with(reason));
    let function = named.clone().find(own).or_else(|| named.next())?;
    Some(function.name.to_string())
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
        l.errors.filter(|&e| e > 0).map(|e| format!(", {} failed", grouped(e))).unwrap_or_default()
    ))
}

fn errors(seen: &Seen<'_>) -> Option<String> {
    let all: u64 = seen.spans.iter().map(|s| s.latency.count).sum();
    let failed: u64 = seen.spans.iter().filter_map(|s| s.latency.errors).sum();
    if failed == 0 {
        return (all > 0).then(|| format!("None of {} failed.", count(all, "span")));
    }
    let most = seen.spans.iter().max_by_key(|s| (s.latency.errors, std::cmp::Reverse(&s.latency.name)))?;
    Some(format!(
        "{} of {} failed, most of them {} ({}).",
        grouped(failed),
        count(all, "span"),
        most.latency.name,
        grouped(most.latency.errors.unwrap_or(0))
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
        troubles.push(format!("{} reset", grouped(reset)));
    }
    if syns > 0 {
        troubles.push(format!("{} without an answer", count(syns, "SYN")));
    }
    if again > 0 || kernel.is_some_and(|k| k > 0) {
        let kernel = kernel.map(|k| format!(" (the kernel says {})", grouped(k))).unwrap_or_default();
        troubles.push(format!("{} sent again{kernel}", count(again, "segment")));
    }
    let what = if troubles.is_empty() {
        "none was reset, none sent segments again, every SYN was answered".to_owned()
    } else {
        troubles.join(", ")
    };
    Some(format!("Of {} in {}: {what}.", count(f.connections.len() as u64, "connection"), count(f.packets, "packet")))
}

fn loss(seen: &Seen<'_>) -> String {
    let losses = &seen.quality.losses;
    let lost: Vec<String> = losses
        .iter()
        .filter(|l| l.count > 0 || l.bytes > 0)
        .map(|l| format!("{} of {} ({})", grouped(l.count), l.source, l.reason))
        .collect();
    match (lost.is_empty(), losses.len()) {
        (true, 0) => "Whether evidence was lost is not known: the ledger has no rows.".to_owned(),
        (true, watched) => format!("Nothing was lost: {} watched, all zero.", count(watched as u64, "counter")),
        (false, _) => format!("Evidence was lost: {}.", lost.join(", ")),
    }
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
