//! The scraper: each target at its interval, pages stored as received.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use coldcase_bundle::{RawMessage, WriteError};
use coldcase_model::events::{Receipt, Scrape};
use coldcase_model::loss::Reason;
use coldcase_model::{Class, Columns, Event};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use super::config::MetricsConfig;
use super::fetch::{Address, Miss, Page};
use crate::clock;
use crate::source::{Context, Running, Skip, Source, Started};

/// The source's name.
const NAME: &str = "metrics";
/// A target that does not answer within this time, or within its interval, is missed.
const PATIENCE: Duration = Duration::from_secs(10);

/// The source of Prometheus scrapes.
pub struct Metrics {
    config: MetricsConfig,
}

impl Metrics {
    /// With these options.
    pub fn new(config: MetricsConfig) -> Metrics {
        Metrics { config }
    }
}

impl Source for Metrics {
    fn names(&self) -> Vec<&'static str> {
        vec![NAME]
    }

    fn start(self: Box<Self>, context: Context) -> Result<Started, Skip> {
        if self.config.targets.is_empty() {
            return Err(Skip::unasked("no scrape targets were named", "--scrape http://127.0.0.1:9100/metrics"));
        }
        let mut targets = Vec::new();
        for target in &self.config.targets {
            let address = Address::parse(&target.url).map_err(|e| Skip::new(e, ""))?;
            targets.push((address, Duration::from_secs_f64(target.interval)));
        }
        let cannot = |e: std::io::Error| Skip::new(format!("cannot start the scraper: {e}"), "");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
        context.losses.watch(NAME, Class::Metric, Reason::ScrapeMiss);
        let remarks = targets.iter().map(|(a, i)| format!("metrics: {} every {}s", a.shown, i.as_secs_f64())).collect();
        let (stop, stopped) = watch::channel(false);
        let failure = Arc::new(Mutex::new(None));
        let thread = std::thread::Builder::new()
            .name("cc-scrape".into())
            .spawn({
                let failure = failure.clone();
                move || {
                    if let Err(error) = runtime.block_on(run(targets, context, stopped)) {
                        *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
                    }
                    // A name that is still being looked up must not hold up the end.
                    runtime.shutdown_timeout(Duration::from_millis(100));
                }
            })
            .map_err(cannot)?;
        Ok(Started { remarks, ..Started::all(RunningMetrics { thread, stop, failure }) })
    }
}

struct RunningMetrics {
    thread: JoinHandle<()>,
    stop: watch::Sender<bool>,
    failure: Arc<Mutex<Option<String>>>,
}

impl Running for RunningMetrics {
    fn failures(&mut self) -> Vec<(&'static str, String)> {
        let taken = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken.into_iter().map(|why| (NAME, why)).collect()
    }

    fn stop(self: Box<Self>) {
        // Nobody listens only when the scraper has ended already.
        let _ = self.stop.send(true);
        // A panic of the thread was reported by the panic hook; there is nothing left to write.
        let _ = self.thread.join();
    }
}

async fn run(
    targets: Vec<(Address, Duration)>,
    context: Context,
    mut stopped: watch::Receiver<bool>,
) -> Result<(), WriteError> {
    let mut loops = tokio::task::JoinSet::new();
    for (address, interval) in targets {
        loops.spawn(scrape_on(address, interval, context.clone(), stopped.clone()));
    }
    loop {
        tokio::select! {
            ended = loops.join_next() => match ended {
                Some(Ok(Err(error))) => return Err(error),
                Some(_) => {}
                None => return Ok(()),
            },
            _ = stopped.wait_for(|s| *s) => break,
        }
    }
    // A scrape that is under way may end; one that hangs is not waited for.
    let last = async { while loops.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(Duration::from_millis(500), last).await;
    Ok(())
}

async fn scrape_on(
    address: Address,
    interval: Duration,
    context: Context,
    mut stopped: watch::Receiver<bool>,
) -> Result<(), WriteError> {
    let mut ticks = tokio::time::interval_at(Instant::now(), interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            biased;
            _ = stopped.wait_for(|s| *s) => return Ok(()),
            _ = ticks.tick() => {}
        }
        let start = clock::boottime().0;
        let page = address.fetch(&context.own, interval.min(PATIENCE)).await;
        let (context, shown) = (context.clone(), address.shown.clone());
        // The writer may make us wait; the other targets need not.
        match tokio::task::spawn_blocking(move || store(&context, shown, start, page)).await {
            Ok(stored) => stored?,
            Err(_) => return Err(WriteError::Closed),
        }
    }
}

fn store(context: &Context, target: String, start: u64, page: Result<Page, Miss>) -> Result<(), WriteError> {
    let (boot, real) = clock::now();
    let mut row = Scrape {
        time: start,
        duration: boot.0.saturating_sub(start),
        status: 200,
        bytes: 0,
        page: u64::MAX,
        target,
        error: String::new(),
    };
    match page {
        Ok(page) => {
            row.bytes = u32::try_from(page.bytes.len()).unwrap_or(u32::MAX);
            let receipt = Receipt {
                time: boot.0,
                read: real.0,
                bytes: page.bytes.len() as u64,
                items: 0,
                origin: row.target.clone(),
                transport: "scrape".into(),
                content_type: page.content_type,
                compression: page.compression.into(),
            };
            let first = coldcase_model::Boottime(start);
            let bytes = receipt.bytes;
            let message = RawMessage { bytes: page.bytes, log_time: real, publish_time: real, first, last: boot };
            row.page = context.writer.append_raw("metrics.pages", message, receipt)?;
            context.intake.add(1, bytes);
        }
        Err(miss) => {
            row.status = miss.status();
            row.error = miss.to_string();
            context.losses.add(NAME, Class::Metric, Reason::ScrapeMiss, 1, 0);
        }
    }
    let mut columns = Columns::new(&Scrape::DEF);
    row.push(&mut columns);
    context.writer.append(Scrape::DEF.stream, columns)
}
