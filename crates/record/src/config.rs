//! What to record: made from flags and `coldcase.toml`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use coldcase_model::quantity::{parse_duration, parse_size};
use serde::{Deserialize, Deserializer};

use crate::error::RecordError;
use crate::limits::{Limits, Rate, parse_cpu};
pub use crate::logs::LogsConfig;
pub use crate::metrics::{MetricsConfig, ScrapeTarget};
pub use crate::otlp::OtlpConfig;
pub use crate::packets::PacketsConfig;

/// Everything that a recording can be told. `coldcase.toml` is this, key by key; a flag overrides its key.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RecordConfig {
    /// The bundle to write (`-o`).
    pub output: Option<PathBuf>,
    /// How long to record (`--for`).
    #[serde(rename = "for", deserialize_with = "duration")]
    pub time_limit: Option<Duration>,
    /// How large the bundle may become (`--max-size`), in bytes.
    #[serde(deserialize_with = "size")]
    pub max_size: Option<u64>,
    /// CPU time that recording may take (`--max-cpu`), percent of one CPU: the recorder's threads and its programs in the
    /// kernel. Here in nanoseconds per second.
    #[serde(deserialize_with = "cpu")]
    pub max_cpu: Option<u64>,
    /// Resident memory of the recorder (`--max-memory`), in bytes.
    #[serde(deserialize_with = "size")]
    pub max_memory: Option<u64>,
    /// What may be taken in a second (`--max-rate`): events (`20000`) or bytes appended to the bundle (`5MiB`).
    pub max_rate: Option<Rate>,
    /// Recording ends while this file exists, and does not begin (`--kill-switch`).
    pub kill_switch: PathBuf,
    /// The recorder takes its programs off the kernel when it is stuck for so long; 0: never.
    #[serde(deserialize_with = "required_duration")]
    pub watchdog: Duration,
    /// Sources that must start, or nothing is recorded (`--require`).
    pub require: Vec<String>,
    /// Only these sources (`--only`); empty: all.
    pub only: Vec<String>,
    /// Not these sources (`--without`).
    pub without: Vec<String>,
    /// Which processes (`--pid`, `--comm`).
    pub scope: Scope,
    /// The kernel sources.
    pub kernel: KernelConfig,
    /// The packet taps.
    pub packets: PacketsConfig,
    /// The OTLP receiver.
    pub otlp: OtlpConfig,
    /// Log files.
    pub logs: LogsConfig,
    /// Prometheus targets.
    pub metrics: MetricsConfig,
    /// Host metrics from `/proc`.
    pub host: HostConfig,
}

/// The file that stops every recording of a host, unless another one is named.
pub const KILL_SWITCH: &str = "/run/coldcase.off";
/// A recorder that does nothing for so long is stuck.
const STUCK: Duration = Duration::from_secs(5);

impl Default for RecordConfig {
    fn default() -> Self {
        RecordConfig {
            output: None,
            time_limit: None,
            max_size: None,
            max_cpu: None,
            max_memory: None,
            max_rate: None,
            kill_switch: KILL_SWITCH.into(),
            watchdog: STUCK,
            require: Vec::new(),
            only: Vec::new(),
            without: Vec::new(),
            scope: Scope::default(),
            kernel: KernelConfig::default(),
            packets: PacketsConfig::default(),
            otlp: OtlpConfig::default(),
            logs: LogsConfig::default(),
            metrics: MetricsConfig::default(),
            host: HostConfig::default(),
        }
    }
}

impl RecordConfig {
    /// The limits to what recording may cost.
    pub fn limits(&self) -> Limits {
        Limits { cpu: self.max_cpu, memory: self.max_memory, rate: self.max_rate }
    }

    /// Reads a file. An unknown key or a value of the wrong kind is an error that names it.
    pub fn read(path: &Path) -> Result<RecordConfig, RecordError> {
        let fail = |reason: String| RecordError::Config { path: path.to_owned(), reason };
        let text = std::fs::read_to_string(path).map_err(|e| fail(e.to_string()))?;
        let config: RecordConfig = toml::from_str(&text).map_err(|e| {
            let line = e.span().map(|s| text[..s.start.min(text.len())].matches('\n').count() + 1);
            let at = line.map_or(String::new(), |n| format!("line {n}: "));
            fail(format!("{at}{}", e.message().replace('\n', " ")))
        })?;
        match config.fault() {
            Some(fault) => Err(fail(fault)),
            None => Ok(config),
        }
    }

    /// What no recording can be made with, in the words of the file.
    fn fault(&self) -> Option<String> {
        let k = &self.kernel;
        if !k.ring_bytes.is_power_of_two() || k.ring_bytes < 4096 {
            return Some(format!("kernel.ring-bytes: {} is not a power of two from 4096", k.ring_bytes));
        }
        if k.ring_cpus == 0 || k.sample_hz == 0 {
            let key = if k.ring_cpus == 0 { "ring-cpus" } else { "sample-hz" };
            return Some(format!("kernel.{key}: 0 is too few (to leave a source out: without = ['kernel.sample'])"));
        }
        let shortest = Duration::from_millis(100);
        (self.host.interval < shortest)
            .then(|| format!("host.interval: {:?} is too short, at least 100ms", self.host.interval))
    }

    /// Whether the source of this name is wanted. `kernel` stands for every `kernel.…`.
    pub fn wants(&self, name: &str) -> bool {
        (self.only.is_empty() || names(&self.only, name)) && !names(&self.without, name)
    }

    /// Whether the source of this name must start.
    pub fn requires(&self, name: &str) -> bool {
        names(&self.require, name)
    }
}

/// Whether a list names a source, by its own name or by its family's.
fn names(list: &[String], name: &str) -> bool {
    list.iter().any(|n| n == name || name.strip_prefix(n.as_str()).is_some_and(|rest| rest.starts_with('.')))
}

/// Which processes were asked for. All lists empty: all processes. It narrows the sources that know processes
/// (kernel.sched, kernel.sample, kernel.block); packets, spans, logs and metrics are not narrowed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scope {
    /// Processes, by kernel tgid.
    #[serde(rename = "pid")]
    pub pids: Vec<u32>,
    /// Names of tasks, exact (at most 15 bytes, as the kernel cuts them).
    #[serde(rename = "comm")]
    pub comms: Vec<String>,
}

impl Scope {
    /// Whether everything is in scope.
    pub fn is_all(&self) -> bool {
        self.pids.is_empty() && self.comms.is_empty()
    }
}

/// The kernel sources.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct KernelConfig {
    /// CPU samples per second and CPU (`--sample-hz`).
    pub sample_hz: u64,
    /// Off-CPU intervals shorter than this are summed each second instead of becoming rows (`--row-threshold`).
    #[serde(deserialize_with = "required_duration")]
    pub row_threshold: Duration,
    /// Off-CPU intervals from this length on carry stacks (`--stack-threshold`).
    #[serde(deserialize_with = "required_duration")]
    pub stack_threshold: Duration,
    /// CPUs that share a ring of a class.
    pub ring_cpus: u32,
    /// Bytes of each ring: a power of two, at least a page.
    pub ring_bytes: u32,
}

impl Default for KernelConfig {
    fn default() -> Self {
        KernelConfig {
            sample_hz: 99,
            row_threshold: Duration::ZERO,
            stack_threshold: Duration::from_millis(1),
            ring_cpus: 8,
            ring_bytes: 4 << 20,
        }
    }
}

/// Host metrics from `/proc`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct HostConfig {
    /// Time between two readings.
    #[serde(deserialize_with = "required_duration")]
    pub interval: Duration,
}

impl Default for HostConfig {
    fn default() -> Self {
        HostConfig { interval: Duration::from_secs(1) }
    }
}

fn duration<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
    required_duration(d).map(Some)
}

fn required_duration<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
    parse_duration(&String::deserialize(d)?).map_err(serde::de::Error::custom)
}

/// A number or a text: `20`, `0.5`, `'20%'`.
fn cpu<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u64>, D::Error> {
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
    parse_cpu(&text).map(Some).map_err(serde::de::Error::custom)
}

fn size<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u64>, D::Error> {
    parse_size(&String::deserialize(d)?).map(Some).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(text: &str) -> Result<RecordConfig, String> {
        let file = std::env::temp_dir().join(format!("coldcase-config-{}-{}.toml", std::process::id(), text.len()));
        std::fs::write(&file, text).unwrap();
        let read = RecordConfig::read(&file).map_err(|e| e.to_string());
        std::fs::remove_file(&file).unwrap();
        read
    }

    #[test]
    fn a_file_sets_what_the_flags_set() {
        let c = read(
            "for = '30s'\nmax-size = '64MiB'\nmax-cpu = 12.5\nmax-memory = '256MiB'\nmax-rate = '5MiB'\nrequire = ['kernel']\n[logs]\npaths = ['/var/log/*.log']\n\
             [packets]\nfilter = 'tcp port 80'\n[scope]\npid = [1]\n[kernel]\nstack-threshold = '5ms'\n",
        )
        .unwrap();
        assert_eq!(c.time_limit, Some(Duration::from_secs(30)));
        assert_eq!(c.max_size, Some(64 << 20));
        assert_eq!(
            c.limits(),
            Limits { cpu: Some(125_000_000), memory: Some(256 << 20), rate: Some(Rate::Bytes(5 << 20)) }
        );
        assert_eq!(c.kill_switch, Path::new(KILL_SWITCH));
        assert_eq!(c.logs.paths, ["/var/log/*.log"]);
        assert_eq!(c.packets.filter.as_deref(), Some("tcp port 80"));
        assert_eq!(c.kernel.stack_threshold, Duration::from_millis(5));
        assert!(c.requires("kernel.sched") && !c.requires("packets"));
    }

    #[test]
    fn an_unknown_key_and_a_bad_value_are_named_with_their_line() {
        let e = read("for = '30s'\nfro = 1\n").unwrap_err();
        assert!(e.contains("line 2") && e.contains("fro"), "{e}");
        let e = read("for = '30 parsecs'\n").unwrap_err();
        assert!(e.contains("line 1") && e.contains("parsecs"), "{e}");
    }

    #[test]
    fn values_that_nothing_can_be_recorded_with_are_refused() {
        for (text, key) in [
            ("[kernel]\nring-bytes = 5000\n", "kernel.ring-bytes"),
            ("[kernel]\nring-bytes = 0\n", "kernel.ring-bytes"),
            ("[kernel]\nring-cpus = 0\n", "kernel.ring-cpus"),
            ("[kernel]\nsample-hz = 0\n", "kernel.sample-hz"),
            ("[host]\ninterval = '0s'\n", "host.interval"),
        ] {
            let e = read(text).unwrap_err();
            assert!(e.contains(key), "{text}: {e}");
        }
    }

    #[test]
    fn a_family_name_stands_for_its_sources() {
        let c = RecordConfig { only: vec!["kernel".into()], without: vec!["kernel.tcp".into()], ..Default::default() };
        assert!(c.wants("kernel.sched"));
        assert!(!c.wants("kernel.tcp"));
        assert!(!c.wants("packets"));
        assert!(!c.wants("kernelish"));
    }
}
