//! OTLP: the stored requests again, each when it was received, with their times moved and their origin marked; and log lines as log records.
//!
//! A request goes out when it had come in, not when its spans had begun: so its batch, its order and its load on the receiver are those of the
//! recording. Spans and records go over several connections at once, as from several senders; metrics over one, because receivers refuse points that
//! are older than the last. What the receiver cannot take now is sent again when it asks for it, and the replay waits meanwhile: queues are bounded.

mod answer;
mod lines;
pub(crate) mod proto;
mod target;

pub(crate) use answer::retry_after;
pub use target::{Target, TargetError};

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use coldcase_decode::otlp::{Signal, to_protobuf};
use coldcase_decode::spans;
use coldcase_timeline::{Body as EntryBody, Entry, StreamSet};
use hyper::{Request, header};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Mutex as AsyncMutex, mpsc};
use tokio_rustls::TlsConnector;

use crate::control::Stop;
use crate::enrich::Enricher;
use crate::message::Message;
use crate::net::retry::Peer;
use crate::net::{Address, Body, connector};
use crate::patch::{self, Patch};
use crate::sink::{Event, Item, Round, Sink, SinkError, SinkReport, Wants};
use crate::tally::Tally;
use lines::Lines;

/// Streams that are sent, or counted as what cannot be.
const STREAMS: [&str; 10] = [
    "otlp.traces",
    "otlp.traces.json",
    "otlp.logs",
    "otlp.logs.json",
    "otlp.metrics",
    "otlp.metrics.json",
    "otlp.profiles",
    "otlp.profiles.json",
    "jaeger.traces",
    "zipkin.spans",
];
/// The stream of log lines.
const LINES: &str = "log.lines";
/// Requests of a signal that may wait.
const WAITING: usize = 16;
/// A request by itself, in a queue that is full, is offered again after this time.
const FULL: Duration = Duration::from_millis(1);

/// A request that is to be sent.
struct Job {
    signal: Signal,
    json: bool,
    round: Round,
    /// Where its bytes come from.
    content: Content,
}

enum Content {
    /// As it is stored, and what is added to its spans.
    Stored(Arc<Message>, Vec<Vec<u8>>),
    Made(Vec<u8>),
}

/// Sends to a receiver of OTLP.
pub struct Otlp<'a> {
    /// By signal.
    queues: [mpsc::Sender<Job>; 3],
    thread: Option<JoinHandle<()>>,
    stop: Stop,
    round: Option<Round>,
    lines: Lines,
    host: Option<String>,
    enricher: Option<Enricher<'a>>,
    report: Tally,
}

/// What the senders share.
struct Senders {
    target: Target,
    mark: Option<String>,
    tls: Option<TlsConnector>,
    stop: Stop,
    report: Tally,
}

impl<'a> Otlp<'a> {
    /// Starts a thread that sends. `mark` is the bundle's id, where what is sent is to say that it was replayed; `host` is where it was recorded.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn start(target: Target, mark: Option<&str>, host: Option<&str>, stop: &Stop) -> Result<Otlp<'a>, SinkError> {
        let to = target.to_string();
        let failed = |source| SinkError::Io { to: to.clone(), source };
        address(&target)
            .check()
            .map_err(|e| SinkError::Unreachable { to: to.clone(), why: format!("no connection: {e}") })?;
        let tls = target.tls.then(connector).transpose().map_err(failed)?;
        let report = SinkReport { sink: "otlp".into(), to: to.clone(), unit: "requests", ..SinkReport::default() };
        let report = Tally::new(report);
        let senders =
            Senders { target, mark: mark.map(str::to_owned), tls, stop: stop.clone(), report: report.clone() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (traces, logs, metrics) = (mpsc::channel(WAITING), mpsc::channel(WAITING), mpsc::channel(WAITING));
        // Points of one series must stay in order.
        let lanes = vec![(traces.1, 4), (logs.1, 4), (metrics.1, 1)];
        let thread = std::thread::Builder::new()
            .name("cc-replay-otlp".into())
            .spawn(move || runtime.block_on(run(Arc::new(senders), lanes)))
            .map_err(failed)?;
        Ok(Otlp {
            queues: [traces.0, logs.0, metrics.0],
            thread: Some(thread),
            stop: stop.clone(),
            round: None,
            lines: Lines::default(),
            host: host.map(str::to_owned),
            enricher: None,
            report,
        })
    }

    /// Adds what this finds to the spans.
    #[must_use]
    pub fn enriched(self, enricher: Enricher<'a>) -> Otlp<'a> {
        Otlp { enricher: Some(enricher), ..self }
    }

    fn offer(&self, job: Job) {
        let queue = match job.signal {
            Signal::Traces => &self.queues[0],
            Signal::Logs => &self.queues[1],
            Signal::Metrics => &self.queues[2],
        };
        let mut job = job;
        loop {
            match queue.try_send(job) {
                Ok(()) => return,
                Err(TrySendError::Full(back)) if !self.stop.is_set() => {
                    job = back;
                    std::thread::sleep(FULL);
                }
                Err(_) => return self.report.lock().not_sent += 1,
            }
        }
    }

    fn message(&mut self, message: &Arc<Message>, round: &Round) {
        let json = message.stream.ends_with(".json");
        let signal = match message.stream.trim_end_matches(".json") {
            "otlp.traces" | "jaeger.traces" | "zipkin.spans" => Signal::Traces,
            "otlp.logs" => Signal::Logs,
            "otlp.metrics" => Signal::Metrics,
            other => {
                let mut report = self.report.lock();
                report.unsupported += 1;
                return report.reason(format!("{other} is not sent: it has no form in OTLP whose times can be moved"));
            }
        };
        let enricher = self.enricher.as_mut().filter(|_| signal == Signal::Traces);
        let added = enricher.map(|e| e.added(message, round.offset)).unwrap_or_default();
        self.offer(Job { signal, json, round: *round, content: Content::Stored(message.clone(), added) });
    }

    fn send_lines(&mut self) {
        if let (Some(round), Some(request)) = (self.round, self.lines.take(self.host.as_deref())) {
            self.offer(Job { signal: Signal::Logs, json: false, round, content: Content::Made(request) });
        }
    }
}

impl Sink for Otlp<'_> {
    fn wants(&self) -> Wants {
        let exact = |names: &[&str]| StreamSet::Exact(names.iter().map(|s| (*s).to_owned()).collect());
        let rows = self.enricher.iter().flat_map(|_| Enricher::streams());
        let entries: Vec<&str> = [LINES].into_iter().chain(rows).collect();
        Wants { entries: exact(&entries), messages: exact(&STREAMS) }
    }

    fn begin(&mut self, round: &Round) -> Result<(), SinkError> {
        self.send_lines();
        self.round = Some(*round);
        self.enricher.iter_mut().for_each(|e| e.begin(round));
        Ok(())
    }

    fn event(&mut self, event: Event<'_>) -> Result<(), SinkError> {
        match event.item {
            Item::Message(message) => {
                self.report.lock().taken += 1;
                self.message(message, event.round);
            }
            Item::Entry(Entry { body: EntryBody::Line(line), .. }) => {
                self.report.lock().taken += 1;
                if self.lines.add(event.timeline, line) {
                    self.send_lines();
                }
            }
            Item::Entry(entry) => self.enricher.iter_mut().for_each(|e| e.note(entry)),
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        if self.lines.are_due() {
            self.send_lines();
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<SinkReport, SinkError> {
        self.send_lines();
        let report = self.report.clone();
        if let Some(e) = &self.enricher {
            let mut report = report.lock();
            report.enriched = e.enriched;
            if e.beyond > 0 {
                report.reason(format!(
                    "{} spans began before the oldest evidence that is held: they may lack some of it",
                    e.beyond
                ));
            }
        }
        let thread = self.thread.take();
        // Without their queues the senders end when these are empty.
        drop(self);
        let ended = thread.map(JoinHandle::join);
        let mut report = report.lock().clone();
        if let Some(Err(_)) = ended {
            report.reason("the sender ended early: a bug");
        }
        Ok(report)
    }
}

fn address(target: &Target) -> Address {
    Address { host: target.host.clone(), port: target.port, tls: target.tls, http2: target.grpc }
}

async fn run(senders: Arc<Senders>, lanes: Vec<(mpsc::Receiver<Job>, usize)>) {
    let mut all = tokio::task::JoinSet::new();
    for (jobs, count) in lanes {
        let jobs = Arc::new(AsyncMutex::new(jobs));
        for _ in 0..count {
            all.spawn(send_all(senders.clone(), jobs.clone()));
        }
    }
    while all.join_next().await.is_some() {}
}

async fn send_all(senders: Arc<Senders>, jobs: Arc<AsyncMutex<mpsc::Receiver<Job>>>) {
    let (address, tls, stop) = (address(&senders.target), senders.tls.clone(), senders.stop.clone());
    let mut peer = Peer { address, tls, stop, link: None };
    loop {
        // Held while waiting for a job only.
        let job = jobs.lock().await.recv().await;
        let Some(job) = job else { return };
        if senders.stop.is_set() {
            senders.report.lock().not_sent += 1;
            continue;
        }
        senders.send(&mut peer, job).await;
    }
}

impl Senders {
    async fn send(&self, peer: &mut Peer, job: Job) {
        let prepared = self.prepared(&job).and_then(|(bytes, json)| {
            let length = bytes.len() as u64;
            self.request(job.signal, json, bytes).map(|r| (r, length))
        });
        let (request, length) = match prepared {
            Ok(prepared) => prepared,
            Err(why) => return self.report.unsupported(why),
        };
        let grpc = self.target.grpc;
        let judge = |a: &crate::net::Answer| if grpc { answer::grpc(a) } else { answer::http(a) };
        peer.deliver(&request, length, judge, &self.report).await;
    }

    /// The bytes as they go out, and whether they are JSON.
    fn prepared(&self, job: &Job) -> Result<(Vec<u8>, bool), String> {
        let (stored, wanted, added): (_, _, &[Vec<u8>]) = match &job.content {
            Content::Stored(m, added) => (&m.bytes, m.wanted.as_deref(), added),
            Content::Made(bytes) => (bytes, None, &[]),
        };
        let mut patch = Patch::new(&job.round, self.mark.as_deref(), wanted).adding(added);
        let converted = self.converted(job, stored, !added.is_empty())?;
        let json = job.json && converted.is_none();
        let bytes = converted.as_ref().unwrap_or(stored);
        if patch.is_nothing() {
            return Ok((bytes.clone(), json));
        }
        if json {
            return patch::json(bytes, &mut patch).map(|b| (b, true)).map_err(|e| format!("a request is no JSON: {e}"));
        }
        let rules = match job.signal {
            Signal::Traces => patch::TRACES,
            Signal::Logs => patch::LOGS,
            Signal::Metrics => patch::METRICS,
        };
        patch::protobuf(bytes, rules, &mut patch).map(|b| (b, false)).map_err(|e| format!("a request is {e}"))
    }

    /// The request in protobuf, where it cannot go out as it came: gRPC knows no JSON, nothing is added to it, and documents of others are no OTLP.
    fn converted(&self, job: &Job, stored: &[u8], adding: bool) -> Result<Option<Vec<u8>>, String> {
        let spans = match &job.content {
            Content::Stored(m, _) if &*m.stream == "jaeger.traces" => spans::jaeger(stored),
            Content::Stored(m, _) if &*m.stream == "zipkin.spans" => spans::zipkin(stored),
            _ if job.json && (self.target.grpc || adding) => {
                return to_protobuf(job.signal, stored).map(Some).map_err(|e| e.to_string());
            }
            _ => return Ok(None),
        };
        spans.map(|spans| Some(proto::request(spans.into_iter()))).map_err(|e| e.to_string())
    }

    fn request(&self, signal: Signal, json: bool, bytes: Vec<u8>) -> Result<Request<Body>, String> {
        let (name, service) = match signal {
            Signal::Traces => ("traces", "trace.v1.Trace"),
            Signal::Logs => ("logs", "logs.v1.Logs"),
            Signal::Metrics => ("metrics", "metrics.v1.Metrics"),
        };
        let authority = self.target.authority();
        let scheme = if self.target.tls { "https" } else { "http" };
        let request = Request::builder()
            .method("POST")
            .header(header::USER_AGENT, concat!("coldcase/", env!("CARGO_PKG_VERSION")));
        let request = match self.target.grpc {
            true => request
                .uri(format!("{scheme}://{authority}/opentelemetry.proto.collector.{service}Service/Export"))
                .header(header::CONTENT_TYPE, "application/grpc+proto")
                .header(header::TE, "trailers"),
            false => request
                .uri(format!("{}/v1/{name}", self.target.prefix))
                .header(header::HOST, authority)
                .header(header::CONTENT_TYPE, if json { "application/json" } else { "application/x-protobuf" }),
        };
        let body = if self.target.grpc { framed(&bytes) } else { Bytes::from(bytes) };
        request.body(Body::new(body)).map_err(|e| e.to_string())
    }
}

/// A message as gRPC frames it: not compressed.
fn framed(message: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(message.len() + 5);
    out.put_u8(0);
    // A bundle takes no message near that limit.
    out.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    out.extend_from_slice(message);
    out.freeze()
}
