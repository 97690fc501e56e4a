//! Lines of Kubernetes' container runtimes: `2016-10-06T00:17:09.669794202Z stdout F the text`.
//!
//! kubernetes/design-proposals, "CRI logging"; `pkg/kubelet/kuberuntime/logs`: time in RFC 3339 with nanoseconds, stream,
//! tags with colons between them, of which the first is `F` (full) or `P` (partial), text.

use std::borrow::Cow;

use super::container::{ContainerError, Entry, Stream};
use super::time::date_time;

/// Reads a line, with or without its newline.
pub fn parse(line: &[u8]) -> Result<Entry<'_>, ContainerError> {
    let bad = |what| ContainerError { format: "CRI", what };
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let mut words = line.splitn(4, |&b| b == b' ');
    let word = words.next().unwrap_or_default();
    let (time, end) = date_time(word).ok_or_else(|| bad("no time at its front"))?;
    if end != word.len() || !time.zoned {
        return Err(bad("no time of RFC 3339 at its front"));
    }
    let stream = words.next().and_then(Stream::from_name).ok_or_else(|| bad("neither stdout nor stderr"))?;
    let tags = words.next().unwrap_or_default();
    let partial = match tags.split(|&b| b == b':').next() {
        Some(b"P") => true,
        Some(b"F") => false,
        _ => return Err(bad("neither F nor P")),
    };
    Ok(Entry { time, stream, partial, text: Cow::Borrowed(words.next().unwrap_or_default()) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::container::Joiner;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_has_its_time_stream_and_text() {
        let e = parse(b"2024-01-02T04:04:05.000000001+01:00 stderr F  two  spaces\n").unwrap();
        assert_eq!((e.time.utc, e.time.precision), (1_704_164_645_000_000_001, 1));
        assert_eq!((e.stream, e.partial, &*e.text), (Stream::Stderr, false, &b" two  spaces"[..]));
        assert_eq!(&*parse(b"2024-01-02T03:04:05Z stdout F:x").unwrap().text, b"");
        for bad in [
            "",
            "x stdout F a",
            "2024-01-02T03:04:05 stdout F a",
            "2024-01-02T03:04:05Z std F a",
            "2024-01-02T03:04:05Z stdout X a",
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn pieces_are_put_together_by_stream_and_bounded() {
        let mut joiner = Joiner::new(6);
        let mut push = |line: &str| joiner.push(&parse(format!("2024-01-02T03:04:05Z {line}").as_bytes()).unwrap());
        assert_eq!(push("stdout P abc"), None);
        let other = push("stderr F x").unwrap();
        assert_eq!((&*other.text, other.pieces), (&b"x"[..], 1));
        assert_eq!(push("stdout P defgh"), None);
        let line = push("stdout F ij").unwrap();
        assert_eq!((&*line.text, line.dropped, line.pieces, line.whole), (&b"abcdef"[..], 4, 3, true));
        assert_eq!(push("stdout P z"), None);
        let rest: Vec<_> = joiner.finish().collect();
        assert_eq!((rest.len(), &*rest[0].text, rest[0].whole), (1, &b"z"[..], false));
    }

    proptest! {
        #[test]
        fn never_panics_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse(&bytes);
            let _ = parse(&[b"2024-01-02T03:04:05Z ", &bytes[..]].concat());
        }
    }
}
