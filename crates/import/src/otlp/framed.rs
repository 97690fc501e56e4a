//! Requests behind their lengths: four bytes, big-endian, as the OpenTelemetry Collector's file exporter writes format `proto`.
//!
//! In protobuf; of `coldcase export --otlp` also in JSON. The Collector puts one signal into a file and does not say which: it is told by
//! what the spans, points and records look like, and for requests without any by the file's name or the request before.

use std::io::Read;

use coldcase_decode::otlp::{self, Signal};

use super::about::{About, Encoding};
use super::{LONGEST, Put};
use crate::ImportError;
use crate::input::Input;

/// Whether a file begins with a request behind its length.
pub(super) fn is_framed(mut head: &[u8]) -> bool {
    while let Some((length, rest)) = head.split_first_chunk::<4>() {
        let length = u64::from(u32::from_be_bytes(*length));
        if length > LONGEST {
            return false;
        }
        if length > 0 {
            // What of the first request is in the head: it may end later.
            let part = &rest[..rest.len().min(length as usize)];
            return signal(part).is_some() || begins_with_a_part(part, length);
        }
        head = rest;
    }
    false
}

/// Whether a request of `length` bytes begins with its first part, as those of all signals do: resource_* = 1, a message.
fn begins_with_a_part(request: &[u8], length: u64) -> bool {
    let Some((&0x0a, rest)) = request.split_first() else { return false };
    let bytes = rest.iter().take(5).take_while(|&&b| b & 0x80 != 0).count();
    let Some(varint) = rest.get(..=bytes) else { return false };
    let inner = varint.iter().rev().fold(0u64, |n, &b| n << 7 | u64::from(b & 0x7f));
    inner + bytes as u64 + 2 <= length
}

fn signal(request: &[u8]) -> Option<Signal> {
    match Encoding::of(request) {
        Encoding::Json => otlp::signal_of(request),
        Encoding::Protobuf => otlp::signal_of_protobuf(request),
    }
}

/// What the name of a file says of its signal; `Err` for profiles, which are kept without being read.
fn named(input: &Input) -> Option<Result<Signal, ()>> {
    let name = input.name.file_name()?.to_string_lossy().to_lowercase();
    let known = [
        ("profile", Err(())),
        ("trace", Ok(Signal::Traces)),
        ("span", Ok(Signal::Traces)),
        ("metric", Ok(Signal::Metrics)),
        ("log", Ok(Signal::Logs)),
    ];
    known.into_iter().find(|(word, _)| name.contains(word)).map(|(_, signal)| signal)
}

/// Writes the requests of a file.
pub(super) fn import(input: &Input, file: &mut impl Read, put: &mut Put<'_, '_>) -> Result<(), ImportError> {
    let io = |source| ImportError::Io { path: input.name.clone(), source };
    let named = named(input);
    let mut before = None;
    for number in 1u64.. {
        let mut length = Vec::new();
        file.take(4).read_to_end(&mut length).map_err(io)?;
        let Ok(length) = <[u8; 4]>::try_from(length.as_slice()) else {
            if !length.is_empty() {
                put.cut(length.len() as u64, "the file ends within the length of a request");
            }
            return Ok(());
        };
        let length = u64::from(u32::from_be_bytes(length));
        if length > LONGEST {
            put.cut(
                4,
                &format!(
                    "request {number} is {length} bytes long, which no bundle takes: nothing behind it can be found"
                ),
            );
            return Ok(());
        }
        let mut request = Vec::new();
        file.take(length).read_to_end(&mut request).map_err(io)?;
        if (request.len() as u64) < length {
            put.cut(request.len() as u64 + 4, &format!("the file ends within request {number}"));
            return Ok(());
        }
        let encoding = Encoding::of(&request);
        let about = match (named, signal(&request).or(before).or_else(|| named?.ok())) {
            (Some(Err(())), _) => Ok(About::unread(match encoding {
                Encoding::Json => "otlp.profiles.json",
                Encoding::Protobuf => "otlp.profiles",
            })),
            (_, Some(signal)) => {
                before = Some(signal);
                About::of(&request, encoding, signal)
            }
            (_, None) => {
                Err("neither what is in it nor the file's name tells whether it is of traces, metrics or logs".into())
            }
        };
        put.request(request, 4, encoding, about, &format!("request {number}"))?;
    }
    Ok(())
}
