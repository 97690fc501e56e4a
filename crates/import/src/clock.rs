//! Time in bundles that were imported: there was no host whose boot could be the origin, so BOOTTIME is UTC.

use coldcase_model::events::{Anchor, Loss};
use coldcase_model::loss::Reason;
use coldcase_model::{Boottime, Class, Columns, Event, Utc};

use crate::{Format, Imported};

/// First and last time of what was imported.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Span(Option<(Utc, Utc)>);

impl Span {
    pub(crate) fn add(&mut self, time: Utc) {
        let (first, last) = self.0.unwrap_or((time, time));
        self.0 = Some((first.min(time), last.max(time)));
    }

    pub(crate) fn ends(&self) -> Option<(Utc, Utc)> {
        self.0
    }
}

/// The BOOTTIME that stands for a UTC; what lies before 1970 is at 0.
pub(crate) fn boot(time: Utc) -> Boottime {
    Boottime(time.0.max(0) as u64)
}

/// Anchors at both ends: BOOTTIME is UTC. None when nothing was imported.
pub(crate) fn anchors(span: &Span) -> Vec<Columns> {
    let Some((first, last)) = span.ends() else { return Vec::new() };
    let anchor = |time: Utc, reason: &str| {
        let mut rows = Columns::new(&Anchor::DEF);
        Anchor {
            time: boot(time).0,
            width: 0,
            monotonic: boot(time).0,
            realtime: boot(time).0 as i64,
            tai: 0,
            ntp_state: -1,
            ntp_error: 0,
            reason: reason.to_owned(),
        }
        .push(&mut rows);
        rows
    };
    vec![anchor(first, "start"), anchor(last, "end")]
}

fn class(file: &Imported) -> Class {
    match file.format {
        Format::Pcap | Format::Pcapng => Class::Packet,
        Format::Otlp | Format::Jaeger | Format::Zipkin => Class::Otlp,
        Format::Prometheus => Class::Metric,
        Format::PerfScript | Format::Pprof | Format::Folded => Class::Sample,
        Format::JournalExport | Format::JournalFile | Format::Log => Class::Log,
    }
}

/// Rows of the ledger: what a file says was dropped, and what of it could not be read.
pub(crate) fn losses(file: &Imported, span: &Span) -> Vec<Loss> {
    let (from, to) = span.ends().unwrap_or_default();
    let row = |reason: Reason, count: u64, bytes: u64| Loss {
        time: boot(from).0,
        duration: boot(to).0.saturating_sub(boot(from).0),
        count,
        bytes,
        cpu: -1,
        source: file.stream.to_owned(),
        class: class(file).name().to_owned(),
        reason: reason.name().to_owned(),
    };
    let mut rows = Vec::new();
    if file.dropped > 0 {
        rows.push(row(Reason::PacketDrop, file.dropped, 0));
    }
    if file.problem.is_some() {
        rows.push(row(Reason::Unreadable, 1, file.bytes_lost));
    }
    rows
}
