//! systemd's journal export format: what `journalctl -o export` and `systemd-journal-remote` write.
//!
//! <https://systemd.io/JOURNAL_EXPORT_FORMATS>: fields of an entry stand one behind the other, an empty line ends the
//! entry. A field is `NAME=value` and a newline; or, where the value is not plain text, `NAME`, a newline, the value's
//! length as 64 bits little-endian, the value, and a newline.

use super::time::Stamp;
use super::{LogFields, Severity};
use crate::otlp::{SpanId, TraceId};

/// Fields of an entry that are read; journald itself allows 1024.
pub const FIELDS: usize = 1024;
/// Bytes of a field's name; journald allows 64.
const NAME: usize = 64;

/// An entry of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry<'a> {
    /// Names and values in order; a name may stand several times. Values are any bytes, hostile.
    pub fields: Vec<(&'a str, &'a [u8])>,
    /// Fields beyond [`FIELDS`], which are left out.
    pub dropped: usize,
}

impl<'a> Entry<'a> {
    /// The first value of a field.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.fields.iter().find(|(n, _)| *n == name).map(|(_, v)| *v)
    }

    /// As a line: who said it, and what. `sshd[42]: it said this`.
    pub fn line(&self) -> Vec<u8> {
        let who = self.get("SYSLOG_IDENTIFIER").or_else(|| self.get("_COMM")).unwrap_or_default();
        let pid = self.get("_PID").or_else(|| self.get("SYSLOG_PID"));
        let pid = pid.map(|pid| [b"[", pid, b"]"].concat()).unwrap_or_default();
        let sign: &[u8] = if who.is_empty() && pid.is_empty() { b"" } else { b": " };
        [who, &pid, sign, self.message()].concat()
    }

    /// What it tells of itself: in its fields, and else in its message.
    pub fn fields(&self) -> LogFields {
        let told = super::parse(self.message());
        let hex = |name: &str| self.get(name).and_then(|value| std::str::from_utf8(value).ok());
        let time = self.time();
        LogFields {
            time: time.map(|t| t.utc).or(told.time),
            zoned: time.map_or(told.zoned, |t| t.zoned),
            precision: time.map_or(told.precision, |t| t.precision),
            severity: self.severity().or(told.severity),
            trace: hex("TRACE_ID").and_then(TraceId::from_hex).or(told.trace),
            span: hex("SPAN_ID").and_then(SpanId::from_hex).or(told.span),
        }
    }

    fn number(&self, name: &str) -> Option<i64> {
        std::str::from_utf8(self.get(name)?).ok()?.parse().ok()
    }

    /// What it says.
    pub fn message(&self) -> &'a [u8] {
        self.get("MESSAGE").unwrap_or(&[])
    }

    /// When: the sender's time where it is there (`_SOURCE_REALTIME_TIMESTAMP`), else when journald took it. Both are
    /// microseconds since 1970.
    pub fn time(&self) -> Option<Stamp> {
        let micros = self.number("_SOURCE_REALTIME_TIMESTAMP").or_else(|| self.number("__REALTIME_TIMESTAMP"))?;
        Some(Stamp { utc: micros.checked_mul(1_000)?, zoned: true, precision: 1_000 })
    }

    /// When journald took it, UTC nanoseconds.
    pub fn taken(&self) -> Option<i64> {
        self.number("__REALTIME_TIMESTAMP")?.checked_mul(1_000)
    }

    /// CLOCK_MONOTONIC of its boot when journald took it, in nanoseconds.
    pub fn monotonic(&self) -> Option<i64> {
        self.number("__MONOTONIC_TIMESTAMP")?.checked_mul(1_000)
    }

    /// Its severity, from `PRIORITY`.
    pub fn severity(&self) -> Option<Severity> {
        self.number("PRIORITY").and_then(|p| u8::try_from(p).ok()).and_then(Severity::from_syslog)
    }

    /// The process that sent it, as the host sees it.
    pub fn pid(&self) -> Option<u32> {
        self.number("_PID").and_then(|p| u32::try_from(p).ok())
    }
}

/// Why a part of a journal could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("journal: {what} at byte {at}")]
pub struct JournalError {
    /// What is wrong.
    pub what: &'static str,
    /// Where, from 0.
    pub at: usize,
}

/// The entries of an export, in order. After an error it goes on behind the next empty line.
pub fn entries(export: &[u8]) -> Entries<'_> {
    Entries { bytes: export, at: 0 }
}

/// See [`entries`].
#[derive(Debug, Clone)]
pub struct Entries<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.bytes.get(self.at) == Some(&b'\n') {
            self.at += 1;
        }
        if self.at >= self.bytes.len() {
            return None;
        }
        let read = self.entry();
        if let Err(e) = &read {
            // The end of this entry is not known: an empty line is the next thing to hold on to.
            let behind = self.bytes.get(e.at..).unwrap_or(&[]);
            self.at = behind.windows(2).position(|w| w == b"\n\n").map_or(self.bytes.len(), |i| e.at + i + 2);
        }
        Some(read)
    }
}

impl<'a> Entries<'a> {
    /// The line at hand, without its newline. The last may lack it.
    fn line(&mut self) -> &'a [u8] {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
        self.at = (self.at + end + 1).min(self.bytes.len());
        &rest[..end]
    }

    fn entry(&mut self) -> Result<Entry<'a>, JournalError> {
        let mut entry = Entry::default();
        while self.at < self.bytes.len() {
            let start = self.at;
            let line = self.line();
            if line.is_empty() {
                break;
            }
            let sign = line.iter().position(|&b| b == b'=');
            let name = &line[..sign.unwrap_or(line.len())];
            let good = |b: &u8| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_';
            if name.is_empty() || name.len() > NAME || !name.iter().all(good) {
                return Err(JournalError { what: "not the name of a field", at: start });
            }
            let value = match sign {
                Some(sign) => &line[sign + 1..],
                None => self.binary()?,
            };
            if entry.fields.len() == FIELDS {
                entry.dropped += 1;
            } else if let Ok(name) = std::str::from_utf8(name) {
                entry.fields.push((name, value));
            }
        }
        Ok(entry)
    }

    /// A value with its length before it and a newline behind.
    fn binary(&mut self) -> Result<&'a [u8], JournalError> {
        let cut = JournalError { what: "a value that is cut off", at: self.at };
        let (length, rest) = self.bytes[self.at..].split_first_chunk::<8>().ok_or_else(|| cut.clone())?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| cut.clone())?;
        let value = rest.get(..length).ok_or(cut)?;
        let end = self.at + 8 + length;
        match self.bytes.get(end) {
            Some(b'\n') | None => self.at = (end + 1).min(self.bytes.len()),
            Some(_) => return Err(JournalError { what: "no newline behind a value", at: end }),
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn binary(name: &str, value: &[u8]) -> Vec<u8> {
        [name.as_bytes(), b"\n", &(value.len() as u64).to_le_bytes(), value, b"\n"].concat()
    }

    #[test]
    fn entries_have_their_fields_in_text_and_binary() {
        let mut export = b"__CURSOR=s=1;i=2\n__REALTIME_TIMESTAMP=1704164645000002\n__MONOTONIC_TIMESTAMP=5\n\
            PRIORITY=3\n_PID=42\n_COMM=a=b\n"
            .to_vec();
        export.extend(binary("MESSAGE", b"two\n\nlines \xff"));
        export.extend(b"\n\nMESSAGE=second\n_SOURCE_REALTIME_TIMESTAMP=7\n__REALTIME_TIMESTAMP=9\n");
        let all: Vec<_> = entries(&export).map(Result::unwrap).collect();
        assert_eq!(all.len(), 2);
        let e = &all[0];
        assert_eq!((e.message(), e.get("_COMM")), (&b"two\n\nlines \xff"[..], Some(&b"a=b"[..])));
        assert_eq!((e.severity(), e.pid(), e.monotonic()), (Some(Severity::Error), Some(42), Some(5_000)));
        assert_eq!(e.line(), b"a=b[42]: two\n\nlines \xff");
        assert_eq!(e.fields().severity, Some(Severity::Error));
        assert_eq!(e.time().map(|t| t.utc), Some(1_704_164_645_000_002_000));
        assert_eq!((all[1].message(), all[1].time().map(|t| t.utc)), (&b"second"[..], Some(7_000)));
    }

    #[test]
    fn an_error_costs_its_entry_and_no_other() {
        let mut export = b"MESSAGE=1\n\nlower=2\nA=3\n\nMESSAGE=4\n\nMESSAGE\n".to_vec();
        export.extend(u64::MAX.to_le_bytes());
        let all: Vec<_> = entries(&export).collect();
        assert_eq!(all[0].as_ref().unwrap().message(), b"1");
        assert_eq!(all[1].as_ref().unwrap_err().to_string(), "journal: not the name of a field at byte 11");
        assert_eq!(all[2].as_ref().unwrap().message(), b"4");
        assert_eq!(all[3].as_ref().unwrap_err().what, "a value that is cut off");
        assert_eq!(all.len(), 4);
    }

    #[test]
    fn fields_beyond_the_bound_are_counted() {
        let export = "A=1\n".repeat(FIELDS + 3);
        let entry = entries(export.as_bytes()).next().unwrap().unwrap();
        assert_eq!((entry.fields.len(), entry.dropped), (FIELDS, 3));
    }

    proptest! {
        #[test]
        fn never_panics_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(entries(&bytes).count() <= bytes.len());
        }

        #[test]
        fn almost_exports_are_survived(parts in prop::collection::vec(prop::sample::select(
            vec![&b"A"[..], b"A=1\n", b"\n", b"MESSAGE\n", b"\x02\0\0\0\0\0\0\0", b"ab", b"\xff", b"\0"]), 0..30)) {
            let bytes = parts.concat();
            prop_assert!(entries(&bytes).count() <= bytes.len());
        }

        #[test]
        fn any_value_comes_back_as_it_was(values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 1..5)) {
            let bytes = values.iter().flat_map(|v| binary("V", v)).collect::<Vec<_>>();
            let entry = entries(&bytes).next().unwrap().unwrap();
            prop_assert_eq!(entry.fields.iter().map(|f| f.1.to_vec()).collect::<Vec<_>>(), values);
        }
    }
}
