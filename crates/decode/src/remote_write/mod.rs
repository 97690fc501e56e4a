//! Prometheus Remote-Write requests, after their snappy block was unpacked: versions 1.0 and 2.0.
//!
//! <https://prometheus.io/docs/specs/prw/remote_write_spec/> and
//! <https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/>. A series that cannot be read costs only itself; a
//! request that is no message costs all of it.

mod wire;

use std::sync::Arc;

use prost::Message;

use crate::prometheus::budget::Budget;
use crate::prometheus::line::{Label, nanoseconds};
use crate::prometheus::native::Side;
use crate::prometheus::{Exemplar, NativeHistogram, Sample};
use wire::{Histogram, Pair, Span, Value};

/// An exemplar of a series: requests have them beside the samples, not on them.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesExemplar {
    /// Name of the series.
    pub name: Arc<str>,
    /// Its labels but the name, in the order of the request.
    pub labels: Vec<(String, String)>,
    /// The exemplar.
    pub exemplar: Exemplar,
}

/// What is in a request.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Written {
    /// Samples and native histograms, in order; [`Sample::line`] is their number from 1.
    pub samples: Vec<Sample>,
    /// Exemplars.
    pub exemplars: Vec<SeriesExemplar>,
    /// Types of families by name, where the request tells (1.0 does in requests of their own).
    pub kinds: Vec<(Arc<str>, &'static str)>,
    /// Series that could not be read: number from 1, and why.
    pub errors: Vec<(u32, &'static str)>,
}

/// Why nothing of a request could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RemoteWriteError {
    /// It is not the protobuf message that it should be.
    #[error("not a {0} message")]
    NotMessage(&'static str),
}

/// Reads a request of version 1.0, a `prometheus.WriteRequest`.
///
/// # Errors
/// When the bytes are no such message.
pub fn v1(bytes: &[u8]) -> Result<Written, RemoteWriteError> {
    let request =
        wire::WriteRequest::decode(bytes).map_err(|_| RemoteWriteError::NotMessage("prometheus.WriteRequest"))?;
    let mut rows = Rows::of(bytes);
    for (series, number) in request.series.into_iter().zip(1u32..) {
        rows.series(number, |rows| {
            let exemplars = series.exemplars.into_iter().map(|e| Ok((labels(e.labels), e.value, e.timestamp)));
            rows.add(labels(series.labels), None, &series.samples, &series.histograms, exemplars)
        });
    }
    rows.out.kinds = request.metadata.into_iter().map(|m| (m.family.into(), kind(m.kind))).collect();
    Ok(rows.out)
}

/// Reads a request of version 2.0, an `io.prometheus.write.v2.Request`.
///
/// # Errors
/// When the bytes are no such message.
pub fn v2(bytes: &[u8]) -> Result<Written, RemoteWriteError> {
    let request =
        wire::Request::decode(bytes).map_err(|_| RemoteWriteError::NotMessage("io.prometheus.write.v2.Request"))?;
    let mut rows = Rows::of(bytes);
    let symbols = &request.symbols;
    for (series, number) in request.series.iter().zip(1u32..) {
        rows.series(number, |rows| {
            let told = series.metadata.filter(|m| m.kind != 0).map(|m| kind(m.kind));
            let labels = resolved(&series.labels, symbols, &mut rows.budget)?;
            let mut exemplars = Vec::new();
            for e in &series.exemplars {
                exemplars.push(Ok((resolved(&e.labels, symbols, &mut rows.budget)?, e.value, e.timestamp)));
            }
            rows.add(labels, told, &series.samples, &series.histograms, exemplars.into_iter())
        });
    }
    Ok(rows.out)
}

/// The types of both versions, as text pages name them; 0 is what the sender does not know.
fn kind(number: i32) -> &'static str {
    const KINDS: [&str; 8] =
        ["untyped", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset"];
    usize::try_from(number).ok().and_then(|n| KINDS.get(n)).copied().unwrap_or("untyped")
}

fn labels(pairs: Vec<Pair>) -> Vec<Label> {
    pairs.into_iter().map(|p| (p.name, p.value)).collect()
}

/// References to symbols, two by two, as labels.
fn resolved(refs: &[u32], symbols: &[String], budget: &mut Budget) -> Result<Vec<Label>, &'static str> {
    let (pairs, rest) = refs.as_chunks::<2>();
    if !rest.is_empty() {
        return Err("an odd number of label references");
    }
    let symbol = |r: u32| symbols.get(r as usize).ok_or("a reference to a symbol that is not there");
    let mut out = Vec::with_capacity(pairs.len());
    for &[name, value] in pairs {
        let label = (symbol(name)?.clone(), symbol(value)?.clone());
        budget.row("", std::slice::from_ref(&label))?;
        out.push(label);
    }
    Ok(out)
}

/// An exemplar as it came: labels, value, milliseconds.
type RawExemplar = (Vec<Label>, f64, i64);

struct Rows {
    budget: Budget,
    out: Written,
}

impl Rows {
    fn of(bytes: &[u8]) -> Rows {
        Rows { budget: Budget::of(bytes.len()), out: Written::default() }
    }

    /// Reads one series; what is wrong with it is counted.
    fn series(&mut self, number: u32, read: impl FnOnce(&mut Rows) -> Result<(), &'static str>) {
        if let Err(why) = read(self) {
            self.out.errors.push((number, why));
        }
    }

    fn add(
        &mut self,
        mut labels: Vec<Label>,
        kind: Option<&'static str>,
        samples: &[Value],
        histograms: &[Histogram],
        exemplars: impl Iterator<Item = Result<RawExemplar, &'static str>>,
    ) -> Result<(), &'static str> {
        let at = labels.iter().position(|(k, _)| k == "__name__").ok_or("a series without a name")?;
        let name: Arc<str> = labels.remove(at).1.into();
        let plain: Arc<str> = kind.unwrap_or("untyped").into();
        for s in samples {
            self.row(&name, &labels, &plain, s.value, s.timestamp, None)?;
        }
        for h in histograms {
            let native = native(h)?;
            let kind = if native.gauge { "gaugehistogram" } else { "histogram" }.into();
            self.row(&name, &labels, &kind, h.sum, h.timestamp, Some(Arc::new(native)))?;
        }
        for e in exemplars {
            let (own, value, ms) = e?;
            self.budget.row(&name, &labels)?;
            let exemplar = Exemplar { labels: own, value, time: (ms != 0).then(|| time(ms)) };
            self.out.exemplars.push(SeriesExemplar { name: name.clone(), labels: labels.clone(), exemplar });
        }
        Ok(())
    }

    fn row(
        &mut self,
        name: &Arc<str>,
        labels: &[Label],
        kind: &Arc<str>,
        value: f64,
        ms: i64,
        histogram: Option<Arc<NativeHistogram>>,
    ) -> Result<(), &'static str> {
        self.budget.row(name, labels)?;
        let line = u32::try_from(self.out.samples.len() + 1).unwrap_or(u32::MAX);
        self.out.samples.push(Sample {
            name: name.clone(),
            labels: labels.to_vec(),
            value,
            time: Some(time(ms)),
            kind: kind.clone(),
            exemplar: None,
            histogram,
            line,
        });
        Ok(())
    }
}

/// UTC nanoseconds of milliseconds.
fn time(ms: i64) -> i64 {
    nanoseconds(i128::from(ms) * 1_000_000)
}

fn native(h: &Histogram) -> Result<NativeHistogram, &'static str> {
    /// `RESET_HINT_GAUGE`.
    const GAUGE: i32 = 3;
    let side = |spans: &[Span], deltas, counts| {
        Side { spans: spans.iter().map(|s| (s.offset, s.length)).collect(), deltas, counts }.buckets()
    };
    let number = |float: Option<f64>, integer: Option<u64>| float.unwrap_or(integer.unwrap_or(0) as f64);
    NativeHistogram {
        count: number(h.count_float, h.count),
        sum: h.sum,
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        zero_count: number(h.zero_count_float, h.zero_count),
        positive: side(&h.positive_spans, &h.positive_deltas, &h.positive_counts)?,
        negative: side(&h.negative_spans, &h.negative_deltas, &h.negative_counts)?,
        custom: h.custom_values.clone(),
        gauge: h.reset_hint == GAUGE,
    }
    .checked()
}

#[cfg(test)]
mod tests;
