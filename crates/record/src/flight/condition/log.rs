//! Log lines that match an expression.

use coldcase_model::Event;
use coldcase_model::events::LogLine;
use regex::bytes::Regex;

use super::{Condition, Met, Rule, Seen, cut};

/// See the module.
pub(super) struct Log {
    expression: Regex,
}

impl Log {
    pub(super) fn new(rule: &Rule) -> Option<Log> {
        Some(Log { expression: Regex::new(rule.pattern.as_deref()?).ok()? })
    }
}

impl Condition for Log {
    fn see(&mut self, seen: &Seen, met: &mut dyn FnMut(Met)) {
        let Seen::Lines(rows) = seen else { return };
        let Ok(cols) = LogLine::cols(rows) else { return };
        for row in 0..rows.len() {
            let line = cols.line.get(row);
            if self.expression.is_match(line) {
                met(Met { time: cols.time[row], value: 1.0, text: cut(line), pid: 0 });
            }
        }
    }
}
