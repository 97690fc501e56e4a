//! What of a replay is worth a line in the view: what was logged, and what waited long, was lost, refused or failed.

use coldcase_model::{Event, events};
use coldcase_timeline::decode::log::Severity;
use coldcase_timeline::decode::otlp::SpanStatus;
use coldcase_timeline::{Awaited, Body, Entry, FutexWait};

use super::model::Sort;

/// A wait of a thread or a request to a disk is told from this length on, in nanoseconds.
const LONG: u64 = 10_000_000;
/// TASK_UNINTERRUPTIBLE.
const UNINTERRUPTIBLE: u32 = 2;
/// Bit 1 of an off-CPU interval: a kernel thread.
const KERNEL_THREAD: u32 = 2;

/// What sort of thing an entry is, if it is shown.
pub(super) fn choose(entry: &Entry, arch: &str) -> Option<Sort> {
    match &entry.body {
        Body::Line(l) => Some(of(l.fields.severity)),
        Body::Record(r) => Some(of(r.record.severity)),
        Body::Span(s) => (s.span.status == SpanStatus::Error).then_some(Sort::Error),
        Body::Row { columns, at } => match &*entry.stream {
            s if s == events::OffCpu::DEF.stream => {
                let c = events::OffCpu::cols(columns).ok()?;
                waited(&c, *at, arch).then_some(Sort::Wait)
            }
            s if s == events::BlockIo::DEF.stream => {
                (entry.end.0.saturating_sub(entry.utc.0) >= LONG as i64).then_some(Sort::Disk)
            }
            s if [events::TcpRetransmit::DEF.stream, events::TcpReset::DEF.stream, events::PacketDrop::DEF.stream]
                .contains(&s) =>
            {
                Some(Sort::Network)
            }
            s if [events::OomKill::DEF.stream, events::Mark::DEF.stream, events::Loss::DEF.stream].contains(&s) => {
                Some(Sort::Event)
            }
            _ => None,
        },
        _ => None,
    }
}

fn of(severity: Option<Severity>) -> Sort {
    match severity {
        Some(Severity::Error | Severity::Fatal) => Sort::Error,
        _ => Sort::Log,
    }
}

/// Whether a thread was kept from its work: no CPU, a disk, a lock. That it slept until there was something to do is not told.
fn waited(c: &<events::OffCpu as Event>::Cols<'_>, i: usize, arch: &str) -> bool {
    if c.duration[i] < LONG || c.flags[i] & KERNEL_THREAD != 0 {
        return false;
    }
    let lock = || FutexWait::of(c, i, arch).is_some_and(|wait| wait.awaited == Awaited::Mutex);
    c.run_queue[i] >= LONG || c.state[i] & UNINTERRUPTIBLE != 0 || lock()
}
