//! A TCP connection from its segments to its requests.

use super::detect::{Detector, Opening};
use super::reassembly::{Piece, Reassembly, Segment, Sink, Way};
use super::{Dissector, End, Protocol, Request, Side, Stamp};

/// Reassembles both ways of a connection, finds its protocol and reads it.
#[derive(Default)]
pub struct Connection {
    reassembly: Reassembly,
    /// Which way the client sends, where a SYN told it.
    client: Option<Way>,
    detector: Option<Detector>,
    ended: bool,
    newest: Stamp,
    missing: u64,
}

impl Connection {
    /// A connection of which no segment was seen.
    pub fn new() -> Connection {
        Connection::default()
    }

    /// Whether this segment opens another connection between the same addresses and ports.
    pub fn reopened_by(&self, s: &Segment<'_>) -> bool {
        self.reassembly.reopened_by(s)
    }

    /// The protocol, once it was found.
    pub fn protocol(&self) -> Option<Protocol> {
        self.detector.as_ref().and_then(Detector::protocol)
    }

    /// Which way the client sends, as far as that is known: by SYN, or else by what the protocol shows.
    pub fn client(&self) -> Option<Way> {
        self.client.or_else(|| {
            let detector = self.detector.as_ref()?;
            detector.protocol().map(|_| if detector.flipped() { Way::Back } else { Way::Forward })
        })
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
        if s.syn && self.detector.is_none() {
            self.client.get_or_insert(if s.ack.is_some() { s.way.other() } else { s.way });
        }
        self.run(out, |reassembly, sink| reassembly.segment(s, sink));
        if s.rst {
            self.end(End::Reset, s.at, out);
        } else if self.reassembly.ended() {
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
        let newest = self.newest;
        self.run(out, |reassembly, sink| reassembly.flush(newest, sink));
        self.ended = true;
        let how = if how == End::Capture && self.reassembly.half_ended() { End::Closed } else { how };
        if let Some(detector) = &mut self.detector {
            detector.end(how, at, out);
        }
    }

    /// Lets reassembly work, and hands what comes out of it to the dissector.
    fn run(&mut self, out: &mut Vec<Request>, work: impl FnOnce(&mut Reassembly, &mut Sink<'_>)) {
        let Connection { reassembly, client, detector, missing, .. } = self;
        let opened = reassembly.opened();
        let sure = client.is_some();
        let first = client.unwrap_or(Way::Forward);
        work(reassembly, &mut |way, piece| {
            let side = if way == first { Side::Client } else { Side::Server };
            let detector =
                detector.get_or_insert_with(|| Detector::new(Opening { midway: !opened && !sure, depth: 0 }, sure));
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
