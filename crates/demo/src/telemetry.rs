//! Spans through the OpenTelemetry SDK, exported as OTLP over HTTP with protobuf.

use std::collections::HashMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{SpanContext, SpanKind, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracer, SdkTracerProvider};

use crate::client::Client;
use crate::log::Log;

/// How often finished spans are sent.
const DELAY: Duration = Duration::from_millis(300);

/// The tracer of one service.
pub(crate) struct Telemetry {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    propagator: TraceContextPropagator,
}

/// One open span. It ends when it is dropped.
pub(crate) struct Step {
    context: Context,
}

impl Telemetry {
    /// Starts exporting to `endpoint` (a base such as `http://127.0.0.1:4318`); without one,
    /// `OTEL_EXPORTER_OTLP_ENDPOINT` or the default of the specification is taken.
    pub(crate) fn start(service: &'static str, endpoint: Option<&str>, log: Arc<Log>) -> Result<Self> {
        let mut exporter = SpanExporter::builder().with_http().with_http_client(Sender::new(log));
        if let Some(base) = endpoint {
            exporter = exporter.with_endpoint(format!("{}/v1/traces", base.trim_end_matches('/')));
        }
        let batches = BatchConfigBuilder::default().with_scheduled_delay(DELAY).with_max_queue_size(16_384).build();
        let processor = BatchSpanProcessor::builder(exporter.build()?).with_batch_config(batches).build();
        let resource = Resource::builder()
            .with_service_name(service)
            .with_attribute(KeyValue::new("service.namespace", "shop"))
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_attribute(KeyValue::new("process.pid", i64::from(std::process::id())))
            .build();
        let provider = SdkTracerProvider::builder().with_span_processor(processor).with_resource(resource).build();
        let tracer = provider.tracer("coldcase-demo");
        Ok(Self { provider, tracer, propagator: TraceContextPropagator::new() })
    }

    /// Opens the span of a request; `traceparent` is the header as it arrived.
    pub(crate) fn server(&self, name: &'static str, traceparent: Option<&str>) -> Step {
        let carrier: HashMap<String, String> =
            traceparent.map(|value| ("traceparent".to_owned(), value.to_owned())).into_iter().collect();
        self.open(name, SpanKind::Server, &self.propagator.extract_with_context(&Context::new(), &carrier))
    }

    /// Opens a span for a call to somebody else.
    pub(crate) fn client(&self, name: &'static str, parent: &Step) -> Step {
        self.open(name, SpanKind::Client, &parent.context)
    }

    /// The header that makes `step` the parent of what the peer does.
    pub(crate) fn traceparent(&self, step: &Step) -> String {
        let mut carrier = HashMap::new();
        self.propagator.inject_context(&step.context, &mut carrier);
        carrier.remove("traceparent").unwrap_or_default()
    }

    fn open(&self, name: &'static str, kind: SpanKind, parent: &Context) -> Step {
        let thread = std::thread::current();
        let attributes = vec![
            KeyValue::new("thread.id", i64::from(rustix::thread::gettid().as_raw_nonzero().get())),
            KeyValue::new("thread.name", thread.name().unwrap_or("main").to_owned()),
        ];
        let builder = self.tracer.span_builder(name).with_kind(kind).with_attributes(attributes);
        let span = builder.start_with_context(&self.tracer, parent);
        Step { context: parent.with_span(span) }
    }

    /// Sends what is still queued.
    pub(crate) fn finish(&self) {
        let _ = self.provider.shutdown_with_timeout(Duration::from_secs(2));
    }
}

impl Step {
    pub(crate) fn set(&self, key: &'static str, value: impl Into<opentelemetry::Value>) {
        self.context.span().set_attribute(KeyValue::new(key, value));
    }

    /// Marks the span as failed.
    pub(crate) fn fail(&self, why: &str) {
        self.context.span().set_status(Status::error(why.to_owned()));
    }

    pub(crate) fn id(&self) -> SpanContext {
        self.context.span().span_context().clone()
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.context.span().end();
    }
}

/// Carries the SDK's requests over one connection; says once in the log when nobody listens.
struct Sender {
    client: Mutex<Option<Client>>,
    log: Arc<Log>,
    complained: AtomicBool,
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sender")
    }
}

impl Sender {
    fn new(log: Arc<Log>) -> Self {
        Self { client: Mutex::default(), log, complained: AtomicBool::new(false) }
    }

    fn send(&self, request: &Request<Bytes>) -> Result<Response<Bytes>> {
        let mut slot = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        let mut client = match slot.take() {
            Some(client) => client,
            None => Client::new(address(request.uri())?),
        };
        let mut headers = String::new();
        for (name, value) in request.headers() {
            headers += &format!("{name}: {}\r\n", value.to_str()?);
        }
        let (status, body) = client.send(request.method().as_str(), request.uri().path(), &headers, request.body())?;
        *slot = Some(client);
        Ok(Response::builder().status(status).body(Bytes::from(body))?)
    }
}

/// Where an endpoint listens. Only plain HTTP: the shop and its recorder share a machine.
fn address(uri: &http::Uri) -> Result<SocketAddr> {
    if uri.scheme_str() != Some("http") {
        bail!("{uri} is not an http:// address");
    }
    let host = uri.host().with_context(|| format!("{uri} names no host"))?;
    let found = (host, uri.port_u16().unwrap_or(80)).to_socket_addrs()?;
    // The receiver listens on IPv4 loopback unless told otherwise, and `localhost` often means IPv6 first.
    let all: Vec<SocketAddr> = found.collect();
    all.iter().find(|a| a.is_ipv4()).or(all.first()).copied().with_context(|| format!("{host} has no address"))
}

#[async_trait]
impl HttpClient for Sender {
    // The SDK's batch thread blocks on this and does nothing else, so a blocking client is fine.
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        self.send(&request).map_err(|error| {
            if !self.complained.swap(true, Ordering::Relaxed) {
                self.log.note("WARN", &format!("spans cannot be sent to {}: {error:#}", request.uri()));
            }
            error.into()
        })
    }
}
