//! Other addresses in a frame, with its checksums made anew.

use std::net::IpAddr;

use etherparse::{NetSlice, SlicedPacket, TransportSlice};

use super::Skip;

/// A hardware address.
pub type Mac = [u8; 6];

/// Which addresses become which.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// IP addresses, both of one family.
    pub ips: Vec<(IpAddr, IpAddr)>,
    /// Hardware addresses.
    pub macs: Vec<(Mac, Mac)>,
}

/// Reads `aa:bb:cc:dd:ee:ff`.
///
/// # Errors
/// When it is not six pairs of hexadecimal digits.
pub fn mac(text: &str) -> Result<Mac, String> {
    let bad = || format!("'{text}' is not a hardware address like 02:00:00:00:00:01");
    let parts: Vec<&str> = text.split(':').collect();
    let mut mac = Mac::default();
    if parts.len() != mac.len() {
        return Err(bad());
    }
    for (to, part) in mac.iter_mut().zip(parts) {
        let hex = part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
        *to = u8::from_str_radix(part, 16).ok().filter(|_| hex).ok_or_else(bad)?;
    }
    Ok(mac)
}

/// Reads `OLD=NEW`.
///
/// # Errors
/// When there is no `=`, or what `read` says.
pub fn pair<T>(text: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<(T, T), String> {
    let (old, new) = text.split_once('=').ok_or_else(|| format!("'{text}' is not OLD=NEW"))?;
    Ok((read(old)?, read(new)?))
}

const IPV4: [u8; 2] = [0x08, 0x00];
const ARP: [u8; 2] = [0x08, 0x06];
const IPV6: [u8; 2] = [0x86, 0xdd];
const VLAN: [[u8; 2]; 2] = [[0x81, 0x00], [0x88, 0xa8]];

impl Rewrite {
    /// Whether nothing is rewritten.
    pub fn is_empty(&self) -> bool {
        self.ips.is_empty() && self.macs.is_empty()
    }

    /// Rewrites the outer addresses of an Ethernet frame, and those in ARP. Gives whether there were any.
    pub(super) fn apply(&self, frame: &mut [u8]) -> Result<bool, Skip> {
        let (ether_type, at) = payload(frame).ok_or(Skip::Unreadable)?;
        let mut macs = vec![0, 6];
        let mut ips: Vec<(usize, usize)> = Vec::new();
        match ether_type {
            IPV4 => ips.extend([(at + 12, 4), (at + 16, 4)]),
            IPV6 => ips.extend([(at + 8, 16), (at + 24, 16)]),
            // Of Ethernet and IPv4 (RFC 826): sender's hardware and protocol address, then the target's.
            ARP if frame.get(at..at + 6) == Some(&[0, 1, 8, 0, 6, 4]) => {
                macs.extend([at + 8, at + 18]);
                ips.extend([(at + 14, 4), (at + 24, 4)]);
            }
            _ => {}
        }
        let mut changed = false;
        for at in macs {
            changed |= self.mac(frame.get_mut(at..at + 6).ok_or(Skip::Unreadable)?);
        }
        let mut of_ip = false;
        for (at, length) in ips {
            of_ip |= self.ip(frame.get_mut(at..at + length).ok_or(Skip::Unreadable)?);
        }
        if of_ip && ether_type != ARP {
            checksums(frame)?;
        }
        Ok(changed || of_ip)
    }

    fn mac(&self, here: &mut [u8]) -> bool {
        let new = self.macs.iter().find(|(old, _)| old[..] == *here).map(|(_, new)| new);
        new.inspect(|new| here.copy_from_slice(&new[..])).is_some()
    }

    fn ip(&self, here: &mut [u8]) -> bool {
        for (old, new) in &self.ips {
            match (old, new) {
                (IpAddr::V4(old), IpAddr::V4(new)) if old.octets()[..] == *here => {
                    here.copy_from_slice(&new.octets());
                    return true;
                }
                (IpAddr::V6(old), IpAddr::V6(new)) if old.octets()[..] == *here => {
                    here.copy_from_slice(&new.octets());
                    return true;
                }
                _ => {}
            }
        }
        false
    }
}

/// The ether type behind VLAN tags, and where what it tells of begins.
fn payload(frame: &[u8]) -> Option<([u8; 2], usize)> {
    let mut at = 12;
    loop {
        let ether_type: [u8; 2] = frame.get(at..at + 2)?.try_into().ok()?;
        if !VLAN.contains(&ether_type) {
            return Some((ether_type, at + 2));
        }
        at += 4;
    }
}

/// Makes the checksums of a frame anew: IPv4's, and those of TCP, UDP and ICMPv6, which hold the addresses.
pub(super) fn checksums(frame: &mut [u8]) -> Result<(), Skip> {
    for (at, sum) in made(frame)? {
        frame.get_mut(at..at + 2).ok_or(Skip::Unreadable)?.copy_from_slice(&sum.to_be_bytes());
    }
    Ok(())
}

/// Where which checksum belongs.
fn made(frame: &[u8]) -> Result<Vec<(usize, u16)>, Skip> {
    let packet = SlicedPacket::from_ethernet(frame).map_err(|_| Skip::Unreadable)?;
    let place = |part: &[u8]| (part.as_ptr() as usize).wrapping_sub(frame.as_ptr() as usize);
    let mut all = Vec::new();
    let fragment = match &packet.net {
        Some(NetSlice::Ipv4(ip)) => {
            let header = ip.header();
            all.push((place(header.slice()) + 10, header.to_header().calc_header_checksum()));
            ip.payload().fragmented
        }
        Some(NetSlice::Ipv6(ip)) => ip.payload().fragmented,
        _ => return Err(Skip::Unreadable),
    };
    if fragment {
        return Err(Skip::Fragment);
    }
    match (&packet.net, &packet.transport) {
        (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Tcp(tcp))) => {
            let (src, dst) = (ip.header().source(), ip.header().destination());
            let sum = tcp.calc_checksum_ipv4(src, dst).map_err(|_| Skip::Unreadable)?;
            all.push((place(tcp.slice()) + 16, sum));
        }
        (Some(NetSlice::Ipv6(ip)), Some(TransportSlice::Tcp(tcp))) => {
            let (src, dst) = (ip.header().source(), ip.header().destination());
            let sum = tcp.calc_checksum_ipv6(src, dst).map_err(|_| Skip::Unreadable)?;
            all.push((place(tcp.slice()) + 16, sum));
        }
        // 0 says that there is none (RFC 768), which only IPv4 allows.
        (Some(NetSlice::Ipv4(_)), Some(TransportSlice::Udp(udp))) if udp.checksum() == 0 => {}
        (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Udp(udp))) => {
            let (src, dst) = (ip.header().source(), ip.header().destination());
            let sum = udp.to_header().calc_checksum_ipv4_raw(src, dst, udp.payload()).map_err(|_| Skip::Unreadable)?;
            all.push((place(udp.slice()) + 6, sum));
        }
        (Some(NetSlice::Ipv6(ip)), Some(TransportSlice::Udp(udp))) => {
            let (src, dst) = (ip.header().source(), ip.header().destination());
            let sum = udp.to_header().calc_checksum_ipv6_raw(src, dst, udp.payload()).map_err(|_| Skip::Unreadable)?;
            all.push((place(udp.slice()) + 6, sum));
        }
        (Some(NetSlice::Ipv6(ip)), Some(TransportSlice::Icmpv6(icmp))) => {
            let (src, dst) = (ip.header().source(), ip.header().destination());
            let sum = icmp.icmp_type().calc_checksum(src, dst, icmp.payload()).map_err(|_| Skip::Unreadable)?;
            all.push((place(icmp.slice()) + 2, sum));
        }
        // Those of ICMP, IGMP and SCTP do not hold the addresses; ICMP's holds what may be padded.
        (_, Some(TransportSlice::Icmpv4(icmp))) => {
            all.push((place(icmp.slice()) + 2, icmp.icmp_type().calc_checksum(icmp.payload())));
        }
        (_, Some(TransportSlice::Igmp(_)) | None) => {}
        _ => return Err(Skip::Unreadable),
    }
    Ok(all)
}

#[cfg(test)]
mod tests;
