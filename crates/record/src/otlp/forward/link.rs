//! One connection to a collector, and one exchange on it.

use std::io;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, Request, Response, header};
use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::super::Collector;
use super::super::door::Wire;
use super::super::intake::{Encoding, Signal};
use super::answer::{self, Outcome};
use crate::dial::{self, Known};
use crate::source::Own;

/// An answer is an Export*ServiceResponse: a few bytes, or a few words.
const ANSWER: usize = 1 << 20;

type Body = Full<Bytes>;

/// A connection.
pub(super) struct Link {
    sender: Sender,
    _known: Known,
}

enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

/// Trusts what the host trusts (`SSL_CERT_FILE` and `SSL_CERT_DIR` count).
pub(super) fn connector() -> io::Result<TlsConnector> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (taken, _) = roots.add_parsable_certificates(found.certs);
    if taken == 0 {
        return Err(io::Error::other("no root certificates on this host to know a collector by (SSL_CERT_FILE)"));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

impl Link {
    /// Connects.
    pub(super) async fn open(collector: &Collector, tls: Option<&TlsConnector>, own: &Own) -> Result<Link, String> {
        let host = collector.host.trim_start_matches('[').trim_end_matches(']');
        let connected = dial::dial(host, collector.port, own).await;
        let (stream, known) = connected.map_err(|e| format!("no connection: {e}"))?;
        // Requests are whole messages: waiting to fill a segment only delays them.
        let _ = stream.set_nodelay(true);
        let stream: Box<dyn Wire> = match tls.filter(|_| collector.tls) {
            None => Box::new(stream),
            Some(tls) => {
                let name = ServerName::try_from(host.to_owned()).map_err(|e| format!("{host}: {e}"))?;
                let mut config = (**tls.config()).clone();
                config.alpn_protocols = vec![if collector.grpc { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
                let shaken = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
                Box::new(shaken.map_err(|e| format!("no TLS: {e}"))?)
            }
        };
        let io = TokioIo::new(stream);
        let failed = |e: hyper::Error| format!("no connection: {e}");
        // What ends a connection is seen by the exchange on it.
        let sender = if collector.grpc {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.map_err(failed)?;
            tokio::spawn(connection);
            Sender::Http2(sender)
        } else {
            let (sender, connection) = http1::handshake(io).await.map_err(failed)?;
            tokio::spawn(connection);
            Sender::Http1(sender)
        };
        Ok(Link { sender, _known: known })
    }

    /// Whether the other end has not closed it, as far as is known.
    pub(super) fn is_open(&self) -> bool {
        match &self.sender {
            Sender::Http1(s) => !s.is_closed(),
            Sender::Http2(s) => !s.is_closed(),
        }
    }

    /// Sends a request and judges the answer.
    pub(super) async fn exchange(&mut self, request: Request<Body>, grpc: bool) -> Outcome {
        let answered = async {
            let response = match &mut self.sender {
                Sender::Http1(s) => {
                    s.ready().await?;
                    s.send_request(request).await?
                }
                Sender::Http2(s) => {
                    s.ready().await?;
                    s.send_request(request).await?
                }
            };
            Ok::<_, hyper::Error>(response)
        };
        match answered.await {
            Ok(response) => judge(response, grpc).await,
            Err(e) => Outcome::Again { after: None, why: format!("the connection broke: {e}") },
        }
    }
}

async fn judge(response: Response<Incoming>, grpc: bool) -> Outcome {
    let (head, body) = response.into_parts();
    // Read to its end, so that the connection can be used again.
    let body = match Limited::new(body, ANSWER).collect().await {
        Ok(body) => body,
        Err(e) => return Outcome::Again { after: None, why: format!("the answer broke off: {e}") },
    };
    match grpc {
        false => answer::http(head.status, &head.headers),
        true => answer::grpc(head.status, body.trailers().unwrap_or(&head.headers)),
    }
}

/// The request as the collector expects it: the sender's headers, the message unchanged and not packed.
pub(super) fn request(
    collector: &Collector,
    signal: Signal,
    encoding: Encoding,
    headers: &HeaderMap,
    message: Bytes,
) -> Result<Request<Body>, String> {
    let (path, media, body) = match collector.grpc {
        true => (signal.service().to_owned(), "application/grpc", framed(&message)),
        false => (format!("{}{}", collector.prefix, signal.path()), encoding.media(), message),
    };
    let scheme = if collector.tls { "https" } else { "http" };
    let uri = match collector.grpc {
        true => format!("{scheme}://{}{path}", collector.authority()),
        false => path,
    };
    let mut request = Request::post(uri).body(Full::new(body)).map_err(|e| e.to_string())?;
    let own = request.headers_mut();
    own.extend(headers.iter().map(|(n, v)| (n.clone(), v.clone())));
    own.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    if collector.grpc {
        own.insert(header::TE, HeaderValue::from_static("trailers"));
    } else {
        own.insert(header::HOST, HeaderValue::from_str(&collector.authority()).map_err(|e| e.to_string())?);
    }
    Ok(request)
}

/// A message as gRPC frames it: not compressed.
fn framed(message: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(message.len() + 5);
    out.put_u8(0);
    out.put_u32(message.len() as u32);
    out.extend_from_slice(message);
    out.freeze()
}
