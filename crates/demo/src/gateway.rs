//! The gateway: takes the public requests and asks the orders service, with the trace passed on.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;

use crate::client::Client;
use crate::http1::{Request, Response};
use crate::log::Log;
use crate::metrics::Metrics;
use crate::process::{settle, stop_flag};
use crate::server::{Reply, Service, listen, serve};
use crate::telemetry::{Step, Telemetry};

/// Flags of `coldcase-demo gateway`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Port on 127.0.0.1; 0 takes any free one. Printed on the first line
    #[arg(long, default_value_t = 18080)]
    port: u16,
    /// Address of the orders service
    #[arg(long, default_value = "127.0.0.1:18081")]
    orders: SocketAddr,
    /// Folder for the log
    #[arg(long, default_value = "demo-out/shop")]
    dir: PathBuf,
    /// Worker threads, each with its own connection to orders
    #[arg(long, default_value_t = 8)]
    workers: usize,
    /// OTLP/HTTP base address; otherwise `OTEL_EXPORTER_OTLP_ENDPOINT` or <http://localhost:4318>
    #[arg(long)]
    otlp: Option<String>,
    /// Stop when this process is no longer the parent
    #[arg(long, hide = true)]
    parent: Option<u32>,
}

struct Gateway {
    orders: Vec<Mutex<Client>>,
    peer: SocketAddr,
    metrics: Arc<Metrics>,
    log: Arc<Log>,
    telemetry: Arc<Telemetry>,
}

/// Runs the service until SIGINT or SIGTERM.
pub(crate) fn run(options: &Options) -> Result<()> {
    settle("gateway", options.parent)?;
    let stop = stop_flag()?;
    std::fs::create_dir_all(&options.dir).with_context(|| format!("cannot make {}", options.dir.display()))?;
    let log = Arc::new(Log::open("gateway", &options.dir.join("gateway.log"))?);
    let telemetry = Arc::new(Telemetry::start("gateway", options.otlp.as_deref(), Arc::clone(&log))?);
    let metrics = Arc::new(Metrics::new()?);
    let gateway = Arc::new(Gateway {
        orders: (0..options.workers).map(|_| Mutex::new(Client::new(options.orders))).collect(),
        peer: options.orders,
        metrics: Arc::clone(&metrics),
        log: Arc::clone(&log),
        telemetry: Arc::clone(&telemetry),
    });
    let listener = listen(options.port, false)?;
    println!("gateway listens on {}", listener.local_addr()?);
    log.note("INFO", &format!("listening on {}, orders at {}", listener.local_addr()?, options.orders));
    let outcome = serve(listener, "gateway-work", options.workers, gateway, metrics, stop);
    telemetry.finish();
    log.note("INFO", "stopped");
    outcome
}

impl Service for Gateway {
    fn answer(&self, worker: usize, request: &Request) -> Reply {
        Reply::Send(match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/order") => self.forward("GET /order", worker, request),
            ("POST", "/order") => self.forward("POST /order", worker, request),
            ("GET", "/metrics") => match self.metrics.text() {
                Ok(text) => Response::text(200, text),
                Err(error) => Response::text(500, format!("{error:#}\n")),
            },
            ("GET", "/healthz") => Response::text(200, "ok\n"),
            _ => Response::text(404, "not found\n"),
        })
    }
}

impl Gateway {
    /// Asks orders and hands its answer on; 502 when it does not answer.
    fn forward(&self, name: &'static str, worker: usize, request: &Request) -> Response {
        let start = Instant::now();
        let step = self.telemetry.server(name, request.traceparent.as_deref());
        step.set("http.request.method", request.method.clone());
        step.set("url.path", request.path.clone());
        step.set("http.route", "/order");
        let response = match self.ask(worker, request, &step) {
            Ok((status, body)) => Response { status, content_type: "application/json", body },
            Err(error) => {
                self.log.in_span("ERROR", &step.id(), &format!("orders did not answer: {error:#}"));
                Response::json(502, &json!({ "error": "orders did not answer" }))
            }
        };
        step.set("http.response.status_code", i64::from(response.status));
        if response.status >= 500 {
            step.fail("orders failed");
        }
        let took = start.elapsed();
        let level = if took > Duration::from_millis(100) { "WARN" } else { "INFO" };
        let message = format!("{name} status={} duration_ms={:.3}", response.status, took.as_secs_f64() * 1e3);
        self.log.in_span(level, &step.id(), &message);
        response
    }

    fn ask(&self, worker: usize, request: &Request, parent: &Step) -> Result<(u16, Vec<u8>)> {
        let name = if request.method == "POST" { "orders.place" } else { "orders.find" };
        let span = self.telemetry.client(name, parent);
        span.set("server.address", self.peer.ip().to_string());
        span.set("server.port", i64::from(self.peer.port()));
        let target =
            if request.query.is_empty() { request.path.clone() } else { format!("{}?{}", request.path, request.query) };
        let client = &self.orders[worker % self.orders.len()];
        let mut client = client.lock().unwrap_or_else(PoisonError::into_inner);
        let traceparent = format!("traceparent: {}\r\n", self.telemetry.traceparent(&span));
        let answer = client.send(&request.method, &target, &traceparent, &request.body);
        if answer.is_err() {
            span.fail("no answer");
        }
        answer
    }
}
