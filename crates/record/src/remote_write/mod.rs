//! A receiver of Prometheus Remote-Write, 1.0 and 2.0: requests are stored byte for byte as they were before snappy.
//!
//! A request is acknowledged (204) when its bytes are in the writer's hands. What is malformed is refused with 400 and
//! never comes again; what cannot be taken now is answered with 503, which senders try again.

mod config;
mod message;
mod store;

use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use coldcase_model::Class;
use coldcase_model::loss::Reason;
use tokio::sync::watch;

pub use config::RemoteWriteConfig;

use crate::reduce::{Paused, Rung, Stage};
use crate::source::{Context, Running, Skip, Source, Started};
use message::{Counts, Version};
use store::{Refused, Store};

/// The source's name.
const NAME: &str = "remote-write";
/// Where senders write to.
const PATH: &str = "/api/v1/write";
/// A request that takes longer to arrive and be written is given up.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long requests that are under way at the stop may take to end.
const FAREWELL: Duration = Duration::from_secs(1);

/// The Remote-Write receiver.
pub struct RemoteWrite {
    config: RemoteWriteConfig,
}

impl RemoteWrite {
    /// With these options.
    pub fn new(config: RemoteWriteConfig) -> RemoteWrite {
        RemoteWrite { config }
    }
}

impl Source for RemoteWrite {
    fn names(&self) -> Vec<&'static str> {
        vec![NAME]
    }

    fn start(self: Box<Self>, context: Context) -> Result<Started, Skip> {
        let Some(at) = self.config.listen else {
            return Err(Skip::unasked("no address to listen on was given", "--remote-write 127.0.0.1:9201"));
        };
        let listener = listen(at)?;
        let cannot = |e: std::io::Error| Skip::new(format!("cannot start the Remote-Write receiver: {e}"), "");
        let at = listener.local_addr().map_err(cannot)?;
        context.own.listen(at);
        context.losses.watch(NAME, Class::Metric, Reason::RemoteWriteRejected);
        let paused = Paused::default();
        let store = Store::new(context, self.config.max_request, paused.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
        let (stop, stopped) = watch::channel(false);
        let thread = std::thread::Builder::new()
            .name("cc-remote-write".into())
            .spawn(move || {
                runtime.block_on(serve(listener, store, stopped));
                runtime.shutdown_timeout(FAREWELL);
            })
            .map_err(cannot)?;
        let remarks = vec![format!("remote-write: http://{at}{PATH}")];
        Ok(Started { remarks, ..Started::all(RunningReceiver { stop, paused, thread }) })
    }
}

fn listen(at: SocketAddr) -> Result<TcpListener, Skip> {
    let listener = TcpListener::bind(at).and_then(|l| l.set_nonblocking(true).map(|()| l));
    listener.map_err(|e| match e.kind() {
        std::io::ErrorKind::AddrInUse => Skip::new(
            format!("remote write: {at} is in use by another program"),
            "choose another address with --remote-write",
        ),
        _ => Skip::new(format!("remote write: cannot listen on {at}: {e}"), ""),
    })
}

struct RunningReceiver {
    stop: watch::Sender<bool>,
    paused: Paused,
    thread: JoinHandle<()>,
}

impl Running for RunningReceiver {
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
        // A panic of the thread was reported by the panic hook; there is nothing left to write.
        let _ = self.thread.join();
    }
}

async fn serve(listener: TcpListener, store: Store, mut stopped: watch::Receiver<bool>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!("{NAME}: {error}");
            return;
        }
    };
    let app = Router::new().fallback(route).with_state(store).into_make_service_with_connect_info::<SocketAddr>();
    let mut signal = stopped.clone();
    let asked = async move {
        // An error says that the sender is gone: stop as well.
        let _ = signal.wait_for(|s| *s).await;
    };
    let server = tokio::spawn(async move { axum::serve(listener, app).with_graceful_shutdown(asked).await });
    let _ = stopped.wait_for(|s| *s).await;
    // Senders keep connections open that are idle; those are cut.
    let _ = tokio::time::timeout(FAREWELL, server).await;
}

async fn route(State(store): State<Store>, ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request) -> Response {
    if request.uri().path() != PATH || request.method() != Method::POST {
        // Read to its end where that is cheap: an answer to half a request reaches some senders as a broken stream.
        let _ = to_bytes(request.into_body(), 64 << 10).await;
        return answer(StatusCode::NOT_FOUND, None, Some("only POST to /api/v1/write is served"));
    }
    let refuse = store.clone();
    let (head, body) = request.into_parts();
    let announced = text(&head.headers, header::CONTENT_LENGTH).parse().unwrap_or(0);
    let served = async {
        let version = form(&head.headers)?;
        let packed = to_bytes(body, store.max_request()).await.map_err(|e| Refused::body(&e))?;
        let bytes = unpack(&packed, store.max_request())?;
        let counts = message::check(&bytes, version).map_err(|e| Refused::bad(e.to_string()))?;
        store.take(version, bytes, peer, text(&head.headers, header::CONTENT_TYPE).to_owned()).await?;
        Ok((version, counts))
    };
    let late = || Refused { status: StatusCode::SERVICE_UNAVAILABLE, why: "the request took too long".into() };
    match tokio::time::timeout(PATIENCE, served).await.unwrap_or_else(|_| Err(late())) {
        Ok((version, counts)) => answer(StatusCode::NO_CONTENT, (version == Version::V2).then_some(counts), None),
        Err(Refused { status, why }) => {
            refuse.refused(status == StatusCode::SERVICE_UNAVAILABLE, announced);
            answer(status, None, Some(&why))
        }
    }
}

/// The version that the headers announce. Snappy's block format is the only packing ("Content-Encoding: snappy" is
/// required; a missing header is taken for it, as other receivers do).
fn form(headers: &HeaderMap) -> Result<Version, Refused> {
    let unsupported = |why: String| Refused { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, why };
    let content_type = text(headers, header::CONTENT_TYPE);
    let encoding = text(headers, header::CONTENT_ENCODING).trim();
    if !(encoding.is_empty() || encoding.eq_ignore_ascii_case("snappy")) {
        return Err(unsupported(format!("content encoding {encoding:?} is not taken, only snappy")));
    }
    Version::of(content_type).ok_or_else(|| {
        unsupported(format!(
            "content type {content_type:?} is not taken, only application/x-protobuf with proto \
             prometheus.WriteRequest or io.prometheus.write.v2.Request"
        ))
    })
}

/// A snappy block, which tells its length before anything is set aside for it.
fn unpack(packed: &Bytes, limit: usize) -> Result<Vec<u8>, Refused> {
    let bad = |e: snap::Error| Refused::bad(format!("not a snappy block: {e}"));
    if snap::raw::decompress_len(packed).map_err(bad)? > limit {
        let why = format!("more than {limit} bytes after decompression");
        return Err(Refused { status: StatusCode::PAYLOAD_TOO_LARGE, why });
    }
    snap::raw::Decoder::new().decompress_vec(packed).map_err(bad)
}

/// A header as text; empty where it is missing or none.
fn text(headers: &HeaderMap, name: HeaderName) -> &str {
    headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("")
}

/// `counts`: what was written, for the headers that 2.0 requires.
fn answer(status: StatusCode, counts: Option<Counts>, why: Option<&str>) -> Response {
    let mut response = Response::new(Body::from(why.map(|w| format!("{w}\n")).unwrap_or_default()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if why.is_some() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    // A response without them would say that nothing was written.
    for (what, count) in counts.into_iter().flat_map(|c| {
        [
            ("x-prometheus-remote-write-samples-written", c.samples),
            ("x-prometheus-remote-write-histograms-written", c.histograms),
            ("x-prometheus-remote-write-exemplars-written", c.exemplars),
        ]
    }) {
        headers.insert(HeaderName::from_static(what), HeaderValue::from(count));
    }
    response
}
