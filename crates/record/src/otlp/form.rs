//! In what form an HTTP request comes: protobuf or JSON, plain, gzip or zstd.

use std::io::Read;

use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;

use super::intake::Encoding;

/// Why a request is not taken: the status, and what to tell the sender.
pub(super) type Refused = (StatusCode, String);

/// How the body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

impl Packing {
    /// As the header names it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Packing::Plain => "",
            Packing::Gzip => "gzip",
            Packing::Zstd => "zstd",
        }
    }
}

/// The form that the headers announce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) content_type: String,
    pub(super) encoding: Encoding,
    pub(super) packing: Packing,
}

/// What is answered in: that of the request, or protobuf where it is of neither form.
pub(super) fn encoding(headers: &HeaderMap) -> Encoding {
    let media = text(headers, header::CONTENT_TYPE).split(';').next().unwrap_or("").trim();
    if media.eq_ignore_ascii_case(Encoding::Json.media()) { Encoding::Json } else { Encoding::Protobuf }
}

impl Form {
    /// Reads the headers; refuses other forms.
    pub(super) fn of(headers: &HeaderMap) -> Result<Form, Refused> {
        let unsupported = |what: String| Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, what));
        let content_type = text(headers, header::CONTENT_TYPE);
        let media = content_type.split(';').next().unwrap_or("").trim();
        let encoding = encoding(headers);
        if !media.eq_ignore_ascii_case(encoding.media()) {
            let [a, b] = [Encoding::Protobuf, Encoding::Json].map(Encoding::media);
            return unsupported(format!("content type {media:?} is not taken, only {a} and {b}"));
        }
        let packing = match text(headers, header::CONTENT_ENCODING).trim() {
            "" | "identity" => Packing::Plain,
            "gzip" => Packing::Gzip,
            "zstd" => Packing::Zstd,
            other => return unsupported(format!("content encoding {other:?} is not taken, only gzip and zstd")),
        };
        Ok(Form { content_type: content_type.to_owned(), encoding, packing })
    }

    /// The body as it was before it was packed; at most `limit` bytes.
    pub(super) fn unpack(&self, bytes: Bytes, limit: usize) -> Result<Bytes, Refused> {
        let bad = |e: std::io::Error| (StatusCode::BAD_REQUEST, format!("not {}: {e}", self.packing.name()));
        let mut out = Vec::new();
        // One byte more than allowed tells "exactly at the limit" from "beyond".
        let most = limit as u64 + 1;
        match self.packing {
            Packing::Plain => return Ok(bytes),
            Packing::Gzip => flate2::read::MultiGzDecoder::new(&bytes[..]).take(most).read_to_end(&mut out),
            Packing::Zstd => {
                zstd::stream::read::Decoder::new(&bytes[..]).map_err(bad)?.take(most).read_to_end(&mut out)
            }
        }
        .map_err(bad)?;
        match out.len() <= limit {
            true => Ok(out.into()),
            false => Err((StatusCode::PAYLOAD_TOO_LARGE, format!("more than {limit} bytes after decompression"))),
        }
    }
}

/// A header as text; empty where it is missing or none.
pub(super) fn text(headers: &HeaderMap, name: header::HeaderName) -> &str {
    headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("")
}
