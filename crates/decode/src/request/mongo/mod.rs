//! MongoDB wire protocol (MongoDB Specifications: "OP_MSG", "OP_COMPRESSED"; the manual's "MongoDB Wire Protocol" for the
//! older ones): requests and replies by request id.
//!
//! The key is the command and its collection, the target the database; no other values are kept. Of a compressed message
//! nothing but its ids is read: its key says so. An exhaust cursor's further replies belong to the request that
//! asked for them. Tried against captures and vectors of the specification, not against a live server.

mod bson;

use super::detect::Verdict;
use super::frames::{Event, Frame, Frames, Measure, Sound, search};
use super::ids::Waiting;
use super::statement::clipped;
use super::{Dissector, End, Outcome, Protocol, Request, Side, Stamp, missing, sql};
use bson::{cstring, elements, le32};

const REPLY: u32 = 1;
const UPDATE: u32 = 2001;
const INSERT: u32 = 2002;
const QUERY: u32 = 2004;
const GET_MORE: u32 = 2005;
const DELETE: u32 = 2006;
const KILL_CURSORS: u32 = 2007;
const COMPRESSED: u32 = 2012;
const MSG: u32 = 2013;

/// `flagBits` of OP_MSG.
const CHECKSUM: u32 = 1;
const MORE_TO_COME: u32 = 1 << 1;

const HEADER: usize = 16;
/// `maxMessageSizeBytes`.
const LARGEST: u32 = 48_000_000 + (16 << 10);
/// Wanted of a message: the `ok` of a reply stands behind its documents.
const WANTED: usize = 64 << 10;

/// Whether a side speaks it.
pub fn probe(from: Side, bytes: &[u8]) -> Verdict {
    match sound(from, bytes) {
        Sound::Yes => Verdict::Yes,
        Sound::More => Verdict::More,
        Sound::No => Verdict::No,
    }
}

fn sound(from: Side, bytes: &[u8]) -> Sound {
    let length = le32(bytes, 0);
    if length.is_some_and(|n| !(HEADER as u32 + 4..=LARGEST).contains(&n)) {
        return Sound::No;
    }
    let Some(code) = le32(bytes, 12) else { return Sound::More };
    let fits = match from {
        Side::Client => {
            matches!(code, UPDATE | INSERT | QUERY..=KILL_CURSORS | COMPRESSED | MSG) && le32(bytes, 8) == Some(0)
        }
        Side::Server => matches!(code, REPLY | COMPRESSED | MSG),
    };
    if fits { Sound::Yes } else { Sound::No }
}

fn measure(head: &[u8]) -> Measure {
    let Some(length) = le32(head, 0) else { return Measure::More };
    if !(HEADER as u32..=LARGEST).contains(&length) {
        return Measure::Bad;
    }
    match le32(head, 12) {
        None => Measure::More,
        Some(REPLY | UPDATE | INSERT | QUERY..=KILL_CURSORS | COMPRESSED | MSG) => {
            Measure::Size { total: u64::from(length), keep: WANTED }
        }
        Some(_) => Measure::Bad,
    }
}

/// Reads a connection.
#[derive(Debug, Default)]
pub struct Mongo {
    sides: [Frames; 2],
    waiting: Waiting,
    unread: u64,
}

impl Mongo {
    /// Reads a connection from its start or from its midst.
    pub fn new() -> Mongo {
        Mongo::default()
    }

    fn message(&mut self, from: Side, frame: &Frame<'_>, out: &mut Vec<Request>) {
        match from {
            Side::Client => self.request(frame, out),
            Side::Server => self.reply(frame, out),
        }
    }

    fn request(&mut self, frame: &Frame<'_>, out: &mut Vec<Request>) {
        let head = &*frame.head;
        let id = u64::from(le32(head, 4).unwrap_or_default());
        let code = le32(head, 12).unwrap_or_default();
        let mut request = Request::begins(Protocol::Mongo, frame.first);
        request.sent = Some(frame.last);
        request.request_bytes = frame.total;
        request.missing |= if frame.missing { missing::REQUEST } else { 0 };
        request.id = Some(id);
        let answered = describe(&mut request, code, head.get(HEADER..).unwrap_or_default());
        request.key = clipped(&request.key);
        request.detail = match request.target.as_str() {
            "" => request.key.clone(),
            database => clipped(&format!("{} in {database}", request.key)),
        };
        if answered {
            self.waiting.put(id, request, out);
        } else {
            request.outcome = Outcome::Ok;
            out.push(request);
        }
    }

    fn reply(&mut self, frame: &Frame<'_>, out: &mut Vec<Request>) {
        let head = &*frame.head;
        let Some(mut request) = le32(head, 8).and_then(|to| self.waiting.take(u64::from(to))) else {
            self.unread += frame.captured;
            return;
        };
        request.first.get_or_insert(frame.first);
        request.end = Some(frame.last);
        request.response_bytes += frame.total;
        request.missing |= if frame.missing { missing::RESPONSE } else { 0 };
        let body = head.get(HEADER..).unwrap_or_default();
        let more = match le32(head, 12) {
            Some(MSG) => {
                answer(&mut request, body_of(body), true);
                le32(body, 0).unwrap_or_default() & MORE_TO_COME != 0
            }
            Some(REPLY) => {
                old_answer(&mut request, body);
                false
            }
            _ => {
                request.missing |= missing::RESPONSE;
                request.outcome = Outcome::Ok;
                false
            }
        };
        // The monitoring of a server goes on for as long as the connection does: its first reply is the answer.
        let monitoring = matches!(request.key.split(' ').next(), Some("hello" | "isMaster" | "ismaster"));
        if more && !monitoring {
            request.outcome = Outcome::Unfinished;
            self.waiting.put(u64::from(le32(head, 4).unwrap_or_default()), request, out);
        } else {
            out.push(request);
        }
    }

    fn lost(&mut self, from: Side) {
        if from == Side::Server {
            self.waiting.mark(missing::RESPONSE);
        }
    }
}

/// The document of an OP_MSG: its section of kind 0.
fn body_of(body: &[u8]) -> &[u8] {
    let checksum = le32(body, 0).unwrap_or_default() & CHECKSUM != 0;
    let mut rest = body.get(4..).unwrap_or_default();
    while let Some((&kind, section)) = rest.split_first()
        && !(checksum && rest.len() == 4)
    {
        if kind == 0 {
            return section;
        }
        let Some(next) = le32(section, 0).and_then(|n| section.get(n.max(4) as usize..)) else { break };
        rest = next;
    }
    &[]
}

/// Says what a request is; false where it has no reply.
fn describe(request: &mut Request, code: u32, body: &[u8]) -> bool {
    match code {
        MSG => {
            command(request, body_of(body));
            le32(body, 0).unwrap_or_default() & MORE_TO_COME == 0
        }
        COMPRESSED => {
            let by = match body.get(8) {
                Some(0) => "noop",
                Some(1) => "snappy",
                Some(2) => "zlib",
                Some(3) => "zstd",
                _ => "unknown",
            };
            request.key = format!("compressed ({by})");
            request.missing |= missing::KEY;
            true
        }
        _ => {
            let (name, rest) = cstring(body.get(4..).unwrap_or_default()).unwrap_or_default();
            let name = String::from_utf8_lossy(name).into_owned();
            let (database, collection) = name.split_once('.').unwrap_or((&name, ""));
            database.clone_into(&mut request.target);
            if code == QUERY && collection == "$cmd" {
                command(request, rest.get(8..).unwrap_or_default());
                return true;
            }
            let verb = match code {
                UPDATE => "update",
                INSERT => "insert",
                QUERY => "find",
                GET_MORE => "getMore",
                DELETE => "delete",
                _ => "killCursors",
            };
            request.key = format!("{verb} {collection}").trim_end().to_owned();
            matches!(code, QUERY | GET_MORE)
        }
    }
}

/// A command: the name of its first element, whose value is the collection where it is a string.
fn command(request: &mut Request, document: &[u8]) {
    let mut elements = elements(document);
    let Some(first) = elements.next() else {
        "unknown".clone_into(&mut request.key);
        request.missing |= missing::KEY;
        return;
    };
    let mut collection = first.text();
    for element in elements {
        match element.name {
            b"$db" => request.target = element.text().unwrap_or_default(),
            b"collection" if first.name == b"getMore" => collection = element.text(),
            b"comment" => request.traceparent = sql::traceparent(element.value()),
            _ => {}
        }
    }
    let name = String::from_utf8_lossy(first.name).into_owned();
    // The old form of a command wraps it.
    if let (b"$query" | b"query", Some(inner)) = (first.name, first.document()) {
        return command(request, inner);
    }
    request.key = match collection {
        Some(collection) => format!("{name} {collection}"),
        None => name,
    };
}

/// What the document of a reply says of success, errors and rows.
fn answer(request: &mut Request, document: &[u8], is_command: bool) {
    let (mut ok, mut code, mut name) = (true, None, None);
    let mut rows = None;
    for element in elements(document) {
        match element.name {
            b"ok" => ok = element.number() != Some(0),
            b"code" => code = element.number(),
            b"codeName" => name = element.text(),
            b"n" => rows = element.number().and_then(|n| u64::try_from(n).ok()),
            b"cursor" => rows = element.document().and_then(batch),
            // The command ran, but writes of it failed.
            b"writeErrors" => {
                let first = element.document().and_then(|d| elements(d).next()).and_then(|e| e.document());
                let failed = first.and_then(|d| elements(d).find(|e| e.name == b"code")).and_then(|e| e.number());
                (ok, code) = (false, failed);
            }
            b"$err" if !is_command => ok = false,
            _ => {}
        }
    }
    if let Some(rows) = rows {
        request.rows = Some(request.rows.unwrap_or(0) + rows);
    }
    request.outcome = Outcome::Ok;
    if !ok {
        request.outcome = Outcome::Error;
        let code = code.map(|c| c.to_string());
        request.code = clipped(&[code, name].into_iter().flatten().collect::<Vec<_>>().join(" "));
    }
}

/// How many documents a cursor returned, where all of them are there.
fn batch(cursor: &[u8]) -> Option<u64> {
    let batch = elements(cursor).find(|e| matches!(e.name, b"firstBatch" | b"nextBatch"))?;
    let documents = batch.document().filter(|_| batch.whole())?;
    Some(elements(documents).count() as u64)
}

/// OP_REPLY.
fn old_answer(request: &mut Request, body: &[u8]) {
    let flags = le32(body, 0).unwrap_or_default();
    let command =
        !request.key.starts_with("find ") && !request.key.starts_with("getMore ") || request.target.is_empty();
    answer(request, body.get(16 + 4..).unwrap_or_default(), command);
    if !command {
        request.rows = le32(body, 16).map(u64::from);
    }
    if flags & 0b11 != 0 {
        request.outcome = Outcome::Error;
        if request.code.is_empty() {
            request.code = if flags & 1 != 0 { "CursorNotFound" } else { "QueryFailure" }.to_owned();
        }
    }
}

impl Dissector for Mongo {
    fn bytes(&mut self, from: Side, at: Stamp, bytes: &[u8], out: &mut Vec<Request>) {
        let mut rest = bytes;
        loop {
            let event = self.sides[from.index()].next(&mut rest, at, measure, |b| search(b, |b| sound(from, b)));
            match event {
                None => return,
                Some(Event::Message(frame)) => self.message(from, &frame, out),
                Some(Event::Lost) => self.lost(from),
                Some(Event::Found(_)) => {}
            }
        }
    }

    fn gap(&mut self, from: Side, at: Stamp, len: u64, out: &mut Vec<Request>) {
        let (frame, lost) = self.sides[from.index()].gap(at, len);
        if let Some(frame) = frame {
            self.message(from, &frame, out);
        }
        if lost {
            self.lost(from);
        }
    }

    fn end(&mut self, how: End, _at: Stamp, out: &mut Vec<Request>) {
        if let (Some((first, bytes)), Some(request)) = (self.sides[1].partial(), self.waiting.only()) {
            request.first.get_or_insert(first);
            request.response_bytes += bytes;
        }
        self.waiting.end(how, out);
    }

    fn unread(&self) -> u64 {
        self.unread + self.sides[0].unread() + self.sides[1].unread()
    }
}

#[cfg(test)]
mod tests;
