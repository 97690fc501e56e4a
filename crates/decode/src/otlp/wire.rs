//! Which signal a protobuf request carries: the three export requests nest alike and differ in what their items look like.

use super::Signal;

/// The signal of an export request in protobuf, told by the wire types of its first spans, metrics or log records. `None` when it
/// holds none of them, or is none. The start of a request will do.
pub fn signal_of_protobuf(request: &[u8]) -> Option<Signal> {
    // resource_* = 1, scope_* = 2, and the items = 2.
    let parts = fields(request).filter(|f| f.number == 1);
    let scopes = parts.flat_map(|p| fields(p.bytes)).filter(|f| f.number == 2);
    let mut items = scopes.flat_map(|s| fields(s.bytes)).filter(|f| f.number == 2);
    items.find_map(|item| of_item(item.bytes))
}

fn of_item(item: &[u8]) -> Option<Signal> {
    fields(item).find_map(|f| match (f.number, f.wire, f.bytes.len()) {
        // Span.trace_id, span_id.
        (1, 2, 16) if has(item, 2, 2, Some(8)) => Some(Signal::Traces),
        // LogRecord.time_unix_nano, observed_time_unix_nano.
        (1, 1, _) | (11, 1, _) => Some(Signal::Logs),
        // Metric's data: gauge, sum, histogram, exponential_histogram, summary.
        (5 | 7 | 9 | 10 | 11, 2, _) if !has(item, 7, 1, None) && !has(item, 2, 0, None) => Some(Signal::Metrics),
        _ => None,
    })
}

fn has(message: &[u8], number: u64, wire: u64, length: Option<usize>) -> bool {
    fields(message).any(|f| f.number == number && f.wire == wire && length.is_none_or(|l| f.bytes.len() == l))
}

struct Field<'a> {
    number: u64,
    wire: u64,
    bytes: &'a [u8],
}

/// The fields of a message, up to the first that is malformed; the last one may be cut.
fn fields(message: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut rest = message;
    std::iter::from_fn(move || {
        let tag = varint(&mut rest)?;
        let (number, wire) = (tag >> 3, tag & 7);
        let length = match wire {
            0 => {
                varint(&mut rest)?;
                0
            }
            1 => 8,
            2 => usize::try_from(varint(&mut rest)?).ok()?,
            5 => 4,
            _ => return None,
        };
        // The start of a file may hold the start of a request only.
        let (bytes, after) = rest.split_at(length.min(rest.len()));
        rest = after;
        Some(Field { number, wire, bytes })
    })
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..70).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
    use opentelemetry_proto::tonic::metrics::v1::{Gauge, Metric, ResourceMetrics, ScopeMetrics, metric};
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
    use proptest::prelude::*;
    use prost::Message;

    fn logs(record: LogRecord) -> Vec<u8> {
        let scope_logs = vec![ScopeLogs { log_records: vec![record], ..ScopeLogs::default() }];
        let resource_logs = vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }];
        ExportLogsServiceRequest { resource_logs }.encode_to_vec()
    }

    #[test]
    fn the_signal_of_a_protobuf_request_is_told_by_its_items() {
        let span = Span { trace_id: vec![1; 16], span_id: vec![2; 8], start_time_unix_nano: 5, ..Span::default() };
        let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
        let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
        let traces = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        assert_eq!(signal_of_protobuf(&traces), Some(Signal::Traces));

        for name in ["m", "a name of 16 byte"] {
            let data = Some(metric::Data::Gauge(Gauge::default()));
            let metric = Metric { name: name.into(), description: "12345678".into(), data, ..Metric::default() };
            let scope_metrics = vec![ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() }];
            let resource_metrics = vec![ResourceMetrics { scope_metrics, ..ResourceMetrics::default() }];
            let metrics = ExportMetricsServiceRequest { resource_metrics }.encode_to_vec();
            assert_eq!(signal_of_protobuf(&metrics), Some(Signal::Metrics), "{name}");
        }

        let timed = LogRecord { time_unix_nano: 5, ..LogRecord::default() };
        let observed =
            LogRecord { observed_time_unix_nano: 5, severity_number: 9, trace_id: vec![1; 16], ..LogRecord::default() };
        assert_eq!(signal_of_protobuf(&logs(timed)), Some(Signal::Logs));
        assert_eq!(signal_of_protobuf(&logs(observed)), Some(Signal::Logs));
        assert_eq!(signal_of_protobuf(b""), None);
        assert_eq!(signal_of_protobuf(b"{\"resourceSpans\":[]}"), None);
    }

    proptest! {
        #[test]
        fn never_panics_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = signal_of_protobuf(&bytes);
        }
    }
}
