//! Sends a plan: one thread keeps the time, a task for each connection sends and reads.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::Request;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{Semaphore, mpsc};

use super::plan::{Line, Plan};
use super::target::Target;
use super::wire::{Payload, Trouble, Wire};
use crate::urgency;

/// How fast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// So many times as fast as recorded.
    Speed(f64),
    /// Each connection as fast as the server answers, and no more of them open at a time than were recorded.
    Max,
}

impl Pace {
    /// How long after the start something happens that happened `at` nanoseconds after it.
    pub(crate) fn after(self, at: u64) -> Duration {
        match self {
            Pace::Speed(speed) => Duration::try_from_secs_f64(at as f64 / 1e9 / speed).unwrap_or(Duration::MAX),
            Pace::Max => Duration::ZERO,
        }
    }
}

/// Why nothing was sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The client could not be started.
    #[error("the client could not be started: {0}")]
    Start(#[from] std::io::Error),
}

/// What became of a request.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) request: usize,
    /// Status, or what went wrong.
    pub(super) answer: Result<u16, Trouble>,
    /// From the moment before it was sent to the end of its answer.
    pub(super) took: Duration,
    /// How much later than planned it was sent.
    pub(super) late: Duration,
    /// Whether it waited for the answer before it.
    pub(super) held: bool,
}

/// What became of all.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) done: Vec<Done>,
    pub(super) opened: u64,
    pub(super) wall: Duration,
}

/// A request on its way to the task of its connection.
struct Due {
    request: usize,
    send: Request<Payload>,
    /// When it was planned to be sent; `None` for as soon as possible.
    at: Option<Instant>,
}

type Told = mpsc::UnboundedSender<(Vec<Done>, u64)>;

/// Sends the requests of a plan; `timeout` is for each answer.
///
/// # Errors
/// When the client cannot be started. What goes wrong with a request is told in the report.
pub fn send(plan: &mut Plan, target: &Target, pace: Pace, timeout: Duration) -> Result<super::report::Ran, SendError> {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().on_thread_start(urgency::raise).build()?;
    urgency::raise();
    let peak = plan.peak().max(1);
    let lines = std::mem::take(&mut plan.lines);
    let connections = lines.len() as u64;
    let (told, mut heard) = mpsc::unbounded_channel();
    let start = Instant::now();
    let addresses: Arc<[std::net::SocketAddr]> = target.addresses.clone().into();
    let wire = || Wire::new(Arc::clone(&addresses), timeout);
    match pace {
        Pace::Max => as_fast_as_possible(runtime.handle(), lines, peak, &wire, &told),
        Pace::Speed(_) => in_time(runtime.handle(), lines, pace, start, &wire, &told),
    }
    drop(told);
    let mut outcome = Outcome::default();
    while let Some((done, opened)) = heard.blocking_recv() {
        outcome.done.extend(done);
        outcome.opened += opened;
    }
    outcome.wall = start.elapsed();
    runtime.shutdown_background();
    outcome.done.sort_by_key(|d| d.request);
    Ok(super::report::Ran { outcome, connections, peak: peak as u64 })
}

/// Hands each request to its connection when its time comes.
fn in_time(handle: &Handle, lines: Vec<Line>, pace: Pace, start: Instant, wire: &dyn Fn() -> Wire, told: &Told) {
    let mut due: Vec<(u64, usize, Option<super::plan::Item>)> = Vec::new();
    for (n, line) in lines.into_iter().enumerate() {
        let first = line.items.first().map_or(line.opened, |i| i.at);
        due.push((line.opened.min(first), n, None));
        due.extend(line.items.into_iter().map(|item| (item.at, n, Some(item))));
    }
    // A stable order: what happened at the same time stays as it was.
    due.sort_by_key(|(at, _, _)| *at);
    let mut senders: Vec<Option<mpsc::UnboundedSender<Due>>> = Vec::new();
    let mut left: Vec<usize> = Vec::new();
    for (_, n, item) in &due {
        if left.len() <= *n {
            left.resize(n + 1, 0);
        }
        left[*n] += usize::from(item.is_some());
    }
    senders.resize_with(left.len(), || None);
    for (at, n, item) in due {
        let moment = start + pace.after(at);
        // It sleeps on the monotonic clock with a slack of 50 µs (timer_slack_ns), unlike the runtime's milliseconds.
        std::thread::sleep(moment.saturating_duration_since(Instant::now()));
        match item {
            None => {
                let (sender, receiver) = mpsc::unbounded_channel();
                senders[n] = Some(sender);
                handle.spawn(connection(wire(), receiver, told.clone(), None));
            }
            Some(item) => {
                if let Some(sender) = &senders[n] {
                    // A task ends only when its channel is closed.
                    let _ = sender.send(Due { request: item.request, send: item.send, at: Some(moment) });
                }
                left[n] -= 1;
                if left[n] == 0 {
                    senders[n] = None;
                }
            }
        }
    }
}

fn as_fast_as_possible(handle: &Handle, lines: Vec<Line>, peak: usize, wire: &dyn Fn() -> Wire, told: &Told) {
    let open = Arc::new(Semaphore::new(peak));
    for line in lines {
        let (sender, receiver) = mpsc::unbounded_channel();
        for item in line.items {
            let _ = sender.send(Due { request: item.request, send: item.send, at: None });
        }
        handle.spawn(connection(wire(), receiver, told.clone(), Some(Arc::clone(&open))));
    }
}

/// One connection: sends what comes, one after another.
async fn connection(mut wire: Wire, mut due: mpsc::UnboundedReceiver<Due>, told: Told, open: Option<Arc<Semaphore>>) {
    let _permit = match open {
        Some(open) => open.acquire_owned().await.ok(),
        None => {
            // Whether it can be opened is seen at its first request.
            let _ = wire.open().await;
            None
        }
    };
    let mut free: Option<Instant> = None;
    let mut done = Vec::new();
    while let Some(Due { request, send, at }) = due.recv().await {
        let began = Instant::now();
        let late = at.map_or(Duration::ZERO, |at| began.saturating_duration_since(at));
        let held = at.zip(free).is_some_and(|(at, free)| free > at);
        let answer = wire.send(send).await;
        let now = Instant::now();
        free = Some(now);
        done.push(Done { request, answer, took: now - began, late, held });
    }
    let _ = told.send((done, wire.opened));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_divides_times() {
        assert_eq!(Pace::Speed(1.0).after(1_500_000_000), Duration::from_millis(1500));
        assert_eq!(Pace::Speed(10.0).after(1_000_000_000), Duration::from_millis(100));
        assert_eq!(Pace::Speed(0.5).after(1_000_000_000), Duration::from_secs(2));
        assert_eq!(Pace::Max.after(u64::MAX), Duration::ZERO);
    }
}
