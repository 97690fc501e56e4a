//! The faults: what each does to a request, and the switch that turns one on while the shop runs.

use std::fs::File;
use std::io::Write;
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
}

impl Kind {
    const ALL: [Kind; 6] = [Kind::Cpu, Kind::Lock, Kind::Fsync, Kind::SlowQuery, Kind::DownstreamSleep, Kind::Reset];

    /// The amount when none is given: large enough to be seen, small enough that the shop goes on.
    fn default_amount(self) -> u64 {
        match self {
            Kind::Cpu => 20,
            Kind::Lock => 120,
            Kind::Fsync => 16,
            Kind::SlowQuery => 60,
            Kind::DownstreamSleep => 50,
            Kind::Reset => 15,
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

#[inline(never)]
fn sleep_downstream(time: Duration) {
    std::thread::sleep(time);
}

/// Writes an audit file anew, 64 KiB at a time, and waits each time until the disk has it. The file grows, so each sync
/// writes the file system's journal too.
#[inline(never)]
fn fault_fsync_audit(path: &Path, syncs: u64) -> Result<()> {
    let block = [0x5a_u8; 64 * 1024];
    let mut audit = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    for _ in 0..syncs {
        audit.write_all(&block)?;
        audit.sync_all()?;
    }
    Ok(())
}
