//! `--trace`: what belongs to the traces that were asked for, and how each entry was joined to them.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use coldcase_analyze::{Joined, Options, Part, TraceViews, joined_logs};
use coldcase_model::analysis::{Analysis, SeenRequest, TraceView};
use coldcase_model::text::visible;
use coldcase_model::{Nanos, Utc};
use coldcase_timeline::{Binder, Packet, Scope, Timeline, When, span_ends};

use crate::exit::Failure;
use crate::reading::failure;

/// Both ends of a connection, the lesser first.
type Ends = (SocketAddr, SocketAddr);

/// What was joined to the traces beside spans and the work of their threads.
pub(crate) struct OfTrace {
    logs: Joined,
    /// When packets of a connection are those of the traces, and how that is known.
    connections: HashMap<Ends, Vec<(i64, i64, &'static str)>>,
    /// Requests of the traces, in the order of time.
    pub(super) requests: Vec<Request>,
    /// What is known of the senders' clocks, in sentences, where one of them is off: times are shown as sent.
    pub(super) clocks: Vec<String>,
}

/// A request on a connection, as a line.
pub(super) struct Request {
    pub(super) utc: Utc,
    pub(super) end: Utc,
    pub(super) text: String,
    pub(super) how: String,
    pub(super) seen: SeenRequest,
}

impl OfTrace {
    /// Of a bundle. `timeline` holds its spans and logs; packets are read for the requests in them.
    pub(crate) fn new(
        timeline: &Timeline,
        scope: &Scope,
        [from, to]: [Option<When>; 2],
        threads: Option<usize>,
    ) -> Result<OfTrace, Failure> {
        let mut out = OfTrace {
            logs: joined_logs(timeline, &scope.traces),
            connections: HashMap::new(),
            requests: Vec::new(),
            clocks: Vec::new(),
        };
        out.by_spans(timeline, scope);
        let has_packets = timeline.bundle().streams().iter().any(|s| &*s.name == "packets");
        let parts = if has_packets { vec![Part::Trace, Part::Flow] } else { vec![Part::Trace] };
        let trace_views = TraceViews::These(scope.traces.clone());
        let options = Options { parts, from, to, threads, trace_views, ..Options::default() };
        let path: &Path = timeline.bundle().path();
        let analysis = coldcase_analyze::analyze(path, &options).map_err(failure)?;
        out.by_requests(&analysis, scope);
        let skewed = |v: &&TraceView| v.clocks.iter().any(|c| c.offset != 0);
        out.clocks = analysis.traces.views.iter().filter(skewed).flat_map(coldcase_report::trace_clocks).collect();
        Ok(out)
    }

    /// Connections that spans tell both ends of, where one of these is known to be on this host.
    fn by_spans(&mut self, t: &Timeline, scope: &Scope) {
        let binder = Binder::new(t);
        for s in t.spans().iter().map(|s| &s.span).filter(|s| scope.has_trace(s.trace)) {
            let Some((local, remote)) = span_ends(s) else { continue };
            if binder.bind(s).pid().is_some() {
                self.connections.entry(ends(local, remote)).or_default().push((s.start, s.end, "5-tuple of the span"));
            }
        }
    }

    fn by_requests(&mut self, a: &Analysis, scope: &Scope) {
        for r in &a.flow.requests {
            let Some(span) = r.span.as_ref().filter(|s| is_wanted(scope, &s.trace)) else { continue };
            let Some(c) = a.flow.connections.get(r.connection) else { continue };
            let how = if span.how == "traceparent" { "traceparent" } else { "inferred" };
            let end = r.start.saturating_add(r.duration.and_then(|d| i64::try_from(d).ok()).unwrap_or(0));
            if let (Ok(x), Ok(y)) = (c.a.parse::<SocketAddr>(), c.b.parse::<SocketAddr>()) {
                let key = ends((x.ip(), x.port()), (y.ip(), y.port()));
                self.connections.entry(key).or_default().push((r.start, end, how));
            }
            let what = if r.detail.is_empty() { &r.key } else { &r.detail };
            let took = r.duration.map_or_else(|| "no answer".to_owned(), |d| Nanos(d).to_string());
            let side = |end: &str, process: &Option<String>| match process {
                Some(p) => format!("{p} {end}"),
                None => end.to_owned(),
            };
            let (from, to) = (side(&c.a, &c.process_a), side(&c.b, &c.process_b));
            let text = format!("REQUEST {} {what} {} {took} ({from} > {to})", r.protocol, r.outcome);
            self.requests.push(Request {
                utc: Utc(r.start),
                end: Utc(end),
                text: visible(&text).into_owned(),
                how: how.to_owned(),
                seen: r.clone(),
            });
        }
        self.requests.sort_by_key(|r| (r.utc, r.seen.number));
    }

    /// How a log line or record was joined; `None` where it is not of the traces.
    pub(super) fn log(&self, stream: &str, row: u64, index: u32) -> Option<&'static str> {
        self.logs.get(&(stream.to_owned(), row, index)).copied()
    }

    /// How a packet was joined.
    pub(super) fn packet(&self, p: &Packet) -> Option<&'static str> {
        let h = p.headers()?;
        let key = ends((h.src.addr(), h.src_port), (h.dst.addr(), h.dst_port));
        let when = self.connections.get(&key)?;
        when.iter().find(|(from, to, _)| (*from..=*to).contains(&p.utc.0)).map(|w| w.2)
    }
}

fn is_wanted(scope: &Scope, trace: &str) -> bool {
    scope.traces.iter().any(|t| t.eq_ignore_ascii_case(trace))
}

fn ends(a: (IpAddr, u16), b: (IpAddr, u16)) -> Ends {
    let (a, b) = (SocketAddr::from(a), SocketAddr::from(b));
    if a <= b { (a, b) } else { (b, a) }
}
