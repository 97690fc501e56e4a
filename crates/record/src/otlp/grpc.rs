//! OTLP over gRPC: tonic's framing around a codec that leaves the bytes alone.

use std::future::Future;
use std::pin::Pin;

use axum::body::Body;
use axum::http::{HeaderMap, Request, Response};
use bytes::{Buf, Bytes};
use tokio::sync::OwnedSemaphorePermit;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, UnaryService};
use tonic::{Code, Status};

use super::Call;
use super::door::Peer;
use super::forward::Forward;
use super::intake::{Encoding, Intake, Origin, Refusal, Signal};

/// Serves one export call.
pub(super) async fn export(call: Call, request: Request<Body>) -> Response<tonic::body::Body> {
    let Call { intake, forward, signal, turn, peer, max_request } = call;
    let origin = origin(peer, request.headers());
    let forward = forward.map(|f| (f, request.headers().clone()));
    let mut grpc = Grpc::new(RawCodec)
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd)
        .max_decoding_message_size(max_request);
    let service = Export { intake: intake.clone(), signal, origin, once: Some((turn, forward)) };
    let response = grpc.unary(service, request).await;
    // A refusal has its status in the head; an acknowledgement has it in the trailers.
    let status = response.headers().get("grpc-status").and_then(|v| v.to_str().ok()).unwrap_or("0");
    if status != "0" {
        let retry = status == "8" || status == "14";
        intake.refused(retry, 0);
    }
    response
}

fn origin(peer: Peer, headers: &HeaderMap) -> Origin {
    let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("");
    Origin {
        peer,
        transport: "grpc",
        content_type: header("content-type").to_owned(),
        compression: match header("grpc-encoding") {
            "gzip" => "gzip",
            "zstd" => "zstd",
            _ => "",
        },
    }
}

/// The answer to a call of anything else.
pub(super) fn unimplemented() -> Response<tonic::body::Body> {
    Status::unimplemented("only the Export calls of the OTLP services are served here").into_http()
}

struct Export {
    intake: Intake,
    signal: Signal,
    origin: Origin,
    /// Taken by the one call: its turn, and where a copy goes with its headers.
    once: Option<(OwnedSemaphorePermit, Option<(Forward, HeaderMap)>)>,
}

impl UnaryService<Bytes> for Export {
    /// An Export*ServiceResponse without fields: everything was accepted.
    type Response = ();
    type Future = Pin<Box<dyn Future<Output = Result<tonic::Response<()>, Status>> + Send>>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let (intake, signal, origin) = (self.intake.clone(), self.signal, self.origin.clone());
        let once = self.once.take();
        Box::pin(async move {
            let Some((turn, forward)) = once else { return Err(Status::internal("a unary call with two messages")) };
            let bytes = request.into_inner();
            let copy = forward.map(|(forward, headers)| (forward, headers, bytes.clone()));
            intake.take(signal, Encoding::Protobuf, bytes, origin, turn).await.map_err(|e| status(&e))?;
            if let Some((forward, headers, bytes)) = copy {
                forward.offer(signal, Encoding::Protobuf, true, &headers, bytes);
            }
            Ok(tonic::Response::new(()))
        })
    }
}

fn status(refusal: &Refusal) -> Status {
    let message = refusal.to_string();
    match refusal {
        Refusal::Malformed(_) | Refusal::NotJson(_) => Status::invalid_argument(message),
        // Not RESOURCE_EXHAUSTED: it would be sent again and again.
        Refusal::TooLarge(_) => Status::out_of_range(message),
        Refusal::Ended(_) => Status::unavailable(message),
        Refusal::Behind => {
            let details = retry_in_a_second(&message);
            Status::with_details(Code::ResourceExhausted, message, details)
        }
    }
}

/// A `google.rpc.Status` with a `RetryInfo` of one second: without it senders take RESOURCE_EXHAUSTED as final.
fn retry_in_a_second(message: &str) -> Bytes {
    // RetryInfo { retry_delay = 1: Duration { seconds = 1: 1 } }
    let retry: &[u8] = &[0x0a, 2, 0x08, 1];
    let any = [field(1, b"type.googleapis.com/google.rpc.RetryInfo"), field(2, retry)].concat();
    let code = [0x08, Code::ResourceExhausted as u8];
    [code.to_vec(), field(2, message.as_bytes()), field(3, &any)].concat().into()
}

/// A length-delimited protobuf field of at most 16,383 bytes.
pub(super) fn field(number: u8, value: &[u8]) -> Vec<u8> {
    let value = &value[..value.len().min(0x3fff)];
    let mut out = vec![number << 3 | 2];
    match value.len() {
        n @ ..0x80 => out.push(n as u8),
        n => out.extend([n as u8 | 0x80, (n >> 7) as u8]),
    }
    out.extend_from_slice(value);
    out
}

/// Messages in as they are, empty messages out.
#[derive(Debug, Clone, Copy)]
struct RawCodec;

impl Codec for RawCodec {
    type Encode = ();
    type Decode = Bytes;
    type Encoder = RawCodec;
    type Decoder = RawCodec;

    fn encoder(&mut self) -> RawCodec {
        RawCodec
    }

    fn decoder(&mut self) -> RawCodec {
        RawCodec
    }
}

impl Encoder for RawCodec {
    type Item = ();
    type Error = Status;

    fn encode(&mut self, (): (), _into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
