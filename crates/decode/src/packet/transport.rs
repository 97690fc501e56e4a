//! TCP and UDP headers, whole or as far as they were captured.

use etherparse::{TcpOptionElement, TcpOptionsIterator};

use super::part::{Part, Stop};
use super::tunnel;
use super::walk::Walk;
use super::{Headers, Sack, Tcp, Trouble};

/// Of a TCP header, what tells ports, numbers, flags and window.
const ENOUGH: usize = 16;
/// The header without options.
const FIXED: usize = 20;
/// Option kinds that are not in the crate.
const MPTCP: u8 = 30;

impl<'a> Walk<'a> {
    /// A TCP header. Of a cut one, options and all that stands behind the window may be missing.
    pub(super) fn tcp(&mut self, mut h: Headers, part: Part<'a>) -> Result<Headers, Stop> {
        let fixed: [u8; ENOUGH] = match part.array() {
            Ok(fixed) => fixed,
            Err(Stop::Cut) => return Ok(Headers { trouble: Some(Trouble::Cut), ..h }),
            Err(stop) => return Err(stop),
        };
        let [s0, s1, d0, d1, q0, q1, q2, q3, a0, a1, a2, a3, offset, flags, w0, w1] = fixed;
        (h.src_port, h.dst_port) = (u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]));
        let length = usize::from(offset >> 4) * 4;
        let mut tcp = Tcp {
            flags,
            seq: u32::from_be_bytes([q0, q1, q2, q3]),
            ack: u32::from_be_bytes([a0, a1, a2, a3]),
            window: u16::from_be_bytes([w0, w1]),
            ..Tcp::default()
        };
        // A segment shorter than its header has no length.
        h.length_known = part.wire as usize >= length;
        h.payload = part.wire.saturating_sub(length as u32);
        if length >= FIXED {
            let captured = part.bytes.get(FIXED..length).or(part.bytes.get(FIXED..));
            options(&mut tcp, captured.unwrap_or(&[]));
        } else {
            h.trouble = Some(Trouble::Malformed);
        }
        h.tcp = Some(tcp);
        self.payload = part.after(length).bytes;
        Ok(h)
    }

    /// A UDP header, and the tunnel that its port may tell.
    pub(super) fn udp(&mut self, mut h: Headers, part: Part<'a>) -> Result<Headers, Stop> {
        let header: [u8; 8] = match part.array() {
            Ok(header) => header,
            Err(Stop::Cut) => return Ok(Headers { trouble: Some(Trouble::Cut), ..h }),
            Err(stop) => return Err(stop),
        };
        let [s0, s1, d0, d1, l0, l1, _, _] = header;
        (h.src_port, h.dst_port) = (u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]));
        let length = u32::from(u16::from_be_bytes([l0, l1]));
        // RFC 2675: a jumbogram of IPv6 has none. Others have 8 at least.
        if length < 8 && (length != 0 || h.src.addr().is_ipv4()) {
            return Err(Stop::Malformed);
        }
        h.udp = true;
        h.length_known = true;
        let body = part.after(8);
        h.payload = body.wire;
        self.payload = body.bytes;
        if let Some(kind) = tunnel::by_port([h.src_port, h.dst_port])
            && !h.fragment
        {
            return Ok(self.inside_udp(h, kind, body));
        }
        Ok(h)
    }
}

fn options(tcp: &mut Tcp, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    let mut options = TcpOptionsIterator::from_slice(bytes);
    loop {
        let rest = options.rest();
        match options.next() {
            Some(Ok(TcpOptionElement::WindowScale(n))) => tcp.window_scale = Some(n),
            Some(Ok(TcpOptionElement::MaximumSegmentSize(n))) => tcp.mss = Some(n),
            Some(Ok(TcpOptionElement::Timestamp(value, echo))) => tcp.timestamps = Some((value, echo)),
            Some(Ok(TcpOptionElement::SelectiveAcknowledgement(first, more))) => {
                tcp.sack = Sack::default();
                std::iter::once(first).chain(more.into_iter().flatten()).for_each(|b| tcp.sack.push(b.0, b.1));
            }
            Some(Ok(_)) => {}
            Some(Err(_)) => {
                // An option that the crate does not know is passed by its length.
                let Some(&[kind, length]) = rest.get(..2) else { return };
                let Some(skipped) = rest.get(usize::from(length)..).filter(|_| length >= 2) else { return };
                if kind == MPTCP
                    && let Some(subtype) = rest.get(2).map(|b| b >> 4).filter(|s| *s < 8)
                {
                    tcp.mptcp |= 1 << subtype;
                }
                options = TcpOptionsIterator::from_slice(skipped);
            }
            None => return,
        }
    }
}
