//! What can be recorded here, found by doing it: each source is started for a moment, into nothing.

use std::path::Path;
use std::sync::Arc;

use coldcase_bundle::{Writer, WriterOptions};
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
    /// The sources.
    pub sources: Vec<Check>,
}

/// What a source can use, what it cannot start without said by the source itself.
const USES: &[(&str, &[Cap], &str)] = &[
    ("kernel", &[Cap::Bpf, Cap::Perfmon], "scheduler, CPU samples, block I/O, TCP and task events"),
    ("packets", &[Cap::NetRaw], "packets"),
    ("host.snapshot", &[Cap::SysPtrace], "programs, sockets and mappings of other users' processes"),
    ("host.mapping", &[Cap::Perfmon], "files that are mapped during the recording"),
    ("symbols", &[Cap::Syslog], "names of kernel functions"),
    ("log", &[Cap::DacReadSearch], "log files that only others may read"),
];

/// Starts each source for a moment, one after the other, and tells what happened. `folder` is where a bundle would go.
pub fn diagnose(config: &RecordConfig, sources: Vec<Box<dyn Source>>, folder: &Path) -> Result<Diagnosis, RecordError> {
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
    let mut running: Vec<Box<dyn Running>> = Vec::new();
    for source in sources {
        let names = source.names();
        match source.start(context.clone()) {
            Ok(started) => {
                for name in names {
                    checks.push(check(name, started.skipped.iter().find(|(n, _)| *n == name).map(|(_, skip)| skip)));
                }
                running.push(started.running);
            }
            Err(skip) => checks.extend(names.into_iter().map(|name| check(name, Some(&skip)))),
        }
    }
    stop.stop();
    while let Some(source) = running.pop() {
        source.stop();
    }
    let anchor = clock::anchor("start");
    Ok(Diagnosis {
        host: host_entry::read(),
        user: host_entry::user(),
        btf: Path::new("/sys/kernel/btf/vmlinux").exists(),
        clock: clock::ntp_words(anchor.ntp_state),
        clock_error: anchor.ntp_error,
        folder: folder.display().to_string(),
        disk_free: disk_free(folder),
        sources: checks,
    })
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
    }
}

/// Bytes free for this user in the file system of a folder; 0 when it does not say.
fn disk_free(folder: &Path) -> u64 {
    rustix::fs::statvfs(folder).map_or(0, |s| s.f_bavail.saturating_mul(s.f_frsize))
}
