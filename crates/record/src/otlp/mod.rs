//! OTLP: a receiver for gRPC and HTTP whose requests are stored byte for byte.
//!
//! Either port takes either protocol. A request is acknowledged when its bytes are in the writer's hands, or, with
//! `--ack durable`, on the disk.

mod commit;
mod config;
mod door;
mod endpoint;
mod form;
mod forward;
mod grpc;
mod guard;
mod http;
mod intake;
pub(crate) mod protobuf;

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
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;

pub use config::{Ack, OtlpConfig};
pub use endpoint::{Collector, Endpoint};

use crate::reduce::{Paused, Rung, Stage};
use crate::source::{Context, Running, Skip, Source, Started};
use door::{Bound, Door, Peer};
use forward::Forward;
use guard::Token;
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
        let config = &self.config;
        let mut listeners = Vec::new();
        for (what, flag, at) in [("gRPC", "--otlp-grpc", &config.grpc), ("HTTP", "--otlp-http", &config.http)] {
            if let Some(at) = at {
                listeners.push((what, Bound::bind(what, flag, at)?));
            }
        }
        if listeners.is_empty() {
            return Err(Skip::unasked("no address to listen on was given", "--otlp-grpc 127.0.0.1:4317"));
        }
        let cannot = |e: std::io::Error| Skip::new(format!("cannot start the OTLP receiver: {e}"), "");
        let unfit = |why: String| Skip::new(why, "");
        let token = config.token.as_deref().map(Token::read).transpose().map_err(unfit)?;
        let tls = match (&config.tls_cert, &config.tls_key) {
            (Some(cert), Some(key)) => Some(TlsAcceptor::from(guard::tls(cert, key).map_err(unfit)?)),
            _ => None,
        };
        let mut remarks = Vec::new();
        for (what, listener) in &listeners {
            let (place, address) = listener.place().map_err(cannot)?;
            if let Some(at) = address {
                context.own.listen(at);
            }
            remarks.push(format!("otlp: {what} on {place}"));
        }
        context.losses.watch(NAME, Class::Otlp, Reason::OtlpRejected);
        let paused = Paused::default();
        let (stop, stopped) = watch::channel(false);
        let (intake, writers) = Intake::start(context.clone(), config, paused.clone()).map_err(cannot)?;
        let forwarding = match config.forward.is_empty() {
            true => None,
            false => Some(Forwarding::start(config, context.clone()).map_err(cannot)?),
        };
        let forward = forwarding.as_ref().map(|f| f.forward.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
        let shared = Shared {
            intake,
            forward,
            token,
            turns: Arc::new(Semaphore::new(CONCURRENT)),
            max_request: config.max_request,
        };
        let listeners = listeners.into_iter().map(|(_, l)| l).collect();
        let server = std::thread::Builder::new()
            .name("cc-otlp".into())
            .spawn(move || runtime.block_on(serve(listeners, tls, shared, stopped)))
            .map_err(cannot)?;
        let threads = [server].into_iter().chain(writers).collect();
        Ok(Started { remarks, ..Started::all(RunningOtlp { stop, paused, threads, forwarding, context }) })
    }
}

struct RunningOtlp {
    stop: watch::Sender<bool>,
    paused: Paused,
    threads: Vec<JoinHandle<()>>,
    forwarding: Option<Forwarding>,
    context: Context,
}

/// The forwarder, and what ends it.
struct Forwarding {
    forward: Forward,
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Forwarding {
    fn start(config: &OtlpConfig, context: Context) -> std::io::Result<Forwarding> {
        let (stop, stopped) = watch::channel(false);
        let (forward, thread) = Forward::start(&config.forward, config.token.is_some(), context, stopped)?;
        Ok(Forwarding { forward, stop, thread })
    }
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
        // Only now: the last requests that were taken are passed on as well.
        if let Some(Forwarding { forward, stop, thread }) = self.forwarding {
            let _ = stop.send(true);
            let _ = thread.join();
            let (words, missed) = forward.ending();
            self.context.intake.remark(words, missed);
        }
    }
}

#[derive(Clone)]
struct Shared {
    intake: Intake,
    forward: Option<Forward>,
    token: Option<Token>,
    turns: Arc<Semaphore>,
    max_request: usize,
}

/// A request that is served, and with what.
struct Call {
    intake: Intake,
    forward: Option<Forward>,
    signal: Signal,
    /// Given back once the request waits for the writer.
    turn: OwnedSemaphorePermit,
    peer: Peer,
    max_request: usize,
}

async fn serve(listeners: Vec<Bound>, tls: Option<TlsAcceptor>, shared: Shared, stopped: watch::Receiver<bool>) {
    let app = Router::new().fallback(route).with_state(shared);
    let mut servers = tokio::task::JoinSet::new();
    for listener in listeners {
        let door = match Door::open(listener, tls.clone()) {
            Ok(door) => door,
            Err(error) => {
                tracing::error!("otlp: {error}");
                continue;
            }
        };
        let app = app.clone().into_make_service_with_connect_info::<Peer>();
        let mut stop = stopped.clone();
        let signal = async move {
            // An error says that the sender is gone: stop as well.
            let _ = stop.wait_for(|s| *s).await;
        };
        servers.spawn(async move { axum::serve(door, app).with_graceful_shutdown(signal).await });
    }
    drop(app);
    let mut stop = stopped;
    let _ = stop.wait_for(|s| *s).await;
    // Senders keep connections open that are idle; those are cut.
    let _ = tokio::time::timeout(FAREWELL, async { while servers.join_next().await.is_some() {} }).await;
}

async fn route(State(shared): State<Shared>, ConnectInfo(peer): ConnectInfo<Peer>, request: Request) -> Response {
    let grpc = request
        .headers()
        .get("content-type")
        .and_then(|v| v.to_str().ok())
        .is_some_and(|v| v.starts_with("application/grpc"));
    let signal = Signal::at(request.uri().path(), grpc);
    let (Some(signal), &Method::POST) = (signal, request.method()) else {
        read_out(request).await;
        return if grpc { grpc::unimplemented().map(Body::new) } else { plain(StatusCode::NOT_FOUND) };
    };
    let Shared { intake, forward, token, turns, max_request } = shared;
    let refuse = intake.clone();
    if token.is_some_and(|t| !t.admits(request.headers())) {
        refuse.refused(false, 0);
        let answer = match grpc {
            true => tonic::Status::unauthenticated(http::UNAUTHORIZED).into_http::<Body>(),
            false => http::unauthorized(request.headers()),
        };
        read_out(request).await;
        return answer;
    }
    let served = async {
        let Ok(turn) = turns.acquire_owned().await else { return plain(StatusCode::SERVICE_UNAVAILABLE) };
        let call = Call { intake, forward, signal, turn, peer, max_request };
        match grpc {
            true => grpc::export(call, request).await.map(Body::new),
            false => http::export(call, request).await,
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

/// Reads a request that is not taken to its end, where that is cheap: an answer to half a request reaches some senders as a broken
/// stream.
async fn read_out(request: Request) {
    let read = axum::body::to_bytes(request.into_body(), 64 << 10);
    // Longer, slower or broken: its sender may see what it sees.
    let _ = tokio::time::timeout(PATIENCE, read).await;
}

fn plain(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
