//! Major faults by process: how long the thread waited for the page. The kernel tells when a fault is done, the switch of the
//! thread when it began to wait: joined by thread and time, hence inferred.

use std::collections::BTreeMap;

use coldcase_model::analysis::Latency;
use coldcase_model::events::{MajorFault, OffCpu};
use coldcase_timeline::{IntoBoot, Selection, Timeline};

use crate::axis::Axis;
use crate::series::Series;

/// Task state in which no signal wakes.
const UNINTERRUPTIBLE: u32 = 2;
/// Flag bit of a fault: the kernel touched the page, in a system call.
const IN_KERNEL: u32 = 1;

/// A fault of a thread.
#[derive(Debug, Clone, Copy)]
struct Fault {
    time: u64,
    in_kernel: bool,
    pid: u32,
    row: u64,
}

/// An uninterruptible wait of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Wait {
    start: u64,
    end: u64,
    in_syscall: bool,
}

/// The waits for pages of each process, largest total first. Faults for which no wait was recorded are left out.
pub(crate) fn latencies(t: &Timeline, axis: &Axis, selection: &Selection<'_>, bundle: &str) -> Vec<Latency> {
    let mut threads = BTreeMap::<u32, (Vec<Fault>, Vec<Wait>)>::new();
    for part in t.rows::<MajorFault>() {
        let c = &part.cols;
        for i in (0..part.len()).filter(|&i| selection.has(c.pid[i], c.tid[i], c.time[i], 0)) {
            let (time, in_kernel) = (c.time[i], c.flags[i] & IN_KERNEL != 0);
            threads.entry(c.tid[i]).or_default().0.push(Fault { time, in_kernel, pid: c.pid[i], row: part.row(i) });
        }
    }
    if threads.is_empty() {
        return Vec::new();
    }
    for part in t.rows::<OffCpu>() {
        let c = &part.cols;
        for i in (0..part.len()).filter(|&i| c.state[i] & UNINTERRUPTIBLE != 0) {
            if let Some(thread) = threads.get_mut(&c.tid[i]) {
                let end = c.time[i].saturating_add(c.duration[i]);
                thread.1.push(Wait { start: c.time[i], end, in_syscall: c.syscall[i] >= 0 });
            }
        }
    }
    let mut processes = BTreeMap::<String, Series>::new();
    for (mut faults, mut waits) in threads.into_values() {
        faults.sort_by_key(|f| f.time);
        waits.sort();
        for (fault, start) in faults.iter().zip(starts(&faults, &waits)) {
            let Some(start) = start else { continue };
            let name = crate::process_name(t, fault.pid, fault.time.into_boot());
            let series = processes.entry(name).or_default();
            series.push(axis, t.utc_of(start).0, fault.time - start, fault.row, None);
        }
    }
    let mut out: Vec<Latency> = processes
        .into_iter()
        .map(|(name, series)| series.finish(axis, "fault", name, bundle, "kernel.major_fault"))
        .collect();
    out.sort_by(|x, y| y.total.cmp(&x.total).then_with(|| x.name.cmp(&y.name)));
    out
}

/// For each fault of a thread, when its wait began: the last wait that lies between the fault before and this one, and
/// that began where the fault was: in user code, or in a system call.
fn starts(faults: &[Fault], waits: &[Wait]) -> Vec<Option<u64>> {
    let mut before = 0;
    let mut at = 0;
    let mut out = Vec::with_capacity(faults.len());
    for fault in faults {
        let mut start = None;
        while let Some(wait) = waits.get(at).filter(|w| w.end <= fault.time) {
            if wait.start >= before && wait.in_syscall == fault.in_kernel {
                start = Some(wait.start);
            }
            at += 1;
        }
        out.push(start);
        before = fault.time;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_has_the_wait_that_ended_before_it_and_no_other() {
        let fault = |time, in_kernel| Fault { time, in_kernel, pid: 1, row: 0 };
        let wait = |start, end, in_syscall| Wait { start, end, in_syscall };
        let faults = [fault(100, false), fault(200, false), fault(300, true), fault(400, false)];
        let waits = [wait(10, 20, true), wait(50, 90, false), wait(210, 250, true), wait(350, 500, false)];
        // The second had its page at once, and the last one's wait is another's: it ends behind the fault.
        assert_eq!(starts(&faults, &waits), [Some(50), None, Some(210), None]);
    }
}
