#![allow(clippy::unwrap_used)]
use prost::Message;

use super::wire::{Bucket, Counter, Exemplar, Histogram, LabelPair, Metric, MetricFamily, Span, Summary, Timestamp};
use super::*;

fn page(families: &[MetricFamily]) -> Vec<u8> {
    families.iter().flat_map(|f| f.encode_length_delimited_to_vec()).collect()
}

fn family(name: &str, kind: i32, metrics: Vec<Metric>) -> MetricFamily {
    MetricFamily { name: Some(name.into()), kind: Some(kind), metrics, unit: None }
}

fn label(name: &str, value: &str) -> LabelPair {
    LabelPair { name: Some(name.into()), value: Some(value.into()) }
}

fn lines(page: &Page) -> Vec<String> {
    page.samples.iter().map(|s| format!("{}{{{}}} {} {}", s.name, s.label_text(), s.value, s.kind)).collect()
}

#[test]
fn families_give_the_rows_that_the_text_would_have() {
    let exemplar = Exemplar {
        labels: vec![label("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736")],
        value: Some(0.7),
        time: Some(Timestamp { seconds: 1_700_000_000, nanos: 5 }),
    };
    let counter = Metric {
        labels: vec![label("code", "200")],
        counter: Some(Counter { value: Some(3.0), exemplar: Some(exemplar) }),
        timestamp_ms: Some(1_700_000_000_123),
        ..Metric::default()
    };
    let histogram = Histogram {
        count: Some(5),
        sum: Some(1.5),
        buckets: vec![
            Bucket { cumulative: Some(2), upper: Some(0.005), ..Bucket::default() },
            Bucket { cumulative: Some(4), upper: Some(1e6), ..Bucket::default() },
        ],
        ..Histogram::default()
    };
    let summary = Summary {
        count: Some(2),
        sum: Some(9.0),
        quantiles: vec![wire::Quantile { quantile: Some(0.5), value: Some(4.0) }],
    };
    let bytes = page(&[
        family("a_total", 0, vec![counter]),
        family("h", 4, vec![Metric { histogram: Some(histogram), ..Metric::default() }]),
        family("s", 2, vec![Metric { summary: Some(summary), ..Metric::default() }]),
    ]);
    let read = parse(&bytes);
    assert_eq!(read.errors, []);
    let want = [
        r#"a_total{code="200"} 3 counter"#,
        r#"h_bucket{le="0.005"} 2 histogram"#,
        r#"h_bucket{le="1e+06"} 4 histogram"#,
        r#"h_bucket{le="+Inf"} 5 histogram"#,
        "h_sum{} 1.5 histogram",
        "h_count{} 5 histogram",
        r#"s{quantile="0.5"} 4 summary"#,
        "s_sum{} 9 summary",
        "s_count{} 2 summary",
    ];
    assert_eq!(lines(&read), want);
    let first = &read.samples[0];
    let exemplar = first.exemplar.as_ref().unwrap();
    assert_eq!(first.time, Some(1_700_000_000_123_000_000));
    assert_eq!(exemplar.label("trace_id"), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
    assert_eq!((exemplar.value, exemplar.time), (0.7, Some(1_700_000_000_000_000_005)));
}

#[test]
fn a_native_histogram_is_a_row_with_its_buckets() {
    let native = Histogram {
        count: Some(6),
        sum: Some(12.0),
        schema: Some(0),
        zero_threshold: Some(0.001),
        zero_count: Some(1),
        positive_spans: vec![Span { offset: Some(1), length: Some(2) }],
        positive_deltas: vec![2, 1],
        ..Histogram::default()
    };
    let read = parse(&page(&[family("h", 4, vec![Metric { histogram: Some(native), ..Metric::default() }])]));
    assert_eq!(lines(&read), ["h_sum{} 12 histogram", "h_count{} 6 histogram", "h{} 12 histogram"]);
    let h = read.samples[2].histogram.as_ref().unwrap();
    assert_eq!((h.count, h.zero_count), (6.0, 1.0));
    let buckets: Vec<_> = h.buckets().iter().map(|b| (b.lower, b.upper, b.count)).collect();
    assert_eq!(buckets, [(-0.001, 0.001, 1.0), (1.0, 2.0, 2.0), (2.0, 4.0, 3.0)]);
}

#[test]
fn what_is_wrong_costs_its_family_and_is_counted() {
    let good = family("up", 1, vec![Metric { gauge: Some(wire::Value { value: Some(1.0) }), ..Metric::default() }]);
    let mut bytes = page(std::slice::from_ref(&good));
    bytes.extend([3, 0xff, 0xff, 0xff]);
    bytes.extend(page(&[good, family("", 0, vec![]), family("b", 9, vec![Metric::default()])]));
    bytes.push(200);
    let read = parse(&bytes);
    assert_eq!(read.samples.len(), 2);
    let want = [
        (2, "not a metric family"),
        (4, "a family without a name"),
        (5, "unknown type"),
        (5, "a metric without a value"),
        (6, "not the length of a message"),
    ];
    assert_eq!(read.errors, want);
    assert_eq!(parse(&[5, 1]).errors, [(1, "a message that is longer than the page")]);
    assert_eq!(parse(b""), Page::default());
}

#[test]
fn the_content_type_is_that_of_delimited_families() {
    let head = "application/vnd.google.protobuf";
    assert!(is_protobuf(&format!("{head}; proto=io.prometheus.client.MetricFamily; encoding=delimited")));
    assert!(is_protobuf(&format!("{head};proto=\"io.prometheus.client.MetricFamily\";encoding=delimited;escaping=a")));
    assert!(!is_protobuf(&format!("{head}; proto=io.prometheus.client.MetricFamily; encoding=text")));
    assert!(!is_protobuf(&format!("{head}; proto=other; encoding=delimited")));
    assert!(!is_protobuf("text/plain; version=0.0.4"));
}
