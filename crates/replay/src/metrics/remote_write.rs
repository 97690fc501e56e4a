//! Prometheus Remote-Write: the stored requests again with their times moved, and scraped pages as requests of version 1.0.
//!
//! <https://prometheus.io/docs/specs/prw/remote_write_spec/>: one connection, in order, so that no sample comes after a newer one of its series.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use hyper::{Request, header};

use super::samples::{Pages, read};
use super::write_request::encoded;
use crate::control::Stop;
use crate::message::Message;
use crate::net::retry::{Outcome, Peer};
use crate::net::{Address, Answer, Body, connector};
use crate::otlp::retry_after;
use crate::patch::{self, Patch};
use crate::sink::{Event, Item, Round, Sink, SinkError, SinkReport, Wants};
use crate::tally::Tally;

/// Requests that may wait.
const WAITING: usize = 16;
const FULL: Duration = Duration::from_millis(1);

/// Where samples are written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteWriteUrl {
    address_tls: bool,
    host: String,
    port: u16,
    path: String,
}

/// A text that is no such place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no place to write samples to: write http://127.0.0.1:9090/api/v1/write")]
pub struct RemoteWriteUrlError(String);

impl FromStr for RemoteWriteUrl {
    type Err = RemoteWriteUrlError;

    fn from_str(text: &str) -> Result<RemoteWriteUrl, RemoteWriteUrlError> {
        let bad = || RemoteWriteUrlError(text.to_owned());
        let uri: hyper::Uri = text.parse().map_err(|_| bad())?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(bad()),
        };
        let host = uri.host().filter(|h| !h.is_empty()).ok_or_else(bad)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let path = match uri.path_and_query().map_or("/", |p| p.as_str()) {
            "/" => "/api/v1/write".to_owned(),
            path => path.to_owned(),
        };
        if uri.authority().is_some_and(|a| a.as_str().contains('@')) {
            return Err(bad());
        }
        Ok(RemoteWriteUrl { address_tls: tls, host, port: uri.port_u16().unwrap_or(if tls { 443 } else { 80 }), path })
    }
}

impl RemoteWriteUrl {
    fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    fn address(&self) -> Address {
        Address { host: self.host.clone(), port: self.port, tls: self.address_tls, http2: false }
    }
}

impl std::fmt::Display for RemoteWriteUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.address_tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

type Job = (Arc<Message>, Round);

/// Writes to a receiver of Remote-Write.
pub struct RemoteWrite {
    queue: SyncSender<Job>,
    thread: Option<JoinHandle<()>>,
    stop: Stop,
    report: Tally,
}

struct Writer {
    url: RemoteWriteUrl,
    pages: Pages,
    mark: Option<String>,
    stop: Stop,
    report: Tally,
}

impl RemoteWrite {
    /// Starts a thread that writes. `mark` is the bundle's id, where series are to say that they were replayed.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn start(url: RemoteWriteUrl, pages: Pages, mark: Option<&str>, stop: &Stop) -> Result<RemoteWrite, SinkError> {
        let to = url.to_string();
        let failed = |source| SinkError::Io { to: to.clone(), source };
        let checked = url.address().check();
        checked.map_err(|e| SinkError::Unreachable { to: to.clone(), why: format!("no connection: {e}") })?;
        let tls = url.address_tls.then(connector).transpose().map_err(failed)?;
        let report =
            SinkReport { sink: "remote-write".into(), to: to.clone(), unit: "requests", ..SinkReport::default() };
        let report = Tally::new(report);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (queue, jobs) = sync_channel::<Job>(WAITING);
        let mut peer = Peer { address: url.address(), tls, stop: stop.clone(), link: None };
        let writer = Writer { url, pages, mark: mark.map(str::to_owned), stop: stop.clone(), report: report.clone() };
        let thread = std::thread::Builder::new()
            .name("cc-replay-write".into())
            .spawn(move || {
                for (message, round) in jobs {
                    runtime.block_on(writer.write(&mut peer, &message, &round));
                }
            })
            .map_err(failed)?;
        Ok(RemoteWrite { queue, thread: Some(thread), stop: stop.clone(), report })
    }
}

impl Sink for RemoteWrite {
    fn wants(&self) -> Wants {
        super::wants()
    }

    fn event(&mut self, event: Event<'_>) -> Result<(), SinkError> {
        let Item::Message(message) = event.item else { return Ok(()) };
        self.report.lock().taken += 1;
        let mut job = (message.clone(), *event.round);
        loop {
            match self.queue.try_send(job) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(back)) if !self.stop.is_set() => {
                    job = back;
                    std::thread::sleep(FULL);
                }
                Err(_) => {
                    self.report.lock().not_sent += 1;
                    return Ok(());
                }
            }
        }
    }

    fn finish(mut self: Box<Self>) -> Result<SinkReport, SinkError> {
        let (report, thread) = (self.report.clone(), self.thread.take());
        // Without its queue the writer ends when that is empty.
        drop(self);
        let ended = thread.map(JoinHandle::join);
        let mut report = report.lock().clone();
        if let Some(Err(_)) = ended {
            report.reason("the writer ended early: a bug");
        }
        Ok(report)
    }
}

impl Writer {
    async fn write(&self, peer: &mut Peer, message: &Message, round: &Round) {
        if self.stop.is_set() {
            self.report.lock().not_sent += 1;
            return;
        }
        let request = match self.request(message, round) {
            Ok(Some(request)) => request,
            // Nothing in it can be written; that was counted.
            Ok(None) => return,
            Err(why) => return self.report.unsupported(why),
        };
        let length = hyper::body::Body::size_hint(request.body()).exact().unwrap_or(0);
        peer.deliver(&request, length, judge, &self.report).await;
    }

    fn request(&self, message: &Message, round: &Round) -> Result<Option<Request<Body>>, String> {
        let mut patch = Patch::new(round, self.mark.as_deref(), None);
        let (rules, v2) = match &*message.stream {
            "prometheus.remote_write" => (patch::REMOTE_WRITE_V1, false),
            "prometheus.remote_write.v2" => (patch::REMOTE_WRITE_V2, true),
            _ => {
                let read = read(message, &self.pages, round, self.mark.as_deref());
                let mut report = self.report.lock();
                report.unsupported += read.unsupported;
                read.why.into_iter().for_each(|why| report.reason(why));
                drop(report);
                return match read.samples.is_empty() {
                    true => Ok(None),
                    false => self.packed(&encoded(read.samples, round), false).map(Some),
                };
            }
        };
        let bytes = match patch.is_nothing() {
            true => message.bytes.clone(),
            false => patch::protobuf(&message.bytes, rules, &mut patch).map_err(|e| format!("a request is {e}"))?,
        };
        self.packed(&bytes, v2).map(Some)
    }

    fn packed(&self, bytes: &[u8], v2: bool) -> Result<Request<Body>, String> {
        let packed = snap::raw::Encoder::new().compress_vec(bytes).map_err(|e| e.to_string())?;
        let (media, version) = match v2 {
            true => ("application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0"),
            false => ("application/x-protobuf", "0.1.0"),
        };
        Request::post(&self.url.path)
            .header(header::HOST, self.url.authority())
            .header(header::USER_AGENT, concat!("coldcase/", env!("CARGO_PKG_VERSION")))
            .header(header::CONTENT_TYPE, media)
            .header(header::CONTENT_ENCODING, "snappy")
            .header("x-prometheus-remote-write-version", version)
            .body(Body::new(Bytes::from(packed)))
            .map_err(|e| e.to_string())
    }
}

/// 5xx and 429 are sent again, all else is final (Remote-Write, "Retries & Backoff").
fn judge(answer: &Answer) -> Outcome {
    if answer.status.is_success() {
        return Outcome::taken();
    }
    let told: String = String::from_utf8_lossy(&answer.body).trim().chars().take(200).collect();
    let why = format!("status {} {told}", answer.status.as_u16()).trim_end().to_owned();
    match answer.status.is_server_error() || answer.status.as_u16() == 429 {
        true => Outcome::Again { after: retry_after(&answer.headers), why },
        false => Outcome::Refused(why),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_place_to_write_to_is_a_url() {
        let url = |text: &str| text.parse::<RemoteWriteUrl>().map(|u| u.to_string());
        assert_eq!(url("http://127.0.0.1:9090").unwrap(), "http://127.0.0.1:9090/api/v1/write");
        assert_eq!(url("https://a.b/push?x=1").unwrap(), "https://a.b:443/push?x=1");
        assert_eq!(url("http://[::1]:9/w").unwrap(), "http://[::1]:9/w");
        for bad in ["", "a:9090", "ftp://a", "http://u:p@a/", "http://"] {
            assert!(url(bad).is_err(), "{bad}");
        }
    }
}
