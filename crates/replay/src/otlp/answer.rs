//! What a receiver's answer means (OTLP 1.x, "Full Success", "Partial Success", "Failures" and "Throttling").

use std::time::Duration;

use base64::Engine;
use hyper::{HeaderMap, StatusCode, header};
use prost::Message;

use crate::net::Answer;
use crate::net::retry::Outcome;

/// `Export*ServiceResponse`, of all signals alike.
#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(message, optional, tag = "1")]
    partial: Option<Partial>,
}

#[derive(Clone, PartialEq, Message)]
struct Partial {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    message: String,
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    delay: Option<Delay>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// Of an HTTP answer; its body is protobuf, or JSON where it says so.
pub(super) fn http(answer: &Answer) -> Outcome {
    let json = answer.headers.get(header::CONTENT_TYPE).is_some_and(|v| v.as_bytes().starts_with(b"application/json"));
    if answer.status.is_success() {
        return if json { partial_json(&answer.body) } else { partial(&answer.body) };
    }
    let told = if json { json_message(&answer.body) } else { Status::decode(&answer.body[..]).ok().map(|s| s.message) };
    let why = worded(format!("status {}", answer.status.as_u16()), &told.unwrap_or_default());
    match answer.status.as_u16() {
        429 | 502 | 503 | 504 => Outcome::Again { after: retry_after(&answer.headers), why },
        _ => Outcome::Refused(why),
    }
}

/// `Retry-After` in seconds; its form as a date says a time of a clock that is not ours.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Of a gRPC answer.
pub(super) fn grpc(answer: &Answer) -> Outcome {
    let trailers = answer.trailers.as_ref().unwrap_or(&answer.headers);
    let text = |name: &str| trailers.get(name).and_then(|v| v.to_str().ok());
    let Some(code) = text("grpc-status").and_then(|s| s.parse::<u32>().ok()) else {
        return no_grpc(answer.status);
    };
    let why = worded(format!("gRPC status {code}"), text("grpc-message").unwrap_or(""));
    let asked = text("grpc-status-details-bin").and_then(asked_delay);
    match code {
        // The message stands behind a flag and its length.
        0 => partial(answer.body.get(5..).unwrap_or_default()),
        // CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS
        1 | 4 | 10 | 11 | 14 | 15 => Outcome::Again { after: asked, why },
        // RESOURCE_EXHAUSTED is final unless the receiver says when to come again.
        8 if asked.is_some() => Outcome::Again { after: asked, why },
        _ => Outcome::Refused(why),
    }
}

/// No gRPC at the other end, or something in between: as gRPC maps HTTP's status.
fn no_grpc(status: StatusCode) -> Outcome {
    let why = format!("no gRPC status (HTTP {})", status.as_u16());
    match status.as_u16() {
        429 | 502 | 503 | 504 => Outcome::Again { after: None, why },
        _ => Outcome::Refused(why),
    }
}

/// The receiver's words: up to 200 characters.
fn worded(what: String, message: &str) -> String {
    let message: String = message.chars().take(200).collect();
    format!("{what} {message}").trim_end().to_owned()
}

fn partial(body: &[u8]) -> Outcome {
    // A body that cannot be read says nothing of what was left out.
    let partial = Response::decode(body).ok().and_then(|r| r.partial).unwrap_or_default();
    Outcome::Taken {
        left_out: u64::try_from(partial.rejected).unwrap_or(0),
        why: partial.message.chars().take(200).collect(),
    }
}

fn partial_json(body: &[u8]) -> Outcome {
    let value: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let partial = &value["partialSuccess"];
    let rejected = ["rejectedSpans", "rejectedLogRecords", "rejectedDataPoints"].iter().find_map(|k| partial.get(*k));
    let number = |v: &serde_json::Value| v.as_u64().or_else(|| v.as_str()?.parse().ok());
    Outcome::Taken {
        left_out: rejected.and_then(number).unwrap_or(0),
        why: partial["errorMessage"].as_str().unwrap_or("").chars().take(200).collect(),
    }
}

fn json_message(body: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    value["message"].as_str().map(str::to_owned)
}

/// The delay of a `google.rpc.RetryInfo` in a `google.rpc.Status`, base64.
fn asked_delay(details: &str) -> Option<Duration> {
    let engine = base64::engine::GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        base64::engine::GeneralPurposeConfig::new()
            .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
    );
    let status = Status::decode(&engine.decode(details).ok()?[..]).ok()?;
    let info = status.details.iter().find(|d| d.url.ends_with("/google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(&info.value[..]).ok()?.delay.unwrap_or_default();
    Some(Duration::new(
        u64::try_from(delay.seconds).unwrap_or(0),
        u32::try_from(delay.nanos).unwrap_or(0).min(999_999_999),
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &str)], body: &[u8]) -> Answer {
        let map = headers.iter().map(|(n, v)| (header::HeaderName::from_static(n), v.parse().unwrap())).collect();
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: map,
            trailers: None,
            body: body.to_vec().into(),
        }
    }

    #[test]
    fn only_what_may_be_sent_again_is() {
        assert_eq!(http(&answer(200, &[], b"")), Outcome::taken());
        assert!(matches!(http(&answer(400, &[], b"")), Outcome::Refused(_)));
        let busy = http(&answer(503, &[("retry-after", "7")], b""));
        assert!(matches!(busy, Outcome::Again { after: Some(d), .. } if d.as_secs() == 7));
        assert!(matches!(http(&answer(429, &[], b"")), Outcome::Again { after: None, .. }));
        assert!(matches!(grpc(&answer(200, &[("grpc-status", "3")], b"")), Outcome::Refused(_)));
        assert!(matches!(grpc(&answer(200, &[("grpc-status", "14")], b"")), Outcome::Again { .. }));
        assert!(matches!(grpc(&answer(200, &[("grpc-status", "8")], b"")), Outcome::Refused(_)));
        assert!(matches!(grpc(&answer(502, &[], b"")), Outcome::Again { .. }));
    }

    #[test]
    fn a_retry_info_makes_resource_exhausted_come_again() {
        let info = RetryInfo { delay: Some(Delay { seconds: 2, nanos: 5 }) }.encode_to_vec();
        let any = Any { url: "type.googleapis.com/google.rpc.RetryInfo".into(), value: info };
        let status = Status { message: "slow down".into(), details: vec![any] }.encode_to_vec();
        let details = base64::engine::general_purpose::STANDARD_NO_PAD.encode(status);
        let told = grpc(&answer(200, &[("grpc-status", "8"), ("grpc-status-details-bin", &details)], b""));
        assert!(matches!(told, Outcome::Again { after: Some(d), .. } if d == Duration::new(2, 5)), "{told:?}");
    }

    #[test]
    fn what_was_left_out_of_a_request_is_told() {
        let body = Response { partial: Some(Partial { rejected: 3, message: "too old".into() }) }.encode_to_vec();
        let want = Outcome::Taken { left_out: 3, why: "too old".into() };
        assert_eq!(http(&answer(200, &[], &body)), want);
        let framed = [&[0, 0, 0, 0, body.len() as u8][..], &body].concat();
        assert_eq!(grpc(&answer(200, &[("grpc-status", "0")], &framed)), want);
        let json = br#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"too old"}}"#;
        assert_eq!(http(&answer(200, &[("content-type", "application/json")], json)), want);
    }
}
