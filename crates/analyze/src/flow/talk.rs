//! What is said on a connection: its bytes put in order and read, for the requests in them.

use coldcase_decode::packet::{Headers, Tcp};
use coldcase_decode::request::connection::Connection;
use coldcase_decode::request::dns::Datagrams;
use coldcase_decode::request::reassembly::{Segment, Way};
use coldcase_decode::request::{Protocol, Request, Stamp};

use super::tracked::At;

/// What reads a connection, and what it found.
#[derive(Default)]
pub(super) struct Talk {
    reader: Reader,
    pub(super) found: Vec<Request>,
}

/// A SYN of one side.
#[derive(Debug, Clone, Copy)]
struct Syn {
    at: Stamp,
    seq: u32,
    ack: Option<u32>,
}

impl Syn {
    fn segment(self, way: Way) -> Segment<'static> {
        let (at, seq, ack) = (self.at, self.seq, self.ack);
        Segment { way, at, seq, ack, syn: true, fin: false, rst: false, len: 0, data: &[] }
    }
}

/// What reads it. Of a connection of which no byte was captured there is none: its SYNs wait for the first.
#[derive(Default)]
enum Reader {
    #[default]
    None,
    Opened(Box<[Option<Syn>; 2]>),
    Tcp(Box<Connection>),
    Udp(Box<Datagrams>),
    /// It said all that it will say.
    Done {
        protocol: Option<Protocol>,
        client: Option<usize>,
        unread: u64,
    },
}

impl std::fmt::Debug for Talk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Talk").field("protocol", &self.protocol()).field("found", &self.found.len()).finish()
    }
}

impl Talk {
    /// Reads a packet of the side that sent the first one (0) or the other (1).
    pub(super) fn packet(&mut self, from: usize, at: At, h: &Headers, data: &[u8]) {
        // Frames are numbered from 1, packets of a request from 0.
        let stamp = Stamp { time: at.time, packet: at.frame.saturating_sub(1) };
        let Some(tcp) = h.tcp else { return self.datagram(stamp, h, data) };
        // Without a length it is not known where the next segment begins.
        if !h.length_known {
            return;
        }
        let ack = tcp.has(Tcp::ACK).then_some(tcp.ack);
        if data.is_empty() && matches!(self.reader, Reader::None | Reader::Opened(_)) {
            if tcp.has(Tcp::SYN) {
                self.open(from, Syn { at: stamp, seq: tcp.seq, ack });
            }
            return;
        }
        self.read();
        let Reader::Tcp(connection) = &mut self.reader else { return };
        connection.segment(
            &Segment {
                way: if from == 0 { Way::Forward } else { Way::Back },
                at: stamp,
                seq: tcp.seq,
                ack,
                syn: tcp.has(Tcp::SYN),
                fin: tcp.has(Tcp::FIN),
                rst: tcp.has(Tcp::RST),
                len: h.payload,
                data: data.get(..h.payload as usize).unwrap_or(data),
            },
            &mut self.found,
        );
        if connection.ended() {
            self.put_away();
        }
    }

    /// Remembers the first SYN of a side.
    fn open(&mut self, from: usize, syn: Syn) {
        if matches!(self.reader, Reader::None) {
            self.reader = Reader::Opened(Box::default());
        }
        if let Reader::Opened(syns) = &mut self.reader {
            syns[from & 1].get_or_insert(syn);
        }
    }

    /// Has something that reads, from the beginning as far as that was seen: what was not captured since is a gap.
    fn read(&mut self) {
        let syns = match &self.reader {
            Reader::None => [None; 2],
            Reader::Opened(syns) => **syns,
            _ => return,
        };
        let mut connection = Box::<Connection>::default();
        let mut syns: Vec<_> =
            [Way::Forward, Way::Back].into_iter().zip(syns).filter_map(|(w, s)| Some((w, s?))).collect();
        syns.sort_by_key(|(_, syn)| syn.at);
        syns.into_iter().for_each(|(way, syn)| connection.segment(&syn.segment(way), &mut self.found));
        self.reader = Reader::Tcp(connection);
    }

    fn datagram(&mut self, at: Stamp, h: &Headers, data: &[u8]) {
        if matches!(self.reader, Reader::None) {
            if data.is_empty() {
                return;
            }
            self.reader = Reader::Udp(Box::default());
        }
        if let Reader::Udp(datagrams) = &mut self.reader {
            datagrams.datagram(at, data.get(..h.payload as usize).unwrap_or(data), h.payload, &mut self.found);
        }
    }

    /// Whether it says no more.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.reader, Reader::None | Reader::Opened(_) | Reader::Done { .. })
    }

    /// No more packets.
    pub(super) fn end(&mut self) {
        match &mut self.reader {
            Reader::Tcp(connection) => connection.finish(&mut self.found),
            Reader::Udp(datagrams) => datagrams.finish(&mut self.found),
            Reader::None | Reader::Opened(_) | Reader::Done { .. } => return,
        }
        self.put_away();
    }

    /// Lets go of what reads, and keeps what it knew.
    fn put_away(&mut self) {
        let (protocol, client, unread) = (self.protocol(), self.client(), self.unread());
        self.reader = Reader::Done { protocol, client, unread };
    }

    /// The protocol, once known.
    pub(super) fn protocol(&self) -> Option<Protocol> {
        match &self.reader {
            Reader::None | Reader::Opened(_) => None,
            Reader::Tcp(connection) => connection.protocol(),
            Reader::Udp(datagrams) => datagrams.known().then_some(Protocol::Dns),
            Reader::Done { protocol, .. } => *protocol,
        }
    }

    /// Which side asks, as far as what is said tells.
    pub(super) fn client(&self) -> Option<usize> {
        match &self.reader {
            Reader::Tcp(connection) => connection.client().map(Way::index),
            Reader::Done { client, .. } => *client,
            // The one whose SYN answers none, or the other of one that does.
            Reader::Opened(syns) => {
                let opened = |i: usize| syns[i].is_some_and(|s| s.ack.is_none());
                (0..2).find(|&i| opened(i)).or_else(|| (0..2).find(|&i| syns[i].is_some()).map(|i| 1 - i))
            }
            Reader::None | Reader::Udp(_) => None,
        }
    }

    /// Bytes that belong to no message that could be read.
    pub(super) fn unread(&self) -> u64 {
        match &self.reader {
            Reader::None | Reader::Opened(_) => 0,
            Reader::Tcp(connection) => connection.unread(),
            Reader::Udp(datagrams) => datagrams.unread(),
            Reader::Done { unread, .. } => *unread,
        }
    }
}
