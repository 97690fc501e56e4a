//! What can be recorded here and what it would bring, found by doing it: each source is started for a moment, and what it
//! takes in goes through the real writer into nothing.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coldcase_bundle::{Writer, WriterOptions, WriterStats};
use coldcase_model::catalogue::by_stream;
use coldcase_model::manifest::HostEntry;
use serde::Serialize;

use crate::caps::{self, Cap};
use crate::config::RecordConfig;
use crate::error::RecordError;
use crate::loss::LossLedger;
use crate::source::{Context, Intake, Own, Running, Skip, Source, StopToken};
use crate::{clock, host_entry};

/// One source, as it would fare.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The source.
    pub name: &'static str,
    /// Whether it started.
    pub starts: bool,
    /// It needs to be asked for by a flag, and is no fault of the host's.
    pub unasked: bool,
    /// Why it does not start; empty when it does.
    pub reason: String,
    /// What would make it start, or see more.
    pub hint: String,
    /// Capabilities that it lacks. A source that starts all the same sees less without them.
    pub missing: Vec<&'static str>,
    /// What it does not see without them; empty when nothing is missing.
    pub without: &'static str,
    /// Events per second that it took in during the probe; `None` when it did not run, was not probed, or only takes
    /// stock at the start and at the end.
    pub events_per_second: Option<u64>,
}

/// What a recording would bring, extrapolated from a short one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Probe {
    /// How long it took, nanoseconds.
    pub duration: u64,
    /// Events per second, of all sources.
    pub events_per_second: u64,
    /// Bytes of the bundle per minute, after compression.
    pub bytes_per_minute: u64,
    /// Seconds until the free space of the folder is used up at that rate; `None` when nothing came.
    pub disk_lasts: Option<u64>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Diagnosis {
    /// The host.
    pub host: HostEntry,
    /// Who asks.
    pub user: String,
    /// Whether the kernel carries its type information, which the kernel sources need.
    pub btf: bool,
    /// `synchronised`, `not synchronised` or `unknown`.
    pub clock: &'static str,
    /// Estimated error of the clock, nanoseconds.
    pub clock_error: u64,
    /// The folder that was asked about.
    pub folder: String,
    /// Bytes free in it for this user.
    pub disk_free: u64,
    /// What the probe brought; `None` when there was none.
    pub probe: Option<Probe>,
    /// The sources.
    pub sources: Vec<Check>,
}

const BPF_AND_PTRACE: &[Cap] = &[Cap::Bpf, Cap::Perfmon, Cap::SysPtrace];
const OWN_LIBRARIES: &str = "libraries that only other users' processes have";

/// What a source can use, what it cannot start without said by the source itself.
const USES: &[(&str, &[Cap], &str)] = &[
    ("kernel.libc", BPF_AND_PTRACE, OWN_LIBRARIES),
    ("kernel.libssl", BPF_AND_PTRACE, OWN_LIBRARIES),
    ("kernel.postgres", BPF_AND_PTRACE, OWN_LIBRARIES),
    ("kernel", &[Cap::Bpf, Cap::Perfmon], "scheduler, CPU samples, block I/O, TCP and task events"),
    ("packets", &[Cap::NetRaw], "packets"),
    ("host.snapshot", &[Cap::SysPtrace], "programs, sockets and mappings of other users' processes"),
    ("host.mapping", &[Cap::Perfmon], "files that are mapped during the recording"),
    ("symbols", &[Cap::Syslog], "names of kernel functions"),
    ("log", &[Cap::DacReadSearch], "log files that only others may read"),
];

/// Starts each source, one after the other, lets all of them run for `probe` (zero: not at all), and tells what happened.
/// `folder` is where a bundle would go.
pub fn diagnose(
    config: &RecordConfig,
    sources: Vec<Box<dyn Source>>,
    folder: &Path,
    probe: Duration,
) -> Result<Diagnosis, RecordError> {
    let stop = StopToken::new().map_err(|source| RecordError::System { what: "stop event", source })?;
    let context = Context {
        writer: Writer::to_stream(Box::new(std::io::sink()), WriterOptions::default())?,
        losses: LossLedger::default(),
        stop: stop.clone(),
        intake: Intake::default(),
        scope: Arc::new(config.scope.clone()),
        own: Own::new(),
    };
    let mut checks = Vec::new();
    let mut running: Vec<Alive> = Vec::new();
    for source in sources {
        let names = source.names();
        let intake = Intake::default();
        match source.start(Context { intake: intake.clone(), ..context.clone() }) {
            Ok(started) => {
                for &name in &names {
                    checks.push(check(name, started.skipped.iter().find(|(n, _)| *n == name).map(|(_, skip)| skip)));
                }
                running.push(Alive { names, running: started.running, intake });
            }
            Err(skip) => checks.extend(names.into_iter().map(|name| check(name, Some(&skip)))),
        }
    }
    let free = disk_free(folder);
    let probe = match probe.is_zero() || running.is_empty() {
        true => None,
        false => Some(measure(&context.writer, &mut running, &mut checks, probe, free)?),
    };
    stop.stop();
    while let Some(source) = running.pop() {
        source.running.stop();
    }
    let anchor = clock::anchor("start");
    Ok(Diagnosis {
        host: host_entry::read(),
        user: host_entry::user(),
        btf: Path::new("/sys/kernel/btf/vmlinux").exists(),
        clock: clock::ntp_words(anchor.ntp_state),
        clock_error: anchor.ntp_error,
        folder: folder.display().to_string(),
        disk_free: free,
        probe,
        sources: checks,
    })
}

/// A source that runs for the probe.
struct Alive {
    names: Vec<&'static str>,
    running: Box<dyn Running>,
    intake: Intake,
}

/// What is taken once at the start has this long to be taken before anything is measured.
const SETTLE: Duration = Duration::from_millis(500);

/// Lets the sources run for a while and counts what they bring.
fn measure(
    writer: &Writer,
    running: &mut [Alive],
    checks: &mut [Check],
    time: Duration,
    free: u64,
) -> Result<Probe, RecordError> {
    std::thread::sleep(SETTLE);
    let before = reading(writer, running)?;
    let began = Instant::now();
    while began.elapsed() < time {
        std::thread::sleep(time.saturating_sub(began.elapsed()).min(Duration::from_secs(1)));
        running.iter_mut().for_each(|r| r.running.poll());
    }
    let after = reading(writer, running)?;
    let seconds = began.elapsed().as_secs_f64();
    let per_second = |n: u64| (n as f64 / seconds).round() as u64;
    for check in checks.iter_mut().filter(|c| c.starts) {
        let count = |reading: &Reading| reading.of(check.name, running);
        if let (Some(after), Some(before)) = (count(&after), count(&before)) {
            check.events_per_second = Some(per_second(after.saturating_sub(before)));
        }
    }
    let total = |reading: &Reading| reading.events.iter().sum::<u64>();
    let bytes = after.stats.bytes_written.saturating_sub(before.stats.bytes_written);
    let rate = bytes as f64 / seconds;
    Ok(Probe {
        duration: (seconds * 1e9) as u64,
        events_per_second: per_second(total(&after).saturating_sub(total(&before))),
        bytes_per_minute: (rate * 60.0).round() as u64,
        disk_lasts: (bytes > 0).then(|| (free as f64 / rate) as u64),
    })
}

/// Counters of a moment.
struct Reading {
    /// Of each source that runs.
    events: Vec<u64>,
    stats: WriterStats,
}

fn reading(writer: &Writer, running: &[Alive]) -> Result<Reading, RecordError> {
    // What waits in the writer belongs to the time before.
    writer.flush()?;
    Ok(Reading { events: running.iter().map(|r| r.intake.events()).collect(), stats: writer.stats() })
}

impl Reading {
    /// Events of a source so far. Kernel sources share an intake, but each has the streams of its class to itself.
    fn of(&self, name: &str, running: &[Alive]) -> Option<u64> {
        if let Some(object) = name.strip_prefix("kernel.") {
            let mine = |s: &str| s.starts_with("kernel.") && by_stream(s).is_some_and(|d| d.class.name() == object);
            return Some(self.stats.rows.iter().filter(|(s, _)| mine(s)).map(|(_, rows)| rows).sum());
        }
        // What shares a machinery with others (`host.…`) cannot be told from them.
        let at =
            running.iter().position(|r| r.names[..] == [name] || (name == "packets" && r.names.contains(&name)))?;
        self.events.get(at).copied()
    }
}

fn check(name: &'static str, skip: Option<&Skip>) -> Check {
    let used = USES.iter().find(|(of, ..)| name == *of || name.split('.').next() == Some(of));
    let missing = used.map_or(Vec::new(), |(_, caps, _)| caps::missing(caps));
    let hint = match skip {
        Some(skip) if !skip.hint.is_empty() => skip.hint.clone(),
        _ if !missing.is_empty() => caps::grant(&missing),
        _ => String::new(),
    };
    Check {
        name,
        starts: skip.is_none(),
        unasked: skip.is_some_and(|s| s.unasked),
        reason: skip.map_or(String::new(), |s| s.reason.clone()),
        hint,
        without: if missing.is_empty() { "" } else { used.map_or("", |(.., without)| without) },
        missing: missing.into_iter().map(Cap::name).collect(),
        events_per_second: None,
    }
}

/// Bytes free for this user in the file system of a folder; 0 when it does not say.
fn disk_free(folder: &Path) -> u64 {
    rustix::fs::statvfs(folder).map_or(0, |s| s.f_bavail.saturating_mul(s.f_frsize))
}
