//! What both services of the shop share: flags, start-up, the pages that each has, and the end.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::http1::{Request, Response};
use crate::log::Log;
use crate::metrics::Metrics;
use crate::process::{settle, stop_flag};
use crate::server::{Service, listen, serve};
use crate::telemetry::{Step, Telemetry};

/// Flags that both services take.
#[derive(clap::Args)]
pub(crate) struct Common {
    /// Folder for the log, and for what else the service keeps
    #[arg(long, default_value = "demo-out/shop")]
    pub(crate) dir: PathBuf,
    /// Worker threads
    #[arg(long, default_value_t = 8)]
    pub(crate) workers: usize,
    /// OTLP/HTTP base address; otherwise `OTEL_EXPORTER_OTLP_ENDPOINT` or <http://localhost:4318>
    #[arg(long)]
    otlp: Option<String>,
    /// Stop when this process is no longer the parent
    #[arg(long, hide = true)]
    parent: Option<u32>,
}

/// A service that has its name, log, telemetry and metrics.
#[derive(Clone)]
pub(crate) struct Running {
    name: &'static str,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) log: Arc<Log>,
    pub(crate) telemetry: Arc<Telemetry>,
    /// Set by SIGINT and SIGTERM.
    pub(crate) stop: Arc<AtomicBool>,
}

impl Running {
    /// Starts what every service has. Called before any thread is.
    pub(crate) fn start(name: &'static str, options: &Common) -> Result<Self> {
        settle(name, options.parent)?;
        let stop = stop_flag()?;
        std::fs::create_dir_all(&options.dir).with_context(|| format!("cannot make {}", options.dir.display()))?;
        let log = Arc::new(Log::open(name, &options.dir.join(format!("{name}.log")))?);
        let telemetry = Arc::new(Telemetry::start(name, options.otlp.as_deref(), Arc::clone(&log))?);
        Ok(Self { name, metrics: Arc::new(Metrics::new()?), log, telemetry, stop })
    }

    /// Listens, and says so on the first line of stdout and in the log, where `beside` is what else it works with.
    pub(crate) fn listen(&self, port: u16, beside: &str) -> Result<TcpListener> {
        let listener = listen(port, false)?;
        let address = listener.local_addr()?;
        println!("{} listens on {address}", self.name);
        self.log.note("INFO", &format!("listening on {address}, {beside}"));
        Ok(listener)
    }

    /// Serves until it is told to stop. Worker threads are called `<threads>-<number>`.
    pub(crate) fn serve(
        &self,
        listener: TcpListener,
        threads: &str,
        workers: usize,
        service: Arc<dyn Service>,
    ) -> Result<()> {
        serve(listener, threads, workers, service, Arc::clone(&self.metrics), Arc::clone(&self.stop))
    }

    /// Sends what is left to send.
    pub(crate) fn finish(&self) {
        self.telemetry.finish();
        self.log.note("INFO", "stopped");
    }

    /// The pages that every service has.
    pub(crate) fn page(&self, request: &Request) -> Response {
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/metrics") => match self.metrics.text() {
                Ok(text) => Response::text(200, text),
                Err(error) => Response::text(500, format!("{error:#}\n")),
            },
            ("GET", "/healthz") => Response::text(200, "ok\n"),
            _ => Response::text(404, "not found\n"),
        }
    }

    /// Opens the span of a request.
    pub(crate) fn open(&self, name: &'static str, request: &Request) -> Step {
        let step = self.telemetry.server(name, request.traceparent.as_deref());
        step.set("http.request.method", request.method.clone());
        step.set("url.path", request.path.clone());
        step
    }

    /// Says in span and log how a request ended that began at `start`; `failed` is the span's word for a status of 500
    /// and above.
    pub(crate) fn close(&self, name: &str, step: &Step, response: &Response, failed: &str, start: Instant) {
        step.set("http.response.status_code", i64::from(response.status));
        if response.status >= 500 {
            step.fail(failed);
        }
        let took = start.elapsed();
        let level = if took > Duration::from_millis(100) { "WARN" } else { "INFO" };
        let message = format!("{name} status={} duration_ms={:.3}", response.status, took.as_secs_f64() * 1e3);
        self.log.in_span(level, &step.id(), &message);
    }
}
