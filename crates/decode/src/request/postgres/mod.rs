//! PostgreSQL, frontend/backend protocol 3 (Documentation, chapter 55).
//!
//! A simple query is one request, however many statements it has, as in the server's own log. In the extended protocol
//! each Execute is one, with the Parse, Bind and Describe before it and the Sync behind it; its key is that of the
//! statement that was parsed. A Parse that is not executed is `prepare: …`. `end` is ReadyForQuery where a Sync follows,
//! `done` the last CommandComplete; `rows` the rows that came, or those that the command tag tells (`INSERT 0 5`).
//! Requests that the server passed over behind an error, as their batch has no Sync between, have the code `skipped`.

mod exchange;
mod wire;

use std::sync::Arc;

use exchange::{Exchange, Pending, Step, request};

use super::detect::Verdict;
use super::frames::{Event, Frame, Frames, Measure, Sound, search};
use super::sql::{Dialect, Fingerprints};
use super::statement::{Statement, clipped, unknown};
use super::turns::{Turns, Waiting};
use super::{Dissector, End, Outcome, Request, Side, Stamp, Transaction, Turn, missing};

/// Whether a side speaks it.
pub fn probe(from: Side, bytes: &[u8]) -> Verdict {
    if from == Side::Client {
        match wire::measure_startup(bytes) {
            Measure::Size { .. } => return Verdict::Yes,
            Measure::More if bytes.len() < 4 => return Verdict::More,
            Measure::More => return Verdict::Likely,
            Measure::Bad => {}
        }
    }
    let mut rest = bytes;
    let mut seen = 0;
    while !rest.is_empty() {
        let Measure::Size { total, .. } = wire::measure(from, rest) else { break };
        match wire::sound(from, rest) {
            Sound::No if seen == 0 && !matches!(rest[0], b'd' | b'p') => return Verdict::No,
            Sound::Yes => seen += 1,
            _ => {}
        }
        rest = rest.get(total as usize..).unwrap_or_default();
    }
    match (seen, bytes) {
        (1.., _) => Verdict::Yes,
        (0, [b'S' | b'N' | b'G']) if from == Side::Server => Verdict::More,
        (0, _) if matches!(wire::measure(from, bytes), Measure::Bad) => Verdict::No,
        _ => Verdict::More,
    }
}

/// What the client is about to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// A first message, without a type.
    Startup,
    /// It awaits the byte that answers an SSLRequest or GSSENCRequest.
    Asked(Turn),
    /// Messages with a type.
    Running,
    Turned(Turn),
}

/// Reads a connection.
#[derive(Debug)]
pub struct Postgres {
    phase: Phase,
    sides: [Frames; 2],
    exchange: Exchange,
    turns: Turns,
    prints: Fingerprints,
    database: String,
    /// The client sends the rows of a COPY.
    copying: bool,
    /// The start of the connection is in the capture.
    whole: bool,
    unread: u64,
}

impl Default for Postgres {
    fn default() -> Postgres {
        Postgres::new()
    }
}

impl Postgres {
    /// Reads a connection from its start or from its midst, which the first bytes tell.
    pub fn new() -> Postgres {
        Postgres {
            phase: Phase::Startup,
            sides: Default::default(),
            exchange: Exchange::default(),
            turns: Turns::default(),
            prints: Fingerprints::new(Dialect::Postgres),
            database: String::new(),
            copying: false,
            whole: false,
            unread: 0,
        }
    }

    fn message(&mut self, from: Side, frame: &Frame<'_>, out: &mut Vec<Request>) {
        match (from, self.phase) {
            (Side::Client, Phase::Startup | Phase::Asked(_)) => self.first(frame, out),
            (Side::Client, _) => self.client(frame, out),
            (Side::Server, Phase::Asked(turn)) if frame.total == 1 => self.turn(turn, frame, out),
            (Side::Server, _) => self.server(frame, out),
        }
        self.exchange.hand_out(out);
    }

    /// A message without a type.
    fn first(&mut self, frame: &Frame<'_>, out: &mut Vec<Request>) {
        let head = &*frame.head;
        let code = head.get(4..8).and_then(<[u8]>::first_chunk).map_or(0, |b| u32::from_be_bytes(*b));
        self.whole = true;
        let (key, step, phase) = match code {
            wire::SSL => ("ssl-request", Some(Step::Byte), Phase::Asked(Turn::Tls)),
            wire::GSS => ("gss-request", Some(Step::Byte), Phase::Asked(Turn::Encrypted)),
            wire::CANCEL => ("cancel", None, Phase::Running),
            _ => ("startup", Some(Step::UntilReady), Phase::Running),
        };
        self.phase = phase;
        let mut begun = request(frame.first, key);
        if key == "cancel" {
            begun.id = head.get(8..12).and_then(<[u8]>::first_chunk).map(|b| u64::from(u32::from_be_bytes(*b)));
        }
        if key == "startup" {
            let user = wire::parameter(head, "user").unwrap_or_default();
            self.database = clipped(&wire::parameter(head, "database").unwrap_or_else(|| user.clone()));
            begun.detail = format!("user={user} database={}", self.database);
            if let Some(name) = wire::parameter(head, "application_name") {
                begun.detail += &format!(" application_name={name}");
            }
            begun.detail = clipped(&begun.detail);
        }
        let pending = self.exchange.begin(begun, &self.database, out);
        pending.sent(frame.last, frame.total, if frame.missing { missing::REQUEST } else { 0 });
        if let Some(step) = step {
            self.exchange.step(step);
        }
        self.exchange.close(out);
    }

    /// The byte that answers an SSLRequest or GSSENCRequest.
    fn turn(&mut self, turn: Turn, frame: &Frame<'_>, out: &mut Vec<Request>) {
        let byte = frame.head.first().copied().unwrap_or_default();
        if let Some(p) = self.exchange.answer(frame.first, frame.last, 1) {
            p.request.code = char::from(byte).to_string();
        }
        self.exchange.answered();
        self.phase = if byte == b'N' { Phase::Startup } else { Phase::Turned(turn) };
        self.exchange.hand_out(out);
    }

    /// Begins a request of the extended or simple protocol.
    fn begin(&mut self, frame: &Frame<'_>, key: &str, out: &mut Vec<Request>) -> &mut Pending {
        match self.turns.another(self.exchange.waiting()) {
            Waiting::Fine => {}
            Waiting::AnsweredUnseen => self.exchange.end(Outcome::Unfinished, missing::RESPONSE, out),
            Waiting::Unsure => self.exchange.mark(missing::INFERRED),
        }
        if self.exchange.full() {
            self.exchange.end(Outcome::Unfinished, missing::RESPONSE, out);
            self.turns.client_lost();
        }
        self.exchange.close(out);
        let mut begun = request(frame.first, key);
        if self.turns.begins(self.exchange.waiting()) {
            begun.missing |= missing::INFERRED | if self.whole { 0 } else { missing::START };
        }
        self.exchange.begin(begun, &self.database, out)
    }

    /// The request that a message of the extended protocol belongs to.
    fn unit(&mut self, frame: &Frame<'_>, fits: impl Fn(&Pending) -> bool, out: &mut Vec<Request>) -> &mut Pending {
        if !self.exchange.open().is_some_and(|p| fits(p)) {
            self.begin(frame, "", out);
        }
        let bits = if frame.missing { missing::REQUEST } else { 0 };
        #[allow(clippy::expect_used)] // it was begun above where there was none
        let p = self.exchange.last().expect("a request that was begun");
        p.sent(frame.last, frame.total, bits);
        p
    }

    fn client(&mut self, frame: &Frame<'_>, out: &mut Vec<Request>) {
        let kind = frame.head.first().copied().unwrap_or_default();
        let body = frame.head.get(5..).unwrap_or_default();
        let bits = if frame.missing { missing::REQUEST } else { 0 };
        match kind {
            b'Q' => {
                let statement = self.statement(body);
                let p = self.begin(frame, "", out);
                p.sent(frame.last, frame.total, bits);
                statement.describe(&mut p.request, "");
                self.exchange.step(Step::UntilReady);
                self.exchange.close(out);
            }
            b'F' => {
                let oid = body.first_chunk().map_or(0, |b| u32::from_be_bytes(*b));
                self.begin(frame, &format!("function {oid}"), out).sent(frame.last, frame.total, bits);
                self.exchange.step(Step::UntilReady);
                self.exchange.close(out);
            }
            b'P' => self.parse(body, frame, out),
            b'B' => self.bind(body, frame, out),
            b'D' => {
                let p = self.unit(frame, |p| !p.executed, out);
                if p.request.key.is_empty() {
                    "describe".clone_into(&mut p.request.key);
                }
                let known = match body.split_first() {
                    Some((b'S', name)) => self.exchange.statement(wire::cstring(name).map_or(name, |n| n.0)),
                    _ => None,
                };
                self.exchange.step(Step::Describe);
                if let (Some(known), Some(p)) = (known, self.exchange.last())
                    && p.request.key == "describe"
                {
                    known.describe(&mut p.request, "describe: ");
                }
            }
            b'E' => self.execute(body, frame, out),
            b'C' => {
                let p = self.unit(frame, |_| true, out);
                if p.request.key.is_empty() {
                    "close".clone_into(&mut p.request.key);
                }
                if let Some((&kind, name)) = body.split_first() {
                    self.exchange.forget(kind, wire::cstring(name).map_or(name, |n| n.0));
                }
                self.exchange.step(Step::Close);
            }
            b'S' => self.sync(frame, out),
            // A Flush, and what is added to a request under way: rows of a COPY, passwords.
            b'H' | b'd' | b'c' | b'f' | b'p' => {
                if matches!(kind, b'c' | b'f') {
                    self.copying = false;
                }
                if let Some(p) = self.exchange.first().filter(|_| kind != b'H') {
                    p.sent(frame.last, frame.total, bits);
                }
            }
            _ => self.exchange.close(out),
        }
    }

    /// The statement of a body that begins with its text.
    fn statement(&mut self, body: &[u8]) -> Statement {
        let (text, cut) = wire::cstring(body).map_or((body, true), |(text, _)| (text, false));
        Statement::of(&mut self.prints, text, cut)
    }

    fn parse(&mut self, body: &[u8], frame: &Frame<'_>, out: &mut Vec<Request>) {
        let (name, rest) = wire::cstring(body).unwrap_or((body, &[]));
        let statement = Arc::new(self.statement(rest));
        let p = self.unit(frame, |p| !p.parsed && !p.bound && !p.executed, out);
        statement.describe(&mut p.request, "prepare: ");
        p.parsed = true;
        self.exchange.prepare(name, statement);
        self.exchange.step(Step::Parse);
    }

    fn bind(&mut self, body: &[u8], frame: &Frame<'_>, out: &mut Vec<Request>) {
        let (portal, rest) = wire::cstring(body).unwrap_or((body, &[]));
        let name = wire::cstring(rest).map_or(rest, |(name, _)| name);
        let known = self.exchange.bind(portal, name);
        let p = self.unit(frame, |p| !p.bound && !p.executed, out);
        p.bound = true;
        match known {
            Some(statement) => statement.describe(&mut p.request, "bind: "),
            None => unknown(&mut p.request, "", &String::from_utf8_lossy(name)),
        }
        self.exchange.step(Step::Bind);
    }

    fn execute(&mut self, body: &[u8], frame: &Frame<'_>, out: &mut Vec<Request>) {
        let portal = wire::cstring(body).map_or(body, |(name, _)| name);
        let known = self.exchange.portal(portal);
        let p = self.unit(frame, |p| !p.executed, out);
        p.executed = true;
        match known {
            Some(statement) => statement.describe(&mut p.request, ""),
            // What its Bind said of an unknown statement stays.
            None if p.bound => {}
            None => unknown(&mut p.request, "", &String::from_utf8_lossy(portal)),
        }
        self.exchange.step(Step::Execute);
    }

    fn sync(&mut self, frame: &Frame<'_>, out: &mut Vec<Request>) {
        if self.copying {
            return;
        }
        let p = self.unit(frame, |_| true, out);
        if p.request.key.is_empty() {
            "sync".clone_into(&mut p.request.key);
        }
        self.exchange.step(Step::Sync);
        self.exchange.close(out);
    }

    fn server(&mut self, frame: &Frame<'_>, out: &mut Vec<Request>) {
        let kind = frame.head.first().copied().unwrap_or_default();
        let body = frame.head.get(5..).unwrap_or_default();
        // Neither is an answer: a parameter that changed outside of one, a notification.
        if kind == b'A' || (kind == b'S' && self.exchange.awaited() != Some(Step::UntilReady)) {
            return;
        }
        if self.exchange.awaited().is_none() {
            self.stray(kind, body, frame, out);
            return;
        }
        self.align(kind);
        let Some(p) = self.exchange.answer(frame.first, frame.last, frame.total) else { return };
        p.request.missing |= if frame.missing { missing::RESPONSE } else { 0 };
        match kind {
            b'D' | b'd' => {
                p.request.first_row.get_or_insert(frame.first);
                p.rows += 1;
            }
            b'C' | b'I' | b's' => {
                p.request.done = Some(frame.last);
                if let Some(rows) = tagged(body).filter(|_| kind == b'C') {
                    *p.tagged.get_or_insert(0) += rows;
                }
            }
            b'K' => p.request.id = body.first_chunk().map(|b| u64::from(u32::from_be_bytes(*b))),
            b'E' => self.error(body),
            b'G' | b'W' => {
                self.copying = true;
                self.exchange.drop_sync();
            }
            b'Z' => self.ready(body),
            _ => {}
        }
        let awaited = match kind {
            b'1' => Step::Parse,
            b'2' => Step::Bind,
            b'3' => Step::Close,
            b'T' | b'n' => Step::Describe,
            b'C' | b'I' | b's' => Step::Execute,
            _ => return,
        };
        if self.exchange.awaited() == Some(awaited) {
            self.exchange.answered();
        }
    }

    /// Where an answer is another than the one that is awaited, those between were in bytes that are missing.
    fn align(&mut self, kind: u8) {
        let wanted = match kind {
            b'1' => Step::Parse,
            b'2' => Step::Bind,
            b'3' => Step::Close,
            b't' | b'n' => Step::Describe,
            b'D' | b'C' | b'I' | b's' => Step::Execute,
            b'Z' => {
                let ready = |s| matches!(s, Step::Sync | Step::UntilReady);
                return self.exchange.pass_until(ready, missing::RESPONSE | missing::INFERRED, false);
            }
            _ => return,
        };
        if self.exchange.awaited() != Some(wanted) && self.exchange.awaits(wanted) {
            self.exchange.pass_until(|s| s == wanted, missing::RESPONSE | missing::INFERRED, false);
        }
    }

    fn error(&mut self, body: &[u8]) {
        let code = wire::field(body, b'C').unwrap_or_default();
        let fatal =
            wire::field(body, b'V').or_else(|| wire::field(body, b'S')).is_some_and(|s| s == "FATAL" || s == "PANIC");
        self.copying = false;
        let step = self.exchange.awaited();
        if let Some(p) = self.exchange.answering() {
            p.request.outcome = Outcome::Error;
            p.request.code = code;
        }
        if fatal {
            // The connection ends; of what waits behind it nothing was run.
            self.exchange.answered();
        } else if step != Some(Step::UntilReady) && step != Some(Step::Sync) {
            self.exchange.pass_until(|s| matches!(s, Step::Sync | Step::UntilReady), 0, true);
            self.exchange.failed = self.exchange.awaited().is_none();
        }
    }

    fn ready(&mut self, body: &[u8]) {
        self.exchange.transaction = match body.first() {
            Some(b'I') => Some(Transaction::None),
            Some(b'T') => Some(Transaction::Open),
            Some(b'E') => Some(Transaction::Failed),
            _ => None,
        };
        self.copying = false;
        self.exchange.answered();
        self.turns.answered();
    }

    /// An answer to nothing that is known.
    fn stray(&mut self, kind: u8, body: &[u8], frame: &Frame<'_>, out: &mut Vec<Request>) {
        match kind {
            b'N' | b'S' | b'A' => return,
            b'E' if self.exchange.waiting() == 0 => {
                // The server ends the connection on its own account.
                let mut unasked = request(frame.first, "unasked error");
                unasked.target.clone_from(&self.database);
                (unasked.first, unasked.end) = (Some(frame.first), Some(frame.last));
                unasked.response_bytes = frame.total;
                unasked.outcome = Outcome::Error;
                unasked.code = wire::field(body, b'C').unwrap_or_default();
                out.push(unasked);
            }
            b'Z' => {
                self.turns.answered();
                self.exchange.transaction = None;
                self.unread += frame.total;
            }
            _ => self.unread += frame.total,
        }
        self.turns.stray();
    }

    fn lost(&mut self, from: Side) {
        if from == Side::Client {
            self.turns.client_lost();
            if matches!(self.phase, Phase::Startup | Phase::Asked(_)) {
                self.phase = Phase::Running;
            }
            if let Some(p) = self.exchange.open() {
                // Its Bind, Execute and Sync are in the gap.
                p.request.missing |= missing::REQUEST | missing::INFERRED;
                if let Some(statement) =
                    p.request.key.strip_prefix("prepare: ").or(p.request.key.strip_prefix("bind: "))
                {
                    p.request.key = statement.to_owned();
                }
                p.closed = true;
                self.exchange.step(Step::UntilReady);
            }
            return;
        }
        if self.phase == Phase::Startup {
            self.phase = Phase::Running;
            self.turns.client_lost();
        }
        let inferred = self.turns.server_lost(self.exchange.waiting());
        self.exchange.mark(missing::RESPONSE | if inferred { missing::INFERRED } else { 0 });
    }

    fn turned_away(&self) -> bool {
        matches!(self.phase, Phase::Turned(_))
    }
}

impl Dissector for Postgres {
    fn bytes(&mut self, from: Side, at: Stamp, bytes: &[u8], out: &mut Vec<Request>) {
        let mut rest = bytes;
        loop {
            if self.turned_away() {
                self.unread += rest.len() as u64;
                return;
            }
            let phase = self.phase;
            let measure = |head: &[u8]| match (from, phase) {
                (Side::Client, Phase::Startup | Phase::Asked(_)) => wire::measure_startup(head),
                (Side::Server, Phase::Asked(_)) if head.first() != Some(&b'E') => Measure::Size { total: 1, keep: 1 },
                // Who is not asked says nothing: the connection was met in its midst.
                (Side::Server, Phase::Startup) => Measure::Bad,
                _ => wire::measure(from, head),
            };
            match self.sides[from.index()].next(&mut rest, at, measure, |b| search(b, |b| wire::sound(from, b))) {
                None => return,
                Some(Event::Message(frame)) => self.message(from, &frame, out),
                Some(Event::Lost) => self.lost(from),
                // What was passed over may be of the answer under way.
                Some(Event::Found(n)) if n > 0 && from == Side::Server => self.exchange.mark(missing::RESPONSE),
                Some(Event::Found(_)) => {}
            }
        }
    }

    fn gap(&mut self, from: Side, at: Stamp, len: u64, out: &mut Vec<Request>) {
        if self.turned_away() {
            return;
        }
        let (frame, lost) = self.sides[from.index()].gap(at, len);
        if let Some(frame) = frame {
            self.message(from, &frame, out);
        }
        if lost {
            self.lost(from);
        }
    }

    fn end(&mut self, how: End, _at: Stamp, out: &mut Vec<Request>) {
        if let Some((first, bytes)) = self.sides[1].partial() {
            self.exchange.answer(first, first, bytes);
        }
        let outcome = match how {
            End::Capture => Outcome::Unfinished,
            End::Closed => Outcome::Closed,
            End::Reset => Outcome::Reset,
        };
        self.exchange.end(outcome, 0, out);
    }

    fn unread(&self) -> u64 {
        self.unread + self.sides[0].unread() + self.sides[1].unread()
    }

    fn turned(&self) -> Option<Turn> {
        match self.phase {
            Phase::Turned(turn) => Some(turn),
            _ => None,
        }
    }
}

/// The rows that a command tag tells: its last word, where that is a number.
fn tagged(body: &[u8]) -> Option<u64> {
    let (tag, _) = wire::cstring(body)?;
    std::str::from_utf8(tag).ok()?.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests;
