//! Spans of tools that do not speak OTLP: the elements of their documents, as they stand, to streams of their own.
//!
//! A document that is small enough and all of whose elements can be read is stored byte for byte. Another is stored in
//! several messages, each a document with some of the elements; what cannot be read is left out and counted.

use std::fs::File;
use std::io::Read;
use std::ops::Range;

use coldcase_bundle::{RawMessage, Writer};
use coldcase_decode::capture::Unpack;
use coldcase_decode::otlp::Span;
use coldcase_decode::spans::SpansError;
use coldcase_model::Utc;
use coldcase_model::events::Receipt;

use crate::clock::boot;
use crate::format::{Format, Times};
use crate::input::Input;
use crate::json::{self, Places};
use crate::{ImportError, Imported};

/// Largest file: it is held in memory.
const LARGEST: u64 = 1 << 30;
/// Bytes of a message, beyond which no further element goes into it.
const MESSAGE: usize = 4 << 20;
/// Largest element: a bundle takes no longer message.
const LONGEST: usize = 32 << 20;

/// How a tool's documents are built.
pub(crate) struct Kind {
    pub(crate) format: Format,
    pub(crate) stream: &'static str,
    /// What stands before and behind the elements of a document.
    pub(crate) around: (&'static str, &'static str),
    /// The elements of the document that begins at a place.
    pub(crate) elements: fn(&[u8], usize) -> Result<Places, String>,
    pub(crate) decode: fn(&[u8]) -> Result<Vec<Span>, SpansError>,
}

/// Writes the documents of a file to their stream.
pub(crate) fn import(
    kind: &Kind,
    input: &Input,
    writer: &Writer,
    times: &mut Times<'_>,
) -> Result<Imported, ImportError> {
    let io = |source| ImportError::Io { path: input.name.clone(), source };
    let mut file = File::open(input).and_then(Unpack::new).map_err(io)?;
    let mut bytes = Vec::new();
    (&mut file).take(LARGEST + 1).read_to_end(&mut bytes).map_err(io)?;
    let mut importing = Importing {
        kind,
        writer,
        origin: input.origin(),
        newest: Utc(0),
        done: Imported::new(&input.name, kind.format, kind.stream),
    };
    if bytes.len() as u64 > LARGEST {
        importing.lost(bytes.len(), format!("larger than {LARGEST} bytes"));
        return Ok(importing.done);
    }
    let mut at = json::skip(&bytes, 0);
    while at < bytes.len() {
        let document = json::value(&bytes, at).and_then(|end| Ok((end, (kind.elements)(&bytes, at)?)));
        match document {
            Ok((end, elements)) => {
                importing.document(&bytes, at..end, elements, times)?;
                at = json::skip(&bytes, end);
            }
            Err(why) => {
                importing.lost(bytes.len() - at, why);
                break;
            }
        }
    }
    if let Some(problem) = file.problem() {
        importing.done.problem = Some(problem.to_owned());
    }
    Ok(importing.done)
}

struct Importing<'a> {
    kind: &'a Kind,
    writer: &'a Writer,
    origin: String,
    newest: Utc,
    done: Imported,
}

impl Importing<'_> {
    fn document(
        &mut self,
        bytes: &[u8],
        whole: Range<usize>,
        elements: Places,
        times: &mut Times<'_>,
    ) -> Result<(), ImportError> {
        let document = &bytes[whole];
        if document.len() <= MESSAGE
            && let Ok(spans) = (self.kind.decode)(document)
        {
            return self.message(document.to_vec(), &spans, times);
        }
        let (before, behind) = self.kind.around;
        let mut message = before.as_bytes().to_vec();
        let mut spans = Vec::new();
        for element in elements {
            let element = &bytes[element];
            match self.one(element) {
                Ok(more) => {
                    if spans.is_empty() || message.len() + element.len() <= MESSAGE {
                        message.extend(if message.len() > before.len() { &b","[..] } else { b"" });
                    } else {
                        message.extend(behind.as_bytes());
                        let full = std::mem::replace(&mut message, before.as_bytes().to_vec());
                        self.message(full, &std::mem::take(&mut spans), times)?;
                    }
                    message.extend(element);
                    spans.extend(more);
                }
                Err(why) => self.lost(element.len(), why),
            }
        }
        if message.len() > before.len() {
            message.extend(behind.as_bytes());
            self.message(message, &spans, times)?;
        }
        Ok(())
    }

    /// The spans of one element.
    fn one(&self, element: &[u8]) -> Result<Vec<Span>, String> {
        if element.len() > LONGEST {
            return Err(format!("an element of {} bytes, more than {LONGEST}", element.len()));
        }
        let (before, behind) = self.kind.around;
        let document = [before.as_bytes(), element, behind.as_bytes()].concat();
        (self.kind.decode)(&document).map_err(|e| e.to_string())
    }

    fn message(&mut self, bytes: Vec<u8>, spans: &[Span], times: &mut Times<'_>) -> Result<(), ImportError> {
        let known = || spans.iter().flat_map(|s| [s.start, s.end]).filter(|&t| t > 0);
        let first = known().min().map_or(self.newest, Utc);
        let last = known().max().map_or(first, Utc);
        self.newest = last;
        times(first, last);
        self.done.bytes += bytes.len() as u64;
        self.done.items += spans.len() as u64;
        self.done.messages += 1;
        let receipt = Receipt {
            time: boot(last).0,
            read: last.0,
            bytes: bytes.len() as u64,
            items: spans.len() as u64,
            origin: self.origin.clone(),
            transport: "file".to_owned(),
            content_type: "application/json".to_owned(),
            compression: String::new(),
        };
        let (from, to) = (boot(first), boot(last));
        let message = RawMessage { bytes, log_time: last, publish_time: first, first: from, last: to };
        self.writer.append_raw(self.kind.stream, message, receipt)?;
        Ok(())
    }

    fn lost(&mut self, bytes: usize, why: String) {
        self.done.bytes_lost += bytes as u64;
        // The first few tell what is the matter.
        let before = self.done.problem.take().unwrap_or_default();
        self.done.problem = Some(match before.len() {
            0 => why,
            n if n < 300 => format!("{before}; {why}"),
            _ => before,
        });
    }
}
