//! Loading: chunks in parallel to segments and decoded rows, joined in the order of the bundle.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use coldcase_bundle::{Batch, BatchBody, Bundle, ChunkStream};
use coldcase_decode::otlp::{LogRecord, MetricPoint, OtlpError, Span};
use coldcase_decode::prometheus::Sample;
use coldcase_decode::remote_write::{self, RemoteWriteError, Written};
use coldcase_decode::{exposition, log, otlp, pcapng, spans};
use coldcase_model::{Boottime, Columns, Event, Utc, catalogue, events};
use rayon::prelude::*;

use crate::decoded::{
    Decoded, ExemplarRow, LogRow, MetricRow, Packet, REMOTE_WRITE, RecordRow, SampleRow, SpanRow, line_time,
};
use crate::pieces;
use crate::repeats::{self, Request, all_told};
use crate::segment::Segment;

/// Problems of one kind that are told one by one; the rest is counted.
const TOLD: usize = 50;

/// Segments by stream, and what was decoded.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) segments: BTreeMap<Arc<str>, Vec<Segment>>,
    pub(crate) decoded: Decoded,
    /// OTLP requests that tell themselves apart.
    pub(crate) requests: Vec<Request>,
    /// Services by the pid that their spans tell.
    pub(crate) services: BTreeSet<(u32, String)>,
}

/// What turns batches into rows; shared by all threads.
#[derive(Default)]
pub(crate) struct Decoder {
    /// By page number of `metrics.pages`: target and content type.
    pub(crate) pages: HashMap<u64, (Arc<str>, String)>,
    /// Of spans, keep only which services they tell: nobody asked for the spans, and there may be many.
    pub(crate) only_services: bool,
}

/// Reads the wanted streams of the wanted chunks.
pub(crate) fn load(
    bundle: &Bundle,
    decoder: &Decoder,
    want: &(dyn Fn(&str) -> bool + Sync),
    within: &(dyn Fn(&ChunkStream) -> bool + Sync),
) -> Loaded {
    let parts: Vec<Loaded> = bundle
        .chunks()
        .par_iter()
        .map(|chunk| {
            let mut out = Loaded::default();
            let here: Vec<&str> =
                chunk.streams.iter().filter(|s| want(&s.stream) && within(s)).map(|s| &*s.stream).collect();
            if here.is_empty() {
                return out;
            }
            match bundle.read_chunk(chunk.index, &|s| here.contains(&s)) {
                Ok(batches) => batches.into_iter().for_each(|b| decoder.batch(b, &mut out)),
                Err(e) => out.decoded.problems.push(e.to_string()),
            }
            out
        })
        .collect();
    let mut all = Loaded::default();
    for part in parts {
        all.append(part);
    }
    all.order();
    all
}

impl Loaded {
    fn append(&mut self, part: Loaded) {
        for (stream, segments) in part.segments {
            self.segments.entry(stream).or_default().extend(segments);
        }
        let (to, from) = (&mut self.decoded, part.decoded);
        to.spans.extend(from.spans);
        to.records.extend(from.records);
        to.metrics.extend(from.metrics);
        to.samples.extend(from.samples);
        to.exemplars.extend(from.exemplars);
        to.kinds.extend(from.kinds);
        to.refused.extend(from.refused);
        to.packets.extend(from.packets);
        to.lines.extend(from.lines);
        to.problems.extend(from.problems);
        self.requests.extend(part.requests);
        self.services.extend(part.services);
    }

    /// Rows in order of their numbers: chunks of one stream may stand in the file in another order, since they are
    /// compressed side by side.
    fn order(&mut self) {
        for segments in self.segments.values_mut() {
            segments.sort_by_key(|s| s.row(0));
        }
        repeats::leave_out(&mut self.decoded, std::mem::take(&mut self.requests));
        let d = &mut self.decoded;
        d.spans.sort_by_key(|s| (s.stream, s.row, s.span.index));
        d.records.sort_by_key(|r| (r.stream, r.row, r.record.index));
        d.metrics.sort_by_key(|m| (m.stream, m.row, m.point.index));
        d.samples.sort_by_key(|s| (s.stream, s.row, s.sample.line));
        d.exemplars.sort_by_key(|e| (e.stream, e.row, e.index));
        d.refused.sort_by_key(|r| r.1);
        d.name_kinds();
        d.packets.sort_by_key(|p| (p.row, p.packet.index));
        d.lines.sort_by_key(|l| l.row);
        pieces::join(&mut d.lines);
        if d.problems.len() > TOLD {
            let more = d.problems.len() - TOLD;
            d.problems.truncate(TOLD);
            d.problems.push(format!("and {more} more problems while decoding"));
        }
    }
}

/// A stored line as it is shown, and what it tells: of the journal's entries who said what, of other encodings UTF-8.
fn shown(line: &[u8], flags: u32, read: i64) -> (Cow<'_, [u8]>, log::LogFields) {
    if flags & events::LogLine::JOURNAL != 0
        && let Some(Ok(entry)) = log::journal::entries(line).next()
    {
        return (Cow::Owned(entry.line()), entry.fields());
    }
    let line = log::encoding::utf8(line);
    let fields = log::parse_at(&line, Some(read));
    (line, fields)
}

impl Decoder {
    /// One batch to rows.
    pub(crate) fn batch(&self, batch: Batch, out: &mut Loaded) {
        match batch.body {
            BatchBody::Columns(columns) => {
                if *batch.stream == *events::LogLine::DEF.stream {
                    self.lines(batch.first_row, &columns, &mut out.decoded);
                }
                let columns = match catalogue::by_stream(&batch.stream) {
                    Some(def) => columns.complete(def),
                    None => columns,
                };
                out.segments.entry(batch.stream).or_default().push(Segment::new(batch.first_row, columns));
            }
            BatchBody::Raw(bytes) => {
                if let Err(why) = self.raw(&batch.stream, batch.first_row, batch.log_time, &bytes, out) {
                    out.decoded.problems.push(format!("{}#{}: {why}", batch.stream, batch.first_row));
                }
            }
        }
    }

    fn lines(&self, first_row: u64, columns: &Columns, out: &mut Decoded) {
        let Ok(cols) = events::LogLine::cols(columns) else { return };
        let paths: Vec<Arc<str>> = cols.path.entries.iter().map(|p| String::from_utf8_lossy(p).into()).collect();
        for i in 0..columns.len() {
            let line = cols.line.get(i);
            let (line, fields) = shown(line, cols.flags[i], cols.read[i]);
            let (utc, own_time) = line_time(&fields, Utc(cols.read[i]));
            out.lines.push(LogRow {
                row: first_row.saturating_add(i as u64),
                utc,
                own_time,
                read: Boottime(cols.time[i]),
                path: paths.get(cols.path.ids[i] as usize).cloned().unwrap_or_default(),
                line: line.into_owned().into_boxed_slice(),
                fields,
            });
        }
    }

    fn raw(&self, stream: &str, row: u64, received: Utc, bytes: &[u8], all: &mut Loaded) -> Result<(), String> {
        let out = &mut all.decoded;
        match stream {
            "otlp.traces" => self.spans("otlp.traces", row, received, bytes, otlp::traces(bytes), all)?,
            "otlp.traces.json" => {
                self.spans("otlp.traces.json", row, received, bytes, otlp::traces_json(bytes), all)?
            }
            "jaeger.traces" => self.spans("jaeger.traces", row, received, bytes, spans::jaeger(bytes), all)?,
            "zipkin.spans" => self.spans("zipkin.spans", row, received, bytes, spans::zipkin(bytes), all)?,
            "otlp.logs" => records("otlp.logs", row, received, bytes, otlp::logs(bytes), all)?,
            "otlp.logs.json" => records("otlp.logs.json", row, received, bytes, otlp::logs_json(bytes), all)?,
            "otlp.metrics" => points("otlp.metrics", row, received, bytes, otlp::metrics(bytes), all)?,
            "otlp.metrics.json" => points("otlp.metrics.json", row, received, bytes, otlp::metrics_json(bytes), all)?,
            "metrics.pages" => self.page(row, received, bytes, out)?,
            "prometheus.remote_write" => {
                written("prometheus.remote_write", row, received, remote_write::v1(bytes), out)?;
            }
            "prometheus.remote_write.v2" => {
                written("prometheus.remote_write.v2", row, received, remote_write::v2(bytes), out)?;
            }
            "packets" => {
                let section = pcapng::decode(bytes);
                let names: Vec<Arc<str>> = section.interfaces.iter().map(|i| i.name.as_str().into()).collect();
                out.packets.extend(section.packets.into_iter().map(|packet| Packet {
                    row,
                    utc: packet.time.map_or(received, Utc),
                    interface: names.get(packet.interface as usize).cloned().unwrap_or_default(),
                    packet,
                }));
                if let Some(why) = section.problem {
                    return Err(why.into());
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn page(&self, row: u64, received: Utc, bytes: &[u8], out: &mut Decoded) -> Result<(), String> {
        let (target, content_type) = self.pages.get(&row).cloned().unwrap_or_default();
        let scraped = exposition::read(bytes, &content_type);
        if let Some(why) = scraped.refused {
            out.refused.push((target.clone(), row, why.to_string()));
            return Err(format!("a page of {target} breaks the rules of OpenMetrics and is not read: {why}"));
        }
        let page = scraped.page;
        let mut index = 0;
        for sample in page.samples {
            let sample = SampleRow {
                stream: "metrics.pages",
                row,
                utc: sample.time.map_or(received, Utc),
                target: target.clone(),
                sample,
            };
            if let Some(exemplar) = &sample.sample.exemplar {
                let of = Of { stream: sample.stream, row, index, received: sample.utc, target: &sample.target };
                out.exemplars.push(of.exemplar(sample.sample.name.clone(), sample.sample.labels.clone(), exemplar));
                index += 1;
            }
            out.samples.push(sample);
        }
        match page.errors.first() {
            None => Ok(()),
            Some((line, why)) => {
                Err(format!("{} bad lines in a page of {target}, the first {line}: {why}", page.errors.len()))
            }
        }
    }

    fn spans(
        &self,
        stream: &'static str,
        row: u64,
        received: Utc,
        bytes: &[u8],
        spans: Result<Vec<Span>, impl std::fmt::Display>,
        all: &mut Loaded,
    ) -> Result<(), String> {
        let spans = spans.map_err(|e| e.to_string())?;
        for s in spans.iter().filter(|s| !s.service().is_empty()) {
            if let Some(pid) = s.resource.pid
                && !all.services.iter().any(|(p, name)| *p == pid && name == s.service())
            {
                all.services.insert((pid, s.service().to_owned()));
            }
        }
        if !self.only_services {
            all.requests.extend(all_told(&spans).then(|| Request::of(stream, row, bytes)));
            all.decoded.spans.extend(spans.into_iter().map(|span| SpanRow { stream, row, received, span }));
        }
        Ok(())
    }
}

/// Where an exemplar comes from.
struct Of<'a> {
    stream: &'static str,
    row: u64,
    index: u32,
    received: Utc,
    target: &'a Arc<str>,
}

impl Of<'_> {
    fn exemplar(
        &self,
        name: Arc<str>,
        labels: Vec<(String, String)>,
        exemplar: &coldcase_decode::prometheus::Exemplar,
    ) -> ExemplarRow {
        let (trace, span) = ExemplarRow::ids(exemplar);
        ExemplarRow {
            stream: self.stream,
            row: self.row,
            index: self.index,
            utc: exemplar.time.map_or(self.received, Utc),
            target: self.target.clone(),
            name,
            labels,
            trace,
            span,
            exemplar: exemplar.clone(),
        }
    }
}

/// The rows of a Remote-Write request.
fn written(
    stream: &'static str,
    row: u64,
    received: Utc,
    written: Result<Written, RemoteWriteError>,
    out: &mut Decoded,
) -> Result<(), String> {
    let written = written.map_err(|e| e.to_string())?;
    let target: Arc<str> = REMOTE_WRITE.into();
    out.samples.extend(written.samples.into_iter().map(|sample| {
        let utc = sample.time.map_or(received, Utc);
        SampleRow { stream, row, utc, target: target.clone(), sample }
    }));
    for (e, index) in written.exemplars.into_iter().zip(0u32..) {
        let of = Of { stream, row, index, received, target: &target };
        out.exemplars.push(of.exemplar(e.name, e.labels, &e.exemplar));
    }
    out.kinds.extend(written.kinds);
    match written.errors.first() {
        None => Ok(()),
        Some((number, why)) => {
            Err(format!("{} series cannot be read, the first {number}: {why}", written.errors.len()))
        }
    }
}

impl Decoded {
    /// Version 1.0 of Remote-Write sends types in requests of their own: samples of families whose type was told get it.
    fn name_kinds(&mut self) {
        let kinds: BTreeMap<&Arc<str>, Arc<str>> = self.kinds.iter().map(|(n, k)| (n, Arc::from(*k))).collect();
        let pushed = |s: &&mut SampleRow| &*s.target == REMOTE_WRITE && &*s.sample.kind == "untyped";
        for row in self.samples.iter_mut().filter(pushed) {
            if let Some(kind) = family_kind(&kinds, &row.sample) {
                row.sample.kind = kind;
            }
        }
    }
}

fn family_kind(kinds: &BTreeMap<&Arc<str>, Arc<str>>, sample: &Sample) -> Option<Arc<str>> {
    let suffixes = ["", "_total", "_bucket", "_count", "_sum", "_created", "_info", "_gcount", "_gsum"];
    let family = |suffix: &str| kinds.get(&Arc::<str>::from(sample.name.strip_suffix(suffix)?)).cloned();
    suffixes.into_iter().find_map(family)
}

fn records(
    stream: &'static str,
    row: u64,
    received: Utc,
    bytes: &[u8],
    records: Result<Vec<LogRecord>, OtlpError>,
    all: &mut Loaded,
) -> Result<(), String> {
    let records = records.map_err(|e| e.to_string())?;
    all.requests.extend(all_told(&records).then(|| Request::of(stream, row, bytes)));
    all.decoded.records.extend(records.into_iter().map(|record| {
        let utc = record.time.or(record.observed).map_or(received, Utc);
        RecordRow { stream, row, utc, record }
    }));
    Ok(())
}

fn points(
    stream: &'static str,
    row: u64,
    received: Utc,
    bytes: &[u8],
    points: Result<Vec<MetricPoint>, OtlpError>,
    all: &mut Loaded,
) -> Result<(), String> {
    let points = points.map_err(|e| e.to_string())?;
    all.requests.extend(all_told(&points).then(|| Request::of(stream, row, bytes)));
    all.decoded.metrics.extend(points.into_iter().map(|point| {
        let utc = point.time.map_or(received, Utc);
        MetricRow { stream, row, utc, point }
    }));
    Ok(())
}

/// Target and content type of each scraped page, from the receipts.
pub(crate) fn pages(receipts: &[Segment]) -> HashMap<u64, (Arc<str>, String)> {
    let mut out = HashMap::new();
    for segment in receipts {
        let Ok(cols) = events::Receipt::cols(&segment.columns) else { continue };
        for i in 0..segment.len() {
            out.insert(segment.row(i), (cols.origin.text(i).into(), cols.content_type.text(i).into_owned()));
        }
    }
    out
}

/// Where a row stands on the timeline: its time field and, for intervals, its length.
pub(crate) struct TimeFields<'a> {
    times: &'a [u64],
    durations: Option<&'a [u64]>,
}

impl<'a> TimeFields<'a> {
    /// Of the columns of a stream: by its definition, or, for a kind that this build does not know, by the names
    /// `time` and `duration`.
    pub(crate) fn of(stream: &str, columns: &'a Columns) -> Option<TimeFields<'a>> {
        let def = catalogue::by_stream(stream);
        let time = def.map_or(Some("time"), |d| d.time_field().map(|i| d.fields[i].name))?;
        let duration = def.map_or(Some("duration"), |d| d.duration_field().map(|i| d.fields[i].name));
        let u64s = |name: &str| match columns.get(name) {
            Some(coldcase_model::Column::U64(v)) => Some(v.as_slice()),
            _ => None,
        };
        Some(TimeFields { times: u64s(time)?, durations: duration.and_then(u64s) })
    }

    pub(crate) fn start(&self, i: usize) -> Boottime {
        Boottime(self.times.get(i).copied().unwrap_or(0))
    }

    pub(crate) fn end(&self, i: usize) -> Boottime {
        let long = self.durations.and_then(|d| d.get(i)).copied().unwrap_or(0);
        Boottime(self.start(i).0.saturating_add(long))
    }
}
