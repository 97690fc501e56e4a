//! The messages of OTLP from their JSON objects: the fields that rows are made of.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram,
    HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint,
    exemplar, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span, status};
use serde_json::Value;

use super::fields::{
    Bad, Map, base64, boolean, double, field, i32_of, i64_of, id, list, object, optional, text, u32_of, u64_of,
};

/// An enum by its number, or by its name as proto3's mapping has it. A name that is not known is "unspecified".
macro_rules! by_name {
    ($name:ident, $enum:ty) => {
        fn $name(value: &Value) -> Result<i32, Bad> {
            match value {
                // A string of digits is a number too.
                Value::String(s) if !s.starts_with(|c: char| c.is_ascii_digit() || c == '-') => {
                    Ok(<$enum>::from_str_name(s).map_or(0, |e| e as i32))
                }
                _ => i32_of(value),
            }
        }
    };
}
by_name!(span_kind, span::SpanKind);
by_name!(status_code, status::StatusCode);
by_name!(severity, SeverityNumber);
by_name!(temporality, AggregationTemporality);

fn attributes(o: &Map) -> Result<Vec<KeyValue>, Bad> {
    list(o, "attributes", key_value)
}

fn key_value(value: &Value) -> Result<KeyValue, Bad> {
    let o = object(value)?;
    Ok(KeyValue { key: field(o, "key", text)?, value: optional(o, "value", any_value)?, ..KeyValue::default() })
}

/// A value; an object that tells none that is known is one without a value.
fn any_value(value: &Value) -> Result<AnyValue, Bad> {
    use any_value::Value as V;
    let o = object(value)?;
    for key in o.keys() {
        let read = match key.as_str() {
            "stringValue" => optional(o, key, text)?.map(V::StringValue),
            "boolValue" => optional(o, key, boolean)?.map(V::BoolValue),
            "intValue" => optional(o, key, i64_of)?.map(V::IntValue),
            "doubleValue" => optional(o, key, double)?.map(V::DoubleValue),
            "bytesValue" => optional(o, key, base64)?.map(V::BytesValue),
            "arrayValue" => optional(o, key, array)?.map(V::ArrayValue),
            "kvlistValue" => optional(o, key, key_value_list)?.map(V::KvlistValue),
            _ => None,
        };
        if read.is_some() {
            return Ok(AnyValue { value: read });
        }
    }
    Ok(AnyValue::default())
}

fn array(value: &Value) -> Result<ArrayValue, Bad> {
    Ok(ArrayValue { values: list(object(value)?, "values", any_value)? })
}

fn key_value_list(value: &Value) -> Result<KeyValueList, Bad> {
    Ok(KeyValueList { values: list(object(value)?, "values", key_value)? })
}

fn resource(value: &Value) -> Result<Resource, Bad> {
    Ok(Resource { attributes: attributes(object(value)?)?, ..Resource::default() })
}

fn scope(value: &Value) -> Result<InstrumentationScope, Bad> {
    let o = object(value)?;
    Ok(InstrumentationScope {
        name: field(o, "name", text)?,
        version: field(o, "version", text)?,
        attributes: attributes(o)?,
        ..InstrumentationScope::default()
    })
}

pub(super) fn traces(o: &Map) -> Result<ExportTraceServiceRequest, Bad> {
    Ok(ExportTraceServiceRequest { resource_spans: list(o, "resourceSpans", resource_spans)? })
}

fn resource_spans(value: &Value) -> Result<ResourceSpans, Bad> {
    let o = object(value)?;
    Ok(ResourceSpans {
        resource: optional(o, "resource", resource)?,
        scope_spans: list(o, "scopeSpans", scope_spans)?,
        ..ResourceSpans::default()
    })
}

fn scope_spans(value: &Value) -> Result<ScopeSpans, Bad> {
    let o = object(value)?;
    Ok(ScopeSpans { scope: optional(o, "scope", scope)?, spans: list(o, "spans", one_span)?, ..ScopeSpans::default() })
}

fn one_span(value: &Value) -> Result<Span, Bad> {
    let o = object(value)?;
    Ok(Span {
        trace_id: field(o, "traceId", id)?,
        span_id: field(o, "spanId", id)?,
        trace_state: field(o, "traceState", text)?,
        parent_span_id: field(o, "parentSpanId", id)?,
        flags: field(o, "flags", u32_of)?,
        name: field(o, "name", text)?,
        kind: field(o, "kind", span_kind)?,
        start_time_unix_nano: field(o, "startTimeUnixNano", u64_of)?,
        end_time_unix_nano: field(o, "endTimeUnixNano", u64_of)?,
        attributes: attributes(o)?,
        dropped_attributes_count: field(o, "droppedAttributesCount", u32_of)?,
        events: list(o, "events", event)?,
        dropped_events_count: field(o, "droppedEventsCount", u32_of)?,
        links: list(o, "links", link)?,
        dropped_links_count: field(o, "droppedLinksCount", u32_of)?,
        status: optional(o, "status", one_status)?,
    })
}

fn event(value: &Value) -> Result<span::Event, Bad> {
    let o = object(value)?;
    Ok(span::Event {
        time_unix_nano: field(o, "timeUnixNano", u64_of)?,
        name: field(o, "name", text)?,
        attributes: attributes(o)?,
        dropped_attributes_count: field(o, "droppedAttributesCount", u32_of)?,
    })
}

fn link(value: &Value) -> Result<span::Link, Bad> {
    let o = object(value)?;
    Ok(span::Link {
        trace_id: field(o, "traceId", id)?,
        span_id: field(o, "spanId", id)?,
        trace_state: field(o, "traceState", text)?,
        attributes: attributes(o)?,
        dropped_attributes_count: field(o, "droppedAttributesCount", u32_of)?,
        flags: field(o, "flags", u32_of)?,
    })
}

fn one_status(value: &Value) -> Result<Status, Bad> {
    let o = object(value)?;
    Ok(Status { message: field(o, "message", text)?, code: field(o, "code", status_code)? })
}

pub(super) fn logs(o: &Map) -> Result<ExportLogsServiceRequest, Bad> {
    Ok(ExportLogsServiceRequest { resource_logs: list(o, "resourceLogs", resource_logs)? })
}

fn resource_logs(value: &Value) -> Result<ResourceLogs, Bad> {
    let o = object(value)?;
    Ok(ResourceLogs {
        resource: optional(o, "resource", resource)?,
        scope_logs: list(o, "scopeLogs", scope_logs)?,
        ..ResourceLogs::default()
    })
}

fn scope_logs(value: &Value) -> Result<ScopeLogs, Bad> {
    let o = object(value)?;
    Ok(ScopeLogs {
        scope: optional(o, "scope", scope)?,
        log_records: list(o, "logRecords", log_record)?,
        ..ScopeLogs::default()
    })
}

fn log_record(value: &Value) -> Result<LogRecord, Bad> {
    let o = object(value)?;
    Ok(LogRecord {
        time_unix_nano: field(o, "timeUnixNano", u64_of)?,
        observed_time_unix_nano: field(o, "observedTimeUnixNano", u64_of)?,
        severity_number: field(o, "severityNumber", severity)?,
        severity_text: field(o, "severityText", text)?,
        body: optional(o, "body", any_value)?,
        attributes: attributes(o)?,
        dropped_attributes_count: field(o, "droppedAttributesCount", u32_of)?,
        flags: field(o, "flags", u32_of)?,
        trace_id: field(o, "traceId", id)?,
        span_id: field(o, "spanId", id)?,
        event_name: field(o, "eventName", text)?,
    })
}

pub(super) fn metrics(o: &Map) -> Result<ExportMetricsServiceRequest, Bad> {
    Ok(ExportMetricsServiceRequest { resource_metrics: list(o, "resourceMetrics", resource_metrics)? })
}

fn resource_metrics(value: &Value) -> Result<ResourceMetrics, Bad> {
    let o = object(value)?;
    Ok(ResourceMetrics {
        resource: optional(o, "resource", resource)?,
        scope_metrics: list(o, "scopeMetrics", scope_metrics)?,
        ..ResourceMetrics::default()
    })
}

fn scope_metrics(value: &Value) -> Result<ScopeMetrics, Bad> {
    let o = object(value)?;
    Ok(ScopeMetrics {
        scope: optional(o, "scope", scope)?,
        metrics: list(o, "metrics", one_metric)?,
        ..ScopeMetrics::default()
    })
}

fn one_metric(value: &Value) -> Result<Metric, Bad> {
    use metric::Data as D;
    let o = object(value)?;
    let mut data = optional(o, "gauge", gauge)?.map(D::Gauge);
    data = data.or(optional(o, "sum", sum)?.map(D::Sum));
    data = data.or(optional(o, "histogram", histogram)?.map(D::Histogram));
    data = data.or(optional(o, "exponentialHistogram", exponential_histogram)?.map(D::ExponentialHistogram));
    data = data.or(optional(o, "summary", summary)?.map(D::Summary));
    Ok(Metric {
        name: field(o, "name", text)?,
        description: field(o, "description", text)?,
        unit: field(o, "unit", text)?,
        data,
        ..Metric::default()
    })
}

fn gauge(value: &Value) -> Result<Gauge, Bad> {
    Ok(Gauge { data_points: list(object(value)?, "dataPoints", number_point)? })
}

fn sum(value: &Value) -> Result<Sum, Bad> {
    let o = object(value)?;
    Ok(Sum {
        data_points: list(o, "dataPoints", number_point)?,
        aggregation_temporality: field(o, "aggregationTemporality", temporality)?,
        is_monotonic: field(o, "isMonotonic", boolean)?,
    })
}

fn histogram(value: &Value) -> Result<Histogram, Bad> {
    let o = object(value)?;
    Ok(Histogram {
        data_points: list(o, "dataPoints", histogram_point)?,
        aggregation_temporality: field(o, "aggregationTemporality", temporality)?,
    })
}

fn exponential_histogram(value: &Value) -> Result<ExponentialHistogram, Bad> {
    let o = object(value)?;
    Ok(ExponentialHistogram {
        data_points: list(o, "dataPoints", exponential_point)?,
        aggregation_temporality: field(o, "aggregationTemporality", temporality)?,
    })
}

fn summary(value: &Value) -> Result<Summary, Bad> {
    Ok(Summary { data_points: list(object(value)?, "dataPoints", summary_point)? })
}

fn number_point(value: &Value) -> Result<NumberDataPoint, Bad> {
    use number_data_point::Value as V;
    let o = object(value)?;
    let int = optional(o, "asInt", i64_of)?.map(V::AsInt);
    Ok(NumberDataPoint {
        attributes: attributes(o)?,
        start_time_unix_nano: field(o, "startTimeUnixNano", u64_of)?,
        time_unix_nano: field(o, "timeUnixNano", u64_of)?,
        flags: field(o, "flags", u32_of)?,
        value: int.or(optional(o, "asDouble", double)?.map(V::AsDouble)),
        exemplars: list(o, "exemplars", one_exemplar)?,
    })
}

fn one_exemplar(value: &Value) -> Result<Exemplar, Bad> {
    use exemplar::Value as V;
    let o = object(value)?;
    let int = optional(o, "asInt", i64_of)?.map(V::AsInt);
    Ok(Exemplar {
        filtered_attributes: list(o, "filteredAttributes", key_value)?,
        time_unix_nano: field(o, "timeUnixNano", u64_of)?,
        value: int.or(optional(o, "asDouble", double)?.map(V::AsDouble)),
        span_id: field(o, "spanId", id)?,
        trace_id: field(o, "traceId", id)?,
    })
}

fn histogram_point(value: &Value) -> Result<HistogramDataPoint, Bad> {
    let o = object(value)?;
    Ok(HistogramDataPoint {
        attributes: attributes(o)?,
        start_time_unix_nano: field(o, "startTimeUnixNano", u64_of)?,
        time_unix_nano: field(o, "timeUnixNano", u64_of)?,
        count: field(o, "count", u64_of)?,
        sum: optional(o, "sum", double)?,
        bucket_counts: list(o, "bucketCounts", u64_of)?,
        explicit_bounds: list(o, "explicitBounds", double)?,
        flags: field(o, "flags", u32_of)?,
        min: optional(o, "min", double)?,
        max: optional(o, "max", double)?,
        exemplars: list(o, "exemplars", one_exemplar)?,
    })
}

fn exponential_point(value: &Value) -> Result<ExponentialHistogramDataPoint, Bad> {
    let o = object(value)?;
    Ok(ExponentialHistogramDataPoint {
        attributes: attributes(o)?,
        start_time_unix_nano: field(o, "startTimeUnixNano", u64_of)?,
        time_unix_nano: field(o, "timeUnixNano", u64_of)?,
        count: field(o, "count", u64_of)?,
        sum: optional(o, "sum", double)?,
        scale: field(o, "scale", i32_of)?,
        zero_count: field(o, "zeroCount", u64_of)?,
        positive: optional(o, "positive", buckets)?,
        negative: optional(o, "negative", buckets)?,
        flags: field(o, "flags", u32_of)?,
        min: optional(o, "min", double)?,
        max: optional(o, "max", double)?,
        zero_threshold: field(o, "zeroThreshold", double)?,
        exemplars: list(o, "exemplars", one_exemplar)?,
    })
}

fn buckets(value: &Value) -> Result<Buckets, Bad> {
    let o = object(value)?;
    Ok(Buckets { offset: field(o, "offset", i32_of)?, bucket_counts: list(o, "bucketCounts", u64_of)? })
}

fn summary_point(value: &Value) -> Result<SummaryDataPoint, Bad> {
    let o = object(value)?;
    Ok(SummaryDataPoint {
        attributes: attributes(o)?,
        start_time_unix_nano: field(o, "startTimeUnixNano", u64_of)?,
        time_unix_nano: field(o, "timeUnixNano", u64_of)?,
        count: field(o, "count", u64_of)?,
        sum: field(o, "sum", double)?,
        quantile_values: list(o, "quantileValues", quantile)?,
        flags: field(o, "flags", u32_of)?,
    })
}

fn quantile(value: &Value) -> Result<ValueAtQuantile, Bad> {
    let o = object(value)?;
    Ok(ValueAtQuantile { quantile: field(o, "quantile", double)?, value: field(o, "value", double)? })
}
