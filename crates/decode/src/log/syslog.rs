//! Syslog messages: RFC 5424, and what RFC 3164 found in use.

use super::Severity;
use super::time::{Stamp, date_time, month_first};

/// Facility and severity (RFC 5424, section 6.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Priority(u8);

impl Priority {
    /// 0 (kernel) to 23 (local use 7).
    pub const fn facility(self) -> u8 {
        self.0 / 8
    }

    /// 0 (emergency) to 7 (debug).
    pub const fn level(self) -> u8 {
        self.0 % 8
    }

    /// The severity of its level.
    pub fn severity(self) -> Option<Severity> {
        Severity::from_syslog(self.level())
    }
}

/// Which of the two formats a message has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// RFC 5424.
    Rfc5424,
    /// RFC 3164, also as files have it: without a priority, or with a time of RFC 3339.
    Rfc3164,
}

/// A structured element: its id, and its parameters in order, unescaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element<'a> {
    /// Its id, e.g. `exampleSDID@32473`.
    pub id: &'a str,
    /// Names and values.
    pub params: Vec<(&'a str, String)>,
}

/// A message. Text is hostile; what is not told is `None`.
#[derive(Debug, Clone, PartialEq)]
pub struct Message<'a> {
    /// Its format.
    pub format: Format,
    /// Its priority.
    pub priority: Option<Priority>,
    /// Its time.
    pub time: Option<Stamp>,
    /// The host that sent it.
    pub host: Option<&'a str>,
    /// The program: APP-NAME, or the tag.
    pub app: Option<&'a str>,
    /// The process: mostly its number in its own namespace.
    pub procid: Option<&'a str>,
    /// The type of message.
    pub msgid: Option<&'a str>,
    /// Structured data.
    pub structured: Vec<Element<'a>>,
    /// What it says: any bytes.
    pub message: &'a [u8],
}

/// Why a line is no syslog message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a syslog message: {what} at byte {at}")]
pub struct SyslogError {
    /// What is wrong.
    pub what: &'static str,
    /// Where, from 0.
    pub at: usize,
}

/// Reads a message. `near` is when the line was read, UTC nanoseconds: it gives the times of RFC 3164 their year;
/// without it they are left out.
pub fn parse(line: &[u8], near: Option<i64>) -> Result<Message<'_>, SyslogError> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let mut cursor = Cursor { line, at: 0 };
    let priority = cursor.priority()?;
    // RFC 5424: the version, a number of one to three digits that does not begin with 0.
    let version = cursor.rest().iter().take_while(|b| b.is_ascii_digit()).count();
    let is_new = priority.is_some()
        && (1..=3).contains(&version)
        && cursor.rest()[0] != b'0'
        && cursor.rest().get(version) == Some(&b' ');
    if is_new {
        cursor.at += version + 1;
        return rfc5424(cursor, priority);
    }
    rfc3164(cursor, priority, near)
}

fn rfc5424<'a>(mut c: Cursor<'a>, priority: Option<Priority>) -> Result<Message<'a>, SyslogError> {
    let start = c.at;
    let time = match c.word("no time")? {
        "-" => None,
        word => match date_time(word.as_bytes()) {
            Some((stamp, end)) if end == word.len() && stamp.zoned => Some(stamp),
            _ => return Err(SyslogError { what: "not a time of RFC 3339", at: start }),
        },
    };
    let mut header = |what| Ok::<_, SyslogError>(Some(c.word(what)?).filter(|w| *w != "-"));
    let (host, app) = (header("no host")?, header("no program")?);
    let (procid, msgid) = (header("no process")?, header("no message type")?);
    let structured = c.structured()?;
    let message = match c.rest() {
        [] => &[][..],
        [b' ', message @ ..] => message,
        _ => return Err(c.error("no space before the message")),
    };
    // The mark of UTF-8 is not of the message (section 6.4).
    let message = message.strip_prefix("\u{feff}".as_bytes()).unwrap_or(message);
    Ok(Message { format: Format::Rfc5424, priority, time, host, app, procid, msgid, structured, message })
}

fn rfc3164<'a>(mut c: Cursor<'a>, priority: Option<Priority>, near: Option<i64>) -> Result<Message<'a>, SyslogError> {
    // Only its place matters where it cannot be told which year it is.
    let found = month_first(c.rest(), Some(near.unwrap_or(0))).or_else(|| {
        let spaced = c.rest().get(10) == Some(&b' ');
        if spaced { None } else { date_time(c.rest()) }
    });
    let time = match found {
        Some((stamp, end)) => {
            let with_year = near.is_some() || month_first(c.rest(), None).is_some() || date_time(c.rest()).is_some();
            c.at += end;
            // Routers write a colon behind the time.
            c.at += usize::from(c.rest().first() == Some(&b':'));
            if c.rest().first() != Some(&b' ') {
                return Err(c.error("no space behind the time"));
            }
            c.at += 1;
            Some(stamp).filter(|_| with_year)
        }
        // With a priority, everything else may be missing (RFC 3164, section 4.3.3).
        None if priority.is_some() => None,
        None => return Err(c.error("neither a priority nor a time")),
    };
    let mut host = None;
    if found.is_some() {
        let (word, rest) = split_word(c.rest());
        // The messages that programs hand to the local daemon have no host: then the tag is the next word.
        let is_tag = word.ends_with(b":") || word.ends_with(b"]") || rest.is_none();
        if !is_tag && let Ok(text) = std::str::from_utf8(word) {
            host = Some(text).filter(|h| !h.is_empty());
            c.at += word.len() + 1;
        }
    }
    let (app, procid, message) = tag(c.rest());
    Ok(Message {
        format: Format::Rfc3164,
        priority,
        time,
        host,
        app,
        procid,
        msgid: None,
        structured: Vec::new(),
        message,
    })
}

/// `program[process]: message`; what has no tag is all message.
fn tag(text: &[u8]) -> (Option<&str>, Option<&str>, &[u8]) {
    /// RFC 3164 allows 32; programs with paths for names exceed that.
    const LONGEST: usize = 128;
    let end = text.iter().take(LONGEST).position(|b| matches!(b, b'[' | b':' | b' ')).unwrap_or(0);
    let Some(app) = std::str::from_utf8(&text[..end]).ok().filter(|a| !a.is_empty()) else { return (None, None, text) };
    let mut rest = &text[end..];
    let mut procid = None;
    if let Some(inside) = rest.strip_prefix(b"[") {
        let close = inside.iter().take(LONGEST).position(|&b| b == b']');
        match close.and_then(|close| Some((close, std::str::from_utf8(&inside[..close]).ok()?))) {
            Some((close, process)) => {
                procid = Some(process).filter(|p| !p.is_empty());
                rest = &inside[close + 1..];
            }
            None => return (None, None, text),
        }
    }
    match rest.strip_prefix(b":") {
        Some(message) => (Some(app), procid, message.strip_prefix(b" ").unwrap_or(message)),
        None if procid.is_some() => (Some(app), procid, rest.strip_prefix(b" ").unwrap_or(rest)),
        None => (None, None, text),
    }
}

/// The bytes up to the first space, and what follows it.
fn split_word(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|&b| b == b' ') {
        Some(end) => (&text[..end], Some(&text[end + 1..])),
        None => (text, None),
    }
}

struct Cursor<'a> {
    line: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a [u8] {
        self.line.get(self.at..).unwrap_or(&[])
    }

    fn error(&self, what: &'static str) -> SyslogError {
        SyslogError { what, at: self.at }
    }

    /// `<0>` to `<191>`.
    fn priority(&mut self) -> Result<Option<Priority>, SyslogError> {
        let Some(inside) = self.rest().strip_prefix(b"<") else { return Ok(None) };
        let end = inside.iter().take(4).position(|&b| b == b'>').ok_or_else(|| self.error("a priority without end"))?;
        let number = std::str::from_utf8(&inside[..end]).ok().filter(|n| n.bytes().all(|b| b.is_ascii_digit()));
        let number = number.and_then(|n| n.parse().ok()).filter(|n| *n <= 191);
        let number = number.ok_or_else(|| self.error("a priority that is not 0 to 191"))?;
        self.at += end + 2;
        Ok(Some(Priority(number)))
    }

    /// The word up to the next space, which is passed.
    fn word(&mut self, what: &'static str) -> Result<&'a str, SyslogError> {
        let (word, rest) = split_word(self.rest());
        let text = std::str::from_utf8(word).map_err(|_| self.error("a header that is not text"))?;
        if text.is_empty() || rest.is_none() {
            return Err(self.error(what));
        }
        self.at += word.len() + 1;
        Ok(text)
    }

    /// `-`, or elements one behind the other (RFC 5424, section 6.3).
    fn structured(&mut self) -> Result<Vec<Element<'a>>, SyslogError> {
        if self.rest().first() == Some(&b'-') {
            self.at += 1;
            return Ok(Vec::new());
        }
        let mut out = Vec::new();
        while self.rest().first() == Some(&b'[') {
            self.at += 1;
            let id = self.name(|b| matches!(b, b' ' | b']'))?;
            let mut params = Vec::new();
            loop {
                match self.rest() {
                    [b']', ..] => break,
                    [b' ', ..] => self.at += 1,
                    _ => return Err(self.error("structured data without an end")),
                }
                // Some senders leave a space before the bracket.
                if self.rest().first() == Some(&b']') {
                    break;
                }
                let name = self.name(|b| b == b'=')?;
                self.at += 1;
                params.push((name, self.value()?));
            }
            self.at += 1;
            out.push(Element { id, params });
        }
        if out.is_empty() { Err(self.error("no structured data")) } else { Ok(out) }
    }

    fn name(&mut self, ends: fn(u8) -> bool) -> Result<&'a str, SyslogError> {
        let end =
            self.rest().iter().position(|&b| ends(b)).ok_or_else(|| self.error("structured data without an end"))?;
        let name = std::str::from_utf8(&self.rest()[..end])
            .ok()
            .filter(|n| !n.is_empty() && !n.bytes().any(|b| b <= b' ' || matches!(b, b'"' | b'=' | b']')));
        let name = name.ok_or_else(|| self.error("not a name of structured data"))?;
        self.at += end;
        Ok(name)
    }

    /// A quoted value; `\"`, `\\` and `\]` are escapes, and a backslash before anything else stands for itself.
    fn value(&mut self) -> Result<String, SyslogError> {
        let inside = self.rest().strip_prefix(b"\"").ok_or_else(|| self.error("a value without quotes"))?;
        let mut out = Vec::new();
        let mut bytes = inside.iter().enumerate();
        while let Some((i, &b)) = bytes.next() {
            match b {
                b'"' => {
                    self.at += i + 2;
                    return Ok(String::from_utf8_lossy(&out).into_owned());
                }
                b'\\' => match bytes.next() {
                    Some((_, &escaped @ (b'"' | b'\\' | b']'))) => out.push(escaped),
                    Some((_, &other)) => out.extend([b'\\', other]),
                    None => break,
                },
                b => out.push(b),
            }
        }
        Err(self.error("a value without an end"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const T: i64 = 1_704_164_645_000_000_000; // 2024-01-02T03:04:05Z

    #[test]
    fn rfc5424_messages_have_all_their_parts() {
        // Example 3 of section 6.5, with an escape.
        let line = "<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog 12 ID47 \
                    [exampleSDID@32473 iut=\"3\" eventSource=\"App\\]\\\"\\x\"][b@1] \u{feff}An event";
        let m = parse(line.as_bytes(), None).unwrap();
        let priority = m.priority.unwrap();
        assert_eq!((priority.facility(), priority.level(), priority.severity()), (20, 5, Some(Severity::Info)));
        let time = Stamp { utc: 1_065_910_455_003_000_000, zoned: true, precision: 1_000_000 };
        assert_eq!((m.format, m.time), (Format::Rfc5424, Some(time)));
        assert_eq!((m.host, m.app), (Some("mymachine.example.com"), Some("evntslog")));
        assert_eq!((m.procid, m.msgid), (Some("12"), Some("ID47")));
        assert_eq!(m.structured[0].params, [("iut", "3".to_owned()), ("eventSource", "App]\"\\x".to_owned())]);
        assert_eq!((m.structured[1].id, m.message), ("b@1", &b"An event"[..]));
        let nothing = parse(b"<34>1 - - - - - -", None).unwrap();
        assert_eq!((nothing.time, nothing.host, nothing.message), (None, None, &b""[..]));
    }

    #[test]
    fn rfc3164_messages_are_read_as_daemons_and_files_have_them() {
        for (line, host, app, procid, message, timed) in [
            (
                "<34>Jan  2 03:04:05 mymachine su: 'su root' failed",
                Some("mymachine"),
                Some("su"),
                None,
                "'su root' failed",
                true,
            ),
            (
                "Jan  2 03:04:05 host sshd[812]: Accepted key",
                Some("host"),
                Some("sshd"),
                Some("812"),
                "Accepted key",
                true,
            ),
            ("<13>Jan  2 03:04:05 app[7]: local", None, Some("app"), Some("7"), "local", true),
            (
                "2024-01-02T04:04:05+01:00 host CRON[9]: (root) CMD",
                Some("host"),
                Some("CRON"),
                Some("9"),
                "(root) CMD",
                true,
            ),
            ("<6>Jan  2 03:04:05 host kernel: [1.5] x: y", Some("host"), Some("kernel"), None, "[1.5] x: y", true),
            ("<13>just text", None, None, None, "just text", false),
            ("<13>Jan  2 03:04:05 host no tag here", Some("host"), None, None, "no tag here", true),
        ] {
            let m = parse(line.as_bytes(), Some(T)).unwrap();
            assert_eq!((m.host, m.app, m.procid), (host, app, procid), "{line}");
            assert_eq!(m.message, message.as_bytes(), "{line}");
            assert_eq!(m.time.map(|t| t.utc), timed.then_some(T), "{line}");
        }
        // Without a year and without a hint of it the time is not told.
        assert_eq!(parse(b"Jan  2 03:04:05 h a: x", None).unwrap().time, None);
    }

    #[test]
    fn what_is_no_message_says_why_and_where() {
        for (line, why) in [
            ("plain text", "neither a priority nor a time at byte 0"),
            ("<192>x", "a priority that is not 0 to 191 at byte 0"),
            ("<1x", "a priority without end at byte 0"),
            ("<1>1 yesterday h a p m -", "not a time of RFC 3339 at byte 5"),
            ("<1>1 - h a p", "no process at byte 11"),
            ("<1>1 - h a p m [x", "structured data without an end at byte 16"),
            ("<1>1 - h a p m [x a=\"b]", "a value without an end at byte 20"),
            ("<1>1 - h a p m -x", "no space before the message at byte 16"),
            ("<1>1 - h a p m x", "no structured data at byte 15"),
        ] {
            assert_eq!(
                parse(line.as_bytes(), None).unwrap_err().to_string(),
                format!("not a syslog message: {why}"),
                "{line}"
            );
        }
    }

    proptest! {
        #[test]
        fn never_panics_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..120), near: i64) {
            let _ = parse(&bytes, Some(near));
        }

        #[test]
        fn almost_messages_are_survived(text in "(<[0-9]{0,3}>)?(1 )?(-|Jan  2 03:04:05|2024-01-02T03:04:05Z)? ?([-a\\[\\]:= \"\\\\é]{0,20})") {
            let _ = parse(text.as_bytes(), None);
        }
    }
}
