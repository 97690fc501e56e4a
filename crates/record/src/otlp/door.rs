//! The doors that senders come in by: TCP, TCP with TLS, a socket in the file system.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;

use super::Endpoint;
use crate::source::Skip;

/// A handshake that takes longer is given up.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Handshakes at one time.
const HANDSHAKES: usize = 64;
/// After an error of accept (out of descriptors) others may close theirs.
const PAUSE: Duration = Duration::from_millis(100);

/// A listener that is bound.
pub(super) enum Bound {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// The file of a listening socket, removed when nobody listens any more.
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Gone already, or in a folder that was closed to us: nothing to be done.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Bound {
    /// Binds; `what` and `flag` are for the reason why not.
    pub(super) fn bind(what: &str, flag: &str, at: &Endpoint) -> Result<Bound, Skip> {
        let bound = match at {
            Endpoint::Tcp(at) => TcpListener::bind(at).and_then(|l| l.set_nonblocking(true).map(|()| Bound::Tcp(l))),
            Endpoint::Unix(path) => bind_unix(path),
        };
        bound.map_err(|e| match e.kind() {
            io::ErrorKind::AddrInUse => Skip::new(
                format!("OTLP over {what}: {at} is in use by another program"),
                format!("choose another address with {flag}, or stop that program while recording"),
            ),
            _ => Skip::new(format!("OTLP over {what}: cannot listen on {at}: {e}"), ""),
        })
    }

    /// Where it listens now, for people; and its address, if it has one.
    pub(super) fn place(&self) -> io::Result<(String, Option<SocketAddr>)> {
        Ok(match self {
            Bound::Tcp(listener) => {
                let at = listener.local_addr()?;
                (at.to_string(), Some(at))
            }
            Bound::Unix(_, SocketFile(path)) => (format!("unix:{}", path.display()), None),
        })
    }
}

fn bind_unix(path: &Path) -> io::Result<Bound> {
    let listener = match UnixListener::bind(path) {
        // Left by a program that was killed: nobody answers there.
        Err(e) if e.kind() == io::ErrorKind::AddrInUse && is_left(path) => {
            std::fs::remove_file(path)?;
            UnixListener::bind(path)?
        }
        other => other?,
    };
    listener.set_nonblocking(true)?;
    Ok(Bound::Unix(listener, SocketFile(path.to_owned())))
}

fn is_left(path: &Path) -> bool {
    UnixStream::connect(path).is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused)
}

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    Tcp(SocketAddr),
    /// A process of this host, if the kernel says which.
    Unix(Option<i32>),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Tcp(at) => at.fmt(f),
            Peer::Unix(Some(pid)) => write!(f, "unix:pid={pid}"),
            Peer::Unix(None) => f.write_str("unix:"),
        }
    }
}

/// A stream of bytes, whatever is below.
pub(super) trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// Connections that are ready for requests.
pub(super) struct Door {
    ready: mpsc::Receiver<(Box<dyn Wire>, Peer)>,
}

impl Door {
    /// Opens it: accepts on a task of its own from now on, until it is dropped.
    pub(super) fn open(bound: Bound, tls: Option<TlsAcceptor>) -> io::Result<Door> {
        let (comes, ready) = mpsc::channel(1);
        match bound {
            Bound::Tcp(listener) => {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                tokio::spawn(accept_tcp(listener, tls, comes));
            }
            Bound::Unix(listener, file) => {
                let listener = tokio::net::UnixListener::from_std(listener)?;
                tokio::spawn(accept_unix(listener, file, comes));
            }
        }
        Ok(Door { ready })
    }
}

type Comes = mpsc::Sender<(Box<dyn Wire>, Peer)>;

async fn accept_tcp(listener: tokio::net::TcpListener, tls: Option<TlsAcceptor>, comes: Comes) {
    let hands = Arc::new(Semaphore::new(HANDSHAKES));
    loop {
        let (stream, from) = tokio::select! {
            () = comes.closed() => return,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(_) => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            },
        };
        // Answers are small: waiting to fill a segment only delays them. Without it they come all the same.
        let _ = stream.set_nodelay(true);
        let peer = Peer::Tcp(from);
        let Some(tls) = tls.clone() else {
            if comes.send((Box::new(stream), peer)).await.is_err() {
                return;
            }
            continue;
        };
        let Ok(hand) = hands.clone().acquire_owned().await else { return };
        let comes = comes.clone();
        tokio::spawn(async move {
            let _hand = hand;
            // Who cannot shake hands (no TLS, no trust in the certificate) sees the connection closed.
            if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
                let _ = comes.send((Box::new(stream), peer)).await;
            }
        });
    }
}

async fn accept_unix(listener: tokio::net::UnixListener, file: SocketFile, comes: Comes) {
    let _file = file;
    loop {
        let accepted = tokio::select! {
            () = comes.closed() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let pid = stream.peer_cred().ok().and_then(|c| c.pid());
                if comes.send((Box::new(stream), Peer::Unix(pid))).await.is_err() {
                    return;
                }
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

impl axum::serve::Listener for Door {
    type Io = Box<dyn Wire>;
    type Addr = Peer;

    async fn accept(&mut self) -> (Box<dyn Wire>, Peer) {
        match self.ready.recv().await {
            Some(connection) => connection,
            // Nobody accepts any more: the server is told to stop by other means.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Peer> {
        Ok(Peer::Unix(None))
    }
}

impl Connected<IncomingStream<'_, Door>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Peer {
        *stream.remote_addr()
    }
}
