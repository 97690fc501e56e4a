//! What a collector's answer means: taken, refused, or to be sent again (OTLP 1.x, "Failures" and "Throttling").

use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine;

use super::super::protobuf::fields;

/// What came of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Taken,
    /// Sending it again would not help.
    Refused(String),
    /// To be sent again; `after` is what the collector asked for.
    Again {
        after: Option<Duration>,
        why: String,
    },
}

/// Of an HTTP answer.
pub(super) fn http(status: StatusCode, headers: &HeaderMap) -> Outcome {
    if status.is_success() {
        return Outcome::Taken;
    }
    let why = format!("status {}", status.as_u16());
    match status.as_u16() {
        429 | 502 | 503 | 504 => {
            let seconds = headers.get(header::RETRY_AFTER).and_then(|v| v.to_str().ok()?.trim().parse().ok());
            Outcome::Again { after: seconds.map(Duration::from_secs), why }
        }
        _ => Outcome::Refused(why),
    }
}

/// Of a gRPC answer: of its trailers, or of its head where there is nothing else.
pub(super) fn grpc(status: StatusCode, trailers: &HeaderMap) -> Outcome {
    let text = |name: &str| trailers.get(name).and_then(|v| v.to_str().ok());
    let Some(code) = text("grpc-status").and_then(|s| s.parse::<u32>().ok()) else {
        // No gRPC at the other end, or something in between: as gRPC maps HTTP's status.
        let why = format!("no gRPC status (HTTP {})", status.as_u16());
        return match status.as_u16() {
            429 | 502 | 503 | 504 => Outcome::Again { after: None, why },
            _ => Outcome::Refused(why),
        };
    };
    // Up to 200 characters: it is the collector's text, and stands in our bundle.
    let message: String = text("grpc-message").unwrap_or("").chars().take(200).collect();
    let why = format!("gRPC status {code} {message}").trim_end().to_owned();
    let asked = text("grpc-status-details-bin").and_then(retry_info);
    match code {
        0 => Outcome::Taken,
        // CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS
        1 | 4 | 10 | 11 | 14 | 15 => Outcome::Again { after: asked, why },
        // RESOURCE_EXHAUSTED is final unless the collector says when to come again.
        8 if asked.is_some() => Outcome::Again { after: asked, why },
        _ => Outcome::Refused(why),
    }
}

/// The delay of a `google.rpc.RetryInfo` in a `google.rpc.Status`, base64.
fn retry_info(details: &str) -> Option<Duration> {
    let engine = base64::engine::GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        base64::engine::GeneralPurposeConfig::new()
            .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
    );
    let status = engine.decode(details).ok()?;
    for (_, any) in fields(&status).filter(|(number, _)| *number == 3) {
        let part = |wanted| fields(any.bytes()).find(|(number, _)| *number == wanted).map(|(_, v)| v);
        if part(1).is_some_and(|url| url.bytes().ends_with(b"/google.rpc.RetryInfo")) {
            let Some(delay) = part(2).and_then(|i| fields(i.bytes()).find(|(n, _)| *n == 1)) else {
                return Some(Duration::ZERO);
            };
            let number = |wanted| fields(delay.1.bytes()).find(|(n, _)| *n == wanted).map_or(0, |(_, v)| v.number());
            return Some(Duration::new(number(1), u32::try_from(number(2)).unwrap_or(0).min(999_999_999)));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use axum::http::HeaderValue;

    fn with(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (header::HeaderName::from_static(n), HeaderValue::from_str(v).unwrap())).collect()
    }

    #[test]
    fn only_what_may_be_sent_again_is() {
        assert_eq!(http(StatusCode::OK, &with(&[])), Outcome::Taken);
        assert!(matches!(http(StatusCode::BAD_REQUEST, &with(&[])), Outcome::Refused(_)));
        let busy = http(StatusCode::SERVICE_UNAVAILABLE, &with(&[("retry-after", "7")]));
        assert!(matches!(busy, Outcome::Again { after: Some(d), .. } if d.as_secs() == 7));
        assert!(matches!(grpc(StatusCode::OK, &with(&[("grpc-status", "3")])), Outcome::Refused(_)));
        assert!(matches!(grpc(StatusCode::OK, &with(&[("grpc-status", "14")])), Outcome::Again { .. }));
        assert!(matches!(grpc(StatusCode::OK, &with(&[("grpc-status", "8")])), Outcome::Refused(_)));
    }

    #[test]
    fn a_retry_info_makes_resource_exhausted_come_again() {
        // Status { code: 8, details: [Any { type_url, value: RetryInfo { retry_delay: 2 s 5 ns } }] }
        let url = b"type.googleapis.com/google.rpc.RetryInfo";
        let info = [0x0a, 4, 0x08, 2, 0x10, 5];
        let any = [&[0x0a, url.len() as u8][..], url, &[0x12, info.len() as u8], &info].concat();
        let status = [&[0x08, 8, 0x1a, any.len() as u8][..], &any].concat();
        let text = base64::engine::general_purpose::STANDARD_NO_PAD.encode(status);
        let told = grpc(StatusCode::OK, &with(&[("grpc-status", "8"), ("grpc-status-details-bin", &text)]));
        assert!(matches!(told, Outcome::Again { after: Some(d), .. } if d == Duration::new(2, 5)));
        assert_eq!(retry_info("////"), None);
    }
}
