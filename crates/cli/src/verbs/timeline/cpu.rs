//! Lines of the CPU's streams: cgroups, interrupts, system calls.

use std::fmt::Write;

use coldcase_model::{Boottime, Columns, Event, Nanos, events, syscall};
use coldcase_timeline::{ROOT, Timeline};

pub(super) fn thread_cgroup(t: &Timeline, columns: &Columns, i: usize) -> Option<String> {
    let c = events::ThreadCgroup::cols(columns).ok()?;
    let who = t.processes().describe(c.tid[i], c.pid[i], Boottime(c.time[i]));
    Some(match (c.cgroup[i], t.cpu_groups().get(c.cgroup[i])) {
        (_, Some(group)) => format!("{who} is in CPU cgroup {}", group.path),
        (ROOT, None) => format!("{who} is in the root CPU cgroup"),
        (id, None) => format!("{who} is in CPU cgroup {id}"),
    })
}

pub(super) fn cgroup_cpu(columns: &Columns, i: usize) -> Option<String> {
    let c = events::CgroupCpu::cols(columns).ok()?;
    let mut out = format!("CPU cgroup {} has ", c.path.text(i));
    match c.quota[i] {
        0 => out.push_str("no quota"),
        quota => _ = write!(out, "a quota of {} each {}", Nanos(quota), Nanos(c.period[i])),
    }
    _ = write!(out, ", weight {}", c.weight[i]);
    Some(out)
}

/// Soft ones have a vector's name, hard ones a number and their handler's name.
fn interrupt(what: u16, number: u32, name: &str) -> String {
    if what == 2 { format!("soft interrupt {name}") } else { format!("interrupt {number} ({name})") }
}

pub(super) fn interrupt_sum(columns: &Columns, i: usize) -> Option<String> {
    let c = events::InterruptSum::cols(columns).ok()?;
    let what = interrupt(c.what[i], c.number[i], &c.name.text(i));
    let (total, longest) = (Nanos(c.total[i]), Nanos(c.longest[i]));
    Some(format!("CPU {} {what}: {} times, {total} in all, longest {longest}", c.cpu[i], c.count[i]))
}

pub(super) fn long_interrupt(t: &Timeline, columns: &Columns, i: usize) -> Option<String> {
    let c = events::LongInterrupt::cols(columns).ok()?;
    let what = interrupt(c.what[i], c.number[i], &c.name.text(i));
    let mut out = format!("CPU {} {what} took {}", c.cpu[i], Nanos(c.duration[i]));
    if c.tid[i] != 0 {
        _ = write!(out, " from {}", t.processes().describe(c.tid[i], c.pid[i], Boottime(c.time[i])));
    }
    Some(out)
}

fn call(t: &Timeline, number: i32, flags: u32) -> String {
    let arch = t.bundle().manifest().map_or("x86_64", |m| m.host.arch.as_str());
    match syscall::name(arch, number) {
        Some(name) if flags & 1 == 0 => name.to_owned(),
        _ if flags & 1 != 0 => format!("32-bit system call {number}"),
        _ => format!("system call {number}"),
    }
}

pub(super) fn syscall_sum(t: &Timeline, columns: &Columns, i: usize) -> Option<String> {
    let c = events::SyscallSum::cols(columns).ok()?;
    let who = t.processes().label(c.pid[i], Boottime(c.time[i]));
    let what = call(t, c.syscall[i], c.flags[i]);
    let least = if c.at_least[i] == 0 { "less than 256ns".into() } else { format!("from {}", Nanos(c.at_least[i])) };
    let mut out = format!("{who}[{}] {what} {least}: {} times, {} in all", c.pid[i], c.count[i], Nanos(c.total[i]));
    if c.failed[i] > 0 {
        _ = write!(out, ", {} failed", c.failed[i]);
    }
    Some(out)
}

pub(super) fn slow_syscall(t: &Timeline, columns: &Columns, i: usize) -> Option<String> {
    let c = events::SlowSyscall::cols(columns).ok()?;
    let at = Boottime(c.time[i]);
    let who = t.processes().describe(c.tid[i], c.pid[i], at);
    let what = call(t, c.syscall[i], c.flags[i]);
    let args = [c.arg0[i], c.arg1[i], c.arg2[i]].map(|a| if a < 65_536 { a.to_string() } else { format!("{a:#x}") });
    let mut out = format!("{who} {what}({})", args.join(", "));
    // A path that a program gave is cut at its end, one of a descriptor at its beginning.
    let ends = |cut: bool, from_root: bool| match (cut, from_root) {
        (false, _) => ("", ""),
        (true, true) => ("…", ""),
        (true, false) => ("", "…"),
    };
    let flag = |bit: u32| c.flags[i] & bit != 0;
    let files = [(" on ", c.path.text(i), ends(flag(2), flag(8))), (" to ", c.to.text(i), ends(flag(4), false))];
    for (prefix, path, (before, after)) in files.into_iter().filter(|(_, path, _)| !path.is_empty()) {
        _ = write!(out, "{prefix}{before}{path}{after}");
    }
    _ = write!(out, " took {} = {}", Nanos(c.duration[i]), c.result[i]);
    let frames = t.symbols().stack(c.pid[i], at, &[], c.user_stack.get(i));
    super::line::innermost(&frames, &mut out);
    Some(out)
}
