//! Who was who: processes and threads over time, from the snapshots of the recorder and the kernel's task events.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use coldcase_model::entity::ProcessKey;
use coldcase_model::events;
use coldcase_model::{Boottime, Event};

use crate::segment::Segment;

/// Two start times of one process differ by at most this: `/proc` counts in ticks of 10 ms.
const SAME_START: u64 = 20_000_000;

/// A process.
#[derive(Debug, Clone, PartialEq)]
pub struct Process {
    /// Its pid and start: unique, even when pids are reused.
    pub key: ProcessKey,
    /// Its parent; 0 when unknown.
    pub parent: u32,
    /// Effective user id; `None` when it was never read.
    pub uid: Option<u32>,
    /// When it ended; `None` when it lived on.
    pub ended: Option<Boottime>,
    /// Its exit code as in `wait(2)`, if its end was seen.
    pub exit_code: Option<i32>,
    /// Whether it is a kernel thread.
    pub kernel: bool,
    /// Path of its executable; empty for kernel threads and when not readable.
    pub exe: String,
    /// Its arguments, masked.
    pub argv: String,
    /// Its cgroup paths, as in `/proc/PID/cgroup`.
    pub cgroup: String,
    /// Name of its OTel service, where spans tell one for its pid. Inferred: a sender in a PID namespace of its own
    /// tells another pid.
    pub service: Option<Arc<str>>,
    names: Names,
}

/// Names with the time from which each holds.
#[derive(Debug, Clone, PartialEq, Default)]
struct Names(Vec<(Boottime, Arc<str>)>);

impl Names {
    fn put(&mut self, at: Boottime, name: &str) {
        if name.is_empty() || self.0.last().is_some_and(|(_, n)| **n == *name) {
            return;
        }
        self.0.push((at, name.into()));
    }

    /// The name at a time; the first one before that.
    fn at(&self, at: Boottime) -> Option<&Arc<str>> {
        let after = self.0.partition_point(|(from, _)| *from <= at);
        self.0.get(after.saturating_sub(1)).map(|(_, n)| n)
    }
}

impl Process {
    /// Its name (`comm`) at a time.
    pub fn comm(&self, at: Boottime) -> &str {
        self.names.at(at).map_or("", |n| n)
    }

    /// How to call it: its service, else its name, else its pid.
    pub fn label(&self, at: Boottime) -> Arc<str> {
        match (&self.service, self.names.at(at)) {
            (Some(service), _) => service.clone(),
            (None, Some(name)) => name.clone(),
            (None, None) => format!("pid {}", self.key.pid).into(),
        }
    }
}

/// A thread, while one tid meant it.
#[derive(Debug, Clone)]
struct Thread {
    from: Boottime,
    pid: u32,
    names: Names,
}

/// The processes and threads of a bundle.
#[derive(Debug, Default)]
pub struct Processes {
    /// By pid, each in order of start.
    processes: BTreeMap<u32, Vec<Process>>,
    /// By tid, each in order of start.
    threads: HashMap<u32, Vec<Thread>>,
    /// Services by pid, for processes of which nothing else is known.
    services: HashMap<u32, Arc<str>>,
}

/// One thing that was learnt about a task.
struct Fact<'a> {
    time: Boottime,
    tid: u32,
    pid: u32,
    parent: u32,
    started: u64,
    comm: std::borrow::Cow<'a, str>,
    what: What<'a>,
}

enum What<'a> {
    Snapshot(&'a events_cols::Process<'a>, usize),
    Fork,
    Exec,
    Exit(i32),
    Rename,
    KernelThread,
}

/// Names for the column types that the event macro hides.
mod events_cols {
    use coldcase_model::{Event, events};
    pub(super) type Process<'a> = <events::Process as Event>::Cols<'a>;
}

impl Processes {
    /// Learns from segments of `host.process` and `kernel.task`.
    pub(crate) fn new(snapshots: &[Segment], tasks: &[Segment]) -> Processes {
        let snapshots: Vec<_> = snapshots.iter().filter_map(|s| events::Process::cols(&s.columns).ok()).collect();
        let mut facts = Vec::new();
        for cols in &snapshots {
            for i in 0..cols.tid.len() {
                facts.push(Fact {
                    time: Boottime(cols.time[i]),
                    tid: cols.tid[i],
                    pid: cols.pid[i],
                    parent: cols.ppid[i],
                    started: cols.started[i],
                    comm: cols.comm.text(i),
                    what: What::Snapshot(cols, i),
                });
            }
        }
        let tasks: Vec<_> = tasks.iter().filter_map(|s| events::Task::cols(&s.columns).ok()).collect();
        for cols in &tasks {
            for i in 0..cols.tid.len() {
                let mut fact = Fact {
                    time: Boottime(cols.time[i]),
                    tid: cols.tid[i],
                    pid: cols.pid[i],
                    parent: cols.ppid[i],
                    started: cols.started[i],
                    comm: cols.comm.text(i),
                    what: match cols.what[i] {
                        1 => What::Fork,
                        2 => What::Exec,
                        3 => What::Exit(cols.exit_code[i]),
                        _ => What::Rename,
                    },
                };
                if cols.flags[i] & 2 != 0 {
                    facts.push(Fact { what: What::KernelThread, comm: fact.comm.clone(), ..fact });
                    fact.time = Boottime(cols.time[i]);
                }
                facts.push(fact);
            }
        }
        facts.sort_by_key(|f| f.time);
        let mut out = Processes::default();
        for fact in &facts {
            out.learn(fact);
        }
        out
    }

    fn learn(&mut self, f: &Fact<'_>) {
        let threads = self.threads.entry(f.tid).or_default();
        let fresh = matches!(f.what, What::Fork) || threads.last().is_none_or(|t| t.pid != f.pid);
        if fresh {
            threads.push(Thread { from: f.time, pid: f.pid, names: Names::default() });
        }
        if let Some(thread) = threads.last_mut() {
            thread.names.put(f.time, &f.comm);
        }
        if f.tid != f.pid {
            return;
        }
        let lives = self.processes.entry(f.pid).or_default();
        let known = lives.iter().rposition(|p| p.key.started.abs_diff(f.started) <= SAME_START);
        let at = known.unwrap_or_else(|| {
            lives.push(Process {
                key: ProcessKey { pid: f.pid, started: f.started },
                parent: f.parent,
                uid: None,
                ended: None,
                exit_code: None,
                kernel: false,
                exe: String::new(),
                argv: String::new(),
                cgroup: String::new(),
                service: None,
                names: Names::default(),
            });
            lives.len() - 1
        });
        let Some(p) = lives.get_mut(at) else { return };
        p.names.put(f.time, &f.comm);
        match f.what {
            What::Snapshot(cols, i) => {
                p.uid = Some(cols.uid[i]);
                p.parent = f.parent;
                p.exe = cols.exe.text(i).into_owned();
                p.argv = cols.argv.text(i).into_owned();
                p.cgroup = cols.cgroup.text(i).into_owned();
                p.kernel |= f.pid == 2 || f.parent == 2;
            }
            What::Exit(code) => {
                p.ended = Some(f.time);
                p.exit_code = Some(code);
            }
            What::KernelThread => p.kernel = true,
            What::Fork | What::Exec | What::Rename => {}
        }
    }

    /// Gives services their processes: pid as the spans' senders tell it, and the service's name.
    pub(crate) fn name_services<'a>(&mut self, services: impl Iterator<Item = (u32, &'a str)>) {
        for (pid, service) in services {
            match self.processes.get_mut(&pid) {
                Some(lives) => {
                    for p in lives.iter_mut().filter(|p| !p.kernel) {
                        p.service.get_or_insert_with(|| service.into());
                    }
                }
                None => _ = self.services.entry(pid).or_insert_with(|| service.into()),
            }
        }
    }

    /// The process that had `pid` at a time.
    pub fn get(&self, pid: u32, at: Boottime) -> Option<&Process> {
        let lives = self.processes.get(&pid)?;
        let after = lives.partition_point(|p| p.key.started <= at.0.saturating_add(SAME_START));
        lives.get(after.saturating_sub(1))
    }

    /// All processes, by pid and start.
    pub fn all(&self) -> impl Iterator<Item = &Process> {
        self.processes.values().flatten()
    }

    /// The processes of a service.
    pub fn of_service<'a>(&'a self, service: &'a str) -> impl Iterator<Item = &'a Process> {
        self.all().filter(move |p| p.service.as_deref() == Some(service))
    }

    /// How to call the process of `pid` at a time: its service, else its name, else `pid N`.
    pub fn label(&self, pid: u32, at: Boottime) -> Arc<str> {
        match (self.get(pid, at), self.services.get(&pid)) {
            (Some(p), _) => p.label(at),
            (None, Some(service)) => service.clone(),
            (None, None) => format!("pid {pid}").into(),
        }
    }

    /// The name of a thread at a time; empty when unknown.
    pub fn thread(&self, tid: u32, at: Boottime) -> &str {
        self.epoch(tid, at).and_then(|t| t.names.at(at)).map_or("", |n| n)
    }

    /// The process of a thread at a time.
    pub fn pid_of(&self, tid: u32, at: Boottime) -> Option<u32> {
        self.epoch(tid, at).map(|t| t.pid)
    }

    fn epoch(&self, tid: u32, at: Boottime) -> Option<&Thread> {
        let threads = self.threads.get(&tid)?;
        let after = threads.partition_point(|t| t.from <= at);
        threads.get(after.saturating_sub(1))
    }

    /// `process/thread[tid]`, or `process[tid]` where thread and process have one name.
    pub fn describe(&self, tid: u32, pid: u32, at: Boottime) -> String {
        let process = if pid == 0 { self.label(self.pid_of(tid, at).unwrap_or(tid), at) } else { self.label(pid, at) };
        match self.thread(tid, at) {
            "" => format!("{process}[{tid}]"),
            thread if *thread == *process => format!("{process}[{tid}]"),
            thread => format!("{process}/{thread}[{tid}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coldcase_model::Columns;
    use coldcase_model::field::Comm;

    fn comm(name: &str) -> Comm {
        let mut out = [0; 16];
        out[..name.len()].copy_from_slice(name.as_bytes());
        Comm(out)
    }

    fn task(time: u64, what: u32, tid: u32, pid: u32, started: u64, name: &str) -> events::Task {
        events::Task { time, what, tid, pid, ppid: 1, started, comm: comm(name), ..events::Task::default() }
    }

    #[test]
    fn a_reused_pid_is_two_processes() {
        let second = 1_000_000_000;
        let mut snapshots = Columns::new(&events::Process::DEF);
        events::Process {
            time: second,
            tid: 7,
            pid: 7,
            started: second / 2,
            comm: "old".into(),
            exe: "/bin/old".into(),
            ..Default::default()
        }
        .push(&mut snapshots);
        let mut tasks = Columns::new(&events::Task::DEF);
        // The kernel's start differs from what /proc shows by less than a tick.
        task(3 * second, 3, 7, 7, second / 2 + 4_000_000, "old").push(&mut tasks);
        task(5 * second, 1, 7, 7, 5 * second, "shell").push(&mut tasks);
        task(6 * second, 2, 7, 7, 5 * second, "new").push(&mut tasks);
        task(7 * second, 1, 8, 7, 5 * second, "worker").push(&mut tasks);
        let p = Processes::new(&[Segment::new(0, snapshots)], &[Segment::new(0, tasks)]);
        assert_eq!(p.all().count(), 2);
        assert_eq!(&*p.label(7, Boottime(2 * second)), "old");
        assert_eq!(p.get(7, Boottime(2 * second)).and_then(|p| p.ended), Some(Boottime(3 * second)));
        assert_eq!(&*p.label(7, Boottime(5 * second + 1)), "shell");
        assert_eq!(&*p.label(7, Boottime(9 * second)), "new");
        assert_eq!(p.get(7, Boottime(9 * second)).map(|p| p.exe.as_str()), Some(""));
        assert_eq!(p.describe(8, 7, Boottime(9 * second)), "new/worker[8]");
    }
}
