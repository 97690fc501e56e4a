//! Arguments that several verbs share, and how their values are read.

use std::time::Duration;

use coldcase_model::quantity::{parse_duration, parse_size};
use coldcase_model::time::Utc;

/// Reads `30s`, `5m`, `1h30m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|e| e.to_string())
}

/// Reads `64MiB`, `2GB`, `4096`.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
pub(crate) fn size(text: &str) -> Result<u64, String> {
    parse_size(text).map_err(|e| e.to_string())
}

/// A moment on the timeline: absolute, or relative to the start of the bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "full"), allow(dead_code))]
pub(crate) enum Moment {
    /// UTC.
    At(Utc),
    /// After the bundle's start, in nanoseconds; negative before it.
    After(i64),
}

/// Reads `+2s`, `-500ms`, or RFC 3339 such as `2026-11-22T13:00:00Z`.
#[cfg_attr(not(feature = "full"), allow(dead_code))]
pub(crate) fn moment(text: &str) -> Result<Moment, String> {
    let relative = |text: &str| duration(text).map(|d| d.as_nanos().min(i64::MAX as u128) as i64);
    if let Some(rest) = text.strip_prefix('+') {
        return relative(rest).map(Moment::After);
    }
    if let Some(rest) = text.strip_prefix('-') {
        return relative(rest).map(|ns| Moment::After(-ns));
    }
    let stamp: jiff::Timestamp = text
        .parse()
        .map_err(|_| format!("'{text}' is not a time: write +2s (after the start) or 2026-11-22T13:00:00Z"))?;
    i64::try_from(stamp.as_nanosecond()).map(|ns| Moment::At(Utc(ns))).map_err(|_| format!("'{text}' is out of range"))
}

/// UTC as RFC 3339 with the given number of decimals of a second.
pub(crate) fn rfc3339(utc: Utc, decimals: u8) -> String {
    match jiff::Timestamp::from_nanosecond(i128::from(utc.0)) {
        Ok(stamp) => format!("{stamp:.prec$}", prec = usize::from(decimals)),
        Err(_) => format!("{} ns", utc.0),
    }
}

/// Where names that a bundle lacks are looked for.
#[cfg(feature = "full")]
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct DebugFiles {
    /// A folder of binaries or debug files, to name frames that the bundle has no names for, by build-id
    #[arg(long, value_name = "DIR")]
    debug_dir: Option<std::path::PathBuf>,
    /// Ask the servers of DEBUGINFOD_URLS for the debug files of modules with frames that have no name
    #[arg(long)]
    debuginfod: bool,
}

#[cfg(feature = "full")]
impl DebugFiles {
    /// As the timeline takes it.
    pub(crate) fn wanted(&self) -> coldcase_timeline::DebugFiles {
        coldcase_timeline::DebugFiles { dir: self.debug_dir.clone(), debuginfod: self.debuginfod }
    }
}

/// The stretch of time that is read.
#[cfg(feature = "full")]
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Window {
    /// From this time on: +2s after the start, or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = moment, allow_hyphen_values = true)]
    from: Option<Moment>,
    /// Up to this time
    #[arg(long, value_name = "TIME", value_parser = moment, allow_hyphen_values = true)]
    to: Option<Moment>,
}

#[cfg(feature = "full")]
impl Window {
    /// Its ends.
    pub(crate) fn ends(&self) -> [Option<coldcase_timeline::When>; 2] {
        use coldcase_timeline::When;
        let when = |m: Moment| match m {
            Moment::At(utc) => When::At(utc),
            Moment::After(ns) => When::After(ns),
        };
        [self.from.map(when), self.to.map(when)]
    }
}

/// Which part of a bundle is read. Flattened into the verbs that read what happened.
#[cfg(feature = "full")]
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Scope {
    #[command(flatten)]
    pub(crate) window: Window,
    /// Only these processes
    #[arg(long, value_name = "PID", value_delimiter = ',')]
    pid: Vec<u32>,
    /// Only processes and threads of these names
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    comm: Vec<String>,
    /// Only processes in these cgroups or below them: paths as in /proc/PID/cgroup
    #[arg(long, value_name = "PATH", value_delimiter = ',')]
    cgroup: Vec<String>,
    /// Only processes in these containers: names, or ids
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    container: Vec<String>,
    /// Only what these services sent, and what their processes did
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    service: Vec<String>,
    /// Only spans and log lines of these traces, and what the threads of their spans did meanwhile
    #[arg(long, value_name = "TRACE-ID", value_delimiter = ',', value_parser = trace_id)]
    trace: Vec<String>,
}

#[cfg(feature = "full")]
impl Scope {
    /// The processes, services and traces.
    pub(crate) fn who(&self) -> coldcase_timeline::Scope {
        coldcase_timeline::Scope {
            pids: self.pid.clone(),
            comms: self.comm.clone(),
            cgroups: self.cgroup.clone(),
            containers: self.container.clone(),
            services: self.service.clone(),
            traces: self.trace.clone(),
        }
    }

    /// Whether it leaves anything out.
    pub(crate) fn narrows(&self) -> bool {
        self.window.ends() != [None, None] || !self.who().is_all()
    }
}

/// A trace id: 32 hex digits, or the 16 of a 64-bit id.
#[cfg(feature = "full")]
fn trace_id(text: &str) -> Result<String, String> {
    let fits = matches!(text.len(), 16 | 32) && text.bytes().all(|b| b.is_ascii_hexdigit());
    fits.then(|| format!("{text:0>32}")).ok_or_else(|| format!("'{text}' is not a trace id: those are 32 hex digits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_relative_or_absolute() {
        assert_eq!(moment("+2s"), Ok(Moment::After(2_000_000_000)));
        assert_eq!(moment("-500ms"), Ok(Moment::After(-500_000_000)));
        assert_eq!(moment("1970-01-01T00:00:01Z"), Ok(Moment::At(Utc(1_000_000_000))));
        assert_eq!(moment("1970-01-01T01:00:01+01:00"), Ok(Moment::At(Utc(1_000_000_000))));
        assert!(moment("yesterday").is_err());
        assert!(moment("+2").is_err());
    }

    #[test]
    fn times_are_printed_as_rfc_3339() {
        assert_eq!(rfc3339(Utc(1_500_000_000), 3), "1970-01-01T00:00:01.500Z");
        assert_eq!(rfc3339(Utc(0), 0), "1970-01-01T00:00:00Z");
    }
}
