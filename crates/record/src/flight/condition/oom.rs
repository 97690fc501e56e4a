//! Kills by the kernel's OOM killer: the counter `oom_kill` of `/proc/vmstat`, those of memory cgroups among them.

use super::{Condition, Met};

/// See the module.
pub(super) struct Oom {
    before: Option<u64>,
}

impl Oom {
    pub(super) fn new() -> Oom {
        Oom { before: kills() }
    }
}

fn kills() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/vmstat").ok()?;
    text.lines().find_map(|l| l.strip_prefix("oom_kill ")?.trim().parse().ok())
}

impl Condition for Oom {
    fn look(&mut self, now: u64, met: &mut dyn FnMut(Met)) {
        let Some(kills) = kills() else { return };
        let new = kills.saturating_sub(self.before.replace(kills).unwrap_or(kills));
        if new > 0 {
            met(Met { time: now, value: new as f64, text: b"the kernel's OOM killer".to_vec(), pid: 0 });
        }
    }
}
