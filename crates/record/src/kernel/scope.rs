//! The scope filters, applied to events before they become rows: those of other processes are left out.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use coldcase_model::events::Task;
use coldcase_model::{Event, EventDef, FieldType};

use crate::config::Scope;
use crate::host::cgroups;

/// A process is looked up again after this long: it may have become another program, or been moved.
const FRESH: Duration = Duration::from_secs(1);
/// What a [`Task`] event says of a new thread.
const FORK: u32 = 1;

/// Says which events are in scope. One per consumer: it remembers what it looked up.
pub(crate) struct Filter {
    scope: Arc<Scope>,
    known: HashMap<u32, (bool, Instant)>,
    ids: Ids,
}

/// Ids of the cgroups in scope, of the hierarchy whose ids the kernel tells (v2).
#[derive(Default)]
struct Ids {
    wanted: HashSet<u64>,
    other: HashSet<u64>,
    read: Option<Instant>,
}

impl Filter {
    /// Of this scope.
    pub(crate) fn new(scope: Arc<Scope>) -> Filter {
        Filter { scope, known: HashMap::new(), ids: Ids::default() }
    }

    /// Whether an event is wanted. One without a process (a retransmit) is: it belongs to a connection, which may be
    /// anyone's.
    pub(super) fn wants(&mut self, def: &EventDef, event: &[u8]) -> bool {
        if self.scope.is_all() {
            return true;
        }
        if self.scope.by_cgroup()
            && word::<8>(def, event, "cgroup", FieldType::U64).is_some_and(|b| self.is_in_cgroup(u64::from_le_bytes(b)))
        {
            return true;
        }
        let Some(pid) = word::<4>(def, event, "pid", FieldType::U32).map(u32::from_le_bytes) else { return true };
        if def.kind == Task::DEF.kind {
            self.inherit(def, event, pid);
        }
        self.wants_process(pid)
    }

    /// Whether a process is in scope.
    pub(crate) fn wants_process(&mut self, pid: u32) -> bool {
        self.scope.is_all() || self.scope.pids.contains(&pid) || self.is_told(pid)
    }

    /// A new process is where its parent is: it may be gone before anybody can look.
    fn inherit(&mut self, def: &EventDef, event: &[u8], pid: u32) {
        let what = word::<4>(def, event, "what", FieldType::U32).map(u32::from_le_bytes);
        let parent = word::<4>(def, event, "ppid", FieldType::U32).map(u32::from_le_bytes);
        if let (Some(FORK), Some(parent)) = (what, parent)
            && !self.known.contains_key(&pid)
            && self.is_told(parent)
        {
            self.known.insert(pid, (true, Instant::now()));
        }
    }

    /// Whether its name or its cgroup is in scope.
    fn is_told(&mut self, pid: u32) -> bool {
        if self.scope.comms.is_empty() && !self.scope.by_cgroup() {
            return false;
        }
        if let Some(&(wanted, at)) = self.known.get(&pid)
            && at.elapsed() < FRESH
        {
            return wanted;
        }
        if self.known.len() > 65_536 {
            self.known.clear();
        }
        let before = self.known.get(&pid).is_some_and(|&(wanted, _)| wanted);
        // A process that is gone was what it was.
        let wanted = self.look(pid).unwrap_or(before);
        self.known.insert(pid, (wanted, Instant::now()));
        wanted
    }

    /// `None` when the process is gone.
    fn look(&self, pid: u32) -> Option<bool> {
        let named = !self.scope.comms.is_empty() && self.scope.comms.contains(&comm_of(pid)?);
        let read = |pid| std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok();
        Some(named || (self.scope.by_cgroup() && read(pid)?.lines().any(|line| self.scope.has_cgroup(line))))
    }

    /// Whether a cgroup is in scope by its id. An id that is not known is asked for once a second at most; one that is
    /// not in scope says nothing where another hierarchy may say more.
    fn is_in_cgroup(&mut self, id: u64) -> bool {
        let ids = &mut self.ids;
        let unknown = !ids.wanted.contains(&id) && !ids.other.contains(&id);
        if unknown && ids.read.is_none_or(|at| at.elapsed() >= FRESH) {
            *ids = Ids { read: Some(Instant::now()), ..Ids::default() };
            for cgroup in cgroups::all().into_iter().filter(|c| c.hierarchy.is_empty()) {
                let wanted = self.scope.has_cgroup(&format!("0::{}", cgroup.path));
                if wanted {
                    ids.wanted.insert(cgroup.id)
                } else {
                    ids.other.insert(cgroup.id)
                };
            }
        }
        self.ids.wanted.contains(&id)
    }
}

/// The bytes of a field, if the event has one of this name and type.
fn word<const N: usize>(def: &EventDef, event: &[u8], name: &str, ty: FieldType) -> Option<[u8; N]> {
    let field = def.fields.iter().find(|f| f.name == name && f.ty == ty)?;
    event.get(field.offset..field.offset + N)?.try_into().ok()
}

fn comm_of(pid: u32) -> Option<String> {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).ok().map(|c| c.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use coldcase_model::events::{OffCpu, TcpRetransmit};

    use super::*;

    fn event(pid: u32) -> Vec<u8> {
        let mut bytes = vec![0; 80];
        put(&mut bytes, &OffCpu::DEF, "pid", pid);
        bytes
    }

    fn put(bytes: &mut [u8], def: &EventDef, name: &str, value: u32) {
        let at = def.fields.iter().find(|f| f.name == name).map_or(0, |f| f.offset);
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    #[test]
    fn only_the_processes_asked_for_are_kept() {
        let me = std::process::id();
        let scope = |pids: &[u32], comms: &[String]| {
            Arc::new(Scope { pids: pids.to_vec(), comms: comms.to_vec(), ..Scope::default() })
        };
        let mut by_pid = Filter::new(scope(&[me], &[]));
        assert!(by_pid.wants(&OffCpu::DEF, &event(me)) && !by_pid.wants(&OffCpu::DEF, &event(1)));
        assert!(by_pid.wants(&TcpRetransmit::DEF, &[0; 96]), "a retransmit has no process");
        let mut by_name = Filter::new(scope(&[], &[comm_of(me).unwrap_or_default()]));
        assert!(by_name.wants(&OffCpu::DEF, &event(me)) && !by_name.wants(&OffCpu::DEF, &event(1)));
    }

    #[test]
    fn a_child_that_is_gone_before_anybody_looked_is_where_its_parent_was() {
        let me = std::process::id();
        let name = comm_of(me).unwrap_or_default();
        let mut filter = Filter::new(Arc::new(Scope { comms: vec![name], ..Scope::default() }));
        // Above any pid of Linux: nobody can look it up.
        let child = 1 << 23;
        let mut fork = vec![0; 128];
        for (field, value) in [("what", FORK), ("pid", child), ("tid", child), ("ppid", me)] {
            put(&mut fork, &Task::DEF, field, value);
        }
        assert!(!filter.wants(&OffCpu::DEF, &event(child + 1)));
        assert!(filter.wants(&Task::DEF, &fork));
        assert!(filter.wants(&OffCpu::DEF, &event(child)));
    }
}
