//! The network interfaces of this namespace, as rtnetlink lists them.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// What the packets of an interface begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LinkType {
    /// An Ethernet header.
    Ethernet,
    /// An IPv4 or IPv6 header: tunnels, PPP. Other link headers are left off by the kernel.
    Raw,
}

impl LinkType {
    /// Its number in the registry of link types (the same as libpcap's for these two, on Linux).
    pub(super) fn number(self) -> u32 {
        match self {
            LinkType::Ethernet => 1,
            // libpcap calls it DLT_RAW = 12, the registry LINKTYPE_RAW = 101; libpcap's compiler wants its own.
            LinkType::Raw => 12,
        }
    }
}

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    /// Its index in this namespace.
    pub(super) index: u32,
    /// Its name.
    pub(super) name: String,
    /// What its packets begin with.
    pub(super) link: LinkType,
    /// It is the loopback.
    pub(super) loopback: bool,
    /// It is administratively up.
    pub(super) up: bool,
    /// The driver's name for virtual ones: `veth`, `bridge`, `vlan`, `bond`; else empty.
    pub(super) kind: String,
    /// Index of the interface it stands on, or of the other end, in this same namespace; 0 when there is none here.
    pub(super) lower: u32,
    /// Index of the bridge, bond or team that it belongs to; 0 when to none.
    pub(super) master: u32,
}

/// Lists all interfaces.
pub(super) fn list() -> io::Result<Vec<Link>> {
    let socket = open()?;
    request(&socket)?;
    let mut links = Vec::new();
    let mut buffer = vec![0u8; 256 << 10];
    loop {
        // SAFETY: the buffer is live and writable for the length given.
        let got = unsafe { libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
        let got = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
        if got == 0 {
            return Ok(links);
        }
        if !messages(&buffer[..got], &mut links)? {
            return Ok(links);
        }
    }
}

fn open() -> io::Result<OwnedFd> {
    // SAFETY: socket(2) takes integers only.
    let fd = unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_ROUTE) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a descriptor that was just opened and that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn request(socket: &OwnedFd) -> io::Result<()> {
    // nlmsghdr, then ifinfomsg, all zero: every interface of any family.
    let mut message = [0u8; 32];
    message[0..4].copy_from_slice(&32u32.to_ne_bytes());
    message[4..6].copy_from_slice(&libc::RTM_GETLINK.to_ne_bytes());
    message[6..8].copy_from_slice(&((libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16).to_ne_bytes());
    // SAFETY: the message is live for the length given.
    let sent = unsafe { libc::send(socket.as_raw_fd(), message.as_ptr().cast(), message.len(), 0) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Reads the messages of one datagram; false after the last of the listing.
fn messages(mut bytes: &[u8], links: &mut Vec<Link>) -> io::Result<bool> {
    while let Some(length) = u32_at(bytes, 0).map(|n| n as usize).filter(|&n| (16..=bytes.len()).contains(&n)) {
        let (message, kind) = (&bytes[16..length], u16_at(bytes, 4).unwrap_or(0));
        match i32::from(kind) {
            libc::NLMSG_DONE => return Ok(false),
            libc::NLMSG_ERROR => {
                let code = u32_at(message, 0).map_or(0, |n| n as i32);
                return Err(io::Error::from_raw_os_error(-code));
            }
            _ if kind == libc::RTM_NEWLINK => links.extend(link(message)),
            _ => {}
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    }
    Ok(true)
}

fn link(message: &[u8]) -> Option<Link> {
    let (hardware, index, flags) = (u16_at(message, 2)?, u32_at(message, 4)?, u32_at(message, 8)?);
    let loopback = flags & libc::IFF_LOOPBACK as u32 != 0;
    let mut link = Link {
        index,
        name: String::new(),
        link: if [libc::ARPHRD_ETHER, libc::ARPHRD_LOOPBACK].contains(&hardware) {
            LinkType::Ethernet
        } else {
            LinkType::Raw
        },
        loopback,
        up: flags & libc::IFF_UP as u32 != 0,
        kind: String::new(),
        lower: 0,
        master: 0,
    };
    let mut elsewhere = false;
    for (kind, value) in attributes(message.get(16..)?) {
        match kind {
            libc::IFLA_IFNAME => link.name = text(value),
            libc::IFLA_LINK => link.lower = u32_at(value, 0).unwrap_or(0),
            libc::IFLA_LINK_NETNSID => elsewhere = true,
            libc::IFLA_MASTER => link.master = u32_at(value, 0).unwrap_or(0),
            libc::IFLA_LINKINFO => {
                link.kind =
                    attributes(value).find(|(k, _)| *k == libc::IFLA_INFO_KIND).map_or(String::new(), |(_, v)| text(v));
            }
            _ => {}
        }
    }
    if elsewhere || link.lower == index {
        // Indices of another namespace mean nothing here.
        link.lower = 0;
    }
    Some(link)
}

fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        let (kind, value) = (u16_at(bytes, 2)?, bytes.get(4..length)?);
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        // The upper two bits are flags.
        Some((kind & 0x3fff, value))
    })
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value.split(|&b| b == 0).next().unwrap_or(&[])).into_owned()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_loopback_is_listed_as_what_it_is() {
        let links = list().unwrap();
        let lo = links.iter().find(|l| l.name == "lo").unwrap();
        assert!(lo.loopback && lo.link == LinkType::Ethernet && lo.lower == 0 && lo.master == 0);
    }

    #[test]
    fn a_damaged_listing_never_panics() {
        for length in 0..64 {
            let mut bytes = vec![0xff; length];
            if length >= 6 {
                bytes[0..4].copy_from_slice(&(length as u32).to_ne_bytes());
                bytes[4..6].copy_from_slice(&libc::RTM_NEWLINK.to_ne_bytes());
            }
            let _ = messages(&bytes, &mut Vec::new());
        }
    }
}
