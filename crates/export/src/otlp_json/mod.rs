//! OTLP/JSON: all requests as JSON lines, whatever they came in, as the OpenTelemetry Collector's file receiver reads them.
//!
//! `traces.jsonl`, `metrics.jsonl` and `logs.jsonl`, a request a line in the order of receipt (requests in protobuf first). Ids are hexadecimal,
//! numbers of 64 bits strings, enumerations numbers (<https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>). Fields that this
//! build does not know have no name to be written under: they are left out, and counted.

mod tables;
mod transcode;

use std::io::Write;
use std::path::{Path, PathBuf};

use coldcase_bundle::{BatchBody, Bundle};
use coldcase_model::Class;

use crate::{Sink, SinkError};
use tables::Message;

pub use transcode::WireError;

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// `traces`, `metrics` or `logs`.
    pub signal: &'static str,
    /// The file.
    pub path: PathBuf,
    /// Requests in it.
    pub requests: u64,
    /// Of these, those that came in protobuf.
    pub from_protobuf: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What came of an export.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exported {
    /// The files.
    pub files: Vec<Written>,
    /// Fields that have no name.
    pub unknown_fields: u64,
    /// Requests that could not be read, and are in no file.
    pub unreadable: u64,
    /// What could not be read, in one line each.
    pub problems: Vec<String>,
}

/// Signals: what their file is called, their streams in protobuf and in JSON, and their request.
const SIGNALS: [(&str, &str, &str, Message); 3] = [
    ("traces", "otlp.traces", "otlp.traces.json", tables::EXPORT_TRACE_SERVICE_REQUEST),
    ("metrics", "otlp.metrics", "otlp.metrics.json", tables::EXPORT_METRICS_SERVICE_REQUEST),
    ("logs", "otlp.logs", "otlp.logs.json", tables::EXPORT_LOGS_SERVICE_REQUEST),
];

/// Problems of one kind that are told one by one.
const TOLD: u64 = 20;

/// Writes the requests of a bundle into a folder, which is there. Reads one chunk at a time.
///
/// # Errors
/// When a file exists and it is not forced, or cannot be written.
pub fn write(bundle: &Bundle, dir: &Path, force: bool) -> Result<Exported, SinkError> {
    let mut out =
        Exported { problems: bundle.problems().iter().map(|p| p.what.clone()).collect(), ..Exported::default() };
    let streams = bundle.streams();
    let there = |name: &str| streams.iter().any(|s| &*s.name == name && s.events > 0);
    let wanted: Vec<_> = SIGNALS.iter().filter(|s| there(s.1) || there(s.2)).collect();
    let mut sinks = Vec::new();
    // Whether all may be written is known before the first is.
    for (signal, ..) in &wanted {
        sinks.push(Sink::create(&dir.join(format!("{signal}.jsonl")), force)?);
    }
    for ((signal, protobuf, json, table), mut sink) in wanted.into_iter().zip(sinks) {
        let path = dir.join(format!("{signal}.jsonl"));
        let mut written = Written { signal, path, requests: 0, from_protobuf: 0, bytes: 0 };
        for (stream, table) in [(protobuf, Some(*table)), (json, None)] {
            let unread = requests(bundle, stream, |row, request| {
                let line = match table {
                    Some(table) => {
                        let mut line = Vec::with_capacity(request.len() * 2);
                        let mut unknown = 0;
                        match transcode::message(request, table, &mut line, &mut unknown, 0) {
                            Ok(()) => out.unknown_fields += unknown,
                            Err(e) => {
                                out.unreadable += 1;
                                if out.unreadable <= TOLD {
                                    out.problems.push(format!("{stream}#{row}: {e}"));
                                }
                                return Ok(());
                            }
                        }
                        written.from_protobuf += 1;
                        line
                    }
                    // A line break stands between the values of JSON, never in one.
                    None => request.iter().map(|b| if matches!(b, b'\n' | b'\r') { b' ' } else { *b }).collect(),
                };
                written.requests += 1;
                written.bytes += line.len() as u64 + 1;
                sink.write_all(&line).and_then(|()| sink.write_all(b"\n")).map_err(|e| sink.failed(e))
            })?;
            out.problems.extend(unread);
        }
        sink.finish()?;
        out.files.push(written);
    }
    Ok(out)
}

/// Hands on the messages of a stream, in the order of the file, and gives what could not be read.
fn requests(
    bundle: &Bundle,
    stream: &str,
    mut take: impl FnMut(u64, &[u8]) -> Result<(), SinkError>,
) -> Result<Vec<String>, SinkError> {
    let mut problems = Vec::new();
    let here =
        bundle.chunks().iter().filter(|c| c.class == Class::Otlp && c.streams.iter().any(|s| &*s.stream == stream));
    for chunk in here {
        match bundle.read_chunk(chunk.index, &|s| s == stream) {
            Ok(batches) => {
                for batch in batches {
                    if let BatchBody::Raw(request) = &batch.body {
                        take(batch.first_row, request)?;
                    }
                }
            }
            Err(e) => problems.push(format!("chunk {}: {e}", chunk.index)),
        }
    }
    Ok(problems)
}
