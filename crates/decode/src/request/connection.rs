//! A TCP connection from its segments to its requests.

use super::detect::{Detector, Opening};
use super::reassembly::{Half, Piece, Segment, Way};
use super::{Dissector, End, Protocol, Request, Side, Stamp};

/// Reassembles both ways of a connection, finds its protocol and reads it.
pub struct Connection {
    halves: [Half; 2],
    /// Which way the client sends, where a SYN told it.
    client: Option<Way>,
    detector: Option<Detector>,
    ended: bool,
    newest: Stamp,
    missing: u64,
}

impl Default for Connection {
    fn default() -> Self {
        Connection::new()
    }
}

impl Connection {
    /// A connection of which no segment was seen.
    pub fn new() -> Connection {
        Connection {
            halves: Default::default(),
            client: None,
            detector: None,
            ended: false,
            newest: Stamp::default(),
            missing: 0,
        }
    }

    /// Whether this segment opens another connection between the same addresses and ports.
    pub fn reopened_by(&self, s: &Segment<'_>) -> bool {
        s.syn && s.ack.is_none() && self.halves[s.way.index()].reopened_by(s.seq)
    }

    /// The protocol, once it was found.
    pub fn protocol(&self) -> Option<Protocol> {
        self.detector.as_ref().and_then(Detector::protocol)
    }

    /// Which way the client sends, as far as that is known: by SYN, or else by what the protocol shows.
    pub fn client(&self) -> Option<Way> {
        let detector = self.detector.as_ref()?;
        self.client.or_else(|| detector.protocol().map(|_| if detector.flipped() { Way::Back } else { Way::Forward }))
    }

    /// Whether it said all that it will say: it was reset, or both ways were closed.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Bytes that belong to no message that could be read.
    pub fn unread(&self) -> u64 {
        self.detector.as_ref().map_or(0, Detector::unread)
    }

    /// Bytes of both ways that the capture does not have.
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// Takes a segment; the requests that end with it go to `out`.
    pub fn segment(&mut self, s: &Segment<'_>, out: &mut Vec<Request>) {
        if self.ended {
            return;
        }
        self.newest = self.newest.max(s.at);
        let (this, other) = (s.way, s.way.other());
        if s.syn {
            self.halves[this.index()].syn(s.seq);
            if self.detector.is_none() {
                self.client.get_or_insert(if s.ack.is_some() { other } else { this });
            }
        }
        let speaks = s.len > 0 || s.fin || s.rst;
        if let Some(ack) = s.ack.filter(|_| !s.rst) {
            self.halves[other.index()].ack(ack);
            self.run(other, out, |half, sink| half.settle(s.at, speaks, sink));
        }
        if s.rst {
            return self.end(End::Reset, s.at, out);
        }
        self.run(this, out, |half, sink| half.segment(s, sink));
        if self.halves.iter().all(Half::ended) {
            self.end(End::Closed, self.newest, out);
        }
    }

    /// No more segments: the capture ended, or the connection was idle for too long.
    pub fn finish(&mut self, out: &mut Vec<Request>) {
        self.end(End::Capture, self.newest, out);
    }

    fn end(&mut self, how: End, at: Stamp, out: &mut Vec<Request>) {
        if self.ended {
            return;
        }
        for way in [Way::Forward, Way::Back] {
            self.run(way, out, |half, sink| half.flush(sink));
        }
        self.ended = true;
        let how = if how == End::Capture && self.halves.iter().any(Half::ended) { End::Closed } else { how };
        if let Some(detector) = &mut self.detector {
            detector.end(how, at, out);
        }
    }

    /// Lets a half work, and hands what comes out of it to the dissector.
    fn run(&mut self, way: Way, out: &mut Vec<Request>, work: impl FnOnce(&mut Half, &mut dyn FnMut(Piece<'_>))) {
        let opening = Opening { midway: !self.halves.iter().any(Half::opened), depth: 0 };
        let Connection { halves, client, detector, missing, .. } = self;
        let side = if way == client.unwrap_or(Way::Forward) { Side::Client } else { Side::Server };
        let sure = client.is_some();
        work(&mut halves[way.index()], &mut |piece| {
            let detector = detector.get_or_insert_with(|| Detector::new(opening, sure));
            match piece {
                Piece::Bytes(at, bytes) => detector.bytes(side, at, bytes, out),
                Piece::Gap(at, len) => {
                    *missing += len;
                    detector.gap(side, at, len, out);
                }
                Piece::Fin(at) => detector.half_close(side, at, out),
            }
        });
    }
}
