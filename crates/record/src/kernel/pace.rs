//! Programs that are run rather than hooked: iterators, once a second, on a thread of their own.
//!
//! By their names: `each_second_<map>` iterates over that map (or over what its section says, when there is no such
//! map), `when_asked_<what>` runs after it if the object's map `asked` counted anything.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use libbpf_rs::{Iter, Link, MapCore, MapFlags, MapHandle};

/// Time between two passes.
const SECOND: Duration = Duration::from_secs(1);
/// A pass pauses after so many rows: iterators write a byte for each.
const ROWS: usize = 256;
/// Its share of time for one row: at most 20,000 rows a second. With more, the passes are further apart.
const ROW: Duration = Duration::from_micros(50);
/// The last pass may take so long.
const LAST: Duration = Duration::from_millis(500);
/// What is run when asked takes at most a hundredth of the time.
const SHARE: u32 = 100;

/// The iterators of one object.
pub(super) struct Passes {
    /// Run each second.
    pub(super) each: Vec<Link>,
    /// Run when the map says so.
    pub(super) asked: Option<(MapHandle, Vec<Link>)>,
    /// The programs of the object are attached still.
    pub(super) attached: Arc<AtomicBool>,
}

/// The thread that runs them.
pub(super) struct Pace {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Pace {
    /// Runs the passes at once and then each second.
    pub(super) fn start(passes: Vec<Passes>) -> std::io::Result<Pace> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut work: Vec<Work> = passes.into_iter().map(|passes| Work { passes, quiet_until: None }).collect();
        let thread = std::thread::Builder::new().name("cc-pace".into()).spawn({
            let stop = stop.clone();
            move || {
                loop {
                    let began = Instant::now();
                    let last = stop.load(Ordering::Acquire);
                    work.iter_mut().for_each(|w| w.pass(&stop));
                    if last {
                        return;
                    }
                    while !stop.load(Ordering::Acquire) && began.elapsed() < SECOND {
                        std::thread::park_timeout(SECOND.saturating_sub(began.elapsed()));
                    }
                }
            }
        })?;
        Ok(Pace { stop, thread })
    }

    /// Runs the passes once more and ends. Errors when the thread panicked.
    pub(super) fn stop(self) -> Result<(), String> {
        self.stop.store(true, Ordering::Release);
        self.thread.thread().unpark();
        self.thread.join().map_err(|_| "the thread that reads sockets panicked".into())
    }
}

struct Work {
    passes: Passes,
    quiet_until: Option<Instant>,
}

impl Work {
    fn pass(&mut self, stop: &AtomicBool) {
        if !self.passes.attached.load(Ordering::Acquire) {
            return;
        }
        run(&self.passes.each, stop);
        let Some((map, links)) = &self.passes.asked else { return };
        let asked = map.lookup(&0u32.to_ne_bytes(), MapFlags::ANY).ok().flatten();
        if asked.is_none_or(|count| count.iter().all(|&b| b == 0)) {
            return;
        }
        let began = Instant::now();
        if self.quiet_until.is_some_and(|until| began < until) || stop.load(Ordering::Acquire) {
            return;
        }
        if let Err(e) = map.update(&0u32.to_ne_bytes(), &0u64.to_ne_bytes(), MapFlags::ANY) {
            tracing::warn!("cannot reset the map of what is asked: {e}");
        }
        run(links, stop);
        self.quiet_until = Some(Instant::now() + began.elapsed() * SHARE);
    }
}

fn run(links: &[Link], stop: &AtomicBool) {
    for link in links {
        if let Err(e) = iterate(link, stop) {
            tracing::warn!("cannot iterate over sockets: {e}");
        }
    }
}

fn iterate(link: &Link, stop: &AtomicBool) -> Result<(), libbpf_rs::Error> {
    let (mut iter, mut rows) = (Iter::new(link)?, [0; ROWS]);
    let mut stopped: Option<Instant> = None;
    loop {
        let got = iter.read(&mut rows)?;
        if stop.load(Ordering::Acquire) && stopped.get_or_insert_with(Instant::now).elapsed() > LAST {
            return Ok(());
        }
        match got {
            0 => return Ok(()),
            ROWS => std::thread::sleep(ROW * ROWS as u32),
            _ => {}
        }
    }
}
