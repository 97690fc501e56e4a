//! The handle that sources hold.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use coldcase_model::catalogue::{CATALOGUE, raw_stream};
use coldcase_model::events::{Anchor, Receipt};
use coldcase_model::manifest::Manifest;
use coldcase_model::{Class, Column, Columns, Event};
use crossbeam_channel::{Sender, bounded};

use super::appender::Assembler;
use super::commit::{Commits, Unsynced};
use super::open::OpenChunk;
use super::options::{ClassBacklog, RawMessage, WriterOptions, WriterStats, random_id};
use super::pack::Job;
use super::registry::{Registry, StreamDef};
use super::rotate::{NextFile, Rotation};
use super::shared::Shared;
use super::sink::Sink;
use super::threads::{self, Message};
use crate::error::WriteError;
use crate::limits;
use crate::schema::Schema;

/// Packed chunks that may wait for the disk.
const QUEUED: usize = 16;

/// No anchor was seen yet.
const NO_OFFSET: i64 = i64::MIN;
/// Rows that go into one batch at most: more at once are split.
const MOST_ROWS: usize = 1 << 16;

/// A handle on a bundle being written. Cheap to clone, shared by all sources.
///
/// Dropping the last handle without [`Writer::seal`] leaves a readable, unsealed bundle.
#[derive(Clone)]
pub struct Writer {
    inner: Arc<Inner>,
}

struct Inner {
    id: String,
    options: WriterOptions,
    registry: Registry,
    /// In the order of [`Class::ALL`].
    classes: Vec<Mutex<OpenChunk>>,
    /// Cuts made so far.
    cuts: AtomicU64,
    jobs: Mutex<Option<Sender<Job>>>,
    appender: Mutex<Option<Sender<Message>>>,
    shared: Arc<Shared>,
    /// UTC minus BOOTTIME by the last anchor.
    offset: AtomicI64,
    closed: AtomicBool,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Writer {
    /// Creates a bundle in a file.
    ///
    /// # Errors
    /// [`WriteError::Exists`] when the file exists and `force` is not set; otherwise what the operating system says.
    pub fn create(path: &Path, force: bool, options: WriterOptions) -> Result<Writer, WriteError> {
        Self::start(Sink::create(path, force)?, options)
    }

    /// Writes a bundle to something that cannot seek, such as stdout.
    ///
    /// # Errors
    /// When its first bytes cannot be written.
    pub fn to_stream(stream: Box<dyn Write + Send>, options: WriterOptions) -> Result<Writer, WriteError> {
        Self::start(Sink::Stream(stream), options)
    }

    fn start(sink: Sink, options: WriterOptions) -> Result<Writer, WriteError> {
        let id = options.id.clone().unwrap_or_else(random_id);
        let assembler = Assembler::start(sink, &id, options.parent.clone(), options.preface.as_ref())?;
        let shared = Arc::new(Shared::default());
        shared.lock().bytes = assembler.position();
        let workers = options.workers.max(1);
        // Room for little more than what the workers hold: beyond it `append` waits.
        let (jobs, cut) = bounded(workers + 1);
        // A disk that stalls holds up the workers, then `append`: memory stays bounded.
        let (appender, messages) = bounded(QUEUED);
        let mut running = threads::appender(messages, assembler, shared.clone(), &options)?;
        for _ in 0..workers {
            running.push(threads::worker(cut.clone(), appender.clone(), &options)?);
        }
        let tick = (options.chunk_time / 10).clamp(Duration::from_millis(5), Duration::from_millis(100));
        let first_rows = Arc::new(options.first_rows.clone());
        let inner = Arc::new(Inner {
            id,
            options,
            registry: Registry::default(),
            classes: Class::ALL.iter().map(|_| Mutex::new(OpenChunk::new(first_rows.clone()))).collect(),
            cuts: AtomicU64::new(0),
            jobs: Mutex::new(Some(jobs)),
            appender: Mutex::new(Some(appender)),
            shared,
            offset: AtomicI64::new(NO_OFFSET),
            closed: AtomicBool::new(false),
            threads: Mutex::new(running),
        });
        let weak = Arc::downgrade(&inner);
        // Not joined: it may itself hold the last handle for a moment.
        std::thread::Builder::new()
            .name("bundle-tick".into())
            .spawn(move || tick_loop(&weak, tick))
            .map_err(|e| WriteError::Io { path: "thread".into(), os: e.raw_os_error(), message: e.to_string() })?;
        Ok(Writer { inner })
    }

    /// The bundle's id: 16 hex digits.
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// Takes in rows of a stream of the catalogue, or of the receipts of a raw stream. Waits while compression is
    /// behind.
    ///
    /// # Errors
    /// When the stream is unknown, the columns are not its, or the bundle is closed or its disk full.
    pub fn append(&self, stream: &str, rows: Columns) -> Result<(), WriteError> {
        let inner = &*self.inner;
        let def = inner.registry.get(stream)?;
        inner.check_columns(&def, &rows)?;
        inner.watch_anchor(stream, &rows);
        if let Some(tap) = &inner.options.tap {
            tap.rows(stream, &rows);
        }
        let mut open = inner.open(&def)?;
        for piece in pieces(rows) {
            open.push_rows(&def, piece, (inner.options.now)())?;
            if open.bytes >= inner.options.chunk_bytes {
                inner.cut(def.class, &mut open)?;
            }
        }
        Ok(())
    }

    /// Takes in a message of a raw stream with its receipt, which goes into the same chunk. Returns the message's
    /// number in its stream.
    ///
    /// # Errors
    /// As [`Writer::append`], and when the message is larger than a reader accepts.
    pub fn append_raw(&self, stream: &str, message: RawMessage, receipt: Receipt) -> Result<u64, WriteError> {
        let inner = &*self.inner;
        let unknown = || WriteError::UnknownStream(stream.to_owned());
        let receipts = raw_stream(stream).ok_or_else(unknown)?.receipts;
        let bytes = message.bytes.len();
        if bytes > limits::MESSAGE {
            return Err(WriteError::TooLarge { stream: stream.to_owned(), bytes, limit: limits::MESSAGE });
        }
        let (def, receipts) = (inner.registry.get(stream)?, inner.registry.get(receipts)?);
        if let Some(tap) = &inner.options.tap {
            tap.raw(stream, &message, &receipt);
        }
        let mut rows = Columns::new(&Receipt::DEF);
        receipt.push(&mut rows);
        let mut open = inner.open(&def)?;
        if open.bytes > 0 && open.bytes + bytes > inner.options.chunk_bytes {
            inner.cut(def.class, &mut open)?;
        }
        let number = open.push_raw(&def, message)?;
        open.push_rows(&receipts, rows, (inner.options.now)())?;
        if open.bytes >= inner.options.chunk_bytes {
            inner.cut(def.class, &mut open)?;
        }
        Ok(number)
    }

    /// How far it is.
    pub fn stats(&self) -> WriterStats {
        let inner = &*self.inner;
        let mut stats = WriterStats::default();
        let now = Instant::now();
        let mut oldest: BTreeMap<Class, Instant> = BTreeMap::new();
        for (class, open) in Class::ALL.iter().zip(&inner.classes) {
            let open = lock(open);
            stats.rows.extend(open.taken().map(|(name, rows)| (name.to_owned(), rows)));
            oldest.extend(open.since.map(|since| (*class, since)));
        }
        let progress = inner.shared.lock();
        for (class, since) in progress.in_flight.values() {
            oldest.entry(*class).and_modify(|o| *o = (*o).min(*since)).or_insert(*since);
        }
        stats.bytes_written = progress.bytes_before + progress.bytes;
        stats.file_bytes = progress.bytes;
        stats.chunks = progress.chunks;
        stats.disk_full = progress.full || matches!(progress.failed, Some(WriteError::DiskFull { .. }));
        stats.backlog =
            oldest.into_iter().map(|(class, since)| ClassBacklog { class, age: now.duration_since(since) }).collect();
        stats
    }

    /// Cuts all chunks and waits until they are in the file and synced.
    ///
    /// # Errors
    /// When writing or syncing failed.
    pub fn flush(&self) -> Result<(), WriteError> {
        let upto = self.inner.cut_all()?;
        let (done, answer) = bounded(1);
        self.inner.tell(Message::Flush { upto, done })?;
        answer.recv().unwrap_or(Err(WriteError::Closed))
    }

    /// Commits what a class takes in, for who must not be told "stored" before it is.
    pub fn commits(&self, class: Class) -> Commits {
        Commits::new(self.clone(), class)
    }

    /// Cuts the chunk of a class. The number of the next cut, and, once all cuts below it were appended, what is to be
    /// synced, or why a cut of the class from `since` on is not in a file.
    pub(super) fn settle(
        &self,
        class: Class,
        since: u64,
    ) -> Result<(u64, Result<Vec<Unsynced>, WriteError>), WriteError> {
        let inner = &*self.inner;
        let at = Class::ALL.iter().position(|c| *c == class).unwrap_or(0);
        inner.cut(class, &mut lock(&inner.classes[at]))?;
        let upto = inner.cuts.load(Ordering::SeqCst);
        let (done, answer) = bounded(1);
        inner.tell(Message::Settle { upto, since, class: class.name(), done })?;
        Ok((upto, answer.recv().unwrap_or(Err(WriteError::Closed))))
    }

    /// Notes a failure: nothing is taken in any more.
    pub(super) fn fail(&self, error: WriteError) {
        self.inner.shared.fail(error);
    }

    /// Seals the file and goes on in the next one, without a break for those who append: what was taken in before the
    /// call stands in the old file, what comes after it in the new one, and the numbers of rows go on. The old file
    /// is sealed beside the writing; [`Rotation`] tells when.
    ///
    /// # Errors
    /// When the next file cannot be begun: then nothing has changed.
    pub fn rotate(&self, next: NextFile, mut manifest: Manifest) -> Result<Rotation, WriteError> {
        let inner = &*self.inner;
        if inner.closed.load(Ordering::SeqCst) {
            return Err(WriteError::Closed);
        }
        let id = next.id.unwrap_or_else(random_id);
        let sink = Sink::create(&next.path, false)?;
        let assembler = match Assembler::start(sink, &id, None, next.preface.as_ref()) {
            Ok(assembler) => Box::new(assembler),
            Err(e) => {
                // Nothing stands in it.
                let _ = std::fs::remove_file(&next.path);
                return Err(e);
            }
        };
        manifest.policies.extend(inner.options.gate.policy());
        let docs = inner.docs();
        let upto = inner.cut_all()?;
        let (done, answer) = bounded(1);
        inner.tell(Message::Rotate { upto, next: assembler, manifest: Box::new(manifest), docs, done })?;
        Ok(Rotation::new(id, answer))
    }

    /// Seals the bundle: no handle takes in anything any more. Returns the manifest with format, id, streams and root
    /// filled in. After a full disk it still seals, with what was lost in the manifest's losses.
    ///
    /// # Errors
    /// [`WriteError::Closed`] when it is sealed already; otherwise when writing failed.
    pub fn seal(self, mut manifest: Manifest) -> Result<Manifest, WriteError> {
        let inner = &*self.inner;
        if inner.closed.swap(true, Ordering::SeqCst) {
            return Err(WriteError::Closed);
        }
        manifest.policies.extend(inner.options.gate.policy());
        let docs = inner.docs();
        let upto = inner.cut_all()?;
        let (done, answer) = bounded(1);
        inner.tell(Message::Seal { upto, manifest: Box::new(manifest), docs, done })?;
        let sealed = answer.recv().unwrap_or(Err(WriteError::Closed));
        inner.end();
        sealed
    }
}

/// Rows in batches of a size that a reader accepts.
fn pieces(rows: Columns) -> Vec<Columns> {
    if rows.is_empty() {
        return Vec::new();
    }
    // A dictionary with entries that no row uses (cut from a larger one) is not written.
    let spare = rows.columns.iter().any(|c| match c {
        Column::Text(t) => t.entries.len() > t.ids.len(),
        Column::Stack(s) => s.entries.len() > s.ids.len(),
        _ => false,
    });
    if rows.len() <= MOST_ROWS && !spare {
        return vec![rows];
    }
    (0..rows.len()).step_by(MOST_ROWS).map(|at| rows.slice(at..at + MOST_ROWS)).collect()
}

fn tick_loop(inner: &Weak<Inner>, every: Duration) {
    loop {
        std::thread::sleep(every);
        let Some(inner) = inner.upgrade() else { return };
        if inner.closed.load(Ordering::SeqCst) {
            return;
        }
        let limit = inner.options.chunk_time.saturating_sub(every);
        for (class, open) in Class::ALL.iter().zip(&inner.classes) {
            // Who holds the lock is cutting, or waiting for a worker: it does not need us.
            let Ok(mut open) = open.try_lock() else { continue };
            if open.since.is_some_and(|since| since.elapsed() >= limit) && inner.cut(*class, &mut open).is_err() {
                return;
            }
        }
    }
}

impl Inner {
    /// The open chunk of a stream's class, while the bundle takes in rows.
    fn open(&self, def: &StreamDef) -> Result<MutexGuard<'_, OpenChunk>, WriteError> {
        let at = Class::ALL.iter().position(|c| *c == def.class).unwrap_or(0);
        let open = lock(&self.classes[at]);
        if self.closed.load(Ordering::SeqCst) {
            return Err(WriteError::Closed);
        }
        self.shared.check()?;
        Ok(open)
    }

    fn check_columns(&self, def: &StreamDef, rows: &Columns) -> Result<(), WriteError> {
        let misfit = |reason: String| WriteError::Columns { stream: def.name.to_string(), reason };
        let event = def.event.ok_or_else(|| misfit("a raw stream takes messages, not rows".into()))?;
        if rows.names.len() != event.fields.len() {
            return Err(misfit(format!("{} columns, its kind has {}", rows.names.len(), event.fields.len())));
        }
        for (field, (name, column)) in event.fields.iter().zip(rows.names.iter().zip(&rows.columns)) {
            let same_type = std::mem::discriminant(&Column::new(field.ty)) == std::mem::discriminant(column);
            if field.name != name || !same_type {
                return Err(misfit(format!("column {name} is not {} as its kind has it", field.name)));
            }
            if column.len() != rows.len() {
                return Err(misfit(format!("column {name} has {} rows of {}", column.len(), rows.len())));
            }
        }
        Ok(())
    }

    /// Anchors tell how BOOTTIME becomes UTC for `publish_time`.
    fn watch_anchor(&self, stream: &str, rows: &Columns) {
        if stream != Anchor::DEF.stream {
            return;
        }
        if let Ok(cols) = Anchor::cols(rows)
            && let (Some(boot), Some(real)) = (cols.time.last(), cols.realtime.last())
        {
            self.offset.store(real.saturating_sub_unsigned(*boot), Ordering::Relaxed);
        }
    }

    /// Sends what waits in a class to the workers. The caller holds the class's lock, which keeps its cuts in order.
    fn cut(&self, class: Class, open: &mut OpenChunk) -> Result<(), WriteError> {
        let Some(jobs) = lock(&self.jobs).clone() else { return Err(WriteError::Closed) };
        let Some((items, since)) = open.take((self.options.now)()) else { return Ok(()) };
        let offset = Some(self.offset.load(Ordering::Relaxed)).filter(|o| *o != NO_OFFSET);
        let number = {
            let mut progress = self.shared.lock();
            let number = self.cuts.fetch_add(1, Ordering::SeqCst);
            progress.in_flight.insert(number, (class, since));
            number
        };
        jobs.send(Job { number, class, offset, items }).map_err(|_| WriteError::Closed)
    }

    /// Cuts every class; the number of the next cut.
    fn cut_all(&self) -> Result<u64, WriteError> {
        for (class, open) in Class::ALL.iter().zip(&self.classes) {
            self.cut(*class, &mut lock(open))?;
        }
        Ok(self.cuts.load(Ordering::SeqCst))
    }

    fn tell(&self, message: Message) -> Result<(), WriteError> {
        match &*lock(&self.appender) {
            Some(appender) => appender.send(message).map_err(|_| WriteError::Closed),
            None => Err(WriteError::Closed),
        }
    }

    /// The docs of the kinds in the bundle, for readers that do not know them.
    fn docs(&self) -> BTreeMap<String, String> {
        let used: Vec<u16> = self.registry.kinds();
        CATALOGUE
            .iter()
            .filter(|def| used.contains(&def.kind))
            .map(|def| (def.name.to_owned(), Schema::of(def).docs()))
            .collect()
    }

    /// Ends the threads and waits for them.
    fn end(&self) {
        lock(&self.jobs).take();
        lock(&self.appender).take();
        for thread in std::mem::take(&mut *lock(&self.threads)) {
            // A thread of ours that holds the last handle would wait for itself.
            if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
                tracing::error!("a thread of the bundle writer panicked");
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if !self.closed.swap(true, Ordering::SeqCst) {
            // Nobody is left to be told of an error; what can be kept is kept.
            let _ = self.cut_all();
        }
        self.end();
    }
}
