//! Jaeger: what its query API and its page give as JSON.

use coldcase_bundle::Writer;
use coldcase_decode::spans;

use crate::format::{Format, Times};
use crate::input::Input;
use crate::json::{self, Places};
use crate::spans::Kind;
use crate::{ImportError, Imported};

pub(crate) use coldcase_decode::spans::is_jaeger;

const KIND: Kind = Kind {
    format: Format::Jaeger,
    stream: "jaeger.traces",
    around: ("{\"data\":[", "]}"),
    elements,
    decode: spans::jaeger,
};

/// Writes the traces of a file.
pub(crate) fn import(input: &Input, writer: &Writer, times: &mut Times<'_>) -> Result<Imported, ImportError> {
    crate::spans::import(&KIND, input, writer, times)
}

/// The traces of a document: it is a list of them under `data`, or one.
fn elements(bytes: &[u8], at: usize) -> Result<Places, String> {
    let members = json::members(bytes, at)?;
    match members.iter().find(|m| m.0 == "data") {
        Some((_, data)) if bytes[data.start..].starts_with(b"[") => Ok(json::elements(bytes, data.start)?.0),
        Some(_) => Ok(Vec::new()),
        None => Ok(std::iter::once(at..json::value(bytes, at)?).collect()),
    }
}
