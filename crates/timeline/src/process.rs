//! A process: what is known of it.

use std::sync::Arc;

use coldcase_model::Boottime;
use coldcase_model::entity::ProcessKey;

use crate::container::Container;

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
    /// Whether these are those of the process that it was forked from, where nothing read its own: a child begins in
    /// its parent's cgroup, but may be moved.
    pub cgroup_inherited: bool,
    /// The container that it is in, by its cgroup paths.
    pub container: Option<Container>,
    /// Its pid as it knows itself, in its own PID namespace; 0 when that was not recorded.
    pub inner_pid: u32,
    /// Inode number of that namespace; 0 when it was not recorded.
    pub pid_namespace: u32,
    /// Name of its OTel service, where spans tell one for its pid. Inferred: a sender in a PID namespace of its own
    /// tells another pid.
    pub service: Option<Arc<str>>,
    pub(crate) names: Names,
    /// When program, arguments and cgroups were read.
    pub(crate) read: Boottime,
}

/// Names with the time from which each holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Names(Vec<(Boottime, Arc<str>)>);

impl Names {
    pub(crate) fn put(&mut self, at: Boottime, name: &str) {
        if name.is_empty() || self.0.last().is_some_and(|(_, n)| **n == *name) {
            return;
        }
        self.0.push((at, name.into()));
    }

    /// The name at a time; the first one before that.
    pub(crate) fn at(&self, at: Boottime) -> Option<&Arc<str>> {
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
