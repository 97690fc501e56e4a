//! Prometheus pages in protobuf: `MetricFamily` messages of `io.prometheus.client`, each behind its length as a varint.
//!
//! The rows are those of the text format: what a client library would have written as lines, so that a target gives the
//! same samples in whatever format it was asked. A native histogram is a row of its own, named as its family, beside
//! its `_count` and `_sum`; its value is the sum. A message that cannot be read costs only itself.

mod wire;

use std::sync::Arc;

use prost::Message;

use crate::prometheus::budget::Budget;
use crate::prometheus::line::{Label, nanoseconds};
use crate::prometheus::native::Side;
use crate::prometheus::{Exemplar, NativeHistogram, Page, Sample, number};
use wire::{Histogram, LabelPair, Metric, MetricFamily};

/// Whether a content type is this format: `application/vnd.google.protobuf;
/// proto=io.prometheus.client.MetricFamily; encoding=delimited`.
pub fn is_protobuf(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let media = parts.next().unwrap_or("");
    let mut delimited = true;
    for part in parts {
        match part.split_once('=').map(|(k, v)| (k.trim(), v.trim().trim_matches('"'))) {
            Some(("encoding", encoding)) => delimited = encoding == "delimited",
            Some(("proto", proto)) if proto != "io.prometheus.client.MetricFamily" => return false,
            _ => {}
        }
    }
    delimited && media.eq_ignore_ascii_case("application/vnd.google.protobuf")
}

/// Reads a page. [`Sample::line`] is the number of the sample, the number of an error that of its family, both from 1.
pub fn parse(page: &[u8]) -> Page {
    let mut out = Page::default();
    let (mut rest, mut family) = (page, 0u32);
    let mut budget = Budget::of(page.len());
    while !rest.is_empty() {
        family = family.saturating_add(1);
        let Ok(length) = prost::decode_length_delimiter(rest) else {
            out.errors.push((family, "not the length of a message"));
            break;
        };
        let Some(message) = rest.get(prost::length_delimiter_len(length)..).and_then(|r| r.get(..length)) else {
            out.errors.push((family, "a message that is longer than the page"));
            break;
        };
        match MetricFamily::decode(message) {
            Ok(read) => Rows::of(&read, family, &mut budget, &mut out),
            Err(_) => out.errors.push((family, "not a metric family")),
        }
        // Where the message ends, however its length was written: a varint may be padded.
        let begins = message.as_ptr() as usize - page.as_ptr() as usize;
        rest = page.get(begins + length..).unwrap_or(&[]);
    }
    out
}

/// The types of `MetricType`, as text pages name them.
const KINDS: [&str; 6] = ["counter", "gauge", "summary", "untyped", "histogram", "gaugehistogram"];

/// The rows of a family.
struct Rows<'a> {
    name: &'a str,
    kind: Arc<str>,
    labels: Vec<Label>,
    time: Option<i64>,
    budget: &'a mut Budget,
    out: &'a mut Page,
}

impl Rows<'_> {
    fn of(family: &MetricFamily, number: u32, budget: &mut Budget, out: &mut Page) {
        let name = family.name.as_deref().unwrap_or("");
        if name.is_empty() {
            out.errors.push((number, "a family without a name"));
            return;
        }
        let kind = usize::try_from(family.kind.unwrap_or(0)).ok().and_then(|k| KINDS.get(k));
        if kind.is_none() {
            out.errors.push((number, "unknown type"));
        }
        if let Some(unit) = family.unit.as_ref().filter(|u| !u.is_empty()) {
            out.units.push((name.into(), unit.clone()));
        }
        let kind = (*kind.unwrap_or(&"untyped")).into();
        let mut rows = Rows { name, kind, labels: Vec::new(), time: None, budget, out };
        for metric in &family.metrics {
            rows.labels = pairs(&metric.labels);
            rows.time = metric.timestamp_ms.map(|ms| nanoseconds(i128::from(ms) * 1_000_000));
            if let Err(why) = rows.metric(metric) {
                rows.out.errors.push((number, why));
            }
        }
    }

    fn metric(&mut self, m: &Metric) -> Result<(), &'static str> {
        if let Some(c) = &m.counter {
            self.row("", None, c.value.unwrap_or(0.0), c.exemplar.as_ref().map(exemplar))?;
        } else if let Some(g) = m.gauge.as_ref().or(m.untyped.as_ref()) {
            self.row("", None, g.value.unwrap_or(0.0), None)?;
        } else if let Some(s) = &m.summary {
            for q in &s.quantiles {
                let label = ("quantile", number::text(q.quantile.unwrap_or(0.0)));
                self.row("", Some(label), q.value.unwrap_or(0.0), None)?;
            }
            self.row("_sum", None, s.sum.unwrap_or(0.0), None)?;
            self.row("_count", None, s.count.unwrap_or(0) as f64, None)?;
        } else if let Some(h) = &m.histogram {
            return self.histogram(h);
        } else {
            return Err("a metric without a value");
        }
        Ok(())
    }

    fn histogram(&mut self, h: &Histogram) -> Result<(), &'static str> {
        let gauge = &*self.kind == "gaugehistogram";
        let (sum_name, count_name) = if gauge { ("_gsum", "_gcount") } else { ("_sum", "_count") };
        let count = float(h.count_float, h.count);
        let native = native(h, gauge);
        let mut to_infinity = false;
        for b in &h.buckets {
            let upper = b.upper.unwrap_or(0.0);
            to_infinity |= upper == f64::INFINITY;
            let value = float(b.cumulative_float, b.cumulative);
            self.row("_bucket", Some(("le", number::text(upper))), value, b.exemplar.as_ref().map(exemplar))?;
        }
        // The last bucket may be left out of the message, never out of the text. A native histogram alone has none.
        if !to_infinity && (!h.buckets.is_empty() || matches!(native, Ok(None))) {
            self.row("_bucket", Some(("le", "+Inf".into())), count, None)?;
        }
        self.row(sum_name, None, h.sum.unwrap_or(0.0), None)?;
        self.row(count_name, None, count, None)?;
        if let Some(native) = native? {
            // Its exemplars stand beside the buckets; the latest one is the row's.
            let latest = h.exemplars.iter().map(exemplar).max_by_key(|e| e.time);
            let value = native.sum;
            self.row("", None, value, latest)?;
            if let Some(row) = self.out.samples.last_mut() {
                row.histogram = Some(Arc::new(native));
            }
        }
        Ok(())
    }

    fn row(
        &mut self,
        suffix: &str,
        label: Option<(&str, String)>,
        value: f64,
        exemplar: Option<Exemplar>,
    ) -> Result<(), &'static str> {
        let mut labels = self.labels.clone();
        labels.extend(label.map(|(k, v)| (k.to_owned(), v)));
        self.budget.row(self.name, &labels)?;
        let name = match self.out.samples.last() {
            Some(s) if s.name.strip_prefix(self.name) == Some(suffix) => s.name.clone(),
            _ => format!("{}{suffix}", self.name).into(),
        };
        let line = u32::try_from(self.out.samples.len() + 1).unwrap_or(u32::MAX);
        let (time, kind) = (self.time, self.kind.clone());
        self.out.samples.push(Sample { name, labels, value, time, kind, exemplar, histogram: None, line });
        Ok(())
    }
}

/// The native part of a histogram: it has one when it tells a schema or a zero bucket ("no-op" spans mark an empty one).
fn native(h: &Histogram, gauge: bool) -> Result<Option<NativeHistogram>, &'static str> {
    let there = !h.positive_spans.is_empty()
        || !h.negative_spans.is_empty()
        || h.zero_threshold.is_some_and(|t| t > 0.0)
        || h.zero_count.is_some_and(|n| n > 0)
        || h.zero_count_float.is_some_and(|n| n > 0.0);
    let Some(schema) = h.schema.filter(|_| there).or(there.then_some(0)) else { return Ok(None) };
    let side = |spans: &[wire::Span], deltas, counts| {
        let spans = spans.iter().map(|s| (s.offset.unwrap_or(0), s.length.unwrap_or(0))).collect();
        Side { spans, deltas, counts }.buckets()
    };
    let native = NativeHistogram {
        count: float(h.count_float, h.count),
        sum: h.sum.unwrap_or(0.0),
        schema,
        zero_threshold: h.zero_threshold.unwrap_or(0.0),
        zero_count: float(h.zero_count_float, h.zero_count),
        positive: side(&h.positive_spans, &h.positive_deltas, &h.positive_counts)?,
        negative: side(&h.negative_spans, &h.negative_deltas, &h.negative_counts)?,
        custom: Vec::new(),
        gauge,
    };
    native.checked().map(Some)
}

/// A count of a float histogram where there is one ("overrides the integer if > 0"), else the integer.
fn float(float: Option<f64>, integer: Option<u64>) -> f64 {
    float.filter(|f| *f > 0.0).unwrap_or(integer.unwrap_or(0) as f64)
}

fn pairs(labels: &[LabelPair]) -> Vec<Label> {
    labels.iter().map(|l| (l.name.clone().unwrap_or_default(), l.value.clone().unwrap_or_default())).collect()
}

fn exemplar(e: &wire::Exemplar) -> Exemplar {
    let time = e.time.map(|t| nanoseconds(i128::from(t.seconds) * 1_000_000_000 + i128::from(t.nanos)));
    Exemplar { labels: pairs(&e.labels), value: e.value.unwrap_or(0.0), time }
}

#[cfg(test)]
mod tests;
