//! The orders service: places and finds orders, and is where the faults live.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::ValueEnum;
use serde_json::json;

use crate::fault::{Faults, Kind};
use crate::http1::{Request, Response};
use crate::running::{Common, Running};
use crate::server::{Reply, Service};
use crate::store::{self, Order, Store};
use crate::telemetry::Step;

/// Flags of `coldcase-demo orders`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Port on 127.0.0.1; 0 takes any free one. Printed on the first line
    #[arg(long, default_value_t = 18081)]
    port: u16,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    fault: FaultOptions,
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
    running: Running,
}

/// Runs the service until SIGINT or SIGTERM.
pub(crate) fn run(options: &Options) -> Result<()> {
    let running = Running::start("orders", &options.common)?;
    let (dir, workers) = (&options.common.dir, options.common.workers);
    running.metrics.register_store()?;
    let orders = Arc::new(Orders {
        store: Store::create(&dir.join("orders.db"), workers)?,
        faults: Faults::new(dir),
        running: running.clone(),
    });
    orders.faults.switch(None, None, &running.metrics);
    let listener = running.listen(options.port, &format!("orders in {}", orders.store.path().display()))?;
    let switcher = switch_later(&options.fault, &orders, &running.stop)?;
    let outcome = running.serve(listener, "orders-worker", workers, orders);
    let _ = switcher.map(thread::JoinHandle::join);
    running.finish();
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
            ("GET" | "POST", "/fault") => Reply::Send(self.fault(request)),
            _ => Reply::Send(self.running.page(request)),
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
        let step = self.running.open(name, request);
        if self.faults.resets() {
            step.fail("connection reset");
            self.running.log.in_span("ERROR", &step.id(), "the connection was reset before the answer");
            return Reply::Reset;
        }
        if self.faults.fails() {
            let text = "the ledger refused the entry";
            step.fail(text);
            self.running.log.in_span("ERROR", &step.id(), text);
            let response = Response::json(500, &json!({ "error": text }));
            self.running.close(name, &step, &response, text, start);
            return Reply::Send(response);
        }
        self.faults.on_request();
        let response = work(self, worker, request, &step).unwrap_or_else(|error| {
            self.running.log.in_span("ERROR", &step.id(), &format!("{name} failed: {error:#}"));
            Response::json(500, &json!({ "error": format!("{error:#}") }))
        });
        self.faults.on_done(name, start);
        self.running.close(name, &step, &response, "failed", start);
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
        self.faults.on_order(worker, &self.running.metrics)?;
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
        self.running.metrics.commit.observe(start.elapsed().as_secs_f64());
        Ok(Response::json(201, &shown(&placed)))
    }

    fn find(&self, worker: usize, request: &Request, step: &Step) -> Result<Response> {
        let Some(id) = request.parameter("id").and_then(|id| id.parse().ok()) else {
            return Ok(Response::json(400, &json!({ "error": "id is needed" })));
        };
        for _ in 0..self.faults.queries() {
            let _span = self.database("db.query", "SELECT orders", step);
            self.store.find(worker, id)?;
        }
        let _span = self.database("db.query", "SELECT orders", step);
        let start = Instant::now();
        let found = match self.faults.scan() {
            Some(thousands) => self.store.find_by_scan(worker, id, thousands)?,
            None => self.store.find(worker, id)?,
        };
        self.running.metrics.query.observe(start.elapsed().as_secs_f64());
        Ok(found.map_or_else(
            || Response::json(404, &json!({ "error": "no such order" })),
            |order| Response::json(200, &shown(&order)),
        ))
    }

    fn database(&self, name: &'static str, statement: &'static str, parent: &Step) -> Step {
        let span = self.running.telemetry.client(name, parent);
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
        self.faults.switch(kind, amount, &self.running.metrics);
        let told = self.faults.current().map_or_else(
            || "fault switched off".to_owned(),
            |(kind, amount)| format!("fault switched on kind={} amount={amount}", kind.name()),
        );
        self.running.log.note("WARN", &told);
    }
}

fn shown(order: &Order) -> serde_json::Value {
    json!({ "id": order.id, "product": order.product, "quantity": order.quantity, "cents": order.cents })
}
