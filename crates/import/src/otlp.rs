//! OTLP/JSON: what the OpenTelemetry collector's file exporter writes, one request a line, and single requests however
//! they are laid out. Each goes to its stream as it stands.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use coldcase_bundle::{RawMessage, Writer};
use coldcase_decode::capture::Unpack;
use coldcase_decode::otlp::{self, Signal};
use coldcase_model::Utc;
use coldcase_model::events::Receipt;

use crate::clock::boot;
use crate::format::{Format, Times};
use crate::{ImportError, Imported};

/// Longest request: a bundle takes no longer message.
const LONGEST: u64 = 32 << 20;

pub(crate) fn is_otlp(head: &[u8]) -> bool {
    otlp::signal_of(head).is_some()
}

/// Writes the requests of a file to their streams.
pub(crate) fn import(path: &Path, writer: &Writer, times: &mut Times<'_>) -> Result<Imported, ImportError> {
    let io = |source| ImportError::Io { path: path.to_owned(), source };
    let mut file = BufReader::with_capacity(1 << 20, File::open(path).and_then(Unpack::new).map_err(io)?);
    let origin = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let mut done = Imported::new(path, Format::Otlp, "otlp.traces.json");
    let mut newest = Utc(0);
    let mut number = 0u64;
    loop {
        let mut request = Vec::new();
        let read = (&mut file).take(LONGEST).read_until(b'\n', &mut request).map_err(io)? as u64;
        if read == 0 {
            break;
        }
        number += 1;
        if number == 1 && !is_whole(&request) {
            // One request over many lines.
            let rest = LONGEST.saturating_sub(read);
            (&mut file).take(rest).read_to_end(&mut request).map_err(io)?;
        }
        if request.iter().all(u8::is_ascii_whitespace) {
            done.bytes += request.len() as u64;
            continue;
        }
        match about(&request) {
            Ok((signal, first, last, items)) => {
                let first = first.map_or(newest, Utc);
                let last = last.map_or(first, Utc);
                newest = last;
                times(first, last);
                done.bytes += request.len() as u64;
                done.items += items;
                done.messages += 1;
                let receipt = Receipt {
                    time: boot(last).0,
                    read: last.0,
                    bytes: request.len() as u64,
                    items,
                    origin: origin.clone(),
                    transport: "file".to_owned(),
                    content_type: "application/json".to_owned(),
                    compression: String::new(),
                };
                let (from, to) = (boot(first), boot(last));
                let message = RawMessage { bytes: request, log_time: last, publish_time: first, first: from, last: to };
                writer.append_raw(stream(signal), message, receipt)?;
            }
            Err(why) => {
                done.unread(&format!("line {number}: {why}"), request.len() as u64);
            }
        }
    }
    if let Some(problem) = file.get_ref().problem() {
        done.problem = Some(problem.to_owned());
    }
    Ok(done)
}

fn stream(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "otlp.traces.json",
        Signal::Metrics => "otlp.metrics.json",
        Signal::Logs => "otlp.logs.json",
    }
}

/// Whether a line is a request by itself.
fn is_whole(line: &[u8]) -> bool {
    about(line).is_ok() || line.iter().all(u8::is_ascii_whitespace)
}

/// Signal, first and last time, and how many spans, points or records.
type About = (Signal, Option<i64>, Option<i64>, u64);

fn about(request: &[u8]) -> Result<About, String> {
    let signal = otlp::signal_of(request).ok_or("not an OTLP request")?;
    let told = |e: otlp::OtlpError| e.to_string();
    let times: Vec<Option<i64>> = match signal {
        Signal::Traces => otlp::traces_json(request)
            .map_err(told)?
            .iter()
            .flat_map(|s| [s.start, s.end].map(|t| Some(t).filter(|&t| t > 0)))
            .collect(),
        Signal::Logs => otlp::logs_json(request).map_err(told)?.iter().map(|r| r.time.or(r.observed)).collect(),
        Signal::Metrics => otlp::metrics_json(request).map_err(told)?.iter().map(|p| p.time).collect(),
    };
    let items = if signal == Signal::Traces { times.len() / 2 } else { times.len() };
    let known = || times.iter().copied().flatten();
    Ok((signal, known().min(), known().max(), items as u64))
}
