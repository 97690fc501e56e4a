//! Who was who: processes and threads over time, from the snapshots of the recorder and the kernel's task events.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use coldcase_model::entity::ProcessKey;
use coldcase_model::events;
use coldcase_model::{Boottime, Event};

use crate::container::{self, Container, ContainerNames};
use crate::process::{Names, Process};
use crate::segment::Segment;

/// What was read of a process this long before it became another program may be of the new one: the program is changed
/// before the kernel says so.
const EXEC_TAKES: u64 = 50_000_000;
/// Two start times of one process differ by at most this: `/proc` counts in ticks of 10 ms.
const SAME_START: u64 = 20_000_000;

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
    /// Pid inside, and its namespace.
    inner: (u32, u32),
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
    /// Learns from segments of `host.process`, `kernel.task`, `kernel.exec` and `host.container`.
    pub(crate) fn new(
        snapshots: &[Segment],
        tasks: &[Segment],
        execs: &[Segment],
        containers: &[Segment],
    ) -> Processes {
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
                    inner: (cols.inner_pid[i], cols.pid_namespace[i]),
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
                    inner: (cols.inner_pid[i], cols.pid_namespace[i]),
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
        out.learn_arguments(execs);
        out.inherit(&container::names(containers));
        out
    }

    fn learn(&mut self, f: &Fact<'_>) {
        let threads = self.threads.entry(f.tid).or_default();
        let fresh = matches!(f.what, What::Fork) || threads.last().is_none_or(|t| t.pid != f.pid);
        if fresh {
            // A snapshot comes long after a thread began.
            let from = if matches!(f.what, What::Fork) { f.time } else { Boottime(f.started).min(f.time) };
            threads.push(Thread { from, pid: f.pid, names: Names::default() });
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
                cgroup_inherited: false,
                container: None,
                inner_pid: 0,
                pid_namespace: 0,
                service: None,
                names: Names::default(),
                read: Boottime(0),
            });
            lives.len() - 1
        });
        let Some(p) = lives.get_mut(at) else { return };
        p.names.put(f.time, &f.comm);
        if f.inner.1 != 0 {
            (p.inner_pid, p.pid_namespace) = f.inner;
        }
        match f.what {
            What::Snapshot(cols, i) => {
                p.read = f.time;
                p.uid = Some(cols.uid[i]);
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
            What::Exec if p.read.0.saturating_add(EXEC_TAKES) < f.time.0 => {
                // Another program now. Where nobody read its own, none is better than the one before.
                p.exe.clear();
                p.argv.clear();
            }
            What::Fork | What::Exec | What::Rename => {}
        }
    }

    /// Arguments of programs that nobody could read in time.
    fn learn_arguments(&mut self, execs: &[Segment]) {
        let mut all: Vec<(u64, u32, u64, String)> = Vec::new();
        for c in execs.iter().filter_map(|s| events::Exec::cols(&s.columns).ok()) {
            all.extend((0..c.time.len()).map(|i| (c.time[i], c.pid[i], c.started[i], c.argv.text(i).into_owned())));
        }
        all.sort_unstable();
        for (time, pid, started, argv) in all {
            let lives = self.processes.get_mut(&pid).into_iter().flatten();
            let same = |p: &&mut Process| p.key.started.abs_diff(started) <= SAME_START;
            // What was read after the start of the program is longer, and right.
            for p in lives.filter(same).filter(|p| p.argv.is_empty() || p.read.0.saturating_add(EXEC_TAKES) < time) {
                p.argv.clone_from(&argv);
            }
        }
    }

    /// Gives those whose cgroups nobody read the ones of the process that they were forked from.
    fn inherit(&mut self, names: &HashMap<String, Arc<ContainerNames>>) {
        let mut all: Vec<(u64, u32)> = self.all().map(|p| (p.key.started, p.key.pid)).collect();
        all.sort_unstable();
        for (started, pid) in all {
            let of = |s: &Processes, pid| {
                let p = s.get(pid, Boottime(started))?;
                Some((p.parent, p.kernel, p.cgroup.clone()))
            };
            let Some((parent, kernel, own)) = of(self, pid) else { continue };
            let inherited = own.is_empty() && !kernel;
            let cgroup = match (inherited, of(self, parent)) {
                (true, Some((_, _, cgroup))) if parent != pid => cgroup,
                _ => own,
            };
            let lives = self.processes.get_mut(&pid);
            let Some(p) = lives.and_then(|l| l.iter_mut().find(|p| p.key.started == started)) else { continue };
            p.container = Container::of_cgroup(&cgroup);
            if let Some(container) = &mut p.container {
                container.named = names.get(&container.id).cloned();
            }
            p.cgroup_inherited = inherited && !cgroup.is_empty();
            p.cgroup = cgroup;
        }
    }

    /// Gives services their processes: pid as the spans' senders tell it, and the service's name.
    pub(crate) fn name_services<'a>(&mut self, services: impl Iterator<Item = (u32, &'a str)>) {
        for (pid, service) in services {
            // Who knows itself by this number. A host pid that is another inside is not meant.
            let knows = |p: &&mut Process| !p.kernel && (p.inner_pid == 0 || p.inner_pid == pid);
            let mut found = false;
            for p in self.processes.get_mut(&pid).into_iter().flatten().filter(knows) {
                p.service.get_or_insert_with(|| service.into());
                found = true;
            }
            if !found {
                let inside: Vec<ProcessKey> = self.all().filter(|p| p.inner_pid == pid).map(|p| p.key).collect();
                // Of two in different namespaces either may be meant.
                let [key] = inside[..] else {
                    self.services.entry(pid).or_insert_with(|| service.into());
                    continue;
                };
                let lives = self.processes.get_mut(&key.pid);
                if let Some(p) = lives.and_then(|l| l.iter_mut().find(|p| p.key == key)) {
                    p.service.get_or_insert_with(|| service.into());
                }
            }
        }
    }

    /// The process that is known as `pid` in a PID namespace, at a time.
    pub fn inside(&self, namespace: u32, pid: u32, at: Boottime) -> Option<&Process> {
        let meant = |p: &&Process| p.pid_namespace == namespace && p.inner_pid == pid;
        self.all()
            .filter(meant)
            .filter(|p| p.key.started <= at.0.saturating_add(SAME_START))
            .max_by_key(|p| p.key.started)
    }

    /// The process that had `pid` at a time.
    pub fn get(&self, pid: u32, at: Boottime) -> Option<&Process> {
        let lives = self.processes.get(&pid)?;
        // At a birth the one that was born: its pid was free before.
        let after = lives.partition_point(|p| p.key.started <= at.0.saturating_add(SAME_START));
        let p = lives.get(after.checked_sub(1)?)?;
        // Within a tick of a birth it may still be the one before.
        let before = after.checked_sub(2).and_then(|i| lives.get(i));
        match before.and_then(|b| b.ended) {
            Some(ended) if at < Boottime(p.key.started) && at <= ended => before,
            _ => Some(p),
        }
    }

    /// All processes, by pid and start.
    pub fn all(&self) -> impl Iterator<Item = &Process> {
        self.processes.values().flatten()
    }

    /// The processes of a service.
    pub fn of_service<'a>(&'a self, service: &'a str) -> impl Iterator<Item = &'a Process> {
        self.all().filter(move |p| p.service.as_deref() == Some(service))
    }

    /// The service of the process of `pid` at a time, where spans tell one.
    pub fn service(&self, pid: u32, at: Boottime) -> Option<&Arc<str>> {
        match self.get(pid, at) {
            Some(p) => p.service.as_ref(),
            None => self.services.get(&pid),
        }
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

    /// All threads: number, pid, and since when one meant the other.
    pub fn threads(&self) -> impl Iterator<Item = (u32, u32, Boottime)> {
        self.threads.iter().flat_map(|(tid, lives)| lives.iter().map(|t| (*tid, t.pid, t.from)))
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

    /// `process/thread[tid]`, or `process[tid]` where thread and process have one name; `@container` behind it where it is
    /// in one.
    pub fn describe(&self, tid: u32, pid: u32, at: Boottime) -> String {
        let pid = if pid == 0 { self.pid_of(tid, at).unwrap_or(tid) } else { pid };
        let process = self.label(pid, at);
        let mut out = match self.thread(tid, at) {
            "" => format!("{process}[{tid}]"),
            thread if *thread == *process => format!("{process}[{tid}]"),
            thread => format!("{process}/{thread}[{tid}]"),
        };
        if let Some(container) = self.get(pid, at).and_then(|p| p.container.as_ref()) {
            out.push('@');
            out.push_str(&container.label());
        }
        out
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
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
        let p = Processes::new(&[Segment::new(0, snapshots)], &[Segment::new(0, tasks)], &[], &[]);
        assert_eq!(p.all().count(), 2);
        assert_eq!(&*p.label(7, Boottime(2 * second)), "old");
        assert_eq!(p.get(7, Boottime(2 * second)).and_then(|p| p.ended), Some(Boottime(3 * second)));
        assert_eq!(&*p.label(7, Boottime(5 * second + 1)), "shell");
        assert_eq!(&*p.label(7, Boottime(9 * second)), "new");
        assert_eq!(p.get(7, Boottime(9 * second)).map(|p| p.exe.as_str()), Some(""));
        assert_eq!(p.describe(8, 7, Boottime(9 * second)), "new/worker[8]");
    }

    #[test]
    fn a_child_that_nobody_read_is_in_its_parents_container_and_namespace() {
        let id = "7be92808767a667f35c8505cbf40d14e931ef6db5b0210329cf193b15ba9d605";
        let mut snapshots = Columns::new(&events::Process::DEF);
        events::Process {
            time: 100,
            tid: 40,
            pid: 40,
            started: 50,
            comm: "app".into(),
            cgroup: format!("3:cpu:/docker/{id}"),
            inner_pid: 1,
            pid_namespace: 99,
            ..Default::default()
        }
        .push(&mut snapshots);
        let mut containers = Columns::new(&events::Container::DEF);
        events::Container { time: 100, id: id.into(), name: "web".into(), ..Default::default() }.push(&mut containers);
        let mut tasks = Columns::new(&events::Task::DEF);
        for (pid, parent, inner) in [(41, 40, 7), (42, 41, 8)] {
            let started = u64::from(pid) * 1_000_000_000;
            events::Task {
                ppid: parent,
                inner_pid: inner,
                pid_namespace: 99,
                ..task(started, 1, pid, pid, started, "sh")
            }
            .push(&mut tasks);
        }
        let segments = |c| [Segment::new(0, c)];
        let mut p = Processes::new(&segments(snapshots), &segments(tasks), &[], &segments(containers));
        let at = Boottime(43_000_000_000);
        let child = p.get(42, at).unwrap();
        let container = child.container.as_ref().unwrap();
        assert_eq!((container.runtime, &*container.label(), child.cgroup_inherited), ("docker", "web", true));
        assert!(container.is_called("web") && container.is_called(&id[..12]) && !container.is_called("other"));
        assert!(!p.get(40, at).unwrap().cgroup_inherited);
        assert_eq!(p.inside(99, 8, at).map(|p| p.key.pid), Some(42));
        assert_eq!(p.inside(98, 8, at), None);
        assert_eq!(p.describe(42, 42, at), "sh[42]@web");
        // A span of this process tells the pid that the process knows; no process of the host has it.
        p.name_services([(8, "orders")].into_iter());
        assert_eq!(p.get(42, at).and_then(|p| p.service.as_deref()), Some("orders"));
        assert_eq!(p.get(41, at).and_then(|p| p.service.as_deref()), None);
    }

    #[test]
    fn what_was_read_of_one_program_is_not_told_of_the_next() {
        let second = 1_000_000_000;
        let mut snapshots = Columns::new(&events::Process::DEF);
        for (time, exe) in [(second, "/bin/sh"), (9 * second, "/bin/late")] {
            events::Process {
                time,
                tid: 7,
                pid: 7,
                started: second / 2,
                comm: "x".into(),
                exe: exe.into(),
                ..Default::default()
            }
            .push(&mut snapshots);
        }
        let mut tasks = Columns::new(&events::Task::DEF);
        task(5 * second, 2, 7, 7, second / 2, "x").push(&mut tasks);
        let of = |tasks: Columns, until: usize| {
            let cut = Segment::new(0, snapshots.clone()).filter(|i| i < until);
            let p = Processes::new(&[cut], &[Segment::new(0, tasks)], &[], &[]);
            p.get(7, Boottime(6 * second)).map(|p| p.exe.clone())
        };
        assert_eq!(of(tasks.clone(), 1).as_deref(), Some(""));
        assert_eq!(of(tasks, 2).as_deref(), Some("/bin/late"));
    }
}
