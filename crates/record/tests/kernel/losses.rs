//! Losses are counted: what was emitted is what was read and what was lost, whatever the size of the rings.

use std::time::{Duration, Instant};

use coldcase_model::events::{OffCpu, OffCpuSum, ThreadCgroup};

use crate::captured::{Captured, capture, only};

/// Two threads that hand a byte to and fro for some time, and at most so many times.
fn ping_pong(time: Duration, times: u32) {
    let (mut a, mut b) = std::os::unix::net::UnixStream::pair().unwrap();
    let other = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let mut byte = [0];
        while b.read_exact(&mut byte).is_ok() && b.write_all(&byte).is_ok() {}
    });
    {
        use std::io::{Read, Write};
        let (began, mut byte, mut n) = (Instant::now(), [0], 0);
        while began.elapsed() < time && n < times {
            a.write_all(&byte).unwrap();
            a.read_exact(&mut byte).unwrap();
            n += 1;
        }
    }
    drop(a);
    other.join().unwrap();
}

fn sums(captured: &Captured) -> (u64, u64, u64) {
    let emitted = captured.polled.iter().map(|p| p.change.emitted).sum();
    let lost = captured.polled.iter().map(|p| p.change.ring_full).sum();
    (emitted, lost, captured.read.iter().map(|r| r.1).sum())
}

#[test]
fn with_a_ring_of_one_page_losses_are_counted_to_the_event() {
    let mut options = only("sched");
    options.ring_bytes = 1;
    let Some((captured, ())) = capture(&options, || ping_pong(Duration::from_millis(700), u32::MAX)) else { return };
    let (emitted, lost, read) = sums(&captured);
    assert!(lost > 0, "{emitted} events fitted into one page");
    assert_eq!(emitted, read + lost);
    assert_eq!((captured.count::<OffCpu>() + captured.count::<ThreadCgroup>()) as u64, read);
    agree(&captured);
}

fn agree(captured: &Captured) {
    agree_on(captured, captured.count::<OffCpu>() + captured.count::<OffCpuSum>() + captured.count::<ThreadCgroup>());
}

/// What the kernel counted as refused on each CPU is what is missing there by the events' own numbers, to the event; `rows` is
/// how many were stored.
pub(crate) fn agree_on(captured: &Captured, rows: usize) {
    assert!(!captured.tallies.is_empty());
    for t in &captured.tallies {
        assert_eq!((t.emitted, t.refused), (t.received + t.refused, t.missing), "{t:?}");
    }
    let received: u64 = captured.tallies.iter().map(|t| t.received).sum();
    assert_eq!(received as usize, rows);
}

#[test]
fn in_a_storm_of_forks_every_event_is_stored_or_counted_as_lost_by_its_number() {
    let mut options = only("sched");
    options.ring_bytes = 1;
    options.thresholds.row = 20_000;
    let Some((captured, ())) = capture(&options, || {
        for _ in 0..150 {
            assert!(std::process::Command::new("true").status().unwrap().success());
        }
        ping_pong(Duration::from_millis(100), u32::MAX);
    }) else {
        return;
    };
    agree(&captured);
}

#[test]
fn with_a_group_for_each_cpu_nothing_is_lost_in_a_flood() {
    let mut options = only("sched");
    options.ring_cpus = 1;
    // Room for all of it, as a loaded machine may not let the reader run meanwhile.
    options.ring_bytes = 64 << 20;
    let Some((captured, ())) = capture(&options, || ping_pong(Duration::from_millis(700), 20_000)) else { return };
    let (emitted, lost, read) = sums(&captured);
    assert!(emitted > 1000, "{emitted}");
    assert_eq!((lost, emitted), (0, read));
    agree(&captured);
    let cost: u64 = captured.polled.iter().map(|p| p.change.cost()).sum();
    let runs: u64 = captured.polled.iter().map(|p| p.change.runs).sum();
    assert!(cost > 0 && runs > emitted, "{cost} ns in {runs} runs");
    eprintln!("{emitted} events, {} ns a run of a program", cost / runs);
}

#[test]
fn empty_programs_attach_to_every_hook() {
    use coldcase_record::kernel::objects::{EMPTY, SOURCES};
    let sections = |objects: &[coldcase_record::kernel::objects::Object]| {
        let mut all: Vec<String> =
            objects.iter().flat_map(|o| o.sections()).filter(|s| !s.starts_with("iter/")).collect();
        all.sort();
        all
    };
    assert_eq!(sections(EMPTY), sections(SOURCES));
    match coldcase_record::kernel::bench::empty_hooks(99, |_| true) {
        Ok(hooks) => assert!(hooks.links() >= sections(EMPTY).len()),
        Err(skip) => eprintln!("skipped: {}", skip.reason),
    }
}
