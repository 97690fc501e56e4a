//! The tap before the writer, and the thread behind it that judges what flowed by.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use coldcase_bundle::{RawMessage, Tap};
use coldcase_model::events::{HostMetric, LogLine, Receipt, Task};
use coldcase_model::{Columns, Event};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::condition::{self, Condition, Met, Seen, exit};
use super::rule::{Rule, RuleKind};
use super::session::Fired;
use crate::clock;
use crate::session::Wake;
use crate::source::StopToken;

/// What waits to be judged; more is counted, never waited for.
const WAITING: usize = 256;
/// The host is looked at this often.
const LOOK: Duration = Duration::from_secs(1);
/// One rule is told this often at most; what comes between is counted.
const PACE: Duration = Duration::from_millis(100);

/// The stream of scraped pages, and that of traces.
const PAGES: &str = "metrics.pages";
const TRACES: &str = "otlp.traces";

/// Hands copies of what rules look at to the thread that judges. Nothing is copied that no rule looks at.
pub(super) struct Watch {
    kinds: Vec<RuleKind>,
    queue: Sender<Seen>,
    unjudged: Arc<AtomicU64>,
}

impl Watch {
    fn wants(&self, kind: RuleKind) -> bool {
        self.kinds.contains(&kind)
    }

    fn hand(&self, seen: Seen) {
        if self.queue.try_send(seen).is_err() {
            self.unjudged.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Tap for Watch {
    fn rows(&self, stream: &str, rows: &Columns) {
        if stream == LogLine::DEF.stream && self.wants(RuleKind::Log) {
            self.hand(Seen::Lines(rows.clone()));
        } else if stream == HostMetric::DEF.stream && self.wants(RuleKind::Metric) {
            self.hand(Seen::Host(rows.clone()));
        } else if stream == Task::DEF.stream && self.wants(RuleKind::Exit) {
            let exits = exit::in_rows(rows);
            if !exits.is_empty() {
                self.hand(Seen::Exits(exits));
            }
        }
    }

    fn raw(&self, stream: &str, message: &RawMessage, receipt: &Receipt) {
        let time = receipt.time;
        if stream == PAGES && self.wants(RuleKind::Metric) {
            self.hand(Seen::Page { bytes: message.bytes.clone(), origin: receipt.origin.clone(), time });
        } else if stream == TRACES && self.wants(RuleKind::Span) {
            self.hand(Seen::Traces { bytes: message.bytes.clone(), time });
        }
    }
}

/// Starts the thread that judges until the stop. Returns the tap, and the count of what could not be judged.
pub(super) fn start(
    rules: &[Rule],
    wake: Sender<Wake>,
    stop: StopToken,
) -> std::io::Result<(Arc<dyn Tap>, Arc<AtomicU64>)> {
    let (queue, seen) = bounded(WAITING);
    let unjudged = Arc::new(AtomicU64::new(0));
    let kinds = rules.iter().filter_map(|r| r.kind).collect();
    let conditions: Vec<Judged> = rules.iter().enumerate().filter_map(|(i, r)| Judged::new(i, r)).collect();
    if !conditions.is_empty() {
        std::thread::Builder::new().name("triggers".into()).spawn(move || judge(conditions, &seen, &wake, &stop))?;
    }
    Ok((Arc::new(Watch { kinds, queue, unjudged: unjudged.clone() }), unjudged))
}

struct Judged {
    rule: usize,
    condition: Box<dyn Condition>,
    told: Option<Instant>,
    /// Met, and not told yet: the first of them, and how many.
    waiting: Option<(Met, u64)>,
}

impl Judged {
    fn new(rule: usize, of: &Rule) -> Option<Judged> {
        Some(Judged { rule, condition: condition::of(of)?, told: None, waiting: None })
    }

    fn see(&mut self, seen: &Seen) {
        let waiting = &mut self.waiting;
        self.condition.see(seen, &mut |met| note(waiting, met));
    }

    fn look(&mut self, now: u64) {
        let waiting = &mut self.waiting;
        self.condition.look(now, &mut |met| note(waiting, met));
    }

    fn tell(&mut self, wake: &Sender<Wake>) {
        if self.waiting.is_none() || self.told.is_some_and(|t| t.elapsed() < PACE) {
            return;
        }
        if let Some((met, count)) = self.waiting.take() {
            self.told = Some(Instant::now());
            // The session is gone only when the recording is over.
            let _ = wake.send(Wake::Fired(Fired { rule: self.rule, met, count }));
        }
    }
}

fn note(waiting: &mut Option<(Met, u64)>, met: Met) {
    match waiting {
        Some((_, count)) => *count += 1,
        None => *waiting = Some((met, 1)),
    }
}

fn judge(mut conditions: Vec<Judged>, seen: &Receiver<Seen>, wake: &Sender<Wake>, stop: &StopToken) {
    let mut next_look = Instant::now();
    while !stop.is_stopped() {
        let now = Instant::now();
        if now >= next_look {
            let time = clock::boottime().0;
            conditions.iter_mut().for_each(|c| c.look(time));
            next_look = now + LOOK;
        }
        let until = next_look.min(now + PACE).saturating_duration_since(now);
        match seen.recv_timeout(until) {
            Ok(seen) => conditions.iter_mut().for_each(|c| c.see(&seen)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        conditions.iter_mut().for_each(|c| c.tell(wake));
    }
}
