//! Which entries are shown: those of the processes, services and traces in scope.

use coldcase_model::Boottime;
use coldcase_timeline::decode::otlp::{Resource, TraceId};
use coldcase_timeline::{Body, Entry, Packet, Scope, Selection, Timeline};

/// What must be true of an entry. What an entry does not tell is not true of it.
pub(super) struct Filter<'a> {
    timeline: &'a Timeline,
    scope: &'a Scope,
    selection: Selection<'a>,
}

impl<'a> Filter<'a> {
    pub(super) fn new(timeline: &'a Timeline, scope: &'a Scope) -> Filter<'a> {
        Filter { timeline, scope, selection: Selection::new(timeline, scope) }
    }

    pub(super) fn passes(&self, entry: &Entry) -> bool {
        if self.scope.is_all() {
            return true;
        }
        let (t, at) = (self.timeline, self.timeline.boot(entry.utc));
        match &entry.body {
            Body::Row { columns, at: row } => {
                let number = |name: &str| {
                    let value = columns.get(name).and_then(|c| c.int(*row))?;
                    u32::try_from(value).ok().filter(|&n| n != 0)
                };
                let tid = number("tid");
                let pid = number("pid").or_else(|| t.processes().pid_of(tid?, at));
                let long = u64::try_from(entry.end.0.saturating_sub(entry.utc.0)).unwrap_or(0);
                match (pid, tid) {
                    (Some(pid), Some(tid)) => self.selection.has(pid, tid, at.0, long),
                    (Some(pid), None) => self.scope.traces.is_empty() && self.scope.has_process(t, pid, at),
                    (None, _) => false,
                }
            }
            Body::Span(s) => self.sent(&s.span.resource, s.span.thread, s.span.trace, at),
            Body::Record(r) => self.sent(&r.record.resource, None, r.record.trace, at),
            Body::Metric(m) => self.sent(&m.point.resource, None, None, at),
            Body::Packet(p) => {
                let mut ends = owners(t, p, at).into_iter().flatten();
                self.scope.traces.is_empty() && ends.any(|pid| self.scope.has_process(t, pid, at))
            }
            // Whose lines a file holds is not known.
            Body::Line(l) => !self.scope.narrows_processes() && self.scope.has_trace(l.fields.trace),
            Body::Page { .. } | Body::Written { .. } => false,
        }
    }

    /// What arrived by OTLP, maybe with the thread that it is of.
    fn sent(&self, sender: &Resource, thread: Option<u32>, trace: Option<TraceId>, at: Boottime) -> bool {
        self.scope.has_trace(trace) && self.scope.has_sender(self.timeline, sender, thread, at)
    }
}

/// The processes at the sending and the receiving end of a packet.
pub(super) fn owners(t: &Timeline, p: &Packet, at: Boottime) -> [Option<u32>; 2] {
    let Some(h) = p.headers() else { return [None, None] };
    let (src, dst) = ((h.src.addr(), h.src_port), (h.dst.addr(), h.dst_port));
    let owner = |local, remote| t.sockets().owner(h.protocol, local, remote, at).map(|o| o.pid);
    [owner(src, dst), owner(dst, src)]
}
