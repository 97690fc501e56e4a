//! When to dump: a rule as it is written in `[[flight.trigger]]`, or short on the command line as `KIND=WHAT`.

use std::time::Duration;

use coldcase_model::quantity::parse_duration;
use serde::Deserialize;

use crate::config::duration;

/// What a rule looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleKind {
    /// Log lines.
    Log,
    /// Scraped metrics and those of the host.
    Metric,
    /// `/proc/pressure`.
    Psi,
    /// OTel spans.
    Span,
    /// The kernel's count of OOM kills.
    Oom,
    /// Ends of processes.
    Exit,
}

impl RuleKind {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            RuleKind::Log => "log",
            RuleKind::Metric => "metric",
            RuleKind::Psi => "psi",
            RuleKind::Span => "span",
            RuleKind::Oom => "oom",
            RuleKind::Exit => "exit",
        }
    }
}

/// A number, or a duration as text.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Quantity {
    /// In the metric's own unit, or percent.
    Number(f64),
    /// `500ms`.
    Text(String),
}

/// A trigger.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rule {
    /// Its name, for files and rows; its kind unless given.
    pub name: Option<String>,
    /// What it looks at.
    pub kind: Option<RuleKind>,
    /// `log`: a regular expression. `metric`: a name, with labels that must be there in braces. `psi`:
    /// `cpu:some:avg10`. `span`: a span's name. `exit`: the name of a process.
    pub pattern: Option<String>,
    /// Fires above this: a metric's value, percent of pressure, a span's duration.
    pub threshold: Option<Quantity>,
    /// `metric`: fires when it rises faster than this, per second.
    pub rise: Option<f64>,
    /// Fires below the threshold, not above it.
    pub below: bool,
    /// `metric`, `psi`: only when that has lasted so long.
    #[serde(rename = "for", deserialize_with = "duration")]
    pub lasting: Option<Duration>,
    /// `span`: fires on spans whose status is an error.
    pub error: bool,
    /// `exit`: `7`, `!0`, `signal`; 128 + n for signal n.
    pub code: Option<String>,
    /// How much before it its dump holds.
    #[serde(deserialize_with = "duration")]
    pub pre: Option<Duration>,
    /// How much after it its dump holds.
    #[serde(deserialize_with = "duration")]
    pub post: Option<Duration>,
    /// No other dump for this long.
    #[serde(deserialize_with = "duration")]
    pub cooldown: Option<Duration>,
    /// Dumps at most.
    pub max_dumps: Option<u32>,
}

/// Longest name, as it becomes part of a file's.
const LONGEST_NAME: usize = 64;

impl Rule {
    /// Its name.
    pub fn name(&self) -> &str {
        self.name.as_deref().or(self.kind.map(RuleKind::word)).unwrap_or("?")
    }

    /// What is wrong with it.
    pub(super) fn fault(&self) -> Option<String> {
        let Some(kind) = self.kind else { return Some("kind: one of log metric psi span oom exit".into()) };
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if self.name().is_empty() || self.name().len() > LONGEST_NAME || !self.name().chars().all(plain) {
            return Some(format!("name: 1 to {LONGEST_NAME} letters, digits, - _ ."));
        }
        let missing = |what: &str| Some(format!("{}: needs {what}", kind.word()));
        match kind {
            RuleKind::Log if self.pattern.is_none() => missing("a pattern"),
            RuleKind::Metric if self.pattern.is_none() => missing("a pattern: the metric's name"),
            RuleKind::Metric if self.level().is_none() && self.rise.is_none() => missing("a threshold or a rise"),
            RuleKind::Psi if self.level().is_none() => missing("a threshold in percent"),
            RuleKind::Psi => super::condition::psi::Place::parse(self.pattern.as_deref().unwrap_or("")).err(),
            RuleKind::Span if self.nanos().is_none() && !self.error => missing("a threshold (500ms) or error = true"),
            RuleKind::Exit => super::condition::exit::Codes::parse(self.code.as_deref().unwrap_or("!0")).err(),
            RuleKind::Log => regex::bytes::Regex::new(self.pattern.as_deref().unwrap_or("")).err().map(|e| {
                let text = e.to_string();
                text.lines().last().unwrap_or("not a regular expression").trim().to_owned()
            }),
            _ => None,
        }
    }

    /// The threshold as a number.
    pub(super) fn level(&self) -> Option<f64> {
        match self.threshold.as_ref()? {
            Quantity::Number(n) => Some(*n),
            Quantity::Text(text) => text.trim_end_matches('%').parse().ok(),
        }
    }

    /// The threshold as a duration in nanoseconds.
    pub(super) fn nanos(&self) -> Option<u64> {
        match self.threshold.as_ref()? {
            Quantity::Text(text) => parse_duration(text).ok().map(|d| d.as_nanos() as u64),
            Quantity::Number(_) => None,
        }
    }

    /// What it measures against, for rows and manifests.
    pub(super) fn against(&self) -> f64 {
        match self.kind {
            Some(RuleKind::Span) => self.nanos().map_or(0.0, |n| n as f64),
            _ => self.rise.or(self.level()).unwrap_or(0.0),
        }
    }
}

/// Reads the short form: `log=ERROR.*timeout`, `psi=cpu:some:avg10>40`, `metric=errors_total rise>10/s`,
/// `span=latency>500ms,name=POST /order`, `exit=!0,comm=worker`, `oom`.
impl std::str::FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Rule, String> {
        let (kind, what) = text.split_once('=').unwrap_or((text, ""));
        let mut rule = match kind.trim() {
            "log" => Rule { kind: Some(RuleKind::Log), pattern: Some(what.to_owned()), ..Rule::default() },
            "oom" if what.is_empty() => Rule { kind: Some(RuleKind::Oom), ..Rule::default() },
            "psi" => compared(RuleKind::Psi, what)?,
            "metric" => compared(RuleKind::Metric, what)?,
            "span" => span(what)?,
            "exit" => exit(what)?,
            _ => return Err(format!("'{text}' is not KIND=WHAT with a kind of log metric psi span oom exit")),
        };
        rule.pattern = rule.pattern.filter(|p| !p.is_empty());
        match rule.fault() {
            Some(fault) => Err(fault),
            None => Ok(rule),
        }
    }
}

/// `NAME>NUMBER`, `NAME<NUMBER`, `NAME rise>NUMBER/s`.
fn compared(kind: RuleKind, what: &str) -> Result<Rule, String> {
    let at = what.rfind(['>', '<']).ok_or_else(|| format!("'{what}': a comparison is missing, such as >10"))?;
    let (left, right) = (what[..at].trim(), what[at + 1..].trim());
    let number = right.strip_suffix("/s").unwrap_or(right).trim_end_matches('%');
    let number: f64 = number.parse().map_err(|_| format!("'{right}' is not a number"))?;
    let below = what[at..].starts_with('<');
    let rule = Rule { kind: Some(kind), below, ..Rule::default() };
    Ok(match left.strip_suffix(" rise") {
        Some(name) if kind == RuleKind::Metric && !below => {
            Rule { pattern: Some(name.trim().to_owned()), rise: Some(number), ..rule }
        }
        Some(_) => return Err(format!("'{what}': only a metric can rise, and only above a number")),
        None => Rule { pattern: Some(left.to_owned()), threshold: Some(Quantity::Number(number)), ..rule },
    })
}

/// `latency>500ms` or `error`, and `name=…`.
fn span(what: &str) -> Result<Rule, String> {
    let mut rule = Rule { kind: Some(RuleKind::Span), ..Rule::default() };
    let (conditions, name) = match what.split_once("name=") {
        Some((conditions, name)) => (conditions.trim_end_matches(','), Some(name.to_owned())),
        None => (what, None),
    };
    rule.pattern = name;
    for condition in conditions.split(',').map(str::trim).filter(|c| !c.is_empty()) {
        match condition.strip_prefix("latency>") {
            Some(time) => {
                parse_duration(time).map_err(|e| e.to_string())?;
                rule.threshold = Some(Quantity::Text(time.to_owned()));
            }
            None if condition == "error" => rule.error = true,
            None => return Err(format!("'{condition}': write latency>500ms, error, or name=NAME")),
        }
    }
    Ok(rule)
}

/// `!0`, `7`, `signal`, and `comm=…`.
fn exit(what: &str) -> Result<Rule, String> {
    let mut rule = Rule { kind: Some(RuleKind::Exit), ..Rule::default() };
    for part in what.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        match part.strip_prefix("comm=") {
            Some(comm) => rule.pattern = Some(comm.to_owned()),
            None => rule.code = Some(part.to_owned()),
        }
    }
    Ok(rule)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_short_forms_say_what_the_long_ones_say() {
        let log: Rule = "log=ERROR.*timeout, a>b".parse().unwrap();
        assert_eq!((log.kind, log.pattern.as_deref()), (Some(RuleKind::Log), Some("ERROR.*timeout, a>b")));
        let psi: Rule = "psi=cpu:some:avg10>40".parse().unwrap();
        assert_eq!((psi.pattern.as_deref(), psi.level(), psi.below), (Some("cpu:some:avg10"), Some(40.0), false));
        let rise: Rule = "metric=http_errors_total rise>10/s".parse().unwrap();
        assert_eq!((rise.pattern.as_deref(), rise.rise, rise.level()), (Some("http_errors_total"), Some(10.0), None));
        let low: Rule = "metric=free_bytes{disk=\"a\"}<5".parse().unwrap();
        assert_eq!((low.pattern.as_deref(), low.level(), low.below), (Some("free_bytes{disk=\"a\"}"), Some(5.0), true));
        let span: Rule = "span=latency>500ms,name=POST /order".parse().unwrap();
        assert_eq!(
            (span.pattern.as_deref(), span.nanos(), span.error),
            (Some("POST /order"), Some(500_000_000), false)
        );
        let error: Rule = "span=error".parse().unwrap();
        assert!(error.error && error.pattern.is_none());
        let exit: Rule = "exit=!0,comm=worker".parse().unwrap();
        assert_eq!((exit.pattern.as_deref(), exit.code.as_deref()), (Some("worker"), Some("!0")));
        let oom: Rule = "oom".parse().unwrap();
        assert_eq!((oom.kind, oom.name()), (Some(RuleKind::Oom), "oom"));
    }

    #[test]
    fn what_cannot_fire_is_refused_with_what_is_missing() {
        for (text, word) in [
            ("log=(", "unclosed"),
            ("log=", "pattern"),
            ("psi=cpu:some:avg10", "comparison"),
            ("psi=cpu:some:avg11>4", "avg10"),
            ("psi=disk:some:avg10>4", "io"),
            ("metric=a>b", "number"),
            ("metric=a rise<4", "rise"),
            ("span=slow", "latency"),
            ("span=name=x", "threshold"),
            ("exit=x", "code"),
            ("oom=1", "kind"),
            ("weather=bad", "kind"),
        ] {
            let refused = text.parse::<Rule>().unwrap_err();
            assert!(refused.contains(word), "{text}: {refused}");
        }
    }

    #[test]
    fn the_file_names_every_part() {
        let text = "name = 'slow-orders'\nkind = 'span'\npattern = 'POST /order'\nthreshold = '500ms'\npre = '1m'\n\
                    post = '10s'\ncooldown = '5m'\nmax-dumps = 3\n";
        let rule: Rule = toml::from_str(text).unwrap();
        assert_eq!((rule.name(), rule.nanos(), rule.max_dumps), ("slow-orders", Some(500_000_000), Some(3)));
        assert_eq!((rule.pre, rule.cooldown), (Some(Duration::from_secs(60)), Some(Duration::from_secs(300))));
        assert_eq!(rule.fault(), None);
        assert!(toml::from_str::<Rule>("kind = 'log'\ncolour = 'red'\n").is_err());
        let unnamed: Rule = toml::from_str("name = 'a/b'\nkind = 'oom'\n").unwrap();
        assert!(unnamed.fault().is_some(), "a name becomes part of a file's");
    }
}
