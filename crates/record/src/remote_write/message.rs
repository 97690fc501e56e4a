//! Whether bytes are a Remote-Write message, and how much is in it: the wire format is walked, nothing is decoded.

use crate::otlp::protobuf::varint;

/// Which message a request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// `prometheus.WriteRequest`.
    V1,
    /// `io.prometheus.write.v2.Request`.
    V2,
}

impl Version {
    /// Of a content type: `application/x-protobuf`, with the message's name as `proto`; without one it is 1.0.
    pub(super) fn of(content_type: &str) -> Option<Version> {
        let mut parts = content_type.split(';').map(str::trim);
        if !parts.next().unwrap_or("").eq_ignore_ascii_case("application/x-protobuf") {
            return None;
        }
        let mut version = Version::V1;
        for part in parts {
            if let Some((key, value)) = part.split_once('=')
                && key.trim().eq_ignore_ascii_case("proto")
            {
                version = match value.trim().trim_matches('"') {
                    "prometheus.WriteRequest" => Version::V1,
                    "io.prometheus.write.v2.Request" => Version::V2,
                    _ => return None,
                };
            }
        }
        Some(version)
    }

    pub(super) const fn stream(self) -> &'static str {
        match self {
            Version::V1 => "prometheus.remote_write",
            Version::V2 => "prometheus.remote_write.v2",
        }
    }

    /// Field numbers of the series in the message, and of samples, histograms and exemplars in a series.
    const fn fields(self) -> (u64, [u64; 3]) {
        match self {
            Version::V1 => (1, [2, 4, 3]),
            Version::V2 => (5, [2, 3, 4]),
        }
    }
}

/// What a message holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    pub(super) samples: u64,
    pub(super) histograms: u64,
    pub(super) exemplars: u64,
}

/// At this byte there is no field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a protobuf message: bad field at byte {0}")]
pub(super) struct Malformed(usize);

/// Walks a message.
pub(super) fn check(bytes: &[u8], version: Version) -> Result<Counts, Malformed> {
    let (series, [samples, histograms, exemplars]) = version.fields();
    let mut counts = Counts::default();
    each(bytes, 0, |number, body, base| {
        if number != series {
            return Ok(());
        }
        each(body, base, |number, body, base| {
            let count = match number {
                n if n == samples => &mut counts.samples,
                n if n == histograms => &mut counts.histograms,
                n if n == exemplars => &mut counts.exemplars,
                _ => return Ok(()),
            };
            *count += 1;
            each(body, base, |_, _, _| Ok(()))
        })
    })?;
    Ok(counts)
}

/// Calls `found` with each length-delimited field: its number, its bytes and where they begin in the request.
fn each<'a>(
    bytes: &'a [u8],
    base: usize,
    mut found: impl FnMut(u64, &'a [u8], usize) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut at = 0;
    while at < bytes.len() {
        let bad = Malformed(base + at);
        let tag = varint(bytes, &mut at).ok_or(bad)?;
        let (number, kind) = (tag >> 3, tag & 7);
        if !(1..1 << 29).contains(&number) {
            return Err(bad);
        }
        let length = match kind {
            0 => varint(bytes, &mut at).map(|_| 0).ok_or(bad)?,
            1 => 8,
            2 => varint(bytes, &mut at).ok_or(bad)?,
            5 => 4,
            // Groups: proto3 has none.
            _ => return Err(bad),
        };
        let end = usize::try_from(length).ok().and_then(|n| at.checked_add(n)).filter(|&end| end <= bytes.len());
        let end = end.ok_or(bad)?;
        if kind == 2 {
            found(number, &bytes[at..end], base + at)?;
        }
        at = end;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_type_tells_the_version() {
        assert_eq!(Version::of("application/x-protobuf"), Some(Version::V1));
        assert_eq!(Version::of("application/x-protobuf;proto=prometheus.WriteRequest"), Some(Version::V1));
        assert_eq!(Version::of("application/x-protobuf; proto=io.prometheus.write.v2.Request"), Some(Version::V2));
        assert_eq!(Version::of("application/x-protobuf;proto=io.prometheus.write.v3.Request"), None);
        assert_eq!(Version::of("application/json"), None);
        assert_eq!(Version::of(""), None);
    }

    #[test]
    fn what_a_series_holds_is_counted_without_being_decoded() {
        // Version 1: field 1 a series with a label, two samples, an exemplar and a histogram.
        let series = [&[0x0a, 0, 0x12, 0, 0x12, 2, 0x10, 5, 0x1a, 0, 0x22, 0][..]].concat();
        let v1 = [&[0x0a, series.len() as u8][..], &series].concat();
        assert_eq!(check(&v1, Version::V1), Ok(Counts { samples: 2, histograms: 1, exemplars: 1 }));
        // Version 2 has its series in field 5, and histograms before exemplars.
        let v2 = [&[0x2a, series.len() as u8][..], &series].concat();
        assert_eq!(check(&v2, Version::V2), Ok(Counts { samples: 2, histograms: 1, exemplars: 1 }));
        assert_eq!(check(&v1, Version::V2), Ok(Counts::default()), "its fields are reserved in the other");
        assert_eq!(check(b"", Version::V1), Ok(Counts::default()));
    }

    #[test]
    fn what_is_no_message_is_told_with_its_place() {
        assert_eq!(check(b"\x0a\x05abc", Version::V1), Err(Malformed(0)));
        assert_eq!(check(&[0x0a, 2, 0x12, 9], Version::V1), Err(Malformed(2)));
        assert_eq!(check(&[0xff; 12], Version::V1), Err(Malformed(0)));
        assert_eq!(check(&[0x0b], Version::V1), Err(Malformed(0)), "a group");
    }
}
