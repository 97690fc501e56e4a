//! The faults: what each does to a request, and the switch that turns one on while the shop runs.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::metrics::Metrics;

/// A fault that can be switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Each new order computes in a busy loop (amount: milliseconds)
    Cpu,
    /// One worker keeps the ledger's mutex too long, four times a second at most (amount: milliseconds)
    Lock,
    /// Each new order writes and syncs an audit file (amount: syncs of 64 KiB each)
    Fsync,
    /// Each lookup scans instead of using the index (amount: thousands of rows)
    SlowQuery,
    /// Each request sleeps in orders (amount: milliseconds)
    DownstreamSleep,
    /// Orders closes connections with a reset instead of an answer (amount: percent of the requests)
    Reset,
    /// Each request in orders takes longer (amount: percent of what it took)
    Slower,
    /// The slowest three in a hundred requests of each kind in orders take longer (amount: percent of what they took)
    Tail,
    /// Orders answers with an error (amount: percent of the requests)
    Error,
    /// Each lookup asks the database again (amount: queries)
    Query,
    /// Each request in orders takes one mutex more, and keeps it (amount: milliseconds)
    Mutex,
}

impl Kind {
    const ALL: [Kind; 11] = [
        Kind::Cpu,
        Kind::Lock,
        Kind::Fsync,
        Kind::SlowQuery,
        Kind::DownstreamSleep,
        Kind::Reset,
        Kind::Slower,
        Kind::Tail,
        Kind::Error,
        Kind::Query,
        Kind::Mutex,
    ];

    /// The amount when none is given: large enough to be seen, small enough that the shop goes on.
    fn default_amount(self) -> u64 {
        match self {
            Kind::Cpu => 20,
            Kind::Lock => 120,
            Kind::Fsync => 16,
            Kind::SlowQuery => 60,
            Kind::DownstreamSleep => 50,
            Kind::Reset => 15,
            Kind::Slower | Kind::Tail => 20,
            Kind::Error | Kind::Query => 1,
            Kind::Mutex => 2,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Cpu => "cpu",
            Kind::Lock => "lock",
            Kind::Fsync => "fsync",
            Kind::SlowQuery => "slow-query",
            Kind::DownstreamSleep => "downstream-sleep",
            Kind::Reset => "reset",
            Kind::Slower => "slower",
            Kind::Tail => "tail",
            Kind::Error => "error",
            Kind::Query => "query",
            Kind::Mutex => "mutex",
        }
    }
}

/// The switch, and what the faults need.
pub(crate) struct Faults {
    /// Position in [`Kind::ALL`], or 255 for none.
    active: AtomicU8,
    amount: AtomicU64,
    turns: AtomicU64,
    last_hold: Mutex<Option<Instant>>,
    /// Of each kind of request, about what 97 in a hundred take at most, in seconds.
    tails: Mutex<HashMap<&'static str, f64>>,
    /// The one of [`Kind::Mutex`].
    more: Mutex<()>,
    dir: PathBuf,
}

impl Faults {
    /// `dir` is where the audit files of [`Kind::Fsync`] are written.
    pub(crate) fn new(dir: &Path) -> Self {
        Self {
            active: AtomicU8::new(u8::MAX),
            amount: AtomicU64::new(0),
            turns: AtomicU64::new(0),
            last_hold: Mutex::new(None),
            tails: Mutex::default(),
            more: Mutex::new(()),
            dir: dir.to_owned(),
        }
    }

    /// Switches to one fault, or to none.
    pub(crate) fn switch(&self, kind: Option<Kind>, amount: Option<u64>, metrics: &Metrics) {
        let place = Kind::ALL.iter().position(|other| Some(*other) == kind).unwrap_or(usize::from(u8::MAX));
        let amount = amount.or(kind.map(Kind::default_amount)).unwrap_or(0);
        self.amount.store(amount, Ordering::SeqCst);
        self.active.store(u8::try_from(place).unwrap_or(u8::MAX), Ordering::SeqCst);
        for other in Kind::ALL {
            metrics.fault.with_label_values(&[other.name()]).set(i64::from(Some(other) == kind));
        }
    }

    /// The fault that is on, and its amount.
    pub(crate) fn current(&self) -> Option<(Kind, u64)> {
        let kind = *Kind::ALL.get(usize::from(self.active.load(Ordering::SeqCst)))?;
        Some((kind, self.amount.load(Ordering::SeqCst)))
    }

    fn amount_of(&self, kind: Kind) -> Option<u64> {
        self.current().filter(|(current, _)| *current == kind).map(|(_, amount)| amount)
    }

    /// At the start of each request in orders.
    pub(crate) fn on_request(&self) {
        if let Some(millis) = self.amount_of(Kind::DownstreamSleep) {
            sleep_downstream(Duration::from_millis(millis));
        }
        if let Some(millis) = self.amount_of(Kind::Mutex) {
            fault_take_mutex(&self.more, Duration::from_millis(millis));
        }
    }

    /// When the work of a request of this kind is done, begun at `start`.
    pub(crate) fn on_done(&self, name: &'static str, start: Instant) {
        let took = start.elapsed();
        let percent = match self.current() {
            Some((Kind::Slower, percent)) => percent,
            // The estimate is kept from the start of the fault, so that it has settled after some requests.
            Some((Kind::Tail, percent)) if self.is_of_tail(name, took.as_secs_f64()) => percent,
            _ => return,
        };
        fault_take_longer(took.mul_f64(percent as f64 / 100.0));
    }

    /// Whether a request is among the slowest three in a hundred, as far as is known; learns from it.
    fn is_of_tail(&self, name: &'static str, took: f64) -> bool {
        let mut tails = self.tails.lock().unwrap_or_else(PoisonError::into_inner);
        let tail = tails.entry(name).or_insert(took);
        let slow = took > *tail;
        // The steps balance where 3 of 100 are above (stochastic approximation of a quantile).
        *tail *= if slow { 1.0 + 0.05 * 0.97 } else { 1.0 - 0.05 * 0.03 };
        slow
    }

    /// Whether this request is to fail.
    pub(crate) fn fails(&self) -> bool {
        self.amount_of(Kind::Error).is_some_and(|percent| self.turns.fetch_add(37, Ordering::Relaxed) % 100 < percent)
    }

    /// Queries that a lookup asks beside its own.
    pub(crate) fn queries(&self) -> u64 {
        self.amount_of(Kind::Query).unwrap_or(0)
    }

    /// Whether this request's connection is to be reset.
    pub(crate) fn resets(&self) -> bool {
        let Some(percent) = self.amount_of(Kind::Reset) else { return false };
        // 37 and 100 have no common factor: the share is exact over each hundred, and spread over it.
        self.turns.fetch_add(37, Ordering::Relaxed) % 100 < percent
    }

    /// While a new order is prepared, before the ledger is taken.
    pub(crate) fn on_order(&self, worker: usize, metrics: &Metrics) -> Result<()> {
        if let Some(millis) = self.amount_of(Kind::Cpu) {
            std::hint::black_box(fault_cpu_busy_loop(Duration::from_millis(millis)));
        }
        if let Some(syncs) = self.amount_of(Kind::Fsync) {
            fault_fsync_audit(&self.dir.join(format!("audit-{worker}.bin")), syncs)?;
            metrics.syncs.inc_by(syncs);
        }
        Ok(())
    }

    /// While worker number `worker` holds the ledger.
    pub(crate) fn on_ledger_held(&self, worker: usize) {
        let Some(millis) = self.amount_of(Kind::Lock).filter(|_| worker == 0) else { return };
        let mut last = self.last_hold.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|then| then.elapsed() > Duration::from_millis(250)) {
            fault_hold_ledger(Duration::from_millis(millis));
            *last = Some(Instant::now());
        }
    }

    /// Thousands of rows that a lookup has to scan.
    pub(crate) fn scan(&self) -> Option<u64> {
        self.amount_of(Kind::SlowQuery)
    }
}

/// Uses the CPU for a while.
#[inline(never)]
fn fault_cpu_busy_loop(time: Duration) -> u64 {
    let start = Instant::now();
    let mut sum = 0x9e37_79b9_7f4a_7c15_u64;
    while start.elapsed() < time {
        for _ in 0..2_000 {
            sum = std::hint::black_box(sum.rotate_left(5) ^ sum.wrapping_mul(31));
        }
    }
    sum
}

/// Keeps the caller's locks for a while.
#[inline(never)]
fn fault_hold_ledger(time: Duration) {
    std::thread::sleep(time);
}

/// Takes a mutex, and keeps it for a while.
#[inline(never)]
fn fault_take_mutex(mutex: &Mutex<()>, time: Duration) {
    let _kept = mutex.lock().unwrap_or_else(PoisonError::into_inner);
    std::thread::sleep(time);
}

/// Waits to the microsecond: sleeps overshoot by a timer's slack, so the last part is spun.
#[inline(never)]
fn fault_take_longer(time: Duration) {
    let start = Instant::now();
    if let Some(most) = time.checked_sub(Duration::from_micros(200)) {
        std::thread::sleep(most);
    }
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

#[inline(never)]
fn sleep_downstream(time: Duration) {
    std::thread::sleep(time);
}

thread_local! {
    /// The audit file of a worker.
    static AUDIT: RefCell<Option<File>> = const { RefCell::new(None) };
}

/// Appends 64 KiB at a time to an audit file, and waits each time until the disk has it. The file grows, so each sync writes
/// the file system's journal too; at its limit it begins anew.
#[inline(never)]
fn fault_fsync_audit(path: &Path, syncs: u64) -> Result<()> {
    const LIMIT: u64 = 32 << 20;
    let block = [0x5a_u8; 64 * 1024];
    let mut audit = match AUDIT.take() {
        Some(audit) => audit,
        None => File::create(path).with_context(|| format!("cannot write {}", path.display()))?,
    };
    for _ in 0..syncs {
        if audit.stream_position()? >= LIMIT {
            audit.set_len(0)?;
            audit.rewind()?;
        }
        audit.write_all(&block)?;
        audit.sync_all()?;
    }
    AUDIT.set(Some(audit));
    Ok(())
}
