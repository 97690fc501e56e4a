//! Which entries are shown: by process, task name, service, trace.

use std::sync::Arc;

use coldcase_model::Boottime;
use coldcase_timeline::{Body, Entry, Packet, Timeline};

/// A trace id, 32 hex digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TraceId(String);

/// Reads a trace id.
pub(crate) fn trace(text: &str) -> Result<TraceId, String> {
    match text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        true => Ok(TraceId(text.to_ascii_lowercase())),
        false => Err("a trace id has 32 hex digits".into()),
    }
}

/// What must be true of an entry. What an entry does not tell is not true of it.
pub(super) struct Filter {
    pids: Vec<u32>,
    comms: Vec<String>,
    services: Vec<String>,
    trace: Option<TraceId>,
}

/// Who an entry is about.
#[derive(Default)]
struct Who {
    pids: Vec<u32>,
    tid: Option<u32>,
    service: Option<String>,
    trace: Option<String>,
}

impl Filter {
    pub(super) fn new(
        pids: Vec<u32>,
        comms: Vec<String>,
        services: Vec<String>,
        trace: Option<TraceId>,
    ) -> Filter {
        Filter { pids, comms, services, trace }
    }

    pub(super) fn passes(&self, t: &Timeline, entry: &Entry) -> bool {
        if self.pids.is_empty() && self.comms.is_empty() && self.services.is_empty() && self.trace.is_none() {
            return true;
        }
        let at = t.boot(entry.utc);
        let who = who(t, entry, at);
        let p = t.processes();
        (self.pids.is_empty() || who.pids.iter().any(|pid| self.pids.contains(pid)))
            && (self.comms.is_empty() || {
                let named = |name: &str| self.comms.iter().any(|c| c == name);
                who.tid.is_some_and(|tid| named(p.thread(tid, at)))
                    || who.pids.iter().any(|&pid| p.get(pid, at).is_some_and(|p| named(p.comm(at))))
            })
            && (self.services.is_empty() || {
                let named = |name: &str| self.services.iter().any(|s| s == name);
                who.service.as_deref().is_some_and(named)
                    || who.pids.iter().any(|&pid| {
                        p.get(pid, at).and_then(|p| p.service.clone()).is_some_and(|s: Arc<str>| named(&s))
                    })
            })
            && self.trace.as_ref().is_none_or(|TraceId(id)| who.trace.as_ref() == Some(id))
    }
}

fn who(t: &Timeline, entry: &Entry, at: Boottime) -> Who {
    match &entry.body {
        Body::Row { columns, at: row } => {
            let number = |name: &str| {
                let value = columns.get(name).and_then(|c| c.int(*row))?;
                u32::try_from(value).ok().filter(|&n| n != 0)
            };
            let tid = number("tid");
            let pid = number("pid").or_else(|| t.processes().pid_of(tid?, at));
            Who { pids: pid.into_iter().collect(), tid, ..Who::default() }
        }
        Body::Span(s) => Who {
            pids: s.span.resource.pid.into_iter().collect(),
            tid: s.span.thread,
            service: Some(s.span.service().to_owned()),
            trace: s.span.trace.map(|t| t.to_string()),
        },
        Body::Record(r) => Who {
            pids: r.record.resource.pid.into_iter().collect(),
            service: Some(r.record.resource.service.clone()),
            trace: r.record.trace.map(|t| t.to_string()),
            tid: None,
        },
        Body::Metric(m) => Who {
            pids: m.point.resource.pid.into_iter().collect(),
            service: Some(m.point.resource.service.clone()),
            ..Who::default()
        },
        Body::Packet(p) => Who { pids: owners(t, p, at).into_iter().flatten().collect(), ..Who::default() },
        Body::Line(l) => Who { trace: l.fields.trace.map(|t| t.to_string()), ..Who::default() },
        Body::Page { .. } => Who::default(),
    }
}

/// The processes at the sending and the receiving end of a packet.
pub(super) fn owners(t: &Timeline, p: &Packet, at: Boottime) -> [Option<u32>; 2] {
    let Some(h) = p.headers() else { return [None, None] };
    let (src, dst) = ((h.src.addr(), h.src_port), (h.dst.addr(), h.dst_port));
    let owner = |local, remote| t.sockets().owner(h.protocol, local, remote, at).map(|o| o.pid);
    [owner(src, dst), owner(dst, src)]
}
