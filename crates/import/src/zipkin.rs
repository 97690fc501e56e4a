//! Zipkin: the spans of its API, version 2.

use coldcase_bundle::Writer;
use coldcase_decode::spans;

use crate::format::{Format, Times};
use crate::input::Input;
use crate::json::{self, Places};
use crate::spans::Kind;
use crate::{ImportError, Imported};

pub(crate) use coldcase_decode::spans::is_zipkin;

const KIND: Kind =
    Kind { format: Format::Zipkin, stream: "zipkin.spans", around: ("[", "]"), elements, decode: spans::zipkin };

/// Writes the spans of a file.
pub(crate) fn import(input: &Input, writer: &Writer, times: &mut Times<'_>) -> Result<Imported, ImportError> {
    crate::spans::import(&KIND, input, writer, times)
}

/// The spans of a document; those of traces one by one.
fn elements(bytes: &[u8], at: usize) -> Result<Places, String> {
    let mut out = Vec::new();
    for element in json::elements(bytes, at)?.0 {
        match bytes.get(element.start) {
            Some(b'[') => out.extend(json::elements(bytes, element.start)?.0),
            _ => out.push(element),
        }
    }
    Ok(out)
}
