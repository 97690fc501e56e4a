//! The threads behind a writer: workers that pack, one appender, one that syncs.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use coldcase_model::loss::{LossTotal, Reason};
use coldcase_model::manifest::Manifest;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::appender::Assembler;
use super::commit::Unsynced;
use super::options::WriterOptions;
use super::pack::{Compressor, Job, Packed, pack};
use super::shared::Shared;
use super::sink::to_write_error;
use crate::error::WriteError;

/// What the appender is told.
pub(crate) enum Message {
    /// The chunk of a cut, or why there is none, with its rows by class for the books.
    Packed { number: u64, class: &'static str, rows: u64, packed: Result<Box<Packed>, String> },
    /// Answer when all cuts below `upto` are in the file, and synced.
    Flush { upto: u64, done: Sender<Result<(), WriteError>> },
    /// Answer when all cuts below `upto` are in the file, with what is to be synced by who asks: the appender goes on.
    /// An error when a cut of the class from `since` on was dropped.
    Settle { upto: u64, since: u64, class: &'static str, done: Sender<Result<Vec<Unsynced>, WriteError>> },
    /// When all cuts below `upto` are in the file: go on in the next one, and seal this one beside it.
    Rotate {
        upto: u64,
        next: Box<Assembler>,
        manifest: Box<Manifest>,
        docs: BTreeMap<String, String>,
        done: Sender<Result<Manifest, WriteError>>,
    },
    /// As a flush, then seal.
    Seal {
        upto: u64,
        manifest: Box<Manifest>,
        docs: BTreeMap<String, String>,
        done: Sender<Result<Manifest, WriteError>>,
    },
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, WriteError> {
    std::thread::Builder::new().name(format!("bundle-{name}")).spawn(run).map_err(|e| WriteError::Io {
        path: "thread".into(),
        os: e.raw_os_error(),
        message: e.to_string(),
    })
}

/// Starts a worker.
pub(crate) fn worker(
    jobs: Receiver<Job>,
    appender: Sender<Message>,
    options: &WriterOptions,
) -> Result<JoinHandle<()>, WriteError> {
    let gate = options.gate.clone();
    let mut compressor = Compressor::new(options.level).map_err(|e| to_write_error(Path::new("zstd"), &e))?;
    spawn("pack", move || {
        for job in jobs {
            let (number, class) = (job.number, job.class.name());
            let rows = job.items.iter().map(super::pack::Item::rows).sum();
            let packed = pack(job, gate.as_ref(), &mut compressor).map(Box::new);
            if appender.send(Message::Packed { number, class, rows, packed }).is_err() {
                return;
            }
        }
    })
}

/// Starts the appender, and the thread that syncs beside it.
pub(crate) fn appender(
    messages: Receiver<Message>,
    mut assembler: Assembler,
    shared: Arc<Shared>,
    options: &WriterOptions,
) -> Result<Vec<JoinHandle<()>>, WriteError> {
    let (stop, stopped) = bounded::<()>(0);
    let mut threads = Vec::new();
    let synced = Synced::default();
    if synced.set(&mut assembler) {
        let (shared, synced, every) = (shared.clone(), synced.clone(), options.sync_every);
        threads.push(spawn("sync", move || sync_loop(&synced, &stopped, every, &shared))?);
    }
    let outlast = options.outlast_full_disk;
    let run = move || {
        // Held until the appender ends, which ends the syncing.
        let _stop = stop;
        let mut appender = Appender {
            assembler,
            shared,
            synced,
            outlast,
            next: 0,
            early: HashMap::new(),
            waiting: Vec::new(),
            dropped: BTreeMap::new(),
            last_dropped: BTreeMap::new(),
            sealing: Vec::new(),
        };
        appender.run(&messages);
        for (sealing, _) in appender.sealing {
            // A panic there has been reported, and its asker sees the channel closed.
            let _ = sealing.join();
        }
    };
    threads.push(spawn("append", run)?);
    Ok(threads)
}

/// The file that is synced in the background.
#[derive(Clone, Default)]
struct Synced(Arc<Mutex<Option<(File, PathBuf)>>>);

impl Synced {
    /// Whether the assembler's target can be synced; from now on it is.
    fn set(&self, assembler: &mut Assembler) -> bool {
        let path = assembler.sink().path().to_owned();
        let file = assembler.sink().file().map(|file| (file, path));
        let there = file.is_some();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = file;
        there
    }

    fn get(&self) -> Option<(File, PathBuf)> {
        let current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().and_then(|(file, path)| Some((file.try_clone().ok()?, path.clone())))
    }
}

fn sync_loop(synced: &Synced, stopped: &Receiver<()>, every: Duration, shared: &Shared) {
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(every) {
        let Some((file, path)) = synced.get() else { continue };
        if let Err(e) = file.sync_data() {
            shared.fail(to_write_error(&path, &e));
        }
    }
}

struct Appender {
    assembler: Assembler,
    shared: Arc<Shared>,
    synced: Synced,
    /// A full disk ends nothing.
    outlast: bool,
    /// The cut to be appended next.
    next: u64,
    /// Cuts that were packed before their turn.
    early: HashMap<u64, Message>,
    /// Flushes and seals that wait for cuts.
    waiting: Vec<Message>,
    /// Rows that a full disk or an error kept out, by class.
    dropped: BTreeMap<&'static str, u64>,
    /// The last cut of a class that was kept out.
    last_dropped: BTreeMap<&'static str, u64>,
    /// Files that are being sealed, which syncs them at the end.
    sealing: Vec<(JoinHandle<()>, Option<Unsynced>)>,
}

impl Appender {
    fn run(&mut self, messages: &Receiver<Message>) {
        for message in messages {
            match message {
                Message::Packed { number, .. } => _ = self.early.insert(number, message),
                other => self.waiting.push(other),
            }
            // Between any two cuts: a rotation stands exactly where it was asked for.
            loop {
                self.answer_due();
                let Some(Message::Packed { class, rows, packed, .. }) = self.early.remove(&self.next) else { break };
                self.take(class, rows, packed);
                self.next += 1;
            }
        }
    }

    fn answer_due(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let (due, later): (Vec<_>, Vec<_>) = self.waiting.drain(..).partition(|m| match m {
            Message::Flush { upto, .. }
            | Message::Settle { upto, .. }
            | Message::Seal { upto, .. }
            | Message::Rotate { upto, .. } => *upto <= self.next,
            Message::Packed { .. } => true,
        });
        self.waiting = later;
        due.into_iter().for_each(|m| self.answer(m));
    }

    fn take(&mut self, class: &'static str, rows: u64, packed: Result<Box<Packed>, String>) {
        let result = match packed {
            Err(message) => Err(WriteError::Io { path: self.assembler.sink().path().to_owned(), os: None, message }),
            Ok(_) if self.shared.check().is_err() => Ok(false),
            Ok(packed) => self.assembler.append(*packed).map(|()| true),
        };
        let full = self.outlast && matches!(result, Err(WriteError::DiskFull { .. }));
        let written = match result {
            Ok(written) => written,
            Err(_) if full => false,
            Err(e) => {
                self.shared.fail(e);
                false
            }
        };
        if !written {
            *self.dropped.entry(class).or_default() += rows;
            self.last_dropped.insert(class, self.next);
        }
        let chunks = self.assembler.chunks();
        self.assembler.sink().keep_reserve(chunks);
        let mut progress = self.shared.lock();
        progress.bytes = self.assembler.position();
        progress.chunks = chunks;
        progress.full = full;
        progress.in_flight.remove(&self.next);
    }

    fn sync(&mut self) -> Result<(), WriteError> {
        self.assembler.finish()
    }

    fn answer(&mut self, message: Message) {
        // Whoever asked may have stopped waiting.
        match message {
            Message::Packed { .. } => {}
            Message::Flush { done, .. } => {
                let result = self.shared.check().and_then(|()| self.sync());
                let _ = done.send(result);
            }
            Message::Settle { since, class, done, .. } => {
                let _ = done.send(self.unsynced(since, class));
            }
            Message::Rotate { next, manifest, docs, done, .. } => self.rotate(*next, *manifest, docs, done),
            Message::Seal { manifest, docs, done, .. } => {
                let dropped = std::mem::take(&mut self.dropped);
                let result = seal(&mut self.assembler, &self.shared, *manifest, docs, dropped);
                let mut progress = self.shared.lock();
                progress.bytes = self.assembler.position();
                drop(progress);
                let _ = done.send(result);
            }
        }
    }

    /// What holds the cuts of a class from `since` on and may not be on the disk yet.
    fn unsynced(&mut self, since: u64, class: &'static str) -> Result<Vec<Unsynced>, WriteError> {
        self.shared.check()?;
        let path = self.assembler.sink().path().to_owned();
        if self.last_dropped.get(class).is_some_and(|&last| last >= since) {
            return Err(WriteError::DiskFull { path });
        }
        let Some(file) = self.assembler.sink().file() else {
            return Err(WriteError::Io { path, os: None, message: "what is no file cannot be synced".into() });
        };
        self.sealing.retain(|(sealing, _)| !sealing.is_finished());
        let mut files = vec![(file, path)];
        for (file, path) in self.sealing.iter().filter_map(|(_, file)| file.as_ref()) {
            files.push((file.try_clone().map_err(|e| to_write_error(path, &e))?, path.clone()));
        }
        Ok(files)
    }

    /// Goes on in `next`. The old file is sealed on a thread of its own: the disk may take its time.
    fn rotate(
        &mut self,
        next: Assembler,
        manifest: Manifest,
        docs: BTreeMap<String, String>,
        done: Sender<Result<Manifest, WriteError>>,
    ) {
        let mut old = std::mem::replace(&mut self.assembler, next);
        let old_path = old.sink().path().to_owned();
        let old_file = old.sink().file().map(|file| (file, old_path));
        self.synced.set(&mut self.assembler);
        let (written, dropped, shared) = (old.position(), std::mem::take(&mut self.dropped), self.shared.clone());
        {
            let mut progress = self.shared.lock();
            progress.bytes_before += written;
            progress.bytes = self.assembler.position();
            progress.chunks = 0;
        }
        let run = move || {
            let sealed = seal(&mut old, &shared, manifest, docs, dropped);
            shared.lock().bytes_before += old.position() - written;
            let _ = done.send(sealed);
        };
        self.sealing.retain(|(sealing, _)| !sealing.is_finished());
        match spawn("seal", run) {
            Ok(sealing) => self.sealing.push((sealing, old_file)),
            // The file is not sealed then, as after a kill; its asker sees the channel closed.
            Err(e) => tracing::error!("a file could not be sealed: {e}"),
        }
    }
}

/// Seals. After a full disk too: the reserve makes room, and the manifest says what was lost.
fn seal(
    assembler: &mut Assembler,
    shared: &Shared,
    mut manifest: Manifest,
    docs: BTreeMap<String, String>,
    dropped: BTreeMap<&'static str, u64>,
) -> Result<Manifest, WriteError> {
    match shared.check() {
        Ok(()) => {}
        Err(WriteError::DiskFull { .. }) if assembler.sink().can_cut() => {}
        Err(e) => return Err(e),
    }
    assembler.sink().release_reserve();
    for (class, rows) in dropped {
        manifest.losses.push(LossTotal {
            source: "recorder".to_owned(),
            class: class.to_owned(),
            reason: Reason::DiskFull.name().to_owned(),
            count: rows,
            bytes: 0,
        });
    }
    let sealed = assembler.seal(manifest, docs);
    // Sealed or not: what was acknowledged as durable is in it.
    let finished = assembler.finish();
    let manifest = sealed?;
    finished?;
    Ok(manifest)
}
