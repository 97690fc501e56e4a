//! What was logged in a trace: by its id; else by the process that logged, and when.

use std::collections::{HashMap, HashSet};

use coldcase_decode::otlp::{SpanId, TraceId};
use coldcase_model::analysis::TraceLog;
use coldcase_timeline::{Binder, LogRow, RecordRow, SpanRow, Timeline};

/// Log lines of one trace that are told.
const MOST: usize = 1000;

/// How a line was joined to a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogHow {
    /// It names the trace.
    Id,
    /// Its sender is the process of a span of the trace, and it was logged while that ran.
    Process,
    /// The same, and whose file it is in is inferred from other lines of it, which name spans.
    File,
}

impl LogHow {
    /// In words.
    pub(crate) fn name(self) -> &'static str {
        match self {
            LogHow::Id => "trace id",
            LogHow::Process => "process and time",
            LogHow::File => "file and time (inferred)",
        }
    }
}

/// Who a span is of: its service, and the pid that it tells.
type Sender<'a> = (&'a str, Option<u32>);

/// The logs of a bundle, to find those of a trace.
pub(crate) struct Logs<'a> {
    t: &'a Timeline,
    binder: &'a Binder<'a>,
    /// Whose file it is, where all lines that name a span name one of the same sender.
    files: HashMap<&'a str, Sender<'a>>,
}

impl<'a> Logs<'a> {
    pub(crate) fn new(t: &'a Timeline, binder: &'a Binder<'a>) -> Logs<'a> {
        Logs { t, binder, files: files(t) }
    }

    /// The lines of a trace in the order of time, and how many more there are.
    pub(crate) fn of(&self, id: TraceId, rows: &[&'a SpanRow]) -> (Vec<TraceLog>, u64) {
        let mut out: Vec<TraceLog> = self
            .lines(id, rows)
            .into_iter()
            .map(|(l, how)| TraceLog {
                time: l.utc.0,
                origin: l.path.to_string(),
                severity: l.fields.severity.map(|s| s.name().to_owned()),
                line: l.text().into_owned(),
                span: l.fields.span.map(|s| s.to_string()),
                how: how.name().to_owned(),
                evidence: Some(self.t.evidence("log.lines", l.row)),
            })
            .collect();
        out.extend(self.records(id, rows).into_iter().map(|(r, how)| TraceLog {
            time: r.utc.0,
            origin: r.record.resource.service.clone(),
            severity: r.record.severity.map(|s| s.name().to_owned()),
            line: r.record.body.clone(),
            span: r.record.span.map(|s| s.to_string()),
            how: how.name().to_owned(),
            evidence: Some(self.t.evidence(r.stream, r.row)),
        }));
        out.sort_by(|a, b| (a.time, &a.origin, &a.evidence).cmp(&(b.time, &b.origin, &b.evidence)));
        let more = out.len().saturating_sub(MOST);
        out.truncate(MOST);
        (out, more as u64)
    }

    fn lines(&self, id: TraceId, rows: &[&SpanRow]) -> Vec<(&'a LogRow, LogHow)> {
        let mut when = HashMap::<Sender<'_>, Vec<(i64, i64)>>::new();
        for s in rows.iter().map(|r| &r.span).filter(|s| s.start > 0) {
            when.entry((s.service(), s.resource.pid)).or_default().push((s.start, s.end));
        }
        let during = |sender: Option<&Sender<'_>>, at: i64| {
            let spans = sender.and_then(|s| when.get(s));
            spans.is_some_and(|spans| spans.iter().any(|&(from, to)| (from..=to).contains(&at)))
        };
        let how = |l: &LogRow| match l.fields.trace {
            Some(trace) => (trace == id).then_some(LogHow::Id),
            None if l.own_time && during(self.files.get(&*l.path), l.utc.0) => Some(LogHow::File),
            None => None,
        };
        self.t.lines().iter().filter_map(|l| how(l).map(|how| (l, how))).collect()
    }

    fn records(&self, id: TraceId, rows: &[&SpanRow]) -> Vec<(&'a RecordRow, LogHow)> {
        let mut when = HashMap::<u32, Vec<(i64, i64)>>::new();
        for s in rows.iter().map(|r| &r.span) {
            if let Some(pid) = self.binder.bind(s).pid() {
                when.entry(pid).or_default().push((s.start, s.end));
            }
        }
        let how = |r: &RecordRow| match r.record.trace {
            Some(trace) => (trace == id).then_some(LogHow::Id),
            None => {
                let sender = self.binder.process(&r.record.resource, self.t.boot(r.utc));
                let spans = sender.and_then(|(pid, _)| when.get(&pid))?;
                spans.iter().any(|&(from, to)| (from..=to).contains(&r.utc.0)).then_some(LogHow::Process)
            }
        };
        self.t.records().iter().filter_map(|r| how(r).map(|how| (r, how))).collect()
    }
}

/// Log lines and records by stream, row and place in it, and how each was joined to a trace.
pub type Joined = HashMap<(String, u64, u32), &'static str>;

/// The log lines and records of these traces (hex ids), of a timeline that holds spans and logs.
pub fn joined_logs(t: &Timeline, traces: &[String]) -> Joined {
    let binder = Binder::new(t);
    let logs = Logs::new(t, &binder);
    let mut out = Joined::new();
    for id in traces.iter().filter_map(|id| TraceId::from_hex(id)) {
        let rows: Vec<&SpanRow> = t.spans().iter().filter(|r| r.span.trace == Some(id)).collect();
        for (l, how) in logs.lines(id, &rows) {
            out.entry(("log.lines".to_owned(), l.row, 0)).or_insert(how.name());
        }
        for (r, how) in logs.records(id, &rows) {
            out.entry((r.stream.to_owned(), r.row, r.record.index)).or_insert(how.name());
        }
    }
    out
}

fn files(t: &Timeline) -> HashMap<&str, Sender<'_>> {
    let named: HashSet<(TraceId, SpanId)> =
        t.lines().iter().filter_map(|l| l.fields.trace.zip(l.fields.span)).collect();
    if named.is_empty() {
        return HashMap::new();
    }
    let spans: HashMap<(TraceId, SpanId), Sender<'_>> = t
        .spans()
        .iter()
        .map(|r| &r.span)
        .filter_map(|s| Some((s.trace.zip(s.id).filter(|key| named.contains(key))?, (s.service(), s.resource.pid))))
        .collect();
    let mut out = HashMap::<&str, Option<Sender<'_>>>::new();
    for l in t.lines() {
        let Some(sender) = l.fields.trace.zip(l.fields.span).and_then(|key| spans.get(&key)) else { continue };
        let of = out.entry(&l.path).or_insert(Some(*sender));
        if of.is_some_and(|known| known != *sender) {
            *of = None;
        }
    }
    out.into_iter().filter_map(|(path, sender)| sender.map(|s| (path, s))).collect()
}
