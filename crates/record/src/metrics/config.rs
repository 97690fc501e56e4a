//! What the metrics source can be told.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Options of the metrics source. `[metrics]` in `coldcase.toml`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MetricsConfig {
    /// Prometheus targets, `URL` or `URL@SECONDS` (`--scrape`).
    pub targets: Vec<ScrapeTarget>,
}

/// A Prometheus target and how often to scrape it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ScrapeTarget {
    /// `http://host:port/path`.
    pub url: String,
    /// Seconds from one scrape to the next.
    pub interval: f64,
}

impl ScrapeTarget {
    /// Seconds between scrapes unless told otherwise.
    pub const INTERVAL: f64 = 5.0;
}

/// Why a text is not a scrape target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Not `http://`.
    #[error("{0}: not an http:// address")]
    Scheme(String),
    /// No number of seconds of at least 0.1 behind the last `@`.
    #[error("{0}: the interval behind @ is not a number of seconds of at least 0.1")]
    Interval(String),
}

impl FromStr for ScrapeTarget {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let Some(rest) = text.strip_prefix("http://") else { return Err(TargetError::Scheme(text.to_owned())) };
        // An `@` before the first `/` belongs to credentials unless only an interval follows it.
        let (url, interval) = match rest.rsplit_once('@') {
            Some((url, tail)) if !tail.contains(['/', ':', '.']) || is_seconds(tail) => {
                (url, Some(seconds(tail).ok_or_else(|| TargetError::Interval(text.to_owned()))?))
            }
            _ => (rest, None),
        };
        if url.is_empty() || url.starts_with('/') {
            return Err(TargetError::Scheme(text.to_owned()));
        }
        // A bare host:port means its usual page.
        let path = if url.contains('/') { "" } else { "/metrics" };
        Ok(ScrapeTarget { url: format!("http://{url}{path}"), interval: interval.unwrap_or(Self::INTERVAL) })
    }
}

fn is_seconds(text: &str) -> bool {
    seconds(text).is_some()
}

fn seconds(text: &str) -> Option<f64> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 0.001),
        None => (text.strip_suffix('s').unwrap_or(text), 1.0),
    };
    let value = number.parse::<f64>().ok()? * unit;
    (0.1..=86_400.0).contains(&value).then_some(value)
}

impl TryFrom<String> for ScrapeTarget {
    type Error = TargetError;
    fn try_from(text: String) -> Result<Self, TargetError> {
        text.parse()
    }
}

impl From<ScrapeTarget> for String {
    fn from(t: ScrapeTarget) -> String {
        format!("{}@{}", t.url, t.interval)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_target_is_an_address_with_an_optional_interval() {
        let t = |s: &str| s.parse::<ScrapeTarget>().map(|t| (t.url, t.interval));
        assert_eq!(t("http://h:9100/metrics"), Ok(("http://h:9100/metrics".into(), 5.0)));
        assert_eq!(t("http://h:9100@2"), Ok(("http://h:9100/metrics".into(), 2.0)));
        assert_eq!(t("http://h:9100/x@500ms"), Ok(("http://h:9100/x".into(), 0.5)));
        assert_eq!(t("http://me:pw@h:9100/x"), Ok(("http://me:pw@h:9100/x".into(), 5.0)));
        assert!(matches!(t("https://h/x"), Err(TargetError::Scheme(_))));
        assert!(matches!(t("http://h/x@soon"), Err(TargetError::Interval(_))));
        assert!(matches!(t("http://"), Err(TargetError::Scheme(_))));
    }
}
