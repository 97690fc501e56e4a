//! Redis: RESP2, RESP3 and commands in plain words.
//!
//! Each command is a request, those between MULTI and EXEC as well. Its key is its name with the subcommand, its detail
//! the name and the first key or channel; values are passed over. Messages of subscriptions and other pushes are no
//! answers; a SUBSCRIBE is answered by as many confirmations as it has channels. `rows` are the elements of an array or
//! map, 1 for a string and 0 for none.

mod commands;
mod value;
mod wire;

use std::collections::{HashSet, VecDeque};

use value::{Reader, Value};
use wire::Piece;

use super::detect::Verdict;
use super::frames::{Event, Frame, Frames, Measure, Sound, search};
use super::statement::clipped;
use super::turns::{Turns, Waiting};
use super::{Dissector, End, Outcome, Protocol, Request, Side, Stamp, Turn, missing};

/// Commands that wait for an answer at most; those behind them are handed out without.
const WAITING: usize = 16 << 10;
/// Channels whose names are remembered, of each kind.
const CHANNELS: usize = 4096;

/// Whether a side speaks it.
pub fn probe(from: Side, bytes: &[u8]) -> Verdict {
    match (from, wire::sound(from, bytes)) {
        (_, Sound::More) => Verdict::More,
        (Side::Client, Sound::Yes) => Verdict::Yes,
        (Side::Server, Sound::Yes) => Verdict::Likely,
        (Side::Server, Sound::No) => Verdict::No,
        (Side::Client, Sound::No) => inline(bytes),
    }
}

/// A command in plain words is known by its name.
fn inline(bytes: &[u8]) -> Verdict {
    let Some(end) = bytes.iter().position(|&b| b == b'\n') else {
        let name = bytes.len() < 16 && bytes.iter().all(u8::is_ascii_alphabetic);
        return if name { Verdict::More } else { Verdict::No };
    };
    let words: Vec<Vec<u8>> = split(&bytes[..end]);
    let plain = ["PING", "INFO", "QUIT", "MONITOR", "SYNC", "DBSIZE", "HELLO", "FLUSHALL", "COMMAND"];
    match commands::describe(&words) {
        // Rather a path of HTTP/0.9.
        (_, Some(key)) if key.starts_with('/') => Verdict::No,
        (_, Some(_)) => Verdict::Likely,
        (name, None) if plain.contains(&name.as_str()) => Verdict::Likely,
        _ => Verdict::No,
    }
}

fn split(line: &[u8]) -> Vec<Vec<u8>> {
    let words = line.split(|b| b.is_ascii_whitespace()).filter(|w| !w.is_empty());
    words.map(<[u8]>::to_vec).collect()
}

/// A command whose answer is awaited.
#[derive(Debug)]
struct Pending {
    request: Request,
    /// Confirmations that it still awaits.
    confirmations: Option<usize>,
}

/// A command that is being sent.
#[derive(Debug, Default)]
struct Command {
    /// Words that are still to come.
    left: u64,
    /// The first words.
    words: Vec<Vec<u8>>,
    count: usize,
    first: Stamp,
    last: Stamp,
    bytes: u64,
    missing: bool,
}

/// Which answers the client asked for (CLIENT REPLY).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Replies {
    On,
    Off,
    /// Not the next one.
    Skip,
}

/// Reads a connection.
#[derive(Debug)]
pub struct Redis {
    sides: [Frames; 2],
    command: Command,
    reader: Reader,
    pending: VecDeque<Pending>,
    /// Commands behind those of `pending`, which were handed out.
    over: u64,
    turns: Turns,
    replies: Replies,
    /// Channels, patterns and shard channels that are subscribed to, by their hashes.
    channels: [HashSet<u64>; 3],
    /// Something was lost: other channels may be subscribed to.
    holes: bool,
    database: String,
    monitor: bool,
    turned: Option<Turn>,
    unread: u64,
}

impl Default for Redis {
    fn default() -> Redis {
        Redis::new()
    }
}

impl Redis {
    /// Reads a connection from its start or from its midst.
    pub fn new() -> Redis {
        Redis {
            sides: Default::default(),
            command: Command::default(),
            reader: Reader::default(),
            pending: VecDeque::new(),
            over: 0,
            turns: Turns::default(),
            replies: Replies::On,
            channels: Default::default(),
            holes: false,
            database: String::new(),
            monitor: false,
            turned: None,
            unread: 0,
        }
    }

    fn message(&mut self, from: Side, frame: &Frame<'_>, out: &mut Vec<Request>) {
        if from == Side::Client {
            self.word(frame, out);
            return;
        }
        let Some(piece) = wire::piece(from, true, &frame.head) else { return };
        if let Some(value) = self.reader.piece(&piece, frame) {
            self.value(&value, out);
        }
    }

    /// A piece of a command.
    fn word(&mut self, frame: &Frame<'_>, out: &mut Vec<Request>) {
        let typed = self.command.left > 0;
        if !typed {
            self.command = Command { first: frame.first, ..Command::default() };
        }
        let c = &mut self.command;
        c.last = frame.last;
        c.bytes += frame.total;
        c.missing |= frame.missing;
        match wire::piece(Side::Client, typed, &frame.head) {
            Some(Piece::Many(_, Some(n))) if !typed => c.left = n,
            Some(Piece::Inline(text)) => {
                c.words = split(text);
                c.count = c.words.len();
                c.words.truncate(commands::WORDS);
            }
            piece => {
                let word = match piece {
                    Some(Piece::String(_, Some(word)) | Piece::Line(_, word)) if !frame.short => word,
                    _ => &[],
                };
                c.left = c.left.saturating_sub(1);
                c.count += 1;
                if c.words.len() < commands::WORDS {
                    c.words.push(word.to_vec());
                }
            }
        }
        if c.left == 0 && c.count > 0 {
            let command = std::mem::take(c);
            self.begin(command, out);
        }
    }

    fn begin(&mut self, command: Command, out: &mut Vec<Request>) {
        match self.turns.another(self.pending.len()) {
            Waiting::Fine => {}
            Waiting::AnsweredUnseen => self.give_up(out),
            Waiting::Unsure => self.pending.iter_mut().for_each(|p| p.request.missing |= missing::INFERRED),
        }
        let (name, key) = commands::describe(&command.words);
        let mut request = Request::begins(Protocol::Redis, command.first);
        request.sent = Some(command.last);
        request.request_bytes = command.bytes;
        request.detail = clipped(&key.map_or_else(|| name.clone(), |key| format!("{name} {key}")));
        request.target.clone_from(&self.database);
        request.missing |= if command.missing { missing::REQUEST } else { 0 };
        request.missing |= if self.turns.begins(self.pending.len()) { missing::INFERRED } else { 0 };
        request.key = name;
        let answered = self.heed(&request.key, &command);
        if !answered {
            request.outcome = Outcome::Ok;
            out.push(request);
        } else if self.pending.len() >= WAITING || self.over > 0 {
            self.over += 1;
            request.missing |= missing::RESPONSE;
            out.push(request);
        } else {
            let confirmations = self.confirmations(&request.key, command.count - 1);
            // Without channels all are meant: how many these are is known from what was confirmed.
            if confirmations.is_some() && command.count == 1 && self.holes {
                request.missing |= missing::INFERRED;
            }
            self.pending.push_back(Pending { request, confirmations });
        }
    }

    /// Heeds what a command changes about the connection. Returns whether it will be answered.
    fn heed(&mut self, name: &str, command: &Command) -> bool {
        let word = |at: usize| command.words.get(at).map(|w| w.to_ascii_uppercase()).unwrap_or_default();
        match name {
            "SELECT" => self.database = clipped(&String::from_utf8_lossy(&word(1))),
            "MONITOR" => self.monitor = true,
            "SYNC" | "PSYNC" => self.turned = Some(Turn::Replication),
            "CLIENT REPLY" => {
                self.replies = match word(2).as_slice() {
                    b"OFF" => Replies::Off,
                    b"SKIP" if self.replies == Replies::On => Replies::Skip,
                    b"ON" => Replies::On,
                    _ => self.replies,
                };
                return self.replies == Replies::On;
            }
            _ => {}
        }
        match self.replies {
            Replies::On => true,
            Replies::Off => false,
            Replies::Skip => {
                self.replies = Replies::On;
                false
            }
        }
    }

    /// How many confirmations a command of subscriptions is answered with.
    fn confirmations(&self, name: &str, channels: usize) -> Option<usize> {
        let kind = match name {
            "SUBSCRIBE" | "UNSUBSCRIBE" => 0,
            "PSUBSCRIBE" | "PUNSUBSCRIBE" => 1,
            "SSUBSCRIBE" | "SUNSUBSCRIBE" => 2,
            _ => return None,
        };
        Some(if channels > 0 { channels } else { self.channels[kind].len().max(1) })
    }

    /// A whole value of the server.
    fn value(&mut self, value: &Value, out: &mut Vec<Request>) {
        let word = value.words[0].as_slice();
        let confirms = word.ends_with(b"subscribe") && value.words.len() > 1;
        let push = value.kind == b'>' || self.subscribed() && word.ends_with(b"message") && value.kind == b'*';
        let asked = |p: &Pending| p.confirmations.is_some() && p.request.key.as_bytes().eq_ignore_ascii_case(word);
        let confirmation = confirms && self.pending.front().is_some_and(asked);
        if confirmation {
            self.confirmed(word, &value.words[1]);
        } else if confirms && self.pending.front().is_some_and(|p| p.confirmations.is_some()) {
            // Of another command, which is no longer waited for.
            return self.confirmed(word, &value.words[1]);
        } else if push || (self.monitor && self.pending.is_empty() && value.kind == b'+') {
            return;
        }
        let Some(p) = self.pending.front_mut() else {
            if self.over > 0 {
                self.over -= 1;
            } else {
                self.unread += value.captured;
                self.turns.stray();
            }
            return;
        };
        let r = &mut p.request;
        r.first.get_or_insert(value.first);
        r.end = Some(value.last);
        r.response_bytes += value.bytes;
        r.rows = value.items;
        r.missing |= if value.missing { missing::RESPONSE } else { 0 };
        self.holes |= value.missing;
        if let Some(left) = p.confirmations.as_mut().filter(|_| confirmation) {
            *left -= 1;
            if *left > 0 {
                return;
            }
        }
        r.outcome = Outcome::Ok;
        if let Some(error) = &value.error {
            r.outcome = Outcome::Error;
            r.code.clone_from(error);
        }
        self.turns.answered();
        out.extend(self.pending.pop_front().map(|p| p.request));
    }

    fn subscribed(&self) -> bool {
        self.channels.iter().any(|c| !c.is_empty())
    }

    fn confirmed(&mut self, word: &[u8], channel: &[u8]) {
        let kind = match word.first() {
            Some(b'p') => 1,
            Some(b's') if word.starts_with(b"ss") || word.starts_with(b"sun") => 2,
            _ => 0,
        };
        // FNV-1a: the same on each machine.
        let hash =
            channel.iter().fold(0xcbf2_9ce4_8422_2325_u64, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        let channels = &mut self.channels[kind];
        if word.ends_with(b"unsubscribe") {
            channels.remove(&hash);
        } else if channels.len() < CHANNELS {
            channels.insert(hash);
        }
    }

    /// Hands out all that waits without its answers.
    fn give_up(&mut self, out: &mut Vec<Request>) {
        for mut p in self.pending.drain(..) {
            p.request.missing |= missing::RESPONSE;
            p.request.end = None;
            out.push(p.request);
        }
        self.over = 0;
    }

    fn lost(&mut self, from: Side, out: &mut Vec<Request>) {
        self.holes = true;
        if from == Side::Client {
            if self.command.left > 0 {
                let mut command = std::mem::take(&mut self.command);
                command.missing = true;
                command.count = command.count.max(1);
                self.begin(command, out);
                if let Some(p) = self.pending.back_mut() {
                    p.request.missing |= missing::INFERRED;
                }
            }
            self.turns.client_lost();
            return;
        }
        self.reader = Reader::default();
        let inferred = self.turns.server_lost(self.pending.len());
        for p in &mut self.pending {
            p.request.missing |= missing::RESPONSE | if inferred { missing::INFERRED } else { 0 };
        }
    }
}

impl Dissector for Redis {
    fn bytes(&mut self, from: Side, at: Stamp, bytes: &[u8], out: &mut Vec<Request>) {
        let mut rest = bytes;
        loop {
            if self.turned.is_some() {
                self.unread += rest.len() as u64;
                return;
            }
            let typed = self.command.left > 0;
            let measure = |head: &[u8]| match wire::measure(from, typed, head) {
                // The words of an array are strings.
                Measure::Size { .. } if from == Side::Client && typed && head[0] != b'$' => Measure::Bad,
                measured => measured,
            };
            match self.sides[from.index()].next(&mut rest, at, measure, |b| search(b, |b| wire::sound(from, b))) {
                None => return,
                Some(Event::Message(frame)) => self.message(from, &frame, out),
                Some(Event::Lost) => self.lost(from, out),
                Some(Event::Found(n)) if from == Side::Server && n > 0 => {
                    if let Some(p) = self.pending.front_mut() {
                        // It may have begun inside of a value.
                        p.request.missing |= missing::RESPONSE | missing::INFERRED;
                    }
                }
                Some(Event::Found(_)) => {}
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
            self.lost(from, out);
        }
    }

    fn end(&mut self, how: End, _at: Stamp, out: &mut Vec<Request>) {
        let begun = self.reader.begun().or_else(|| self.sides[1].partial());
        if let (Some((first, bytes)), Some(p)) = (begun, self.pending.front_mut()) {
            p.request.first.get_or_insert(first);
            p.request.response_bytes += bytes;
        }
        for mut p in self.pending.drain(..) {
            p.request.end = None;
            p.request.outcome = match how {
                End::Capture => Outcome::Unfinished,
                End::Closed => Outcome::Closed,
                End::Reset => Outcome::Reset,
            };
            out.push(p.request);
        }
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
