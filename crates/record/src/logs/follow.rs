//! All followed files: found, re-found after rotation, read in turn.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::config::LogsConfig;
use super::file::{Copied, Followed, From, Identity};
use super::lines::Line;

/// How often globs are expanded again.
const SEARCH: Duration = Duration::from_millis(500);
/// A file that was rotated away is given up when nothing came for so long: its writer has let go of it.
const LINGER: Duration = Duration::from_secs(10);
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
}

/// The followed files.
pub(super) struct Follow {
    patterns: Vec<String>,
    from_start: bool,
    started: bool,
    searched: Option<Instant>,
    /// Under the path that leads to them now.
    files: HashMap<PathBuf, Followed>,
    /// Their path leads elsewhere by now.
    rotated: Vec<Followed>,
    /// What was read already: copies that a rotation made of a followed file, and files that were let go of.
    done: HashSet<Identity>,
    /// What may be a copy in the making, and since when.
    doubtful: HashMap<Identity, Instant>,
    told: HashSet<String>,
}

impl Follow {
    pub(super) fn new(config: LogsConfig) -> Follow {
        Follow {
            patterns: config.paths,
            from_start: config.from_start,
            started: false,
            searched: None,
            files: HashMap::new(),
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

    /// Looks at every file once. `give` gets each line with the file it is from.
    pub(super) fn round(&mut self, give: &mut impl FnMut(&Path, u64, Line)) -> Round {
        let mut round = Round::default();
        self.rotate();
        if self.searched.is_none_or(|s| s.elapsed() >= SEARCH) {
            self.search(&mut round);
        }
        let Follow { told, done, .. } = self;
        for file in self.files.values_mut().chain(&mut self.rotated) {
            let (path, inode) = (file.path.clone(), file.identity.inode);
            match file.look(TURN, &mut |line| give(&path, inode, line)) {
                Ok(look) => {
                    round.read += look.read;
                    round.gaps.extend(look.gap.then_some(path));
                    done.extend(look.copy);
                }
                Err(error) => tell(told, &mut round, format!("log: {}: {error}", path.display())),
            }
        }
        self.let_go(give);
        round
    }

    /// Moves files aside whose path leads elsewhere now, or nowhere.
    fn rotate(&mut self) {
        let moved: Vec<PathBuf> = self
            .files
            .iter()
            .filter(|(path, file)| Identity::of(path).is_ok_and(|now| now != file.identity))
            .map(|(path, _)| path.clone())
            .collect();
        for path in moved {
            self.rotated.extend(self.files.remove(&path));
            // What took its place must be found at once.
            self.searched = None;
        }
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
        let known = self.files.values().chain(&self.rotated).any(|f| f.identity == identity);
        if known || self.done.contains(&identity) {
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
        match Followed::open(&path, from) {
            Ok(file) => {
                self.files.insert(path, file);
            }
            Err(error) => tell(&mut self.told, round, format!("log: {}: {error}", path.display())),
        }
    }

    /// Whether a file that appeared is a copy of a followed one, or may become one.
    fn is_copy(&mut self, path: &Path, identity: Identity) -> bool {
        let Ok(file) = File::open(path) else { return false };
        let copied: Vec<Copied> = self.files.values().map(|f| f.copied_by(&file)).collect();
        if copied.contains(&Copied::Yes) {
            self.done.insert(identity);
            return true;
        }
        copied.contains(&Copied::Perhaps)
            && self.doubtful.entry(identity).or_insert_with(Instant::now).elapsed() < COPYING
    }

    /// Ends rotated files that their writers have let go of.
    fn let_go(&mut self, give: &mut impl FnMut(&Path, u64, Line)) {
        let Follow { rotated, done, .. } = self;
        rotated.retain_mut(|file| {
            if file.grew.elapsed() < LINGER {
                return true;
            }
            if let Some(line) = file.end() {
                give(&file.path, file.identity.inode, line);
            }
            done.insert(file.identity);
            false
        });
    }

    /// Gives the open last lines of all files: nothing more will be read.
    pub(super) fn end(&mut self, give: &mut impl FnMut(&Path, u64, Line)) {
        for file in self.files.values_mut().chain(&mut self.rotated) {
            if let Some(line) = file.end() {
                give(&file.path, file.identity.inode, line);
            }
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
