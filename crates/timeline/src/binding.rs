//! The process and thread of the recorded host that a span is of.
//!
//! Spans tell numbers as their senders see them, and senders may sit elsewhere: another host, another PID namespace, a
//! runtime that numbers threads itself (Java's `thread.id` counts from 1, Python's is an address). So what a span tells
//! is only taken where the host's own record fits it, and how it was found is told with it. What does not fit is unknown.

use std::collections::HashMap;
use std::net::IpAddr;

use coldcase_decode::otlp::{Attributes, Resource, Span, SpanKind, Value};
use coldcase_model::{Boottime, Utc};

use crate::process::Process;
use crate::sockets::OwnerHow;
use crate::timeline::Timeline;

/// Start times of `/proc` are in ticks of 10 ms.
const TICK: u64 = 20_000_000;
/// Characters of a thread's name that the kernel keeps.
const COMM: usize = 15;

/// How a span's process was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProcessTier {
    /// `process.pid` is that of a process that lived then and knows itself by it, and `container.id` is its container's.
    PidContainer,
    /// The same, and `host.name` is that of the recorded host or of the process's container.
    PidHost,
    /// The same; nothing told which host is meant.
    Pid,
    /// `container.id` is that of a container with one process.
    Container,
    /// The span tells both ends of its connection, and the kernel who held it.
    FiveTuple,
    /// The bytes of a request on a connection name the span, and the kernel who held the connection.
    Traceparent,
}

/// How a span's thread was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ThreadTier {
    /// `thread.id` is a thread of the process.
    Id,
    /// Only one thread of the process has the name `thread.name`.
    Name,
    /// The process had one thread.
    Only,
    /// The sender is Node.js, whose programs run on the first thread of their process. Inferred: one that starts worker
    /// threads may have made the span in one of those.
    Main,
}

/// What is known of where a span ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bound {
    /// Its process, by its pid on the recorded host, and how it was found.
    pub process: Option<(u32, ProcessTier)>,
    /// The thread that began it, by its number on that host, and how it was found.
    pub thread: Option<(u32, ThreadTier)>,
}

impl Bound {
    /// The pid.
    pub fn pid(&self) -> Option<u32> {
        self.process.map(|p| p.0)
    }

    /// The number of the thread.
    pub fn tid(&self) -> Option<u32> {
        self.thread.map(|t| t.0)
    }

    /// How both were found: `process.pid+host.name, thread.id`; `unknown` without a process.
    pub fn tier(&self) -> String {
        let Some((_, process)) = self.process else { return "unknown".to_owned() };
        let process = process.name();
        self.thread.map_or_else(|| process.to_owned(), |(_, thread)| format!("{process}, {}", thread.name()))
    }
}

impl ProcessTier {
    /// In a word.
    pub const fn name(self) -> &'static str {
        match self {
            ProcessTier::PidContainer => "process.pid+container.id",
            ProcessTier::PidHost => "process.pid+host.name",
            ProcessTier::Pid => "process.pid",
            ProcessTier::Container => "container.id",
            ProcessTier::FiveTuple => "5-tuple",
            ProcessTier::Traceparent => "traceparent",
        }
    }
}

impl ThreadTier {
    /// In a word.
    pub const fn name(self) -> &'static str {
        match self {
            ThreadTier::Id => "thread.id",
            ThreadTier::Name => "thread.name",
            ThreadTier::Only => "only thread",
            ThreadTier::Main => "main thread of Node.js (inferred)",
        }
    }
}

/// Finds where spans ran.
#[derive(Debug)]
pub struct Binder<'a> {
    timeline: &'a Timeline,
    /// Name of the recorded host; empty when it is not known.
    host: &'a str,
    /// Processes by the pid that they know themselves by.
    inside: HashMap<u32, Vec<&'a Process>>,
    /// Processes that are in a container.
    contained: Vec<&'a Process>,
    /// Threads of each process: since when, and their numbers.
    threads: HashMap<u32, Vec<(Boottime, u32)>>,
}

impl<'a> Binder<'a> {
    /// Of a timeline.
    pub fn new(timeline: &'a Timeline) -> Binder<'a> {
        let mut inside = HashMap::<u32, Vec<&Process>>::new();
        let mut contained = Vec::new();
        for p in timeline.processes().all().filter(|p| !p.kernel) {
            let known_as = if p.inner_pid == 0 { p.key.pid } else { p.inner_pid };
            inside.entry(known_as).or_default().push(p);
            if p.container.is_some() {
                contained.push(p);
            }
        }
        let mut threads = HashMap::<u32, Vec<(Boottime, u32)>>::new();
        for (tid, pid, from) in timeline.processes().threads() {
            threads.entry(pid).or_default().push((from, tid));
        }
        threads.values_mut().for_each(|list| list.sort_unstable());
        let host = timeline.bundle().manifest().map_or("", |m| m.host.name.as_str());
        Binder { timeline, host, inside, contained, threads }
    }

    /// Where a span ran.
    pub fn bind(&self, span: &Span) -> Bound {
        if span.start <= 0 {
            return Bound::default();
        }
        let at = self.timeline.boot(Utc(span.start));
        let process = self.process(&span.resource, at).or_else(|| self.by_connection(span, at));
        self.with_process(span, process)
    }

    /// Where it ran, when its process was found in another way.
    pub fn with_process(&self, span: &Span, process: Option<(u32, ProcessTier)>) -> Bound {
        let at = self.timeline.boot(Utc(span.start));
        Bound { process, thread: process.and_then(|(pid, _)| self.thread(span, pid, at)) }
    }

    /// The process of whoever sends as this resource.
    pub fn process(&self, resource: &Resource, at: Boottime) -> Option<(u32, ProcessTier)> {
        let lived = |p: &&&Process| {
            p.key.started <= at.0.saturating_add(TICK) && p.ended.is_none_or(|end| end.0.saturating_add(TICK) >= at.0)
        };
        let Some(told) = resource.pid else {
            let container = resource.attributes.text("container.id").filter(|id| id.len() >= 12)?;
            let mut there = self.contained.iter().filter(lived).filter(|p| is_in(p, &container));
            let only = there.next()?;
            return there.next().is_none().then_some((only.key.pid, ProcessTier::Container));
        };
        let candidates = self.inside.get(&told)?.iter().filter(lived);
        let mut fitting = candidates.filter_map(|p| self.fits(resource, p).map(|tier| (p.key.pid, tier)));
        let first = fitting.next()?;
        // Two that know themselves by one number: either may be meant.
        fitting.next().is_none().then_some(first)
    }

    /// How what a resource tells beside its pid fits a process; `None` where it is of another.
    fn fits(&self, resource: &Resource, p: &Process) -> Option<ProcessTier> {
        if let Some(container) = resource.attributes.text("container.id").filter(|id| !id.is_empty()) {
            return is_in(p, &container).then_some(ProcessTier::PidContainer);
        }
        let (told, host) = (resource.host.as_str(), self.host);
        if told.is_empty() || host.is_empty() {
            return Some(ProcessTier::Pid);
        }
        let called = p.container.as_ref().is_some_and(|c| c.is_called(told));
        (called || same_host(told, host)).then_some(ProcessTier::PidHost)
    }

    /// The process at the local end of the connection whose both ends a span tells, where the kernel knows who held it.
    fn by_connection(&self, span: &Span, at: Boottime) -> Option<(u32, ProcessTier)> {
        if !span.resource.host.is_empty() && !self.host.is_empty() && !same_host(&span.resource.host, self.host) {
            return None;
        }
        let (local, remote) = span_ends(span)?;
        let owner = self.timeline.sockets().owner(6, local, remote, at)?;
        (owner.how != OwnerHow::Listens).then_some((owner.pid, ProcessTier::FiveTuple))
    }

    fn thread(&self, span: &Span, pid: u32, at: Boottime) -> Option<(u32, ThreadTier)> {
        let processes = self.timeline.processes();
        let known = self.threads.get(&pid).map_or(&[][..], Vec::as_slice);
        let told = span.thread.map(|tid| {
            // Inside a PID namespace only the first thread's number is known.
            let inner = processes.get(pid, at).map_or(0, |p| p.inner_pid);
            if inner != 0 && tid == inner {
                pid
            } else if inner == 0 || inner == pid {
                tid
            } else {
                0
            }
        });
        if let Some(tid) =
            told.filter(|&tid| known.iter().any(|t| t.1 == tid) && processes.pid_of(tid, at) == Some(pid))
        {
            return Some((tid, ThreadTier::Id));
        }
        let only = |mut found: std::vec::IntoIter<u32>| found.next().filter(|_| found.next().is_none());
        let live = || known.iter().filter(|t| t.0.0 <= at.0.saturating_add(TICK)).map(|t| t.1);
        if let Some(name) = span.attributes.text("thread.name").filter(|n| !n.is_empty()) {
            let kept = floor(&name, COMM);
            let named: Vec<u32> = live().filter(|&tid| processes.thread(tid, at) == kept).collect();
            return only(named.into_iter()).map(|tid| (tid, ThreadTier::Name));
        }
        let known: Vec<u32> = live().collect();
        let sole = only(known.into_iter()).map(|tid| (tid, ThreadTier::Only));
        sole.or_else(|| (span.thread.is_none() && is_node(&span.resource)).then_some((pid, ThreadTier::Main)))
    }
}

/// Whether spans are sent by a program in Node.js (OpenTelemetry semantic conventions, `process.runtime.name` and
/// `telemetry.sdk.language`).
fn is_node(resource: &Resource) -> bool {
    let said = |name: &str| resource.attributes.text(name).is_some_and(|v| v == "nodejs");
    said("process.runtime.name") || said("telemetry.sdk.language")
}

/// The first bytes of a text, at most `n`.
fn floor(text: &str, n: usize) -> &str {
    let mut end = n.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn is_in(p: &Process, container: &str) -> bool {
    p.container.as_ref().is_some_and(|c| {
        // Some senders tell the short form.
        c.id == container || (container.len() >= 12 && c.id.starts_with(container))
    })
}

/// Whether two names are those of one host, with or without its domain.
fn same_host(a: &str, b: &str) -> bool {
    let short = |name: &str| name.split('.').next().unwrap_or("").to_ascii_lowercase();
    a.eq_ignore_ascii_case(b) || (!(a.contains('.') && b.contains('.')) && short(a) == short(b))
}

/// The local and the remote end of a span's connection, where it tells both with addresses and ports (OpenTelemetry
/// semantic conventions, `network.*`, `server.*`, `client.*`, and their older names).
pub fn span_ends(span: &Span) -> Option<((IpAddr, u16), (IpAddr, u16))> {
    let local = end(&span.attributes, &["network.local", "net.sock.host", "net.host"]);
    let remote = end(&span.attributes, &["network.peer", "net.sock.peer", "net.peer"]);
    let (own, other) = match span.kind {
        SpanKind::Server => ("server", "client"),
        SpanKind::Client => ("client", "server"),
        _ => return None,
    };
    Some((local.or_else(|| end(&span.attributes, &[own]))?, remote.or_else(|| end(&span.attributes, &[other]))?))
}

fn end(attributes: &Attributes, prefixes: &[&str]) -> Option<(IpAddr, u16)> {
    prefixes.iter().find_map(|prefix| {
        let text = |name: &str| attributes.text(&format!("{prefix}.{name}"));
        let address = ["address", "addr", "ip"].iter().find_map(|name| text(name))?.parse().ok()?;
        let port = attributes.get(&format!("{prefix}.port")).and_then(Value::int)?;
        Some((address, u16::try_from(port).ok()?))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn hosts_are_one_with_or_without_a_domain_but_not_across_two() {
        assert!(same_host("web1", "WEB1.example.org") && same_host("a.b", "a.b"));
        assert!(!same_host("web1.example.org", "web1.example.com") && !same_host("web1", "web2"));
    }

    #[test]
    fn names_of_threads_are_cut_at_characters() {
        assert_eq!(floor("http-nio-8080-exec-1", COMM), "http-nio-8080-e");
        assert_eq!(floor("aaaaaaaaaaaaaaé", COMM), "aaaaaaaaaaaaaa");
    }
}
