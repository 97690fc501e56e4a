#![allow(clippy::unwrap_used)]
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

use super::*;
use crate::ids::NewIds;
use crate::shift::Offset;

const BY: i64 = 5_000_000;

fn round(ids: bool) -> Round {
    Round { number: 0, offset: Offset(BY), ids: ids.then(|| NewIds::new("b", 0, 0)), from: None }
}

fn span(n: u8) -> Span {
    Span {
        trace_id: vec![n; 16],
        span_id: vec![n; 8],
        parent_span_id: vec![9; 8],
        name: format!("s{n}"),
        start_time_unix_nano: 100,
        end_time_unix_nano: 200,
        events: vec![Event { time_unix_nano: 150, name: "e".into(), ..Event::default() }],
        links: vec![Link { trace_id: vec![1; 16], span_id: vec![1; 8], ..Link::default() }],
        ..Span::default()
    }
}

fn traces(resource: Option<Resource>) -> ExportTraceServiceRequest {
    let scope_spans = vec![ScopeSpans { spans: vec![span(1), span(2)], ..ScopeSpans::default() }];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }],
    }
}

fn patched<M: Message + Default>(request: &M, rules: rules::Rules, patch: &mut Patch<'_>) -> M {
    M::decode(&protobuf(&request.encode_to_vec(), rules, patch).unwrap()[..]).unwrap()
}

fn mark_of(resource: &Option<Resource>) -> Vec<String> {
    let text = |v: &Option<Value>| if let Some(Value::StringValue(s)) = v { s.clone() } else { String::new() };
    let attributes = resource.iter().flat_map(|r| &r.attributes).filter(|a| a.key == MARK);
    attributes.map(|a| text(&a.value.clone().and_then(|v| v.value))).collect()
}

#[test]
fn nothing_to_change_changes_no_byte() {
    let bytes = traces(Some(Resource::default())).encode_to_vec();
    let still = Round { number: 0, offset: Offset(0), ids: None, from: None };
    let mut patch = Patch::new(&still, None, None);
    assert!(patch.is_nothing());
    assert_eq!(protobuf(&bytes, TRACES, &mut patch).unwrap(), bytes);
}

#[test]
fn all_times_of_spans_move_and_their_ids_stay_the_same_to_each_other() {
    let out = patched(&traces(None), TRACES, &mut Patch::new(&round(true), Some("b1"), None));
    let part = &out.resource_spans[0];
    assert_eq!(mark_of(&part.resource), ["b1"]);
    let [a, b] = &part.scope_spans[0].spans[..] else { panic!() };
    assert_eq!((a.start_time_unix_nano, a.end_time_unix_nano), (5_000_100, 5_000_200));
    assert_eq!(a.events[0].time_unix_nano, 5_000_150);
    assert_ne!(a.trace_id, vec![1; 16]);
    assert_eq!(a.links[0].trace_id, a.trace_id, "a link to a trace follows it");
    assert_eq!(b.links[0].span_id, a.span_id);
    assert_eq!(a.parent_span_id, b.parent_span_id);
    assert_ne!(a.trace_id, b.trace_id);
    assert_eq!(a.name, "s1");
}

#[test]
fn the_mark_of_an_earlier_replay_is_replaced() {
    let once = patched(&traces(None), TRACES, &mut Patch::new(&round(false), Some("b1"), None));
    let twice = patched(&once, TRACES, &mut Patch::new(&round(false), Some("b2"), None));
    assert_eq!(mark_of(&twice.resource_spans[0].resource), ["b2"]);
}

#[test]
fn what_is_not_wanted_is_left_out() {
    let out = patched(&traces(None), TRACES, &mut Patch::new(&round(false), None, Some(&[false, true])));
    let names: Vec<&str> = out.resource_spans[0].scope_spans[0].spans.iter().map(|s| &*s.name).collect();
    assert_eq!(names, ["s2"]);
}

#[test]
fn times_and_ids_of_log_records_move_and_unknown_ones_stay_unknown() {
    let record = LogRecord {
        time_unix_nano: 0,
        observed_time_unix_nano: 7,
        trace_id: vec![1; 16],
        span_id: vec![1; 8],
        ..LogRecord::default()
    };
    let scope_logs = vec![ScopeLogs { log_records: vec![record], ..ScopeLogs::default() }];
    let request =
        ExportLogsServiceRequest { resource_logs: vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }] };
    let out = patched(&request, LOGS, &mut Patch::new(&round(true), None, None));
    let r = &out.resource_logs[0].scope_logs[0].log_records[0];
    assert_eq!((r.time_unix_nano, r.observed_time_unix_nano), (0, 5_000_007));
    let span_ids = patched(&traces(None), TRACES, &mut Patch::new(&round(true), None, None));
    assert_eq!(r.trace_id, span_ids.resource_spans[0].scope_spans[0].spans[0].trace_id, "joined as before");
}

#[test]
fn points_and_exemplars_of_all_kinds_of_metrics_move() {
    let exemplars =
        vec![Exemplar { time_unix_nano: 3, trace_id: vec![1; 16], span_id: vec![1; 8], ..Exemplar::default() }];
    let (start_time_unix_nano, time_unix_nano) = (1, 2);
    let number =
        NumberDataPoint { start_time_unix_nano, time_unix_nano, exemplars: exemplars.clone(), ..Default::default() };
    let histogram =
        HistogramDataPoint { start_time_unix_nano, time_unix_nano, exemplars: exemplars.clone(), ..Default::default() };
    let exponential =
        ExponentialHistogramDataPoint { start_time_unix_nano, time_unix_nano, exemplars, ..Default::default() };
    let metric = |data| Metric { data: Some(data), ..Metric::default() };
    let metrics = vec![
        metric(metric::Data::Sum(Sum { data_points: vec![number], ..Sum::default() })),
        metric(metric::Data::Histogram(Histogram { data_points: vec![histogram], ..Default::default() })),
        metric(metric::Data::ExponentialHistogram(ExponentialHistogram {
            data_points: vec![exponential],
            ..Default::default()
        })),
    ];
    let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    let request =
        ExportMetricsServiceRequest { resource_metrics: vec![ResourceMetrics { scope_metrics, ..Default::default() }] };
    let out = patched(&request, METRICS, &mut Patch::new(&round(false), None, None));
    let found: Vec<[u64; 3]> = out.resource_metrics[0].scope_metrics[0]
        .metrics
        .iter()
        .map(|m| match m.data.as_ref().unwrap() {
            metric::Data::Sum(s) => times(
                s.data_points[0].start_time_unix_nano,
                s.data_points[0].time_unix_nano,
                &s.data_points[0].exemplars,
            ),
            metric::Data::Histogram(h) => times(
                h.data_points[0].start_time_unix_nano,
                h.data_points[0].time_unix_nano,
                &h.data_points[0].exemplars,
            ),
            metric::Data::ExponentialHistogram(h) => times(
                h.data_points[0].start_time_unix_nano,
                h.data_points[0].time_unix_nano,
                &h.data_points[0].exemplars,
            ),
            _ => panic!(),
        })
        .collect();
    assert_eq!(found, [[5_000_001, 5_000_002, 5_000_003]; 3]);
}

fn times(start: u64, time: u64, exemplars: &[Exemplar]) -> [u64; 3] {
    [start, time, exemplars[0].time_unix_nano]
}

#[test]
fn json_is_changed_as_protobuf_is() {
    let request = br#"{"resourceSpans":[{"scopeSpans":[{"spans":[
        {"traceId":"01010101010101010101010101010101","spanId":"0101010101010101","startTimeUnixNano":"100","endTimeUnixNano":200,
         "attributes":[{"key":"timeUnixNano","value":{"stringValue":"100"}},{"key":"d","value":{"doubleValue":0.1}}]},
        {"traceId":"","spanId":"x","name":"left out"}]}]}]}"#;
    let out = json(request, &mut Patch::new(&round(true), Some("b1"), Some(&[true, false]))).unwrap();
    let out: serde_json::Value = serde_json::from_slice(&out).unwrap();
    let part = &out["resourceSpans"][0];
    assert_eq!(part["resource"]["attributes"][0]["value"]["stringValue"], "b1");
    let spans = part["scopeSpans"][0]["spans"].as_array().unwrap();
    assert_eq!(spans.len(), 1);
    assert_eq!((&spans[0]["startTimeUnixNano"], &spans[0]["endTimeUnixNano"]), (&"5000100".into(), &"5000200".into()));
    assert_eq!(spans[0]["attributes"][0]["value"]["stringValue"], "100", "what a sender named so is its own");
    assert_eq!(spans[0]["traceId"], NewIds::new("b", 0, 0).replace_hex("01010101010101010101010101010101").unwrap());
}

#[test]
fn fields_are_added_to_the_spans_that_go_out_and_to_no_others() {
    let span = |name: &str| Span { name: name.into(), ..Span::default() };
    let spans = ["a", "left out", "b", "c"].map(span).to_vec();
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let part = ResourceSpans { scope_spans, ..ResourceSpans::default() };
    let request = ExportTraceServiceRequest { resource_spans: vec![part] }.encode_to_vec();
    let event = Event { name: "waited".into(), ..Event::default() };
    let fields = Span { events: vec![event], ..Span::default() }.encode_to_vec();
    let added = [Vec::new(), fields.clone(), fields];
    let mut patch = Patch::new(&round(false), None, Some(&[true, false, true, true])).adding(&added);
    let out = ExportTraceServiceRequest::decode(&*protobuf(&request, TRACES, &mut patch).unwrap()).unwrap();
    let spans = &out.resource_spans[0].scope_spans[0].spans;
    let told: Vec<(&str, usize)> = spans.iter().map(|s| (&*s.name, s.events.len())).collect();
    assert_eq!(told, [("a", 0), ("b", 1), ("c", 0)]);
}

#[test]
fn what_is_no_message_is_an_error() {
    for bad in [&[0xff; 12][..], &[0x0a, 9, 1], &[0x0b], &[0]] {
        assert!(protobuf(bad, TRACES, &mut Patch::new(&round(false), None, None)).is_err(), "{bad:?}");
    }
}

mod remote_write {
    use super::*;
    use coldcase_decode::remote_write::{v1, v2};

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, bytes.len() as u8][..], bytes].concat()
    }

    fn label(name: &str, value: &str) -> Vec<u8> {
        field(1, &[field(1, name.as_bytes()), field(2, value.as_bytes())].concat())
    }

    #[test]
    fn series_of_version_1_get_the_mark_in_its_place() {
        let sample = [&[1 << 3 | 1][..], &1.5f64.to_le_bytes(), &[2 << 3, 0xe8, 0x07]].concat();
        let trace = "01010101010101010101010101010101";
        let exemplar = [label("trace_id", trace), vec![3 << 3, 1]].concat();
        let series = [label("__name__", "m"), label("job", "a"), field(2, &sample), field(3, &exemplar)].concat();
        let out =
            protobuf(&field(1, &series), REMOTE_WRITE_V1, &mut Patch::new(&round(true), Some("b1"), None)).unwrap();
        let read = v1(&out).unwrap();
        assert_eq!(read.samples[0].label_text(), "coldcase_replay=\"b1\",job=\"a\"");
        assert_eq!((read.samples[0].value, read.samples[0].time), (1.5, Some(1_005_000_000)));
        assert_eq!(read.exemplars[0].exemplar.time, Some(6_000_000));
        let new = NewIds::new("b", 0, 0).replace_hex(trace).unwrap();
        assert_eq!(read.exemplars[0].exemplar.label("trace_id"), Some(&*new));
    }

    #[test]
    fn series_of_version_2_refer_to_a_mark_that_is_added() {
        let mut bytes: Vec<u8> = ["", "__name__", "m"].iter().flat_map(|s| field(4, s.as_bytes())).collect();
        let sample = [&[1 << 3 | 1][..], &4.5f64.to_le_bytes(), &[2 << 3, 0xe8, 0x07]].concat();
        bytes.extend(field(5, &[field(1, &[1, 2]), field(2, &sample)].concat()));
        let out = protobuf(&bytes, REMOTE_WRITE_V2, &mut Patch::new(&round(false), Some("b1"), None)).unwrap();
        let read = v2(&out).unwrap();
        assert_eq!((&*read.samples[0].name, read.samples[0].label_text()), ("m", "coldcase_replay=\"b1\"".into()));
        assert_eq!(read.samples[0].time, Some(1_005_000_000));
    }
}
