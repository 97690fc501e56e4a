//! IPv4 and IPv6, with extension headers and fragments.

use std::net::IpAddr;

use etherparse::{Ipv4HeaderSlice, Ipv6HeaderSlice};

use super::fragment::{Fragment, FragmentKey};
use super::part::{Part, Stop};
use super::walk::Walk;
use super::{Headers, TCP, Trouble, UDP};

/// Most extension headers on a packet.
const EXTENSIONS: usize = 32;

impl<'a> Walk<'a> {
    /// From an IP header, version by its first nibble.
    pub(super) fn ip(&mut self, part: Part<'a>) -> Result<Headers, Stop> {
        self.deeper()?;
        let [first] = part.array()?;
        match first >> 4 {
            4 => self.ipv4(part),
            6 => self.ipv6(part),
            _ => Err(Stop::Malformed),
        }
    }

    fn ipv4(&mut self, part: Part<'a>) -> Result<Headers, Stop> {
        let [first] = part.array()?;
        let length = usize::from(first & 0xf) * 4;
        if length < 20 {
            return Err(Stop::Malformed);
        }
        let header = Ipv4HeaderSlice::from_slice(part.head(length)?).map_err(|_| Stop::Malformed)?;
        let total = match header.total_len() {
            // Segmentation offload leaves no length.
            0 => part.wire,
            n => u32::from(n),
        };
        let body = part.limit(total).after(length);
        if (total as usize) < length {
            return Err(Stop::Malformed);
        }
        let h = Headers {
            src: IpAddr::V4(header.source_addr()).into(),
            dst: IpAddr::V4(header.destination_addr()).into(),
            protocol: header.protocol().0,
            ttl: header.ttl(),
            ip_id: header.identification(),
            ip_bytes: total,
            payload: body.wire,
            vlan: self.vlan,
            tunnel: self.tunnel,
            ..Headers::default()
        };
        let offset = u32::from(header.fragments_offset().value()) * 8;
        let more = header.more_fragments();
        if offset != 0 || more {
            let id = u32::from(header.identification());
            // `total` may claim more than the wire had: then the fragment is not whole.
            let whole = body.is_whole() && body.wire as usize + length == total as usize;
            return Ok(self.fragment_of(h, id, offset, more, body, whole));
        }
        self.transport(h, body)
    }

    fn ipv6(&mut self, part: Part<'a>) -> Result<Headers, Stop> {
        let header = Ipv6HeaderSlice::from_slice(part.head(40)?).map_err(|_| Stop::Malformed)?;
        let total = match header.payload_length() {
            // A jumbogram, or segmentation offload.
            0 => part.wire,
            n => u32::from(n) + 40,
        };
        let body = part.limit(total).after(40);
        let h = Headers {
            src: IpAddr::V6(header.source_addr()).into(),
            dst: IpAddr::V6(header.destination_addr()).into(),
            protocol: header.next_header().0,
            ttl: header.hop_limit(),
            ip_bytes: total,
            payload: body.wire,
            vlan: self.vlan,
            tunnel: self.tunnel,
            ..Headers::default()
        };
        self.transport(h, body)
    }

    /// Behind an IP header: extension headers are passed, then tunnels, then TCP and UDP.
    pub(super) fn transport(&mut self, mut h: Headers, mut body: Part<'a>) -> Result<Headers, Stop> {
        for _ in 0..EXTENSIONS {
            h.payload = body.wire;
            let length = match h.protocol {
                // Hop-by-hop, routing, destination options, shim6: in units of 8 bytes after the first. Nothing follows
                // a mobility header (RFC 6275) or HIP (RFC 7401).
                0 | 43 | 60 | 140 => body.head(8).map(|b| (usize::from(b[1]) + 1) * 8),
                // Authentication: in units of 4 bytes.
                51 => body.head(12).map(|b| (usize::from(b[1]) + 2) * 4),
                44 => match body.array::<8>() {
                    Ok([_, _, a, b, i, d, e, f]) => {
                        let field = u16::from_be_bytes([a, b]);
                        let (offset, more) = (u32::from(field & !7), field & 1 != 0);
                        h.protocol = body.bytes.first().copied().unwrap_or(0);
                        body = body.after(8);
                        h.payload = body.wire;
                        if offset != 0 || more {
                            let id = u32::from_be_bytes([i, d, e, f]);
                            return Ok(self.fragment_of(h, id, offset, more, body, body.is_whole()));
                        }
                        continue;
                    }
                    Err(stop) => Err(stop),
                },
                TCP => return self.tcp(h, body),
                UDP => return self.udp(h, body),
                4 | 41 | 47 => return Ok(self.inside(h, body)),
                _ => return Ok(h),
            };
            let length = match length {
                Ok(length) if length <= body.wire as usize => length,
                Ok(_) | Err(Stop::Malformed) => return Err(Stop::Malformed),
                Err(_) => return Ok(Headers { trouble: Some(Trouble::Cut), ..h }),
            };
            h.protocol = body.bytes.first().copied().unwrap_or(0);
            body = body.after(length);
        }
        Err(Stop::Malformed)
    }

    /// A fragment. If all of it is there it waits to be put together; the first one of a datagram that cannot be put
    /// together tells its ports.
    fn fragment_of(&mut self, h: Headers, id: u32, offset: u32, more: bool, body: Part<'a>, whole: bool) -> Headers {
        let h = Headers { fragment: true, ..h };
        if whole && body.wire > 0 {
            let key = FragmentKey { ends: [h.src, h.dst], id, protocol: h.protocol, vlan: h.vlan };
            self.fragment = Some(Fragment { key, offset, more, bytes: body.bytes, headers: h, depth: self.depth });
            return h;
        }
        if offset == 0 && matches!(h.protocol, TCP | UDP) {
            return self.transport(h, body).map_or(h, |found| Headers { fragment: true, length_known: false, ..found });
        }
        h
    }
}
