//! The scope filters, applied to events before they become rows: those of other processes are left out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coldcase_model::{EventDef, FieldType};

use crate::config::Scope;

/// A process is looked up again after this long: it may have become another program.
const FRESH: Duration = Duration::from_secs(1);

/// Says which events are in scope. One per consumer: it remembers what it looked up.
pub(crate) struct Filter {
    scope: Arc<Scope>,
    known: HashMap<u32, (bool, Instant)>,
}

impl Filter {
    /// Of this scope.
    pub(crate) fn new(scope: Arc<Scope>) -> Filter {
        Filter { scope, known: HashMap::new() }
    }

    /// Whether an event is wanted. One without a process (a retransmit) is: it belongs to a connection, which may be
    /// anyone's.
    pub(super) fn wants(&mut self, def: &EventDef, event: &[u8]) -> bool {
        if self.scope.is_all() {
            return true;
        }
        let Some(field) = def.fields.iter().find(|f| f.name == "pid" && f.ty == FieldType::U32) else { return true };
        let Some(bytes) = event.get(field.offset..field.offset + 4) else { return true };
        let pid = u32::from_le_bytes(bytes.try_into().unwrap_or_default());
        self.wants_process(pid)
    }

    /// Whether a process is in scope.
    pub(crate) fn wants_process(&mut self, pid: u32) -> bool {
        self.scope.is_all() || self.scope.pids.contains(&pid) || self.is_named(pid)
    }

    fn is_named(&mut self, pid: u32) -> bool {
        if self.scope.comms.is_empty() {
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
        let wanted = comm_of(pid).map_or(before, |comm| self.scope.comms.contains(&comm));
        self.known.insert(pid, (wanted, Instant::now()));
        wanted
    }
}

fn comm_of(pid: u32) -> Option<String> {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).ok().map(|c| c.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use coldcase_model::Event;
    use coldcase_model::events::{OffCpu, TcpRetransmit};

    use super::*;

    fn event(pid: u32) -> Vec<u8> {
        let mut bytes = vec![0; 80];
        let at = OffCpu::DEF.fields.iter().find(|f| f.name == "pid").map_or(0, |f| f.offset);
        bytes[at..at + 4].copy_from_slice(&pid.to_le_bytes());
        bytes
    }

    #[test]
    fn only_the_processes_asked_for_are_kept() {
        let me = std::process::id();
        let scope = |pids: &[u32], comms: &[String]| Arc::new(Scope { pids: pids.to_vec(), comms: comms.to_vec() });
        let mut by_pid = Filter::new(scope(&[me], &[]));
        assert!(by_pid.wants(&OffCpu::DEF, &event(me)) && !by_pid.wants(&OffCpu::DEF, &event(1)));
        assert!(by_pid.wants(&TcpRetransmit::DEF, &[0; 96]), "a retransmit has no process");
        let mut by_name = Filter::new(scope(&[], &[comm_of(me).unwrap_or_default()]));
        assert!(by_name.wants(&OffCpu::DEF, &event(me)) && !by_name.wants(&OffCpu::DEF, &event(1)));
    }
}
