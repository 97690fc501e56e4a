//! `prometheus.WriteRequest` of Remote-Write 1.0, with native histograms and exemplars (prometheus/prompb/types.proto).

use coldcase_decode::prometheus::NativeHistogram;
use prost::Message as _;

use super::samples::Out;
use crate::patch::is_id_label;
use crate::sink::Round;

#[derive(Clone, PartialEq, prost::Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    series: Vec<Series>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Series {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Value>,
    #[prost(message, repeated, tag = "3")]
    exemplars: Vec<Exemplar>,
    #[prost(message, repeated, tag = "4")]
    histograms: Vec<Histogram>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Value {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Exemplar {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(double, tag = "2")]
    value: f64,
    #[prost(int64, tag = "3")]
    timestamp: i64,
}

/// Counts are whole, and buckets differences of them; or all of it may have fractions.
#[derive(Clone, PartialEq, prost::Message)]
struct Histogram {
    #[prost(uint64, optional, tag = "1")]
    count_int: Option<u64>,
    #[prost(double, optional, tag = "2")]
    count_float: Option<f64>,
    #[prost(double, tag = "3")]
    sum: f64,
    #[prost(sint32, tag = "4")]
    schema: i32,
    #[prost(double, tag = "5")]
    zero_threshold: f64,
    #[prost(uint64, optional, tag = "6")]
    zero_count_int: Option<u64>,
    #[prost(double, optional, tag = "7")]
    zero_count_float: Option<f64>,
    #[prost(message, repeated, tag = "8")]
    negative_spans: Vec<BucketSpan>,
    #[prost(sint64, repeated, tag = "9")]
    negative_deltas: Vec<i64>,
    #[prost(double, repeated, tag = "10")]
    negative_counts: Vec<f64>,
    #[prost(message, repeated, tag = "11")]
    positive_spans: Vec<BucketSpan>,
    #[prost(sint64, repeated, tag = "12")]
    positive_deltas: Vec<i64>,
    #[prost(double, repeated, tag = "13")]
    positive_counts: Vec<f64>,
    /// 3: a gauge.
    #[prost(int32, tag = "14")]
    reset_hint: i32,
    #[prost(int64, tag = "15")]
    timestamp: i64,
    #[prost(double, repeated, tag = "16")]
    custom_values: Vec<f64>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct BucketSpan {
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint32, tag = "2")]
    length: u32,
}

/// Samples as a request. An exemplar without a time has that of its sample.
pub(super) fn encoded(samples: Vec<Out>, round: &Round) -> Vec<u8> {
    let series = samples.into_iter().map(|out| {
        let exemplars = out.sample.exemplar.iter().map(|e| exemplar(e, out.ms, round)).collect();
        let histograms: Vec<Histogram> = out.sample.histogram.iter().map(|h| histogram(h, out.ms)).collect();
        let samples = match histograms.is_empty() {
            true => vec![Value { value: out.sample.value, timestamp: out.ms }],
            false => Vec::new(),
        };
        let mut labels = vec![Label { name: "__name__".into(), value: out.sample.name.to_string() }];
        labels.extend(out.labels.into_iter().map(|(name, value)| Label { name, value }));
        labels.sort_by(|a, b| a.name.cmp(&b.name));
        Series { labels, samples, exemplars, histograms }
    });
    WriteRequest { series: series.collect() }.encode_to_vec()
}

fn exemplar(e: &coldcase_decode::prometheus::Exemplar, ms: i64, round: &Round) -> Exemplar {
    let label = |(name, value): &(String, String)| {
        let new = round.ids.filter(|_| is_id_label(name)).and_then(|ids| ids.replace_hex(value));
        Label { name: name.clone(), value: new.unwrap_or_else(|| value.clone()) }
    };
    Exemplar {
        labels: e.labels.iter().map(label).collect(),
        value: e.value,
        timestamp: e.time.map_or(ms, |utc| round.offset.millis(utc.div_euclid(1_000_000))),
    }
}

fn histogram(h: &NativeHistogram, ms: i64) -> Histogram {
    let all = || h.positive.iter().chain(&h.negative).map(|b| b.1).chain([h.count, h.zero_count]);
    // What a float holds exactly.
    let whole = all().all(|n| n.fract() == 0.0 && (0.0..9_007_199_254_740_992.0).contains(&n));
    let mut out = Histogram {
        sum: h.sum,
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        reset_hint: if h.gauge { 3 } else { 0 },
        timestamp: ms,
        custom_values: h.custom.clone(),
        negative_spans: spans(&h.negative),
        positive_spans: spans(&h.positive),
        ..Histogram::default()
    };
    if whole {
        (out.count_int, out.zero_count_int) = (Some(h.count as u64), Some(h.zero_count as u64));
        (out.negative_deltas, out.positive_deltas) = (deltas(&h.negative), deltas(&h.positive));
    } else {
        (out.count_float, out.zero_count_float) = (Some(h.count), Some(h.zero_count));
        let counts = |side: &[(i32, f64)]| side.iter().map(|b| b.1).collect();
        (out.negative_counts, out.positive_counts) = (counts(&h.negative), counts(&h.positive));
    }
    out
}

/// Runs of buckets that follow each other, each with its distance from the end of the one before.
fn spans(side: &[(i32, f64)]) -> Vec<BucketSpan> {
    let mut out: Vec<BucketSpan> = Vec::new();
    let mut next = 0i32;
    for &(index, _) in side {
        match out.last_mut() {
            Some(last) if index == next => last.length += 1,
            _ => out.push(BucketSpan { offset: index.wrapping_sub(next), length: 1 }),
        }
        next = index.wrapping_add(1);
    }
    out
}

fn deltas(side: &[(i32, f64)]) -> Vec<i64> {
    let mut last = 0;
    let delta = |&(_, count): &(i32, f64)| {
        let count = count as i64;
        count - std::mem::replace(&mut last, count)
    };
    side.iter().map(delta).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use coldcase_decode::prometheus::{Exemplar, Sample};
    use coldcase_decode::remote_write::v1;

    use super::*;
    use crate::ids::NewIds;
    use crate::shift::Offset;

    fn out(histogram: Option<NativeHistogram>, exemplar: Option<Exemplar>) -> Out {
        let labels = vec![("a".to_owned(), "1".to_owned())];
        let sample = Sample {
            name: "m".into(),
            labels: labels.clone(),
            value: histogram.as_ref().map_or(7.0, |h| h.sum),
            time: None,
            kind: "histogram".into(),
            exemplar,
            histogram: histogram.map(Arc::new),
            line: 1,
        };
        Out { labels, ms: 1_000, sample }
    }

    #[test]
    fn native_histograms_come_back_as_they_were() {
        let round = Round { number: 0, offset: Offset(0), ids: None, from: None };
        let whole = NativeHistogram {
            count: 9.0,
            sum: 12.5,
            schema: 2,
            zero_threshold: 1e-6,
            zero_count: 1.0,
            positive: vec![(-3, 2.0), (-2, 1.0), (4, 3.0)],
            negative: vec![(0, 2.0)],
            custom: Vec::new(),
            gauge: false,
        };
        let with_fractions = NativeHistogram { count: 9.5, zero_count: 0.5, gauge: true, ..whole.clone() };
        let custom = NativeHistogram {
            schema: -53,
            custom: vec![0.1, 1.0],
            positive: vec![(0, 4.0), (2, 5.0)],
            negative: Vec::new(),
            ..whole.clone()
        };
        for h in [whole, with_fractions, custom] {
            let read = v1(&encoded(vec![out(Some(h.clone()), None)], &round)).unwrap();
            assert_eq!(read.samples.len(), 1);
            assert_eq!(read.samples[0].histogram.as_deref(), Some(&h));
            assert_eq!(read.samples[0].time, Some(1_000_000_000));
        }
    }

    #[test]
    fn exemplars_go_with_their_sample_and_name_the_new_trace() {
        let trace = "01010101010101010101010101010101";
        let labels = vec![("trace_id".to_owned(), trace.to_owned()), ("note".to_owned(), trace.to_owned())];
        let ids = NewIds::new("b", 0, 0);
        let round = Round { number: 0, offset: Offset(2_000_000), ids: Some(ids), from: None };
        let exemplar = Exemplar { labels, value: 0.5, time: Some(5_000_000) };
        let read = v1(&encoded(vec![out(None, Some(exemplar))], &round)).unwrap();
        let e = &read.exemplars[0].exemplar;
        assert_eq!((e.value, e.time), (0.5, Some(7_000_000)));
        assert_eq!(e.label("trace_id"), ids.replace_hex(trace).as_deref());
        assert_eq!(e.label("note"), Some(trace));
    }
}
