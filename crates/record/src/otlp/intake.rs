//! From a request's bytes to the bundle: checked, queued, written (and synced, if asked), and only then acknowledged.

use std::sync::{Arc, mpsc as sync_mpsc};
use std::thread::JoinHandle;

use bytes::Bytes;
use coldcase_bundle::{RawMessage, WriteError};
use coldcase_model::events::Receipt;
use coldcase_model::loss::Reason;
use coldcase_model::{Boottime, Class, Utc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::commit::{self, Unsure};
use super::door::Peer;
use super::{Ack, NAME, OtlpConfig, protobuf};
use crate::clock;
use crate::reduce::Paused;
use crate::source::Context;

/// What a request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    Traces,
    Metrics,
    Logs,
    /// In development: kept as it comes.
    Profiles,
}

impl Signal {
    const ALL: [Signal; 4] = [Signal::Traces, Signal::Metrics, Signal::Logs, Signal::Profiles];

    /// Its path over HTTP (OTLP 1.x, "OTLP/HTTP Request").
    pub(super) const fn path(self) -> &'static str {
        match self {
            Signal::Traces => "/v1/traces",
            Signal::Metrics => "/v1/metrics",
            Signal::Logs => "/v1/logs",
            Signal::Profiles => "/v1development/profiles",
        }
    }

    /// The path of its Export call over gRPC.
    pub(super) const fn service(self) -> &'static str {
        match self {
            Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            Signal::Profiles => "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export",
        }
    }

    /// The signal that is sent to a path.
    pub(super) fn at(path: &str, grpc: bool) -> Option<Signal> {
        Signal::ALL.into_iter().find(|s| path == if grpc { s.service() } else { s.path() })
    }

    fn stream(self, encoding: Encoding) -> &'static str {
        match (self, encoding) {
            (Signal::Traces, Encoding::Protobuf) => "otlp.traces",
            (Signal::Metrics, Encoding::Protobuf) => "otlp.metrics",
            (Signal::Logs, Encoding::Protobuf) => "otlp.logs",
            (Signal::Traces, Encoding::Json) => "otlp.traces.json",
            (Signal::Metrics, Encoding::Json) => "otlp.metrics.json",
            (Signal::Logs, Encoding::Json) => "otlp.logs.json",
            (Signal::Profiles, Encoding::Protobuf) => "otlp.profiles",
            (Signal::Profiles, Encoding::Json) => "otlp.profiles.json",
        }
    }
}

/// How its messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Protobuf,
    Json,
}

impl Encoding {
    /// Its media type.
    pub(super) const fn media(self) -> &'static str {
        match self {
            Encoding::Protobuf => "application/x-protobuf",
            Encoding::Json => "application/json",
        }
    }
}

/// How a request came.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) peer: Peer,
    pub(super) transport: &'static str,
    pub(super) content_type: String,
    pub(super) compression: &'static str,
}

/// Why a request was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// It is not what it says.
    #[error("{0}")]
    Malformed(#[from] protobuf::Malformed),
    /// Likewise: no JSON object.
    #[error("not a JSON object: {0}")]
    NotJson(String),
    /// The bundle takes no message of this size.
    #[error("{0}")]
    TooLarge(String),
    /// More waits to be written than may: try again.
    #[error("the recorder is behind: try again")]
    Behind,
    /// The bundle takes no more.
    #[error("the recording ended: {0}")]
    Ended(String),
}

/// Requests that may wait for the writer, and their bytes.
const WAITING: usize = 256;

struct Job {
    stream: &'static str,
    message: RawMessage,
    receipt: Receipt,
    done: oneshot::Sender<Result<(), WriteError>>,
    room: OwnedSemaphorePermit,
}

/// Takes requests. Cheap to clone.
#[derive(Clone)]
pub(super) struct Intake {
    queue: mpsc::Sender<Job>,
    /// KiB that may wait.
    room: Arc<Semaphore>,
    room_kib: usize,
    context: Context,
    paused: Paused,
}

impl Intake {
    /// Starts the threads that hand requests to the writer and commit them; they end when the last clone is gone.
    pub(super) fn start(
        context: Context,
        config: &OtlpConfig,
        paused: Paused,
    ) -> std::io::Result<(Intake, Vec<JoinHandle<()>>)> {
        let (queue, jobs) = mpsc::channel(WAITING);
        let spawn =
            |name: &str, run: Box<dyn FnOnce() + Send>| std::thread::Builder::new().name(name.to_owned()).spawn(run);
        let mut threads = Vec::new();
        let durable = match config.ack {
            Ack::Received => None,
            Ack::Durable => {
                // Bounded by the room that each request holds until it is committed.
                let (unsure, requests) = sync_mpsc::channel();
                let context = context.clone();
                threads.push(spawn("cc-otlp-commit", Box::new(move || commit::run(&requests, &context)))?);
                Some(unsure)
            }
        };
        let writer = context.clone();
        threads.push(spawn("cc-otlp-write", Box::new(move || write(jobs, &writer, durable)))?);
        let room_kib = (2 * config.max_request).div_ceil(1024);
        Ok((Intake { queue, room: Arc::new(Semaphore::new(room_kib)), room_kib, context, paused }, threads))
    }

    /// Takes a request; returns when it is in the writer's hands, or durable, as was asked. `turn` is given back once
    /// it waits there: its memory is bounded by what may wait then.
    pub(super) async fn take(
        &self,
        signal: Signal,
        encoding: Encoding,
        bytes: Bytes,
        origin: Origin,
        turn: OwnedSemaphorePermit,
    ) -> Result<(), Refusal> {
        let (boot, real) = clock::now();
        match (encoding, signal) {
            (Encoding::Protobuf, Signal::Profiles) => protobuf::check_outer(&bytes)?,
            (Encoding::Protobuf, _) => protobuf::check(&bytes)?,
            (Encoding::Json, _) => object(&bytes)?,
        }
        if self.paused.is_set() {
            return Err(Refusal::Behind);
        }
        let kib = (bytes.len().div_ceil(1024)).clamp(1, self.room_kib) as u32;
        let room = self.room.clone().try_acquire_many_owned(kib).map_err(|_| Refusal::Behind)?;
        let (done, written) = oneshot::channel();
        let job = Job {
            stream: signal.stream(encoding),
            receipt: receipt(boot, real, bytes.len(), origin),
            message: RawMessage { bytes: bytes.into(), log_time: real, publish_time: real, first: boot, last: boot },
            done,
            room,
        };
        self.queue.try_send(job).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => Refusal::Behind,
            mpsc::error::TrySendError::Closed(_) => Refusal::Ended("stopped".into()),
        })?;
        drop(turn);
        match written.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error @ WriteError::TooLarge { .. })) => Err(Refusal::TooLarge(error.to_string())),
            Ok(Err(error)) => Err(Refusal::Ended(error.to_string())),
            Err(_) => Err(Refusal::Ended("stopped".into())),
        }
    }

    /// Counts a request that was not taken. `retry`: the sender was asked to send it again, and may or may not.
    pub(super) fn refused(&self, retry: bool, bytes: u64) {
        let reason = if retry { Reason::RateLimited } else { Reason::OtlpRejected };
        self.context.losses.add(NAME, Class::Otlp, reason, 1, bytes);
    }
}

/// Whether bytes are one JSON object; what is in it is not looked at.
fn object(bytes: &[u8]) -> Result<(), Refusal> {
    let fields: Result<std::collections::HashMap<String, serde::de::IgnoredAny>, _> = serde_json::from_slice(bytes);
    fields.map(|_| ()).map_err(|e| Refusal::NotJson(e.to_string()))
}

fn receipt(boot: Boottime, real: Utc, bytes: usize, origin: Origin) -> Receipt {
    Receipt {
        time: boot.0,
        read: real.0,
        bytes: bytes as u64,
        items: 0,
        origin: origin.peer.to_string(),
        transport: origin.transport.into(),
        content_type: origin.content_type,
        compression: origin.compression.into(),
    }
}

fn write(mut jobs: mpsc::Receiver<Job>, context: &Context, durable: Option<sync_mpsc::Sender<Unsure>>) {
    while let Some(job) = jobs.blocking_recv() {
        let (bytes, since) = (job.message.bytes.len() as u64, job.message.first.0);
        let result = context.writer.append_raw(job.stream, job.message, job.receipt).map(|_| ());
        context.intake.backlog(Class::Otlp, clock::boottime().0.saturating_sub(since));
        match &result {
            Ok(()) => context.intake.add(1, bytes),
            Err(WriteError::DiskFull { .. }) => context.losses.add(NAME, Class::Otlp, Reason::DiskFull, 1, bytes),
            Err(_) => {}
        }
        match (&durable, result) {
            (Some(durable), Ok(())) => {
                let sent = durable.send(Unsure { bytes, done: job.done, room: job.room });
                if sent.is_err() {
                    // The committing thread panicked: its requests are dropped, which senders see as unavailable.
                    tracing::error!("otlp: nothing can be made durable any more");
                }
            }
            // A sender that hung up meanwhile was stored all the same.
            (_, result) => _ = job.done.send(result),
        }
    }
}
