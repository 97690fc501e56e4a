//! PostgreSQL, frontend/backend protocol 3 (Documentation, chapter 55).
//!
//! A simple query is one request, however many statements it has, as in the server's own log. In the extended protocol
//! each Execute is one, with the Parse, Bind and Describe before it and the Sync behind it; its key is that of the
//! statement that was parsed. A Parse that is not executed is `prepare: …`. `end` is ReadyForQuery where a Sync follows,
//! `done` the last CommandComplete; `rows` the rows that came, or those that the command tag tells (`INSERT 0 5`).
//! Requests that the server passed over behind an error, as their batch has no Sync between, have the code `skipped`.

mod client;
mod exchange;
mod server;
mod wire;

use exchange::{Exchange, Step, request};

use super::detect::Verdict;
use super::frames::{Event, Frame, Frames, Measure, Sound, search};
use super::sql::{Dialect, Fingerprints};
use super::statement::clipped;
use super::turns::Turns;
use super::{Dissector, End, Outcome, Request, Side, Stamp, Turn, missing};

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

#[cfg(test)]
mod tests;
