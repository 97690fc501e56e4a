//! Durable acknowledgements: many requests wait for one sync.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use coldcase_bundle::WriteError;
use coldcase_model::Class;
use coldcase_model::loss::Reason;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::NAME;
use crate::source::Context;

/// A request that waits this long gathers others for the same chunk and sync: at most 20 chunks a second.
const GATHER: Duration = Duration::from_millis(50);
/// So many bytes are a chunk of their own: nothing more is waited for.
const ENOUGH: u64 = 1 << 20;

/// A request in the writer's hands that is to be acknowledged when it is durable.
pub(super) struct Unsure {
    pub(super) bytes: u64,
    pub(super) done: oneshot::Sender<Result<(), WriteError>>,
    /// Its share of what may wait.
    pub(super) room: OwnedSemaphorePermit,
}

/// Commits group after group until nobody hands in requests any more.
pub(super) fn run(requests: &Receiver<Unsure>, context: &Context) {
    let mut commits = context.writer.commits(Class::Otlp);
    while let Ok(first) = requests.recv() {
        let group = gather(first, requests);
        let result = commits.commit();
        if let Err(WriteError::DiskFull { .. }) = &result {
            let (count, bytes) = (group.len() as u64, group.iter().map(|r| r.bytes).sum());
            context.losses.add(NAME, Class::Otlp, Reason::DiskFull, count, bytes);
        }
        for request in group {
            // A sender that hung up meanwhile was stored all the same.
            let _ = request.done.send(result.clone());
            drop(request.room);
        }
    }
}

fn gather(first: Unsure, requests: &Receiver<Unsure>) -> Vec<Unsure> {
    let until = Instant::now() + GATHER;
    let mut bytes = first.bytes;
    let mut group = vec![first];
    while bytes < ENOUGH {
        match requests.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(request) => {
                bytes += request.bytes;
                group.push(request);
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    group
}
