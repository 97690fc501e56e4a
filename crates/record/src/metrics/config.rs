//! What the metrics source can be told.

use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Options of the metrics source. `[metrics]` in `coldcase.toml`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MetricsConfig {
    /// Prometheus targets, `URL` or `URL@SECONDS` (`--scrape`).
    pub targets: Vec<ScrapeTarget>,
    /// Files or globs that list targets, in the form of Prometheus' `file_sd_configs` (`--scrape-file`).
    pub files: Vec<String>,
    /// PEM file of the certificates to trust for `https://` targets, instead of the system's (`--scrape-ca`).
    pub ca: Option<PathBuf>,
    /// Take whatever certificate a target shows (`--scrape-insecure`).
    pub insecure: bool,
    /// File of the bearer token that is sent to targets without credentials of their own (`--scrape-bearer-file`). It is
    /// read at each scrape.
    pub bearer_file: Option<PathBuf>,
    /// File of the `USER:PASSWORD` that is sent likewise (`--scrape-basic-auth-file`).
    pub basic_auth_file: Option<PathBuf>,
}

impl MetricsConfig {
    /// Whether nothing is to be scraped.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty() && self.files.is_empty()
    }
}

/// A Prometheus target and how often to scrape it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ScrapeTarget {
    /// `http://host:port/path`, or `https://`.
    pub url: String,
    /// Seconds from one scrape to the next.
    pub interval: f64,
    /// Whether every address of its name is a target (`dns+` before the URL).
    pub every_address: bool,
}

impl ScrapeTarget {
    /// Seconds between scrapes unless told otherwise.
    pub const INTERVAL: f64 = 5.0;
}

/// Why a text is not a scrape target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Neither `http://` nor `https://`.
    #[error("{0}: not an http:// or https:// address")]
    Scheme(String),
    /// No number of seconds of at least 0.1 behind the last `@`.
    #[error("{0}: the interval behind @ is not a number of seconds of at least 0.1")]
    Interval(String),
}

impl FromStr for ScrapeTarget {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let (every_address, plain) = text.strip_prefix("dns+").map_or((false, text), |rest| (true, rest));
        let scheme = ["http://", "https://"].into_iter().find(|s| plain.starts_with(s));
        let Some(scheme) = scheme else { return Err(TargetError::Scheme(text.to_owned())) };
        let rest = &plain[scheme.len()..];
        // An `@` before the first `/` belongs to credentials unless only an interval follows it.
        let (url, interval) = match rest.rsplit_once('@') {
            Some((url, tail)) if !tail.contains(['/', ':', '.']) || seconds(tail).is_some() => {
                (url, Some(seconds(tail).ok_or_else(|| TargetError::Interval(text.to_owned()))?))
            }
            _ => (rest, None),
        };
        if url.is_empty() || url.starts_with('/') {
            return Err(TargetError::Scheme(text.to_owned()));
        }
        // A bare host:port means its usual page.
        let path = if url.contains('/') { "" } else { "/metrics" };
        let url = format!("{scheme}{url}{path}");
        Ok(ScrapeTarget { url, interval: interval.unwrap_or(Self::INTERVAL), every_address })
    }
}

/// `5`, `5s`, `500ms`: a number of seconds from 0.1 to a day.
pub(super) fn seconds(text: &str) -> Option<f64> {
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
        format!("{}{}@{}", if t.every_address { "dns+" } else { "" }, t.url, t.interval)
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
        assert_eq!(t("https://h/x"), Ok(("https://h/x".into(), 5.0)));
        assert!(matches!(t("ftp://h/x"), Err(TargetError::Scheme(_))));
        assert!(matches!(t("http://h/x@soon"), Err(TargetError::Interval(_))));
        assert!(matches!(t("https://"), Err(TargetError::Scheme(_))));
    }

    #[test]
    fn every_address_of_a_name_can_be_asked_for() {
        let t: ScrapeTarget = "dns+http://h:9100@1".parse().unwrap();
        assert!(t.every_address && t.url == "http://h:9100/metrics");
        assert_eq!(String::from(t).parse::<ScrapeTarget>().unwrap().interval, 1.0);
    }
}
