//! Processes that end with a code.

use coldcase_model::events::Task;
use coldcase_model::{Columns, Event};

use super::{Condition, Met, Rule, Seen};

/// A process that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::flight) struct Exit {
    time: u64,
    pid: u32,
    /// As a shell tells it: 128 + n for signal n.
    code: i32,
    comm: Vec<u8>,
}

/// `what` of an exit in `kernel.task`.
const EXIT: u32 = 3;

/// The ends of processes (not of their other threads) in rows of `kernel.task`.
pub(in crate::flight) fn in_rows(rows: &Columns) -> Vec<Exit> {
    let Ok(cols) = Task::cols(rows) else { return Vec::new() };
    let ends = (0..rows.len()).filter(|&i| cols.what[i] == EXIT && cols.tid[i] == cols.pid[i]);
    ends.map(|i| {
        let raw = cols.exit_code[i];
        let signal = raw & 0x7f;
        let code = if signal != 0 { 128 + signal } else { raw >> 8 & 0xff };
        Exit { time: cols.time[i], pid: cols.pid[i], code, comm: cols.comm.get(i).to_vec() }
    })
    .collect()
}

/// Codes that are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::flight) enum Codes {
    Is(i32),
    Not(i32),
    Signal,
}

impl Codes {
    pub(in crate::flight) fn parse(text: &str) -> Result<Codes, String> {
        let number = |text: &str| text.parse().map_err(|_| format!("code: '{text}' is not 7, !0 or signal"));
        match text.strip_prefix('!') {
            Some(rest) => number(rest).map(Codes::Not),
            None if text == "signal" => Ok(Codes::Signal),
            None => number(text).map(Codes::Is),
        }
    }

    fn has(self, code: i32) -> bool {
        match self {
            Codes::Is(n) => code == n,
            Codes::Not(n) => code != n,
            Codes::Signal => code > 128,
        }
    }
}

/// See the module.
pub(super) struct Exits {
    codes: Codes,
    comm: Option<Vec<u8>>,
}

/// The kernel keeps this many bytes of a name.
const COMM: usize = 15;

impl Exits {
    pub(super) fn new(rule: &Rule) -> Option<Exits> {
        let comm = rule.pattern.as_ref().map(|p| p.as_bytes()[..p.len().min(COMM)].to_vec());
        Some(Exits { codes: Codes::parse(rule.code.as_deref().unwrap_or("!0")).ok()?, comm })
    }
}

impl Condition for Exits {
    fn see(&mut self, seen: &Seen, met: &mut dyn FnMut(Met)) {
        let Seen::Exits(exits) = seen else { return };
        for e in exits {
            if self.codes.has(e.code) && self.comm.as_ref().is_none_or(|c| *c == e.comm) {
                met(Met { time: e.time, value: f64::from(e.code), text: e.comm.clone(), pid: e.pid });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use coldcase_model::Comm;

    #[test]
    fn ends_of_processes_have_the_code_that_a_shell_tells() {
        let mut rows = Columns::new(&Task::DEF);
        let row =
            |what, tid, pid, exit_code| Task { what, tid, pid, exit_code, comm: Comm::default(), ..Task::default() };
        for row in [row(3, 1, 1, 7 << 8), row(3, 2, 1, 9), row(3, 4, 4, 9), row(3, 5, 5, 11 | 0x80), row(1, 6, 6, 0)] {
            row.push(&mut rows);
        }
        let ends: Vec<(u32, i32)> = in_rows(&rows).iter().map(|e| (e.pid, e.code)).collect();
        assert_eq!(ends, [(1, 7), (4, 137), (5, 139)], "threads and forks are no ends, a core dump is its signal");
        assert!(Codes::parse("signal").unwrap().has(137) && !Codes::parse("signal").unwrap().has(7));
        assert!(Codes::parse("!0").unwrap().has(7) && !Codes::parse("!0").unwrap().has(0));
    }
}
