//! Flame graphs of rows whose sums, wakers and windows are known: graphs sum to their rows, whatever the number of threads.
#![allow(clippy::unwrap_used)]

use coldcase_analyze::{AnalyzeError, DiffError, GroupBy, Options, Part, analyze};
use coldcase_model::analysis::Analysis;
use coldcase_model::events::{CpuSample, LockContention, OffCpu, OffCpuSum, Process};
use coldcase_model::manifest::Manifest;
use coldcase_model::{Columns, Event};
use coldcase_testkit::Builder;
use coldcase_testkit::rows::{self, BOOT};
use coldcase_timeline::When;
use proptest::prelude::*;

const MILLI: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;
const FUTEX: i32 = 202;
const NANOSLEEP: i32 = 35;
/// Flag bits of `kernel.offcpu`.
const INTERRUPT: u32 = 4;
const CENSORED: u32 = 16;
const HARD_IRQ: u32 = 128;

fn columns<E: Event>(rows: Vec<E>) -> Columns {
    let mut all = Columns::new(&E::DEF);
    rows.into_iter().for_each(|row| row.push(&mut all));
    all
}

/// A bundle of ten seconds with these rows, in several batches.
fn bundle(off: &[OffCpu], samples: &[u64]) -> (tempfile::TempDir, std::path::PathBuf) {
    bundle_with_sums(off, samples, &[])
}

/// The same, with sums of short intervals.
fn bundle_with_sums(off: &[OffCpu], samples: &[u64], sums: &[OffCpuSum]) -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("some.case");
    let process = |pid: u32, comm: &str, cgroup: &str| Process {
        time: BOOT,
        tid: pid,
        pid,
        started: BOOT / 2,
        comm: comm.into(),
        cgroup: cgroup.into(),
        ..Process::default()
    };
    let id = "7be92808767a667f35c8505cbf40d14e931ef6db5b0210329cf193b15ba9d605";
    let processes = [process(10, "web", ""), process(20, "store", &format!("0::/docker/{id}"))];
    let mut b = Builder::new(&path).unwrap().rows("recorder.anchor", rows::anchor(BOOT, "start")).unwrap();
    b = b.events(processes).unwrap();
    for some in off.chunks(7) {
        b = b.rows("kernel.offcpu", columns(some.to_vec())).unwrap().cut().unwrap();
    }
    b = b.events(sums.iter().cloned()).unwrap();
    let sample = |&time: &u64| CpuSample { time, tid: 10, pid: 10, ..CpuSample::default() };
    b = b.rows("kernel.cpu_sample", columns(samples.iter().map(sample).collect())).unwrap();
    let contended = LockContention {
        time: BOOT + SECOND,
        duration: 3 * MILLI,
        tid: 20,
        pid: 20,
        flags: 2,
        ..LockContention::default()
    };
    b = b.rows("kernel.lock", columns(vec![contended])).unwrap();
    b = b.rows("recorder.anchor", rows::anchor(BOOT + 10 * SECOND, "end")).unwrap();
    b.writer().flush().unwrap();
    b.writer().clone().seal(Manifest::default()).unwrap();
    (dir, path)
}

fn of(off: &[OffCpu], options: &Options) -> Analysis {
    let (_dir, path) = bundle(off, &[BOOT, BOOT + 3 * SECOND, BOOT + 5 * SECOND]);
    analyze(&path, &Options { parts: vec![Part::Flame], ..options.clone() }).unwrap()
}

fn stacks<'a>(a: &'a Analysis, kind: &str) -> &'a [(String, u64)] {
    a.flames.iter().find(|f| f.kind == kind).map_or(&[], |f| &f.stacks)
}

/// A wait of a thread from `start` on, woken by another.
fn wait(tid: u32, start: u64, duration: u64, syscall: i32, waker_tid: u32) -> OffCpu {
    let time = BOOT + start;
    OffCpu { time, duration, tid, pid: tid, state: 1, syscall, waker_tid, ..OffCpu::default() }
}

/// `web` waits for a lock that `store` holds, who sleeps meanwhile until its timer; before, `web` woke it.
fn lock() -> Vec<OffCpu> {
    vec![
        wait(20, 0, 90 * MILLI, FUTEX, 10),
        OffCpu { flags: INTERRUPT | HARD_IRQ, ..wait(20, 100 * MILLI, 50 * MILLI, NANOSLEEP, 10) },
        wait(20, 155 * MILLI, MILLI, FUTEX, 0),
        OffCpu { run_queue: 2 * MILLI, ..wait(10, 95 * MILLI, 67 * MILLI, FUTEX, 20) },
        OffCpu { flags: CENSORED, ..wait(10, 200 * MILLI, SECOND, FUTEX, 20) },
    ]
}

#[test]
fn a_wait_is_told_with_its_waker_and_where_that_one_had_waited() {
    let a = of(&lock(), &Options::default());
    let expected = [
        // The longest of what `store` waited in that time, not the last.
        (
            "web[10];[futex];[no stack];futex;--;store[20]@7be92808767a;[sleep];[no stack];nanosleep;--;[hard IRQ]",
            65 * MILLI,
        ),
        ("web[10];[futex];[no stack];futex;--;[not woken]", SECOND),
        ("store[20]@7be92808767a;[futex];[no stack];futex;--;web[10]", 90 * MILLI),
        ("store[20]@7be92808767a;[futex];[no stack];futex;--;[waker not seen]", MILLI),
        ("store[20]@7be92808767a;[sleep];[no stack];nanosleep;--;[hard IRQ]", 50 * MILLI),
    ];
    let told = stacks(&a, "wakeup");
    for (line, weight) in expected {
        assert!(told.contains(&(line.to_owned(), weight)), "{line}: {told:#?}");
    }
    assert_eq!(told.len(), expected.len());
    assert!(stacks(&a, "off-cpu").contains(&("web[10];[run queue]".to_owned(), 2 * MILLI)));
}

#[test]
fn intervals_too_short_for_rows_are_in_the_graph_and_in_the_waits_with_their_sums() {
    let sum = |syscall, state, count, off_cpu, run_queue| OffCpuSum {
        time: BOOT,
        duration: SECOND,
        tid: 10,
        pid: 10,
        syscall,
        state,
        count,
        off_cpu,
        run_queue,
        ..OffCpuSum::default()
    };
    let sums = [sum(FUTEX, 1, 400, 40 * MILLI, 3 * MILLI), sum(-1, 0, 50, 5 * MILLI, 0)];
    let (_dir, path) = bundle_with_sums(&lock(), &[BOOT], &sums);
    let a = analyze(&path, &Options::default()).unwrap();
    let told = |line: &str| stacks(&a, "off-cpu").iter().find(|(l, _)| l == line).map(|&(_, weight)| weight);
    // 67 ms and 1 s of the rows, without their queueing.
    assert_eq!(told("web[10];[futex];[no stack];futex"), Some((65 + 1000 + 37) * MILLI));
    assert_eq!(told("web[10];[run queue]"), Some((2 + 3 + 5) * MILLI));
    let wait = a.waits.iter().find(|w| w.process == "web[10]" && w.reason == "futex").unwrap();
    assert_eq!((wait.count, wait.total), (402, (65 + 1000 + 37) * MILLI));
}

#[test]
fn threads_that_wake_each_other_are_followed_a_few_times_only() {
    let rows: Vec<OffCpu> =
        (0..40).map(|i| wait(10 + 10 * (i % 2), 1_000 - 10 * u64::from(i), 5_000, FUTEX, 20 - 10 * (i % 2))).collect();
    let a = of(&rows, &Options::default());
    let hops = stacks(&a, "wakeup").iter().map(|(line, _)| line.matches(";--;").count()).max();
    assert_eq!(hops, Some(5), "four wakers, and that there are more: {:#?}", stacks(&a, "wakeup"));
    assert!(stacks(&a, "wakeup").iter().any(|(line, _)| line.ends_with(";--;[further wakers]")));
}

#[test]
fn stacks_begin_with_what_was_asked_for() {
    let first = |by| {
        let a = of(&lock(), &Options { by, ..Options::default() });
        assert!(a.flames.iter().all(|f| f.by == by.name()));
        stacks(&a, "off-cpu").iter().map(|(line, _)| line.split(";[").next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(first(GroupBy::Process).contains(&"web[10]".to_owned()));
    assert!(first(GroupBy::Thread).contains(&"web[10];web[10]".to_owned()));
    let containers = first(GroupBy::Container);
    assert!(containers.contains(&"[host];web[10]".to_owned()), "{containers:?}");
    assert!(containers.contains(&"7be92808767a;store[20]".to_owned()), "{containers:?}");
}

#[test]
fn a_window_is_held_against_the_rest_and_both_sum_to_the_whole() {
    let window = |from: u64, to: u64| Options {
        diff: true,
        from: Some(When::After((from * MILLI) as i64)),
        to: Some(When::After((to * MILLI) as i64)),
        ..Options::default()
    };
    let a = of(&lock(), &window(100, 150));
    let off = a.flame_diffs.iter().find(|d| d.kind == "off-cpu").unwrap();
    // From the first row to the last: the sample at 5 s.
    assert_eq!((off.window, off.base), (50 * MILLI, 5 * SECOND - 50 * MILLI));
    let stack = |line: &str| off.stacks.iter().find(|s| s.stack == line).map(|s| (s.base, s.window));
    assert_eq!(stack("store[20]@7be92808767a;[sleep];[no stack];nanosleep"), Some((0, 50 * MILLI)));
    assert_eq!(stack("web[10];[futex];[no stack];futex"), Some((15 * MILLI + SECOND, 50 * MILLI)));
    assert_eq!(off.functions[0].function, "nanosleep", "{:#?}", off.functions);
    assert!((off.functions[0].change - 1e9).abs() < 1.0, "it slept all the time, and never else");
    let on = a.flame_diffs.iter().find(|d| d.kind == "on-cpu").unwrap();
    assert_eq!(on.stacks.iter().map(|s| (s.base, s.window)).collect::<Vec<_>>(), [(3, 0)]);

    let (_dir, path) = bundle(&lock(), &[BOOT + 5 * SECOND]);
    let refused = |options: Options| match analyze(&path, &options) {
        Err(AnalyzeError::Diff(e)) => e,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(Options { diff: true, ..Options::default() }), DiffError::NoWindow);
    assert_eq!(refused(window(0, 6_000)), DiffError::NoBase);
    assert_eq!(refused(window(7_000, 9_000)), DiffError::Outside);
}

#[test]
fn waits_for_locks_have_a_latency_each() {
    let mutex = |start, duration, waker| OffCpu {
        arg0: 0x7000,
        arg1: 128,
        arg2: 2,
        flags: 1024,
        pid: 10,
        ..wait(11, start, duration, FUTEX, waker)
    };
    let condition = OffCpu { flags: 2 << 11, arg0: 0x8000, ..wait(10, 500 * MILLI, MILLI, FUTEX, 20) };
    let rows = [mutex(0, 5 * MILLI, 10), OffCpu { run_queue: MILLI, ..mutex(10 * MILLI, 9 * MILLI, 10) }, condition];
    let flames = of(&rows, &Options::default());
    let off = stacks(&flames, "off-cpu");
    assert!(off.contains(&("web[10];[lock];[no stack];futex".to_owned(), 13 * MILLI)), "{off:#?}");
    assert!(off.contains(&("web[10];[condition];[no stack];futex".to_owned(), MILLI)), "{off:#?}");
    let (_dir, path) = bundle(&rows, &[]);
    let a = analyze(&path, &Options { parts: vec![Part::Latency], ..Options::default() }).unwrap();
    let of = |group: &str| a.latencies.iter().filter(|l| l.group == group).collect::<Vec<_>>();
    let [lock] = of("lock")[..] else { panic!("{:#?}", of("lock")) };
    assert_eq!(lock.name, "web[10] mutex 0x7000, held by web[10]");
    assert_eq!((lock.count, lock.total, lock.p50, lock.max), (2, 13 * MILLI, 5 * MILLI, 8 * MILLI));
    assert_eq!(lock.heat.columns.iter().flatten().sum::<u64>(), 2);
    let [kernel] = of("kernel_lock")[..] else { panic!("{:#?}", of("kernel_lock")) };
    assert_eq!(
        (kernel.name.as_str(), kernel.total, kernel.errors),
        ("store[20]@7be92808767a rwsem, reading", 3 * MILLI, Some(0))
    );
}

/// Any row, plausible or not, but short enough that sums fit.
fn any_row() -> impl Strategy<Value = OffCpu> {
    let syscall = prop::sample::select(vec![FUTEX, NANOSLEEP, 0, 45, 74, -1, -2, 9_999]);
    let who = (0u32..6, 0u32..7, 0u32..16);
    (who, 0u64..8_000, 0u64..3_000, 0u64..3_000, syscall, 0u32..512).prop_map(
        |((tid, waker_tid, state), start, duration, run_queue, syscall, flags)| OffCpu {
            time: BOOT + start * MILLI,
            duration: duration * MILLI + 7,
            run_queue: run_queue * MILLI,
            tid: 10 + tid,
            pid: 10 * (1 + tid % 2),
            state,
            waker_tid: if waker_tid == 6 { 0 } else { 10 + waker_tid },
            syscall,
            flags,
            ..OffCpu::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn graphs_sum_to_their_rows_and_do_not_depend_on_the_threads(
        rows in prop::collection::vec(any_row(), 1..60),
        from in 0u64..4_000,
        long in 1u64..3_000,
        by in prop::sample::select(vec![GroupBy::Process, GroupBy::Thread, GroupBy::Container]),
    ) {
        let (_dir, path) = bundle(&rows, &[BOOT, BOOT + 9 * SECOND]);
        let options = |threads, diff| Options {
            threads: Some(threads),
            parts: vec![Part::Flame],
            by,
            diff,
            from: diff.then_some(When::After((from * MILLI) as i64)),
            to: diff.then_some(When::After(((from + long) * MILLI) as i64)),
            ..Options::default()
        };
        let whole = analyze(&path, &options(1, false)).unwrap();
        let queued = |r: &OffCpu| if r.flags & 1 != 0 { r.duration } else { r.run_queue.min(r.duration) };
        let sum = |kind: &str| stacks(&whole, kind).iter().map(|s| s.1).sum::<u64>();
        prop_assert_eq!(sum("on-cpu"), 2);
        prop_assert_eq!(sum("off-cpu"), rows.iter().map(|r| r.duration).sum::<u64>());
        prop_assert_eq!(sum("wakeup"), rows.iter().map(|r| r.duration - queued(r)).sum::<u64>());

        let diff = analyze(&path, &options(1, true)).unwrap();
        for d in &diff.flame_diffs {
            prop_assert_eq!(d.stacks.iter().map(|s| s.base + s.window).sum::<u64>(), sum(&d.kind), "{}", d.kind);
            let inside = |r: &OffCpu| {
                let (start, end) = (BOOT + from * MILLI, BOOT + (from + long) * MILLI);
                (r.time + r.duration).min(end).saturating_sub(r.time.max(start))
            };
            if d.kind == "off-cpu" {
                let window: u64 = d.stacks.iter().map(|s| s.window).sum();
                prop_assert_eq!(window, rows.iter().map(inside).sum::<u64>());
            }
        }
        for (one, is_diff) in [(whole, false), (diff, true)] {
            let two = analyze(&path, &options(2, is_diff)).unwrap();
            prop_assert_eq!(serde_json::to_string(&one).unwrap(), serde_json::to_string(&two).unwrap());
        }
    }
}
