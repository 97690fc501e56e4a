//! Consumers: one thread per group of CPUs drains the rings of all classes, the important ones first.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use coldcase_model::{Columns, EventDef, catalogue};
use libbpf_rs::{AsRawLibbpf, MapHandle, RingBufferBuilder};
use rustix::event::epoll;
use std::os::fd::AsFd;

use super::scope::Filter;
use super::tally::Tallies;
use crate::watchdog::Pulse;

/// Where rows go.
pub trait Sink: Send + Sync {
    /// Takes rows of a stream. `waited` is how long the oldest of them was held back here.
    fn rows(&self, def: &'static EventDef, rows: Columns, waited: Duration);
}

/// A ring is looked at this often even when nobody woke the consumer: with [`HOLD`] and the writer's own second it
/// keeps every event within the two seconds that a kill may cost.
const LOOK: Duration = Duration::from_millis(100);
/// Rows are held back no longer than this.
const HOLD: Duration = Duration::from_millis(250);
/// Rows are handed over when so many are there.
const ROWS: usize = 4096;
/// Events taken from one ring before the more important ones are looked at again.
const TURN: usize = 2048;

/// A ring that a consumer drains, and where it counts what it read.
pub(super) struct Drained {
    /// The ring.
    pub(super) ring: MapHandle,
    /// Counts what is read.
    pub(super) tallies: Arc<Tallies>,
}

/// Drains until `stop` is set and the rings are empty. Errors when the rings cannot be mapped.
pub(super) fn run(
    rings: Vec<Drained>,
    filter: Filter,
    sink: &dyn Sink,
    stop: &AtomicBool,
    pulse: Pulse,
    ready: impl FnOnce(),
) -> Result<(), String> {
    let batches =
        Rc::new(RefCell::new(Batches { open: Vec::new(), filter, sink, malformed: 0, pulse, emptied: Instant::now() }));
    let wakes = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|e| e.to_string())?;
    let mut builder = RingBufferBuilder::new();
    for drained in &rings {
        let (batches, tallies) = (batches.clone(), &drained.tallies);
        let take = move |event: &[u8]| {
            let wanted = batches.borrow_mut().take(event);
            tallies.count(event, wanted);
            0
        };
        builder.add(&drained.ring, take).map_err(|e| e.to_string())?;
        // Edge-triggered: what arrives without a wake-up must not wake us.
        let on = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&wakes, drained.ring.as_fd(), epoll::EventData::new_u64(0), on).map_err(|e| e.to_string())?;
    }
    let manager = builder.build().map_err(|e| e.to_string())?;
    let raw: Vec<_> = (0..rings.len() as u32)
        // SAFETY: the manager is alive as long as the pointers are used, and has one ring for each index.
        .map(|i| unsafe { libbpf_sys::ring_buffer__ring(manager.as_libbpf_object().as_ptr(), i) })
        .collect();
    ready();
    let timeout = rustix::time::Timespec { tv_sec: 0, tv_nsec: LOOK.as_nanos() as i64 };
    let mut events = [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }; 8];
    loop {
        let last = stop.load(Ordering::Acquire);
        loop {
            let (began, mut taken, mut more) = (Instant::now(), 0, false);
            for &ring in &raw {
                let events = turn(ring);
                taken += events;
                more |= events >= TURN;
            }
            if !more {
                batches.borrow_mut().emptied = began;
            }
            if taken == 0 {
                break;
            }
            batches.borrow_mut().hand_over(false);
        }
        batches.borrow_mut().hand_over(last);
        if last {
            break;
        }
        let _ = epoll::wait(&wakes, &mut events[..], Some(&timeout));
    }
    let malformed = batches.borrow().malformed;
    if malformed > 0 { Err(format!("{malformed} events did not have the layout of their kind")) } else { Ok(()) }
}

/// Takes a turn's worth of events from a ring.
fn turn(ring: *mut libbpf_sys::ring) -> usize {
    // SAFETY: the ring belongs to the manager of the calling thread, which is alive.
    let taken = unsafe { libbpf_sys::ring__consume_n(ring, TURN as libbpf_sys::size_t) };
    usize::try_from(taken).unwrap_or(0)
}

struct Open {
    def: &'static EventDef,
    rows: Columns,
    /// No row of it waited in a ring before this.
    since: Instant,
}

struct Batches<'s> {
    open: Vec<Open>,
    filter: Filter,
    sink: &'s dyn Sink,
    malformed: u64,
    pulse: Pulse,
    /// When every ring was last seen empty: no event that comes now is older.
    emptied: Instant,
}

impl Batches<'_> {
    /// Takes an event; false when it is out of scope.
    fn take(&mut self, event: &[u8]) -> bool {
        let kind = match event {
            [a, b, ..] => u16::from_le_bytes([*a, *b]),
            _ => 0,
        };
        let at = match self.open.iter().position(|o| o.def.kind == kind) {
            Some(at) => at,
            None => {
                let Some(def) = catalogue::by_kind(kind) else {
                    self.malformed += 1;
                    return true;
                };
                self.open.push(Open { def, rows: Columns::new(def), since: self.emptied });
                self.open.len() - 1
            }
        };
        let open = &mut self.open[at];
        if !self.filter.wants(open.def, event) {
            return false;
        }
        if open.rows.is_empty() {
            open.since = self.emptied;
        }
        if open.rows.push_kernel(open.def, event).is_err() {
            self.malformed += 1;
        }
        if open.rows.len() >= ROWS {
            self.sink.rows(open.def, open.rows.take(), open.since.elapsed());
        }
        true
    }

    fn hand_over(&mut self, all: bool) {
        self.pulse.beat();
        for open in &mut self.open {
            let waited = open.since.elapsed();
            if !open.rows.is_empty() && (all || waited >= HOLD) {
                self.sink.rows(open.def, open.rows.take(), waited);
            }
        }
    }
}
