//! Which protocol a connection speaks, by its first bytes and not by its ports.
//!
//! A connection need not be met at its beginning: whatever one side says in a turn, or behind a gap, may be the
//! beginning of a message, so each of these is looked at until a protocol knows its own.

use std::collections::VecDeque;

use super::{
    Dissector, End, Protocol, Request, Side, Stamp, Turn, dns, http1, http2, kafka, mongo, mysql, postgres, redis, tls,
};

/// What the bytes of one side say about a protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is not.
    No,
    /// Too few bytes to tell.
    More,
    /// It may be: the bytes fit, other protocols fit as well.
    Likely,
    /// It is.
    Yes,
}

/// Looks at the bytes that a side sent first, or from where the capture met the connection.
pub type Probe = fn(from: Side, bytes: &[u8]) -> Verdict;

/// A dissector that may go from thread to thread.
pub type AnyDissector = Box<dyn Dissector + Send + Sync>;

/// What detection knows of a protocol.
pub struct Entry {
    /// Which.
    pub protocol: Protocol,
    /// Whether bytes are of it.
    pub probe: Probe,
    /// Makes its dissector.
    pub open: fn(&Opening) -> AnyDissector,
}

/// How a connection was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Opening {
    /// In its midst: what was said before is not known.
    pub midway: bool,
    /// How many connections it is inside of, by CONNECT.
    pub depth: u8,
}

/// Every protocol over TCP; where several are as sure, the first wins.
pub const PROTOCOLS: &[Entry] = &[
    Entry { protocol: Protocol::Http1, probe: http1::probe, open: |o| Box::new(http1::Http1::new(*o)) },
    Entry { protocol: Protocol::Http2, probe: http2::probe, open: |o| Box::new(http2::Http2::new(*o)) },
    Entry { protocol: Protocol::Tls, probe: tls::probe, open: |_| Box::<tls::Tls>::default() },
    Entry { protocol: Protocol::Dns, probe: dns::probe, open: |o| Box::new(dns::Stream::new(*o)) },
    Entry { protocol: Protocol::Postgres, probe: postgres::probe, open: |_| Box::<postgres::Postgres>::default() },
    Entry { protocol: Protocol::Mysql, probe: mysql::probe, open: |_| Box::<mysql::Mysql>::default() },
    Entry { protocol: Protocol::Redis, probe: redis::probe, open: |_| Box::<redis::Redis>::default() },
    Entry { protocol: Protocol::Mongo, probe: mongo::probe, open: |_| Box::<mongo::Mongo>::default() },
    Entry { protocol: Protocol::Kafka, probe: kafka::probe, open: |_| Box::<kafka::Kafka>::default() },
];

/// Most bytes of a run that are looked at.
const RUN: usize = 8 << 10;
/// Most runs that are looked at before a connection is given up.
const RUNS: u32 = 256;
/// Most that is kept for the dissector that is not found yet: bytes, and so many events.
const KEPT: usize = 256 << 10;
const EVENTS: usize = 1024;

/// What was not handed to a dissector yet, as there is none.
#[derive(Debug)]
enum Event {
    Bytes(Side, Stamp, Box<[u8]>),
    Gap(Side, Stamp, u64),
    HalfClose(Side, Stamp),
}

/// The bytes of one side from the beginning of a turn, or behind a gap.
#[derive(Debug, Default)]
struct Run {
    bytes: Vec<u8>,
    /// No protocol knows it.
    dead: bool,
    /// It ended in a gap.
    cut: bool,
}

/// Finds the protocol of a connection, and then is its dissector.
pub struct Detector {
    opening: Opening,
    /// The sides are as the caller tells them. Otherwise the client is whom the protocol shows to be it.
    sure: bool,
    found: Option<Found>,
    given_up: bool,
    events: VecDeque<Event>,
    /// Bytes in `events`.
    kept: usize,
    runs: [Run; 2],
    turn: Option<Side>,
    run_count: u32,
    unread: u64,
}

struct Found {
    protocol: Protocol,
    dissector: AnyDissector,
    /// The caller's client is the server.
    flipped: bool,
}

impl Detector {
    /// A connection of which nothing was seen yet. With `sure`, the caller knows which side is the client.
    pub fn new(opening: Opening, sure: bool) -> Detector {
        Detector {
            opening,
            sure,
            found: None,
            given_up: false,
            events: VecDeque::new(),
            kept: 0,
            runs: Default::default(),
            turn: None,
            run_count: 0,
            unread: 0,
        }
    }

    /// The protocol, once it was found.
    pub fn protocol(&self) -> Option<Protocol> {
        self.found.as_ref().map(|f| f.protocol)
    }

    /// Whether the side that the caller has for the client turned out to be the server.
    pub fn flipped(&self) -> bool {
        self.found.as_ref().is_some_and(|f| f.flipped)
    }

    /// Looks at the runs as they stand. With `last`, nothing more will come, and the likeliest is taken.
    fn look(&mut self, last: bool, out: &mut Vec<Request>) {
        let mut best: Option<(u8, &Entry, bool)> = None;
        let mut alive = [false; 2];
        for entry in PROTOCOLS {
            for flipped in [false, true] {
                if flipped && self.sure {
                    continue;
                }
                let mut score = 0;
                for (run, alive) in self.runs.iter().zip([Side::Client, Side::Server]).zip(&mut alive) {
                    let (run, side) = run;
                    if run.dead || run.bytes.is_empty() {
                        continue;
                    }
                    let side = if flipped { side.other() } else { side };
                    let verdict = (entry.probe)(side, &run.bytes);
                    *alive |= verdict != Verdict::No;
                    score += match verdict {
                        Verdict::No | Verdict::More => 0,
                        Verdict::Likely => 1,
                        Verdict::Yes => 4,
                    };
                }
                if score > best.as_ref().map_or(0, |b| b.0) {
                    best = Some((score, entry, flipped));
                }
            }
        }
        match best {
            Some((score, entry, flipped)) if score >= 2 || last || self.runs.iter().any(|r| r.bytes.len() > RUN) => {
                self.settle(entry, flipped, out)
            }
            _ => {
                for (index, alive) in alive.into_iter().enumerate() {
                    let len = self.runs[index].bytes.len();
                    if len > 0 && !alive || len > RUN {
                        self.bury(index);
                    }
                }
            }
        }
    }

    /// A run that no protocol knows: its bytes are let go.
    fn bury(&mut self, index: usize) {
        self.runs[index] = Run { bytes: Vec::new(), dead: true, cut: false };
        let mut gone = 0;
        self.events.retain(|event| match event {
            Event::Bytes(side, _, bytes) if side.index() == index => {
                gone += bytes.len();
                false
            }
            _ => true,
        });
        self.let_go(gone);
    }

    /// So many kept bytes will not be read.
    fn let_go(&mut self, bytes: usize) {
        self.kept -= bytes;
        self.unread += bytes as u64;
        self.opening.midway |= bytes > 0;
    }

    fn settle(&mut self, entry: &Entry, flipped: bool, out: &mut Vec<Request>) {
        let mut dissector = (entry.open)(&self.opening);
        let turned = |side: Side| if flipped { side.other() } else { side };
        for event in std::mem::take(&mut self.events) {
            match event {
                Event::Bytes(side, at, bytes) => dissector.bytes(turned(side), at, &bytes, out),
                Event::Gap(side, at, len) => dissector.gap(turned(side), at, len, out),
                Event::HalfClose(side, at) => dissector.half_close(turned(side), at, out),
            }
            self.unread += follow(&mut dissector);
        }
        self.kept = 0;
        self.found = Some(Found { protocol: entry.protocol, dissector, flipped });
        self.runs = Default::default();
    }

    /// A new run of a side begins. What it said before will not be clearer: the likeliest is taken.
    fn begin_run(&mut self, index: usize, out: &mut Vec<Request>) {
        if !self.runs[index].bytes.is_empty() {
            self.look(true, out);
            if self.found.is_some() {
                return;
            }
        }
        self.runs[index] = Run::default();
        self.run_count += 1;
        if self.run_count > RUNS {
            self.given_up = true;
            self.runs = Default::default();
            self.events.clear();
            self.let_go(self.kept);
        }
    }

    fn found(&mut self, from: Side) -> Option<(Side, &mut AnyDissector)> {
        self.found.as_mut().map(|f| (if f.flipped { from.other() } else { from }, &mut f.dissector))
    }

    fn keep(&mut self, event: Event) {
        if let Event::Bytes(_, _, bytes) = &event {
            self.kept += bytes.len();
        }
        self.events.push_back(event);
        while self.events.len() > EVENTS || self.kept > KEPT {
            match self.events.pop_front() {
                Some(Event::Bytes(_, _, bytes)) => self.let_go(bytes.len()),
                Some(_) => self.opening.midway = true,
                None => break,
            }
        }
    }
}

/// Where both sides agreed to go on with TLS, its dissector takes the place of the one that is done. Returns how many bytes
/// that one could not read.
fn follow(dissector: &mut AnyDissector) -> u64 {
    if dissector.turned() != Some(Turn::Tls) {
        return 0;
    }
    let unread = dissector.unread();
    *dissector = Box::<tls::Tls>::default();
    unread
}

impl Dissector for Detector {
    fn bytes(&mut self, from: Side, at: Stamp, bytes: &[u8], out: &mut Vec<Request>) {
        let index = from.index();
        if self.found.is_none() && !self.given_up && self.turn != Some(from) {
            self.turn = Some(from);
            self.begin_run(index, out);
        }
        if let Some((side, dissector)) = self.found(from) {
            dissector.bytes(side, at, bytes, out);
            self.unread += follow(dissector);
            return;
        }
        if self.given_up || self.runs[index].dead {
            self.unread += bytes.len() as u64;
            return;
        }
        self.keep(Event::Bytes(from, at, bytes.into()));
        let run = &mut self.runs[index];
        if !run.cut {
            // One more than what is looked at tells that it is too long.
            let room = (RUN + 1).saturating_sub(run.bytes.len());
            run.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
            self.look(false, out);
        }
    }

    fn gap(&mut self, from: Side, at: Stamp, len: u64, out: &mut Vec<Request>) {
        if let Some((side, dissector)) = self.found(from) {
            return dissector.gap(side, at, len, out);
        }
        if self.given_up {
            return;
        }
        // Before the first byte only the last gap of a side counts: the connection is met in its midst.
        if self.kept == 0 {
            self.events.retain(|event| !matches!(event, Event::Gap(side, ..) if *side == from));
        }
        self.keep(Event::Gap(from, at, len));
        let run = &mut self.runs[from.index()];
        if run.bytes.is_empty() {
            self.opening.midway = true;
            *run = Run::default();
        } else {
            run.cut = true;
        }
    }

    fn half_close(&mut self, from: Side, at: Stamp, out: &mut Vec<Request>) {
        if let Some((side, dissector)) = self.found(from) {
            dissector.half_close(side, at, out);
        } else if !self.given_up {
            self.keep(Event::HalfClose(from, at));
        }
    }

    fn end(&mut self, how: End, at: Stamp, out: &mut Vec<Request>) {
        if self.found.is_none() && !self.given_up {
            self.look(true, out);
        }
        if let Some(found) = &mut self.found {
            found.dissector.end(how, at, out);
        }
    }

    fn unread(&self) -> u64 {
        self.unread + self.kept as u64 + self.found.as_ref().map_or(0, |f| f.dissector.unread())
    }
}
