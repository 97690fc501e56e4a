//! What rules look at, and when they are met. Evaluated on a thread of its own: nothing here holds up a source.

pub(super) mod exit;
mod log;
mod metric;
mod oom;
pub(super) mod psi;
mod span;

use coldcase_model::Columns;

use super::rule::{Rule, RuleKind};

/// Something that flowed by on its way into the bundle.
#[derive(Debug)]
pub(super) enum Seen {
    /// Rows of `log.lines`.
    Lines(Columns),
    /// Rows of `host.metric`.
    Host(Columns),
    /// A scraped page, from where, and when (BOOTTIME).
    Page {
        /// The page.
        bytes: Vec<u8>,
        /// The target.
        origin: String,
        /// BOOTTIME of receipt.
        time: u64,
    },
    /// An export request of traces, and when it was received (BOOTTIME).
    Traces {
        /// The request.
        bytes: Vec<u8>,
        /// BOOTTIME of receipt.
        time: u64,
    },
    /// Processes that ended.
    Exits(Vec<exit::Exit>),
}

/// A rule's condition was met.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Met {
    /// When, BOOTTIME.
    pub(super) time: u64,
    /// What was measured.
    pub(super) value: f64,
    /// What was seen.
    pub(super) text: Vec<u8>,
    /// The process that is the cause, where there is one.
    pub(super) pid: u32,
}

/// The longest text of what was seen that is kept.
const LONGEST: usize = 1024;

/// A rule at work.
pub(super) trait Condition: Send {
    /// Looks at what flows by.
    fn see(&mut self, _seen: &Seen, _met: &mut dyn FnMut(Met)) {}
    /// Looks at the host, each second.
    fn look(&mut self, _now: u64, _met: &mut dyn FnMut(Met)) {}
}

/// The condition of a rule without faults. `None` for one that has.
pub(super) fn of(rule: &Rule) -> Option<Box<dyn Condition>> {
    Some(match rule.kind? {
        RuleKind::Log => Box::new(log::Log::new(rule)?),
        RuleKind::Metric => Box::new(metric::Metric::new(rule)?),
        RuleKind::Psi => Box::new(psi::Psi::new(rule)?),
        RuleKind::Span => Box::new(span::Spans::new(rule)),
        RuleKind::Oom => Box::new(oom::Oom::new()),
        RuleKind::Exit => Box::new(exit::Exits::new(rule)?),
    })
}

/// A condition that holds over time: met once when it has lasted, and again only after it had ceased.
#[derive(Debug, Default)]
struct Edge {
    since: Option<u64>,
    told: bool,
}

impl Edge {
    /// Whether it is met now.
    fn update(&mut self, holds: bool, now: u64, lasting: u64) -> bool {
        if !holds {
            *self = Edge::default();
            return false;
        }
        let since = *self.since.get_or_insert(now);
        now.saturating_sub(since) >= lasting && !std::mem::replace(&mut self.told, true)
    }
}

/// `lasting` of a rule in nanoseconds.
fn lasting(rule: &Rule) -> u64 {
    rule.lasting.map_or(0, |d| d.as_nanos() as u64)
}

/// The beginning of a text.
fn cut(text: &[u8]) -> Vec<u8> {
    text[..text.len().min(LONGEST)].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_met_once_until_it_has_ceased() {
        let mut edge = Edge::default();
        let met: Vec<bool> =
            [(true, 0), (true, 1), (false, 2), (true, 3)].map(|(is, at)| edge.update(is, at, 0)).into();
        assert_eq!(met, [true, false, false, true]);
        let mut edge = Edge::default();
        let met: Vec<bool> =
            [(true, 0), (true, 9), (false, 10), (true, 11), (true, 21)].map(|(is, at)| edge.update(is, at, 10)).into();
        assert_eq!(met, [false, false, false, false, true], "only what lasted");
    }
}
