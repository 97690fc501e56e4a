//! Which fields are changed. Numbers are those of the `.proto` files of OTLP 1.x (`opentelemetry/proto/{trace,logs,metrics}/v1`), of
//! `prometheus.WriteRequest` and of `io.prometheus.write.v2.Request`.

/// What is done with the fields of a message.
pub(crate) type Rules = &'static [(u64, Rule)];

/// What is done with a field.
#[derive(Clone, Copy)]
pub(crate) enum Rule {
    /// It is a message with rules of its own.
    Message(Rules),
    /// The same, and it can be left out alone: a span, a record, a point.
    Item(Rules),
    /// The same, and what it holds is of the resource in its field 1.
    OfResource(Rules),
    /// A `Resource`.
    Resource,
    /// UTC nanoseconds, `fixed64`.
    Nanos,
    /// UTC milliseconds, `int64`.
    Millis,
    /// An id of a trace or a span, bytes.
    Id,
    /// A series with its labels as messages.
    Series(Rules),
    /// A series with its labels as references to symbols.
    SeriesOfRefs(Rules),
    /// A label of an exemplar.
    ExemplarLabel,
    /// A string that labels may refer to.
    Symbol,
}

use Rule::{ExemplarLabel, Id, Item, Message, Millis, Nanos, OfResource, Resource, Series, SeriesOfRefs, Symbol};

const SPAN: Rules = &[
    (1, Id),
    (2, Id),
    (4, Id),
    (7, Nanos),
    (8, Nanos),
    (11, Message(&[(1, Nanos)])),
    (13, Message(&[(1, Id), (2, Id)])),
];
/// `ExportTraceServiceRequest`.
pub(crate) const TRACES: Rules = &[(1, OfResource(&[(1, Resource), (2, Message(&[(2, Item(SPAN))]))]))];

const RECORD: Rules = &[(1, Nanos), (9, Id), (10, Id), (11, Nanos)];
/// `ExportLogsServiceRequest`.
pub(crate) const LOGS: Rules = &[(1, OfResource(&[(1, Resource), (2, Message(&[(2, Item(RECORD))]))]))];

const EXEMPLAR: Rules = &[(2, Nanos), (4, Id), (5, Id)];
/// `NumberDataPoint`.
const NUMBER: Rules = &[(2, Nanos), (3, Nanos), (5, Message(EXEMPLAR))];
/// `HistogramDataPoint`.
const HISTOGRAM: Rules = &[(2, Nanos), (3, Nanos), (8, Message(EXEMPLAR))];
/// `ExponentialHistogramDataPoint`.
const EXPONENTIAL: Rules = &[(2, Nanos), (3, Nanos), (11, Message(EXEMPLAR))];
/// `SummaryDataPoint`.
const SUMMARY: Rules = &[(2, Nanos), (3, Nanos)];
const METRIC: Rules = &[
    (5, Message(&[(1, Item(NUMBER))])),
    (7, Message(&[(1, Item(NUMBER))])),
    (9, Message(&[(1, Item(HISTOGRAM))])),
    (10, Message(&[(1, Item(EXPONENTIAL))])),
    (11, Message(&[(1, Item(SUMMARY))])),
];
/// `ExportMetricsServiceRequest`.
pub(crate) const METRICS: Rules = &[(1, OfResource(&[(1, Resource), (2, Message(&[(2, Message(METRIC))]))]))];

/// `prometheus.WriteRequest`.
pub(crate) const REMOTE_WRITE_V1: Rules = &[(
    1,
    Series(&[
        (2, Message(&[(2, Millis)])),
        (3, Message(&[(1, ExemplarLabel), (3, Millis)])),
        (4, Message(&[(15, Millis)])),
    ]),
)];
/// `io.prometheus.write.v2.Request`: samples and histograms may tell when their counting began.
pub(crate) const REMOTE_WRITE_V2: Rules = &[
    (4, Symbol),
    (
        5,
        SeriesOfRefs(&[
            (2, Message(&[(2, Millis), (3, Millis)])),
            (3, Message(&[(15, Millis), (17, Millis)])),
            (4, Message(&[(3, Millis)])),
            (6, Millis),
        ]),
    ),
];
