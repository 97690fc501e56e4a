//! The scraper: each target at its interval, pages stored as received.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use coldcase_bundle::{RawMessage, WriteError};
use coldcase_model::events::{Receipt, Scrape};
use coldcase_model::loss::Reason;
use coldcase_model::{Class, Columns, Event};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::config::MetricsConfig;
use super::credentials::Credentials;
use super::fetch::{Address, Client, Fetched};
use super::targets::{self, Target};
use super::tls;
use crate::clock;
use crate::source::{Context, Failure, Running, Skip, Source, Started};

/// The source's name.
const NAME: &str = "metrics";
/// A target that does not answer within this time, or within its interval, is missed.
const PATIENCE: Duration = Duration::from_secs(10);
/// Lists of targets and names with several addresses are looked at again so often.
const REFRESH: Duration = Duration::from_secs(5);
/// Most targets at one time; a list may be wrong.
const MOST: usize = 1000;

/// The source of Prometheus scrapes.
pub struct Metrics {
    config: MetricsConfig,
    judged: bool,
}

impl Metrics {
    /// With these options.
    pub fn new(config: MetricsConfig) -> Metrics {
        Metrics { config, judged: false }
    }

    /// Whether conditions are judged on the pages while they come; those read text only, so protobuf is not asked for.
    pub fn judged(self, judged: bool) -> Metrics {
        Metrics { judged, ..self }
    }
}

impl Source for Metrics {
    fn names(&self) -> Vec<&'static str> {
        vec![NAME]
    }

    fn start(self: Box<Self>, context: Context) -> Result<Started, Skip> {
        let config = self.config;
        if config.is_empty() {
            return Err(Skip::unasked("no scrape targets were named", "--scrape http://127.0.0.1:9100/metrics"));
        }
        let mut remarks = Vec::new();
        for target in &config.targets {
            let address = Address::parse(&target.url).map_err(|e| Skip::new(e, ""))?;
            remarks.push(format!("metrics: {} every {}s", address.shown, target.interval));
        }
        remarks.extend(config.files.iter().map(|f| format!("metrics: the targets listed in {f}")));
        if config.insecure {
            remarks.push("metrics: the certificates of targets are NOT verified, as asked".into());
        }
        let tls = tls::connector(config.ca.as_deref(), config.insecure).map_err(|e| Skip::new(e, ""))?;
        let credentials = Credentials { bearer: config.bearer_file.clone(), basic: config.basic_auth_file.clone() };
        credentials.header().map_err(|e| Skip::new(e, ""))?;
        let client = Client { own: context.own.clone(), tls, credentials, protobuf: !self.judged };
        let cannot = |e: std::io::Error| Skip::new(format!("cannot start the scraper: {e}"), "");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
        context.losses.watch(NAME, Class::Metric, Reason::ScrapeMiss);
        let (stop, stopped) = watch::channel(false);
        let failure = Failure::default();
        let scraper = Scraper { config, client: Arc::new(client), context, stopped };
        let thread = std::thread::Builder::new()
            .name("cc-scrape".into())
            .spawn({
                let failure = failure.clone();
                move || {
                    if let Err(error) = runtime.block_on(scraper.run()) {
                        failure.note(&error);
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
    failure: Failure,
}

impl Running for RunningMetrics {
    fn failures(&mut self) -> Vec<(&'static str, String)> {
        self.failure.take(NAME)
    }

    fn stop(self: Box<Self>) {
        // Nobody listens only when the scraper has ended already.
        let _ = self.stop.send(true);
        // A panic of the thread was reported by the panic hook; there is nothing left to write.
        let _ = self.thread.join();
    }
}

/// All that is scraped, as it changes.
struct Scraper {
    config: MetricsConfig,
    client: Arc<Client>,
    context: Context,
    stopped: watch::Receiver<bool>,
}

impl Scraper {
    async fn run(self) -> Result<(), WriteError> {
        let mut stopped = self.stopped.clone();
        let mut loops = JoinSet::new();
        // Dropping a sender ends its target's loop.
        let mut running = HashMap::<String, watch::Sender<()>>::new();
        let mut told = Vec::new();
        let mut refresh = tokio::time::interval(REFRESH);
        refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = stopped.wait_for(|s| *s) => break,
                Some(ended) = loops.join_next() => if let Ok(Err(error)) = ended {
                    return Err(error);
                },
                _ = refresh.tick() => {
                    let (targets, faults) = targets::now(&self.config).await;
                    if faults != told {
                        faults.iter().for_each(|f| tracing::warn!("metrics: {f}"));
                        told = faults;
                    }
                    self.follow(targets, &mut running, &mut loops);
                }
            }
        }
        // A scrape that is under way may end; one that hangs is not waited for.
        let last = async { while loops.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(Duration::from_millis(500), last).await;
        Ok(())
    }

    /// Ends the loops of targets that are gone, and starts those of new ones.
    fn follow(
        &self,
        targets: Vec<Target>,
        running: &mut HashMap<String, watch::Sender<()>>,
        loops: &mut JoinSet<Result<(), WriteError>>,
    ) {
        let keys: std::collections::HashSet<String> = targets.iter().take(MOST).map(Target::key).collect();
        running.retain(|key, _| keys.contains(key));
        for target in targets.into_iter().take(MOST) {
            let key = target.key();
            let (false, Ok(address)) = (running.contains_key(&key), Address::parse(&target.url)) else { continue };
            let (gone, listed) = watch::channel(());
            running.insert(key, gone);
            let (client, context) = (self.client.clone(), self.context.clone());
            loops.spawn(scrape_on(address, target, client, context, self.stopped.clone(), listed));
        }
    }
}

async fn scrape_on(
    address: Address,
    target: Target,
    client: Arc<Client>,
    context: Context,
    mut stopped: watch::Receiver<bool>,
    mut listed: watch::Receiver<()>,
) -> Result<(), WriteError> {
    let interval = Duration::from_secs_f64(target.interval);
    let mut ticks = tokio::time::interval_at(Instant::now(), interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            biased;
            _ = stopped.wait_for(|s| *s) => return Ok(()),
            // Nothing is ever sent: it ends when the target leaves its list.
            _ = listed.changed() => return Ok(()),
            _ = ticks.tick() => {}
        }
        let start = clock::boottime().0;
        let fetched = address.fetch(&client, target.connect, interval.min(PATIENCE)).await;
        let (context, shown, labels) = (context.clone(), address.shown.clone(), target.label_text());
        // The writer may make us wait; the other targets need not.
        match tokio::task::spawn_blocking(move || store(&context, shown, labels, start, fetched)).await {
            Ok(stored) => stored?,
            Err(_) => return Err(WriteError::Closed),
        }
    }
}

fn store(context: &Context, target: String, labels: String, start: u64, fetched: Fetched) -> Result<(), WriteError> {
    let (boot, real) = clock::now();
    let mut row = Scrape {
        time: start,
        duration: boot.0.saturating_sub(start),
        status: 200,
        bytes: 0,
        page: u64::MAX,
        target,
        error: String::new(),
        peer: fetched.peer.map_or(String::new(), |p| p.to_string()),
        labels,
    };
    match fetched.page {
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
