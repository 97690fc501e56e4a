//! The dials of a running capture do what they say, at once.

use std::time::Duration;

use coldcase_model::events::OffCpu;

use crate::captured::{Captured, capture_turning, only, tid};

const SLEEP: Duration = Duration::from_millis(12);

/// Of each sleep of this thread in a timer: how many frames its row has.
fn sleeps(captured: &Captured, tid: u32) -> Vec<usize> {
    let mut found = Vec::new();
    captured.each::<OffCpu>(|c, rows| {
        let slept = |i: &usize| c.tid[*i] == tid && c.syscall[*i] == libc::SYS_clock_nanosleep as i32;
        found.extend((0..rows).filter(slept).map(|i| (c.time[i], c.kernel_stack.get(i).len())));
    });
    found.sort_unstable();
    found.into_iter().map(|(_, frames)| frames).collect()
}

#[test]
fn stacks_can_be_switched_off_and_on_while_it_runs() {
    let Some((captured, sleeper)) = capture_turning(&only("sched"), |dials| {
        std::thread::sleep(SLEEP);
        dials.set_stacks(false).unwrap();
        std::thread::sleep(SLEEP);
        dials.set_stacks(true).unwrap();
        std::thread::sleep(SLEEP);
        tid()
    }) else {
        return;
    };
    let frames = sleeps(&captured, sleeper);
    assert_eq!(frames.iter().map(|&f| f > 0).collect::<Vec<_>>(), [true, false, true], "{frames:?}");
}

#[test]
fn a_detached_object_writes_what_is_open_and_then_nothing_more() {
    let Some((captured, sleeper)) = capture_turning(&only("sched"), |dials| {
        std::thread::sleep(SLEEP);
        assert_eq!(dials.detach("sched"), Ok(true));
        assert_eq!(dials.detach("sched"), Ok(false));
        std::thread::sleep(SLEEP);
        tid()
    }) else {
        return;
    };
    assert!(captured.wrong.is_empty(), "{:?}", captured.wrong);
    assert_eq!(sleeps(&captured, sleeper).len(), 1);
    let (mut censored, mut rows) = (0, 0);
    captured.each::<OffCpu>(|c, n| {
        rows += n;
        censored += c.flags.iter().filter(|&&f| f & 16 != 0).count();
    });
    assert!(censored > 0 && censored < rows, "{censored} of {rows} rows were open when it was detached");
}
