//! What produces evidence, and what it gets from the session that runs it.
//!
//! A source is made with its own configuration, started with a [`Context`], and from then on runs on its own threads
//! until it is stopped. One that cannot start is [`Skip`]ped with a reason and never takes another down.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use coldcase_bundle::Writer;
use coldcase_model::Class;

use crate::config::Scope;
use crate::loss::LossLedger;
use crate::reduce::{Brake, Rung};
use crate::watchdog::Pulse;

/// A producer of evidence that has not started yet.
pub trait Source: Send {
    /// The names of what it records, as in the manifest and for `--require`: `packets`, or, where several share one
    /// machinery, all of them: `kernel.task`, `kernel.sched`, ….
    fn names(&self) -> Vec<&'static str>;

    /// Starts it on its own threads and returns when it is live, or says why it cannot be. Must not block for long
    /// (a second is long). When only some of its names can run, the others go into [`Started::skipped`].
    fn start(self: Box<Self>, context: Context) -> Result<Started, Skip>;
}

/// A source that runs.
pub trait Running: Send {
    /// Called about once a second from the session's thread, and once more just before [`Running::stop`]: the place
    /// to read loss counters (BPF maps, `PACKET_STATISTICS`) into the ledger. Must not block.
    fn poll(&mut self) {}

    /// Why a name of it ended before its time, if it did. Asked each second; each failure is reported once.
    fn failures(&mut self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Whether it was something that ends by itself, and has: the recording ends with it unless another end was asked for.
    fn input_ended(&self) -> bool {
        false
    }

    /// What it can be asked to take in less of, the mildest first within a stage. Asked once, when it is live.
    fn rungs(&self) -> Vec<Rung> {
        Vec::new()
    }

    /// Takes (`down`) or leaves one of its rungs. Called from the session's thread; must not block for long. An error
    /// says why it cannot be done; nothing has changed then.
    fn reduce(&mut self, rung: &Rung, down: bool) -> Result<(), String> {
        let _ = (rung, down);
        Err("it cannot be reduced".to_owned())
    }

    /// The pulses of threads of it that must not stand still.
    fn pulses(&self) -> Vec<Pulse> {
        Vec::new()
    }

    /// What takes everything of it off the kernel when the recorder is stuck; none when it has nothing there.
    fn brake(&self) -> Option<Brake> {
        None
    }

    /// The file of a flight recording ends soon: what makes it complete (names of addresses) is to be written now, and
    /// what the next one begins with is to be made ready. Must not block; [`Running::segment_ready`] is asked until it
    /// is done, for a few seconds at most.
    fn segment_ends(&mut self) {}

    /// Whether that is done.
    fn segment_ready(&mut self) -> bool {
        true
    }

    /// A new file was begun: it is to be complete of itself, so identities are told again. Must not block.
    fn segment_begins(&mut self) {}

    /// Stops taking in, writes what is still open, joins its threads. The context's stop token is already set.
    /// Losses found here still count.
    fn stop(self: Box<Self>);
}

/// Why the thread of a source ended before its time: noted there, told once by [`Running::failures`]. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Failure(Arc<Mutex<Option<String>>>);

impl Failure {
    /// The thread ends for this reason.
    pub(crate) fn note(&self, why: &impl ToString) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.to_string());
    }

    /// The reason, with the name of what failed, if there is a new one.
    pub(crate) fn take(&self, name: &'static str) -> Vec<(&'static str, String)> {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken.into_iter().map(|why| (name, why)).collect()
    }
}

/// What a source that started hands back.
pub struct Started {
    /// The running source.
    pub running: Box<dyn Running>,
    /// Names of it that could not start although others did.
    pub skipped: Vec<(&'static str, Skip)>,
    /// Remarks for the person at the terminal, one line each (`packets on eth0, lo`). Shown unless `--quiet`.
    pub remarks: Vec<String>,
}

impl Started {
    /// All of it runs.
    pub fn all(running: impl Running + 'static) -> Started {
        Started { running: Box::new(running), skipped: Vec::new(), remarks: Vec::new() }
    }
}

/// Why a source is not recording. A status, not a loss.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip {
    /// What is in the way, one lowercase line: `no permission to load BPF programs (CAP_BPF is missing)`.
    pub reason: String,
    /// What would make it run, as a command where there is one; empty when nothing would.
    pub hint: String,
    /// It was not asked for (no log files named, say): never an error, not even worth a warning.
    pub unasked: bool,
}

impl Skip {
    /// It was asked for and cannot start.
    pub fn new(reason: impl Into<String>, hint: impl Into<String>) -> Skip {
        Skip { reason: reason.into(), hint: hint.into(), unasked: false }
    }

    /// Nobody asked for it.
    pub fn unasked(reason: impl Into<String>, hint: impl Into<String>) -> Skip {
        Skip { reason: reason.into(), hint: hint.into(), unasked: true }
    }
}

/// What a source works with. Cheap to clone, one for each source.
#[derive(Clone)]
pub struct Context {
    /// Where rows and raw messages go.
    pub writer: Writer,
    /// Where losses are counted.
    pub losses: LossLedger,
    /// When to stop.
    pub stop: StopToken,
    /// What the source took in, for the status line, the cost rows and the summary.
    pub intake: Intake,
    /// Which processes were asked for; empty for all.
    pub scope: Arc<Scope>,
    /// What must not be recorded because it is the recorder itself.
    pub own: Own,
}

/// What one source took in: counters that it bumps and the session reads.
#[derive(Debug, Clone, Default)]
pub struct Intake {
    counts: Arc<IntakeCounts>,
}

#[derive(Debug, Default)]
struct IntakeCounts {
    events: AtomicU64,
    bytes: AtomicU64,
    bpf: AtomicU64,
    backlog: Mutex<BTreeMap<&'static str, u64>>,
    remarks: Mutex<Vec<Remark>>,
}

/// What a source has to say at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// One line.
    pub text: String,
    /// Not all went as it was asked for.
    pub warning: bool,
}

impl Intake {
    /// Counts events (rows, packets, requests, lines) and their bytes before compression.
    pub fn add(&self, events: u64, bytes: u64) {
        self.counts.events.fetch_add(events, Ordering::Relaxed);
        self.counts.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts time spent inside our BPF programs, estimated from sampled runs, in nanoseconds.
    pub fn add_bpf(&self, ns: u64) {
        self.counts.bpf.fetch_add(ns, Ordering::Relaxed);
    }

    /// Reports how long the oldest event of a class has waited outside the writer (in a ring, in an open batch), in
    /// nanoseconds. The session records the largest report of each second.
    pub fn backlog(&self, class: Class, age: u64) {
        let mut ages = self.counts.backlog.lock().unwrap_or_else(PoisonError::into_inner);
        let worst = ages.entry(class.name()).or_default();
        *worst = age.max(*worst);
    }

    /// Says something for the end of the recording, one line: when the source has stopped.
    pub fn remark(&self, text: String, warning: bool) {
        self.counts.remarks.lock().unwrap_or_else(PoisonError::into_inner).push(Remark { text, warning });
    }

    /// What was said.
    pub fn take_remarks(&self) -> Vec<Remark> {
        std::mem::take(&mut *self.counts.remarks.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Events since the start.
    pub fn events(&self) -> u64 {
        self.counts.events.load(Ordering::Relaxed)
    }

    /// Bytes since the start.
    pub fn bytes(&self) -> u64 {
        self.counts.bytes.load(Ordering::Relaxed)
    }

    /// Nanoseconds in BPF programs since the start.
    pub fn bpf(&self) -> u64 {
        self.counts.bpf.load(Ordering::Relaxed)
    }

    /// The largest reports of backlog since the last call, by class.
    pub fn take_backlog(&self) -> BTreeMap<&'static str, u64> {
        std::mem::take(&mut *self.counts.backlog.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The recorder's own process, ports and connections: left out of its own capture.
#[derive(Debug, Clone)]
pub struct Own {
    /// The recorder's process.
    pub pid: u32,
    sockets: Arc<RwLock<OwnSockets>>,
    ports: Arc<Ports>,
}

/// Ports of ours and of those that we connect to, hashed: most packets are told from our own without the lock.
#[derive(Debug, Default)]
struct Ports([AtomicU64; 16]);

impl Ports {
    fn add(&self, port: u16) {
        self.0[usize::from(port >> 6) % 16].fetch_or(1 << (port % 64), Ordering::Release);
    }

    fn may_have(&self, port: u16) -> bool {
        self.0[usize::from(port >> 6) % 16].load(Ordering::Acquire) & 1 << (port % 64) != 0
    }
}

#[derive(Debug, Default)]
struct OwnSockets {
    listening: HashSet<SocketAddr>,
    connections: HashSet<(SocketAddr, SocketAddr)>,
}

impl Own {
    /// Of this process.
    pub fn new() -> Own {
        Own { pid: std::process::id(), sockets: Arc::default(), ports: Arc::default() }
    }

    /// Adds a port that the recorder listens on: traffic to and from it is the recorder's own.
    pub fn listen(&self, at: SocketAddr) {
        self.ports.add(at.port());
        self.write().listening.insert(at);
    }

    /// Adds a connection that the recorder opens (bind the local side first, so that no packet of it comes before).
    pub fn connect(&self, local: SocketAddr, remote: SocketAddr) {
        self.ports.add(remote.port());
        self.write().connections.insert((local, remote));
    }

    /// Forgets a connection. Its last packets may still be in flight: call it some seconds after the close.
    pub fn forget(&self, local: SocketAddr, remote: SocketAddr) {
        self.write().connections.remove(&(local, remote));
    }

    /// The ports that the recorder listens on.
    pub fn listening(&self) -> Vec<SocketAddr> {
        self.sockets.read().unwrap_or_else(PoisonError::into_inner).listening.iter().copied().collect()
    }

    /// Whether a packet between these two is the recorder's own, in either direction.
    pub fn is_own(&self, from: SocketAddr, to: SocketAddr) -> bool {
        if !self.ports.may_have(from.port()) && !self.ports.may_have(to.port()) {
            return false;
        }
        let sockets = self.sockets.read().unwrap_or_else(PoisonError::into_inner);
        let ours = |at: SocketAddr| {
            sockets.listening.iter().any(|l| l.port() == at.port() && (l.ip().is_unspecified() || l.ip() == at.ip()))
        };
        ours(from) || ours(to) || sockets.connections.contains(&(from, to)) || sockets.connections.contains(&(to, from))
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, OwnSockets> {
        self.sockets.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Own {
    fn default() -> Self {
        Own::new()
    }
}

/// Tells the threads of all sources to stop. Set once, never reset.
#[derive(Debug, Clone)]
pub struct StopToken {
    state: Arc<StopState>,
}

#[derive(Debug)]
struct StopState {
    stopped: AtomicBool,
    lock: Mutex<()>,
    changed: Condvar,
    /// Readable from the stop on: for poll, epoll and tokio.
    event: OwnedFd,
}

impl StopToken {
    /// Not stopped. Fails when no eventfd can be had (out of file descriptors).
    pub fn new() -> std::io::Result<StopToken> {
        let flags = rustix::event::EventfdFlags::CLOEXEC | rustix::event::EventfdFlags::NONBLOCK;
        let event = rustix::event::eventfd(0, flags)?;
        Ok(StopToken {
            state: Arc::new(StopState {
                stopped: AtomicBool::new(false),
                lock: Mutex::new(()),
                changed: Condvar::new(),
                event,
            }),
        })
    }

    /// Stops: wakes all who wait.
    pub fn stop(&self) {
        let guard = self.state.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.state.stopped.store(true, Ordering::Release);
        self.state.changed.notify_all();
        drop(guard);
        // An eventfd that is full is readable already: the only failure there is changes nothing.
        let _ = rustix::io::write(&self.state.event, &1u64.to_ne_bytes());
    }

    /// Whether it is time to stop.
    pub fn is_stopped(&self) -> bool {
        self.state.stopped.load(Ordering::Acquire)
    }

    /// Sleeps for `time` or until the stop; true when stopped.
    pub fn wait(&self, time: Duration) -> bool {
        let end = Instant::now() + time;
        let mut guard = self.state.lock.lock().unwrap_or_else(PoisonError::into_inner);
        while !self.is_stopped() {
            let Some(left) = end.checked_duration_since(Instant::now()).filter(|d| !d.is_zero()) else {
                return false;
            };
            guard = self.state.changed.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// A file descriptor that becomes readable at the stop. Do not read from it: all share it.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.state.event.as_fd()
    }
}

impl AsFd for StopToken {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_stop_wakes_who_waits_and_makes_the_descriptor_readable() {
        let stop = StopToken::new().unwrap();
        assert!(!stop.wait(Duration::from_millis(1)));
        let waiter = std::thread::spawn({
            let stop = stop.clone();
            move || stop.wait(Duration::from_secs(60))
        });
        stop.stop();
        assert!(waiter.join().unwrap());
        let mut fds = [rustix::event::PollFd::new(&stop, rustix::event::PollFlags::IN)];
        assert_eq!(rustix::event::poll(&mut fds, Some(&Default::default())).unwrap(), 1);
    }

    #[test]
    fn own_traffic_is_known_in_both_directions() {
        let own = Own::new();
        let at = |s: &str| s.parse::<SocketAddr>().unwrap();
        own.listen(at("127.0.0.1:4317"));
        own.connect(at("127.0.0.1:50000"), at("127.0.0.1:9100"));
        assert!(own.is_own(at("127.0.0.1:33333"), at("127.0.0.1:4317")));
        assert!(own.is_own(at("127.0.0.1:9100"), at("127.0.0.1:50000")));
        assert!(!own.is_own(at("127.0.0.1:9100"), at("127.0.0.1:50001")));
        assert!(!own.is_own(at("10.0.0.1:1"), at("10.0.0.2:4317")), "another host's collector is not ours");
    }
}
