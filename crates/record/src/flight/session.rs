//! What the session does for a flight recording: goes on to the next segment, keeps to the space, and dumps.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use coldcase_bundle::NextFile;
use coldcase_model::events::Trigger;
use coldcase_model::loss::Reason;
use coldcase_model::manifest::{DumpEntry, Manifest};
use coldcase_model::{Class, Nanos};
use crossbeam_channel::Sender;

use super::condition::Met;
use super::dump::{self, Job, Made};
use super::folder;
use super::request::DumpRequest;
use super::state::{Flight, Pending, Phase, Stage};
use crate::clock;
use crate::session::{Session, Wake};
use crate::summary::FlightSummary;

/// A rule's condition was met.
#[derive(Debug)]
pub(crate) struct Fired {
    /// Its place in the configuration.
    pub(super) rule: usize,
    pub(super) met: Met,
    /// Times since it was told last.
    pub(super) count: u64,
}

/// A dump was made, or not.
#[derive(Debug)]
pub(crate) struct Outcome {
    result: Result<Made, String>,
    reply: Option<Sender<String>>,
}

/// Who asked for a dump.
#[derive(Debug)]
pub(crate) enum Asked {
    /// With SIGUSR1.
    Signal,
    /// With `coldcase dump`.
    Command(DumpRequest),
}

/// Rows are in the file this long after what they tell of: the bound that a kill has, and some.
const SETTLE: Duration = Duration::from_millis(1500);
/// Sources may take this long to complete a segment.
const PATIENCE: Duration = Duration::from_secs(5);
/// A rule that is met again and again without a dump is told this often.
const TELL: Duration = Duration::from_secs(10);
/// A dump that can only be smaller than this is none.
const LEAST_ROOM: u64 = 1 << 20;

/// Why no dump is made.
struct Refused {
    outcome: &'static str,
    text: String,
}

impl Session<'_> {
    /// What there is to do, each time the session looks up: five times a second.
    pub(crate) fn flight_turn(&mut self) {
        let Some(mut flight) = self.flight.take() else { return };
        self.turn(&mut flight);
        self.keep_space(&mut flight);
        self.flight = Some(flight);
    }

    /// Says which triggers cannot fire.
    pub(crate) fn flight_live(&mut self, live: &[String]) {
        let Some(flight) = &self.flight else { return };
        for (rule, source) in flight.unwatched(live) {
            self.observer.warning(&format!("trigger {rule} cannot fire: {source} is not recorded"));
        }
    }

    fn turn(&mut self, f: &mut Flight) {
        self.tell_unjudged(f);
        match &f.stage {
            Stage::Recording => {
                let now = clock::boottime().0;
                let over = |p: &Pending| p.phase == Phase::Waiting && now >= p.entry.to + SETTLE.as_nanos() as u64;
                let over = f.pending.as_ref().is_some_and(over);
                if over && let Some(pending) = &mut f.pending {
                    pending.phase = Phase::Cutting(f.number);
                }
                if over || f.is_full(self.writer.stats().file_bytes) {
                    self.running.iter_mut().for_each(|(r, _)| r.segment_ends());
                    f.stage = Stage::Closing(Instant::now());
                }
            }
            Stage::Closing(since) => {
                let late = since.elapsed() >= PATIENCE;
                if late || self.running.iter_mut().all(|(r, _)| r.segment_ready()) {
                    self.next_segment(f);
                }
            }
            Stage::Sealing { rotation, number } => {
                if let Some(sealed) = rotation.wait(Duration::ZERO) {
                    let number = *number;
                    f.stage = Stage::Recording;
                    let shelved = sealed.map_err(|e| e.to_string()).and_then(|_| f.shelve(number));
                    if let Err(e) = shelved {
                        self.observer.warning(&format!("segment {number} is not sealed, and in no dump: {e}"));
                    }
                    if f.pending.as_ref().is_some_and(|p| p.phase == Phase::Cutting(number)) {
                        self.write_dump(f);
                    }
                }
            }
        }
    }

    /// Goes on in the next file. What is taken in before stands in the old one with its anchor and its losses; the new
    /// one begins with an anchor, the states of all sources, and identities.
    fn next_segment(&mut self, f: &mut Flight) {
        self.poll_sources();
        self.write_losses(true);
        self.anchor("segment");
        let manifest = Manifest { losses: self.losses.drained(), ..self.segment_manifest(f) };
        let (old, next) = (f.number, f.number + 1);
        f.number = next;
        let preface = Manifest { flight: Some(f.entry()), ..self.preface.clone() };
        let file = NextFile { path: f.folder.open(next), id: None, preface: Some(preface) };
        match self.writer.rotate(file, manifest) {
            Ok(rotation) => {
                self.losses.turn();
                f.begun = Instant::now();
                f.stage = Stage::Sealing { rotation, number: old };
            }
            Err(e) => {
                // The old one goes on, and this is tried again; the space that it needs is made meanwhile.
                f.number = old;
                f.begun = Instant::now();
                f.stage = Stage::Recording;
                if let Some(pending) = &mut f.pending {
                    pending.phase = Phase::Waiting;
                }
                self.observer.warning(&format!("the next segment cannot be begun: {e}"));
                return;
            }
        }
        self.anchor("segment");
        self.roster.restate();
        let rows = self.roster.take_rows();
        self.append(rows);
        self.running.iter_mut().for_each(|(r, _)| r.segment_begins());
    }

    fn segment_manifest(&self, f: &Flight) -> Manifest {
        Manifest {
            sources: self.roster.entries(),
            clock: clock::ntp_words(self.ntp_state).to_owned(),
            ended: "next segment".to_owned(),
            flight: Some(f.entry()),
            ..self.preface.clone()
        }
    }

    /// Removes the oldest segments that the window has passed, and those that there is no room for.
    fn keep_space(&mut self, f: &mut Flight) {
        let window = (f.window + SETTLE).as_nanos() as u64;
        let needed = f.pending.as_ref().map_or(u64::MAX, |p| p.entry.from);
        let from = clock::boottime().0.saturating_sub(window).min(needed.saturating_sub(SETTLE.as_nanos() as u64));
        let passed = f.shelf.passed(from, &f.boot);
        passed.iter().for_each(|s| self.remove(&s.path));
        let open = self.writer.stats().file_bytes;
        let sealing = match &f.stage {
            Stage::Sealing { number, .. } => folder::disk_bytes(&f.folder.open(*number)),
            _ => 0,
        };
        while f.shelf.bytes() + open + sealing > f.limit() {
            let Some(oldest) = f.shelf.oldest() else { break };
            self.remove(&oldest.path);
        }
        let mut free = f.folder.free();
        if free >= f.config.disk_floor {
            f.short = false;
            return;
        }
        if !std::mem::replace(&mut f.short, true) {
            let floor = coldcase_model::quantity::format_size(f.config.disk_floor);
            self.observer
                .warning(&format!("the disk has less than {floor} free: the window shrinks, and no dump is made"));
        }
        while free < f.config.disk_floor {
            let Some(oldest) = f.shelf.oldest() else { break };
            self.remove(&oldest.path);
            // It was within the window: that is evidence which others' files took.
            self.losses.add("recorder", Class::Recorder, Reason::DiskFull, oldest.rows, oldest.bytes);
            free = free.saturating_add(oldest.bytes);
        }
    }

    fn remove(&mut self, path: &std::path::Path) {
        if let Err(e) = std::fs::remove_file(path)
            && e.kind() != std::io::ErrorKind::NotFound
        {
            self.observer.warning(&format!("{}: {e}", path.display()));
        }
    }

    /// A rule's condition was met.
    pub(crate) fn flight_fired(&mut self, fired: Fired) {
        let Some(mut f) = self.flight.take() else { return };
        if let Some(rule) = f.config.triggers.get(fired.rule).cloned() {
            let state = &mut f.rules[fired.rule];
            state.untold += fired.count;
            let cooldown = rule.cooldown.unwrap_or(f.config.cooldown);
            let refused = if state.made >= rule.max_dumps.unwrap_or(f.config.max_dumps) {
                Some("limit")
            } else if state.last.is_some_and(|l| l.elapsed() < cooldown) {
                Some("cooldown")
            } else {
                f.refuses(None).err().map(|r| r.outcome)
            };
            let state = &mut f.rules[fired.rule];
            let outcome = refused.unwrap_or("dump");
            let tell = state.told.is_none_or(|(t, last)| last != outcome || outcome == "dump" || t.elapsed() >= TELL);
            if tell {
                let count = std::mem::take(&mut state.untold);
                state.told = Some((Instant::now(), outcome));
                let entry = f.dump_entry(&rule, &fired.met);
                self.append([trigger_row(&entry, count, (0, fired.met.pid), &fired.met.text, outcome)]);
                if refused.is_none() {
                    let state = &mut f.rules[fired.rule];
                    state.made += 1;
                    state.last = Some(Instant::now());
                    self.observer.remark(&format!(
                        "trigger {} fired: {}",
                        entry.trigger,
                        coldcase_model::text::visible(&entry.text)
                    ));
                    f.pending = Some(Pending { entry, output: None, reply: None, phase: Phase::Waiting });
                }
            }
        }
        self.flight = Some(f);
    }

    /// Somebody asks for a dump.
    pub(crate) fn flight_asked(&mut self, asked: Asked) {
        let Some(mut f) = self.flight.take() else {
            if let Asked::Command(request) = asked {
                let _ = request
                    .reply
                    .send("refused: this recording is no flight recording: it is one bundle anyway".into());
            }
            return;
        };
        let request = match asked {
            Asked::Signal => DumpRequest::of_signal(clock::boottime().0),
            Asked::Command(request) => request,
        };
        let entry = f.asked_entry(&request);
        let by = (request.uid, request.pid);
        match f.refuses(request.output.as_deref()) {
            Ok(()) => {
                self.append([trigger_row(&entry, 1, by, entry.text.as_bytes(), "dump")]);
                f.pending =
                    Some(Pending { entry, output: request.output, reply: request.reply.into(), phase: Phase::Waiting });
            }
            Err(refused) => {
                self.append([trigger_row(&entry, 1, by, entry.text.as_bytes(), refused.outcome)]);
                self.observer.remark(&format!("no dump: {}", refused.text));
                let _ = request.reply.send(format!("refused: {}", refused.text));
            }
        }
        self.flight = Some(f);
    }

    /// A dump was made, or not.
    pub(crate) fn flight_dumped(&mut self, outcome: Outcome) {
        let Some(f) = &mut self.flight else { return };
        f.pending = None;
        f.dump_bytes = f.folder.dump_bytes();
        let answer = match outcome.result {
            Ok(made) => {
                let answer = super::request::answer(&made);
                self.observer.remark(&format!("dump: {} ({})", made.path.display(), made.entry.trigger));
                f.made.push(made);
                answer
            }
            Err(e) => {
                self.observer.warning(&format!("no dump: {e}"));
                format!("failed: {e}")
            }
        };
        if let Some(reply) = outcome.reply {
            // Who asked may have gone.
            let _ = reply.send(answer);
        }
    }

    fn tell_unjudged(&mut self, f: &mut Flight) {
        let unjudged = f.unjudged.load(Ordering::Relaxed);
        if unjudged > f.unjudged_told {
            if f.unjudged_told == 0 {
                self.observer.warning("triggers cannot keep up: some of what is recorded is not judged by them");
            }
            f.unjudged_told = unjudged;
        }
    }

    /// Writes the dump whose window is sealed, on a thread of its own.
    fn write_dump(&mut self, f: &mut Flight) {
        let Some((job, reply)) = f.job() else { return };
        let wake = f.wake.clone();
        let run = move || {
            let result = dump::make(job);
            // The session is gone only when the recording is over: then it made its dumps itself.
            let _ = wake.send(Wake::Dumped(Box::new(Outcome { result, reply })));
        };
        if let Err(e) = std::thread::Builder::new().name("dump".into()).spawn(run) {
            f.pending = None;
            self.observer.warning(&format!("no dump: {e}"));
        }
    }

    /// The last segment is sealed: shelves it, and makes the dump that is still awaited of what there is.
    pub(crate) fn flight_end(&mut self, mut f: Flight, wakes: &crossbeam_channel::Receiver<Wake>) -> FlightSummary {
        if let Stage::Sealing { rotation, number } = std::mem::replace(&mut f.stage, Stage::Recording) {
            let sealed = rotation.wait(PATIENCE).unwrap_or(Err(coldcase_bundle::WriteError::Closed));
            if let Err(e) = sealed.map_err(|e| e.to_string()).and_then(|_| f.shelve(number)) {
                self.observer.warning(&format!("segment {number} is not sealed: {e}"));
            }
        }
        if let Err(e) = f.shelve(f.number) {
            self.observer.warning(&format!("segment {} is not sealed: {e}", f.number));
        }
        let writing = f.pending.as_ref().is_some_and(|p| p.phase == Phase::Writing);
        let outcome = match writing {
            true => wakes.iter().find_map(|w| if let Wake::Dumped(outcome) = w { Some(*outcome) } else { None }),
            false => f.job().map(|(job, reply)| Outcome { result: dump::make(job), reply }),
        };
        self.flight = Some(f);
        if let Some(outcome) = outcome {
            self.flight_dumped(outcome);
        }
        let f = self.flight.take();
        FlightSummary {
            folder: f.as_ref().map_or_else(PathBuf::new, |f| f.folder.path().to_owned()),
            segments: f.as_ref().map_or(0, |f| f.shelf.segments.len()),
            dumps: f.map_or_else(Vec::new, |f| f.made.into_iter().map(|m| m.path).collect()),
            lost: self.losses.ever(),
        }
    }
}

impl Flight {
    /// Why no dump can be made now.
    fn refuses(&self, output: Option<&std::path::Path>) -> Result<(), Refused> {
        if self.pending.is_some() {
            return Err(Refused { outcome: "busy", text: "another dump is being made".into() });
        }
        let disk = output.and_then(|o| o.parent()).map_or_else(|| self.folder.free(), folder::free);
        if disk < self.config.disk_floor {
            let floor = coldcase_model::quantity::format_size(self.config.disk_floor);
            return Err(Refused {
                outcome: "disk",
                text: format!("the disk has less than {floor} free (--disk-floor)"),
            });
        }
        if output.is_none() && self.share() < LEAST_ROOM {
            let text = "earlier dumps fill the folder (--max-size): move them away".into();
            return Err(Refused { outcome: "disk", text });
        }
        Ok(())
    }

    fn dump_entry(&self, rule: &super::Rule, met: &Met) -> DumpEntry {
        let (pre, post) = self.config.around(Some(rule));
        DumpEntry {
            trigger: rule.name().to_owned(),
            kind: rule.kind.map_or("", |k| k.word()).to_owned(),
            text: String::from_utf8_lossy(&met.text).into_owned(),
            value: met.value,
            threshold: rule.against(),
            fired: met.time,
            from: met.time.saturating_sub(pre.as_nanos() as u64),
            to: met.time.saturating_add(post.as_nanos() as u64),
            ..DumpEntry::default()
        }
    }

    fn asked_entry(&self, request: &DumpRequest) -> DumpEntry {
        let (pre, post) = self.config.around(None);
        let (pre, post) = (request.pre.unwrap_or(pre), request.post.unwrap_or(post));
        DumpEntry {
            trigger: request.kind.to_owned(),
            kind: request.kind.to_owned(),
            text: request.reason.clone(),
            fired: request.time,
            from: request.time.saturating_sub(pre.as_nanos() as u64),
            to: request.time.saturating_add(post.as_nanos() as u64),
            ..DumpEntry::default()
        }
    }

    /// The work of the dump that is awaited, which is then under way.
    fn job(&mut self) -> Option<(Job, Option<Sender<String>>)> {
        let pending = self.pending.as_mut()?;
        pending.phase = Phase::Writing;
        let entry = pending.entry.clone();
        let segments = dump::choose(&self.shelf.segments, &self.boot, entry.from, entry.to);
        self.shelf.reserved.add(segments.iter().map(|s| s.number));
        let (output, reply) = (pending.output.clone(), pending.reply.take());
        let (path, part, room) = match output {
            Some(path) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let part = path.with_file_name(format!(".{name}.part"));
                (path, part, u64::MAX)
            }
            None => {
                let (path, part) = self.folder.dump(clock::realtime().0, &entry.trigger);
                (path, part, self.share())
            }
        };
        Some((Job { segments, entry, path, part, room, reserved: self.shelf.reserved.clone() }, reply))
    }
}

fn trigger_row(entry: &DumpEntry, count: u64, (uid, pid): (u32, u32), text: &[u8], outcome: &str) -> Trigger {
    Trigger {
        time: entry.fired,
        before: entry.fired.saturating_sub(entry.from),
        after: entry.to.saturating_sub(entry.fired),
        value: entry.value,
        threshold: entry.threshold,
        count,
        uid,
        pid,
        name: entry.trigger.clone(),
        kind: entry.kind.clone(),
        text: text.to_vec(),
        outcome: outcome.to_owned(),
    }
}

/// A window in words, for people.
pub(super) fn span(entry: &DumpEntry) -> String {
    let (before, after) = (entry.fired.saturating_sub(entry.from), entry.to.saturating_sub(entry.fired));
    format!("{} before, {} after", Nanos(before), Nanos(after))
}
