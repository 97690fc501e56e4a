//! The control socket of a running recording, and its other end: `coldcase mark`.
//!
//! An abstract Unix socket `@coldcase/<pid>`: it leaves no file behind after kill -9, and `/proc/net/unix` lists it.
//! Both ends check who is there by peer credentials.

use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::time::Duration;

use crossbeam_channel::Sender;
use rustix::net::sockopt::socket_peercred;

use crate::session::Wake;
use crate::source::StopToken;
use crate::{clock, flight};

/// The longest note, in bytes.
pub const NOTE_LIMIT: usize = 4096;

/// How long one client may take: a client that hangs must not keep others out.
const PATIENCE: Duration = Duration::from_secs(2);

/// A note that somebody sent.
#[derive(Debug)]
pub(crate) struct Note {
    /// When it was received.
    pub(crate) time: u64,
    /// User id of the sender.
    pub(crate) uid: u32,
    /// Process of the sender.
    pub(crate) pid: u32,
    /// The text.
    pub(crate) text: String,
}

/// Listens for notes until the stop, on a thread of its own.
pub(crate) fn listen(wake: Sender<Wake>, stop: StopToken) -> std::io::Result<()> {
    let listener = UnixListener::bind_addr(&address(std::process::id())?)?;
    std::thread::Builder::new().name("control".into()).spawn(move || {
        while !stop.is_stopped() {
            let mut fds = [
                rustix::event::PollFd::new(&listener, rustix::event::PollFlags::IN),
                rustix::event::PollFd::new(&stop, rustix::event::PollFlags::IN),
            ];
            if rustix::event::poll(&mut fds, None).is_err() || stop.is_stopped() {
                continue;
            }
            if let Ok((stream, _)) = listener.accept()
                && let Err(e) = serve(stream, &wake)
            {
                tracing::debug!("control socket: {e}");
            }
        }
    })?;
    Ok(())
}

fn serve(mut stream: UnixStream, wake: &Sender<Wake>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let peer = socket_peercred(&stream)?;
    let uid = peer.uid.as_raw();
    // Read before judging: an answer to a client that still writes would be lost with its broken pipe.
    let mut text = Vec::new();
    (&stream).take(NOTE_LIMIT as u64 + 1).read_to_end(&mut text)?;
    let time = clock::boottime().0;
    if uid != 0 && uid != rustix::process::getuid().as_raw() {
        return stream.write_all(b"refused: it is another user's\n");
    }
    let pid = peer.pid.as_raw_nonzero().get().unsigned_abs();
    if let Some(body) = text.strip_prefix(flight::REQUEST) {
        return flight::serve(stream, body, uid, pid, wake);
    }
    if text.is_empty() || text.len() > NOTE_LIMIT {
        return stream.write_all(format!("refused: a note has 1 to {NOTE_LIMIT} bytes\n").as_bytes());
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    match wake.send(Wake::Note(Note { time, uid, pid, text })) {
        Ok(()) => stream.write_all(format!("ok {time}\n").as_bytes()),
        Err(_) => stream.write_all(b"refused: the recording is ending\n"),
    }
}

/// Why a note did not reach a recording.
#[derive(Debug, thiserror::Error)]
pub enum MarkError {
    /// No recording of this user runs here.
    #[error("no recording is running")]
    None,
    /// Several run, and none was chosen.
    #[error("several recordings are running: pid {}", pids.iter().map(u32::to_string).collect::<Vec<_>>().join(", "))]
    Several {
        /// Their processes.
        pids: Vec<u32>,
    },
    /// The recording refused it.
    #[error("recording {pid} {answer}")]
    Refused {
        /// The recording.
        pid: u32,
        /// What it said.
        answer: String,
    },
    /// It cannot be reached.
    #[error("recording {pid}: {source}")]
    Io {
        /// The recording.
        pid: u32,
        /// What the operating system said.
        source: std::io::Error,
    },
}

/// Processes that record on this host (in this network namespace), as their sockets say.
pub fn running() -> Vec<u32> {
    let table = std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let mut pids: Vec<u32> =
        table.lines().filter_map(|l| l.rsplit_once(" @coldcase/")).filter_map(|(_, pid)| pid.parse().ok()).collect();
    pids.sort_unstable();
    pids.dedup();
    pids
}

/// Puts a note on the timeline of a running recording: that of `pid`, or the only one. Returns its process and the
/// BOOTTIME of the note.
pub fn mark(text: &str, pid: Option<u32>) -> Result<(u32, u64), MarkError> {
    let pid = choose(pid)?;
    let answer = ask(text.as_bytes(), pid, Some(PATIENCE * 4)).map_err(|source| MarkError::Io { pid, source })?;
    match answer.trim().strip_prefix("ok ").and_then(|t| t.parse().ok()) {
        Some(time) => Ok((pid, time)),
        None => Err(MarkError::Refused { pid, answer: answer.trim().to_owned() }),
    }
}

/// The recording `pid`, or the only one.
pub(crate) fn choose(pid: Option<u32>) -> Result<u32, MarkError> {
    match (pid, running().as_slice()) {
        (Some(pid), _) => Ok(pid),
        (None, []) => Err(MarkError::None),
        (None, [one]) => Ok(*one),
        (None, several) => Err(MarkError::Several { pids: several.to_vec() }),
    }
}

/// The longest answer that is read.
const ANSWER_LIMIT: u64 = 1 << 20;

/// Sends a text to a recording and waits for its answer.
pub(crate) fn ask(text: &[u8], pid: u32, patience: Option<Duration>) -> std::io::Result<String> {
    let mut stream = UnixStream::connect_addr(&address(pid)?)?;
    stream.set_read_timeout(patience)?;
    // Anybody can bind an abstract name: the listener must be the process that it names.
    if socket_peercred(&stream)?.pid.as_raw_nonzero().get().unsigned_abs() != pid {
        return Err(std::io::Error::other("its control socket belongs to another process"));
    }
    stream.write_all(text)?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut answer = String::new();
    stream.take(ANSWER_LIMIT).read_to_string(&mut answer)?;
    Ok(answer)
}

fn address(pid: u32) -> std::io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("coldcase/{pid}"))
}
