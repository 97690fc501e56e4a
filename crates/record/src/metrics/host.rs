//! The source of host metrics: reads `/proc`, the CPUs' frequency and the cgroups' counters each second.

use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use coldcase_bundle::WriteError;
use coldcase_model::events::{CgroupCpu, HostMetric};
use coldcase_model::{Columns, Event};

use super::cgroup::Cgroups;
use super::frequency::Frequencies;
use super::proc::{FILES, Out};
use crate::clock;
use crate::config::HostConfig;
use crate::source::{Context, Failure, Running, Skip, Source, Started};

/// The source's name.
const NAME: &str = "host";
/// A part of it that many virtual machines do not have.
const FREQUENCY: &str = "host.cpufreq";

/// The source of host metrics.
pub struct HostMetrics {
    interval: Duration,
}

impl HostMetrics {
    /// With these options.
    pub fn new(config: HostConfig) -> HostMetrics {
        HostMetrics { interval: config.interval.max(Duration::from_millis(10)) }
    }
}

impl Source for HostMetrics {
    fn names(&self) -> Vec<&'static str> {
        vec![NAME, FREQUENCY]
    }

    fn start(self: Box<Self>, context: Context) -> Result<Started, Skip> {
        let mut reader = Reader::new();
        if !reader.sees_proc() {
            return Err(Skip::new("nothing in /proc can be read", ""));
        }
        let mut skipped = Vec::new();
        if !reader.frequencies.are_visible() {
            skipped
                .push((FREQUENCY, Skip::unasked("the CPUs' frequency is not visible here (no cpufreq in sysfs)", "")));
        }
        let failure = Failure::default();
        let thread = std::thread::Builder::new()
            .name("cc-host".into())
            .spawn({
                let failure = failure.clone();
                move || {
                    if let Err(error) = run(&mut reader, self.interval, &context) {
                        failure.note(&error);
                    }
                }
            })
            .map_err(|e| Skip::new(format!("cannot start a thread: {e}"), ""))?;
        Ok(Started { running: Box::new(RunningHost { thread, failure }), skipped, remarks: Vec::new() })
    }
}

struct RunningHost {
    thread: JoinHandle<()>,
    failure: Failure,
}

impl Running for RunningHost {
    fn failures(&mut self) -> Vec<(&'static str, String)> {
        self.failure.take(NAME)
    }

    fn stop(self: Box<Self>) {
        // A panic of the thread was reported by the panic hook; there is nothing left to write.
        let _ = self.thread.join();
    }
}

/// Reads at once, at each interval, and once more at the stop, so that the whole recording lies between two readings.
fn run(reader: &mut Reader, interval: Duration, context: &Context) -> Result<(), WriteError> {
    let mut next = Instant::now();
    loop {
        let (columns, limits) = reader.read();
        let rows = columns.len() as u64;
        context.writer.append(HostMetric::DEF.stream, columns)?;
        context.intake.add(rows, rows * 16);
        if !limits.is_empty() {
            context.intake.add(limits.len() as u64, 0);
            context.writer.append(CgroupCpu::DEF.stream, limits)?;
        }
        if context.stop.is_stopped() {
            return Ok(());
        }
        // Absolute, so that the readings do not drift; a reading that was late is not made up for.
        next = (next + interval).max(Instant::now());
        context.stop.wait(next.saturating_duration_since(Instant::now()));
    }
}

struct Reader {
    paths: Vec<PathBuf>,
    frequencies: Frequencies,
    cgroups: Cgroups,
}

impl Reader {
    fn new() -> Reader {
        Reader {
            paths: FILES.iter().map(|f| PathBuf::from("/proc").join(f.path)).collect(),
            frequencies: Frequencies::new(),
            cgroups: Cgroups::new(),
        }
    }

    fn sees_proc(&self) -> bool {
        self.paths.iter().any(|path| std::fs::read(path).is_ok())
    }

    /// Samples, and limits of cgroups that are new or changed.
    fn read(&mut self) -> (Columns, Columns) {
        let mut rows = Rows { columns: Columns::new(&HostMetric::DEF), time: 0 };
        for (file, path) in FILES.iter().zip(&self.paths) {
            // Not every kernel has every file (no PSI, say): what is not there is not reported.
            let Ok(text) = std::fs::read_to_string(path) else { continue };
            rows.time = clock::boottime().0;
            (file.read)(&text, &mut rows);
        }
        rows.time = clock::boottime().0;
        self.frequencies.read(&mut rows);
        let mut limits = Columns::new(&CgroupCpu::DEF);
        self.cgroups.read(&mut rows).into_iter().for_each(|row| row.push(&mut limits));
        (rows.columns, limits)
    }
}

struct Rows {
    columns: Columns,
    time: u64,
}

impl Out for Rows {
    fn sample(&mut self, name: &str, labels: &str, value: f64) {
        let row = HostMetric { time: self.time, name: name.to_owned(), labels: labels.to_owned(), value };
        row.push(&mut self.columns);
    }
}
