//! Asking a flight recording for a dump, over its control socket; or making one of a folder that nobody records into.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use coldcase_model::manifest::DumpEntry;
use crossbeam_channel::{Sender, bounded};
use serde::{Deserialize, Serialize};

use super::adopt;
use super::dump::{self, Job, Made};
use super::folder::{self, Folder, Taken};
use super::session::{Asked, span};
use super::shelf::Reserved;
use crate::control::{self, MarkError};
use crate::session::Wake;
use crate::{clock, host_entry};

/// What a request begins with; a note never does.
pub(crate) const REQUEST: &[u8] = b"\x01dump\n";

/// A dump that somebody wants.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Wanted {
    /// Where to; in the folder unless said.
    pub output: Option<PathBuf>,
    /// Why, in the words of who asks.
    pub reason: String,
    /// How much before now; as configured unless said.
    pub pre: Option<Duration>,
    /// How much after now; as configured unless said.
    pub post: Option<Duration>,
}

/// A request as the session gets it.
#[derive(Debug)]
pub(crate) struct DumpRequest {
    pub(super) kind: &'static str,
    pub(super) time: u64,
    pub(super) uid: u32,
    pub(super) pid: u32,
    pub(super) output: Option<PathBuf>,
    pub(super) reason: String,
    pub(super) pre: Option<Duration>,
    pub(super) post: Option<Duration>,
    pub(super) reply: Reply,
}

/// Who waits for the answer, if anybody does.
#[derive(Debug, Default)]
pub(super) struct Reply(Option<Sender<String>>);

impl Reply {
    pub(super) fn send(&self, text: String) -> bool {
        self.0.as_ref().is_some_and(|to| to.send(text).is_ok())
    }
}

impl From<Reply> for Option<Sender<String>> {
    fn from(reply: Reply) -> Self {
        reply.0
    }
}

impl DumpRequest {
    pub(super) fn of_signal(time: u64) -> DumpRequest {
        DumpRequest {
            kind: "signal",
            time,
            uid: 0,
            pid: 0,
            output: None,
            reason: "SIGUSR1".into(),
            pre: None,
            post: None,
            reply: Reply::default(),
        }
    }
}

/// Takes a request from the control socket; a thread of its own waits for the answer and sends it.
pub(crate) fn serve(
    mut stream: UnixStream,
    body: &[u8],
    uid: u32,
    pid: u32,
    wake: &Sender<Wake>,
) -> std::io::Result<()> {
    let Ok(wanted) = serde_json::from_slice::<Wanted>(body) else {
        return stream.write_all(b"refused: the request cannot be read\n");
    };
    let (reply, answer) = bounded(1);
    let request = DumpRequest {
        kind: "command",
        time: clock::boottime().0,
        uid,
        pid,
        output: wanted.output,
        reason: wanted.reason,
        pre: wanted.pre,
        post: wanted.post,
        reply: Reply(Some(reply)),
    };
    if wake.send(Wake::Asked(Asked::Command(request))).is_err() {
        return stream.write_all(b"refused: the recording is ending\n");
    }
    std::thread::Builder::new().name("dump-answer".into()).spawn(move || {
        let text = answer.recv().unwrap_or_else(|_| "failed: the recording ended before the dump was made".into());
        // Whoever asked may have gone; the dump is there all the same.
        let _ = stream.write_all(text.as_bytes());
    })?;
    Ok(())
}

/// What is answered when it is made.
#[derive(Serialize, Deserialize)]
struct Answer {
    path: PathBuf,
    id: String,
    bytes: u64,
    entry: DumpEntry,
}

pub(super) fn answer(made: &Made) -> String {
    let Made { path, id, bytes, entry } = made.clone();
    // Plain text and numbers, which JSON can always hold.
    let json = serde_json::to_string(&Answer { path, id, bytes, entry }).unwrap_or_default();
    format!("ok {json}")
}

/// Why there is no dump.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// No recording can be reached.
    #[error(transparent)]
    Recording(#[from] MarkError),
    /// The recording made none.
    #[error("recording {pid} {answer}")]
    Refused {
        /// The recording.
        pid: u32,
        /// What it said.
        answer: String,
    },
    /// The folder is none of a flight recording, or cannot be used.
    #[error("{}: {reason}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// Asks the recording `pid`, or the only one, and waits until its dump is made: the time after the cause included.
pub fn dump_of(pid: Option<u32>, wanted: &Wanted) -> Result<Made, DumpError> {
    let pid = control::choose(pid)?;
    let mut request = REQUEST.to_vec();
    // As above.
    request.extend(serde_json::to_vec(wanted).unwrap_or_default());
    let said = control::ask(&request, pid, None).map_err(|source| MarkError::Io { pid, source })?;
    let made = said.strip_prefix("ok ").and_then(|json| serde_json::from_str::<Answer>(json).ok());
    match made {
        Some(Answer { path, id, bytes, entry }) => Ok(Made { path, id, bytes, entry }),
        None if said.is_empty() => Err(DumpError::Refused { pid, answer: "ended before it answered".into() }),
        None => Err(DumpError::Refused { pid, answer: said.trim().to_owned() }),
    }
}

/// A dump of the recording into this folder; where nobody records into it, of what a run before left there.
pub fn dump_here(path: &Path, wanted: &Wanted) -> Result<Made, DumpError> {
    let fail = |reason: String| DumpError::Folder { path: path.to_owned(), reason };
    if !folder::is_one(path) {
        return Err(fail("not the folder of a flight recording".into()));
    }
    if let Some(pid) = folder::holder(path) {
        match dump_of(Some(pid), wanted) {
            // It is being killed: in a moment the folder is nobody's.
            Err(DumpError::Recording(MarkError::Io { .. })) => {}
            answered => return answered,
        }
    }
    let folder = Folder::take(path).map_err(|e| match e {
        Taken::By(pid) => fail(format!("process {pid} records into it, and does not answer")),
        Taken::Io(e) => fail(e.to_string()),
    })?;
    let adopted = adopt::adopt(&folder).map_err(|e| fail(e.to_string()))?;
    let Some(last) = adopted.segments.last().cloned() else { return Err(fail("no segment is in it".into())) };
    let same = |s: &&super::segment::Segment| s.boot == last.boot;
    let first = adopted.segments.iter().filter(same).map(|s| s.first).min().unwrap_or(0);
    let fired = if last.boot == host_entry::read().boot_id { clock::boottime().0 } else { last.last };
    let from = wanted.pre.map_or(first, |pre| last.last.saturating_sub(pre.as_nanos() as u64).max(first));
    let entry = DumpEntry {
        trigger: "command".into(),
        kind: "command".into(),
        text: wanted.reason.clone(),
        fired,
        from,
        to: last.last,
        ..DumpEntry::default()
    };
    let (path, part) = match &wanted.output {
        Some(output) => {
            let name = output.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (output.clone(), output.with_file_name(format!(".{name}.part")))
        }
        None => folder.dump(clock::realtime().0, "command"),
    };
    let segments = dump::choose(&adopted.segments, &last.boot, from, last.last);
    let job = Job { segments, entry, path, part, room: u64::MAX, reserved: Reserved::default() };
    dump::make(job).map_err(fail)
}

impl Made {
    /// The window in words: `5m before, 10s after`.
    pub fn window(&self) -> String {
        span(&self.entry)
    }
}
