//! The gateway: takes the public requests and asks the orders service, with the trace passed on.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::Result;
use serde_json::json;

use crate::client::Client;
use crate::http1::{Request, Response};
use crate::running::{Common, Running};
use crate::server::{Reply, Service};
use crate::telemetry::Step;

/// Flags of `coldcase-demo gateway`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Port on 127.0.0.1; 0 takes any free one. Printed on the first line
    #[arg(long, default_value_t = 18080)]
    port: u16,
    /// Address of the orders service
    #[arg(long, default_value = "127.0.0.1:18081")]
    orders: SocketAddr,
    #[command(flatten)]
    common: Common,
}

struct Gateway {
    /// One connection a worker.
    orders: Vec<Mutex<Client>>,
    peer: SocketAddr,
    running: Running,
}

/// Runs the service until SIGINT or SIGTERM.
pub(crate) fn run(options: &Options) -> Result<()> {
    let running = Running::start("gateway", &options.common)?;
    let workers = options.common.workers;
    let gateway = Arc::new(Gateway {
        orders: (0..workers).map(|_| Mutex::new(Client::new(options.orders))).collect(),
        peer: options.orders,
        running: running.clone(),
    });
    let listener = running.listen(options.port, &format!("orders at {}", options.orders))?;
    let outcome = running.serve(listener, "gateway-work", workers, gateway);
    running.finish();
    outcome
}

impl Service for Gateway {
    fn answer(&self, worker: usize, request: &Request) -> Reply {
        Reply::Send(match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/order") => self.forward("GET /order", worker, request),
            ("POST", "/order") => self.forward("POST /order", worker, request),
            _ => self.running.page(request),
        })
    }
}

impl Gateway {
    /// Asks orders and hands its answer on; 502 when it does not answer.
    fn forward(&self, name: &'static str, worker: usize, request: &Request) -> Response {
        let start = Instant::now();
        let step = self.running.open(name, request);
        step.set("http.route", "/order");
        let response = match self.ask(worker, request, &step) {
            Ok((status, body)) => Response { status, content_type: "application/json", body },
            Err(error) => {
                self.running.log.in_span("ERROR", &step.id(), &format!("orders did not answer: {error:#}"));
                Response::json(502, &json!({ "error": "orders did not answer" }))
            }
        };
        self.running.close(name, &step, &response, "orders failed", start);
        response
    }

    fn ask(&self, worker: usize, request: &Request, parent: &Step) -> Result<(u16, Vec<u8>)> {
        let name = if request.method == "POST" { "orders.place" } else { "orders.find" };
        let span = self.running.telemetry.client(name, parent);
        span.set("server.address", self.peer.ip().to_string());
        span.set("server.port", i64::from(self.peer.port()));
        let target =
            if request.query.is_empty() { request.path.clone() } else { format!("{}?{}", request.path, request.query) };
        let client = &self.orders[worker % self.orders.len()];
        let mut client = client.lock().unwrap_or_else(PoisonError::into_inner);
        let traceparent = format!("traceparent: {}\r\n", self.running.telemetry.traceparent(&span));
        let answer = client.send(&request.method, &target, &traceparent, &request.body);
        if answer.is_err() {
            span.fail("no answer");
        }
        answer
    }
}
