#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::super::{MetricKind, PointValue, SpanKind, SpanStatus, Value as Attribute};
use super::*;
use crate::log::Severity;

fn span(fields: &str) -> Result<Vec<Span>, OtlpError> {
    traces_json(format!("{{\"resourceSpans\":[{{\"scopeSpans\":[{{\"spans\":[{{{fields}}}]}}]}}]}}").as_bytes())
}

fn attribute(value: &str) -> Attribute {
    let spans = span(&format!("\"attributes\":[{{\"key\":\"k\",\"value\":{value}}}]")).unwrap();
    spans[0].attributes.get("k").unwrap().clone()
}

#[test]
fn a_span_keeps_ids_of_any_case_times_of_any_form_and_names_of_enums() {
    let s = &span(
        "\"traceId\":\"5B8EFFF798038103d269b633813fc60c\",\"spanId\":\"EEE19B7EC3C1B174\",\"parentSpanId\":\"\",\
         \"name\":\"n\",\"kind\":\"SPAN_KIND_SERVER\",\"startTimeUnixNano\":\"1544712660000000001\",\
         \"endTimeUnixNano\":1544712660000000003,\"status\":{\"code\":\"STATUS_CODE_ERROR\",\"message\":\"m\"},\
         \"events\":[{\"name\":\"e\",\"timeUnixNano\":\"7\"}],\"new_field\":{\"x\":[1]},\"traceState\":null,\
         \"links\":[{\"traceId\":\"5b8efff798038103d269b633813fc60c\",\"spanId\":\"eee19b7ec3c1b174\"}]",
    )
    .unwrap()[0];
    assert_eq!(s.trace.unwrap().to_string(), "5b8efff798038103d269b633813fc60c");
    assert_eq!((s.id.unwrap().to_string(), s.parent), ("eee19b7ec3c1b174".to_owned(), None));
    assert_eq!((s.start, s.duration()), (1_544_712_660_000_000_001, 2));
    assert_eq!((s.kind, s.status, &*s.message), (SpanKind::Server, SpanStatus::Error, "m"));
    assert_eq!((s.events[0].time, s.links.len()), (Some(7), 1));
    let by_number = &span("\"kind\":3,\"status\":{\"code\":1}").unwrap()[0];
    assert_eq!((by_number.kind, by_number.status), (SpanKind::Client, SpanStatus::Ok));
    assert_eq!(span("\"kind\":\"SPAN_KIND_NEW\",\"traceId\":\"xyz\"").unwrap()[0].kind, SpanKind::Unspecified);
}

#[test]
fn values_of_all_kinds_are_read() {
    assert_eq!(attribute("{\"intValue\":\"-9223372036854775808\"}"), Attribute::Int(i64::MIN));
    assert_eq!(attribute("{\"intValue\":9223372036854775807}"), Attribute::Int(i64::MAX));
    assert_eq!(attribute("{\"intValue\":1e3}"), Attribute::Int(1000));
    assert_eq!(attribute("{\"doubleValue\":\"-Infinity\"}"), Attribute::Float(f64::NEG_INFINITY));
    assert_eq!(attribute("{\"doubleValue\":\"0.1\"}"), Attribute::Float(0.1));
    // Wrong in its last bit, if it is not read exactly.
    assert_eq!(attribute("{\"doubleValue\":2.638344616030823e-256}"), Attribute::Float(2.638344616030823e-256));
    assert!(matches!(attribute("{\"doubleValue\":\"NaN\"}"), Attribute::Float(x) if x.is_nan()));
    assert_eq!(attribute("{\"boolValue\":true}"), Attribute::Bool(true));
    for bytes in ["++8=", "++8", "--8", "--8="] {
        assert_eq!(attribute(&format!("{{\"bytesValue\":\"{bytes}\"}}")), Attribute::Json("\"fbef\"".into()));
    }
    let nested = "{\"arrayValue\":{\"values\":[{\"kvlistValue\":{\"values\":[{\"key\":\"a\",\"value\":{\"intValue\":1}}]}},{}]}}";
    assert_eq!(attribute(nested), Attribute::Json("[{\"a\":1},null]".into()));
    for none in ["{}", "null", "{\"newValue\":1}", "{\"stringValue\":null}"] {
        assert_eq!(attribute(none), Attribute::Json("null".into()), "{none}");
    }
}

#[test]
fn a_value_of_the_wrong_type_is_an_error_with_its_place() {
    for (fields, why) in [
        ("\"endTimeUnixNano\":\"x\"", "endTimeUnixNano: not an unsigned 64-bit integer"),
        ("\"endTimeUnixNano\":-1", "endTimeUnixNano: not an unsigned 64-bit integer"),
        ("\"endTimeUnixNano\":1.5", "endTimeUnixNano: not an unsigned 64-bit integer"),
        ("\"flags\":4294967296", "flags: not an unsigned 32-bit integer"),
        ("\"attributes\":[{},{\"key\":1}]", "attributes[1].key: not a string"),
        ("\"attributes\":{}", "attributes: not an array"),
        ("\"status\":1", "status: not an object"),
    ] {
        let e = span(fields).unwrap_err().to_string();
        assert_eq!(e, format!("not an OTLP trace request: resourceSpans[0].scopeSpans[0].spans[0].{why}"));
    }
    assert_eq!(logs_json(b"[]").unwrap_err().to_string(), "not an OTLP logs request: not a JSON object");
    assert!(metrics_json(b"{").unwrap_err().why.contains("EOF"));
    assert_eq!(traces_json(b"{}").unwrap(), vec![]);
}

#[test]
fn nesting_beyond_the_bound_is_refused_and_not_followed() {
    let deep = |n: usize| {
        let body = format!("{}{{\"intValue\":1}}{}", "{\"arrayValue\":{\"values\":[".repeat(n), "]}}".repeat(n));
        logs_json(
            format!("{{\"resourceLogs\":[{{\"scopeLogs\":[{{\"logRecords\":[{{\"body\":{body}}}]}}]}}]}}").as_bytes(),
        )
    };
    assert_eq!(deep(30).unwrap()[0].body, format!("{}1{}", "[".repeat(30), "]".repeat(30)));
    assert!(deep(100_000).unwrap_err().why.contains("recursion limit"));
}

#[test]
fn points_of_all_kinds_are_read() {
    let request =
        br#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"s"}}]},
        "scopeMetrics":[{"metrics":[
        {"name":"c","unit":"1","sum":{"aggregationTemporality":"AGGREGATION_TEMPORALITY_CUMULATIVE","isMonotonic":true,
            "dataPoints":[{"asInt":"7","timeUnixNano":"5"}]}},
        {"name":"g","gauge":{"dataPoints":[{"asDouble":"NaN","flags":1},{"asDouble":1}]}},
        {"name":"h","histogram":{"aggregationTemporality":2,"dataPoints":[
            {"count":"3","sum":1.5,"min":0.25,"max":1,"bucketCounts":["1",2],"explicitBounds":[0.5],"exemplars":[
                {"asDouble":0.75,"timeUnixNano":"9","traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331"}]}]}},
        {"name":"e","exponentialHistogram":{"dataPoints":[
            {"count":6,"zeroCount":"1","scale":0,"positive":{"offset":0,"bucketCounts":["2","3"]}}]}},
        {"name":"s","summary":{"dataPoints":[{"count":"2","sum":3,"quantileValues":[{"quantile":0.5,"value":1}]}]}}
        ]}]}]}"#;
    let points = metrics_json(request).unwrap();
    assert_eq!((points[0].value.as_ref(), points[0].time), (Some(&PointValue::Number(7.0)), Some(5)));
    assert!(points[0].monotonic && points[0].cumulative && points[3].cumulative);
    assert_eq!((&points[1].value, &points[2].value), (&None, &Some(PointValue::Number(1.0))));
    assert_eq!(
        points[3].value,
        Some(PointValue::Histogram { count: 3, sum: Some(1.5), bounds: vec![0.5], counts: vec![1, 2] })
    );
    assert_eq!(
        points[4].value,
        Some(PointValue::Histogram { count: 6, sum: None, bounds: vec![1.0, 2.0], counts: vec![1, 2, 3] })
    );
    assert_eq!(points[5].value, Some(PointValue::Summary { count: 2, sum: 3.0, quantiles: vec![(0.5, 1.0)] }));
    assert_eq!((points[3].min, points[3].max), (Some(0.25), Some(1.0)));
    let told = &points[3].exemplars[0];
    assert_eq!((told.value, told.time), (Some(0.75), Some(9)));
    assert_eq!(told.trace.map(|t| t.to_string()).as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
    assert_eq!(told.span.map(|s| s.to_string()).as_deref(), Some("b7ad6b7169203331"));
    assert_eq!(points[5].kind, MetricKind::Summary);
    assert!(points.iter().all(|p| p.resource.service == "s"));
}

#[test]
fn a_log_record_keeps_its_severity_by_number_or_name() {
    let of = |severity: &str| {
        let line = format!(
            "{{\"resourceLogs\":[{{\"scopeLogs\":[{{\"logRecords\":[{{\"severityNumber\":{severity},\"body\":{{\"stringValue\":\"b\"}}}}]}}]}}]}}"
        );
        let records = logs_json(line.as_bytes()).unwrap();
        assert_eq!(records[0].body, "b");
        records[0].severity
    };
    assert_eq!(of("17"), Some(Severity::Error));
    assert_eq!(of("\"SEVERITY_NUMBER_WARN2\""), Some(Severity::Warn));
    assert_eq!(of("\"9\""), Some(Severity::Info));
    assert_eq!(of("null"), None);
}

#[test]
fn the_signal_of_a_line_is_told_by_its_key() {
    assert_eq!(signal_of(b"{\"resourceSpans\":[]}"), Some(Signal::Traces));
    assert_eq!(signal_of(b" { \"x\": {\"resourceSpans\":[]}, \"resourceLogs\" : [ {"), Some(Signal::Logs));
    assert_eq!(signal_of(b"{\"resource\\u004detrics\":"), Some(Signal::Metrics));
    for not in [&b""[..], b"[]", b"{}", b"{\"a\":\"resourceSpans\"}", b"resourceSpans", b"\xff", b"{\"a\":}"] {
        assert_eq!(signal_of(not), None);
    }
}

proptest! {
    #[test]
    fn never_panics_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = (traces_json(&bytes), logs_json(&bytes), metrics_json(&bytes), signal_of(&bytes));
    }

    #[test]
    fn almost_requests_are_survived(inside in "([{\\[]|\"(spans|kind|traceId|attributes|value|intValue|arrayValue|values|body)\":|\"[0-9a-f]{0,4}\"|[0-9.e-]{1,3}|null|[,\\]}]){0,20}") {
        for (key, scope) in [("Spans", "spans"), ("Logs", "logRecords"), ("Metrics", "metrics")] {
            let text = format!("{{\"resource{key}\":[{{\"scope{key}\":[{{\"{scope}\":[{inside}]}}]}}]}}");
            let _ = (traces_json(text.as_bytes()), logs_json(text.as_bytes()), metrics_json(text.as_bytes()));
        }
    }
}
