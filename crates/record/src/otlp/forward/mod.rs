//! Passes requests on to the collector that was there before.
//!
//! What was acknowledged is offered to a bounded queue and sent from a thread of its own. Whatever happens there costs no
//! evidence and no sender any time: what finds no room, or is not taken, is counted in `recorder.forward` and told at the end.

mod answer;
mod link;
mod tally;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, header};
use bytes::Bytes;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use self::answer::Outcome;
use self::link::Link;
use self::tally::Tally;
use super::Collector;
use super::intake::{Encoding, Signal};
use crate::source::Context;

/// Requests that may wait, and KiB of them.
const WAITING: usize = 4096;
const ROOM_KIB: usize = 32 << 10;
/// Requests under way at one time: one that hangs holds up no other.
const SENDERS: usize = 4;
/// A try without an answer is given up after this time.
const PATIENCE: Duration = Duration::from_secs(10);
/// A request is given up for good after this time (as the Collector's own exporters do).
const AGE: Duration = Duration::from_secs(300);
/// The first wait before a request is sent again; it doubles up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// At the end, what waits may still be sent for so long.
const FAREWELL: Duration = Duration::from_secs(1);
/// Time between two rows of `recorder.forward`.
const ROW: Duration = Duration::from_secs(1);

/// A request to be passed on.
struct Copy {
    to: usize,
    signal: Signal,
    encoding: Encoding,
    headers: HeaderMap,
    bytes: Bytes,
    since: Instant,
    _room: OwnedSemaphorePermit,
}

/// Where acknowledged requests are offered. Cheap to clone.
#[derive(Clone)]
pub(super) struct Forward {
    queue: mpsc::Sender<Copy>,
    room: Arc<Semaphore>,
    collectors: Arc<[Collector]>,
    tally: Arc<Tally>,
    /// Our own token stands in `authorization`.
    guarded: bool,
}

impl Forward {
    /// Starts the thread that sends; it ends soon after `stopped` says so.
    pub(super) fn start(
        collectors: &[Collector],
        guarded: bool,
        context: Context,
        stopped: watch::Receiver<bool>,
    ) -> std::io::Result<(Forward, JoinHandle<()>)> {
        let collectors: Arc<[Collector]> = collectors.into();
        let tls = collectors.iter().any(|c| c.tls).then(link::connector).transpose()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (queue, copies) = mpsc::channel(WAITING);
        let tally = Arc::new(Tally::default());
        let state = State { collectors: collectors.clone(), tls, tally: tally.clone(), context };
        let thread = std::thread::Builder::new()
            .name("cc-otlp-forward".into())
            .spawn(move || runtime.block_on(run(Arc::new(state), copies, stopped)))?;
        let room = Arc::new(Semaphore::new(ROOM_KIB));
        Ok((Forward { queue, room, collectors, tally, guarded }, thread))
    }

    /// Offers a copy of a request; never waits.
    pub(super) fn offer(&self, signal: Signal, encoding: Encoding, grpc: bool, headers: &HeaderMap, bytes: Bytes) {
        // The collector of the sender's own protocol, else the other, which takes protobuf whatever way it came.
        let same = self.collectors.iter().position(|c| c.grpc == grpc);
        let able = |c: &Collector| !c.grpc || encoding == Encoding::Protobuf;
        let Some(to) = same.or_else(|| self.collectors.iter().position(able)) else {
            return self.tally.refused("JSON cannot go to a collector by gRPC: name one by http:// as well".to_owned());
        };
        let kib = (bytes.len().div_ceil(1024)).clamp(1, ROOM_KIB) as u32;
        let Ok(room) = self.room.clone().try_acquire_many_owned(kib) else { return self.tally.no_room() };
        let headers = passed_on(headers, self.guarded);
        let copy = Copy { to, signal, encoding, headers, bytes, since: Instant::now(), _room: room };
        self.tally.taken();
        if self.queue.try_send(copy).is_err() {
            self.tally.left();
            self.tally.no_room();
        }
    }

    /// What became of all of them, for the end of the recording: words, and whether something was not passed on.
    pub(super) fn ending(&self) -> (String, bool) {
        let to: Vec<String> = self.collectors.iter().map(ToString::to_string).collect();
        self.tally.words(&to.join(", "))
    }
}

/// The sender's own headers: not those of the connection, of the body's form, or our token.
fn passed_on(headers: &HeaderMap, guarded: bool) -> HeaderMap {
    let of_the_hop = |name: &HeaderName| {
        matches!(
            name.as_str(),
            "host"
                | "connection"
                | "keep-alive"
                | "proxy-connection"
                | "proxy-authorization"
                | "te"
                | "trailer"
                | "transfer-encoding"
                | "upgrade"
                | "expect"
                | "content-length"
                | "content-encoding"
                | "content-type"
                | "accept-encoding"
                | "grpc-encoding"
                | "grpc-accept-encoding"
                | "grpc-timeout"
        ) || (guarded && name == header::AUTHORIZATION)
    };
    headers.iter().filter(|(name, _)| !of_the_hop(name)).map(|(n, v)| (n.clone(), v.clone())).collect()
}

struct State {
    collectors: Arc<[Collector]>,
    tls: Option<TlsConnector>,
    tally: Arc<Tally>,
    context: Context,
}

async fn run(state: Arc<State>, copies: mpsc::Receiver<Copy>, mut stopped: watch::Receiver<bool>) {
    let copies = Arc::new(Mutex::new(copies));
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..SENDERS {
        senders.spawn(send_all(state.clone(), copies.clone(), stopped.clone()));
    }
    let mut rows = tokio::time::interval(ROW);
    rows.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = rows.tick() => state.tally.write(&state.context),
            // An error says that the source is gone: stop as well.
            _ = stopped.wait_for(|s| *s) => break,
        }
    }
    let _ = tokio::time::timeout(FAREWELL, async { while senders.join_next().await.is_some() {} }).await;
    senders.shutdown().await;
    state.tally.give_up_the_rest();
    state.tally.write(&state.context);
}

/// Sends until the queue is closed, or, after the stop, empty.
async fn send_all(state: Arc<State>, copies: Arc<Mutex<mpsc::Receiver<Copy>>>, mut stopped: watch::Receiver<bool>) {
    let mut links: Vec<Option<Link>> = state.collectors.iter().map(|_| None).collect();
    loop {
        let copy = {
            let mut copies = copies.lock().await;
            tokio::select! {
                biased;
                copy = copies.recv() => copy,
                _ = stopped.wait_for(|s| *s) => copies.try_recv().ok(),
            }
        };
        let Some(copy) = copy else { return };
        deliver(&state, &copy, &mut links[copy.to], &mut stopped).await;
        state.tally.left();
    }
}

/// Sends one request until it is taken, refused or too old.
async fn deliver(state: &State, copy: &Copy, link: &mut Option<Link>, stopped: &mut watch::Receiver<bool>) {
    let mut wait = FIRST_WAIT;
    loop {
        let tried = tokio::time::timeout(PATIENCE, attempt(state, copy, link)).await;
        let outcome = tried.unwrap_or_else(|_| {
            // Its answer may still come, and would be taken for that of the next.
            *link = None;
            Outcome::Again { after: None, why: format!("no answer within {PATIENCE:?}") }
        });
        match outcome {
            Outcome::Taken => return state.tally.forwarded(),
            Outcome::Refused(why) => return state.tally.refused(why),
            Outcome::Again { after, why } => {
                let pause = after.unwrap_or(jittered(wait)).min(LONGEST_WAIT);
                wait = (wait * 2).min(LONGEST_WAIT);
                if copy.since.elapsed() + pause > AGE || *stopped.borrow() {
                    return state.tally.given_up(why);
                }
                state.tally.retry(why);
                // At the end there is no time to wait: one more try.
                let _ = tokio::time::timeout(pause, stopped.wait_for(|s| *s)).await;
            }
        }
    }
}

async fn attempt(state: &State, copy: &Copy, link: &mut Option<Link>) -> Outcome {
    let collector = &state.collectors[copy.to];
    let open = match link.take().filter(Link::is_open) {
        Some(open) => open,
        None => match Link::open(collector, state.tls.as_ref(), &state.context.own).await {
            Ok(open) => open,
            Err(why) => return Outcome::Again { after: None, why },
        },
    };
    let open = link.insert(open);
    let outcome = match link::request(collector, copy.signal, copy.encoding, &copy.headers, copy.bytes.clone()) {
        Ok(request) => open.exchange(request, collector.grpc).await,
        Err(why) => Outcome::Refused(why),
    };
    if let Outcome::Again { .. } = outcome {
        // Whatever was wrong, a new connection may reach another, healthier end.
        *link = None;
    }
    outcome
}

/// Between half of it and the whole.
fn jittered(wait: Duration) -> Duration {
    use std::hash::{BuildHasher, Hasher};
    // The keys of the standard library's hash maps come from the operating system's randomness.
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    wait.mul_f64(0.5 + (random % 1000) as f64 / 2000.0)
}
