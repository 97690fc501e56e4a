//! What to record: made from flags and `coldcase.toml`.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use coldcase_model::quantity::{parse_duration, parse_size};
use serde::{Deserialize, Deserializer};

use crate::error::RecordError;
pub use crate::flight::FlightConfig;
use crate::limits::{Limits, Rate, parse_cpu};
pub use crate::logs::{LogsConfig, SyslogAddress};
pub use crate::metrics::{MetricsConfig, ScrapeTarget};
pub use crate::otlp::OtlpConfig;
pub use crate::packets::PacketsConfig;
pub use crate::remote_write::RemoteWriteConfig;

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
    /// Which processes (`--pid`, `--comm`, `--cgroup`, `--container`).
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
    /// The receiver of Prometheus Remote-Write.
    pub remote_write: RemoteWriteConfig,
    /// Host metrics from `/proc`.
    pub host: HostConfig,
    /// A flight recording: only the last minutes are kept, and dumped when something happens.
    pub flight: FlightConfig,
    /// The gates of `coldcase compare`, which reads and checks them itself: one file may hold both.
    pub compare: Option<serde::de::IgnoredAny>,
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
            remote_write: RemoteWriteConfig::default(),
            host: HostConfig::default(),
            flight: FlightConfig::default(),
            compare: None,
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

    /// What no recording can be made with, in the words of the file; `None` when nothing is wrong.
    pub fn fault(&self) -> Option<String> {
        let k = &self.kernel;
        if !k.ring_bytes.is_power_of_two() || k.ring_bytes < 4096 {
            return Some(format!("kernel.ring-bytes: {} is not a power of two from 4096", k.ring_bytes));
        }
        if k.ring_cpus == 0 || k.sample_hz == 0 {
            let key = if k.ring_cpus == 0 { "ring-cpus" } else { "sample-hz" };
            return Some(format!("kernel.{key}: 0 is too few (to leave a source out: without = ['kernel.sample'])"));
        }
        if let Some(fault) = self.otlp.fault() {
            return Some(fault);
        }
        if let Some(fault) = self.scope.fault() {
            return Some(fault);
        }
        if let Some(fault) = self.logs.fault() {
            return Some(fault);
        }
        if let Some(fault) = self.flight.fault() {
            return Some(fault);
        }
        let shortest = Duration::from_millis(100);
        (self.host.interval < shortest)
            .then(|| format!("host.interval: {:?} is too short, at least 100ms", self.host.interval))
    }

    /// Whether the kill switch is set: its file exists. One that cannot be looked at is not.
    pub fn is_switched_off(&self) -> bool {
        !self.kill_switch.as_os_str().is_empty() && self.kill_switch.exists()
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

/// Which processes were asked for: those that one of the lists names. All lists empty: all processes. It narrows the sources that know processes
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
    /// Cgroups, with all below them: `/system.slice/nginx.service`, as `/proc/PID/cgroup` or the file system shows it
    /// (`/sys/fs/cgroup/…`), of any hierarchy.
    #[serde(rename = "cgroup")]
    pub cgroups: Vec<String>,
    /// Containers, by their id or its first characters (at least eight), as Docker, containerd, CRI-O and Podman write
    /// it into the names of cgroups.
    #[serde(rename = "container")]
    pub containers: Vec<String>,
}

/// Characters of a container's id that tell it from others.
const ID: usize = 8;

impl Scope {
    /// Whether everything is in scope.
    pub fn is_all(&self) -> bool {
        self.pids.is_empty() && self.comms.is_empty() && !self.by_cgroup()
    }

    /// Whether cgroups were asked for.
    pub(crate) fn by_cgroup(&self) -> bool {
        !self.cgroups.is_empty() || !self.containers.is_empty()
    }

    /// Whether a line of `/proc/PID/cgroup` (`4:cpu,cpuacct:/docker/…`) is in scope.
    pub(crate) fn has_cgroup(&self, line: &str) -> bool {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { return false };
        let below = |top: &str| path == top || path.strip_prefix(top).is_some_and(|rest| rest.starts_with('/'));
        let asked = |wanted: &String| {
            let Some(mounted) = wanted.strip_prefix("/sys/fs/cgroup") else { return below(trim(wanted)) };
            // A hierarchy of v1 has a folder of its controllers' name, and v2 beside v1 one of its own.
            let (first, rest) = mounted.trim_start_matches('/').split_once('/').unwrap_or((mounted, ""));
            let own = first == controllers || first == "unified" || controllers.split(',').any(|c| c == first);
            below(trim(mounted)) || (own && !rest.is_empty() && below(&format!("/{}", trim(rest))))
        };
        self.cgroups.iter().any(asked)
            || self.containers.iter().any(|id| path.split('/').any(|name| is_container(id, name)))
    }

    /// What no process can be found by.
    fn fault(&self) -> Option<String> {
        let root = self.cgroups.iter().find(|c| !c.starts_with('/') || trim(c).is_empty());
        let short = self.containers.iter().find(|id| id.len() < ID || !id.bytes().all(|b| b.is_ascii_alphanumeric()));
        let root = root.map(|c| format!("scope.cgroup: '{c}' is not the path of a cgroup below the root"));
        let short = short.map(|id| format!("scope.container: '{id}' is not an id of a container, or too short a part"));
        root.or(short)
    }
}

fn trim(path: &str) -> &str {
    path.trim_end_matches('/')
}

/// Whether a cgroup's name is that of a container: `ID`, `docker-ID.scope`, `cri-containerd-ID.scope`, `crio-ID`,
/// `libpod-ID.scope`.
fn is_container(id: &str, name: &str) -> bool {
    let name = name.strip_suffix(".scope").unwrap_or(name);
    let own = name.rsplit_once('-').map_or(name, |(_, own)| own);
    own.len() >= ID && own.starts_with(id)
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
    /// Sums and slow ones of system calls (`--syscalls`).
    pub syscalls: bool,
    /// From this length on a system call is a row of its own (`--syscall-threshold`).
    #[serde(deserialize_with = "required_duration")]
    pub syscall_threshold: Duration,
    /// Sums and long ones of interrupts (`--irq`).
    pub irq: bool,
    /// Libraries and databases whose calls are recorded (`--uprobe`).
    pub uprobe: Vec<Uprobe>,
    /// Syncs and removals of files from this length on are rows.
    #[serde(deserialize_with = "required_duration")]
    pub file_threshold: Duration,
    /// CPUs that share a ring of a class.
    pub ring_cpus: u32,
    /// Bytes of each ring: a power of two, at least a page.
    pub ring_bytes: u32,
    /// Sources and programs that are refused as a kernel would (`--refuse`): for tests.
    #[serde(skip)]
    pub refuse: Vec<String>,
}

/// What calls are recorded of by uprobes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Uprobe {
    /// TLS handshakes, reads and writes; never what is in them.
    Libssl,
    /// Statements of Postgres, literals masked.
    Postgres,
    /// Look-ups of host names: `getaddrinfo`.
    Libc,
}

impl Uprobe {
    /// All of them.
    pub const ALL: [Uprobe; 3] = [Uprobe::Libssl, Uprobe::Postgres, Uprobe::Libc];

    /// As `--uprobe` takes it; its source is `kernel.<name>`.
    pub const fn name(self) -> &'static str {
        match self {
            Uprobe::Libssl => "libssl",
            Uprobe::Postgres => "postgres",
            Uprobe::Libc => "libc",
        }
    }
}

impl FromStr for Uprobe {
    type Err = String;

    fn from_str(text: &str) -> Result<Uprobe, String> {
        let known = Uprobe::ALL.map(Uprobe::name).join(", ");
        Uprobe::ALL.into_iter().find(|u| u.name() == text).ok_or_else(|| format!("'{text}' is none of {known}"))
    }
}

impl Default for KernelConfig {
    fn default() -> Self {
        KernelConfig {
            sample_hz: 99,
            row_threshold: Duration::ZERO,
            stack_threshold: Duration::from_millis(1),
            syscalls: false,
            syscall_threshold: Duration::from_millis(10),
            irq: false,
            uprobe: Vec::new(),
            file_threshold: Duration::from_millis(1),
            ring_cpus: 8,
            ring_bytes: 4 << 20,
            refuse: Vec::new(),
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

pub(crate) fn duration<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
    required_duration(d).map(Some)
}

pub(crate) fn required_duration<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
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

pub(crate) fn size<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u64>, D::Error> {
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
    fn gates_of_a_comparison_may_stand_in_the_same_file() {
        let c =
            read("for = '30s'\n[[compare.gate]]\nmetric = 'latency p50'\nno-key-of-ours = [1, { a = 2 }]\n").unwrap();
        assert_eq!(c.time_limit, Some(Duration::from_secs(30)));
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
    fn a_cgroup_is_found_by_its_path_and_a_container_by_its_id() {
        let scope = |cgroup: &str, container: &str| Scope {
            cgroups: [cgroup].into_iter().filter(|c| !c.is_empty()).map(str::to_owned).collect(),
            containers: [container].into_iter().filter(|c| !c.is_empty()).map(str::to_owned).collect(),
            ..Scope::default()
        };
        for (cgroup, line, wanted) in [
            ("/a/b", "0::/a/b", true),
            ("/a/b", "4:cpu,cpuacct:/a/b/c", true),
            ("/a/b", "0::/a/bc", false),
            ("/a/b/", "0::/a/b", true),
            ("/sys/fs/cgroup/a/b", "0::/a/b", true),
            ("/sys/fs/cgroup/cpu/a", "4:cpu,cpuacct:/a/x", true),
            ("/sys/fs/cgroup/cpu/a", "5:memory:/a/x", false),
            ("/sys/fs/cgroup/unified/a", "0::/a", true),
        ] {
            assert_eq!(scope(cgroup, "").has_cgroup(line), wanted, "{cgroup} {line}");
        }
        let id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        for name in
            ["docker-{}.scope", "docker/{}", "cri-containerd-{}.scope", "crio-{}.scope", "libpod-{}.scope/container"]
        {
            let line = format!("0::/x/{}", name.replace("{}", id));
            assert!(scope("", &id[..12]).has_cgroup(&line), "{line}");
            assert!(!scope("", "123456789abc").has_cgroup(&line), "{line}");
        }
        assert!(
            scope("", "0123").fault().is_some() && scope("/", "").fault().is_some() && scope("a", "").fault().is_some()
        );
        assert_eq!(scope("/a", id).fault(), None);
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
