//! Off-CPU intervals against sleeps of known length and busy threads on one CPU.

use std::time::{Duration, Instant};

use coldcase_model::events::OffCpu;
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::captured::{Captured, capture, only, tid};

/// Whether this kernel's type information tells where the preempt count stands: not from Linux 6.2 to 6.14.
fn per_cpu_offsets_known() -> bool {
    let btf = std::fs::read("/sys/kernel/btf/vmlinux").unwrap_or_default();
    btf.windows(17).any(|w| w == b"\0__preempt_count\0")
}

/// An interval, as the tests look at it.
#[derive(Debug, Clone)]
struct Interval {
    time: u64,
    duration: u64,
    run_queue: u64,
    state: u32,
    syscall: i32,
    waker: u32,
    flags: u32,
    args: [u64; 3],
    ran: u64,
    delayed: u64,
    kernel: usize,
    user: usize,
}

fn of(captured: &Captured, tid: u32) -> Vec<Interval> {
    let mut found = Vec::new();
    captured.each::<OffCpu>(|c, rows| {
        for i in (0..rows).filter(|&i| c.tid[i] == tid) {
            found.push(Interval {
                time: c.time[i],
                duration: c.duration[i],
                run_queue: c.run_queue[i],
                state: c.state[i],
                syscall: c.syscall[i],
                waker: c.waker_tid[i],
                flags: c.flags[i],
                args: [c.arg0[i], c.arg1[i], c.arg2[i]],
                ran: c.ran[i],
                delayed: c.delayed[i],
                kernel: c.kernel_stack.get(i).len(),
                user: c.user_stack.get(i).len(),
            });
        }
    });
    found.sort_by_key(|i| i.time);
    found
}

const PREEMPTED: u32 = 1;
const WOKEN_BY_INTERRUPT: u32 = 4;
const BEFORE_CAPTURE: u32 = 8;
const CENSORED: u32 = 16;
const NEW_THREAD: u32 = 32;
const HARD_IRQ: u32 = 128;
const SOFT_IRQ: u32 = 256;
const TELLS_CPU_TIME: u32 = 8192;

#[test]
fn each_sleep_is_one_interval_of_its_length_in_its_system_call_with_stacks() {
    const SLEEPS: [u64; 4] = [3, 20, 7, 40];
    let Some((captured, (sleeper, took))) = capture(&only("sched"), || {
        let took = SLEEPS.map(|ms| {
            let began = Instant::now();
            std::thread::sleep(Duration::from_millis(ms));
            began.elapsed()
        });
        (tid(), took)
    }) else {
        return;
    };
    assert!(captured.wrong.is_empty(), "{:?}", captured.wrong);
    let slept: Vec<_> = of(&captured, sleeper)
        .into_iter()
        .filter(|i| i.state & 3 != 0 && i.syscall == libc::SYS_clock_nanosleep as i32 && i.flags & CENSORED == 0)
        .collect();
    assert_eq!(slept.len(), SLEEPS.len(), "{slept:#?}");
    for ((interval, ms), took) in slept.iter().zip(SLEEPS).zip(took) {
        let (least, most) = (ms * 1_000_000, took.as_nanos() as u64);
        assert!(interval.duration + 100_000 >= least && interval.duration <= most, "{interval:?} in {took:?}");
        assert!(interval.run_queue <= interval.duration && interval.kernel > 0 && interval.user > 0, "{interval:?}");
        assert!(interval.flags & WOKEN_BY_INTERRUPT != 0, "a timer woke it: {interval:?}");
        // The clock, no flags, a pointer to the time.
        assert_eq!(&interval.args[..2], [u64::from(libc::CLOCK_MONOTONIC as u32), 0], "{interval:?}");
        assert!(interval.args[2] > 0 && interval.flags & TELLS_CPU_TIME != 0, "{interval:?}");
        if per_cpu_offsets_known() {
            assert_eq!(interval.flags & (HARD_IRQ | SOFT_IRQ), HARD_IRQ, "timers run in hard IRQ: {interval:?}");
        }
    }
}

/// Sleeps under so many frames of its own.
#[inline(never)]
fn sleep_below(depth: u32) -> u32 {
    if depth == 0 {
        std::thread::sleep(Duration::from_millis(5));
        return 0;
    }
    // Not a tail call: something is left to do after it.
    std::hint::black_box(sleep_below(std::hint::black_box(depth - 1)) + 1)
}

#[test]
fn the_user_stack_of_a_sleep_holds_every_frame_below_it() {
    const DEPTH: u32 = 40;
    let Some((captured, sleeper)) = capture(&only("sched"), || {
        assert_eq!(sleep_below(DEPTH), DEPTH);
        tid()
    }) else {
        return;
    };
    let intervals = of(&captured, sleeper);
    let deepest = intervals.iter().filter(|i| i.state & 3 != 0).map(|i| i.user).max().unwrap_or(0);
    assert!(deepest > DEPTH as usize && deepest < 2 * DEPTH as usize, "{deepest} frames: {intervals:#?}");
}

#[test]
fn the_waker_of_a_thread_is_the_one_that_released_it() {
    let Some((captured, (sleeper, waker))) = capture(&only("sched"), || {
        let (send, receive) = std::sync::mpsc::channel();
        let sleeper = std::thread::spawn(move || {
            let _: () = receive.recv().unwrap();
            tid()
        });
        std::thread::sleep(Duration::from_millis(30));
        send.send(()).unwrap();
        (sleeper.join().unwrap(), tid())
    }) else {
        return;
    };
    let all = of(&captured, sleeper);
    let slept: Vec<_> = all.iter().filter(|i| i.state & 3 != 0 && i.syscall == libc::SYS_futex as i32).collect();
    let last = slept.last().unwrap_or_else(|| panic!("no futex wait: {all:#?}"));
    assert_eq!((last.waker, last.flags & WOKEN_BY_INTERRUPT), (waker, 0), "{last:?}");
    assert!(all[0].flags & NEW_THREAD != 0, "the wait for its first turn: {all:#?}");
}

#[test]
fn two_busy_threads_on_one_cpu_wait_in_the_run_queue_for_half_of_the_time() {
    const BUSY: Duration = Duration::from_millis(600);
    let Some((captured, threads)) = capture(&only("sched"), || {
        let spin = || {
            let mut cpus = CpuSet::new();
            cpus.set(0);
            sched_setaffinity(None, &cpus).unwrap();
            let began = Instant::now();
            while began.elapsed() < BUSY {
                std::hint::spin_loop();
            }
            tid()
        };
        let other = std::thread::spawn(spin);
        let this = std::thread::spawn(spin);
        [this.join().unwrap(), other.join().unwrap()]
    }) else {
        return;
    };
    for thread in threads {
        let intervals = of(&captured, thread);
        let waited: u64 = intervals.iter().filter(|i| i.flags & PREEMPTED != 0).map(|i| i.run_queue).sum();
        assert!(waited > BUSY.as_nanos() as u64 / 4, "waited {waited} ns of {BUSY:?}");
        for i in intervals.iter().filter(|i| i.flags & PREEMPTED != 0) {
            assert_eq!((i.run_queue, i.state, i.waker), (i.duration, 0, 0));
        }
    }
}

#[test]
fn a_thread_that_sleeps_before_and_after_the_capture_is_not_forgotten() {
    let (send, receive) = std::sync::mpsc::channel::<()>();
    let (say, heard) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        say.send(tid()).unwrap();
        let _ = receive.recv();
    });
    let sleeper = heard.recv().unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let work = Duration::from_millis(300);
    let captured = capture(&only("sched"), || std::thread::sleep(work));
    drop(send);
    thread.join().unwrap();
    let Some((captured, ())) = captured else { return };
    let intervals = of(&captured, sleeper);
    assert_eq!(intervals.len(), 1, "{intervals:#?}");
    let only = &intervals[0];
    assert_eq!(only.flags & (BEFORE_CAPTURE | CENSORED), BEFORE_CAPTURE | CENSORED, "{only:?}");
    assert!(only.duration >= work.as_nanos() as u64 && only.run_queue == 0, "{only:?}");
    assert_eq!(only.syscall, libc::SYS_futex as i32);
}

#[test]
fn intervals_of_a_thread_do_not_overlap_and_the_recorder_is_left_out() {
    let mut options = only("sched");
    options.leave_out = std::process::id();
    let Some((captured, (child, own))) = capture(&options, || {
        let mut child =
            std::process::Command::new("sh").args(["-c", "for i in 1 2 3 4 5; do sleep 0.02; done"]).spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        (pid, tid())
    }) else {
        return;
    };
    assert!(of(&captured, own).is_empty());
    let intervals = of(&captured, child);
    assert!(intervals.len() >= 5);
    for pair in intervals.windows(2) {
        assert!(pair[0].time + pair[0].duration <= pair[1].time, "{pair:#?}");
    }
}

/// The kernel's own count of a thread of ours: time on a CPU, time waited for one.
fn schedstat() -> (u64, u64) {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let mut words = text.split(' ').map(|w| w.trim().parse::<u64>().unwrap());
    (words.next().unwrap(), words.next().unwrap())
}

#[test]
fn the_cpu_time_and_the_run_queue_delay_of_a_thread_are_the_kernels_own() {
    let Some((captured, (thread, before, after))) = capture(&only("sched"), || {
        std::thread::spawn(|| {
            for _ in 0..30 {
                let began = Instant::now();
                while began.elapsed() < Duration::from_millis(5) {
                    std::hint::spin_loop();
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            // The row of this sleep tells what was up to its beginning.
            let before = schedstat();
            std::thread::sleep(Duration::from_millis(5));
            (tid(), before, schedstat())
        })
        .join()
        .unwrap()
    }) else {
        return;
    };
    // Not the end of the thread, which comes after all this.
    let mut intervals = of(&captured, thread);
    let last = intervals.iter().rposition(|i| i.syscall == libc::SYS_clock_nanosleep as i32).unwrap();
    intervals.truncate(last + 1);
    let told: u64 = intervals.iter().map(|i| i.ran).sum();
    let waited: u64 = intervals.iter().map(|i| i.delayed).sum();
    assert!(before.0 > 10_000_000 && before.0 <= told && told <= after.0, "{before:?} {told} {after:?} ns ran");
    assert!(before.1 <= waited && waited <= after.1, "{before:?} {waited} {after:?} ns waited for a CPU");
}

#[test]
fn a_datagram_that_wakes_its_reader_does_so_in_a_soft_irq() {
    if !per_cpu_offsets_known() {
        eprintln!("skipped: this kernel does not tell where its preempt count stands");
        return;
    }
    let Some((captured, reader)) = capture(&only("sched"), || {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = socket.local_addr().unwrap();
        let reader = std::thread::spawn(move || {
            socket.recv(&mut [0; 8]).unwrap();
            tid()
        });
        std::thread::sleep(Duration::from_millis(30));
        std::net::UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"x", at).unwrap();
        reader.join().unwrap()
    }) else {
        return;
    };
    let intervals = of(&captured, reader);
    let waited = intervals.iter().find(|i| i.syscall == libc::SYS_recvfrom as i32 && i.duration > 10_000_000);
    let waited = waited.unwrap_or_else(|| panic!("{intervals:#?}"));
    assert_eq!(waited.flags & (HARD_IRQ | SOFT_IRQ | WOKEN_BY_INTERRUPT), SOFT_IRQ | WOKEN_BY_INTERRUPT, "{waited:?}");
}
