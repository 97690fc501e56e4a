//! The orders service: places and finds orders, and is where the faults live.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde_json::json;

use crate::fault::{Faults, Kind};
use crate::http1::{Request, Response};
use crate::log::Log;
use crate::metrics::Metrics;
use crate::process::{settle, stop_flag};
use crate::server::{Reply, Service, listen, serve};
use crate::store::{self, Order, Store};
use crate::telemetry::{Step, Telemetry};

/// Flags of `coldcase-demo orders`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Port on 127.0.0.1; 0 takes any free one. Printed on the first line
    #[arg(long, default_value_t = 18081)]
    port: u16,
    /// Folder for the database, the log and the audit files
    #[arg(long, default_value = "demo-out/shop")]
    dir: PathBuf,
    /// Worker threads
    #[arg(long, default_value_t = 8)]
    workers: usize,
    /// OTLP/HTTP base address; otherwise `OTEL_EXPORTER_OTLP_ENDPOINT` or <http://localhost:4318>
    #[arg(long)]
    otlp: Option<String>,
    #[command(flatten)]
    fault: FaultOptions,
    /// Stop when this process is no longer the parent
    #[arg(long, hide = true)]
    parent: Option<u32>,
}

/// Which fault, and when.
#[derive(clap::Args, Clone)]
pub(crate) struct FaultOptions {
    /// Fault to switch on
    #[arg(long, value_enum)]
    pub(crate) fault: Option<Kind>,
    /// How long after the start it sets in, such as `10s` or `500ms`
    #[arg(long, default_value = "0s", value_parser = crate::load::duration)]
    pub(crate) fault_after: Duration,
    /// How much of it (see the kinds); each kind has its own default
    #[arg(long)]
    pub(crate) fault_amount: Option<u64>,
}

struct Orders {
    store: Store,
    faults: Faults,
    metrics: Arc<Metrics>,
    log: Arc<Log>,
    telemetry: Arc<Telemetry>,
}

/// Runs the service until SIGINT or SIGTERM.
pub(crate) fn run(options: &Options) -> Result<()> {
    settle("orders", options.parent)?;
    let stop = stop_flag()?;
    std::fs::create_dir_all(&options.dir).with_context(|| format!("cannot make {}", options.dir.display()))?;
    let log = Arc::new(Log::open("orders", &options.dir.join("orders.log"))?);
    let telemetry = Arc::new(Telemetry::start("orders", options.otlp.as_deref(), Arc::clone(&log))?);
    let metrics = Arc::new(Metrics::new()?);
    metrics.register_store()?;
    let orders = Arc::new(Orders {
        store: Store::create(&options.dir.join("orders.db"), options.workers)?,
        faults: Faults::new(&options.dir),
        metrics: Arc::clone(&metrics),
        log: Arc::clone(&log),
        telemetry: Arc::clone(&telemetry),
    });
    orders.faults.switch(None, None, &metrics);
    let listener = listen(options.port, false)?;
    println!("orders listens on {}", listener.local_addr()?);
    log.note("INFO", &format!("listening on {}, orders in {}", listener.local_addr()?, orders.store.path().display()));
    let switcher = switch_later(&options.fault, &orders, &stop)?;
    let outcome = serve(listener, "orders-worker", options.workers, orders, metrics, stop);
    let _ = switcher.map(thread::JoinHandle::join);
    telemetry.finish();
    log.note("INFO", "stopped");
    outcome
}

/// Switches the fault of the command line on when its time has come.
fn switch_later(
    options: &FaultOptions,
    orders: &Arc<Orders>,
    stop: &Arc<AtomicBool>,
) -> Result<Option<thread::JoinHandle<()>>> {
    let Some(kind) = options.fault else { return Ok(None) };
    let (after, amount) = (options.fault_after, options.fault_amount);
    let (orders, stop, start) = (Arc::clone(orders), Arc::clone(stop), Instant::now());
    let wait = move || {
        while start.elapsed() < after {
            if stop.load(Ordering::SeqCst) {
                return;
            }
            thread::sleep((after - start.elapsed().min(after)).min(Duration::from_millis(50)));
        }
        orders.switch(Some(kind), amount);
    };
    Ok(Some(thread::Builder::new().name("orders-fault".to_owned()).spawn(wait)?))
}

impl Service for Orders {
    fn answer(&self, worker: usize, request: &Request) -> Reply {
        match (request.method.as_str(), request.path.as_str()) {
            ("POST", "/order") => self.in_span("place_order", worker, request, Self::place),
            ("GET", "/order") => self.in_span("find_order", worker, request, Self::find),
            ("GET", "/metrics") => Reply::Send(match self.metrics.text() {
                Ok(text) => Response::text(200, text),
                Err(error) => Response::text(500, format!("{error:#}\n")),
            }),
            ("GET" | "POST", "/fault") => Reply::Send(self.fault(request)),
            ("GET", "/healthz") => Reply::Send(Response::text(200, "ok\n")),
            _ => Reply::Send(Response::text(404, "not found\n")),
        }
    }
}

impl Orders {
    /// Does the work of a request in its span, and logs how it ended.
    fn in_span(
        &self,
        name: &'static str,
        worker: usize,
        request: &Request,
        work: fn(&Self, usize, &Request, &Step) -> Result<Response>,
    ) -> Reply {
        let start = Instant::now();
        let step = self.telemetry.server(name, request.traceparent.as_deref());
        step.set("http.request.method", request.method.clone());
        step.set("url.path", request.path.clone());
        if self.faults.resets() {
            step.fail("connection reset");
            self.log.in_span("ERROR", &step.id(), "the connection was reset before the answer");
            return Reply::Reset;
        }
        self.faults.on_request();
        let response = work(self, worker, request, &step).unwrap_or_else(|error| {
            self.log.in_span("ERROR", &step.id(), &format!("{name} failed: {error:#}"));
            Response::json(500, &json!({ "error": format!("{error:#}") }))
        });
        step.set("http.response.status_code", i64::from(response.status));
        if response.status >= 500 {
            step.fail("failed");
        }
        let took = start.elapsed();
        let level = if took > Duration::from_millis(100) { "WARN" } else { "INFO" };
        let message = format!("{name} status={} duration_ms={:.3}", response.status, took.as_secs_f64() * 1e3);
        self.log.in_span(level, &step.id(), &message);
        Reply::Send(response)
    }

    fn place(&self, worker: usize, request: &Request, step: &Step) -> Result<Response> {
        let wanted: serde_json::Value = match serde_json::from_slice(&request.body) {
            Ok(wanted) => wanted,
            Err(error) => return Ok(Response::json(400, &json!({ "error": error.to_string() }))),
        };
        let (Some(product), Some(quantity @ 1..=1000)) = (wanted["product"].as_i64(), wanted["quantity"].as_i64())
        else {
            return Ok(Response::json(400, &json!({ "error": "product and quantity are needed" })));
        };
        self.faults.on_order(worker, &self.metrics)?;
        let ledger = self.store.lock_ledger();
        self.faults.on_ledger_held(worker);
        let inserted = {
            let span = self.database("db.insert", "INSERT INTO orders", step);
            let inserted = store::insert(&ledger, product, quantity);
            if inserted.is_err() {
                span.fail("insert failed");
            }
            inserted?
        };
        let Some(placed) = inserted else {
            return Ok(Response::json(404, &json!({ "error": "no such product" })));
        };
        let _span = self.database("db.commit", "COMMIT", step);
        let start = Instant::now();
        store::commit(&ledger)?;
        self.metrics.commit.observe(start.elapsed().as_secs_f64());
        Ok(Response::json(201, &shown(&placed)))
    }

    fn find(&self, worker: usize, request: &Request, step: &Step) -> Result<Response> {
        let Some(id) = request.parameter("id").and_then(|id| id.parse().ok()) else {
            return Ok(Response::json(400, &json!({ "error": "id is needed" })));
        };
        let _span = self.database("db.query", "SELECT orders", step);
        let start = Instant::now();
        let found = match self.faults.scan() {
            Some(thousands) => self.store.find_by_scan(worker, id, thousands)?,
            None => self.store.find(worker, id)?,
        };
        self.metrics.query.observe(start.elapsed().as_secs_f64());
        Ok(found.map_or_else(
            || Response::json(404, &json!({ "error": "no such order" })),
            |order| Response::json(200, &shown(&order)),
        ))
    }

    fn database(&self, name: &'static str, statement: &'static str, parent: &Step) -> Step {
        let span = self.telemetry.client(name, parent);
        span.set("db.system.name", "sqlite");
        span.set("db.query.summary", statement);
        span
    }

    /// `GET /fault` tells, `POST /fault?kind=cpu&amount=20` switches, `POST /fault?kind=none` switches off.
    fn fault(&self, request: &Request) -> Response {
        if request.method == "POST" {
            let kind = match request.parameter("kind") {
                Some("none") => None,
                Some(name) => match Kind::from_str(name, true) {
                    Ok(kind) => Some(kind),
                    Err(error) => return Response::text(400, format!("{error}\n")),
                },
                None => return Response::text(400, "kind is needed\n"),
            };
            self.switch(kind, request.parameter("amount").and_then(|amount| amount.parse().ok()));
        }
        let current = self.faults.current();
        Response::json(200, &json!({ "kind": current.map(|c| c.0.name()), "amount": current.map(|c| c.1) }))
    }

    fn switch(&self, kind: Option<Kind>, amount: Option<u64>) {
        self.faults.switch(kind, amount, &self.metrics);
        let told = self.faults.current().map_or_else(
            || "fault switched off".to_owned(),
            |(kind, amount)| format!("fault switched on kind={} amount={amount}", kind.name()),
        );
        self.log.note("WARN", &told);
    }
}

fn shown(order: &Order) -> serde_json::Value {
    json!({ "id": order.id, "product": order.product, "quantity": order.quantity, "cents": order.cents })
}
