//! Messages that come by syslog: RFC 5424 and RFC 3164 over UDP (RFC 5426), TCP (RFC 6587) and Unix datagram sockets. A
//! message is stored as it came, without its framing; whom it is from stands in its path.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use coldcase_bundle::WriteError;
use coldcase_model::Class;
use coldcase_model::events::LogLine;
use coldcase_model::loss::Reason;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::batch::Batch;
use super::config::SyslogAddress;
use super::lines::{CUT, LIMIT, OPEN};
use super::syslog_frames::{Frames, Message};
use super::syslog_sockets::{drops, hold_much, receive};
use crate::source::{Context, Failure, Running, Skip, Source, Started};

/// The source's name.
const NAME: &str = "syslog";
/// Connections at a time; further ones are closed, and counted.
const CONNECTIONS: usize = 256;
/// Datagrams or pieces that are taken of one socket before the others get their turn.
const TURN: usize = 512;
/// Turns that are taken at most after the stop.
const LAST: u32 = 200;
/// Bytes read of a connection at one time.
const PIECE: usize = 64 << 10;
/// After something came this is waited for more, so that a flood does not wake us for each message.
const PACE: Duration = Duration::from_millis(5);

/// The syslog source.
pub struct Syslog {
    addresses: Vec<SyslogAddress>,
}

impl Syslog {
    /// That listens there.
    pub fn new(addresses: Vec<SyslogAddress>) -> Syslog {
        Syslog { addresses }
    }
}

impl Source for Syslog {
    fn names(&self) -> Vec<&'static str> {
        vec![NAME]
    }

    fn start(self: Box<Self>, context: Context) -> Result<Started, Skip> {
        if self.addresses.is_empty() {
            return Err(Skip::unasked("no address for syslog was named", "--syslog udp://127.0.0.1:5514"));
        }
        let mut sockets = Vec::new();
        let mut remarks = Vec::new();
        for address in &self.addresses {
            let socket = Socket::bind(address).map_err(|error| {
                let hint = match error.kind() {
                    io::ErrorKind::PermissionDenied => "ports below 1024 need CAP_NET_BIND_SERVICE",
                    io::ErrorKind::AddrInUse => "another program has it: choose another with --syslog",
                    _ => "",
                };
                Skip::new(format!("cannot listen on {address}: {error}"), hint)
            })?;
            if let Some(at) = socket.local() {
                context.own.listen(at);
            }
            remarks.push(format!("syslog: listening on {}", socket.name()));
            sockets.push(socket);
        }
        for reason in [Reason::LogGap, Reason::Truncated, Reason::RateLimited] {
            context.losses.watch(NAME, Class::Log, reason);
        }
        let failure = Failure::default();
        let told = failure.clone();
        let mut receiver = Receiver { context, sockets, batch: Batch::new(NAME), number: 0, buffer: vec![0; LIMIT] };
        let thread = std::thread::Builder::new().name("cc-syslog".into()).spawn(move || {
            if let Err(error) = receiver.run() {
                told.note(&error);
            }
        });
        let thread = thread.map_err(|e| Skip::new(format!("cannot start a thread: {e}"), ""))?;
        Ok(Started { remarks, ..Started::all(RunningSyslog { thread, failure }) })
    }
}

struct RunningSyslog {
    thread: JoinHandle<()>,
    failure: Failure,
}

impl Running for RunningSyslog {
    fn failures(&mut self) -> Vec<(&'static str, String)> {
        self.failure.take(NAME)
    }

    fn stop(self: Box<Self>) {
        let _ = self.thread.join();
    }
}

/// What is listened on, and who is connected.
enum Socket {
    Udp { socket: UdpSocket, dropped: u32 },
    Unix { socket: UnixDatagram, path: PathBuf },
    Listener(TcpListener),
    Stream { stream: TcpStream, peer: SocketAddr, frames: Frames },
}

impl Socket {
    fn bind(address: &SyslogAddress) -> io::Result<Socket> {
        match address {
            SyslogAddress::Udp(at) => {
                let socket = UdpSocket::bind(at)?;
                socket.set_nonblocking(true)?;
                hold_much(&socket);
                Ok(Socket::Udp { socket, dropped: 0 })
            }
            SyslogAddress::Tcp(at) => {
                let listener = TcpListener::bind(at)?;
                listener.set_nonblocking(true)?;
                Ok(Socket::Listener(listener))
            }
            SyslogAddress::Unix(path) => {
                remove_stale(path);
                let socket = UnixDatagram::bind(path)?;
                Ok(Socket::Unix { socket, path: path.clone() })
            }
        }
    }

    fn local(&self) -> Option<SocketAddr> {
        match self {
            Socket::Udp { socket, .. } => socket.local_addr().ok(),
            Socket::Listener(listener) => listener.local_addr().ok(),
            Socket::Unix { .. } | Socket::Stream { .. } => None,
        }
    }

    fn name(&self) -> String {
        let at = self.local().map(|at| at.to_string()).unwrap_or_default();
        match self {
            Socket::Udp { .. } => format!("udp://{at}"),
            Socket::Listener(_) => format!("tcp://{at}"),
            Socket::Unix { path, .. } => format!("unix:{}", path.display()),
            Socket::Stream { peer, .. } => format!("tcp://{peer}"),
        }
    }

    fn poll_fd(&self) -> PollFd<'_> {
        let fd = match self {
            Socket::Udp { socket, .. } => socket.as_fd(),
            Socket::Unix { socket, .. } => socket.as_fd(),
            Socket::Listener(listener) => listener.as_fd(),
            Socket::Stream { stream, .. } => stream.as_fd(),
        };
        PollFd::from_borrowed_fd(fd, PollFlags::IN)
    }
}

/// A datagram as a message, without the newline that some senders put at its end.
fn datagram(bytes: &[u8], left_out: u64) -> Message {
    Message { bytes: bytes.strip_suffix(b"\n").unwrap_or(bytes).to_vec(), left_out, open: false }
}

/// Removes the socket that a recorder left which was killed: nobody answers there.
fn remove_stale(path: &Path) {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket());
    let answers = || UnixDatagram::unbound().and_then(|s| s.connect(path));
    if is_socket && answers().is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused) {
        // What cannot be removed is told by the bind that follows.
        let _ = std::fs::remove_file(path);
    }
}

struct Receiver {
    context: Context,
    sockets: Vec<Socket>,
    batch: Batch,
    /// Messages so far: what stands for an offset.
    number: u64,
    buffer: Vec<u8>,
}

impl Receiver {
    fn run(&mut self) -> Result<(), WriteError> {
        let mut rounds = 0;
        loop {
            let mut fds: Vec<PollFd<'_>> = self.sockets.iter().map(Socket::poll_fd).collect();
            fds.push(PollFd::new(&self.context.stop, PollFlags::IN));
            // With nobody connected there is nothing to do but to wait; a second keeps an overlooked end short.
            let _ = poll(&mut fds, Timespec::try_from(Duration::from_secs(1)).ok().as_ref());
            let stopped = self.context.stop.is_stopped();
            // At the stop what waits in the sockets is taken all the same; a sender that never rests does not keep it from its end.
            let before = self.number;
            self.round()?;
            if stopped {
                rounds += 1;
                if self.number == before || rounds > LAST {
                    break;
                }
                continue;
            }
            self.context.stop.wait(PACE);
        }
        let mut written = Ok(());
        for socket in std::mem::take(&mut self.sockets) {
            let name = socket.name();
            match socket {
                Socket::Stream { mut frames, .. } => {
                    if let Some(message) = frames.end() {
                        self.push(&name, message, &mut written);
                    }
                }
                Socket::Unix { path, .. } => _ = std::fs::remove_file(path),
                Socket::Udp { .. } | Socket::Listener(_) => {}
            }
        }
        written.and_then(|()| self.batch.write(&self.context))
    }

    /// Takes what waits in every socket.
    fn round(&mut self) -> Result<(), WriteError> {
        self.batch.now();
        let mut written = Ok(());
        let mut sockets = std::mem::take(&mut self.sockets);
        let mut new = Vec::new();
        let room = CONNECTIONS.saturating_sub(sockets.iter().filter(|s| matches!(s, Socket::Stream { .. })).count());
        sockets.retain_mut(|socket| {
            let name = socket.name();
            match socket {
                Socket::Udp { socket, dropped } => {
                    self.udp(socket, &name, dropped, &mut written);
                    true
                }
                Socket::Unix { socket, .. } => {
                    self.unix(socket, &name, &mut written);
                    true
                }
                Socket::Listener(listener) => {
                    self.accept(listener, room, &mut new);
                    true
                }
                Socket::Stream { stream, frames, .. } => self.stream(stream, frames, &name, &mut written),
            }
        });
        sockets.append(&mut new);
        self.sockets = sockets;
        written.and_then(|()| self.batch.write(&self.context))
    }

    fn udp(&mut self, socket: &UdpSocket, name: &str, dropped: &mut u32, written: &mut Result<(), WriteError>) {
        let mut buffer = std::mem::take(&mut self.buffer);
        for _ in 0..TURN {
            // Nothing there, or an error of something sent before, which the next call is past.
            let Ok((length, from)) = socket.recv_from(&mut buffer) else { break };
            let message = datagram(&buffer[..length], 0);
            self.push(&format!("{name} from {from}"), message, written);
        }
        self.buffer = buffer;
        if let Some(now) = drops(socket) {
            let lost = now.wrapping_sub(std::mem::replace(dropped, now));
            if lost > 0 {
                self.context.losses.add(NAME, Class::Log, Reason::LogGap, u64::from(lost), 0);
            }
        }
    }

    /// A Unix socket that is full makes its senders wait: nothing is dropped.
    fn unix(&mut self, socket: &UnixDatagram, name: &str, written: &mut Result<(), WriteError>) {
        let mut buffer = std::mem::take(&mut self.buffer);
        for _ in 0..TURN {
            let Ok((kept, length)) = receive(socket, &mut buffer) else { break };
            let message = datagram(&buffer[..kept], (length - kept) as u64);
            self.push(name, message, written);
        }
        self.buffer = buffer;
    }

    fn accept(&self, listener: &TcpListener, room: usize, new: &mut Vec<Socket>) {
        while let Ok((stream, peer)) = listener.accept() {
            if new.len() >= room {
                // Dropping it closes it; what was sent on it is lost.
                self.context.losses.add(NAME, Class::Log, Reason::RateLimited, 1, 0);
                continue;
            }
            if stream.set_nonblocking(true).is_ok() {
                new.push(Socket::Stream { stream, peer, frames: Frames::default() });
            }
        }
    }

    /// Takes what waits on a connection; whether it is still open.
    fn stream(
        &mut self,
        stream: &mut TcpStream,
        frames: &mut Frames,
        name: &str,
        written: &mut Result<(), WriteError>,
    ) -> bool {
        let mut piece = vec![0; PIECE];
        for _ in 0..TURN / 8 {
            match stream.read(&mut piece) {
                Ok(n) if n > 0 => frames.feed(&piece[..n], |message| self.push(name, message, written)),
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => return true,
                Ok(_) | Err(_) => {
                    if let Some(message) = frames.end() {
                        self.push(name, message, written);
                    }
                    return false;
                }
            }
        }
        true
    }

    fn push(&mut self, from: &str, message: Message, written: &mut Result<(), WriteError>) {
        let Message { bytes, left_out, open } = message;
        if left_out > 0 {
            self.context.losses.add(NAME, Class::Log, Reason::Truncated, 1, left_out);
        }
        let flags = if left_out > 0 { CUT } else { 0 } | if open { OPEN } else { 0 };
        let path = format!("syslog:{from}");
        let row = LogLine { time: 0, read: 0, offset: self.number, inode: 0, flags, path, line: bytes };
        self.batch.push(&self.context, row, written);
        self.number += 1;
    }
}
