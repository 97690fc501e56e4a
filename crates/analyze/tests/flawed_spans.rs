//! Spans that no figure can hold.
#![allow(clippy::unwrap_used)]

use coldcase_analyze::{Options, analyze};
use coldcase_testkit::bundle::Builder;
use coldcase_testkit::rows::{BOOT, OFFSET};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

#[test]
fn spans_without_a_start_or_with_an_end_before_it_are_counted_and_told() {
    let at = (BOOT as i64 + OFFSET) as u64;
    let span = |start_time_unix_nano, end_time_unix_nano| Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: "work".into(),
        start_time_unix_nano,
        end_time_unix_nano,
        ..Default::default()
    };
    let spans = vec![span(at, at + 5), span(at, at), span(at, at - 1), span(at, 0), span(0, at)];
    let scope_spans = vec![ScopeSpans { spans, ..Default::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..Default::default() }];
    let bytes = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("flawed.case");
    Builder::new(&path).unwrap().raw("otlp.traces", &bytes, BOOT).unwrap().seal().unwrap();

    let a = analyze(&path, &Options::default()).unwrap();
    assert_eq!(a.latencies.iter().find(|l| l.name == "work").unwrap().count, 2);
    assert_eq!(a.quality.spans_left_out, 3);
    let told = "3 spans are in no figure: they have no start, or an end before it.";
    assert!(a.summary.iter().any(|s| s == told), "{:#?}", a.summary);
}
