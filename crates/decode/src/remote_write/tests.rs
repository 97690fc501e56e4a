#![allow(clippy::unwrap_used)]
use prost::Message;

use super::wire::*;
use super::*;
use crate::prometheus::STALE;

fn pair(name: &str, value: &str) -> Pair {
    Pair { name: name.into(), value: value.into() }
}

#[test]
fn samples_exemplars_and_types_of_version_1_are_read() {
    let request = WriteRequest {
        series: vec![
            Series {
                labels: vec![pair("__name__", "up"), pair("job", "node")],
                samples: vec![
                    Value { value: 1.0, timestamp: 1_700_000_000_123 },
                    Value { value: f64::from_bits(STALE), timestamp: 1_700_000_001_000 },
                ],
                exemplars: vec![wire::Exemplar { labels: vec![pair("trace_id", "ab")], value: 0.5, timestamp: 0 }],
                ..Series::default()
            },
            Series { labels: vec![pair("job", "node")], ..Series::default() },
        ],
        metadata: vec![Metadata { kind: 2, family: "up".into() }],
    };
    let read = v1(&request.encode_to_vec()).unwrap();
    assert_eq!(read.samples.len(), 2);
    let s = &read.samples[0];
    assert_eq!((&*s.name, s.label_text().as_str(), s.value), ("up", "job=\"node\"", 1.0));
    assert_eq!((s.time, s.is_stale()), (Some(1_700_000_000_123_000_000), false));
    assert!(read.samples[1].is_stale(), "a stale marker keeps its bits");
    assert_eq!(read.exemplars[0].exemplar.label("trace_id"), Some("ab"));
    assert_eq!(read.exemplars[0].exemplar.time, None);
    assert_eq!(read.kinds, [("up".into(), "gauge")]);
    assert_eq!(read.errors, [(2, "a series without a name")]);
}

/// Bytes by hand, so that field numbers are not those of our own definitions: the specification's 2.0 message with the
/// symbols "", "__name__", "m", "job", "a"; one series with the labels 1 2 3 4, a sample, an exemplar, the type counter.
#[test]
fn a_message_of_version_2_written_by_hand_is_read() {
    let field = |number: u8, bytes: &[u8]| [&[number << 3 | 2, bytes.len() as u8][..], bytes].concat();
    let double = |number: u8, v: f64| [&[number << 3 | 1][..], &v.to_le_bytes()].concat();
    let mut bytes: Vec<u8> = ["", "__name__", "m", "job", "a"].iter().flat_map(|s| field(4, s.as_bytes())).collect();
    let sample = [double(1, 4.5), vec![2 << 3, 0xe8, 0x07]].concat();
    let exemplar = [field(1, &[3, 4]), double(2, 9.0)].concat();
    let series = [field(1, &[1, 2, 3, 4]), field(2, &sample), field(4, &exemplar), field(5, &[1 << 3, 1])].concat();
    bytes.extend(field(5, &series));
    let read = v2(&bytes).unwrap();
    let s = &read.samples[0];
    assert_eq!((&*s.name, s.label_text().as_str(), s.value, &*s.kind), ("m", "job=\"a\"", 4.5, "counter"));
    assert_eq!(s.time, Some(1_000_000_000));
    assert_eq!(read.exemplars[0].exemplar.label("job"), Some("a"));
    assert_eq!(read.errors, []);
    // Each other's fields are reserved: a message read as the wrong version is empty, not wrong.
    assert_eq!(v1(&bytes).unwrap(), Written::default());
}

#[test]
fn references_that_lead_nowhere_cost_their_series() {
    let series = |labels: Vec<u32>| SeriesV2 { labels, ..SeriesV2::default() };
    let symbols = ["", "__name__", "m"].map(String::from).to_vec();
    let request = Request { symbols, series: vec![series(vec![1]), series(vec![1, 7]), series(vec![1, 2])] };
    let read = v2(&request.encode_to_vec()).unwrap();
    let want = [(1, "an odd number of label references"), (2, "a reference to a symbol that is not there")];
    assert_eq!(read.errors, want);
}

#[test]
fn a_small_request_cannot_become_endless_rows() {
    let long = "x".repeat(1 << 20);
    let samples = vec![Value { value: 1.0, timestamp: 1 }; 10_000];
    let labels = vec![pair("__name__", "m"), pair("a", &long)];
    let request = WriteRequest { series: vec![Series { labels, samples, ..Series::default() }], metadata: vec![] };
    let read = v1(&request.encode_to_vec()).unwrap();
    assert!(read.samples.len() < 100, "{}", read.samples.len());
    assert_eq!(read.errors, [(1, "rows that are many times as large as their message")]);
    let refs = vec![0; 2 << 20];
    let request = Request { symbols: vec![long], series: vec![SeriesV2 { labels: refs, ..SeriesV2::default() }] };
    assert_eq!(v2(&request.encode_to_vec()).unwrap().errors.len(), 1);
}

#[test]
fn native_histograms_are_rows() {
    let h = Histogram {
        count: Some(3),
        sum: 2.5,
        schema: 0,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        positive_deltas: vec![1, 1],
        timestamp: 5,
        ..Histogram::default()
    };
    let labels = vec![pair("__name__", "h")];
    let series = Series { labels, histograms: vec![h.clone(), Histogram { schema: 99, ..h }], ..Series::default() };
    let read = v1(&WriteRequest { series: vec![series], metadata: vec![] }.encode_to_vec()).unwrap();
    assert_eq!((read.samples.len(), read.samples[0].value), (1, 2.5));
    assert_eq!(read.samples[0].histogram.as_ref().unwrap().positive, [(0, 1.0), (1, 2.0)]);
    assert_eq!(read.errors, [(1, "a native histogram of an unknown schema")]);
    assert!(v1(b"\xff").is_err() && v2(b"\xff").is_err());
}
