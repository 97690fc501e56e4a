//! Below the row threshold no time is without evidence: sums stand for the rows.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use coldcase_model::events::{OffCpu, OffCpuSum};

use crate::captured::{Captured, capture, capture_turning, only, tid};

/// Nanoseconds off the CPU, intervals, and CPU time told of a thread, from rows and from sums.
fn totals(captured: &Captured, tid: u32) -> [(u64, u64, u64); 2] {
    let mut totals = [(0, 0, 0); 2];
    captured.each::<OffCpu>(|c, rows| {
        for i in (0..rows).filter(|&i| c.tid[i] == tid) {
            let t = &mut totals[0];
            *t = (t.0 + c.duration[i], t.1 + 1, t.2 + c.ran[i]);
        }
    });
    captured.each::<OffCpuSum>(|c, rows| {
        for i in (0..rows).filter(|&i| c.tid[i] == tid) {
            let t = &mut totals[1];
            *t = (t.0 + c.off_cpu[i], t.1 + u64::from(c.count[i]), t.2 + c.ran[i]);
            assert!(c.run_queue[i] <= c.off_cpu[i] && c.count[i] > 0);
        }
    });
    totals
}

/// Sleeps often and shortly; says which thread did, and how many times.
fn naps(time: Duration) -> (u32, u64) {
    let (began, mut n) = (Instant::now(), 0);
    while began.elapsed() < time {
        std::thread::sleep(Duration::from_micros(200));
        n += 1;
    }
    (tid(), n)
}

#[test]
fn sums_and_rows_together_hold_every_interval_and_all_of_the_time() {
    let mut options = only("sched");
    options.thresholds.row = 50_000_000;
    // With the start and the end of the thread, which wait for a CPU too.
    let Some((captured, (tid, n, wall))) = capture(&options, || {
        let began = Instant::now();
        let (tid, n) = std::thread::spawn(|| naps(Duration::from_millis(1500))).join().unwrap();
        (tid, n, began.elapsed())
    }) else {
        return;
    };
    let [rows, sums] = totals(&captured, tid);
    // The kernel does not trace up to 20 switches in a thousand.
    assert!(sums.1 + n / 30 >= n && sums.1 < n + n / 5 + 200, "{n} naps, sums of {}", sums.1);
    // On a machine that is busy a nap may take long enough for a row.
    let mut short = Vec::new();
    captured.each::<OffCpu>(|c, rows| {
        let of_it = (0..rows).filter(|&i| c.tid[i] == tid && c.duration[i] < options.thresholds.row);
        short.extend(of_it.map(|i| (c.duration[i], c.flags[i])));
    });
    assert!(short.len() < 20, "{} rows in spite of the threshold: {:?}", short.len(), &short[..5]);
    let (off, wall) = (rows.0 + sums.0, wall.as_nanos() as u64);
    assert!(off < wall + wall / 50 && off > wall / 3, "{off} of {wall} ns off the CPU");
    let ran = rows.2 + sums.2;
    assert!(ran > 0 && off + ran < wall + wall / 20, "{off} ns off, {ran} ns on, {wall} ns in all");
    let mut flushes = HashMap::<u64, u32>::new();
    captured.each::<OffCpuSum>(|c, rows| {
        for i in (0..rows).filter(|&i| c.tid[i] == tid && c.syscall[i] == libc::SYS_clock_nanosleep as i32) {
            *flushes.entry(c.time[i]).or_default() += 1;
            assert!(c.duration[i] < 1_500_000_000, "a sum over {} ns", c.duration[i]);
        }
    });
    assert!(flushes.len() >= 2, "sums are taken while it runs: {flushes:?}");
}

#[test]
fn the_row_threshold_can_be_raised_and_lowered_while_it_runs() {
    let Some((captured, [before, between, after])) = capture_turning(&only("sched"), |dials| {
        let nap = || std::thread::spawn(|| naps(Duration::from_millis(100))).join().unwrap();
        let before = nap();
        dials.set_row_threshold(40_000_000).unwrap();
        let between = nap();
        dials.set_row_threshold(0).unwrap();
        [before, between, nap()]
    }) else {
        return;
    };
    for (tid, n) in [before, after] {
        let [rows, sums] = totals(&captured, tid);
        assert!(rows.1 + n / 30 + 2 >= n && sums.1 == 0, "{n} naps: {rows:?} {sums:?}");
    }
    let [rows, sums] = totals(&captured, between.0);
    assert!(rows.1 < 10 && sums.1 + between.1 / 30 + 2 >= between.1, "{between:?}: {rows:?} {sums:?}");
}
