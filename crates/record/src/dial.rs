//! Connections that the recorder opens, known as its own before their first packet leaves.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};

use crate::source::Own;

/// A closed connection's last packets come within this time.
const AFTERMATH: Duration = Duration::from_secs(5);

/// Connects to the first address of a name that answers.
pub(crate) async fn dial(host: &str, port: u16, own: &Own) -> io::Result<(TcpStream, Known)> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for remote in tokio::net::lookup_host((host, port)).await? {
        match connect(remote, own).await {
            Ok(connected) => return Ok(connected),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Connects to an address, from a port that is known before the first packet leaves.
pub(crate) async fn connect(remote: SocketAddr, own: &Own) -> io::Result<(TcpStream, Known)> {
    let (any, socket) = match remote {
        SocketAddr::V4(_) => (IpAddr::V4(Ipv4Addr::UNSPECIFIED), TcpSocket::new_v4()?),
        SocketAddr::V6(_) => (IpAddr::V6(Ipv6Addr::UNSPECIFIED), TcpSocket::new_v6()?),
    };
    // A connected UDP socket sends nothing, and knows which of our addresses the route would use.
    let probe = UdpSocket::bind((any, 0))?;
    probe.connect(remote)?;
    socket.bind(SocketAddr::new(probe.local_addr()?.ip(), 0))?;
    let known = Known { own: own.clone(), local: socket.local_addr()?, remote };
    own.connect(known.local, remote);
    Ok((socket.connect(remote).await?, known))
}

/// A connection in the list of the recorder's own; leaves it some time after it is dropped.
pub(crate) struct Known {
    own: Own,
    local: SocketAddr,
    remote: SocketAddr,
}

impl Drop for Known {
    fn drop(&mut self) {
        let (own, local, remote) = (self.own.clone(), self.local, self.remote);
        let forget = async move {
            tokio::time::sleep(AFTERMATH).await;
            own.forget(local, remote);
        };
        // Without a runtime the recording is over, and with it the list.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(forget);
        }
    }
}
