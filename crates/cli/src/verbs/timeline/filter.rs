//! Which entries are shown: those of the processes, services and traces in scope.

use coldcase_model::Boottime;
use coldcase_timeline::decode::otlp::{Resource, TraceId};
use coldcase_timeline::{Body, Entry, Packet, Scope, Selection, Timeline};

use super::of_trace::OfTrace;

/// What must be true of an entry. What an entry does not tell is not true of it.
pub(crate) struct Filter<'a> {
    timeline: &'a Timeline,
    scope: &'a Scope,
    selection: Selection<'a>,
    /// What was joined to the traces in scope, where there are any.
    of_trace: Option<&'a OfTrace>,
}

/// Why an entry is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Nothing leaves it out.
    InScope,
    /// It was joined to a trace, in this way.
    Joined(&'static str),
}

impl<'a> Filter<'a> {
    pub(crate) fn new(timeline: &'a Timeline, scope: &'a Scope, of_trace: Option<&'a OfTrace>) -> Filter<'a> {
        Filter { timeline, scope, selection: Selection::new(timeline, scope), of_trace }
    }

    /// Whether an entry is shown, and why.
    pub(crate) fn passes(&self, entry: &Entry) -> Option<Shown> {
        if self.scope.is_all() {
            return Some(Shown::InScope);
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
                    (Some(pid), Some(tid)) if self.selection.has(pid, tid, at.0, long) => {
                        let joined = self.selection.of_trace(tid, at.0, long);
                        Some(joined.map_or(Shown::InScope, |tier| Shown::Joined(tier.name())))
                    }
                    (Some(pid), None) => self.plain(self.scope.has_process(t, pid, at)),
                    _ => None,
                }
            }
            Body::Span(s) => self.sent(&s.span.resource, s.span.thread, at, || self.by_id(s.span.trace)),
            Body::Record(r) => {
                let r = r.as_ref();
                self.sent(&r.record.resource, None, at, || self.log(entry))
            }
            Body::Metric(m) => self.sent(&m.point.resource, None, at, || self.by_id(None)),
            Body::Packet(p) => {
                let in_scope = || {
                    let mut ends = owners(t, p, at).into_iter().flatten();
                    ends.any(|pid| self.scope.has_process(t, pid, at))
                };
                match self.of_trace {
                    Some(of) => {
                        of.packet(p).filter(|_| !self.scope.narrows_processes() || in_scope()).map(Shown::Joined)
                    }
                    None => self.plain(in_scope()),
                }
            }
            // Whose lines a file holds is not known.
            Body::Line(_) if self.scope.narrows_processes() => None,
            Body::Line(_) => self.log(entry),
            Body::Page { .. } | Body::Written { .. } => None,
        }
    }

    /// Of what cannot be joined to a trace.
    fn plain(&self, passes: bool) -> Option<Shown> {
        (passes && self.scope.traces.is_empty()).then_some(Shown::InScope)
    }

    fn by_id(&self, trace: Option<TraceId>) -> Option<Shown> {
        let how = if self.scope.traces.is_empty() { Shown::InScope } else { Shown::Joined("trace id") };
        self.scope.has_trace(trace).then_some(how)
    }

    fn log(&self, entry: &Entry) -> Option<Shown> {
        match self.of_trace {
            Some(of) => of.log(&entry.stream, entry.row, entry.index).map(Shown::Joined),
            None => Some(Shown::InScope),
        }
    }

    /// What arrived by OTLP, maybe with the thread that it is of.
    fn sent(
        &self,
        sender: &Resource,
        thread: Option<u32>,
        at: Boottime,
        joined: impl FnOnce() -> Option<Shown>,
    ) -> Option<Shown> {
        joined().filter(|_| self.scope.has_sender(self.timeline, sender, thread, at))
    }
}

/// The processes at the sending and the receiving end of a packet.
pub(super) fn owners(t: &Timeline, p: &Packet, at: Boottime) -> [Option<u32>; 2] {
    let Some(h) = p.headers() else { return [None, None] };
    let (src, dst) = ((h.src.addr(), h.src_port), (h.dst.addr(), h.dst_port));
    let owner = |local, remote| t.sockets().owner(h.protocol, local, remote, at).map(|o| o.pid);
    [owner(src, dst), owner(dst, src)]
}
