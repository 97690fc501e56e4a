//! What a line says, without what was put around it: by a container's runtime, by JSON or logfmt, and the time before it.

use std::borrow::Cow;

use super::time::date_time;
use super::{cri, docker, json, logfmt};
use crate::otlp::{Attributes, Value};

/// Names under which loggers write what was said, the likeliest first.
const NAMES: [&str; 7] = ["msg", "message", "event", "body", "@m", "text", "log"];

/// The message of a line; the line itself where nothing is known to stand around it.
pub fn of(line: &[u8]) -> Cow<'_, [u8]> {
    match line.first() {
        Some(b'{') if line.starts_with(b"{\"log\":\"") => match docker::parse(line) {
            Ok(entry) => inner(entry.text),
            Err(_) => fields(line),
        },
        Some(b'{') => fields(line),
        Some(b'0'..=b'9') => match cri::parse(line) {
            Ok(entry) => inner(entry.text),
            Err(_) => fields(line),
        },
        _ => fields(line),
    }
}

/// The message of what a runtime had wrapped.
fn inner(text: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => fields(text),
        Cow::Owned(text) => match fields(&text) {
            Cow::Owned(message) => Cow::Owned(message),
            Cow::Borrowed(_) => Cow::Owned(text),
        },
    }
}

fn fields(line: &[u8]) -> Cow<'_, [u8]> {
    let fields = match line.first() {
        Some(b'{') => json::fields(line),
        // A line of prose is not taken apart.
        _ if line.windows(4).any(|w| w == b"msg=") => std::str::from_utf8(line).ok().and_then(logfmt::fields),
        _ => None,
    };
    match fields.as_ref().and_then(message) {
        Some(text) => Cow::Owned(text.as_bytes().to_vec()),
        None => Cow::Borrowed(behind_time(line)),
    }
}

/// What stands behind the time at a line's front: when it was said is no part of what was said.
fn behind_time(line: &[u8]) -> &[u8] {
    match date_time(line) {
        Some((_, end)) if line.get(end) == Some(&b' ') => line[end..].trim_ascii_start(),
        _ => line,
    }
}

fn message(fields: &Attributes) -> Option<&str> {
    NAMES.iter().find_map(|name| {
        fields.0.iter().find_map(|(key, value)| match value {
            Value::Text(text) if key == name && !text.is_empty() => Some(text.as_str()),
            _ => None,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_around_a_message_is_left_out() {
        for (line, message) in [
            (r#"{"level":"warn","msg":"disk \"a\" full","n":1}"#, r#"disk "a" full"#),
            (r#"{"log":"{\"message\":\"hello\"}\n","stream":"stdout","time":"2024-01-02T03:04:05Z"}"#, "hello"),
            (r#"{"log":"plain\n","stream":"stdout","time":"2024-01-02T03:04:05Z"}"#, "plain"),
            (r#"2024-01-02T03:04:05Z stdout F level=info msg="it is up" port=80"#, "it is up"),
            ("2024-01-02T03:04:05Z stdout F just text", "just text"),
            ("2024-01-02 03:04:05,678 INFO just text", "INFO just text"),
            ("2024-01-02T03:04:05Z", "2024-01-02T03:04:05Z"),
            (r#"{"n":1}"#, r#"{"n":1}"#),
            ("{not json", "{not json"),
            ("", ""),
        ] {
            assert_eq!(String::from_utf8_lossy(&of(line.as_bytes())), message, "{line}");
        }
    }
}
