//! The OTLP/JSON examples of the OpenTelemetry project, held against the same requests written as protobuf.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::path::Path;

use coldcase_decode::otlp::{self, Signal};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as V;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum, metric::Data, number_data_point::Value::AsDouble,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

/// An example: its bytes, and the same on one line as the collector's file exporter writes it.
fn example(name: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let folder = std::env::var_os("COLDCASE_CORPUS").map_or(beside, Into::into).join("otlp");
    let Ok(bytes) = std::fs::read(folder.join(name)) else {
        eprintln!("skipped: OTLP/JSON: no {name} at {} (set COLDCASE_CORPUS)", folder.display());
        return None;
    };
    let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    Some((bytes, serde_json::to_vec(&value).unwrap()))
}

fn any(value: V) -> Option<AnyValue> {
    Some(AnyValue { value: Some(value) })
}

fn attribute(key: &str, value: V) -> KeyValue {
    KeyValue { key: key.into(), value: any(value), ..KeyValue::default() }
}

fn text(text: &str) -> V {
    V::StringValue(text.into())
}

fn resource() -> Option<Resource> {
    Some(Resource { attributes: vec![attribute("service.name", text("my.service"))], ..Resource::default() })
}

fn scope() -> Option<InstrumentationScope> {
    Some(InstrumentationScope {
        name: "my.library".into(),
        version: "1.0.0".into(),
        attributes: vec![attribute("my.scope.attribute", text("some scope attribute"))],
        ..InstrumentationScope::default()
    })
}

const TRACE: [u8; 16] = 0x5b8e_fff7_9803_8103_d269_b633_813f_c60c_u128.to_be_bytes();
const T: u64 = 1_544_712_660_300_000_000;

#[test]
fn spans_are_those_of_the_protobuf() {
    let Some((json, line)) = example("trace.json") else { return };
    let span = Span {
        trace_id: TRACE.into(),
        span_id: 0xeee1_9b7e_c3c1_b174_u64.to_be_bytes().into(),
        parent_span_id: 0xeee1_9b7e_c3c1_b173_u64.to_be_bytes().into(),
        name: "I'm a server span".into(),
        kind: 2,
        start_time_unix_nano: 1_544_712_660_000_000_000,
        end_time_unix_nano: 1_544_712_661_000_000_000,
        attributes: vec![attribute("my.span.attr", text("some value"))],
        ..Span::default()
    };
    let scope_spans = vec![ScopeSpans { scope: scope(), spans: vec![span], ..ScopeSpans::default() }];
    let spans = vec![ResourceSpans { resource: resource(), scope_spans, ..ResourceSpans::default() }];
    let protobuf = otlp::traces(&ExportTraceServiceRequest { resource_spans: spans }.encode_to_vec()).unwrap();
    assert_eq!(protobuf.len(), 1);
    assert_eq!(otlp::traces_json(&json).unwrap(), protobuf);
    assert_eq!((otlp::signal_of(&line), otlp::traces_json(&line).unwrap()), (Some(Signal::Traces), protobuf));
}

fn log_rows(record: LogRecord) -> Vec<otlp::LogRecord> {
    let scope_logs = vec![ScopeLogs { scope: scope(), log_records: vec![record], ..ScopeLogs::default() }];
    let logs = vec![ResourceLogs { resource: resource(), scope_logs, ..ResourceLogs::default() }];
    otlp::logs(&ExportLogsServiceRequest { resource_logs: logs }.encode_to_vec()).unwrap()
}

#[test]
fn log_records_and_events_are_those_of_the_protobuf() {
    let Some((json, line)) = example("logs.json") else { return };
    let values = ["many", "values"].map(|v| AnyValue { value: Some(text(v)) }).into();
    let record = LogRecord {
        time_unix_nano: T,
        observed_time_unix_nano: T,
        severity_number: 10,
        severity_text: "Information".into(),
        trace_id: TRACE.into(),
        span_id: 0xeee1_9b7e_c3c1_b174_u64.to_be_bytes().into(),
        body: any(text("Example log record")),
        attributes: vec![
            attribute("string.attribute", text("some string")),
            attribute("boolean.attribute", V::BoolValue(true)),
            attribute("int.attribute", V::IntValue(10)),
            attribute("double.attribute", V::DoubleValue(637.704)),
            attribute("array.attribute", V::ArrayValue(ArrayValue { values })),
            attribute(
                "map.attribute",
                V::KvlistValue(KeyValueList { values: vec![attribute("some.map.key", text("some value"))] }),
            ),
        ],
        ..LogRecord::default()
    };
    let protobuf = log_rows(record);
    assert_eq!(otlp::logs_json(&json).unwrap(), protobuf);
    assert_eq!((otlp::signal_of(&line), otlp::logs_json(&line).unwrap()), (Some(Signal::Logs), protobuf));

    let Some((json, line)) = example("events.json") else { return };
    let body = vec![
        attribute("type", V::IntValue(0)),
        attribute("url", text("https://www.guidgenerator.com/online-guid-generator.aspx")),
        attribute("referrer", text("https://wwww.google.com")),
        attribute("title", text("Free Online GUID Generator")),
    ];
    let record = LogRecord {
        event_name: "browser.page_view".into(),
        time_unix_nano: T,
        observed_time_unix_nano: T,
        severity_number: 9,
        severity_text: "test severity text".into(),
        attributes: vec![attribute("event.attribute", text("some event attribute"))],
        body: any(V::KvlistValue(KeyValueList { values: body })),
        ..LogRecord::default()
    };
    let protobuf = log_rows(record);
    assert_eq!(otlp::logs_json(&json).unwrap(), protobuf);
    assert_eq!((otlp::signal_of(&line), otlp::logs_json(&line).unwrap()), (Some(Signal::Logs), protobuf));
}

#[test]
fn points_are_those_of_the_protobuf() {
    let Some((json, line)) = example("metrics.json") else { return };
    let metric = |name: &str, description: &str, data: Data| Metric {
        name: name.into(),
        unit: "1".into(),
        description: description.into(),
        data: Some(data),
        ..Metric::default()
    };
    let number = |value: f64, start: u64, key: &str| NumberDataPoint {
        value: Some(AsDouble(value)),
        start_time_unix_nano: start,
        time_unix_nano: T,
        attributes: vec![attribute(key, text("some value"))],
        ..NumberDataPoint::default()
    };
    let histogram = HistogramDataPoint {
        start_time_unix_nano: T,
        time_unix_nano: T,
        count: 2,
        sum: Some(2.0),
        bucket_counts: vec![1, 1],
        explicit_bounds: vec![1.0],
        min: Some(0.0),
        max: Some(2.0),
        attributes: vec![attribute("my.histogram.attr", text("some value"))],
        ..HistogramDataPoint::default()
    };
    let exponential = ExponentialHistogramDataPoint {
        start_time_unix_nano: T,
        time_unix_nano: T,
        count: 3,
        sum: Some(10.0),
        zero_count: 1,
        positive: Some(Buckets { offset: 1, bucket_counts: vec![0, 2] }),
        min: Some(0.0),
        max: Some(5.0),
        attributes: vec![attribute("my.exponential.histogram.attr", text("some value"))],
        ..ExponentialHistogramDataPoint::default()
    };
    let counter =
        Sum { data_points: vec![number(5.0, T, "my.counter.attr")], aggregation_temporality: 1, is_monotonic: true };
    let metrics = vec![
        metric("my.counter", "I am a Counter", Data::Sum(counter)),
        metric("my.gauge", "I am a Gauge", Data::Gauge(Gauge { data_points: vec![number(10.0, 0, "my.gauge.attr")] })),
        metric(
            "my.histogram",
            "I am a Histogram",
            Data::Histogram(Histogram { data_points: vec![histogram], aggregation_temporality: 1 }),
        ),
        metric(
            "my.exponential.histogram",
            "I am an Exponential Histogram",
            Data::ExponentialHistogram(ExponentialHistogram {
                data_points: vec![exponential],
                aggregation_temporality: 1,
            }),
        ),
    ];
    let scope_metrics = vec![ScopeMetrics { scope: scope(), metrics, ..ScopeMetrics::default() }];
    let all = vec![ResourceMetrics { resource: resource(), scope_metrics, ..ResourceMetrics::default() }];
    let protobuf = otlp::metrics(&ExportMetricsServiceRequest { resource_metrics: all }.encode_to_vec()).unwrap();
    assert_eq!(protobuf.len(), 4);
    assert_eq!(otlp::metrics_json(&json).unwrap(), protobuf);
    assert_eq!((otlp::signal_of(&line), otlp::metrics_json(&line).unwrap()), (Some(Signal::Metrics), protobuf));
}
