//! Log lines of files and of the journal as OTLP log records.

use std::time::{Duration, Instant};

use coldcase_model::Utc;
use coldcase_timeline::{LogRow, Timeline};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use super::proto::attribute;

/// Lines that go out together, at most, and about the bytes of them.
const TOGETHER: (usize, usize) = (512, 1 << 20);
/// The first of them waits no longer for others.
const LONGEST: Duration = Duration::from_millis(200);

/// Collects lines to a request.
#[derive(Debug, Default)]
pub(super) struct Lines {
    records: Vec<LogRecord>,
    bytes: usize,
    since: Option<Instant>,
}

impl Lines {
    /// Adds a line; true when it is time to send them.
    ///
    /// Its time is the line's own where it tells a credible one; when it was read is when it was observed.
    pub(super) fn add(&mut self, timeline: &Timeline, line: &LogRow) -> bool {
        self.since.get_or_insert_with(Instant::now);
        let severity = line.fields.severity;
        let text = |s: &str| Some(AnyValue { value: Some(Value::StringValue(s.to_owned())) });
        let body = match std::str::from_utf8(&line.line) {
            Ok(line) => text(line),
            Err(_) => Some(AnyValue { value: Some(Value::BytesValue(line.line.to_vec())) }),
        };
        self.bytes += line.line.len() + line.path.len() + 128;
        self.records.push(LogRecord {
            time_unix_nano: if line.own_time { unix(line.utc) } else { 0 },
            observed_time_unix_nano: unix(timeline.utc(line.read)),
            // TRACE, DEBUG, INFO, WARN, ERROR, FATAL begin at 1, 5, 9, 13, 17, 21.
            severity_number: severity.map_or(0, |s| s as i32 * 4 + 1),
            severity_text: severity.map(|s| s.name().to_uppercase()).unwrap_or_default(),
            body,
            attributes: vec![attribute("log.file.path", &*line.path)],
            trace_id: line.fields.trace.map(|t| t.0.to_vec()).unwrap_or_default(),
            span_id: line.fields.span.map(|s| s.0.to_vec()).unwrap_or_default(),
            ..LogRecord::default()
        });
        self.records.len() >= TOGETHER.0 || self.bytes >= TOGETHER.1
    }

    /// Whether the first has waited long enough.
    pub(super) fn are_due(&self) -> bool {
        self.since.is_some_and(|since| since.elapsed() >= LONGEST)
    }

    /// The lines so far as a request; `None` without any.
    pub(super) fn take(&mut self, host: Option<&str>) -> Option<Vec<u8>> {
        if self.records.is_empty() {
            return None;
        }
        self.bytes = 0;
        self.since = None;
        let scope_logs = vec![ScopeLogs {
            scope: Some(InstrumentationScope { name: "coldcase".into(), ..InstrumentationScope::default() }),
            log_records: std::mem::take(&mut self.records),
            ..ScopeLogs::default()
        }];
        let attributes = host.map(|h| attribute("host.name", h)).into_iter().collect();
        let resource = Some(Resource { attributes, ..Resource::default() });
        let part = ResourceLogs { resource, scope_logs, ..ResourceLogs::default() };
        Some(ExportLogsServiceRequest { resource_logs: vec![part] }.encode_to_vec())
    }
}

fn unix(utc: Utc) -> u64 {
    u64::try_from(utc.0).unwrap_or(0)
}
