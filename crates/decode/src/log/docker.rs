//! Lines of Docker's `json-file` driver: `{"log":"text\n","stream":"stdout","time":"2024-01-02T03:04:05.000000001Z"}`.
//!
//! moby `daemon/logger/jsonfilelog/jsonlog`: the text keeps its newline, and one without is a piece of a line that was
//! too long (16 KiB).

use std::borrow::Cow;

use serde::Deserialize;

use super::container::{ContainerError, Entry, Stream};
use super::time::date_time;

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow)]
    log: Cow<'a, str>,
    #[serde(borrow)]
    stream: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
}

/// Reads a line, with or without its newline. Labels and attributes that the driver adds are left out.
pub fn parse(line: &[u8]) -> Result<Entry<'_>, ContainerError> {
    let bad = |what| ContainerError { format: "docker", what };
    let raw: Raw<'_> = serde_json::from_slice(line).map_err(|_| bad("no JSON object with log, stream and time"))?;
    let time = date_time(raw.time.as_bytes()).filter(|(time, end)| *end == raw.time.len() && time.zoned);
    let (time, _) = time.ok_or_else(|| bad("no time of RFC 3339"))?;
    let stream = Stream::from_name(raw.stream.as_bytes()).ok_or_else(|| bad("neither stdout nor stderr"))?;
    let partial = !raw.log.ends_with('\n');
    let text = match raw.log {
        Cow::Borrowed(text) => Cow::Borrowed(text.strip_suffix('\n').unwrap_or(text).as_bytes()),
        Cow::Owned(mut text) => {
            text.truncate(text.len() - usize::from(!partial));
            Cow::Owned(text.into_bytes())
        }
    };
    Ok(Entry { time, stream, partial, text })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::container::Joiner;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_has_its_time_stream_and_text_and_pieces_are_put_together() {
        let time = "2024-01-02T03:04:05.000000001Z";
        let line = |text: &str| {
            format!("{{\"log\":\"{text}\",\"stream\":\"stdout\",\"attrs\":{{\"a\":\"b\"}},\"time\":\"{time}\"}}\n")
        };
        let whole = line("a \\\"b\\\"\\n");
        let e = parse(whole.as_bytes()).unwrap();
        assert_eq!((e.time.utc, e.stream, e.partial), (1_704_164_645_000_000_001, Stream::Stdout, false));
        assert_eq!(&*e.text, b"a \"b\"");
        let mut joiner = Joiner::new(1 << 20);
        assert_eq!(joiner.push(&parse(line("one ").as_bytes()).unwrap()), None);
        let joined = joiner.push(&parse(line("two\\n").as_bytes()).unwrap()).unwrap();
        assert_eq!((&*joined.text, joined.pieces), (&b"one two"[..], 2));
    }

    #[test]
    fn what_is_no_line_of_the_driver_says_why() {
        for (line, why) in [
            ("{\"log\":\"x\"}", "no JSON object with log, stream and time"),
            ("{\"log\":\"x\",\"stream\":\"stdout\",\"time\":\"now\"}", "no time of RFC 3339"),
            ("{\"log\":\"x\",\"stream\":\"s\",\"time\":\"2024-01-02T03:04:05Z\"}", "neither stdout nor stderr"),
        ] {
            assert_eq!(parse(line.as_bytes()).unwrap_err().to_string(), format!("not a docker line: {why}"));
        }
    }

    proptest! {
        #[test]
        fn never_panics_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn any_text_is_handed_out_as_it_was(text in "\\PC{0,40}\n?") {
            let line = serde_json::json!({"log": text, "stream": "stderr", "time": "2024-01-02T03:04:05Z"}).to_string();
            let entry = parse(line.as_bytes()).unwrap();
            prop_assert_eq!(entry.partial, !text.ends_with('\n'));
            prop_assert_eq!(&*entry.text, text.strip_suffix('\n').unwrap_or(&text).as_bytes());
        }
    }
}
