//! An interface of this network namespace, and a packet socket on it (packet(7), netdevice(7)).

use std::ffi::CStr;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::Sink;

/// What an interface is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Loopback: what is sent stays on this machine.
    Loopback,
    /// An end of a veth pair: what is sent comes out at its other end.
    Veth,
    /// Another, with the name of its driver where it tells one.
    Other(String),
}

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    index: i32,
}

/// Why frames cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum InterfaceError {
    /// There is none of this name.
    #[error("there is no interface '{0}'")]
    None(String),
    /// It is down.
    #[error("interface '{0}' is down")]
    Down(String),
    /// It does not carry Ethernet frames.
    #[error("interface '{0}' does not carry Ethernet frames")]
    NotEthernet(String),
    /// Packet sockets need CAP_NET_RAW.
    #[error("sending packets needs CAP_NET_RAW")]
    Privilege,
    /// The system refused something else.
    #[error("interface '{name}': {why}")]
    Io {
        /// The interface.
        name: String,
        /// What it said.
        why: io::Error,
    },
}

impl Interface {
    /// Looks an interface up, in the network namespace of this process: by its sockets, as /sys may show another one.
    ///
    /// # Errors
    /// When there is none, or it cannot carry Ethernet frames now.
    pub fn of(name: &str) -> Result<Interface, InterfaceError> {
        let none = || InterfaceError::None(name.to_owned());
        let io = |why: io::Error| match why.raw_os_error() {
            Some(libc::ENODEV) => none(),
            _ => InterfaceError::Io { name: name.to_owned(), why },
        };
        if name.is_empty() || name.len() >= libc::IFNAMSIZ || name.bytes().any(|b| b == 0 || b == b'/') {
            return Err(none());
        }
        let asked = Asked::open(name).map_err(io)?;
        // SAFETY: after SIOCGIFINDEX the kernel has filled the member `ifru_ifindex`.
        let index = unsafe { asked.ask(libc::SIOCGIFINDEX).map_err(io)?.ifr_ifru.ifru_ifindex };
        // SAFETY: after SIOCGIFFLAGS it has filled `ifru_flags`.
        let flags = i32::from(unsafe { asked.ask(libc::SIOCGIFFLAGS).map_err(io)?.ifr_ifru.ifru_flags });
        // SAFETY: after SIOCGIFHWADDR it has filled `ifru_hwaddr`.
        let hardware = unsafe { asked.ask(libc::SIOCGIFHWADDR).map_err(io)?.ifr_ifru.ifru_hwaddr.sa_family };
        if flags & libc::IFF_UP == 0 {
            return Err(InterfaceError::Down(name.to_owned()));
        }
        if !matches!(hardware, libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK) {
            return Err(InterfaceError::NotEthernet(name.to_owned()));
        }
        let kind = match flags & libc::IFF_LOOPBACK {
            0 => match asked.driver() {
                // Of some drivers ethtool tells nothing: they are others.
                Ok(driver) if driver == "veth" => Kind::Veth,
                Ok(driver) => Kind::Other(driver),
                Err(_) => Kind::Other(String::new()),
            },
            _ => Kind::Loopback,
        };
        Ok(Interface { name: name.to_owned(), kind, index })
    }

    /// Whether what is sent stays on this machine: on loopback, or at the other end of a veth pair.
    pub fn is_local(&self) -> bool {
        matches!(self.kind, Kind::Loopback | Kind::Veth)
    }
}

/// A socket to ask about an interface.
struct Asked {
    socket: OwnedFd,
    request: libc::ifreq,
}

impl Asked {
    fn open(name: &str) -> io::Result<Asked> {
        let socket = socket(libc::AF_INET, libc::SOCK_DGRAM)?;
        // SAFETY: ifreq is plain data, for which all zeros is a value.
        let mut request: libc::ifreq = unsafe { zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *to = from as libc::c_char;
        }
        Ok(Asked { socket, request })
    }

    /// Asks for what fits into an `ifreq` itself.
    fn ask(&self, what: libc::Ioctl) -> io::Result<libc::ifreq> {
        let mut request = self.request;
        // SAFETY: these requests write into the ifreq alone, which lives through the call.
        match unsafe { libc::ioctl(self.socket.as_raw_fd(), what, &raw mut request) } {
            0 => Ok(request),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// The name of its driver, by ethtool's ETHTOOL_GDRVINFO (linux/ethtool.h). veth tells "veth".
    fn driver(&self) -> io::Result<String> {
        /// `struct ethtool_drvinfo`: cmd, driver[32], version[32], fw_version[32], bus_info[32], erom_version[32],
        /// reserved2[12], n_priv_flags, n_stats, testinfo_len, eedump_len, regdump_len.
        #[repr(C)]
        struct DriverInfo {
            cmd: u32,
            driver: [u8; 32],
            rest: [u8; 4 * 32 + 12],
            counts: [u32; 5],
        }
        const ETHTOOL_GDRVINFO: u32 = 3;
        let mut info = DriverInfo { cmd: ETHTOOL_GDRVINFO, driver: [0; 32], rest: [0; 4 * 32 + 12], counts: [0; 5] };
        let mut request = self.request;
        request.ifr_ifru.ifru_data = (&raw mut info).cast();
        // SAFETY: the kernel writes a `struct ethtool_drvinfo` to `ifru_data`, whose layout `DriverInfo` has; both live
        // through the call.
        if unsafe { libc::ioctl(self.socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let name = CStr::from_bytes_until_nul(&info.driver).unwrap_or_default();
        Ok(name.to_string_lossy().into_owned())
    }
}

fn socket(domain: i32, kind: i32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    let fd = unsafe { libc::socket(domain, kind | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just gave it to us, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A packet socket that sends on an interface, and receives nothing.
#[derive(Debug)]
pub struct Socket(OwnedFd);

impl Socket {
    /// Opens it.
    ///
    /// # Errors
    /// Without CAP_NET_RAW, or when the interface went away.
    pub fn open(interface: &Interface) -> Result<Socket, InterfaceError> {
        let io = |why: io::Error| match why.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => InterfaceError::Privilege,
            _ => InterfaceError::Io { name: interface.name.clone(), why },
        };
        // Protocol 0: it receives no packets.
        let socket = socket(libc::AF_PACKET, libc::SOCK_RAW).map_err(io)?;
        // SAFETY: sockaddr_ll is plain data, for which all zeros is a value.
        let mut address: libc::sockaddr_ll = unsafe { zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_ifindex = interface.index;
        let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: the address is a sockaddr_ll of that length, and lives through the call.
        if unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) } != 0 {
            return Err(io(io::Error::last_os_error()));
        }
        Ok(Socket(socket))
    }
}

impl Sink for Socket {
    fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        loop {
            // SAFETY: pointer and length are of one slice, which the kernel only reads.
            let sent = unsafe { libc::send(self.0.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
            if sent >= 0 {
                return Ok(());
            }
            let why = io::Error::last_os_error();
            match why.raw_os_error() {
                Some(libc::EINTR) => {}
                // The queue of the device is full: it empties by itself.
                Some(libc::ENOBUFS) => std::thread::sleep(std::time::Duration::from_micros(200)),
                _ => return Err(why),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_known_and_what_is_not_there_is_told() {
        match Interface::of("lo") {
            Ok(lo) => assert_eq!((lo.kind.clone(), lo.is_local()), (Kind::Loopback, true)),
            Err(InterfaceError::Down(_)) => eprintln!("skipped: lo is down here"),
            Err(e) => panic!("{e}"),
        }
        for name in ["", "cc-none-0", "a/b", "a-name-that-is-too-long-for-one"] {
            assert!(matches!(Interface::of(name), Err(InterfaceError::None(_))), "{name}");
        }
    }
}
