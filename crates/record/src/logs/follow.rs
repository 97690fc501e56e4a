//! All followed files: found, re-found after rotation, read in turn.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use regex::bytes::Regex;

use super::config::LogsConfig;
use super::file::{Followed, From, Identity};
use super::lines::Line;
use super::names::Names;
use super::trace::Copied;
use crate::source::StopToken;

/// How often globs are expanded again.
const SEARCH: Duration = Duration::from_millis(500);
/// A file that was rotated away is given up when nothing came for so long and nobody has it open for writing.
const LINGER: Duration = Duration::from_secs(10);
/// Or after so long.
const HELD: Duration = Duration::from_secs(3600);
/// A file that begins like a followed one and does not become a copy of it within this time is a log of its own.
const COPYING: Duration = Duration::from_secs(10);
/// Bytes taken of one file before the others get their turn.
const TURN: u64 = 4 << 20;
/// Files that are followed at most.
const FILES: usize = 512;

/// What is told of a round besides its lines.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// Bytes read.
    pub(super) read: u64,
    /// Files that were overwritten before they were read.
    pub(super) gaps: Vec<PathBuf>,
    /// Remarks: files that cannot be read. Each once.
    pub(super) remarks: Vec<String>,
    /// More stands unread: the next round should come at once.
    pub(super) more: bool,
}

/// The followed files.
pub(super) struct Follow {
    patterns: Vec<String>,
    multiline: Option<Arc<Regex>>,
    from_start: bool,
    started: bool,
    searched: Option<Instant>,
    /// Tells when names appear.
    names: Names,
    /// Under the path that leads to them now.
    files: BTreeMap<PathBuf, Followed>,
    /// Their path leads elsewhere by now. The oldest first.
    rotated: Vec<Followed>,
    /// What was read already: copies that a rotation made of a followed file, and files that were let go of.
    done: HashSet<Identity>,
    /// What may be a copy in the making, and since when.
    doubtful: HashMap<Identity, Instant>,
    told: HashSet<String>,
}

impl Follow {
    pub(super) fn new(config: LogsConfig) -> Follow {
        let patterns: Vec<String> = config.files().cloned().collect();
        Follow {
            names: Names::new(&patterns),
            multiline: config.pattern(),
            patterns,
            from_start: config.from_start,
            started: false,
            searched: None,
            files: BTreeMap::new(),
            rotated: Vec::new(),
            done: HashSet::new(),
            doubtful: HashMap::new(),
            told: HashSet::new(),
        }
    }

    /// How many files are followed.
    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// Waits for `time`, until the stop, or until a name appears that is followed; true when stopped.
    pub(super) fn wait(&mut self, time: Duration, stop: &StopToken) -> bool {
        let (stopped, appeared) = self.names.wait(time, stop);
        if appeared {
            self.searched = None;
        }
        stopped
    }

    /// Looks at every file once. `give` gets each line with the file it is from.
    pub(super) fn round(&mut self, give: &mut impl FnMut(&Path, u64, Line)) -> Round {
        let mut round = Round::default();
        self.keep_up(&mut round);
        let Follow { told, done, .. } = self;
        // A file that was rotated away is read to its end before the one that took its place.
        let mut behind: HashSet<PathBuf> = HashSet::new();
        let mut files: Vec<&mut Followed> = self.files.values_mut().collect();
        // Of a log and its older parts the oldest comes first.
        files.sort_by_key(|file| file.identity.born);
        for file in self.rotated.iter_mut().chain(files) {
            let (path, inode) = (file.path.clone(), file.identity.inode);
            if behind.contains(&path) {
                continue;
            }
            match file.look(TURN, &mut |line| give(&path, inode, line)) {
                Ok(look) => {
                    round.read += look.read;
                    done.extend(look.copy);
                    if look.gap {
                        round.gaps.push(path.clone());
                    }
                    if look.more {
                        round.more = true;
                        behind.insert(path);
                    }
                }
                Err(error) => tell(told, &mut round, format!("log: {}: {error}", path.display())),
            }
        }
        self.let_go(give);
        round
    }

    /// Finds what was rotated and what appeared, and reads nothing.
    pub(super) fn keep_up(&mut self, round: &mut Round) {
        self.rotate();
        if self.searched.is_none_or(|s| s.elapsed() >= SEARCH) {
            self.search(round);
        }
    }

    /// Moves files aside whose path leads elsewhere now, or nowhere.
    fn rotate(&mut self) {
        let moved: Vec<(PathBuf, Identity)> = self
            .files
            .iter()
            .filter_map(|(path, file)| {
                Some((path.clone(), Identity::of(path).ok().filter(|now| *now != file.identity)?))
            })
            .collect();
        for (path, now) in moved {
            let Some(mut file) = self.files.remove(&path) else { continue };
            file.rotated = Some(Instant::now());
            let missed = self.missed(&file, now);
            self.rotated.push(file);
            self.rotated.extend(missed);
            // What took its place must be found at once.
            self.searched = None;
        }
    }

    /// What a path led to between two looks: files named after it that are younger than what it led to before and older than
    /// what it leads to now.
    fn missed(&self, before: &Followed, now: Identity) -> Vec<Followed> {
        let (Some(from), Some(to)) = (before.identity.born, now.born) else { return Vec::new() };
        let Some((folder, name)) = before.path.parent().zip(before.path.file_name()) else { return Vec::new() };
        let is_rotated = |other: &std::ffi::OsStr| {
            let rest = other.as_encoded_bytes().strip_prefix(name.as_encoded_bytes());
            rest.is_some_and(|rest| rest.starts_with(b".") || rest.starts_with(b"-"))
        };
        let Ok(beside) = std::fs::read_dir(folder) else { return Vec::new() };
        let mut found: Vec<(Identity, PathBuf)> = beside
            .filter_map(Result::ok)
            .filter(|entry| is_rotated(&entry.file_name()))
            .filter_map(|entry| Some((Identity::from(&entry.metadata().ok()?), entry.path())))
            .filter(|(identity, _)| {
                identity.born.is_some_and(|born| from < born && born < to) && !self.knows(*identity)
            })
            .collect();
        found.sort_by_key(|(identity, _)| identity.born);
        let open = |(_, path): &(_, PathBuf)| {
            let mut file =
                Followed::open(path, From::Start, self.multiline.clone()).ok().filter(|file| !file.is_compressed())?;
            if before.copied_by(&File::open(path).ok()?) != Copied::No {
                return None;
            }
            file.path.clone_from(&before.path);
            file.rotated = Some(Instant::now());
            Some(file)
        };
        found.iter().filter_map(open).collect()
    }

    /// Whether a file is followed, or was.
    fn knows(&self, identity: Identity) -> bool {
        let followed = self.files.values().chain(&self.rotated).any(|f| f.identity == identity);
        followed || self.done.contains(&identity)
    }

    fn search(&mut self, round: &mut Round) {
        self.searched = Some(Instant::now());
        let mut paths = Vec::new();
        for pattern in &self.patterns {
            if !is_glob(pattern) {
                paths.push(PathBuf::from(pattern));
                continue;
            }
            match glob::glob(pattern) {
                Ok(found) => paths.extend(found.filter_map(Result::ok).filter(|p| p.is_file())),
                Err(error) => tell(&mut self.told, round, format!("log: {pattern}: {error}")),
            }
        }
        self.names.watch(&paths);
        for path in paths {
            if !self.files.contains_key(&path) {
                self.find(path, round);
            }
        }
        self.started = true;
    }

    /// Follows a path that is not followed yet, unless it leads to what is followed under another name.
    fn find(&mut self, path: PathBuf, round: &mut Round) {
        let identity = match Identity::of(&path) {
            Ok(identity) => identity,
            Err(error) => {
                let wait =
                    if error.kind() == std::io::ErrorKind::NotFound { "; it is followed when it appears" } else { "" };
                return tell(&mut self.told, round, format!("log: {}: {error}{wait}", path.display()));
            }
        };
        if self.knows(identity) {
            return;
        }
        if self.files.len() >= FILES {
            return tell(&mut self.told, round, format!("log: only {FILES} files are followed at a time"));
        }
        // What appears while recording is new from its first byte on.
        let from = if self.started || self.from_start { From::Start } else { From::End };
        if self.started && self.is_copy(&path, identity) {
            return;
        }
        match Followed::open(&path, from, self.multiline.clone()) {
            Ok(file) if file.is_compressed() => {
                self.done.insert(identity);
                if !self.started {
                    let what = "it is compressed and not followed; `coldcase import` reads it";
                    tell(&mut self.told, round, format!("log: {}: {what}", path.display()));
                }
            }
            Ok(file) => {
                self.files.insert(path, file);
            }
            Err(error) => tell(&mut self.told, round, format!("log: {}: {error}", path.display())),
        }
    }

    /// Whether a file that appeared is a copy of a followed one, or may become one.
    fn is_copy(&mut self, path: &Path, identity: Identity) -> bool {
        let Ok(file) = File::open(path) else { return false };
        // What takes a file's place under its own path is new, however it begins.
        let followed = self.files.values().chain(&self.rotated).filter(|f| f.path != path);
        match followed.map(|f| f.copied_by(&file)).max().unwrap_or(Copied::No) {
            Copied::Yes => {
                self.doubtful.remove(&identity);
                self.done.insert(identity);
                true
            }
            Copied::Perhaps => self.doubtful.entry(identity).or_insert_with(Instant::now).elapsed() < COPYING,
            Copied::No => {
                self.doubtful.remove(&identity);
                false
            }
        }
    }

    /// Ends rotated files that their writers have let go of.
    fn let_go(&mut self, give: &mut impl FnMut(&Path, u64, Line)) {
        let Follow { rotated, done, .. } = self;
        let many = rotated.len() > FILES;
        rotated.retain_mut(|file| {
            if file.grew.elapsed() < LINGER {
                return true;
            }
            let held = file.is_written() == Some(true) && file.rotated.is_none_or(|since| since.elapsed() < HELD);
            if held && !many {
                file.grew = Instant::now();
                return true;
            }
            let (path, inode) = (file.path.clone(), file.identity.inode);
            file.end(&mut |line| give(&path, inode, line));
            done.insert(file.identity);
            false
        });
    }

    /// Bytes that stand unread.
    pub(super) fn unread(&self) -> u64 {
        self.files.values().chain(&self.rotated).map(Followed::unread).sum()
    }

    /// Gives the open last lines of all files: nothing more will be read.
    pub(super) fn end(&mut self, give: &mut impl FnMut(&Path, u64, Line)) {
        for file in self.rotated.iter_mut().chain(self.files.values_mut()) {
            let (path, inode) = (file.path.clone(), file.identity.inode);
            file.end(&mut |line| give(&path, inode, line));
        }
    }
}

/// Whether a name is a pattern.
fn is_glob(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

fn tell(told: &mut HashSet<String>, round: &mut Round, remark: String) {
    if told.insert(remark.clone()) {
        round.remarks.push(remark);
    }
}
