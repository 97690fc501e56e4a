//! Requests as they were sent, read from the packets a second time: all their headers, and their bodies.
//!
//! The analysis reads what identifies a request and forgets the rest. Here the client's bytes of the connections that
//! are wanted are put in order again, and each head is matched with the request that the analysis found at the same
//! packet with the same method and target.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::path::Path;

use coldcase_analyze::flow::ends;
use coldcase_decode::packet::{self, Tcp};
use coldcase_decode::request::http1::{HEAD, chunk_size, end_of_head};
use coldcase_decode::request::reassembly::{Piece, Reassembly, Segment, Way};
use coldcase_decode::request::{Stamp, route};
use coldcase_export::pcapng::{self, Frame, PcapngError, Wanted};
use coldcase_model::analysis::Analysis;
use coldcase_model::entity::Protocol;

use super::head::{self, Framing, Head};

/// Most bytes of bodies that are held in all.
pub const BODIES: u64 = 512 << 20;

/// A request as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Its method.
    pub method: String,
    /// Its target as sent.
    pub target: String,
    /// Its headers in their order, those that were captured.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Whether the whole head was captured.
    pub head_whole: bool,
    /// How its body was framed.
    pub framing: Framing,
    /// Its body.
    pub body: Body,
}

/// The body of a request, without the framing of chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// It has none.
    None,
    /// All of it.
    Bytes(Vec<u8>),
    /// It was not captured whole: its length, where the head tells it.
    Missing(Option<u64>),
    /// It was, but what is held of bodies would be more than [`BODIES`].
    TooMuch(u64),
}

/// What the packets have.
#[derive(Debug, Default)]
pub struct Extracted {
    /// By the index of the request in the flow.
    pub requests: BTreeMap<usize, Sent>,
    /// What could not be read, in one line each.
    pub problems: Vec<String>,
}

/// Reads the HTTP/1 requests of a flow. `analysis` is of the same file, `wanted` has its window and scope.
///
/// # Errors
/// When the file cannot be read.
pub fn extract(file: &Path, analysis: &Analysis, wanted: &Wanted) -> Result<Extracted, PcapngError> {
    let mut reader = Reader::of(analysis);
    let window = Wanted { from: wanted.from, to: wanted.to, ..Wanted::default() };
    let problems = pcapng::each::<PcapngError>(file, analysis, &window, &mut |frame| {
        reader.frame(&frame);
        Ok(())
    })?;
    Ok(Extracted { requests: reader.finish(), problems })
}

/// A request that the analysis found.
struct Expected {
    packet: u64,
    detail: String,
    request: usize,
}

/// All connections that are read.
struct Reader {
    /// Transport ends in order → connections, by their frames.
    by_ends: HashMap<(SocketAddr, SocketAddr), Vec<Talk>>,
    found: BTreeMap<usize, Sent>,
    held: u64,
}

/// One connection.
struct Talk {
    client: SocketAddr,
    frames: [u64; 2],
    reassembly: Reassembly,
    stream: Stream,
}

impl Reader {
    fn of(analysis: &Analysis) -> Reader {
        let flow = &analysis.flow;
        let mut expected = BTreeMap::<usize, VecDeque<Expected>>::new();
        for (request, r) in flow.requests.iter().enumerate().filter(|(_, r)| r.protocol == "http") {
            let expected = expected.entry(r.connection).or_default();
            expected.push_back(Expected { packet: r.frames[0].saturating_sub(1), detail: r.detail.clone(), request });
        }
        let mut by_ends = HashMap::<_, Vec<Talk>>::new();
        for (n, expected) in expected {
            let Some(c) = flow.connections.get(n) else { continue };
            let (Ok(client), Ok(server)) = (c.a.parse::<SocketAddr>(), c.b.parse::<SocketAddr>()) else { continue };
            let stream = Stream { expected, ..Stream::default() };
            let talk = Talk { client, frames: c.frames, reassembly: Reassembly::default(), stream };
            by_ends.entry((client.min(server), client.max(server))).or_default().push(talk);
        }
        by_ends.values_mut().for_each(|talks| talks.sort_by_key(|t| t.frames[0]));
        Reader { by_ends, found: BTreeMap::new(), held: 0 }
    }

    fn frame(&mut self, f: &Frame<'_>) {
        let (decoded, data) = packet::decode_payload(f.link, f.bytes, f.original);
        let Some(h) = decoded.headers().filter(|h| h.length_known) else { return };
        let (Some(tcp), Some((Protocol::Tcp, [src, dst]))) = (h.tcp, ends(h, false)) else { return };
        let Some(talks) = self.by_ends.get_mut(&(src.min(dst), src.max(dst))) else { return };
        let after = talks.partition_point(|t| t.frames[0] <= f.number);
        let Some(talk) = after.checked_sub(1).and_then(|at| talks.get_mut(at)) else { return };
        if talk.frames[1] < f.number {
            return;
        }
        let segment = Segment {
            way: if src == talk.client { Way::Forward } else { Way::Back },
            at: Stamp { time: f.time, packet: f.number - 1 },
            seq: tcp.seq,
            ack: tcp.has(Tcp::ACK).then_some(tcp.ack),
            syn: tcp.has(Tcp::SYN),
            fin: tcp.has(Tcp::FIN),
            rst: tcp.has(Tcp::RST),
            len: h.payload,
            data: data.get(..h.payload as usize).unwrap_or(data),
        };
        let Talk { reassembly, stream, .. } = talk;
        let (found, held) = (&mut self.found, &mut self.held);
        reassembly.segment(&segment, &mut |way, piece| {
            if way == Way::Forward {
                stream.piece(piece, found, held);
            }
        });
    }

    fn finish(mut self) -> BTreeMap<usize, Sent> {
        let (found, held) = (&mut self.found, &mut self.held);
        for talk in self.by_ends.values_mut().flatten() {
            let Talk { reassembly, stream, .. } = talk;
            reassembly.flush(Stamp { time: i64::MAX, packet: u64::MAX }, &mut |way, piece| {
                if way == Way::Forward {
                    stream.piece(piece, found, held);
                }
            });
            stream.end(found);
        }
        self.found
    }
}

/// What a client says next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    #[default]
    Head,
    /// So many bytes of the body are left.
    Length(u64),
    ChunkLine,
    /// So many bytes of the chunk are left, then its line ends.
    Chunk(u64),
    ChunkEnd,
    Trailer,
    /// Where a request begins is not known.
    Lost,
}

/// The bytes of a client.
#[derive(Default)]
struct Stream {
    expected: VecDeque<Expected>,
    phase: Phase,
    /// A head or line that is not whole, and where it began.
    buffer: Vec<u8>,
    began: Stamp,
    /// The request whose body is read.
    open: Option<(Stamp, Head, bool)>,
    body: Vec<u8>,
    /// Bytes of the body are missing, or were too many to hold.
    hole: bool,
    too_much: bool,
    length: u64,
}

impl Stream {
    fn piece(&mut self, piece: Piece<'_>, found: &mut BTreeMap<usize, Sent>, held: &mut u64) {
        match piece {
            Piece::Bytes(at, bytes) => self.bytes(at, bytes, found, held),
            Piece::Gap(_, n) => self.gap(n, found),
            Piece::Fin(_) => self.end(found),
        }
    }

    fn bytes(&mut self, at: Stamp, mut bytes: &[u8], found: &mut BTreeMap<usize, Sent>, held: &mut u64) {
        while !bytes.is_empty() {
            match self.phase {
                Phase::Head => match self.head(at, bytes, found) {
                    // A head that ended before this piece was read then: what is behind it is the end of this piece.
                    Some(behind) => bytes = &bytes[bytes.len().saturating_sub(behind)..],
                    None => return,
                },
                Phase::Length(n) => {
                    let taken = self.take(bytes, n, held);
                    bytes = &bytes[taken..];
                    self.phase = Phase::Length(n - taken as u64);
                    if n == taken as u64 {
                        self.done(found);
                    }
                }
                Phase::Chunk(n) => {
                    let taken = self.take(bytes, n, held);
                    bytes = &bytes[taken..];
                    self.phase = if n == taken as u64 { Phase::ChunkEnd } else { Phase::Chunk(n - taken as u64) };
                }
                Phase::ChunkLine | Phase::ChunkEnd | Phase::Trailer => {
                    let end = bytes.iter().position(|&b| b == b'\n');
                    let taken = end.map_or(bytes.len(), |at| at + 1);
                    self.buffer.extend_from_slice(&bytes[..taken]);
                    bytes = &bytes[taken..];
                    if end.is_some() {
                        self.line(found);
                    } else if self.buffer.len() > HEAD {
                        self.lose(found);
                    }
                }
                Phase::Lost => match self.resume(at, bytes) {
                    Some(from) => {
                        self.phase = Phase::Head;
                        bytes = &bytes[from..];
                    }
                    None => return,
                },
            }
        }
    }

    /// Bytes of a head. Gives how many are behind it, where it is whole.
    fn head(&mut self, at: Stamp, bytes: &[u8], found: &mut BTreeMap<usize, Sent>) -> Option<usize> {
        let mut bytes = bytes;
        if self.buffer.is_empty() {
            // Empty lines before a request are passed over (RFC 9112 2.2).
            let blank = bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
            bytes = &bytes[blank..];
            self.began = at;
        }
        self.buffer.extend_from_slice(bytes);
        let Some(end) = end_of_head(&self.buffer, 0) else {
            if self.buffer.len() > HEAD {
                self.lose(found);
            }
            return None;
        };
        let behind = self.buffer.len() - end;
        let bytes = std::mem::take(&mut self.buffer);
        match head::read(&bytes[..end], false) {
            Some(head) => self.begin(head, true, found),
            None => self.phase = Phase::Lost,
        }
        Some(behind)
    }

    /// A head was read.
    fn begin(&mut self, head: Head, whole: bool, found: &mut BTreeMap<usize, Sent>) {
        let framing = head.framing;
        self.open = Some((self.began, head, whole));
        match framing {
            Framing::None | Framing::Length(0) => self.done(found),
            Framing::Length(n) => self.phase = Phase::Length(n),
            Framing::Chunked => self.phase = Phase::ChunkLine,
            Framing::Unknown => self.lose(found),
        }
    }

    /// Keeps up to `n` bytes of a body. Gives how many were taken.
    fn take(&mut self, bytes: &[u8], n: u64, held: &mut u64) -> usize {
        let taken = (bytes.len() as u64).min(n) as usize;
        self.length += taken as u64;
        if *held + taken as u64 > BODIES {
            self.too_much = true;
        }
        if self.hole || self.too_much {
            *held -= self.body.len() as u64;
            self.body = Vec::new();
        } else {
            *held += taken as u64;
            self.body.extend_from_slice(&bytes[..taken]);
        }
        taken
    }

    /// A line between chunks is whole.
    fn line(&mut self, found: &mut BTreeMap<usize, Sent>) {
        let line = std::mem::take(&mut self.buffer);
        match self.phase {
            Phase::ChunkEnd => self.phase = Phase::ChunkLine,
            Phase::Trailer if line.trim_ascii().is_empty() => self.done(found),
            Phase::Trailer => {}
            _ => match chunk_size(&line) {
                Some(0) => self.phase = Phase::Trailer,
                Some(n) => self.phase = Phase::Chunk(n),
                None => self.lose(found),
            },
        }
    }

    /// The capture does not have `n` bytes.
    fn gap(&mut self, n: u64, found: &mut BTreeMap<usize, Sent>) {
        self.hole = true;
        match self.phase {
            Phase::Length(left) if n < left => self.phase = Phase::Length(left - n),
            Phase::Length(left) if n == left => self.done(found),
            Phase::Chunk(left) if n < left => self.phase = Phase::Chunk(left - n),
            Phase::Head if !self.buffer.is_empty() => {
                let cut = std::mem::take(&mut self.buffer);
                self.phase = Phase::Lost;
                if let Some(head) = head::read(&cut, true) {
                    self.open = Some((self.began, head, false));
                    self.lose(found);
                }
                self.hole = false;
            }
            _ => self.lose(found),
        }
    }

    /// The end of what is read of the client.
    fn end(&mut self, found: &mut BTreeMap<usize, Sent>) {
        self.hole = true;
        self.lose(found);
    }

    /// The place in the stream is lost: what is open ends here, its body not whole.
    fn lose(&mut self, found: &mut BTreeMap<usize, Sent>) {
        if self.open.is_some() {
            self.hole = true;
            self.done(found);
        }
        self.buffer.clear();
        self.hole = false;
        self.phase = Phase::Lost;
    }

    /// The open request is over.
    fn done(&mut self, found: &mut BTreeMap<usize, Sent>) {
        self.phase = Phase::Head;
        let (body, length) = (std::mem::take(&mut self.body), std::mem::take(&mut self.length));
        let (hole, too_much) = (std::mem::take(&mut self.hole), std::mem::take(&mut self.too_much));
        let Some((began, head, head_whole)) = self.open.take() else { return };
        let body = match head.framing {
            Framing::None | Framing::Length(0) => Body::None,
            Framing::Length(n) if hole => Body::Missing(Some(n)),
            // Whether there is a body at all, only the method can tell (RFC 9110 9.3).
            Framing::Unknown if matches!(head.method.as_str(), "GET" | "HEAD" | "OPTIONS" | "DELETE") => Body::None,
            _ if hole => Body::Missing(None),
            _ if too_much => Body::TooMuch(length),
            _ => Body::Bytes(body),
        };
        let Some(request) = self.matching(began, &head) else { return };
        let Head { method, target, headers, framing } = head;
        found.insert(request, Sent { method, target, headers, head_whole, framing, body });
    }

    /// The request of the analysis that began with this head.
    fn matching(&mut self, began: Stamp, head: &Head) -> Option<usize> {
        while self.expected.front().is_some_and(|e| e.packet < began.packet) {
            self.expected.pop_front();
        }
        let detail = route::bounded(&format!("{} {}", head.method, head.target));
        let here = self.expected.front().filter(|e| e.packet == began.packet && e.detail == detail)?.request;
        self.expected.pop_front();
        Some(here)
    }

    /// Where the next request that the analysis found begins in these bytes.
    fn resume(&mut self, at: Stamp, bytes: &[u8]) -> Option<usize> {
        while self.expected.front().is_some_and(|e| e.packet < at.packet) {
            self.expected.pop_front();
        }
        let next = self.expected.front().filter(|e| e.packet == at.packet && !e.detail.is_empty())?;
        let line = next.detail.as_bytes();
        (line.len() <= bytes.len()).then(|| bytes.windows(line.len()).position(|w| w == line)).flatten()
    }
}

#[cfg(test)]
mod tests;
