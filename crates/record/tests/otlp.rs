//! OTLP: raw clients for the bytes, the Python SDK for the counts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod support;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use coldcase_bundle::{Gate, Writer, WriterOptions};
use coldcase_model::{Event, events::Receipt};
use coldcase_record::config::RecordConfig;
use coldcase_record::otlp::{Ack, Endpoint, Otlp, OtlpConfig};
use coldcase_record::source::{Skip, Source};
use opentelemetry_proto::tonic::collector::{logs::v1::*, metrics::v1::*, trace::v1::*};
use prost::Message;
use support::{Recording, context, record, record_with};

fn receiver() -> OtlpConfig {
    let any = Some(Endpoint::Tcp(SocketAddr::from(([127, 0, 0, 1], 0))));
    OtlpConfig { grpc: any.clone(), http: any, ..OtlpConfig::default() }
}

/// The addresses of gRPC and HTTP, as the source says them.
fn addresses(remarks: &[String]) -> [SocketAddr; 2] {
    ["gRPC", "HTTP"].map(|what| {
        let remark = remarks.iter().find(|r| r.contains(what)).unwrap();
        remark.rsplit_once(' ').unwrap().1.parse().unwrap()
    })
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// One HTTP/1.1 request, by hand. Status and body of the answer.
fn post(to: SocketAddr, path: &str, headers: &str, body: &[u8]) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(to).unwrap();
    let length = body.len();
    write!(stream, "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n")
        .unwrap();
    // A server that refuses early closes early.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let head = answer.windows(4).position(|w| w == b"\r\n\r\n").expect("a head");
    let status = std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap();
    (status, answer[head + 4..].to_vec())
}

const PROTOBUF: &str = "Content-Type: application/x-protobuf\r\n";
const JSON: &str = "Content-Type: application/json\r\n";

/// One gRPC call by curl, the message framed by hand. The status, or `None` when there is no curl with HTTP/2.
fn call(to: SocketAddr, service: &str, message: &[u8], compressed: bool) -> Option<u32> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("frame");
    let frame = [&[u8::from(compressed)][..], &(message.len() as u32).to_be_bytes(), message].concat();
    std::fs::write(&file, frame).unwrap();
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-i", "--http2-prior-knowledge", "-H", "content-type: application/grpc", "-H", "te: trailers"]);
    if compressed {
        curl.args(["-H", "grpc-encoding: gzip"]);
    }
    let output = curl
        .arg("--data-binary")
        .arg(format!("@{}", file.display()))
        .arg(format!("http://{to}/opentelemetry.proto.collector.{service}/Export"))
        .output();
    let Ok(output) = output else {
        eprintln!("skipped: no curl for raw gRPC calls");
        return None;
    };
    // The trailers follow the message, which ends without a newline.
    let text = String::from_utf8_lossy(&output.stdout);
    let status = text.split_once("grpc-status: ").map(|(_, rest)| rest.lines().next().unwrap().trim().parse().unwrap());
    // Status 92 of curl: the stream was reset, as when a request is refused before it was read to its end.
    Some(status.unwrap_or_else(|| output.status.code().unwrap() as u32))
}

/// A request that no decoder and encoder would leave as it is: an unknown field, a padded varint, fields out of order.
const ODD: &[u8] = &[0xc0, 0x3e, 0x87, 0x80, 0x00, 0x0a, 0x84, 0x00, 0x12, 0x00, 0x0a, 0x00, 0x7d, 1, 2, 3, 4];

#[test]
fn requests_are_stored_byte_for_byte() {
    let recording = record(Otlp::new(receiver()));
    let [grpc, http] = addresses(&recording.remarks);
    assert_eq!(post(http, "/v1/traces", PROTOBUF, ODD), (200, Vec::new()));
    let zipped = format!("{PROTOBUF}Content-Encoding: gzip\r\n");
    assert_eq!(post(http, "/v1/metrics", &zipped, &gzip(ODD)), (200, Vec::new()));
    let json: &[u8] = b"{ \"unknown\": 1, \"resourceSpans\": [] }\n";
    assert_eq!(post(http, "/v1/traces", JSON, json), (200, b"{}".to_vec()));
    let packed = format!("{JSON}Content-Encoding: zstd\r\n");
    assert_eq!(post(http, "/v1/logs", &packed, &zstd::bulk::compress(json, 3).unwrap()).0, 200);
    let called = call(grpc, "logs.v1.LogsService", ODD, false);
    if called.is_some() {
        assert_eq!(called, Some(0));
        assert_eq!(call(grpc, "trace.v1.TraceService", &gzip(ODD), true), Some(0));
    }
    let recorded = recording.finish();
    let calls = usize::from(called.is_some());
    assert_eq!(recorded.raw("otlp.traces"), vec![ODD; 1 + calls]);
    assert_eq!(recorded.raw("otlp.metrics"), [ODD]);
    assert_eq!(
        (recorded.raw("otlp.traces.json"), recorded.raw("otlp.logs.json")),
        (vec![json.to_vec()], vec![json.to_vec()])
    );
    assert_eq!(recorded.raw("otlp.logs"), vec![ODD; calls]);
    assert_eq!(recorded.lost("otlp-rejected"), Some(0));

    let receipts = recorded.columns("otlp.metrics.receipts");
    let c = Receipt::cols(&receipts[0]).unwrap();
    assert_eq!((c.bytes[0], c.transport.text(0).as_ref()), (ODD.len() as u64, "http"));
    assert_eq!((c.compression.text(0).as_ref(), c.content_type.text(0).as_ref()), ("gzip", "application/x-protobuf"));
    assert!(c.origin.text(0).starts_with("127.0.0.1:"), "{}", c.origin.text(0));
}

#[test]
fn what_is_no_request_is_refused_and_counted() {
    let recording = record(Otlp::new(OtlpConfig { max_request: 1 << 20, ..receiver() }));
    let [grpc, http] = addresses(&recording.remarks);
    let zipped = format!("{PROTOBUF}Content-Encoding: gzip\r\n");
    let bomb = gzip(&vec![0; 256 << 20]);
    let (status, why) = post(http, "/v1/traces", PROTOBUF, b"not protobuf");
    assert_eq!((status, String::from_utf8_lossy(&why).contains("not a protobuf message")), (400, true));
    assert_eq!(post(http, "/v1/traces", &zipped, b"not gzip").0, 400);
    assert_eq!(post(http, "/v1/traces", &zipped, &bomb).0, 413);
    assert_eq!(post(http, "/v1/traces", PROTOBUF, &vec![0; 2 << 20]).0, 413);
    assert_eq!(post(http, "/v1/traces", "Content-Type: text/plain\r\n", b"{}").0, 415);
    let (status, why) = post(http, "/v1/traces", JSON, b"{\"resourceSpans\":[}");
    assert_eq!((status, String::from_utf8_lossy(&why).starts_with("{\"message\":\"not a JSON object")), (400, true));
    assert_eq!(post(http, "/v1/traces", JSON, b"[]").0, 400);
    assert_eq!(post(http, "/v1/elsewhere", PROTOBUF, b"").0, 404, "not for us, so not a loss");
    let mut refused = 7;
    if let Some(status) = call(grpc, "trace.v1.TraceService", b"not protobuf", false) {
        assert_eq!(status, 3, "INVALID_ARGUMENT");
        assert_ne!(call(grpc, "trace.v1.TraceService", &bomb, true), Some(0));
        assert_ne!(call(grpc, "trace.v1.TraceService", b"not gzip", true), Some(0));
        assert_eq!(call(grpc, "trace.v9.TraceService", b"", false), Some(12), "UNIMPLEMENTED");
        refused += 3;
    }
    let recorded = recording.finish();
    assert!(recorded.raw("otlp.traces").is_empty());
    assert_eq!(recorded.lost("otlp-rejected"), Some(refused));
}

#[test]
fn a_port_in_use_is_said_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = OtlpConfig { http: Some(Endpoint::Tcp(taken.local_addr().unwrap())), ..receiver() };
    let Skip { reason, hint, unasked } = record_with(Otlp::new(config), |_| {}).err().unwrap();
    assert!(
        reason.contains("is in use by another program") && hint.contains("--otlp-http") && !unasked,
        "{reason} {hint}"
    );
}

#[test]
fn a_request_beyond_what_a_bundle_takes_is_refused_for_good() {
    let recording = record(Otlp::new(OtlpConfig { max_request: 64 << 20, ..receiver() }));
    let [_, http] = addresses(&recording.remarks);
    // One unknown field of 33 MiB.
    let mut body = vec![0x7a, 0x80, 0x80, 0xc0, 0x10];
    body.resize(5 + (33 << 20), 0);
    assert_eq!(post(http, "/v1/traces", PROTOBUF, &body).0, 413);
    assert_eq!(recording.finish().lost("otlp-rejected"), Some(1));
}

/// What captured text passes, shut until it is told to open: the writer cannot get rid of anything meanwhile.
struct Shut(Mutex<mpsc::Receiver<()>>);

impl Gate for Shut {
    fn pass<'a>(&self, _stream: &str, _field: &str, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        // Shorter than the receiver's patience; after the first time the sender is gone, and the gate open.
        let _ = self.0.lock().unwrap().recv_timeout(Duration::from_secs(15));
        Cow::Borrowed(bytes)
    }

    fn policy(&self) -> Option<String> {
        None
    }
}

#[test]
fn a_writer_that_is_behind_makes_senders_wait_or_come_again() {
    let (go, told) = mpsc::channel::<()>();
    let options = WriterOptions { gate: Arc::new(Shut(Mutex::new(told))), ..WriterOptions::default() };
    let writer = Writer::to_stream(Box::new(std::io::sink()), options).unwrap();
    let context = context(writer);
    let config = OtlpConfig { max_request: 1 << 20, ..receiver() };
    let started = Box::new(Otlp::new(config)).start(context.clone()).unwrap();
    let [_, http] = addresses(&started.remarks);
    let (count, answers) = mpsc::channel();
    let mut state = 1u64;
    for _ in 0..60 {
        // Incompressible, in one unknown field.
        let mut body = vec![0x7a, 0x80, 0x80, 0x38];
        body.extend((0..(0x38 << 14)).map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 56) as u8
        }));
        let count = count.clone();
        std::thread::spawn(move || count.send(post(http, "/v1/traces", PROTOBUF, &body).0).unwrap());
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(count);
    std::thread::sleep(Duration::from_millis(500));
    drop(go);
    let answers: Vec<u16> = answers.iter().collect();
    let taken = answers.iter().filter(|&&s| s == 200).count();
    let again = answers.iter().filter(|&&s| s == 429).count();
    assert_eq!((answers.len(), taken + again), (60, 60), "{answers:?}");
    assert!(again > 0 && taken > 0, "{taken} taken, {again} told to come again");
    context.stop.stop();
    started.running.stop();
    let stored = context.writer.stats().rows.get("otlp.traces").copied();
    assert_eq!(stored, Some(taken as u64), "what was acknowledged is in the writer's hands, once");
    let limited = context.losses.totals().into_iter().find(|l| l.reason == "rate-limited").unwrap();
    assert_eq!(limited.count, again as u64);
}

/// Python with the SDK in it, made once under `target/`.
fn python_with_sdk() -> Option<PathBuf> {
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/venv-otel");
    let python = venv.join("bin/python");
    let has_sdk = |python: &Path| {
        let import = "import opentelemetry.exporter.otlp.proto.grpc, opentelemetry.exporter.otlp.proto.http";
        Command::new(python).args(["-c", import]).output().is_ok_and(|o| o.status.success())
    };
    if has_sdk(&python) {
        return Some(python);
    }
    let packages =
        ["opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-grpc", "opentelemetry-exporter-otlp-proto-http"];
    let made = Command::new("python3").arg("-m").arg("venv").arg(&venv).output();
    let installed =
        made.and_then(|_| Command::new(&python).args(["-m", "pip", "-q", "install"]).args(packages).output());
    if !has_sdk(&python) {
        eprintln!("skipped: the OpenTelemetry SDK for Python cannot be installed: {installed:?}");
        return None;
    }
    Some(python)
}

fn sdk(python: &Path, protocol: &str, endpoint: &str, spans: usize) -> Vec<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/otlp_sdk.py");
    let output = Command::new(python).arg(script).args([protocol, endpoint, &spans.to_string()]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn count_each<T: Ord>(things: impl Iterator<Item = T>) -> BTreeMap<T, u32> {
    let mut counts = BTreeMap::new();
    things.for_each(|t| *counts.entry(t).or_default() += 1);
    counts
}

#[test]
fn all_that_an_sdk_sends_is_stored_once() {
    let Some(python) = python_with_sdk() else { return };
    // 50,000 in `make test-long`.
    let spans = std::env::var("COLDCASE_OTLP_SPANS").ok().and_then(|n| n.parse().ok()).unwrap_or(3000);
    let recording: Recording = record(Otlp::new(receiver()));
    let [grpc, http] = addresses(&recording.remarks);
    let mut sent = sdk(&python, "grpc", &grpc.to_string(), spans);
    sent.extend(sdk(&python, "http", &format!("http://{http}"), spans));
    let recorded = recording.finish();
    assert_eq!(recorded.lost("otlp-rejected"), Some(0));

    let traces = recorded.raw("otlp.traces").into_iter();
    let requests = traces.map(|b| ExportTraceServiceRequest::decode(b.as_slice()).unwrap());
    let scopes = requests.flat_map(|r| r.resource_spans).flat_map(|r| r.scope_spans);
    let ids = scopes.flat_map(|s| s.spans).map(|s| s.span_id.iter().map(|b| format!("{b:02x}")).collect::<String>());
    assert_eq!(sent.len(), 2 * spans);
    assert!(count_each(ids) == count_each(sent.into_iter()), "the same span ids, each once");

    let logs = recorded.raw("otlp.logs").into_iter();
    let requests = logs.map(|b| ExportLogsServiceRequest::decode(b.as_slice()).unwrap());
    let scopes = requests.flat_map(|r| r.resource_logs).flat_map(|r| r.scope_logs);
    let bodies = scopes.flat_map(|s| s.log_records).map(|r| format!("{:?}", r.body));
    let counts = count_each(bodies);
    assert_eq!(counts.len(), 2 * spans, "each log record has a number of its own");
    assert!(counts.values().all(|&n| n == 1));

    let metrics = recorded.raw("otlp.metrics");
    assert!(metrics.len() >= 2, "one from each protocol");
    for bytes in metrics {
        let request = ExportMetricsServiceRequest::decode(bytes.as_slice()).unwrap();
        assert!(!request.resource_metrics.is_empty());
    }
}

#[test]
fn a_durable_acknowledgement_means_that_the_request_is_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("durable.case");
    // Nothing is cut by time: what is in the file before the end is there because of an acknowledgement.
    let options = WriterOptions { chunk_time: Duration::from_secs(3600), ..WriterOptions::default() };
    let context = context(Writer::create(&path, false, options).unwrap());
    let config = OtlpConfig { ack: Ack::Durable, ..receiver() };
    let started = Box::new(Otlp::new(config)).start(context.clone()).unwrap();
    let [_, http] = addresses(&started.remarks);
    let senders: Vec<_> = (0..40u8)
        .map(|n| {
            std::thread::spawn(move || {
                // An unknown field with a number of its own.
                let body = [0x78, n];
                (post(http, "/v1/traces", PROTOBUF, &body).0, body.to_vec())
            })
        })
        .collect();
    let acked: Vec<Vec<u8>> = senders
        .into_iter()
        .map(|s| s.join().unwrap())
        .map(|(status, body)| {
            assert_eq!(status, 200);
            body
        })
        .collect();
    let bundle = coldcase_bundle::Bundle::open(&path).unwrap();
    assert!(!bundle.complete() && bundle.chunks().len() < 20, "{} chunks for 40 requests", bundle.chunks().len());
    let stored: Vec<Vec<u8>> = (0..bundle.chunks().len())
        .flat_map(|i| bundle.read_chunk(i, &|s| s == "otlp.traces").unwrap())
        .map(|b| match b.body {
            coldcase_bundle::BatchBody::Raw(bytes) => bytes,
            coldcase_bundle::BatchBody::Columns(_) => panic!("raw streams hold messages"),
        })
        .collect();
    assert_eq!(count_each(stored.into_iter()), count_each(acked.into_iter()));
    context.stop.stop();
    started.running.stop();
}

#[test]
fn what_cannot_be_made_durable_is_not_acknowledged() {
    let context = context(Writer::to_stream(Box::new(std::io::sink()), WriterOptions::default()).unwrap());
    let started = Box::new(Otlp::new(OtlpConfig { ack: Ack::Durable, ..receiver() })).start(context.clone()).unwrap();
    let [_, http] = addresses(&started.remarks);
    assert_eq!(post(http, "/v1/traces", PROTOBUF, ODD).0, 503);
    context.stop.stop();
    started.running.stop();
}

#[test]
fn a_configuration_file_sets_what_the_flags_set() {
    let read = |text: &str| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        RecordConfig::read(file.path()).map(|c| c.otlp).map_err(|e| e.to_string())
    };
    let told = read(
        "[otlp]\nack = 'durable'\ngrpc = '0.0.0.0:4317'\nhttp = 'unix:/run/otlp.sock'\ntoken = '/etc/token'\n\
         forward = ['grpc://collector', 'https://collector/otlp']\n",
    )
    .unwrap();
    assert_eq!((told.ack, told.http), (Ack::Durable, Some(Endpoint::Unix("/run/otlp.sock".into()))));
    let forward: Vec<String> = told.forward.iter().map(ToString::to_string).collect();
    assert_eq!(forward, ["grpc://collector:4317", "https://collector:4318/otlp"]);
    for (text, said) in [
        ("[otlp]\nack = 'soon'\n", "line 2"),
        ("[otlp]\nhttp = 'unix:here'\n", "begins with /"),
        ("[otlp]\ntls-cert = '/c'\n", "otlp.tls-key"),
        ("[otlp]\nforward = ['grpc://a', 'grpcs://b']\n", "otlp.forward"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.contains(said), "{text}: {error}");
    }
}
