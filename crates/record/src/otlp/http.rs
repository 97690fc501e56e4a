//! OTLP over HTTP: protobuf bodies, plain or gzip.

use std::io::Read;
use std::net::SocketAddr;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, Response, StatusCode, header};
use bytes::Bytes;

use super::grpc::field;
use super::intake::{Intake, Origin, Refusal, Signal};

const PROTOBUF: &str = "application/x-protobuf";

/// Serves one export request.
pub(super) async fn export(
    intake: Intake,
    signal: Signal,
    peer: Option<SocketAddr>,
    max_request: usize,
    request: Request<Body>,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let announced = text(&head.headers, header::CONTENT_LENGTH).parse().unwrap_or(0);
    let taken = async {
        let (content_type, gzip) = announced_form(&head.headers)?;
        let bytes = to_bytes(body, max_request).await.map_err(|e| unreadable(&e))?;
        let bytes = if gzip { gunzip(&bytes, max_request)? } else { bytes };
        let compression = if gzip { "gzip" } else { "" };
        let origin = Origin { peer, transport: "http", content_type, compression };
        intake.take(signal, bytes, origin).await.map_err(|refusal| (status(&refusal), refusal.to_string()))
    };
    match taken.await {
        Ok(()) => answer(StatusCode::OK, Vec::new()),
        Err((status, message)) => {
            let retry = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
            intake.refused(retry, announced);
            // A google.rpc.Status with the message only.
            answer(status, field(2, message.as_bytes()))
        }
    }
}

type Refused = (StatusCode, String);

/// The content type as announced, and whether the body is gzip; refuses other forms.
fn announced_form(headers: &HeaderMap) -> Result<(String, bool), Refused> {
    let unsupported = |what: String| Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, what));
    let content_type = text(headers, header::CONTENT_TYPE);
    let media = content_type.split(';').next().unwrap_or("").trim();
    if !media.eq_ignore_ascii_case(PROTOBUF) {
        return unsupported(format!("content type {media:?} is not taken, only {PROTOBUF}"));
    }
    match text(headers, header::CONTENT_ENCODING).trim() {
        "" | "identity" => Ok((content_type.to_owned(), false)),
        "gzip" => Ok((content_type.to_owned(), true)),
        other => unsupported(format!("content encoding {other:?} is not taken, only gzip")),
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> &str {
    headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("")
}

fn gunzip(bytes: &[u8], limit: usize) -> Result<Bytes, Refused> {
    let mut out = Vec::new();
    // One byte more than allowed tells "exactly at the limit" from "beyond".
    let read = flate2::read::MultiGzDecoder::new(bytes).take(limit as u64 + 1).read_to_end(&mut out);
    match read {
        Ok(_) if out.len() <= limit => Ok(out.into()),
        Ok(_) => Err((StatusCode::PAYLOAD_TOO_LARGE, format!("more than {limit} bytes after decompression"))),
        Err(error) => Err((StatusCode::BAD_REQUEST, format!("not gzip: {error}"))),
    }
}

fn unreadable(error: &axum::Error) -> Refused {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(e) = cause {
        if e.is::<http_body_util::LengthLimitError>() {
            return (StatusCode::PAYLOAD_TOO_LARGE, "the request is larger than allowed".into());
        }
        cause = e.source();
    }
    (StatusCode::BAD_REQUEST, format!("the body cannot be read: {error}"))
}

fn status(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::Malformed(_) => StatusCode::BAD_REQUEST,
        Refusal::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::Behind => StatusCode::TOO_MANY_REQUESTS,
        Refusal::Ended(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn answer(status: StatusCode, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(PROTOBUF));
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    }
    response
}
