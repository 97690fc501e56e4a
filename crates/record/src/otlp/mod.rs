//! OTLP: a receiver for gRPC and HTTP whose requests are stored byte for byte.
//!
//! Either port takes either protocol. A request is acknowledged when its bytes are in the writer's hands.

mod config;
mod form;
mod grpc;
mod http;
mod intake;
pub(crate) mod protobuf;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use coldcase_model::Class;
use coldcase_model::loss::Reason;
use tokio::sync::{Semaphore, watch};

pub use config::OtlpConfig;

use crate::reduce::{Paused, Rung, Stage};
use crate::source::{Context, Running, Skip, Source, Started};
use intake::{Intake, Signal};

/// The source's name.
const NAME: &str = "otlp";
/// Requests that are read at one time; more wait for their turn. Bounds memory together with the largest request.
const CONCURRENT: usize = 32;
/// A request that takes longer to arrive and be written is given up.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long requests that are under way at the stop may take to end.
const FAREWELL: Duration = Duration::from_secs(1);

/// The OTLP receiver.
pub struct Otlp {
    config: OtlpConfig,
}

impl Otlp {
    /// With these options.
    pub fn new(config: OtlpConfig) -> Otlp {
        Otlp { config }
    }
}

impl Source for Otlp {
    fn names(&self) -> Vec<&'static str> {
        vec![NAME]
    }

    fn start(self: Box<Self>, context: Context) -> Result<Started, Skip> {
        let mut listeners = Vec::new();
        for (what, flag, at) in [("gRPC", "--otlp-grpc", self.config.grpc), ("HTTP", "--otlp-http", self.config.http)] {
            if let Some(at) = at {
                listeners.push((what, listen(what, flag, at)?));
            }
        }
        if listeners.is_empty() {
            return Err(Skip::unasked("no address to listen on was given", "--otlp-grpc 127.0.0.1:4317"));
        }
        let cannot = |e: std::io::Error| Skip::new(format!("cannot start the OTLP receiver: {e}"), "");
        let mut remarks = Vec::new();
        for (what, listener) in &listeners {
            let at = listener.local_addr().map_err(cannot)?;
            context.own.listen(at);
            remarks.push(format!("otlp: {what} on {at}"));
        }
        context.losses.watch(NAME, Class::Otlp, Reason::OtlpRejected);
        let paused = Paused::default();
        let (intake, writer) = Intake::start(context, self.config.max_request, paused.clone()).map_err(cannot)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
        let (stop, stopped) = watch::channel(false);
        let shared =
            Shared { intake, turns: Arc::new(Semaphore::new(CONCURRENT)), max_request: self.config.max_request };
        let listeners = listeners.into_iter().map(|(_, l)| l).collect();
        let server = std::thread::Builder::new()
            .name("cc-otlp".into())
            .spawn(move || runtime.block_on(serve(listeners, shared, stopped)))
            .map_err(cannot)?;
        Ok(Started { remarks, ..Started::all(RunningOtlp { stop, paused, threads: vec![server, writer] }) })
    }
}

fn listen(what: &str, flag: &str, at: SocketAddr) -> Result<TcpListener, Skip> {
    let listener = TcpListener::bind(at).and_then(|l| l.set_nonblocking(true).map(|()| l));
    listener.map_err(|e| match e.kind() {
        std::io::ErrorKind::AddrInUse => Skip::new(
            format!("OTLP over {what}: {at} is in use by another program"),
            format!("choose another address with {flag}, or stop that program while recording"),
        ),
        _ => Skip::new(format!("OTLP over {what}: cannot listen on {at}: {e}"), ""),
    })
}

struct RunningOtlp {
    stop: watch::Sender<bool>,
    paused: Paused,
    threads: Vec<JoinHandle<()>>,
}

impl Running for RunningOtlp {
    fn rungs(&self) -> Vec<Rung> {
        vec![Rung { stage: Stage::Off, source: NAME, what: "off, senders are told to try again".into(), key: 0 }]
    }

    fn reduce(&mut self, _: &Rung, down: bool) -> Result<(), String> {
        self.paused.set(down);
        Ok(())
    }

    fn stop(self: Box<Self>) {
        // Nobody listens only when the server has ended already.
        let _ = self.stop.send(true);
        for thread in self.threads {
            // A panic of the thread was reported by the panic hook; there is nothing left to write.
            let _ = thread.join();
        }
    }
}

#[derive(Clone)]
struct Shared {
    intake: Intake,
    turns: Arc<Semaphore>,
    max_request: usize,
}

async fn serve(listeners: Vec<TcpListener>, shared: Shared, stopped: watch::Receiver<bool>) {
    let app = Router::new().fallback(route).with_state(shared);
    let mut servers = tokio::task::JoinSet::new();
    for listener in listeners {
        let listener = match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!("otlp: {error}");
                continue;
            }
        };
        let app = app.clone().into_make_service_with_connect_info::<SocketAddr>();
        let mut stop = stopped.clone();
        let signal = async move {
            // An error says that the sender is gone: stop as well.
            let _ = stop.wait_for(|s| *s).await;
        };
        servers.spawn(async move { axum::serve(listener, app).with_graceful_shutdown(signal).await });
    }
    drop(app);
    let mut stop = stopped;
    let _ = stop.wait_for(|s| *s).await;
    // Senders keep connections open that are idle; those are cut.
    let _ = tokio::time::timeout(FAREWELL, async { while servers.join_next().await.is_some() {} }).await;
}

async fn route(State(shared): State<Shared>, ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request) -> Response {
    let grpc = request
        .headers()
        .get("content-type")
        .and_then(|v| v.to_str().ok())
        .is_some_and(|v| v.starts_with("application/grpc"));
    let signal = signal(request.uri().path(), grpc);
    let (Some(signal), &Method::POST) = (signal, request.method()) else {
        // Read to its end where that is cheap: an answer to half a request reaches some senders as a broken stream.
        let _ = axum::body::to_bytes(request.into_body(), 64 << 10).await;
        return if grpc { grpc::unimplemented().map(Body::new) } else { plain(StatusCode::NOT_FOUND) };
    };
    let Shared { intake, turns, max_request } = shared;
    let refuse = intake.clone();
    let served = async {
        let _turn = turns.acquire().await;
        match grpc {
            true => grpc::export(intake, signal, Some(peer), max_request, request).await.map(Body::new),
            false => http::export(intake, signal, Some(peer), max_request, request).await,
        }
    };
    match tokio::time::timeout(PATIENCE, served).await {
        Ok(response) => response,
        Err(_) => {
            refuse.refused(true, 0);
            match grpc {
                true => tonic::Status::unavailable("the request took too long").into_http::<Body>(),
                false => plain(StatusCode::REQUEST_TIMEOUT),
            }
        }
    }
}

fn signal(path: &str, grpc: bool) -> Option<Signal> {
    Some(match (path, grpc) {
        ("/v1/traces", false) | ("/opentelemetry.proto.collector.trace.v1.TraceService/Export", true) => Signal::Traces,
        ("/v1/metrics", false) | ("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", true) => {
            Signal::Metrics
        }
        ("/v1/logs", false) | ("/opentelemetry.proto.collector.logs.v1.LogsService/Export", true) => Signal::Logs,
        _ => return None,
    })
}

fn plain(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
