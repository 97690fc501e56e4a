//! DNS (RFC 1035) over UDP and TCP: queries with their answers, by id and question.
//!
//! Only the header, the question and the type of each record are read, by our own code: a library that wants the whole
//! message well-formed would lose the query to a damaged or cut record behind it. Names follow compression pointers
//! backwards only, so that they end.
//!
//! A query that is sent again before it is answered is one request, as its sender waits for one answer: it lasts from
//! the first sending, and `detail` tells how often it was repeated. `rows` are the answer records.

use std::collections::VecDeque;

use super::buffer::Buffer;
use super::detect::{Opening, Verdict};
use super::{Dissector, End, Outcome, Protocol, Request, Side, Stamp, missing};

/// Most queries of a flow that wait for an answer.
const OPEN: usize = 4096;
/// After so many nanoseconds the same id and question are another query. Resolvers give up sooner (RFC 1123 6.1.3.3).
const REPEAT: i64 = 30_000_000_000;
/// Longest name on the wire (RFC 1035 2.3.4).
const NAME: usize = 255;
/// Most records that are looked through for the extended rcode.
const RECORDS: u32 = 1024;

/// What is read of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its id.
    pub id: u16,
    /// Whether it is a response.
    pub response: bool,
    /// Kind of query (RFC 1035 4.1.1).
    pub opcode: u8,
    /// Response code, with the upper bits of EDNS (RFC 6891 6.1.3).
    pub rcode: u16,
    /// Name of the first question, with `\ddd` for bytes that are not printable (RFC 1035 5.1); `None` without one.
    pub name: Option<String>,
    /// Type of the first question.
    pub kind: u16,
    /// Records in the answer section, as the header has it.
    pub answers: u16,
    /// Whether the message was cut to fit a datagram.
    pub truncated: bool,
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]]))
}

/// Reads a message; `None` where not even its question can be read.
pub fn message(bytes: &[u8]) -> Option<Message> {
    let flags = u16_at(bytes, 2)?;
    let [questions, answers, authority, additional] = [4, 6, 8, 10].map(|at| u16_at(bytes, at));
    let (questions, answers) = (questions?, answers?);
    let mut m = Message {
        id: u16_at(bytes, 0)?,
        response: flags & 0x8000 != 0,
        opcode: (flags >> 11) as u8 & 15,
        rcode: flags & 15,
        name: None,
        kind: 0,
        answers,
        truncated: flags & 0x0200 != 0,
    };
    let mut at = 12;
    for index in 0..questions.min(16) {
        let (name, end) = name(bytes, at)?;
        let kind = u16_at(bytes, end)?;
        u16_at(bytes, end + 2)?;
        if index == 0 {
            (m.name, m.kind) = (Some(name), kind);
        }
        at = end + 4;
    }
    let records = u32::from(answers) + u32::from(authority?) + u32::from(additional?);
    m.rcode |= extended_rcode(bytes, at, records.min(RECORDS)).unwrap_or(0) << 4;
    Some(m)
}

/// The upper bits of the response code, from the OPT record, if there is one that can be reached.
fn extended_rcode(bytes: &[u8], mut at: usize, records: u32) -> Option<u16> {
    for _ in 0..records {
        let end = skip_name(bytes, at)?;
        let kind = u16_at(bytes, end)?;
        if kind == 41 {
            return bytes.get(end + 4).map(|&b| u16::from(b));
        }
        at = end + 10 + usize::from(u16_at(bytes, end + 8)?);
    }
    None
}

/// The position behind a name.
fn skip_name(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *bytes.get(at)? {
            0 => return Some(at + 1),
            n if n & 0xc0 == 0xc0 => return Some(at + 2),
            n if n & 0xc0 != 0 => return None,
            n => at += 1 + usize::from(n),
        }
    }
}

/// A name as text, and the position behind it.
fn name(bytes: &[u8], start: usize) -> Option<(String, usize)> {
    let behind = skip_name(bytes, start)?;
    let mut text = String::new();
    let (mut at, mut limit, mut length) = (start, start, 0);
    loop {
        let n = usize::from(*bytes.get(at)?);
        if n == 0 {
            break;
        }
        if n & 0xc0 == 0xc0 {
            let to = (n & 0x3f) << 8 | usize::from(*bytes.get(at + 1)?);
            // Only ever before all that was read: so it ends.
            if to >= limit {
                return None;
            }
            (at, limit) = (to, to);
            continue;
        }
        let label = (n & 0xc0 == 0).then(|| bytes.get(at + 1..at + 1 + n)).flatten()?;
        length += n + 1;
        if length > NAME {
            return None;
        }
        if !text.is_empty() {
            text.push('.');
        }
        for &b in label {
            match b {
                b'.' | b'\\' => text.extend(['\\', char::from(b)]),
                0x21..=0x7e => text.push(char::from(b)),
                _ => text.push_str(&format!("\\{b:03}")),
            }
        }
        at += 1 + n;
    }
    if text.is_empty() {
        text.push('.');
    }
    Some((text, behind))
}

/// A record type's name (IANA); unnamed ones as RFC 3597 5 has it.
pub fn type_name(kind: u16) -> String {
    let name = match kind {
        1 => "A",
        2 => "NS",
        5 => "CNAME",
        6 => "SOA",
        10 => "NULL",
        12 => "PTR",
        13 => "HINFO",
        15 => "MX",
        16 => "TXT",
        28 => "AAAA",
        29 => "LOC",
        33 => "SRV",
        35 => "NAPTR",
        39 => "DNAME",
        43 => "DS",
        46 => "RRSIG",
        47 => "NSEC",
        48 => "DNSKEY",
        50 => "NSEC3",
        52 => "TLSA",
        64 => "SVCB",
        65 => "HTTPS",
        249 => "TKEY",
        250 => "TSIG",
        251 => "IXFR",
        252 => "AXFR",
        255 => "ANY",
        257 => "CAA",
        n => return format!("TYPE{n}"),
    };
    name.to_owned()
}

/// A response code's name (IANA).
pub fn rcode_name(rcode: u16) -> String {
    let name = match rcode {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        6 => "YXDOMAIN",
        7 => "YXRRSET",
        8 => "NXRRSET",
        9 => "NOTAUTH",
        10 => "NOTZONE",
        16 => "BADVERS",
        23 => "BADCOOKIE",
        n => return format!("RCODE{n}"),
    };
    name.to_owned()
}

/// Whether a datagram is a DNS message. All must fit, as there is no signature: the counts, the question, its class.
pub fn probe_datagram(bytes: &[u8]) -> Verdict {
    let Some(m) = message(bytes) else { return Verdict::No };
    // Z is 0; opcodes and types that exist.
    let flags = u16_at(bytes, 2).unwrap_or(u16::MAX);
    let questions = u16_at(bytes, 4).unwrap_or(u16::MAX);
    if flags & 0x0040 != 0 || !matches!(m.opcode, 0 | 2 | 4 | 5) || questions > 1 || (!m.response && m.rcode & 15 != 0)
    {
        return Verdict::No;
    }
    let Some(name) = &m.name else {
        // A multicast answer has no question (RFC 6762 6).
        let multicast = m.response && m.id == 0 && m.answers > 0 && skip_name(bytes, 12).is_some();
        return if multicast { Verdict::Likely } else { Verdict::No };
    };
    let class = skip_name(bytes, 12).and_then(|at| u16_at(bytes, at + 2)).unwrap_or(0) & 0x7fff;
    let typed = matches!(m.kind, 1..=110 | 249..=261 | 32768 | 32769);
    // NetBIOS names have the same frame (RFC 1002 4.1): one label of 32 letters from A to P.
    let label = name.split('.').next().unwrap_or_default();
    let netbios = label.len() == 32 && label.bytes().all(|b| b.is_ascii_uppercase() && b <= b'P');
    // Spaces and UTF-8 occur (RFC 6763 4.1.1), control characters do not.
    let printable = name.split("\\0").skip(1).all(|rest| rest.starts_with("32"));
    let fits = typed && !netbios && printable && matches!(class, 1 | 3 | 4 | 254 | 255);
    if fits { Verdict::Yes } else { Verdict::No }
}

/// Whether the bytes of a TCP connection are DNS: messages behind their length (RFC 1035 4.2.2).
pub fn probe(from: Side, bytes: &[u8]) -> Verdict {
    let Some((length, rest)) = bytes.split_first_chunk::<2>() else { return Verdict::More };
    let length = usize::from(u16::from_be_bytes(*length));
    if length < 17 {
        return Verdict::No;
    }
    let whole = rest.get(..length);
    if whole.is_none() && message(rest).is_none() {
        return if rest.len() < 300 { Verdict::More } else { Verdict::No };
    }
    let bytes = whole.unwrap_or(rest);
    let response = message(bytes).is_some_and(|m| m.response);
    if response == (from == Side::Server) { probe_datagram(bytes) } else { Verdict::No }
}

/// A query that was not answered yet.
#[derive(Debug)]
struct Open {
    id: u16,
    name: Option<String>,
    kind: u16,
    newest: Stamp,
    repeats: u32,
    request: Request,
}

/// The queries of a flow, and their answers.
#[derive(Debug, Default)]
struct Queries {
    open: VecDeque<Open>,
}

impl Queries {
    fn query(&mut self, m: Message, first: Stamp, last: Stamp, len: u64, out: &mut Vec<Request>) {
        let again = self.open.iter().rposition(|o| {
            o.id == m.id && o.kind == m.kind && o.name == m.name && last.time.saturating_sub(o.newest.time) <= REPEAT
        });
        if let Some(open) = again.and_then(|at| self.open.get_mut(at)) {
            open.newest = last;
            open.repeats += 1;
            open.request.request_bytes += len;
            return;
        }
        if self.open.len() >= OPEN {
            out.extend(self.open.pop_front().map(Open::over));
        }
        let mut request = begin(&m, first);
        request.sent = Some(last);
        request.request_bytes = len;
        self.open.push_back(Open { id: m.id, name: m.name, kind: m.kind, newest: last, repeats: 0, request });
    }

    fn answer(&mut self, m: &Message, first: Stamp, last: Stamp, len: u64, out: &mut Vec<Request>) {
        let fits = |o: &Open| {
            let same = o.kind == m.kind
                && match (&o.name, &m.name) {
                    (Some(a), Some(b)) => a.eq_ignore_ascii_case(b),
                    // Servers that can not read the question leave it out.
                    (_, None) => true,
                    (None, Some(_)) => false,
                };
            o.id == m.id && (same || m.name.is_none())
        };
        let mut request = match self.open.iter().position(fits).and_then(|at| self.open.remove(at)) {
            Some(open) => open.over(),
            // An announcement (RFC 6762 8.3).
            None if m.id == 0 && m.name.is_none() => return,
            None => {
                let mut request = begin(m, first);
                request.missing = missing::REQUEST;
                request
            }
        };
        request.first = Some(first);
        request.end = Some(last);
        request.response_bytes = len;
        request.code = rcode_name(m.rcode);
        request.outcome = if m.rcode == 0 { Outcome::Ok } else { Outcome::Error };
        request.rows = Some(u64::from(m.answers));
        if m.truncated {
            request.detail.push_str(", truncated");
        }
        out.push(request);
    }

    fn end(&mut self, how: End, out: &mut Vec<Request>) {
        for open in self.open.drain(..) {
            let mut request = open.over();
            request.outcome = match how {
                End::Capture => Outcome::Unfinished,
                End::Closed => Outcome::Closed,
                End::Reset => Outcome::Reset,
            };
            out.push(request);
        }
    }
}

impl Open {
    fn over(mut self) -> Request {
        if self.repeats > 0 {
            self.request.detail.push_str(&format!(", sent {} times", self.repeats + 1));
        }
        self.request
    }
}

fn begin(m: &Message, first: Stamp) -> Request {
    let mut request = Request::begins(Protocol::Dns, first);
    let name = m.name.as_deref().unwrap_or("?");
    request.key = format!("{} {name}", type_name(m.kind));
    request.detail = request.key.clone();
    request.id = Some(u64::from(m.id));
    request
}

/// The datagrams between two UDP sockets, which may be DNS: known by their bytes, not by the port.
#[derive(Debug, Default)]
pub struct Datagrams {
    queries: Queries,
    known: bool,
    unread: u64,
}

impl Datagrams {
    /// A datagram: what was captured of its payload, and how long it was. Which side asks is in the message.
    pub fn datagram(&mut self, at: Stamp, captured: &[u8], len: u32, out: &mut Vec<Request>) {
        self.known |= matches!(probe_datagram(captured), Verdict::Yes | Verdict::Likely);
        if !self.known {
            return;
        }
        match message(captured) {
            Some(m) if m.response => self.queries.answer(&m, at, at, u64::from(len), out),
            Some(m) => self.queries.query(m, at, at, u64::from(len), out),
            None => self.unread += captured.len() as u64,
        }
    }

    /// No more datagrams.
    pub fn finish(&mut self, out: &mut Vec<Request>) {
        self.queries.end(End::Capture, out);
    }

    /// Whether it is DNS.
    pub fn known(&self) -> bool {
        self.known
    }

    /// Bytes of its datagrams that could not be read, once it is known.
    pub fn unread(&self) -> u64 {
        self.unread
    }
}

/// DNS over a TCP connection.
#[derive(Debug, Default)]
pub struct Stream {
    queries: Queries,
    sides: [Framing; 2],
    unread: u64,
}

/// The messages of one side.
#[derive(Debug, Default)]
struct Framing {
    buffer: Buffer,
    /// Bytes of a cut message that are still to come.
    skip: u64,
    /// Nothing of that message could be read.
    unknown: bool,
    /// Where messages begin is not known any more.
    lost: bool,
}

impl Stream {
    /// A connection as it was met.
    pub fn new(_opening: Opening) -> Stream {
        Stream::default()
    }

    /// The length of the message that begins the buffer.
    fn wanted(left: &[u8]) -> Option<usize> {
        u16_at(left, 0).map(|n| usize::from(n) + 2)
    }
}

impl Dissector for Stream {
    fn bytes(&mut self, from: Side, at: Stamp, mut bytes: &[u8], out: &mut Vec<Request>) {
        let side = &mut self.sides[from.index()];
        let skip = side.skip.min(bytes.len() as u64);
        side.skip -= skip;
        self.unread += if side.unknown { skip } else { 0 };
        bytes = &bytes[skip as usize..];
        if side.lost && probe(from, bytes) == Verdict::Yes {
            side.lost = false;
        }
        // A message is at most 65 537 bytes, so this is enough for one at least.
        for part in bytes.chunks(1 << 16) {
            if side.lost || !side.buffer.push(at, part) {
                side.lost = true;
                self.unread += part.len() as u64;
                continue;
            }
            while let Some(n) = Stream::wanted(side.buffer.left()).filter(|n| side.buffer.left().len() >= *n) {
                let read = message(&side.buffer.left()[2..n]);
                let Some((first, last)) = side.buffer.take(n) else { break };
                match read {
                    Some(m) if m.response => self.queries.answer(&m, first, last, n as u64, out),
                    Some(m) => self.queries.query(m, first, last, n as u64, out),
                    None => self.unread += n as u64,
                }
            }
        }
    }

    fn gap(&mut self, from: Side, at: Stamp, len: u64, out: &mut Vec<Request>) {
        let side = &mut self.sides[from.index()];
        let inside = side.skip.min(len);
        side.skip -= inside;
        let len = len - inside;
        if len == 0 || side.lost {
            return;
        }
        // What is there of the message that the gap is in: its question, most often.
        let left = side.buffer.left();
        let whole = Stream::wanted(left).unwrap_or(0) as u64;
        let rest = whole.saturating_sub(left.len() as u64);
        side.lost = whole == 0 || len > rest;
        side.skip = if side.lost { 0 } else { rest - len };
        let read = left.get(2..).and_then(message);
        side.unknown = read.is_none();
        if let Some(m) = read {
            let first = side.buffer.stamp(0).unwrap_or(at);
            if m.response {
                self.queries.answer(&m, first, at, whole, out);
            } else {
                self.queries.query(m, first, at, whole, out);
            }
            side.buffer.clear();
        } else {
            self.unread += side.buffer.clear() as u64;
        }
    }

    fn end(&mut self, how: End, _at: Stamp, out: &mut Vec<Request>) {
        self.queries.end(how, out);
        for side in &mut self.sides {
            self.unread += side.buffer.clear() as u64;
        }
    }

    fn unread(&self) -> u64 {
        self.unread
    }
}

#[cfg(test)]
mod tests;
