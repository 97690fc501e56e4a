//! What was sent or written by programs: spans, log records, log lines, metrics.

use std::io::{self, Write};

use coldcase_timeline::decode::otlp::{Attributes, PointValue, Span, Value};
use coldcase_timeline::{Entry, LogRow, MetricRow, RecordRow, SampleRow};

use super::proto::{self, TrackEvent};
use super::rows::counter;
use super::spans::{Place, Slice};
use super::writer::{Said, Writer};
use super::{Trace, Wanted};

impl Trace<'_> {
    /// A span: on the thread that it is known to be of, else below its process, else below its service.
    pub(super) fn span<W: Write>(&mut self, w: &mut Writer<W>, s: &Span) -> io::Result<()> {
        let bound = self.binder.bind(s);
        let at = self.t.boot(coldcase_model::Utc(s.start));
        let place = match (bound.pid(), bound.tid()) {
            (Some(pid), Some(tid)) => Place::Thread(self.tracks.thread(w, (pid, tid), at)?),
            (Some(pid), None) => Place::Below(self.tracks.process(w, pid, at)?),
            _ => Place::Below(self.tracks.named(w, 0, &format!("service {}", s.service()))?),
        };
        let mut event = w.event("span", &s.name);
        let texts = [
            ("service", s.service()),
            ("kind", s.kind.name()),
            ("status", s.status.name()),
            ("message", &s.message),
            ("scope", &s.scope),
        ];
        for (name, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            w.annotate(&mut event, name, Said::Text(text));
        }
        w.annotate(&mut event, "bound by", Said::Text(&bound.tier()));
        let ids = [("trace", s.trace.map(|i| i.to_string())), ("span", s.id.map(|i| i.to_string()))];
        for (name, id) in ids.into_iter().chain([("parent", s.parent.map(|i| i.to_string()))]) {
            if let Some(id) = id {
                w.annotate(&mut event, name, Said::Text(&id));
            }
        }
        attributes(w, &mut event, &s.attributes);
        let instants = s.events.iter().map(|e| {
            let mut event = w.event("span event", &e.name);
            attributes(w, &mut event, &e.attributes);
            (e.time.filter(|&utc| utc > 0).unwrap_or(s.start), event)
        });
        let slice = Slice {
            start: s.start,
            end: s.end.max(s.start),
            key: s.trace.zip(s.id),
            parent: s.trace.zip(s.parent),
            links: s.links.clone(),
            event,
            instants: instants.collect(),
        };
        self.spans.put(w, &mut self.tracks, place, slice)
    }

    /// A log record, below the process that sent it, else below its service.
    pub(super) fn record<W: Write>(&mut self, w: &mut Writer<W>, e: &Entry, r: &RecordRow) -> io::Result<()> {
        let (record, at) = (&r.record, self.t.boot(r.utc));
        let above = match self.binder.process(&record.resource, at) {
            Some((pid, _)) => self.tracks.process(w, pid, at)?,
            None => self.tracks.named(w, 0, &format!("service {}", record.resource.service))?,
        };
        let track = self.tracks.named(w, above, "logs")?;
        let severity = record.severity.map_or("", |s| s.name());
        let mut event = log(w, severity, &record.body);
        w.annotate(&mut event, "row", Said::Uint(e.row));
        let ids = [("trace", record.trace.map(|i| i.to_string())), ("span", record.span.map(|i| i.to_string()))];
        for (name, id) in ids {
            if let Some(id) = id {
                w.annotate(&mut event, name, Said::Text(&id));
            }
        }
        attributes(w, &mut event, &record.attributes);
        w.put(proto::INSTANT, r.utc.0, track, event)
    }

    /// A log line, below its file: whose lines a file holds is not known.
    pub(super) fn line<W: Write>(&mut self, w: &mut Writer<W>, l: &LogRow) -> io::Result<()> {
        let track = self.tracks.named(w, 0, &format!("log {}", l.path))?;
        let mut event = log(w, l.fields.severity.map_or("", |s| s.name()), &l.text());
        w.annotate(&mut event, "row", Said::Uint(l.row));
        if let Some(trace) = l.fields.trace {
            w.annotate(&mut event, "trace", Said::Text(&trace.to_string()));
        }
        if let Some(span) = l.fields.span {
            w.annotate(&mut event, "span", Said::Text(&span.to_string()));
        }
        w.put(proto::INSTANT, l.utc.0, track, event)
    }

    /// A metric point: a number is one counter; of a distribution, how many values it is of, and their sum.
    pub(super) fn metric<W: Write>(&mut self, w: &mut Writer<W>, m: &MetricRow) -> io::Result<()> {
        let p = &m.point;
        let labels = p.attributes.to_string();
        let name = if labels.is_empty() { p.name.to_string() } else { format!("{}{{{labels}}}", p.name) };
        let service = &p.resource.service;
        let mut put = |name: &str, unit: &str, value: f64| {
            counter(w, &mut self.tracks, (service, "otlp.metrics"), (name, unit), m.utc, value)
        };
        match &p.value {
            None => Ok(()),
            Some(PointValue::Number(x)) => put(&name, &p.unit, *x),
            Some(PointValue::Histogram { count, sum, .. }) => {
                put(&format!("{name} count"), "", *count as f64)?;
                sum.map_or(Ok(()), |sum| put(&format!("{name} sum"), &p.unit, sum))
            }
            Some(PointValue::Summary { count, sum, .. }) => {
                put(&format!("{name} count"), "", *count as f64)?;
                put(&format!("{name} sum"), &p.unit, *sum)
            }
        }
    }

    /// Samples of scraped pages and of Remote-Write requests.
    pub(super) fn samples<W: Write>(&mut self, w: &mut Writer<W>, wanted: &Wanted<'_>) -> io::Result<()> {
        let (tracks, written) = (&mut self.tracks, &mut self.written);
        let problems = self.t.each_sample(|s| {
            let bucket = s.sample.labels.iter().any(|(name, _)| name == "le");
            if !(wanted.streams)(s.stream) || s.sample.is_stale() {
                return Ok(());
            }
            if bucket {
                written.buckets += 1;
                return Ok(());
            }
            if s.utc.0 <= 0 {
                written.without_time += 1;
                return Ok(());
            }
            counter(w, tracks, (&s.target, s.stream), (&series(s), ""), s.utc, s.sample.value)
        })?;
        self.written.problems.extend(problems);
        Ok(())
    }
}

/// `name{label="value"}`.
fn series(s: &SampleRow) -> String {
    let labels: Vec<String> = s.sample.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    match labels.is_empty() {
        true => s.sample.name.to_string(),
        false => format!("{}{{{}}}", s.sample.name, labels.join(",")),
    }
}

/// An instant that says what was logged.
fn log<W: Write>(w: &mut Writer<W>, severity: &str, text: &str) -> TrackEvent {
    // A name is what is seen at a glance; the annotation has all of it.
    let first = text.lines().next().unwrap_or("");
    let mut event = w.event("log", first);
    w.annotate(&mut event, "message", Said::Text(text));
    if !severity.is_empty() {
        w.annotate(&mut event, "severity", Said::Text(severity));
    }
    *w.counts.instants.entry("log".to_owned()).or_default() += 1;
    event
}

fn attributes<W: Write>(w: &mut Writer<W>, event: &mut TrackEvent, of: &Attributes) {
    for (name, value) in &of.0 {
        let said = match value {
            Value::Text(text) | Value::Json(text) => Said::Text(text),
            Value::Bool(b) => Said::Bool(*b),
            Value::Int(n) => Said::Int(*n),
            Value::Float(x) => Said::Float(*x),
        };
        w.annotate(event, name, said);
    }
}
