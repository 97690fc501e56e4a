//! The threads behind a writer: workers that pack, one appender, one that syncs.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use coldcase_model::loss::{LossTotal, Reason};
use coldcase_model::manifest::Manifest;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::appender::Assembler;
use super::options::WriterOptions;
use super::pack::{Job, Packed, pack};
use super::shared::Shared;
use super::sink::to_write_error;
use crate::error::WriteError;

/// What the appender is told.
pub(crate) enum Message {
    /// The chunk of a cut, or why there is none, with its rows by class for the books.
    Packed { number: u64, class: &'static str, rows: u64, packed: Result<Box<Packed>, String> },
    /// Answer when all cuts below `upto` are in the file, and synced.
    Flush { upto: u64, done: Sender<Result<(), WriteError>> },
    /// The same, then seal.
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
    let (gate, level) = (options.gate.clone(), options.level);
    spawn("pack", move || {
        for job in jobs {
            let (number, class) = (job.number, job.class.name());
            let rows = job.items.iter().map(super::pack::Item::rows).sum();
            let packed = pack(job, gate.as_ref(), level).map(Box::new);
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
    sync_every: Duration,
) -> Result<Vec<JoinHandle<()>>, WriteError> {
    let (stop, stopped) = bounded::<()>(0);
    let mut threads = Vec::new();
    if let Some(file) = assembler.sink().file() {
        let path = assembler.sink().path().to_owned();
        let shared = shared.clone();
        threads.push(spawn("sync", move || sync_loop(&file, &path, &stopped, sync_every, &shared))?);
    }
    let run = move || {
        // Held until the appender ends, which ends the syncing.
        let _stop = stop;
        Appender { assembler, shared, next: 0, early: HashMap::new(), waiting: Vec::new(), dropped: BTreeMap::new() }
            .run(&messages);
    };
    threads.push(spawn("append", run)?);
    Ok(threads)
}

fn sync_loop(file: &File, path: &std::path::Path, stopped: &Receiver<()>, every: Duration, shared: &Shared) {
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(every) {
        if let Err(e) = file.sync_data() {
            shared.fail(to_write_error(path, &e));
        }
    }
}

struct Appender {
    assembler: Assembler,
    shared: Arc<Shared>,
    /// The cut to be appended next.
    next: u64,
    /// Cuts that were packed before their turn.
    early: HashMap<u64, Message>,
    /// Flushes and seals that wait for cuts.
    waiting: Vec<Message>,
    /// Rows that a full disk or an error kept out, by class.
    dropped: BTreeMap<&'static str, u64>,
}

impl Appender {
    fn run(mut self, messages: &Receiver<Message>) {
        for message in messages {
            match message {
                Message::Packed { number, .. } => {
                    self.early.insert(number, message);
                    while let Some(Message::Packed { class, rows, packed, .. }) = self.early.remove(&self.next) {
                        self.take(class, rows, packed);
                        self.next += 1;
                    }
                }
                other => self.waiting.push(other),
            }
            let (due, later): (Vec<_>, Vec<_>) = self.waiting.drain(..).partition(|m| match m {
                Message::Flush { upto, .. } | Message::Seal { upto, .. } => *upto <= self.next,
                Message::Packed { .. } => true,
            });
            self.waiting = later;
            due.into_iter().for_each(|m| self.answer(m));
        }
    }

    fn take(&mut self, class: &'static str, rows: u64, packed: Result<Box<Packed>, String>) {
        let result = match packed {
            Err(message) => Err(WriteError::Io { path: self.assembler.sink().path().to_owned(), os: None, message }),
            Ok(_) if self.shared.check().is_err() => Ok(false),
            Ok(packed) => self.assembler.append(*packed).map(|()| true),
        };
        let written = match result {
            Ok(written) => written,
            Err(e) => {
                self.shared.fail(e);
                false
            }
        };
        if !written {
            *self.dropped.entry(class).or_default() += rows;
        }
        let chunks = self.assembler.chunks();
        self.assembler.sink().keep_reserve(chunks);
        let mut progress = self.shared.lock();
        progress.bytes = self.assembler.position();
        progress.chunks = chunks;
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
            Message::Seal { manifest, docs, done, .. } => {
                let result = self.seal(*manifest, docs);
                let mut progress = self.shared.lock();
                progress.bytes = self.assembler.position();
                drop(progress);
                let _ = done.send(result);
            }
        }
    }

    /// Seals. After a full disk too: the reserve makes room, and the manifest says what was lost.
    fn seal(&mut self, mut manifest: Manifest, docs: BTreeMap<String, String>) -> Result<Manifest, WriteError> {
        match self.shared.check() {
            Ok(()) => {}
            Err(WriteError::DiskFull { .. }) if self.assembler.sink().can_cut() => {}
            Err(e) => return Err(e),
        }
        self.assembler.sink().release_reserve();
        for (class, rows) in std::mem::take(&mut self.dropped) {
            manifest.losses.push(LossTotal {
                source: "recorder".to_owned(),
                class: class.to_owned(),
                reason: Reason::DiskFull.name().to_owned(),
                count: rows,
                bytes: 0,
            });
        }
        let manifest = self.assembler.seal(manifest, docs)?;
        self.sync()?;
        Ok(manifest)
    }
}
