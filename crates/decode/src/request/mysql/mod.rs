//! MySQL and MariaDB: the classic client/server protocol, version 10.
//!
//! Each command is a request: `COM_QUERY` has the fingerprint of its text for a key, `COM_STMT_EXECUTE` that of the
//! statement that was prepared, `COM_STMT_PREPARE` the same behind `prepare: `, others their names. `rows` are the rows
//! that came, or those that were changed. Where both sides agreed on compression, nothing behind the login is read.

mod answer;
mod wire;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use answer::{At, Pending};
use wire::{HEADER, can, command};

use super::detect::Verdict;
use super::frames::{Event, Frame, Frames, Measure, Sound, search};
use super::sql::{Dialect, Fingerprints};
use super::statement::{Statement, clipped, unknown};
use super::turns::{Turns, Waiting};
use super::{Dissector, End, Outcome, Protocol, Request, Side, Stamp, Transaction, Turn, missing};

/// Commands that wait for an answer at most.
const WAITING: usize = 1024;
/// Prepared statements that are remembered.
const PREPARED: usize = 4096;

/// Whether a side speaks it.
pub fn probe(from: Side, bytes: &[u8]) -> Verdict {
    let Some((length, sequence)) = wire::header(bytes) else {
        let zero = |at| bytes.get(at).is_none_or(|&b| b == 0);
        return if zero(2) { Verdict::More } else { Verdict::No };
    };
    let payload = &bytes[HEADER..];
    let payload = payload.get(..length as usize).unwrap_or(payload);
    let whole = payload.len() as u64 == length;
    match (from, sequence) {
        (Side::Server, 0) if wire::greeting(payload).is_some() => Verdict::Yes,
        (Side::Server, 0) if whole && payload.starts_with(&[0xff]) && length > 3 => Verdict::Likely,
        (Side::Server, 0) if !whole && payload.first().is_none_or(|&b| b == 10) && length < 512 => Verdict::More,
        (Side::Client, 1) if length >= 32 && payload.get(9..32).is_some_and(|f| f[..19].iter().all(|&b| b == 0)) => {
            Verdict::Yes
        }
        _ => match wire::sound(from, bytes) {
            Sound::Yes if length > 5 => Verdict::Yes,
            Sound::Yes => Verdict::Likely,
            Sound::More => Verdict::More,
            Sound::No => Verdict::No,
        },
    }
}

/// What the client sends next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing: the server greets.
    Greeting,
    /// Its login.
    Login,
    /// Commands.
    Running,
}

/// Reads a connection.
#[derive(Debug)]
pub struct Mysql {
    phase: Phase,
    sides: [Frames; 2],
    pending: VecDeque<Pending>,
    /// What both sides can; `None` where the capture did not see the login.
    capabilities: Option<u32>,
    /// What the server can, and the number of the connection.
    greeted: (u32, u32),
    version: String,
    /// The client's next packet continues its last.
    full: bool,
    statements: HashMap<u32, Arc<Statement>>,
    /// The statement that was prepared last (MariaDB executes it as number -1 before it has the answer).
    prepared: Option<Arc<Statement>>,
    turns: Turns,
    /// The server's side was found again just now.
    found: bool,
    prints: Fingerprints,
    database: String,
    transaction: Option<Transaction>,
    turned: Option<Turn>,
    unread: u64,
}

impl Default for Mysql {
    fn default() -> Mysql {
        Mysql::new()
    }
}

impl Mysql {
    /// Reads a connection from its start or from its midst, which the first bytes tell.
    pub fn new() -> Mysql {
        Mysql {
            phase: Phase::Greeting,
            sides: Default::default(),
            pending: VecDeque::new(),
            capabilities: None,
            greeted: (0, 0),
            version: String::new(),
            full: false,
            statements: HashMap::new(),
            prepared: None,
            turns: Turns::default(),
            found: false,
            prints: Fingerprints::new(Dialect::Mysql),
            database: String::new(),
            transaction: None,
            turned: None,
            unread: 0,
        }
    }

    fn deprecates_eof(&self) -> Option<bool> {
        self.capabilities.map(|c| c & can::DEPRECATE_EOF != 0)
    }

    fn compresses(&self) -> bool {
        self.capabilities.is_some_and(|c| c & (can::COMPRESS | can::ZSTD) != 0)
    }

    fn remember(&mut self, id: u32, statement: Arc<Statement>) {
        if self.statements.len() >= PREPARED && !self.statements.contains_key(&id) {
            self.statements.clear();
        }
        self.statements.insert(id, statement);
    }

    fn measure(&self, from: Side, head: &[u8]) -> Measure {
        match (from, self.phase) {
            (Side::Server, Phase::Greeting) => match head.get(HEADER) {
                None if head.len() >= HEADER && wire::header(head).is_some_and(|h| h.0 == 0 || h.1 != 0) => {
                    Measure::Bad
                }
                None => Measure::More,
                Some(10 | 0xff) => wire::measure(head, wire::WANTED, |s| s == 0),
                Some(_) => Measure::Bad,
            },
            (Side::Client, Phase::Greeting) => Measure::Bad,
            (Side::Client, Phase::Login) => wire::measure(head, wire::WANTED, |s| s > 0),
            (Side::Client, Phase::Running) => {
                let more = self.full || self.pending.front().is_some_and(|p| matches!(p.at, At::Login | At::File));
                let keep = if more { HEADER } else { wire::COMMAND_WANTED };
                wire::measure(head, keep, |s| more || s == 0)
            }
            (Side::Server, _) => {
                let awaited = self.pending.front().and_then(|p| p.sequence);
                wire::measure(head, wire::WANTED, |s| awaited.is_none_or(|a| a == s))
            }
        }
    }

    fn message(&mut self, from: Side, frame: &Frame<'_>, out: &mut Vec<Request>) {
        match (from, self.phase) {
            (Side::Server, Phase::Greeting) => self.greeting(frame, out),
            (Side::Server, _) => self.answer(frame, out),
            (Side::Client, Phase::Login) => self.login(frame, out),
            (Side::Client, _) => self.client(frame, out),
        }
    }

    fn greeting(&mut self, frame: &Frame<'_>, out: &mut Vec<Request>) {
        let payload = frame.head.get(HEADER..).unwrap_or_default();
        if let Some(greeting) = wire::greeting(payload) {
            self.phase = Phase::Login;
            self.greeted = (greeting.capabilities, greeting.thread);
            self.version = greeting.version;
            return;
        }
        // It refuses the connection: too many, a host that it does not know.
        let mut refused = Request::begins(Protocol::Mysql, frame.first);
        "connect".clone_into(&mut refused.key);
        (refused.first, refused.end) = (Some(frame.first), Some(frame.last));
        refused.response_bytes = frame.total;
        refused.outcome = Outcome::Error;
        refused.code = wire::error(payload);
        out.push(refused);
    }

    fn login(&mut self, frame: &Frame<'_>, out: &mut Vec<Request>) {
        self.phase = Phase::Running;
        let (_, sequence) = wire::header(&frame.head).unwrap_or_default();
        let Some(login) = frame.head.get(HEADER..).and_then(wire::login) else {
            self.turns.client_lost();
            return;
        };
        let mut request = self.begin(frame, if login.tls { "ssl-request" } else { "connect" }, out);
        request.id = Some(u64::from(self.greeted.1));
        if login.tls {
            self.turned = Some(Turn::Tls);
            request.outcome = Outcome::Ok;
            out.push(request);
            return;
        }
        self.capabilities = Some(login.capabilities & self.greeted.0);
        self.database = clipped(&login.database);
        request.target.clone_from(&self.database);
        request.detail = clipped(&format!("user={} database={} server={}", login.user, login.database, self.version));
        self.pending.push_back(Pending::new(request, command::CONNECT, sequence.wrapping_add(1)));
    }

    /// Begins a request.
    fn begin(&mut self, frame: &Frame<'_>, key: &str, out: &mut Vec<Request>) -> Request {
        match self.turns.another(self.pending.len()) {
            Waiting::Fine => {}
            Waiting::AnsweredUnseen => self.give_up(self.pending.len(), out),
            Waiting::Unsure => self.pending.iter_mut().for_each(|p| p.request.missing |= missing::INFERRED),
        }
        if self.pending.len() >= WAITING {
            self.give_up(self.pending.len(), out);
            self.turns.client_lost();
        }
        let mut request = Request::begins(Protocol::Mysql, frame.first);
        key.clone_into(&mut request.key);
        request.target.clone_from(&self.database);
        request.sent = Some(frame.last);
        request.request_bytes = frame.total;
        request.missing |= if frame.missing { missing::REQUEST } else { 0 };
        if self.turns.begins(self.pending.len()) {
            request.missing |= missing::INFERRED | if self.capabilities.is_none() { missing::START } else { 0 };
        }
        request
    }

    /// Hands out the first that wait without their answers.
    fn give_up(&mut self, n: usize, out: &mut Vec<Request>) {
        for p in self.pending.drain(..n) {
            let mut request = p.into_request(Outcome::Unfinished);
            request.missing |= missing::RESPONSE;
            out.push(request);
        }
    }

    fn client(&mut self, frame: &Frame<'_>, out: &mut Vec<Request>) {
        let (length, sequence) = wire::header(&frame.head).unwrap_or_default();
        let payload = frame.head.get(HEADER..).unwrap_or_default();
        let continued = std::mem::replace(&mut self.full, length == wire::FULL);
        let at = self.pending.front().map(|p| p.at);
        if continued || sequence != 0 && matches!(at, Some(At::Login | At::File)) {
            self.more(continued, length, sequence, frame);
            return;
        }
        // A command whose first byte is missing has an answer all the same.
        let command = payload.first().copied().unwrap_or(u8::MAX);
        let name = wire::name(command).unwrap_or("unknown");
        let mut request = self.begin(frame, name, out);
        self.describe(&mut request, command, payload, frame, length);
        match command {
            command::QUIT | command::CLOSE | command::LONG_DATA => {
                request.outcome = Outcome::Ok;
                out.push(request);
            }
            command::BINLOG_DUMP | command::BINLOG_DUMP_GTID => {
                self.turned = Some(Turn::Replication);
                self.pending.push_back(Pending::new(request, command, 1));
            }
            _ => {
                let mut p = Pending::new(request, command, 1);
                if command == command::PREPARE {
                    p.statement.clone_from(&self.prepared);
                }
                self.pending.push_back(p);
            }
        }
    }

    /// A packet that goes on with what was begun: a long command, a file, a login.
    fn more(&mut self, continued: bool, length: u64, sequence: u8, frame: &Frame<'_>) {
        let p = if continued { self.pending.back_mut() } else { self.pending.front_mut() };
        let Some(p) = p else { return };
        p.request.request_bytes += frame.total;
        p.request.sent = Some(frame.last);
        p.request.missing |= if frame.missing { missing::REQUEST } else { 0 };
        p.sequence = Some(sequence.wrapping_add(1));
        if p.at == At::File && length == 0 {
            p.at = At::First;
        }
    }

    fn describe(&mut self, request: &mut Request, command: u8, payload: &[u8], frame: &Frame<'_>, length: u64) {
        let body = payload.get(1..).unwrap_or_default();
        let cut = frame.short || length == wire::FULL || body.len() as u64 + 1 < length;
        match command {
            command::QUERY => {
                let attributes = self.capabilities.map(|c| c & can::QUERY_ATTRIBUTES != 0);
                let (text, parent) = wire::query(payload, attributes);
                Statement::of(&mut self.prints, text, cut).describe(request, "");
                request.traceparent = parent.or(request.traceparent.take());
                let used = text.get(..4).filter(|t| t.eq_ignore_ascii_case(b"use ")).map(|_| &text[4..]);
                if let Some(name) = used {
                    self.database = clipped(String::from_utf8_lossy(name).trim_matches([' ', ';', '`', '\n']));
                }
            }
            command::PREPARE => {
                let statement = Statement::of(&mut self.prints, body, cut);
                statement.describe(request, "prepare: ");
                self.prepared = Some(Arc::new(statement));
            }
            command::INIT_DB => {
                self.database = clipped(&String::from_utf8_lossy(body));
                request.detail.clone_from(&self.database);
            }
            command::FIELD_LIST => {
                request.detail = clipped(&String::from_utf8_lossy(wire::cstring(body).map_or(body, |c| c.0)));
            }
            command::EXECUTE | command::BULK_EXECUTE | command::CLOSE | command::FETCH | command::LONG_DATA | 26 => {
                self.of_prepared(request, command, body);
            }
            _ => {}
        }
    }

    /// A command about a prepared statement.
    fn of_prepared(&mut self, request: &mut Request, command: u8, body: &[u8]) {
        let id = wire::le32(body, 0).unwrap_or_default();
        let known = if id == u32::MAX { self.prepared.clone() } else { self.statements.get(&id).cloned() };
        let done = match command {
            command::EXECUTE | command::BULK_EXECUTE => String::new(),
            c => format!("{}: ", wire::name(c).unwrap_or_default()),
        };
        match known {
            Some(statement) => statement.describe(request, &done),
            None => unknown(request, &done, &id.to_string()),
        }
        if command == command::CLOSE {
            self.statements.remove(&id);
        }
    }

    fn lost(&mut self, from: Side) {
        if self.phase != Phase::Running {
            self.phase = Phase::Running;
            self.turns.client_lost();
        }
        if from == Side::Client {
            self.full = false;
            self.turns.client_lost();
            return;
        }
        let inferred = self.turns.server_lost(self.pending.len());
        for p in &mut self.pending {
            p.request.missing |= missing::RESPONSE | if inferred { missing::INFERRED } else { 0 };
        }
    }

    /// The side is found again.
    fn found(&mut self, from: Side, passed_over: u64) {
        if from == Side::Client {
            return;
        }
        self.found = true;
        if let Some(p) = self.pending.front_mut() {
            p.sequence = None;
            p.request.missing |= if passed_over > 0 { missing::RESPONSE } else { 0 };
        }
    }
}

impl Dissector for Mysql {
    fn bytes(&mut self, from: Side, at: Stamp, bytes: &[u8], out: &mut Vec<Request>) {
        let mut rest = bytes;
        loop {
            if self.turned.is_some() {
                self.unread += rest.len() as u64;
                return;
            }
            let mut frames = std::mem::take(&mut self.sides[from.index()]);
            let event = frames.next(&mut rest, at, |b| self.measure(from, b), |b| search(b, |b| wire::sound(from, b)));
            self.sides[from.index()] = frames;
            match event {
                None => return,
                Some(Event::Message(frame)) => self.message(from, &frame, out),
                Some(Event::Lost) => self.lost(from),
                Some(Event::Found(n)) => self.found(from, n),
            }
        }
    }

    fn gap(&mut self, from: Side, at: Stamp, len: u64, out: &mut Vec<Request>) {
        if self.turned.is_some() {
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
        let outcome = match how {
            End::Capture => Outcome::Unfinished,
            End::Closed => Outcome::Closed,
            End::Reset => Outcome::Reset,
        };
        if let (Some((first, bytes)), Some(p)) = (self.sides[1].partial(), self.pending.front_mut()) {
            p.took(first, first, bytes);
        }
        out.extend(self.pending.drain(..).map(|p| p.into_request(outcome)));
    }

    fn unread(&self) -> u64 {
        self.unread + self.sides[0].unread() + self.sides[1].unread()
    }

    fn turned(&self) -> Option<Turn> {
        self.turned
    }
}

#[cfg(test)]
mod tests;
