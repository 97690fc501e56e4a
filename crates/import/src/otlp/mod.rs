//! OTLP: what the OpenTelemetry collector's file exporter writes, JSON with one request a line or protobuf behind lengths, and single
//! JSON requests however they are laid out. Each goes to its stream as it stands, without what framed it in the file.

mod about;
mod framed;

use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use coldcase_bundle::{RawMessage, Writer};
use coldcase_decode::capture::Unpack;
use coldcase_decode::otlp;
use coldcase_model::Utc;
use coldcase_model::events::Receipt;

use self::about::{About, Encoding, is_whole};
use crate::clock::boot;
use crate::format::{Format, Times, head};
use crate::input::Input;
use crate::{ImportError, Imported};

/// Longest request: a bundle takes no longer message.
const LONGEST: u64 = 32 << 20;

pub(crate) fn is_otlp(head: &[u8]) -> bool {
    otlp::signal_of(head).is_some() || framed::is_framed(head)
}

/// Writes the requests of a file to their streams.
pub(crate) fn import(input: &Input, writer: &Writer, times: &mut Times<'_>) -> Result<Imported, ImportError> {
    let io = |source| ImportError::Io { path: input.name.clone(), source };
    let mut file = BufReader::with_capacity(1 << 20, File::open(input).and_then(Unpack::new).map_err(io)?);
    let origin = input.origin();
    let framed = framed::is_framed(&head(input).map_err(io)?);
    let stream = if framed { "otlp.traces" } else { "otlp.traces.json" };
    let done = Imported::new(&input.name, Format::Otlp, stream);
    let mut put = Put { writer, times, origin, newest: Utc(0), done };
    match framed {
        true => framed::import(input, &mut file, &mut put)?,
        false => lines(input, &mut file, &mut put)?,
    }
    let mut done = put.done;
    if let Some(problem) = file.get_ref().problem() {
        done.problem = Some(problem.to_owned());
    }
    Ok(done)
}

fn lines(input: &Input, file: &mut impl BufRead, put: &mut Put<'_, '_>) -> Result<(), ImportError> {
    let io = |source| ImportError::Io { path: input.name.clone(), source };
    for number in 1u64.. {
        let mut request = Vec::new();
        let read = file.take(LONGEST).read_until(b'\n', &mut request).map_err(io)? as u64;
        if read == 0 {
            break;
        }
        let mut end = 0;
        if number == 1 && !is_whole(&request) {
            // One request over many lines.
            file.take(LONGEST.saturating_sub(read)).read_to_end(&mut request).map_err(io)?;
        } else if request.last() == Some(&b'\n') {
            // It ends the line, not the request.
            request.pop();
            end = 1;
        }
        if request.iter().all(u8::is_ascii_whitespace) {
            put.done.bytes += request.len() as u64 + end;
            continue;
        }
        let signal = otlp::signal_of(&request).ok_or_else(|| "not an OTLP request".to_owned());
        let about = signal.and_then(|signal| About::of(&request, Encoding::Json, signal));
        put.request(request, end, Encoding::Json, about, &format!("line {number}"))?;
    }
    Ok(())
}

/// Where requests go.
struct Put<'a, 't> {
    writer: &'a Writer,
    times: &'a mut Times<'t>,
    origin: String,
    newest: Utc,
    done: Imported,
}

impl Put<'_, '_> {
    /// Writes a request, or notes why it is none. `around` bytes of the file frame it.
    fn request(
        &mut self,
        request: Vec<u8>,
        around: u64,
        encoding: Encoding,
        about: Result<About, String>,
        place: &str,
    ) -> Result<(), ImportError> {
        let bytes = request.len() as u64;
        let About { stream, first, last, items } = match about {
            Ok(about) => about,
            Err(why) => {
                self.cut(bytes + around, &format!("{place}: {why}"));
                return Ok(());
            }
        };
        let first = first.map_or(self.newest, Utc);
        let last = last.map_or(first, Utc);
        self.newest = last;
        (self.times)(first, last);
        self.done.bytes += bytes + around;
        self.done.items += items;
        // A file may hold several signals; it is named after the first.
        if self.done.messages == 0 {
            self.done.stream = stream;
        }
        self.done.messages += 1;
        let receipt = Receipt {
            time: boot(last).0,
            read: last.0,
            bytes,
            items,
            origin: self.origin.clone(),
            transport: "file".to_owned(),
            content_type: encoding.media().to_owned(),
            compression: String::new(),
        };
        let (from, to) = (boot(first), boot(last));
        let message = RawMessage { bytes: request, log_time: last, publish_time: first, first: from, last: to };
        self.writer.append_raw(stream, message, receipt)?;
        Ok(())
    }

    /// Counts bytes that are no request.
    fn cut(&mut self, bytes: u64, why: &str) {
        self.done.bytes_lost += bytes;
        let before = self.done.problem.take();
        // The first few tell what is the matter.
        self.done.problem = Some(match before {
            Some(before) if before.len() >= 300 => before,
            Some(before) => format!("{before}; {why}"),
            None => why.to_owned(),
        });
    }
}
