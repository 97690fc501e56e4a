//! The load: a number of connections that ask a gateway, at a rate or as fast as it answers.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use serde_json::json;

use crate::client::Client;
use crate::process::{settle, stop_flag};

/// Flags of `coldcase-demo load`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Address of the gateway
    #[arg(long, default_value = "127.0.0.1:18080")]
    gateway: SocketAddr,
    #[command(flatten)]
    shape: Shape,
    /// Give one summary for the time before this moment and one for the time after it
    #[arg(long, value_parser = duration)]
    phase_at: Option<Duration>,
    /// Stop when this process is no longer the parent
    #[arg(long, hide = true)]
    parent: Option<u32>,
}

/// How much load, and for how long.
#[derive(clap::Args, Clone)]
pub(crate) struct Shape {
    /// Connections, each on its own thread
    #[arg(long, default_value_t = 8)]
    pub(crate) connections: u64,
    /// Requests per second over all connections; latency counts from the moment a request was due.
    /// 0 sends the next request when the last one is answered
    #[arg(long, default_value_t = 120.0)]
    pub(crate) rate: f64,
    /// So many requests are due at once; at the same rate
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) burst: u64,
    /// How long, such as `20s`; without it until SIGINT or SIGTERM
    #[arg(long = "for", value_parser = duration)]
    pub(crate) time: Option<Duration>,
    /// Share of requests that place an order, in percent; the others look one up
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(0..=100))]
    pub(crate) writes: u64,
    /// Print the summary as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What happened to the requests of one phase.
struct Tally {
    latency: Histogram<u64>,
    failed: u64,
    first_error: Option<String>,
}

struct Run<'a> {
    options: &'a Options,
    start: Instant,
    ticket: AtomicU64,
    stop: Arc<AtomicBool>,
    phases: [Mutex<Tally>; 2],
}

/// Sends requests until the time is over or a signal comes, and prints the summary.
pub(crate) fn run(options: &Options) -> Result<()> {
    settle("load", options.parent)?;
    let run = Run {
        options,
        start: Instant::now(),
        ticket: AtomicU64::new(0),
        stop: stop_flag()?,
        phases: [Mutex::new(Tally::new()?), Mutex::new(Tally::new()?)],
    };
    thread::scope(|scope| -> Result<()> {
        for number in 0..options.shape.connections {
            let run = &run;
            thread::Builder::new().name(format!("load-{number}")).spawn_scoped(scope, move || run.connection())?;
        }
        Ok(())
    })?;
    run.report()
}

/// Reads a time such as `20s`, `500ms` or `2m`.
pub(crate) fn duration(text: &str) -> Result<Duration> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().with_context(|| format!("not a time: {text}"))?;
    let seconds = match unit {
        "ms" => number / 1e3,
        "s" | "" => number,
        "m" => number * 60.0,
        _ => bail!("not a time: {text} (say 500ms, 20s or 2m)"),
    };
    Ok(Duration::try_from_secs_f64(seconds)?)
}

impl Tally {
    fn new() -> Result<Self> {
        Ok(Self { latency: Histogram::new(3)?, failed: 0, first_error: None })
    }
}

impl Run<'_> {
    fn connection(&self) {
        let mut client = Client::new(self.options.gateway);
        while !self.stop.load(Ordering::SeqCst) {
            let ticket = self.ticket.fetch_add(1, Ordering::Relaxed);
            let Some(due) = self.wait_for(ticket) else { return };
            let answer = self.send(&mut client, ticket);
            self.note(due, answer);
        }
    }

    /// Waits until request number `ticket` is due; `None` when the run is over before.
    fn wait_for(&self, ticket: u64) -> Option<Instant> {
        let Shape { rate, burst, .. } = self.options.shape;
        let turn = ticket - ticket % burst;
        let due = if rate > 0.0 { self.start + Duration::from_secs_f64(turn as f64 / rate) } else { Instant::now() };
        if self.options.shape.time.is_some_and(|time| due >= self.start + time || self.start.elapsed() >= time) {
            return None;
        }
        while let Some(left) = due.checked_duration_since(Instant::now()) {
            if self.stop.load(Ordering::SeqCst) {
                return None;
            }
            thread::sleep(left.min(Duration::from_millis(100)));
        }
        Some(due)
    }

    fn send(&self, client: &mut Client, ticket: u64) -> Result<()> {
        // 61 has no factor in common with 100: the share is exact, and writes are spread among reads.
        let (status, _) = if ticket * 61 % 100 < self.options.shape.writes {
            let body = json!({ "product": ticket % 200 + 1, "quantity": ticket % 5 + 1 }).to_string();
            client.send("POST", "/order", "", body.as_bytes())?
        } else {
            client.send("GET", &format!("/order?id={}", ticket * 7919 % 20_000 + 1), "", b"")?
        };
        if status >= 400 {
            bail!("status {status}");
        }
        Ok(())
    }

    fn note(&self, due: Instant, answer: Result<()>) {
        let after = self.options.phase_at.is_some_and(|at| due.duration_since(self.start) >= at);
        let mut tally = self.phases[usize::from(after)].lock().unwrap_or_else(PoisonError::into_inner);
        // A latency that the histogram cannot hold (hours) does not occur: sockets time out before.
        let _ = tally.latency.record(u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX));
        if let Err(error) = answer {
            tally.failed += 1;
            tally.first_error.get_or_insert_with(|| format!("{error:#}"));
        }
    }

    fn report(self) -> Result<()> {
        let took = self.start.elapsed();
        let split = self.options.phase_at.unwrap_or(took).min(took);
        let phases = self.phases.map(|tally| tally.into_inner().unwrap_or_else(PoisonError::into_inner));
        let mut all = Tally::new()?;
        for phase in &phases {
            all.latency.add(&phase.latency)?;
            all.failed += phase.failed;
            all.first_error = all.first_error.or_else(|| phase.first_error.clone());
        }
        let [before, after] = &phases;
        let mut shown = vec![("all", &all, took)];
        if self.options.phase_at.is_some() {
            shown.extend([("before", before, split), ("after", after, took - split)]);
        }
        if self.options.shape.json {
            let of = |(name, tally, time): &(&str, &Tally, Duration)| ((*name).to_owned(), summary(tally, *time));
            println!("{}", serde_json::Value::Object(shown.iter().map(of).collect()));
        } else {
            shown.iter().for_each(|(name, tally, time)| println!("load {}", line(name, tally, *time)));
        }
        if all.latency.len() == all.failed {
            bail!("no request was answered ({})", all.first_error.as_deref().unwrap_or("none was sent"));
        }
        Ok(())
    }
}

fn summary(tally: &Tally, time: Duration) -> serde_json::Value {
    let at = |quantile| tally.latency.value_at_quantile(quantile).saturating_mul(1000);
    json!({
        "requests": tally.latency.len(), "failed": tally.failed, "first_error": tally.first_error,
        "seconds": time.as_secs_f64(), "p50_ns": at(0.5), "p90_ns": at(0.9), "p99_ns": at(0.99),
        "max_ns": tally.latency.max().saturating_mul(1000),
    })
}

fn line(name: &str, tally: &Tally, time: Duration) -> String {
    let millis = |quantile| tally.latency.value_at_quantile(quantile) as f64 / 1e3;
    let count = tally.latency.len();
    let error = tally.first_error.as_ref().map(|error| format!(" (first: {error})")).unwrap_or_default();
    format!(
        "{name}: {count} requests in {:.1} s ({:.0}/s), {} failed{error}, p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
        time.as_secs_f64(),
        count as f64 / time.as_secs_f64().max(1e-9),
        tally.failed,
        millis(0.5),
        millis(0.99),
        tally.latency.max() as f64 / 1e3,
    )
}
