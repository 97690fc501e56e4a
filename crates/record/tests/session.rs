//! A recording whose sources misbehave: each on its own, none takes another down, and all of it is told.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coldcase_bundle::{BatchBody, Bundle};
use coldcase_model::events::{HostMetric, Loss, SourceState};
use coldcase_model::loss::Reason;
use coldcase_model::manifest::SourceStatus;
use coldcase_model::{Class, Columns, Event};
use coldcase_record::clock;
use coldcase_record::config::RecordConfig;
use coldcase_record::error::RecordError;
use coldcase_record::session::{Observer, Output, Plan, record};
use coldcase_record::source::{Context, Running, Skip, Source, Started};
use coldcase_record::summary::{Progress, Summary};

type Journal = Arc<Mutex<Vec<String>>>;

/// What a source of these tests does.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// Writes a row, loses two events on CPU 1 at the first poll.
    Works,
    /// Cannot start.
    Refuses,
    /// Does not start unless a flag asks for it.
    Unasked,
    /// Starts, and is gone at the first look.
    Dies,
    /// Panics at its start.
    Panics,
}

struct Scripted {
    name: &'static str,
    way: Way,
    journal: Journal,
}

struct RunningScript {
    script: Scripted,
    context: Context,
    polls: u32,
}

impl Source for Scripted {
    fn names(&self) -> Vec<&'static str> {
        vec![self.name]
    }

    fn start(self: Box<Self>, context: Context) -> Result<Started, Skip> {
        self.journal.lock().unwrap().push(format!("start {}", self.name));
        match self.way {
            Way::Refuses => Err(Skip::new("there is nothing here", "put something here")),
            Way::Unasked => Err(Skip::unasked("not asked for", "--ask")),
            Way::Panics => panic!("the panic of this test's own source"),
            Way::Works | Way::Dies => {
                context.losses.watch(self.name, Class::Metric, Reason::RingFull);
                let mut columns = Columns::new(&HostMetric::DEF);
                let time = clock::boottime().0;
                HostMetric { time, name: self.name.into(), ..Default::default() }.push(&mut columns);
                context.writer.append(HostMetric::DEF.stream, columns).unwrap();
                context.intake.add(1, 8);
                Ok(Started::all(RunningScript { script: *self, context, polls: 0 }))
            }
        }
    }
}

impl Running for RunningScript {
    fn poll(&mut self) {
        self.polls += 1;
        if self.polls == 1 && self.script.way == Way::Works {
            self.context.losses.add_on(self.script.name, Class::Metric, Reason::RingFull, 1, 2, 64);
        }
    }

    fn failures(&mut self) -> Vec<(&'static str, String)> {
        let died = self.script.way == Way::Dies && self.polls == 1;
        if died { vec![(self.script.name, "it fell over".into())] } else { Vec::new() }
    }

    fn stop(self: Box<Self>) {
        assert!(self.context.stop.is_stopped());
        self.script.journal.lock().unwrap().push(format!("stop {}", self.script.name));
    }
}

#[derive(Default)]
struct Said(Vec<String>);

impl Observer for Said {
    fn remark(&mut self, text: &str) {
        self.0.push(text.to_owned());
    }
    fn live(&mut self, sources: &[String]) {
        self.0.push(format!("live: {}", sources.join(" ")));
    }
    fn tick(&mut self, progress: &Progress) {
        assert!(progress.resident > 0);
    }
}

fn run(
    path: &Path,
    config: RecordConfig,
    ways: &[(&'static str, Way)],
) -> (Result<Summary, RecordError>, Vec<String>, Vec<String>) {
    let journal = Journal::default();
    let sources = ways.iter().map(|&(name, way)| {
        let source: Box<dyn Source> = Box::new(Scripted { name, way, journal: journal.clone() });
        source
    });
    let config = RecordConfig { time_limit: Some(Duration::from_millis(1500)), ..config };
    let output = Output::File { path: path.to_owned(), force: true };
    let plan = Plan { output, config, child: None, stdout_taken: false, command: vec!["test".into()] };
    let mut said = Said::default();
    let summary = record(plan, sources.collect(), &mut said);
    let journal = journal.lock().unwrap().clone();
    (summary, said.0, journal)
}

/// Rows of one of the recorder's own streams.
fn rows<T>(path: &Path, stream: &str, row: impl Fn(&Columns, usize) -> T) -> Vec<T> {
    let bundle = Bundle::open(path).unwrap();
    let batches = (0..bundle.chunks().len()).flat_map(|i| bundle.read_chunk(i, &|s| s == stream).unwrap());
    let columns = batches.filter_map(|b| match b.body {
        BatchBody::Columns(columns) => Some(columns),
        BatchBody::Raw(_) => None,
    });
    columns.flat_map(|c| (0..c.len()).map(|i| row(&c, i)).collect::<Vec<_>>()).collect()
}

#[test]
fn one_source_that_fails_takes_no_other_down_and_each_state_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.case");
    let ways = [("works", Way::Works), ("refuses", Way::Refuses), ("panics", Way::Panics), ("dies", Way::Dies)];
    let (summary, said, journal) = run(&path, RecordConfig::default(), &ways);
    let summary = summary.unwrap();
    let states: Vec<_> = summary.manifest.sources.iter().map(|s| (s.name.as_str(), s.status)).collect();
    let expected = [
        ("works", SourceStatus::Recorded),
        ("refuses", SourceStatus::Skipped),
        ("panics", SourceStatus::Skipped),
        ("dies", SourceStatus::Failed),
    ];
    assert_eq!(states, expected);
    assert_eq!(summary.events, 2, "one each of the two that started");
    assert_eq!(journal, ["start works", "start refuses", "start panics", "start dies", "stop dies", "stop works"]);
    assert!(said.iter().any(|l| l.contains("refuses: there is nothing here") && l.contains("put something here")));
    assert!(said.iter().any(|l| l == "dies: stopped recording: it fell over"), "{said:?}");
    let written = rows(&path, SourceState::DEF.stream, |c, i| {
        let c = SourceState::cols(c).unwrap();
        format!("{} {}", c.source.text(i), c.status.text(i))
    });
    let expected =
        ["works running", "refuses skipped", "panics skipped", "dies running", "recorder running", "dies failed"];
    assert_eq!(written[..6], expected);
    assert_eq!(written[6..], ["works stopped"]);
}

#[test]
fn losses_are_in_the_ledger_by_cpu_and_zero_is_written_down() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.case");
    let (summary, ..) = run(&path, RecordConfig::default(), &[("works", Way::Works), ("dies", Way::Dies)]);
    let summary = summary.unwrap();
    assert_eq!(
        summary.lost().iter().map(|l| (l.source.as_str(), l.count, l.bytes)).collect::<Vec<_>>(),
        [("works", 2, 64)]
    );
    let written = rows(&path, Loss::DEF.stream, |c, i| {
        let c = Loss::cols(c).unwrap();
        assert!(c.duration[i] > 0);
        (c.source.text(i).into_owned(), c.cpu[i], c.count[i])
    });
    assert!(written.contains(&("works".into(), 1, 2)), "{written:?}");
    assert!(written.contains(&("dies".into(), -1, 0)), "nothing lost is a row too: {written:?}");
    assert!(written.contains(&("recorder".into(), -1, 0)));
}

#[test]
fn a_required_source_that_cannot_start_ends_it_before_it_begins() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.case");
    let config = RecordConfig { require: vec!["refuses".into()], ..Default::default() };
    let (summary, _, journal) = run(&path, config, &[("works", Way::Works), ("refuses", Way::Refuses)]);
    assert!(matches!(summary, Err(RecordError::Required { source_name, .. }) if source_name == "refuses"));
    assert_eq!(journal.last().unwrap(), "stop works");
    assert!(!path.exists());
}

#[test]
fn a_required_family_does_not_require_what_only_a_flag_asks_for_unless_it_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let sources = [("kernel.works", Way::Works), ("kernel.dear", Way::Unasked)];
    let config = |name: &str| RecordConfig {
        require: vec![name.into()],
        time_limit: Some(Duration::from_millis(50)),
        ..Default::default()
    };
    let (summary, ..) = run(&dir.path().join("a.case"), config("kernel"), &sources);
    assert!(summary.is_ok(), "{:?}", summary.err());
    let (summary, ..) = run(&dir.path().join("b.case"), config("kernel.dear"), &sources);
    assert!(matches!(summary, Err(RecordError::Required { source_name, .. }) if source_name == "kernel.dear"));
}

#[test]
fn when_nothing_starts_there_is_no_recording() {
    let dir = tempfile::tempdir().unwrap();
    let (summary, ..) = run(&dir.path().join("a.case"), RecordConfig::default(), &[("refuses", Way::Refuses)]);
    assert!(matches!(summary, Err(RecordError::Nothing)));
}
