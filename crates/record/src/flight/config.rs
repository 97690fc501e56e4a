//! What a flight recording is told: `[flight]` in `coldcase.toml`, and the flags of the same names.

use std::time::Duration;

use serde::Deserialize;

use super::rule::Rule;
use crate::config::{duration, required_duration, size};

/// A flight recording. Without `window` a recording is none.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct FlightConfig {
    /// How much is kept (`--flight`).
    #[serde(deserialize_with = "duration")]
    pub window: Option<Duration>,
    /// How much before its cause a dump holds (`--pre`); the whole window unless told.
    #[serde(deserialize_with = "duration")]
    pub pre: Option<Duration>,
    /// How much after its cause a dump holds (`--post`).
    #[serde(deserialize_with = "required_duration")]
    pub post: Duration,
    /// A trigger that fired makes no other dump for this long (`--cooldown`).
    #[serde(deserialize_with = "required_duration")]
    pub cooldown: Duration,
    /// Dumps that one trigger makes at most (`--max-dumps`).
    pub max_dumps: u32,
    /// With less free space on the disk no dump is made and the window shrinks (`--disk-floor`).
    #[serde(deserialize_with = "floor")]
    pub disk_floor: u64,
    /// When to dump (`--trigger`).
    #[serde(rename = "trigger")]
    pub triggers: Vec<Rule>,
}

fn floor<'de, D: serde::Deserializer<'de>>(d: D) -> Result<u64, D::Error> {
    size(d).map(Option::unwrap_or_default)
}

/// Bytes that the folder may take where `--max-size` is not given.
pub(super) const DEFAULT_CAP: u64 = 1 << 30;
/// A folder smaller than this holds no useful window.
pub const SMALLEST_CAP: u64 = 8 << 20;

impl Default for FlightConfig {
    fn default() -> Self {
        FlightConfig {
            window: None,
            pre: None,
            post: Duration::from_secs(5),
            cooldown: Duration::from_secs(60),
            max_dumps: 10,
            disk_floor: 256 << 20,
            triggers: Vec::new(),
        }
    }
}

impl FlightConfig {
    /// Whether a condition is judged on scraped pages.
    pub fn judges_metrics(&self) -> bool {
        self.triggers.iter().any(|t| t.kind == Some(super::rule::RuleKind::Metric))
    }

    /// What no flight recording can be made with, in the words of the file.
    pub fn fault(&self) -> Option<String> {
        let Some(window) = self.window else {
            return (!self.triggers.is_empty())
                .then(|| "flight.trigger: triggers need a window to dump (--flight 5m)".into());
        };
        if window < Duration::from_secs(2) {
            return Some("flight.window: at least 2s".into());
        }
        let mut names = std::collections::HashSet::new();
        for rule in &self.triggers {
            if let Some(fault) = rule.fault() {
                return Some(format!("flight.trigger {}: {fault}", rule.name()));
            }
            if !names.insert(rule.name()) {
                return Some(format!("flight.trigger {}: there is another of this name", rule.name()));
            }
        }
        let longest = self.triggers.iter().filter_map(|r| r.pre).chain(self.pre).max();
        longest.filter(|pre| *pre > window).map(|_| "flight.pre: longer than the window that is kept".into())
    }

    /// Before and after the cause, for a rule or, without one, for a person.
    pub(super) fn around(&self, rule: Option<&Rule>) -> (Duration, Duration) {
        let pre = rule.and_then(|r| r.pre).or(self.pre).or(self.window).unwrap_or_default();
        (pre, rule.and_then(|r| r.post).unwrap_or(self.post))
    }
}
