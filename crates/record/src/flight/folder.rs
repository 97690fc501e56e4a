//! The folder of a flight recording: who may write there, what files are called, and what they take on the disk.
//!
//! `segments/000000000042.case` is sealed, `.open` is being written; `dump-<UTC>-<trigger>.case` are dumps, and files
//! that begin with `.dump-` are dumps in the making. Other files are never touched.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What the parts of a name are.
const SEGMENTS: &str = "segments";
const LOCK: &str = "flight.lock";
const SEALED: &str = "case";
const OPEN: &str = "open";

/// How long a folder is waited for that somebody has, and that somebody had who was killed.
const MOMENT: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(5);

/// A folder that is ours while this lives.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Holds the lock.
    _lock: File,
}

/// A file of a segment that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SegmentFile {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    pub(super) sealed: bool,
}

/// Why a folder cannot be taken.
#[derive(Debug)]
pub(super) enum Taken {
    /// By that process.
    By(u32),
    /// The system refused.
    Io(io::Error),
}

impl From<io::Error> for Taken {
    fn from(e: io::Error) -> Taken {
        Taken::Io(e)
    }
}

impl Folder {
    /// Makes the folder where it is not, and takes it.
    pub(super) fn take(path: &Path) -> Result<Folder, Taken> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path.join(SEGMENTS))?;
        let mut options = File::options();
        let mut lock = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path.join(LOCK))?;
        let begun = Instant::now();
        while rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
            lock.rewind()?;
            let holder = pid_in(&mut lock).unwrap_or(0);
            // One that was killed lets go when all its threads are gone: a moment later, or some where much is to be freed.
            let patience = if is_alive(holder) { MOMENT } else { PATIENCE };
            if begun.elapsed() >= patience {
                return Err(Taken::By(holder));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        lock.set_len(0)?;
        lock.rewind()?;
        writeln!(lock, "{}", std::process::id())?;
        Ok(Folder { path: path.to_owned(), _lock: lock })
    }

    /// The folder.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where a segment is written.
    pub(super) fn open(&self, number: u64) -> PathBuf {
        self.segment(number, OPEN)
    }

    /// Where it stands once it is sealed.
    pub(super) fn sealed(&self, number: u64) -> PathBuf {
        self.segment(number, SEALED)
    }

    fn segment(&self, number: u64, state: &str) -> PathBuf {
        self.path.join(SEGMENTS).join(format!("{number:012}.{state}"))
    }

    /// The files of segments, by number. A sealed one of the same number as one that is not comes first.
    pub(super) fn segments(&self) -> io::Result<Vec<SegmentFile>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(self.path.join(SEGMENTS))?.flatten() {
            let path = entry.path();
            let (Some(stem), Some(state)) = (path.file_stem(), path.extension()) else { continue };
            let number = stem.to_str().filter(|s| s.len() == 12).and_then(|s| s.parse().ok());
            if let (Some(number), true) = (number, state == SEALED || state == OPEN) {
                found.push(SegmentFile { number, sealed: state == SEALED, path });
            }
        }
        found.sort_by_key(|f| (f.number, !f.sealed));
        Ok(found)
    }

    /// A name for a dump that nobody has, and where it is made before it gets it.
    pub(super) fn dump(&self, utc: i64, trigger: &str) -> (PathBuf, PathBuf) {
        let stamp = stamp(utc);
        let mut name = format!("dump-{stamp}-{trigger}.case");
        let mut n = 1;
        while self.path.join(&name).exists() {
            n += 1;
            name = format!("dump-{stamp}-{trigger}.{n}.case");
        }
        (self.path.join(&name), self.path.join(format!(".{name}.part")))
    }

    /// Dumps that a trigger made, as their names say.
    pub(super) fn dumps_of(&self, trigger: &str) -> u32 {
        let named = |name: &str| {
            let rest =
                name.strip_prefix("dump-").and_then(|r| r.get(STAMP..)?.strip_prefix('-')?.strip_prefix(trigger));
            rest.is_some_and(|r| {
                r == ".case" || r.strip_prefix('.').is_some_and(|r| r.ends_with(".case") && r.len() < 10)
            })
        };
        self.files().filter(|(name, _)| named(name)).count() as u32
    }

    /// Bytes that dumps take on the disk.
    pub(super) fn dump_bytes(&self) -> u64 {
        self.files().filter(|(name, _)| is_dump(name)).map(|(_, path)| disk_bytes(&path)).sum()
    }

    /// Removes what was a dump in the making when its maker was killed; how many.
    pub(super) fn clear_parts(&self) -> usize {
        let parts = self.files().filter(|(name, _)| name.starts_with(".dump-") && name.ends_with(".part"));
        parts.filter(|(_, path)| std::fs::remove_file(path).is_ok()).count()
    }

    fn files(&self) -> impl Iterator<Item = (String, PathBuf)> {
        let entries = std::fs::read_dir(&self.path).into_iter().flatten().flatten();
        entries.filter_map(|e| Some((e.file_name().into_string().ok()?, e.path())))
    }

    /// Bytes that are free on its disk for us; `u64::MAX` where that is not told.
    pub(super) fn free(&self) -> u64 {
        free(&self.path)
    }
}

/// Bytes that are free on the disk of a folder.
pub(super) fn free(folder: &Path) -> u64 {
    rustix::fs::statvfs(folder).map_or(u64::MAX, |s| s.f_bavail.saturating_mul(s.f_frsize))
}

/// The process that records into a folder, if one does.
pub(super) fn holder(path: &Path) -> Option<u32> {
    let mut lock = File::open(path.join(LOCK)).ok()?;
    match rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockShared) {
        // Ours for a moment, so nobody's: closing it lets go.
        Ok(()) => None,
        Err(_) => pid_in(&mut lock),
    }
}

/// Whether a folder is one of a flight recording.
pub(super) fn is_one(path: &Path) -> bool {
    path.join(LOCK).is_file() && path.join(SEGMENTS).is_dir()
}

/// Whether a process runs; one that was killed may stand in `/proc` for a while.
fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|s| !matches!(s, 'Z' | 'X'))
}

fn pid_in(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// What a file takes on the disk.
pub(super) fn disk_bytes(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |m| (m.blocks() * 512).max(m.len()))
}

fn is_dump(name: &str) -> bool {
    name.starts_with("dump-") && name.ends_with(".case")
}

/// Characters of a stamp.
const STAMP: usize = 16;

/// `20261125T163105Z`.
fn stamp(utc: i64) -> String {
    let seconds = utc.div_euclid(1_000_000_000);
    let (days, time) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Howard Hinnant's days-to-civil: eras of 400 years that begin on 1 March.
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + i64::from(month <= 2);
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z", time / 3600, time / 60 % 60, time % 60)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_stamp_is_utc() {
        assert_eq!(stamp(0), "19700101T000000Z");
        assert_eq!(stamp(951_827_696_000_000_000), "20000229T123456Z");
        assert_eq!(stamp(1_795_624_265_999_999_999), "20261125T163105Z");
    }

    #[test]
    fn one_recorder_has_a_folder_and_other_files_in_it_are_not_its() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::take(dir.path()).unwrap();
        assert!(matches!(Folder::take(dir.path()), Err(Taken::By(pid)) if pid == std::process::id()));
        assert_eq!(holder(dir.path()), Some(std::process::id()));
        for name in ["000000000003.case", "000000000004.open", "4.case", "notes.txt", "000000000005.tmp"] {
            std::fs::write(dir.path().join("segments").join(name), "x").unwrap();
        }
        let found = folder.segments().unwrap();
        assert_eq!(found.iter().map(|f| (f.number, f.sealed)).collect::<Vec<_>>(), [(3, true), (4, false)]);
        let (path, part) = folder.dump(0, "slow");
        std::fs::write(&path, "x").unwrap();
        std::fs::write(&part, "x").unwrap();
        std::fs::write(dir.path().join("dump-of-mine"), "x").unwrap();
        let (second, _) = folder.dump(0, "slow");
        assert!(second.ends_with("dump-19700101T000000Z-slow.2.case"));
        std::fs::write(&second, "x").unwrap();
        assert_eq!((folder.dumps_of("slow"), folder.dumps_of("slo"), folder.clear_parts()), (2, 0, 1));
        assert!(dir.path().join("dump-of-mine").exists());
        drop(folder);
        assert_eq!(holder(dir.path()), None);
    }
}
