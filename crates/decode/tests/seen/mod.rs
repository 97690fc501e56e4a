//! A capture read to flows with the marks of each frame, as the tests hold them against other tools.
#![allow(dead_code, clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use coldcase_decode::capture::{Next, Reader, Record};
use coldcase_decode::packet::{self, Decoded, Headers, Reassembler, TCP, Tcp, UDP};
use coldcase_decode::tcp::{Connection, Marks, Segment};

/// A flow: one `tcp.stream` or `udp.stream` of tshark.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    pub ends: Vec<SocketAddr>,
    pub first: i64,
    pub last: i64,
    pub packets: [u64; 2],
    pub bytes: [u64; 2],
    pub payload: [u64; 2],
    pub syn: u64,
    pub syn_ack: u64,
    pub fin: u64,
    pub rst: u64,
    pub tcp: Connection,
    /// Frames with each mark.
    pub frames: BTreeMap<&'static str, Vec<u64>>,
    pub ack_rtts: Vec<i64>,
    /// Number of its first frame.
    pub first_frame: u64,
}

/// A capture.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub packets: u64,
    pub bytes: u64,
    pub malformed: Vec<u64>,
    pub tcp: Vec<Flow>,
    pub udp: Vec<Flow>,
    /// Why reading ended early.
    pub problem: Option<String>,
    /// Frame, its flow, its marks.
    pub marks: Vec<(u64, usize, Marks)>,
}

/// Reads a capture. `None`: it is no capture file.
pub(crate) fn read(file: &[u8]) -> Option<Seen> {
    let mut reader = Reader::of(file)?;
    let mut taken = Taking::default();
    let mut rest = file;
    loop {
        match reader.next(rest) {
            Next::Packet(record, length) => {
                taken.frame(&record);
                rest = &rest[length..];
            }
            Next::Frame(length) => {
                taken.frames += 1;
                taken.seen.packets += 1;
                rest = &rest[length..];
            }
            Next::Skip(length) => rest = &rest[length..],
            Next::Need(_) if rest.is_empty() => break,
            Next::Need(_) => {
                taken.seen.problem = Some("cut short".to_owned());
                break;
            }
            Next::Bad(problem) => {
                taken.seen.problem = Some(problem.to_owned());
                break;
            }
        }
    }
    Some(taken.seen)
}

#[derive(Default)]
struct Taking {
    seen: Seen,
    frames: u64,
    open: HashMap<(bool, SocketAddr, SocketAddr), usize>,
    fragments: Reassembler,
}

impl Taking {
    fn frame(&mut self, r: &Record<'_>) {
        self.frames += 1;
        self.seen.packets += 1;
        self.seen.bytes += u64::from(r.original);
        let mut decoded = packet::decode(r.link, r.bytes, r.original);
        if decoded.headers().is_some_and(|h| h.fragment)
            && let Some(whole) = self.fragments.push(r.link, r.bytes, r.original)
        {
            decoded = whole.0;
        }
        match decoded {
            Decoded::Ip(h) => {
                if h.trouble == Some(packet::Trouble::Malformed) {
                    self.seen.malformed.push(self.frames);
                }
                self.headers(r, &h);
            }
            Decoded::Malformed => self.seen.malformed.push(self.frames),
            _ => {}
        }
    }

    fn headers(&mut self, r: &Record<'_>, h: &Headers) {
        if let Some(t) = h.tunnel.filter(|t| t.ports != [0; 2]) {
            let ends = [0, 1].map(|i| SocketAddr::new(t.ends[i].addr(), t.ports[i]));
            self.flow(false, ends, r, None);
        }
        let ends = [(h.src, h.src_port), (h.dst, h.dst_port)].map(|(a, p)| SocketAddr::new(a.addr(), p));
        match h.protocol {
            TCP if h.tcp.is_some() => self.flow(true, ends, r, h.tcp.map(|t| (t, h))),
            UDP if h.udp => self.flow(false, ends, r, None),
            _ => {}
        }
    }

    fn flow(&mut self, is_tcp: bool, [src, dst]: [SocketAddr; 2], r: &Record<'_>, tcp: Option<(Tcp, &Headers)>) {
        let key = (is_tcp, src.min(dst), src.max(dst));
        let flows = if is_tcp { &mut self.seen.tcp } else { &mut self.seen.udp };
        let time = r.time.unwrap_or(0);
        let known = self.open.get(&key).copied();
        let reopened = known.zip(tcp).is_some_and(|(at, (tcp, _))| {
            let flow = &flows[at];
            flow.tcp.is_reopened_by(usize::from(flow.ends[0] != src), &tcp)
        });
        let at = known.filter(|_| !reopened).unwrap_or_else(|| {
            let tcp = if reopened { Connection::reopened() } else { Connection::default() };
            let ends = vec![src, dst];
            flows.push(Flow { ends, first: time, tcp, first_frame: self.frames, ..Flow::default() });
            self.open.insert(key, flows.len() - 1);
            flows.len() - 1
        });
        let flow = &mut flows[at];
        let from = usize::from(flow.ends[0] != src);
        flow.last = time;
        flow.packets[from] += 1;
        flow.bytes[from] += u64::from(r.original);
        let Some((tcp, h)) = tcp else { return };
        let payload = h.length_known.then_some(h.payload);
        flow.payload[from] += u64::from(payload.unwrap_or(0));
        let (syn, ack) = (tcp.has(Tcp::SYN), tcp.has(Tcp::ACK));
        flow.syn += u64::from(syn && !ack);
        flow.syn_ack += u64::from(syn && ack);
        flow.fin += u64::from(tcp.has(Tcp::FIN));
        flow.rst += u64::from(tcp.has(Tcp::RST));
        let marks = flow.tcp.push(from, &Segment { frame: self.frames, time, ip_id: h.ip_id, tcp, payload });
        marks.flags.names().for_each(|name| flow.frames.entry(name).or_default().push(self.frames));
        flow.ack_rtts.extend(marks.ack_rtt);
        self.seen.marks.push((self.frames, at, marks));
    }
}
