//! Names that appear in the folders of followed files (inotify(7)): a file that is rotated is found at once, not at the next look.
//! Where there is no inotify, as for changes that another host makes on NFS, the looks find it.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use crate::source::StopToken;

/// Folders that are watched at most.
const FOLDERS: usize = 256;
/// A folder in which names come and go all the time does not make the recorder run more often than this.
const LEAST: Duration = Duration::from_millis(2);

/// The watched folders.
pub(super) struct Names {
    /// None where the host gives no more of them.
    inotify: Option<OwnedFd>,
    folders: HashSet<PathBuf>,
    /// Names that count, without their folders.
    patterns: Vec<glob::Pattern>,
}

impl Names {
    /// For these files and globs.
    pub(super) fn new(patterns: &[String]) -> Names {
        let name = |pattern: &String| {
            let name = Path::new(pattern).file_name()?.to_str()?.to_owned();
            // What is renamed keeps its name in front: `app.log.1`.
            glob::Pattern::new(&format!("{name}*")).ok()
        };
        Names {
            inotify: inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).ok(),
            folders: HashSet::new(),
            patterns: patterns.iter().filter_map(name).collect(),
        }
    }

    /// Watches the folders of these files too.
    pub(super) fn watch(&mut self, files: &[PathBuf]) {
        let Some(inotify) = &self.inotify else { return };
        for file in files {
            let folder = file.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
            if self.folders.contains(folder) || self.folders.len() >= FOLDERS {
                continue;
            }
            let what = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
            // A folder that cannot be watched is looked at in turn; one that does not exist yet is tried again.
            if inotify::add_watch(inotify, folder, what).is_ok() {
                self.folders.insert(folder.to_owned());
            }
        }
    }

    /// Waits for `time`, until the stop, or until a name appears that counts: whether it stopped, and whether one did.
    pub(super) fn wait(&mut self, time: Duration, stop: &StopToken) -> (bool, bool) {
        let Some(inotify) = &self.inotify else { return (stop.wait(time), false) };
        let timeout = Timespec::try_from(time).ok();
        let mut fds = [PollFd::new(stop, PollFlags::IN), PollFd::new(inotify, PollFlags::IN)];
        // Interrupted: the next round comes a little early.
        let _ = poll(&mut fds, timeout.as_ref());
        if stop.is_stopped() {
            return (true, false);
        }
        let appeared = fds[1].revents().contains(PollFlags::IN) && self.take();
        match appeared && !time.is_zero() {
            true => (stop.wait(LEAST), true),
            false => (false, appeared),
        }
    }

    /// Takes what inotify has to tell; whether it is of a name that counts.
    fn take(&self) -> bool {
        let Some(inotify) = &self.inotify else { return false };
        let mut space = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(inotify, &mut space);
        let mut counts = false;
        while let Ok(event) = events.next() {
            let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()).to_string_lossy());
            // Without a name it says that events were lost: any name may have come.
            counts |= name.is_none_or(|name| self.patterns.iter().any(|p| p.matches(&name)));
        }
        counts
    }
}
