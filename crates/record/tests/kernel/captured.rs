//! A capture into memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use coldcase_model::{Columns, Event, EventDef};
use coldcase_record::kernel::consume::Sink;
use coldcase_record::kernel::dials::Dials;
use coldcase_record::kernel::{Capture, Options, Polled, RingTally};

/// What a capture brought.
pub(crate) struct Captured {
    rows: HashMap<&'static str, Vec<Columns>>,
    /// The counters over the whole capture.
    pub(crate) polled: Vec<Polled>,
    /// Events read, by object.
    pub(crate) read: Vec<(&'static str, u64)>,
    /// What became of the events of each object on each CPU.
    pub(crate) tallies: Vec<RingTally>,
    /// What went wrong at the stop.
    pub(crate) wrong: Vec<String>,
}

#[derive(Default)]
struct Memory(Mutex<HashMap<&'static str, Vec<Columns>>>);

impl Sink for Memory {
    fn rows(&self, def: &'static EventDef, rows: Columns, _: Duration) {
        self.0.lock().unwrap().entry(def.stream).or_default().push(rows);
    }
}

/// This object alone, this process included.
pub(crate) fn only(object: &'static str) -> Options {
    Options { only: vec![object], leave_out: 0, ..Options::default() }
}

/// Waits until there is what is looked for, each few milliseconds anew: a loaded machine takes its time.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(120), "{what}: not in two minutes");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// How many threads of a process are in this system call, waiting.
pub(crate) fn in_call(pid: u32, call: libc::c_long) -> usize {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let calls = threads.filter_map(|t| std::fs::read_to_string(t.path().join("syscall")).ok());
    calls.filter(|c| c.split(' ').next() == Some(&call.to_string())).count()
}

/// Rows that arrive while the capture runs.
pub(crate) struct Arriving(Arc<Memory>);

impl Arriving {
    /// How many rows of a kind that have arrived are such.
    pub(crate) fn count<E: Event>(&self, such: impl Fn(&E::Cols<'_>, usize) -> bool) -> usize {
        let rows = self.0.0.lock().unwrap();
        let batches = rows.get(E::DEF.stream).map_or(&[][..], Vec::as_slice);
        let of = |rows: &Columns| {
            let columns = E::cols(rows).unwrap();
            (0..rows.len()).filter(|&i| such(&columns, i)).count()
        };
        batches.iter().map(of).sum()
    }
}

/// Captures while `work` runs. `None`, with the reason printed, where the kernel or our rights do not allow it.
pub(crate) fn capture<T>(options: &Options, work: impl FnOnce() -> T) -> Option<(Captured, T)> {
    capture_turning(options, |_| work())
}

/// The same; `work` gets the dials.
pub(crate) fn capture_turning<T>(options: &Options, work: impl FnOnce(Dials) -> T) -> Option<(Captured, T)> {
    capture_with(options, |dials, _| work(dials))
}

/// The same; `work` sees the rows that have arrived.
pub(crate) fn capture_watching<T>(options: &Options, work: impl FnOnce(&Arriving) -> T) -> Option<(Captured, T)> {
    capture_with(options, |_, arriving| work(arriving))
}

fn capture_with<T>(options: &Options, work: impl FnOnce(Dials, &Arriving) -> T) -> Option<(Captured, T)> {
    let memory = Arc::new(Memory::default());
    let mut capture = match Capture::start(options, memory.clone()) {
        Ok(capture) => capture,
        Err(skip) => {
            eprintln!("skipped: {} {}", skip.reason, skip.hint);
            return None;
        }
    };
    if let Some((object, skip)) = capture.skipped.first() {
        panic!("kernel.{object}: {}", skip.reason);
    }
    let done = work(capture.dials(), &Arriving(memory.clone()));
    let wrong = capture.stop();
    let (polled, read, tallies) = (capture.poll(), capture.running(), capture.tallies());
    let rows = std::mem::take(&mut *memory.0.lock().unwrap());
    Some((Captured { rows, polled, read, tallies, wrong }, done))
}

impl Captured {
    /// Gives the typed columns of each batch of a kind.
    pub(crate) fn each<E: Event>(&self, mut take: impl FnMut(E::Cols<'_>, usize)) {
        for rows in self.rows.get(E::DEF.stream).map_or(&[][..], Vec::as_slice) {
            take(E::cols(rows).unwrap(), rows.len());
        }
    }

    /// How many rows of a kind there are.
    pub(crate) fn count<E: Event>(&self) -> usize {
        self.rows.get(E::DEF.stream).map_or(0, |batches| batches.iter().map(Columns::len).sum())
    }
}

/// The kernel's id of the calling thread.
pub(crate) fn tid() -> u32 {
    rustix::thread::gettid().as_raw_nonzero().get() as u32
}
