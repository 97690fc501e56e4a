//! Which part of what happened is looked at: processes, services, traces. One meaning for all verbs that read.

use std::collections::HashMap;

use coldcase_decode::otlp::{Resource, Span, TraceId};
use coldcase_model::Boottime;

use crate::binding::{Binder, ThreadTier};
use crate::process::Process;
use crate::timeline::Timeline;

/// What was asked for. An empty list leaves nothing out; of several lists, all must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// Processes, by pid.
    pub pids: Vec<u32>,
    /// Processes, by name (`comm`).
    pub comms: Vec<String>,
    /// Processes in one of these cgroups or below it: paths as in `/proc/PID/cgroup`.
    pub cgroups: Vec<String>,
    /// Processes in one of these containers: names or ids, as [`crate::Container::is_called`] takes them.
    pub containers: Vec<String>,
    /// What these OTel services sent, and what their processes did.
    pub services: Vec<String>,
    /// What belongs to these traces (hex ids): spans, log lines, and what the threads of the spans did meanwhile.
    pub traces: Vec<String>,
}

impl Scope {
    /// Whether nothing is left out.
    pub fn is_all(&self) -> bool {
        !self.narrows_processes() && self.traces.is_empty()
    }

    /// Whether processes are left out.
    pub fn narrows_processes(&self) -> bool {
        let by_cgroup = !self.cgroups.is_empty() || !self.containers.is_empty();
        by_cgroup || !self.pids.is_empty() || !self.comms.is_empty() || !self.services.is_empty()
    }

    /// Whether a trace is in scope.
    pub fn has_trace(&self, trace: Option<TraceId>) -> bool {
        let named = |t: TraceId| {
            let id = t.to_string();
            self.traces.iter().any(|wanted| wanted.eq_ignore_ascii_case(&id))
        };
        self.traces.is_empty() || trace.is_some_and(named)
    }

    /// Whether a process is in scope. What is not known of a process is not true of it.
    pub fn has_process(&self, t: &Timeline, pid: u32, at: Boottime) -> bool {
        self.has_task(t, pid, None, at)
    }

    /// Whether a process is in scope, or the one of its threads that is told: a name may be that of either.
    pub fn has_task(&self, t: &Timeline, pid: u32, tid: Option<u32>, at: Boottime) -> bool {
        if !self.narrows_processes() {
            return true;
        }
        let process = t.processes().get(pid, at);
        let holds = |test: &dyn Fn(&Process) -> bool| process.is_some_and(test);
        let named = |name: &str| self.comms.iter().any(|c| c == name);
        (self.pids.is_empty() || self.pids.contains(&pid))
            && (self.comms.is_empty()
                || holds(&|p| named(p.comm(at)))
                || tid.is_some_and(|tid| named(t.processes().thread(tid, at))))
            && (self.cgroups.is_empty() || holds(&|p| paths(p).any(|have| self.cgroups.iter().any(|c| below(have, c)))))
            && (self.containers.is_empty() || holds(&|p| in_container(p, &self.containers)))
            && (self.services.is_empty() || {
                let service = t.processes().service(pid, at);
                service.is_some_and(|s| self.services.iter().any(|wanted| **wanted == **s))
            })
    }

    /// Whether what a sender of OTLP tells is in scope, by its service and the process, and maybe thread, that it says
    /// it is. Of a sender that tells no pid, only its service is known.
    pub fn has_sender(&self, t: &Timeline, sender: &Resource, tid: Option<u32>, at: Boottime) -> bool {
        let service = self.services.is_empty() || self.services.contains(&sender.service);
        let others = Scope { services: Vec::new(), traces: Vec::new(), ..self.clone() };
        service && (!others.narrows_processes() || sender.pid.is_some_and(|pid| others.has_task(t, pid, tid, at)))
    }

    /// Whether a span is in scope.
    pub fn has_span(&self, t: &Timeline, span: &Span) -> bool {
        self.is_all()
            || (self.has_trace(span.trace)
                && self.has_sender(t, &span.resource, span.thread, t.boot(coldcase_model::Utc(span.start))))
    }
}

/// Cgroup paths of a process, without their hierarchies.
fn paths(p: &Process) -> impl Iterator<Item = &str> {
    p.cgroup.lines().filter_map(|line| line.splitn(3, ':').nth(2))
}

/// Whether a cgroup path is `wanted` or below it.
fn below(path: &str, wanted: &str) -> bool {
    let wanted = wanted.trim_end_matches('/');
    path.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a process is in one of these containers.
fn in_container(p: &Process, wanted: &[String]) -> bool {
    p.container.as_ref().is_some_and(|container| wanted.iter().any(|name| container.is_called(name)))
}

/// A scope with the times at which threads worked for its traces: for rows of one thread.
#[derive(Debug, Clone)]
pub struct Selection<'a> {
    timeline: &'a Timeline,
    scope: &'a Scope,
    /// By thread: start and end of the spans of the traces, BOOTTIME, and how the thread was found.
    spans: HashMap<u32, Vec<(u64, u64, ThreadTier)>>,
}

impl<'a> Selection<'a> {
    /// Of a timeline whose spans are loaded, where the scope names traces.
    pub fn new(timeline: &'a Timeline, scope: &'a Scope) -> Selection<'a> {
        let mut spans = HashMap::<u32, Vec<(u64, u64, ThreadTier)>>::new();
        if !scope.traces.is_empty() {
            let binder = Binder::new(timeline);
            for span in timeline.spans().iter().map(|s| &s.span).filter(|s| scope.has_trace(s.trace)) {
                let boot = |utc| timeline.boot(coldcase_model::Utc(utc)).0;
                // Where its thread is not known nothing tells which thread's time is the span's.
                if let Some((tid, tier)) = binder.bind(span).thread {
                    let (from, to) = (boot(span.start), boot(span.end.max(span.start)));
                    spans.entry(tid).or_default().push((from, to, tier));
                }
            }
        }
        Selection { timeline, scope, spans }
    }

    /// Whether what a thread did from `start` on for `duration`, in BOOTTIME nanoseconds, is in scope.
    pub fn has(&self, pid: u32, tid: u32, start: u64, duration: u64) -> bool {
        self.scope.has_task(self.timeline, pid, Some(tid), Boottime(start))
            && (self.scope.traces.is_empty() || self.of_trace(tid, start, duration).is_some())
    }

    /// How the thread was found, where what it did from `start` on touches a span of the traces.
    pub fn of_trace(&self, tid: u32, start: u64, duration: u64) -> Option<ThreadTier> {
        let touches = |s: &&(u64, u64, ThreadTier)| start <= s.1 && start.saturating_add(duration) >= s.0;
        self.spans.get(&tid)?.iter().filter(touches).map(|s| s.2).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cgroup_holds_what_is_below_it() {
        assert!(below("/system.slice/a.service", "/system.slice") && below("/a", "/a/") && !below("/ab", "/a"));
        assert!(below("/a/b", "/"), "the root holds all");
    }
}
