//! Evidence of the kernel and of the network, added to spans that go out: what the thread of a span waited for while it ran, and how its request
//! went on the wire, as attributes and span events that any viewer of traces shows.
//!
//! Rows of the kernel come by in the order in which they happened, and a request that carries spans comes after these ended: so the rows of late
//! are held, a bounded number of them, and looked through when spans come. Memory does not grow with the recording, but for the requests that
//! packets show: those are known from the beginning.

mod held;
mod on_wire;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use coldcase_analyze::waits::{RUN_QUEUE, wait};
use coldcase_decode::otlp::Span;
use coldcase_model::catalogue::SPAN_STREAMS;
use coldcase_model::events::OffCpu;
use coldcase_model::{Boottime, Column, Event as _};
use coldcase_timeline::{Binder, Body, Entry, Merge, StreamSet, Timeline, span_ends};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1;
use prost::Message as _;

use crate::message::Message;
use crate::otlp::proto::attribute;
use crate::shift::Offset;
use crate::sink::Round;
use held::{Held, Of, Seen};
pub use on_wire::OnWire;

/// Streams whose rows are of the thread that they name.
const OF_THREADS: [&str; 10] = [
    "kernel.offcpu",
    "kernel.block",
    "kernel.file",
    "kernel.lock",
    "kernel.major_fault",
    "kernel.reclaim",
    "kernel.syscall",
    "kernel.tls",
    "kernel.statement",
    "kernel.name_lookup",
];
/// Streams whose rows are of a connection.
const OF_CONNECTIONS: [&str; 2] = ["kernel.tcp_retransmit", "kernel.tcp_reset"];
/// Events that a span gets, at most: the longest.
const EVENTS: usize = 32;
/// Bytes of a line that are kept: statements may be long.
const LINE: usize = 1_024;

/// Writes the line of an entry.
pub type Line<'a> = Box<dyn Fn(&Timeline, &Entry, &mut String) + 'a>;

/// Finds what the kernel and the network tell of spans.
pub struct Enricher<'a> {
    timeline: &'a Timeline,
    binder: Binder<'a>,
    messages: Merge<'a>,
    line: Line<'a>,
    on_wire: OnWire,
    held: Held,
    /// When the last row began.
    last: i64,
    /// Spans that something was added to.
    pub(crate) enriched: u64,
    /// Spans that began before the oldest row that is held.
    pub(crate) beyond: u64,
}

impl<'a> Enricher<'a> {
    /// Of a timeline. `line` writes the lines of rows.
    pub fn new(timeline: &'a Timeline, on_wire: OnWire, line: Line<'a>) -> Enricher<'a> {
        let streams = StreamSet::Exact(SPAN_STREAMS.iter().map(|s| (*s).to_owned()).collect());
        Enricher {
            timeline,
            binder: Binder::new(timeline),
            messages: Merge::messages(timeline, &streams),
            line,
            on_wire,
            held: Held::default(),
            last: i64::MIN,
            enriched: 0,
            beyond: 0,
        }
    }

    /// The streams whose rows it takes.
    pub(crate) fn streams() -> impl Iterator<Item = &'static str> {
        OF_THREADS.into_iter().chain(OF_CONNECTIONS)
    }

    /// A new round begins.
    pub(crate) fn begin(&mut self, round: &Round) {
        (self.held, self.last) = (Held::from(round.from.map(|utc| utc.0)), i64::MIN);
    }

    /// Notes a row.
    pub(crate) fn note(&mut self, entry: &Entry) {
        let Body::Row { columns, at } = &entry.body else { return };
        let number = |name: &str| columns.get(name).and_then(|c| c.int(*at)).and_then(|n| u32::try_from(n).ok());
        let of = if OF_CONNECTIONS.contains(&&*entry.stream) {
            let address = |name: &str| match columns.get(name) {
                Some(Column::Ip(ips)) => ips.get(*at).map(|ip| ip.addr()),
                _ => None,
            };
            let end = |which: &str| {
                let port = u16::try_from(number(&format!("{which}_port"))?).ok()?;
                Some(SocketAddr::new(address(&format!("{which}_addr"))?, port))
            };
            end("local").zip(end("remote")).map(|(local, remote)| Of::connection(local, remote))
        } else {
            number("tid").filter(|&tid| tid != 0).map(Of::Thread)
        };
        let Some(of) = of else { return };
        if entry.utc.0 < self.last {
            // It was gone back in time: what follows comes once more.
            self.held = Held::from(Some(entry.utc.0));
        }
        self.last = entry.utc.0;
        let mut text = String::new();
        (self.line)(self.timeline, entry, &mut text);
        text.truncate(text.floor_char_boundary(LINE));
        let mut seen = Seen {
            start: entry.utc.0,
            end: entry.end.0,
            stream: entry.stream.clone(),
            row: entry.row,
            text,
            wait: None,
            segments: u64::from(number("segments").unwrap_or(0)),
            given: false,
        };
        if &*entry.stream == OffCpu::DEF.stream
            && let Ok(c) = OffCpu::cols(columns)
        {
            let at_time = Boottime(c.time[*at]);
            let kernel = self.timeline.symbols().stack(c.pid[*at], at_time, c.kernel_stack.get(*at), &[]);
            seen.wait = Some(wait(self.timeline, &c, *at, &kernel));
        }
        self.held.add(of, seen);
    }

    /// What is added to the spans of a message: by their number, fields of `Span` on the wire. Empty where there is nothing for any of them.
    pub(crate) fn added(&mut self, message: &Message, offset: Offset) -> Vec<Vec<u8>> {
        let entries = self.messages.of_message(message.batch());
        let mut spans: Vec<(usize, &Span)> = entries
            .iter()
            .filter_map(|e| match &e.body {
                Body::Span(s) => Some((e.index as usize, &s.span)),
                _ => None,
            })
            .filter(|(at, s)| message.wants(*at) && s.start > 0 && s.end >= s.start)
            .collect();
        // What happened goes to the innermost span of the thread, and spans end before those that hold them.
        spans.sort_by_key(|(at, s)| (s.duration(), *at));
        let mut out = Vec::new();
        for (at, span) in spans {
            let fields = self.fields(span, offset);
            if fields.attributes.is_empty() && fields.events.is_empty() {
                continue;
            }
            self.enriched += 1;
            if out.len() <= at {
                out.resize(at + 1, Vec::new());
            }
            out[at] = fields.encode_to_vec();
        }
        out
    }

    /// Attributes and events of a span, and no other field.
    fn fields(&mut self, span: &Span, offset: Offset) -> v1::Span {
        let mut out = Found::default();
        let bound = self.binder.bind(span);
        self.beyond += u64::from(self.held.is_beyond(span.start));
        let wire = self.on_wire.of(span);
        let own = span_ends(span).map(|(a, b)| Of::connection(a.into(), b.into()));
        let own = own.filter(|own| wire.iter().all(|r| r.of != *own));
        let all = bound.tid().map(Of::Thread).into_iter().chain(wire.iter().map(|r| r.of)).chain(own);
        for of in all.clone() {
            self.held.between(of, span.start, span.end).for_each(|seen| out.note(seen, span));
        }
        out.keep_longest();
        for of in all {
            for seen in self.held.between(of, span.start, span.end) {
                seen.given |= out.events.iter().any(|e| e.row == seen.row && e.stream == seen.stream);
            }
        }
        let mut attributes = out.attributes();
        if !attributes.is_empty() {
            attributes.push(attribute("coldcase.tier", bound.tier().as_str()));
        }
        wire.iter().for_each(|r| attributes.extend(r.attributes()));
        v1::Span { attributes, events: out.events(offset), ..v1::Span::default() }
    }
}

/// What was found of a span.
#[derive(Default)]
struct Found {
    /// Nanoseconds off the CPU, by what was waited for.
    waits: BTreeMap<&'static str, u64>,
    /// Block requests, and their nanoseconds.
    block: (u64, u64),
    segments: u64,
    events: Vec<Happened>,
    left_out: usize,
}

/// An event of a span.
struct Happened {
    at: i64,
    long: u64,
    stream: Arc<str>,
    row: u64,
    text: String,
}

impl Found {
    /// Adds what was seen, as far as it lies within the span.
    fn note(&mut self, seen: &Seen, span: &Span) {
        let inside =
            |start: i64, end: i64| u64::try_from(end.min(span.end).saturating_sub(start.max(span.start))).unwrap_or(0);
        if let Some(w) = &seen.wait {
            // First it waited, then it queued.
            let queued_from = seen.end.saturating_sub_unsigned(w.queued);
            for (class, ns) in [(w.class, inside(seen.start, queued_from)), (RUN_QUEUE, inside(queued_from, seen.end))]
            {
                if ns > 0 {
                    let sum = self.waits.entry(class).or_default();
                    *sum = sum.saturating_add(ns);
                }
            }
        }
        // A worker that waited for its request began to wait before the span did.
        let within = inside(seen.start, seen.end);
        let begins_here = seen.start >= span.start;
        if &*seen.stream == "kernel.block" && begins_here {
            self.block = (self.block.0 + 1, self.block.1.saturating_add(within));
        }
        if begins_here {
            self.segments += seen.segments;
        }
        let is_of_it = begins_here || (within > 0 && within >= span.duration() / 2);
        if !is_of_it || seen.given {
            return;
        }
        self.events.push(Happened {
            at: seen.start.max(span.start),
            long: u64::try_from(seen.end.saturating_sub(seen.start)).unwrap_or(0),
            stream: seen.stream.clone(),
            row: seen.row,
            text: seen.text.clone(),
        });
    }

    /// Leaves out the shorter events where there are too many; the others come in the order of time.
    fn keep_longest(&mut self) {
        self.events.sort_by_key(|e| (Reverse(e.long), e.at, e.row));
        self.left_out = self.events.len().saturating_sub(EVENTS);
        self.events.truncate(EVENTS);
        self.events.sort_by(|x, y| (x.at, &x.stream, x.row).cmp(&(y.at, &y.stream, y.row)));
    }

    fn attributes(&self) -> Vec<KeyValue> {
        let mut out = Vec::new();
        for (class, ns) in &self.waits {
            out.push(attribute(&format!("coldcase.wait.{}_ns", class.replace(' ', "_")), *ns));
        }
        if self.block.0 > 0 {
            out.push(attribute("coldcase.block_io.count", self.block.0));
            out.push(attribute("coldcase.block_io.ns", self.block.1));
        }
        if self.segments > 0 {
            out.push(attribute("coldcase.tcp.retransmitted_segments", self.segments));
        }
        if self.left_out > 0 {
            out.push(attribute("coldcase.events_left_out", self.left_out as u64));
        }
        out
    }

    fn events(self, offset: Offset) -> Vec<v1::span::Event> {
        let event = |e: Happened| v1::span::Event {
            time_unix_nano: offset.unix_nanos(u64::try_from(e.at).unwrap_or(0)),
            attributes: vec![
                attribute("coldcase.text", e.text.as_str()),
                attribute("coldcase.duration_ns", e.long),
                attribute("coldcase.row", format!("{}#{}", e.stream, e.row).as_str()),
            ],
            name: e.stream.to_string(),
            ..v1::span::Event::default()
        };
        self.events.into_iter().map(event).collect()
    }
}
