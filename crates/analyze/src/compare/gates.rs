//! Gates in a file: how much worse which measure of which operation may be, whose it is, and until when it may be worse all the same.
//!
//! They stand in the section `[compare]` of `coldcase.toml`, beside the settings of `record`; `formats/compare.md` is their reference.

use std::path::{Path, PathBuf};

use coldcase_model::compare::{Direction, GateState, is_difference};
use coldcase_model::quantity::{parse_duration, parse_size};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer};

use super::glob;

/// Critical gates that five runs a side can carry: with more the correction takes the power to see small changes.
pub(super) const CARRIED: usize = 6;

/// The section `[compare]` of a file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Gates {
    /// The gates; the first that matches decides.
    #[serde(rename = "gate")]
    pub(super) gates: Vec<Gate>,
    /// How much is equal, where equivalence is asked for: `--equivalent`.
    #[serde(deserialize_with = "optional_share")]
    pub equivalent: Option<f64>,
}

/// One gate.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Gate {
    /// The measure, or the kind of an exact change; `*` and `?` stand for other characters.
    pub(super) metric: String,
    /// The operation, likewise.
    #[serde(default = "anything")]
    pub(super) operation: String,
    /// How much worse it may be, as a share: `0.05` or `"5%"`.
    #[serde(default, deserialize_with = "optional_share")]
    pub(super) relative: Option<f64>,
    /// How much worse it may be in its unit: `"2ms"`, `"0.1%"` of a share, `"1MiB"`, a number. With both, it must be beyond both.
    #[serde(default)]
    pub(super) absolute: Option<Absolute>,
    #[serde(default, deserialize_with = "direction")]
    pub(super) direction: Option<Direction>,
    /// Whether it may fail the comparison.
    pub(super) critical: Option<bool>,
    #[serde(default)]
    pub(super) owner: String,
    /// The last day (UTC) on which what is worse does not fail.
    #[serde(default, alias = "override_until", deserialize_with = "date")]
    pub(super) override_until: Option<Date>,
    #[serde(default)]
    pub(super) reason: String,
}

/// An amount in whatever unit the measure has.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Absolute {
    Number(f64),
    Text(String),
}

/// Why a file of gates cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct GatesError {
    /// The file.
    pub path: PathBuf,
    /// Why, with its line where it has one.
    pub reason: String,
}

/// The whole file: the keys of `record` are its own, and checked by it.
#[derive(Deserialize)]
struct File {
    compare: Option<Gates>,
}

impl Gates {
    /// Reads the section `[compare]` of a file.
    ///
    /// # Errors
    /// When the file cannot be read, has no such section, or says something that cannot be meant; the error names the line.
    pub fn read(path: &Path) -> Result<Gates, GatesError> {
        let fail = |reason: String| GatesError { path: path.to_owned(), reason };
        let text = std::fs::read_to_string(path).map_err(|e| fail(e.to_string()))?;
        Gates::parse(&text).map_err(fail)
    }

    /// The same of its text.
    pub(super) fn parse(text: &str) -> Result<Gates, String> {
        let file: File = toml::from_str(text).map_err(|e| {
            let line = e.span().map(|s| text[..s.start.min(text.len())].matches('\n').count() + 1);
            let at = line.map_or(String::new(), |n| format!("line {n}: "));
            format!("{at}{}", e.message().replace('\n', " "))
        })?;
        let gates = file.compare.ok_or("has no section [compare] and no [[compare.gate]]")?;
        for (n, gate) in gates.gates.iter().enumerate() {
            gate.fault().map_or(Ok(()), |why| Err(format!("gate {} ({}): {why}", n + 1, gate.words())))?;
        }
        Ok(gates)
    }

    /// The first gate about this measure, or kind of exact change, of this operation.
    pub(super) fn of(&self, metric: &str, operation: &str) -> Option<(usize, &Gate)> {
        let metric = plain(metric);
        let is = |g: &&Gate| glob::matches(&plain(&g.metric), &metric) && glob::matches(&g.operation, operation);
        self.gates.iter().enumerate().find(|(_, g)| is(g))
    }

    /// Whether the file says what is critical: then nothing else is.
    pub(super) fn name_critical(&self) -> bool {
        self.gates.iter().any(|g| g.critical == Some(true))
    }

    /// The states before anything was compared, on the day of the head's last run.
    pub(super) fn states(&self, now: i64) -> Vec<GateState> {
        self.gates.iter().map(|g| g.state(now)).collect()
    }
}

impl Gate {
    /// What it is about.
    pub(super) fn words(&self) -> String {
        format!("{} of {}", self.metric, self.operation)
    }

    fn fault(&self) -> Option<String> {
        if self.metric.is_empty() || self.operation.is_empty() {
            return Some("metric and operation may not be empty (`*` is everything)".to_owned());
        }
        if self.override_until.is_some() && self.reason.is_empty() {
            return Some("an override needs a reason".to_owned());
        }
        if let Some(Absolute::Number(n)) = self.absolute
            && !(n.is_finite() && n >= 0.0)
        {
            return Some(format!("absolute: {n} is not an amount"));
        }
        if let Some(Absolute::Text(text)) = &self.absolute
            && ["ns", "share", "bytes"].iter().all(|unit| amount(text, unit).is_none())
        {
            return Some(format!("absolute: '{text}' is no duration, share or size (\"2ms\", \"0.1%\", \"1MiB\")"));
        }
        None
    }

    /// Whether worse is let pass on that day.
    pub(super) fn is_overridden(&self, now: i64) -> bool {
        self.override_until.is_some_and(|until| day(now) <= until)
    }

    fn state(&self, now: i64) -> GateState {
        let state = match self.override_until {
            None => "none",
            Some(_) if self.is_overridden(now) => "live",
            Some(_) => "expired",
        };
        GateState {
            gate: self.words(),
            owner: self.owner.clone(),
            matched: 0,
            worse: 0,
            override_until: self.override_until.map(|d| d.to_string()),
            reason: self.reason.clone(),
            override_state: state.to_owned(),
        }
    }

    /// The tolerance of a measure in this unit whose base is about `centre`: a ratio above 1, or a difference.
    ///
    /// `Err` where the amount is in another unit.
    pub(super) fn tolerance(&self, unit: &str, centre: f64, usual: f64) -> Result<f64, String> {
        let absolute = match &self.absolute {
            None => None,
            Some(Absolute::Number(n)) => Some(*n),
            Some(Absolute::Text(text)) => {
                Some(amount(text, unit).ok_or_else(|| format!("absolute: '{text}' is not in the unit {unit}"))?)
            }
        };
        Ok(match (self.relative, absolute, is_difference(unit)) {
            (None, None, _) => usual,
            (relative, absolute, true) => absolute.unwrap_or(0.0).max(relative.unwrap_or(0.0) * centre.abs()),
            (relative, absolute, false) => {
                let of_centre = if centre > 0.0 { absolute.unwrap_or(0.0) / centre } else { 0.0 };
                1.0 + relative.unwrap_or(0.0).max(of_centre)
            }
        })
    }
}

/// An amount in a unit; none where it is in another.
fn amount(text: &str, unit: &str) -> Option<f64> {
    match unit {
        "ns" => parse_duration(text).ok().map(|d| d.as_nanos() as f64),
        "share" => share(text),
        "bytes" => parse_size(text).ok().map(|n| n as f64),
        "bytes per second" => parse_size(text.strip_suffix("/s").unwrap_or(text)).ok().map(|n| n as f64),
        _ => None,
    }
}

/// `5%` or `0.05`.
pub fn share(text: &str) -> Option<f64> {
    let (number, scale) = text.trim().strip_suffix('%').map_or((text.trim(), 1.0), |n| (n.trim_end(), 100.0));
    let value = number.parse::<f64>().ok()? / scale;
    (value.is_finite() && (0.0..=100.0).contains(&value)).then_some(value)
}

/// The day of a moment, UTC.
fn day(now: i64) -> Date {
    let at = jiff::Timestamp::from_nanosecond(i128::from(now)).unwrap_or_default();
    at.to_zoned(TimeZone::UTC).date()
}

/// A measure's name as files may write it: `latency-p99` is `latency p99`.
pub(super) fn plain(metric: &str) -> String {
    metric.to_lowercase().replace(['-', '_'], " ")
}

fn anything() -> String {
    "*".to_owned()
}

fn optional_share<'de, D: Deserializer<'de>>(d: D) -> Result<Option<f64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Share {
        Number(f64),
        Text(String),
    }
    let text = match Share::deserialize(d)? {
        Share::Number(n) => n.to_string(),
        Share::Text(text) => text,
    };
    share(&text).map(Some).ok_or_else(|| serde::de::Error::custom(format!("'{text}' is no share (\"5%\" or 0.05)")))
}

fn direction<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Direction>, D::Error> {
    let text = String::deserialize(d)?;
    match text.as_str() {
        "up" => Ok(Some(Direction::Up)),
        "down" => Ok(Some(Direction::Down)),
        "both" => Ok(Some(Direction::Both)),
        _ => Err(serde::de::Error::custom(format!("'{text}' is none of up, down, both"))),
    }
}

/// `"2026-12-24"`, or the same without quotes.
fn date<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Date>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Day {
        Text(String),
        Toml(toml::value::Datetime),
    }
    let text = match Day::deserialize(d)? {
        Day::Text(text) => text,
        Day::Toml(date) => date.to_string(),
    };
    text.parse().map(Some).map_err(|_| serde::de::Error::custom(format!("'{text}' is no date (2026-12-24)")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_first_gate_that_matches_decides_and_names_are_read_as_they_are_written() {
        let g = Gates::parse(
            "for = '30s'\n[kernel]\nsample-hz = 49\n[[compare.gate]]\nmetric = 'latency-p99'\noperation = 'POST *'\nrelative = '10%'\n\
             [[compare.gate]]\nmetric = 'Latency_*'\nabsolute = '2ms'\ncritical = false\noverride-until = 2026-12-24\nreason = 'new disk'\n",
        )
        .unwrap();
        let of = |metric, operation| g.of(metric, operation).map(|(i, _)| i);
        assert_eq!(of("latency p99", "POST /order (gateway)"), Some(0));
        assert_eq!(of("latency p50", "POST /order (gateway)"), Some(1));
        assert_eq!((of("errors", "x"), g.name_critical()), (None, false));
        let day = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_nanosecond() as i64;
        let states = |now: &str| g.states(day(now)).into_iter().map(|s| s.override_state).collect::<Vec<_>>();
        assert_eq!(states("2026-12-24T23:59:59Z"), ["none", "live"]);
        assert_eq!(states("2026-12-25T00:00:00Z"), ["none", "expired"]);
    }

    #[test]
    fn a_tolerance_must_be_passed_in_share_and_amount() {
        let g = |text: &str| Gates::parse(&format!("[[compare.gate]]\nmetric='x'\n{text}")).unwrap().gates.remove(0);
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} {b}");
        near(g("relative='10%'").tolerance("ns", 1e6, 1.02).unwrap(), 1.1);
        near(g("absolute='2ms'").tolerance("ns", 1e6, 1.02).unwrap(), 3.0);
        near(g("absolute='50us'\nrelative=0.1").tolerance("ns", 1e6, 1.02).unwrap(), 1.1);
        near(g("absolute='0.5%'").tolerance("share", 0.1, 0.002).unwrap(), 0.005);
        near(g("").tolerance("ns", 1e6, 1.02).unwrap(), 1.02);
        near(g("absolute='2ms'").tolerance("ns", 0.0, 1.02).unwrap(), 1.0);
        assert!(g("absolute='2ms'").tolerance("share", 0.1, 0.002).is_err());
    }

    #[test]
    fn what_cannot_be_meant_is_told_with_its_line() {
        for (text, told) in [
            ("for = '1s'\n", "no section [compare]"),
            ("[compare]\ngates = []\n", "line 2: unknown field `gates`"),
            ("[[compare.gate]]\nmetric = 'x'\ntolerence = 1\n", "line 3: unknown field `tolerence`"),
            ("[[compare.gate]]\noperation = 'x'\n", "missing field `metric`"),
            (
                "[[compare.gate]]\nmetric = 'x'\noverride-until = '2026-02-30'\nreason = 'y'\n",
                "'2026-02-30' is no date",
            ),
            ("[[compare.gate]]\nmetric = 'x'\noverride-until = '2026-02-03'\n", "an override needs a reason"),
            ("[[compare.gate]]\nmetric = 'x'\ndirection = 'sideways'\n", "none of up, down, both"),
            ("[[compare.gate]]\nmetric = 'x'\nrelative = '-5%'\n", "is no share"),
            ("[[compare.gate]]\nmetric = 'x'\nabsolute = 'much'\n", "no duration, share or size"),
            ("[[compare.gate]]\nmetric = ''\n", "may not be empty"),
            ("[[compare.gate]\n", "line 1"),
        ] {
            let e = Gates::parse(text).unwrap_err();
            assert!(e.contains(told), "{text}: {e}");
        }
    }
}
