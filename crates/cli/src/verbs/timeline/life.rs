//! Lines of tasks and signals.

use coldcase_model::signal::{self, Ending};
use coldcase_model::{Boottime, Columns, Event, events};
use coldcase_timeline::Timeline;

pub(super) fn task(columns: &Columns, i: usize) -> Option<String> {
    let c = events::Task::cols(columns).ok()?;
    let (comm, tid, pid) = (c.comm.text(i), c.tid[i], c.pid[i]);
    let kind = if tid == pid { "process" } else { "thread" };
    Some(match c.what[i] {
        1 => format!("{kind} {comm}[{tid}] began, parent {}", if tid == pid { c.ppid[i] } else { pid }),
        2 => format!("process {pid} became {comm}"),
        3 => match Ending::of(c.exit_code[i]) {
            Ending::Exited(0) => format!("{kind} {comm}[{tid}] ended"),
            ending => format!("{kind} {comm}[{tid}] {ending}"),
        },
        4 => format!("{kind} [{tid}] is now called {comm}"),
        n => format!("{kind} {comm}[{tid}]: unknown change {n}"),
    })
}

pub(super) fn signal(t: &Timeline, columns: &Columns, i: usize) -> Option<String> {
    let c = events::Signal::cols(columns).ok()?;
    let at = Boottime(c.time[i]);
    let (name, to) = (signal::name(c.signal[i]), t.processes().describe(c.tid[i], c.pid[i], at));
    if c.what[i] == 2 {
        let how = match c.flags[i] {
            f if f & 4 != 0 => "in its handler",
            f if f & 2 != 0 => "and ignores it",
            _ => "by default",
        };
        return Some(format!("{to} takes {name} {how}"));
    }
    let from = match c.sender_tid[i] {
        0 => "the kernel".to_owned(),
        tid => t.processes().describe(tid, c.sender_pid[i], at),
    };
    let mut out = format!("{name} from {from} to {to}");
    if c.flags[i] & 1 == 0 {
        out.push_str(", that thread alone");
    }
    match c.result[i] {
        0 => {}
        1 => out.push_str(", ignored"),
        2 => out.push_str(", one waits already"),
        _ => out.push_str(", lost for want of memory"),
    }
    Some(out)
}
