//! The messages of OTLP, field by field: number, name in JSON, and kind.
//!
//! From the descriptors in PyPI's `opentelemetry-proto` 1.45.2, `opentelemetry/proto/{trace,metrics,logs,common,resource}/v1` of
//! <https://github.com/open-telemetry/opentelemetry-proto>.

/// A field of a message.
pub(super) struct Field {
    pub(super) number: u64,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) many: bool,
}

/// What a field holds, and so how it stands in protobuf and in JSON.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Text,
    Bool,
    /// Ids: hexadecimal in OTLP/JSON, unlike other bytes.
    Hex,
    Bytes,
    Double,
    /// Enumerations, too: numbers in OTLP/JSON.
    Int32,
    Uint32,
    Sint32,
    Fixed32,
    /// Those of 64 bits are strings in JSON.
    Int64,
    Uint64,
    Fixed64,
    Sfixed64,
    /// Behind a function, since messages hold each other.
    Message(fn() -> Message),
}

/// A message: its fields.
pub(super) type Message = &'static [Field];

const fn one(number: u64, name: &'static str, kind: Kind) -> Field {
    Field { number, name, kind, many: false }
}

const fn many(number: u64, name: &'static str, kind: Kind) -> Field {
    Field { number, name, kind, many: true }
}

pub(super) const EXPORT_TRACE_SERVICE_REQUEST: Message = &[many(1, "resourceSpans", Kind::Message(|| RESOURCE_SPANS))];
const RESOURCE_SPANS: Message = &[
    one(1, "resource", Kind::Message(|| RESOURCE)),
    many(2, "scopeSpans", Kind::Message(|| SCOPE_SPANS)),
    one(3, "schemaUrl", Kind::Text),
];
const RESOURCE: Message = &[
    many(1, "attributes", Kind::Message(|| KEY_VALUE)),
    one(2, "droppedAttributesCount", Kind::Uint32),
    many(3, "entityRefs", Kind::Message(|| ENTITY_REF)),
];
const KEY_VALUE: Message =
    &[one(1, "key", Kind::Text), one(2, "value", Kind::Message(|| ANY_VALUE)), one(3, "keyStrindex", Kind::Int32)];
const ANY_VALUE: Message = &[
    one(1, "stringValue", Kind::Text),
    one(2, "boolValue", Kind::Bool),
    one(3, "intValue", Kind::Int64),
    one(4, "doubleValue", Kind::Double),
    one(5, "arrayValue", Kind::Message(|| ARRAY_VALUE)),
    one(6, "kvlistValue", Kind::Message(|| KEY_VALUE_LIST)),
    one(7, "bytesValue", Kind::Bytes),
    one(8, "stringValueStrindex", Kind::Int32),
];
const ARRAY_VALUE: Message = &[many(1, "values", Kind::Message(|| ANY_VALUE))];
const KEY_VALUE_LIST: Message = &[many(1, "values", Kind::Message(|| KEY_VALUE))];
const ENTITY_REF: Message = &[
    one(1, "schemaUrl", Kind::Text),
    one(2, "type", Kind::Text),
    many(3, "idKeys", Kind::Text),
    many(4, "descriptionKeys", Kind::Text),
];
const SCOPE_SPANS: Message = &[
    one(1, "scope", Kind::Message(|| INSTRUMENTATION_SCOPE)),
    many(2, "spans", Kind::Message(|| SPAN)),
    one(3, "schemaUrl", Kind::Text),
];
const INSTRUMENTATION_SCOPE: Message = &[
    one(1, "name", Kind::Text),
    one(2, "version", Kind::Text),
    many(3, "attributes", Kind::Message(|| KEY_VALUE)),
    one(4, "droppedAttributesCount", Kind::Uint32),
];
const SPAN: Message = &[
    one(1, "traceId", Kind::Hex),
    one(2, "spanId", Kind::Hex),
    one(3, "traceState", Kind::Text),
    one(4, "parentSpanId", Kind::Hex),
    one(16, "flags", Kind::Fixed32),
    one(5, "name", Kind::Text),
    one(6, "kind", Kind::Int32),
    one(7, "startTimeUnixNano", Kind::Fixed64),
    one(8, "endTimeUnixNano", Kind::Fixed64),
    many(9, "attributes", Kind::Message(|| KEY_VALUE)),
    one(10, "droppedAttributesCount", Kind::Uint32),
    many(11, "events", Kind::Message(|| SPAN_EVENT)),
    one(12, "droppedEventsCount", Kind::Uint32),
    many(13, "links", Kind::Message(|| SPAN_LINK)),
    one(14, "droppedLinksCount", Kind::Uint32),
    one(15, "status", Kind::Message(|| STATUS)),
];
const SPAN_EVENT: Message = &[
    one(1, "timeUnixNano", Kind::Fixed64),
    one(2, "name", Kind::Text),
    many(3, "attributes", Kind::Message(|| KEY_VALUE)),
    one(4, "droppedAttributesCount", Kind::Uint32),
];
const SPAN_LINK: Message = &[
    one(1, "traceId", Kind::Hex),
    one(2, "spanId", Kind::Hex),
    one(3, "traceState", Kind::Text),
    many(4, "attributes", Kind::Message(|| KEY_VALUE)),
    one(5, "droppedAttributesCount", Kind::Uint32),
    one(6, "flags", Kind::Fixed32),
];
const STATUS: Message = &[one(2, "message", Kind::Text), one(3, "code", Kind::Int32)];
pub(super) const EXPORT_METRICS_SERVICE_REQUEST: Message =
    &[many(1, "resourceMetrics", Kind::Message(|| RESOURCE_METRICS))];
const RESOURCE_METRICS: Message = &[
    one(1, "resource", Kind::Message(|| RESOURCE)),
    many(2, "scopeMetrics", Kind::Message(|| SCOPE_METRICS)),
    one(3, "schemaUrl", Kind::Text),
];
const SCOPE_METRICS: Message = &[
    one(1, "scope", Kind::Message(|| INSTRUMENTATION_SCOPE)),
    many(2, "metrics", Kind::Message(|| METRIC)),
    one(3, "schemaUrl", Kind::Text),
];
const METRIC: Message = &[
    one(1, "name", Kind::Text),
    one(2, "description", Kind::Text),
    one(3, "unit", Kind::Text),
    one(5, "gauge", Kind::Message(|| GAUGE)),
    one(7, "sum", Kind::Message(|| SUM)),
    one(9, "histogram", Kind::Message(|| HISTOGRAM)),
    one(10, "exponentialHistogram", Kind::Message(|| EXPONENTIAL_HISTOGRAM)),
    one(11, "summary", Kind::Message(|| SUMMARY)),
    many(12, "metadata", Kind::Message(|| KEY_VALUE)),
];
const GAUGE: Message = &[many(1, "dataPoints", Kind::Message(|| NUMBER_DATA_POINT))];
const NUMBER_DATA_POINT: Message = &[
    many(7, "attributes", Kind::Message(|| KEY_VALUE)),
    one(2, "startTimeUnixNano", Kind::Fixed64),
    one(3, "timeUnixNano", Kind::Fixed64),
    one(4, "asDouble", Kind::Double),
    one(6, "asInt", Kind::Sfixed64),
    many(5, "exemplars", Kind::Message(|| EXEMPLAR)),
    one(8, "flags", Kind::Uint32),
];
const EXEMPLAR: Message = &[
    many(7, "filteredAttributes", Kind::Message(|| KEY_VALUE)),
    one(2, "timeUnixNano", Kind::Fixed64),
    one(3, "asDouble", Kind::Double),
    one(6, "asInt", Kind::Sfixed64),
    one(4, "spanId", Kind::Hex),
    one(5, "traceId", Kind::Hex),
];
const SUM: Message = &[
    many(1, "dataPoints", Kind::Message(|| NUMBER_DATA_POINT)),
    one(2, "aggregationTemporality", Kind::Int32),
    one(3, "isMonotonic", Kind::Bool),
];
const HISTOGRAM: Message =
    &[many(1, "dataPoints", Kind::Message(|| HISTOGRAM_DATA_POINT)), one(2, "aggregationTemporality", Kind::Int32)];
const HISTOGRAM_DATA_POINT: Message = &[
    many(9, "attributes", Kind::Message(|| KEY_VALUE)),
    one(2, "startTimeUnixNano", Kind::Fixed64),
    one(3, "timeUnixNano", Kind::Fixed64),
    one(4, "count", Kind::Fixed64),
    one(5, "sum", Kind::Double),
    many(6, "bucketCounts", Kind::Fixed64),
    many(7, "explicitBounds", Kind::Double),
    many(8, "exemplars", Kind::Message(|| EXEMPLAR)),
    one(10, "flags", Kind::Uint32),
    one(11, "min", Kind::Double),
    one(12, "max", Kind::Double),
];
const EXPONENTIAL_HISTOGRAM: Message = &[
    many(1, "dataPoints", Kind::Message(|| EXPONENTIAL_HISTOGRAM_DATA_POINT)),
    one(2, "aggregationTemporality", Kind::Int32),
];
const EXPONENTIAL_HISTOGRAM_DATA_POINT: Message = &[
    many(1, "attributes", Kind::Message(|| KEY_VALUE)),
    one(2, "startTimeUnixNano", Kind::Fixed64),
    one(3, "timeUnixNano", Kind::Fixed64),
    one(4, "count", Kind::Fixed64),
    one(5, "sum", Kind::Double),
    one(6, "scale", Kind::Sint32),
    one(7, "zeroCount", Kind::Fixed64),
    one(8, "positive", Kind::Message(|| EXPONENTIAL_HISTOGRAM_DATA_POINT_BUCKETS)),
    one(9, "negative", Kind::Message(|| EXPONENTIAL_HISTOGRAM_DATA_POINT_BUCKETS)),
    one(10, "flags", Kind::Uint32),
    many(11, "exemplars", Kind::Message(|| EXEMPLAR)),
    one(12, "min", Kind::Double),
    one(13, "max", Kind::Double),
    one(14, "zeroThreshold", Kind::Double),
];
const EXPONENTIAL_HISTOGRAM_DATA_POINT_BUCKETS: Message =
    &[one(1, "offset", Kind::Sint32), many(2, "bucketCounts", Kind::Uint64)];
const SUMMARY: Message = &[many(1, "dataPoints", Kind::Message(|| SUMMARY_DATA_POINT))];
const SUMMARY_DATA_POINT: Message = &[
    many(7, "attributes", Kind::Message(|| KEY_VALUE)),
    one(2, "startTimeUnixNano", Kind::Fixed64),
    one(3, "timeUnixNano", Kind::Fixed64),
    one(4, "count", Kind::Fixed64),
    one(5, "sum", Kind::Double),
    many(6, "quantileValues", Kind::Message(|| SUMMARY_DATA_POINT_VALUE_AT_QUANTILE)),
    one(8, "flags", Kind::Uint32),
];
const SUMMARY_DATA_POINT_VALUE_AT_QUANTILE: Message =
    &[one(1, "quantile", Kind::Double), one(2, "value", Kind::Double)];
pub(super) const EXPORT_LOGS_SERVICE_REQUEST: Message = &[many(1, "resourceLogs", Kind::Message(|| RESOURCE_LOGS))];
const RESOURCE_LOGS: Message = &[
    one(1, "resource", Kind::Message(|| RESOURCE)),
    many(2, "scopeLogs", Kind::Message(|| SCOPE_LOGS)),
    one(3, "schemaUrl", Kind::Text),
];
const SCOPE_LOGS: Message = &[
    one(1, "scope", Kind::Message(|| INSTRUMENTATION_SCOPE)),
    many(2, "logRecords", Kind::Message(|| LOG_RECORD)),
    one(3, "schemaUrl", Kind::Text),
];
const LOG_RECORD: Message = &[
    one(1, "timeUnixNano", Kind::Fixed64),
    one(11, "observedTimeUnixNano", Kind::Fixed64),
    one(2, "severityNumber", Kind::Int32),
    one(3, "severityText", Kind::Text),
    one(5, "body", Kind::Message(|| ANY_VALUE)),
    many(6, "attributes", Kind::Message(|| KEY_VALUE)),
    one(7, "droppedAttributesCount", Kind::Uint32),
    one(8, "flags", Kind::Fixed32),
    one(9, "traceId", Kind::Hex),
    one(10, "spanId", Kind::Hex),
    one(12, "eventName", Kind::Text),
];
