//! The loop: takes what is next, waits until it is due, and hands it to the sinks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use coldcase_decode::otlp::Attributes;
use coldcase_model::Utc;
use coldcase_timeline::{Body, Entry, Merge, StreamSet, Timeline};
use crossbeam_channel::{Receiver, RecvTimeoutError};

use crate::control::{Control, Shared, Stop};
use crate::ids::NewIds;
use crate::lane::{Lane, lane};
use crate::message::{Message, Messages};
use crate::pace::{Pacer, Speed, Timing, wait};
use crate::shift::Shift;
use crate::sink::{Event, Item, Round, Sink, SinkError, Wants};
use crate::summary::Summary;

/// Whether an entry goes out. Called on the threads that read.
pub type Filter<'a> = dyn Fn(&Entry) -> bool + Send + Sync + 'a;

/// What is played, and how.
pub struct Options<'a> {
    /// From this time of the recording on.
    pub from: Option<Utc>,
    /// Up to this one.
    pub to: Option<Utc>,
    /// Of what the sinks take, only these streams.
    pub streams: StreamSet,
    /// Of those, only what this lets pass: entries, and of OTLP requests the spans, records and points in them.
    pub filter: Option<Box<Filter<'a>>>,
    /// How fast.
    pub speed: Speed,
    /// To which time.
    pub shift: Shift,
    /// How many times over.
    pub rounds: u32,
    /// New ids for traces and spans, made with this seed.
    pub new_ids: Option<u64>,
}

/// Why a replay failed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The window has no length.
    #[error("the window from {from} to {to} ns is empty")]
    Window {
        /// Its start, UTC nanoseconds.
        from: i64,
        /// Its end.
        to: i64,
    },
    /// A sink failed.
    #[error(transparent)]
    Sink(#[from] SinkError),
}

/// Longest wait without a look at whether it was asked to stop.
const SLICE: Duration = Duration::from_millis(50);
/// A pause in which what was held back is sent.
const LULL: Duration = Duration::from_millis(1);
/// Time between two updates of the status.
const NEWS: Duration = Duration::from_millis(50);

/// Plays a bundle to sinks until its end, or until it is told to stop. Memory does not grow with the bundle.
///
/// # Errors
/// When the window is empty, or a sink cannot go on.
pub fn play<'a>(
    timeline: &'a Timeline,
    options: &'a Options<'a>,
    sinks: Vec<Box<dyn Sink + 'a>>,
    control: &'a Receiver<Control>,
    stop: &'a Stop,
    shared: &'a Shared,
) -> Result<Summary, ReplayError> {
    let window =
        (options.from.unwrap_or(timeline.start()), options.to.unwrap_or_else(|| timeline.end().max(timeline.start())));
    if window.0 > window.1 || (options.to.is_some() && window.0 == window.1) {
        return Err(ReplayError::Window { from: window.0.0, to: window.1.0 });
    }
    let wants = sinks.iter().map(|s| s.wants()).collect();
    let player = Player {
        timeline,
        options,
        window,
        wants,
        sinks,
        control,
        stop,
        shared,
        speed: options.speed,
        paused: false,
        steps: 0,
        pacer: None,
        position: window.0,
        late: Duration::ZERO,
        timing: Timing::default(),
        streams: BTreeMap::new(),
        told: Instant::now(),
        problems: Vec::new(),
    };
    player.play()
}

struct Player<'a> {
    timeline: &'a Timeline,
    options: &'a Options<'a>,
    window: (Utc, Utc),
    wants: Vec<Wants>,
    sinks: Vec<Box<dyn Sink + 'a>>,
    control: &'a Receiver<Control>,
    stop: &'a Stop,
    shared: &'a Shared,
    speed: Speed,
    paused: bool,
    /// Events that may go out although it is paused or goes in steps.
    steps: u64,
    pacer: Option<Pacer>,
    position: Utc,
    late: Duration,
    timing: Timing,
    streams: BTreeMap<Arc<str>, u64>,
    told: Instant,
    problems: Vec<String>,
}

/// What comes after a control or a pass.
enum Turn {
    /// Go on, or the end was reached.
    On,
    /// Begin again from here.
    From(Utc),
    /// It was asked to end.
    Quit,
}

/// The two lanes, merged by time.
struct Lanes {
    entries: Lane<Entry>,
    messages: Lane<Message>,
}

impl Lanes {
    /// When the next item is due, on the clock of the recording, and whether it is a message.
    fn peek(&mut self) -> Option<(Utc, bool)> {
        let entry = self.entries.peek().map(|e| (e.utc, false));
        let message = self.messages.peek().map(|m| (m.utc, true));
        entry.into_iter().chain(message).min()
    }

    fn take(&mut self, message: bool) -> Option<Item> {
        match message {
            true => self.messages.next().map(|m| Item::Message(Arc::new(m))),
            false => self.entries.next().map(Item::Entry),
        }
    }
}

impl Player<'_> {
    fn play(mut self) -> Result<Summary, ReplayError> {
        let began = Instant::now();
        let (mut offsets, mut rounds, mut interrupted) = (Vec::new(), 0, false);
        for number in 0..self.options.rounds {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
            let now = Utc(i64::try_from(now).unwrap_or(i64::MAX));
            let offset = self.options.shift.offset(self.window.0, self.window.1, self.speed, now, number);
            let id = self.timeline.bundle().id();
            let round = Round {
                number,
                offset,
                ids: self.options.new_ids.map(|seed| NewIds::new(id, seed, number)),
                from: self.options.from,
            };
            offsets.push(offset);
            self.sinks.iter_mut().try_for_each(|s| s.begin(&round))?;
            interrupted = !self.round(&round)?;
            if interrupted {
                break;
            }
            rounds += 1;
        }
        let mut reports = Vec::with_capacity(self.sinks.len());
        for sink in std::mem::take(&mut self.sinks) {
            reports.push(sink.finish()?);
        }
        self.tell(offsets.last().map_or(0, |o| o.0), rounds, true);
        Ok(Summary {
            window: self.window,
            speed: self.options.speed,
            offsets,
            rounds,
            interrupted,
            elapsed: began.elapsed(),
            streams: self.streams,
            timing: self.timing,
            sinks: reports,
            problems: self.problems,
        })
    }

    /// Plays one round; whether it came to its end.
    fn round(&mut self, round: &Round) -> Result<bool, ReplayError> {
        let (mut from, mut at) = (self.options.from, self.window.0);
        loop {
            self.position = at;
            match self.pass(round, from)? {
                Turn::On => return Ok(true),
                Turn::Quit => return Ok(false),
                Turn::From(utc) => {
                    at = utc.max(self.window.0).min(self.window.1);
                    from = Some(at);
                }
            }
        }
    }

    /// Plays from a time on, until the end or a seek.
    fn pass(&mut self, round: &Round, from: Option<Utc>) -> Result<Turn, ReplayError> {
        let window = (from, self.options.to);
        let (entries, messages) = (self.streams(|w| &w.entries), self.streams(|w| &w.messages));
        let (t, filter) = (self.timeline, self.options.filter.as_deref());
        std::thread::scope(|scope| {
            let (fill_entries, entry_lane) = lane();
            let (fill_messages, message_lane) = lane();
            let read = scope.spawn(move || {
                let mut merge = Merge::between(t, &entries, window);
                let passing = merge.by_ref().filter(|e| filter.is_none_or(|f| f(e)));
                fill_entries.fill(passing, size_of_entry);
                merge.problems().to_vec()
            });
            let received = scope.spawn(move || {
                let mut all = Messages::new(t, &messages, window);
                let inside = filter.map(|f| (Merge::messages(t, &messages), f));
                let passing = all.by_ref().filter_map(|m| match &inside {
                    None => Some(m),
                    Some((merge, filter)) => narrowed(m, merge, *filter),
                });
                fill_messages.fill(passing, |m| m.bytes.len() + 128);
                all.into_problems()
            });
            let mut lanes = Lanes { entries: entry_lane, messages: message_lane };
            let turn = self.run(&mut lanes, round);
            // The readers end when nobody takes what they read.
            drop(lanes);
            for problems in [read.join(), received.join()] {
                let problems = problems.unwrap_or_else(|_| vec!["reading the bundle ended early: a bug".into()]);
                for problem in problems {
                    if !self.problems.contains(&problem) {
                        self.problems.push(problem);
                    }
                }
            }
            turn
        })
    }

    /// The streams of the bundle that any sink takes in one way.
    fn streams(&self, way: impl Fn(&Wants) -> &StreamSet) -> StreamSet {
        let wanted = |s: &str| self.options.streams.has(s) && self.wants.iter().any(|w| way(w).has(s));
        let all = self.timeline.bundle().streams().into_iter().map(|s| s.name);
        StreamSet::Exact(all.filter(|s| wanted(s)).map(|s| s.to_string()).collect())
    }

    fn run(&mut self, lanes: &mut Lanes, round: &Round) -> Result<Turn, ReplayError> {
        // The clock starts when there is something to play.
        lanes.peek();
        self.start_clock();
        loop {
            if self.stop.is_set() {
                return Ok(Turn::Quit);
            }
            // A step that was asked for is taken before anything else is heard.
            while self.steps == 0
                && let Ok(said) = self.control.try_recv()
            {
                match self.hear(said) {
                    Turn::On => {}
                    turn => return Ok(turn),
                }
            }
            if (self.paused || self.speed == Speed::Step) && self.steps == 0 {
                match self.stand(round)? {
                    Turn::On => continue,
                    turn => return Ok(turn),
                }
            }
            let Some((utc, is_message)) = lanes.peek() else {
                self.flush()?;
                return Ok(Turn::On);
            };
            let due = if self.steps == 0 { self.pacer.and_then(|p| p.due(utc)) } else { None };
            if let Some(due) = due {
                let now = Instant::now();
                let left = due.saturating_duration_since(now);
                if left > LULL {
                    self.flush()?;
                }
                if left > SLICE {
                    self.news(round);
                }
                match wait(due.min(now + SLICE), self.control).map(|said| self.hear(said)) {
                    None if left <= SLICE => {}
                    None | Some(Turn::On) => continue,
                    Some(turn) => return Ok(turn),
                }
                self.timing.note(due);
                self.late = due.elapsed();
            }
            let Some(item) = lanes.take(is_message) else { continue };
            self.steps = self.steps.saturating_sub(1);
            // A step ahead of the clock moves the clock.
            self.position = self.position.max(utc);
            self.hand_out(&item, round)?;
        }
    }

    fn start_clock(&mut self) {
        let running = self.speed.factor().filter(|_| !self.paused);
        self.pacer = running.map(|factor| Pacer::new(self.position, Instant::now(), factor));
    }

    /// What was said; where it is now is where it goes on.
    fn hear(&mut self, said: Control) -> Turn {
        if let Some(pacer) = self.pacer {
            self.position = self.position.max(pacer.at(Instant::now()));
        }
        match said {
            Control::Pause => self.paused = true,
            Control::Resume => self.paused = false,
            Control::Speed(speed) => self.speed = speed,
            Control::Step => self.steps += 1,
            Control::Seek(utc) => return Turn::From(utc),
            Control::Quit => return Turn::Quit,
        }
        self.start_clock();
        Turn::On
    }

    /// Waits for a word.
    fn stand(&mut self, round: &Round) -> Result<Turn, ReplayError> {
        self.flush()?;
        self.news(round);
        match self.control.recv_timeout(SLICE) {
            Ok(said) => Ok(self.hear(said)),
            Err(RecvTimeoutError::Timeout) => Ok(Turn::On),
            // Nobody can ever say that it goes on.
            Err(RecvTimeoutError::Disconnected) => Ok(Turn::Quit),
        }
    }

    fn hand_out(&mut self, item: &Item, round: &Round) -> Result<(), ReplayError> {
        let event = Event { timeline: self.timeline, round, item };
        let stream = item.stream();
        for (sink, wants) in self.sinks.iter_mut().zip(&self.wants) {
            let taken = match item {
                Item::Entry(_) => &wants.entries,
                Item::Message(_) => &wants.messages,
            };
            if taken.has(stream) {
                sink.event(event)?;
            }
        }
        match self.streams.get_mut(stream) {
            Some(count) => *count += 1,
            None => _ = self.streams.insert(stream.clone(), 1),
        }
        if self.told.elapsed() > NEWS {
            self.news(round);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        self.sinks.iter_mut().try_for_each(|s| s.flush())
    }

    fn news(&mut self, round: &Round) {
        self.told = Instant::now();
        self.tell(round.offset.0, round.number, false);
    }

    fn tell(&self, offset: i64, round: u32, over: bool) {
        let mut s = self.shared.lock();
        let now = self.pacer.filter(|_| !over).map_or(self.position, |p| p.at(Instant::now()));
        s.window = self.window;
        s.position = now.max(self.position).min(self.window.1.max(self.position));
        s.offset = offset;
        s.speed = Some(self.speed);
        s.paused = self.paused;
        s.round = round;
        s.late = self.late;
        s.over = over;
        s.events.clone_from(&self.streams);
    }
}

/// About the bytes of an entry. Rows share their columns, which are as large as a chunk.
fn size_of_entry(entry: &Entry) -> usize {
    let attributes = |a: &Attributes| a.0.iter().map(|(key, _)| key.len() + 64).sum::<usize>();
    256 + match &entry.body {
        Body::Span(s) => {
            s.span.name.len() + s.span.message.len() + attributes(&s.span.attributes) + 256 * s.span.events.len()
        }
        Body::Record(r) => r.record.body.len() + attributes(&r.record.attributes),
        Body::Metric(m) => 256 + attributes(&m.point.attributes),
        Body::Line(l) => l.line.len(),
        Body::Row { .. } | Body::Packet(_) | Body::Page { .. } | Body::Written { .. } => 0,
    }
}

/// A message with only what passes in it, or nothing if nothing does.
fn narrowed(message: Message, merge: &Merge<'_>, filter: &Filter<'_>) -> Option<Message> {
    let mut wanted = Vec::new();
    for entry in merge.of_message(message.batch()) {
        let at = entry.index as usize;
        wanted.resize(wanted.len().max(at + 1), false);
        wanted[at] = filter(&entry);
    }
    let has_items = ["otlp.", "jaeger.", "zipkin."].iter().any(|kind| message.stream.starts_with(kind));
    match (wanted.iter().any(|w| *w), has_items) {
        (false, _) => None,
        // A page or a Remote-Write request is one entry.
        (true, false) => Some(message),
        (true, true) => Some(Message { wanted: Some(wanted), ..message }),
    }
}
