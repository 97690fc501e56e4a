//! From a request's bytes to the bundle: written, and only then acknowledged.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::StatusCode;
use coldcase_bundle::{RawMessage, WriteError};
use coldcase_model::Class;
use coldcase_model::events::Receipt;
use coldcase_model::loss::Reason;
use tokio::sync::Semaphore;

use super::NAME;
use super::message::Version;
use crate::clock;
use crate::reduce::Paused;
use crate::source::Context;

/// Why a request is not taken.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) why: String,
}

impl Refused {
    /// It is not what it says: sending it again will not help.
    pub(super) fn bad(why: String) -> Refused {
        Refused { status: StatusCode::BAD_REQUEST, why }
    }

    /// Its body cannot be read.
    pub(super) fn body(error: &axum::Error) -> Refused {
        let mut cause: Option<&dyn std::error::Error> = Some(error);
        while let Some(e) = cause {
            if e.is::<http_body_util::LengthLimitError>() {
                let why = "the request is larger than allowed".into();
                return Refused { status: StatusCode::PAYLOAD_TOO_LARGE, why };
            }
            cause = e.source();
        }
        Refused::bad(format!("the body cannot be read: {error}"))
    }

    fn later(why: impl Into<String>) -> Refused {
        Refused { status: StatusCode::SERVICE_UNAVAILABLE, why: why.into() }
    }
}

/// Takes requests. Cheap to clone.
#[derive(Clone)]
pub(super) struct Store {
    context: Context,
    max_request: usize,
    /// KiB that may wait for the writer.
    room: Arc<Semaphore>,
    room_kib: usize,
    paused: Paused,
}

impl Store {
    pub(super) fn new(context: Context, max_request: usize, paused: Paused) -> Store {
        let room_kib = (2 * max_request).div_ceil(1024);
        Store { context, max_request, room: Arc::new(Semaphore::new(room_kib)), room_kib, paused }
    }

    pub(super) fn max_request(&self) -> usize {
        self.max_request
    }

    /// Takes a request; returns when it is in the writer's hands.
    pub(super) async fn take(
        &self,
        version: Version,
        bytes: Vec<u8>,
        peer: SocketAddr,
        content_type: String,
    ) -> Result<(), Refused> {
        if self.paused.is_set() {
            return Err(Refused::later("the recorder is behind: try again"));
        }
        let kib = bytes.len().div_ceil(1024).clamp(1, self.room_kib) as u32;
        let room = self.room.clone().try_acquire_many_owned(kib);
        let room = room.map_err(|_| Refused::later("the recorder is behind: try again"))?;
        let (boot, real) = clock::now();
        let length = bytes.len() as u64;
        let receipt = Receipt {
            time: boot.0,
            read: real.0,
            bytes: length,
            items: 0,
            origin: peer.to_string(),
            transport: "http".into(),
            content_type,
            compression: "snappy".into(),
        };
        let message = RawMessage { bytes, log_time: real, publish_time: real, first: boot, last: boot };
        let context = self.context.clone();
        // The writer may make us wait; other senders need not.
        let written = tokio::task::spawn_blocking(move || {
            let written = context.writer.append_raw(version.stream(), message, receipt).map(|_| ());
            drop(room);
            context.intake.backlog(Class::Metric, clock::boottime().0.saturating_sub(boot.0));
            match &written {
                Ok(()) => context.intake.add(1, length),
                Err(WriteError::DiskFull { .. }) => {
                    context.losses.add(NAME, Class::Metric, Reason::DiskFull, 1, length);
                }
                Err(_) => {}
            }
            written
        });
        match written.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error @ WriteError::TooLarge { .. })) => {
                Err(Refused { status: StatusCode::PAYLOAD_TOO_LARGE, why: error.to_string() })
            }
            Ok(Err(error)) => Err(Refused::later(format!("the recording ended: {error}"))),
            Err(_) => Err(Refused::later("the recording ended")),
        }
    }

    /// Counts a request that was not taken. `retry`: the sender was asked to send it again, and may or may not.
    pub(super) fn refused(&self, retry: bool, bytes: u64) {
        let reason = if retry { Reason::RateLimited } else { Reason::RemoteWriteRejected };
        self.context.losses.add(NAME, Class::Metric, reason, 1, bytes);
    }
}
