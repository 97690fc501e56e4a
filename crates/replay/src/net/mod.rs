//! One connection to a receiver, over HTTP/1.1 or HTTP/2, and one exchange on it.

use std::io;
use std::net::ToSocketAddrs;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::{http1, http2};
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

pub(crate) mod retry;

/// An answer is a few bytes, or a few words.
const ANSWER: usize = 1 << 20;

pub(crate) type Body = Full<Bytes>;

/// Where to connect.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: bool,
    pub(crate) http2: bool,
}

impl Address {
    /// Whether somebody listens there, seen by a connection that is closed again.
    pub(crate) fn check(&self) -> io::Result<()> {
        let mut last = io::Error::other("the name has no address");
        for address in (self.host.as_str(), self.port).to_socket_addrs()? {
            match std::net::TcpStream::connect_timeout(&address, Duration::from_secs(5)) {
                Ok(_) => return Ok(()),
                Err(e) => last = e,
            }
        }
        Err(last)
    }
}

/// What a receiver answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) trailers: Option<HeaderMap>,
    pub(crate) body: Bytes,
}

trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// A connection.
pub(crate) enum Link {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

/// Trusts what the host trusts (`SSL_CERT_FILE` and `SSL_CERT_DIR` count).
pub(crate) fn connector() -> io::Result<TlsConnector> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (taken, _) = roots.add_parsable_certificates(found.certs);
    if taken == 0 {
        return Err(io::Error::other("no root certificates on this host to know a receiver by (SSL_CERT_FILE)"));
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
    pub(crate) async fn open(to: &Address, tls: Option<&TlsConnector>) -> Result<Link, String> {
        let connected = tokio::net::TcpStream::connect((to.host.as_str(), to.port)).await;
        let stream = connected.map_err(|e| format!("no connection: {e}"))?;
        // Requests are whole messages: waiting to fill a segment only delays them.
        let _ = stream.set_nodelay(true);
        let stream: Box<dyn Wire> = match tls.filter(|_| to.tls) {
            None => Box::new(stream),
            Some(tls) => {
                let name = ServerName::try_from(to.host.clone()).map_err(|e| format!("{}: {e}", to.host))?;
                let mut config = (**tls.config()).clone();
                config.alpn_protocols = vec![if to.http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
                let shaken = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
                Box::new(shaken.map_err(|e| format!("no TLS: {e}"))?)
            }
        };
        let failed = |e: hyper::Error| format!("no connection: {e}");
        let io = TokioIo::new(stream);
        // What ends a connection is seen by the exchange on it.
        Ok(match to.http2 {
            true => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.map_err(failed)?;
                tokio::spawn(connection);
                Link::Http2(sender)
            }
            false => {
                let (sender, connection) = http1::handshake(io).await.map_err(failed)?;
                tokio::spawn(connection);
                Link::Http1(sender)
            }
        })
    }

    /// Whether the other end has not closed it, as far as is known.
    pub(crate) fn is_open(&self) -> bool {
        match self {
            Link::Http1(s) => !s.is_closed(),
            Link::Http2(s) => !s.is_closed(),
        }
    }

    /// Sends a request and reads the answer to its end, so that the connection can be used again.
    pub(crate) async fn exchange(&mut self, request: Request<Body>) -> Result<Answer, String> {
        let broke = |e: hyper::Error| format!("the connection broke: {e}");
        let response = match self {
            Link::Http1(s) => {
                s.ready().await.map_err(broke)?;
                s.send_request(request).await.map_err(broke)?
            }
            Link::Http2(s) => {
                s.ready().await.map_err(broke)?;
                s.send_request(request).await.map_err(broke)?
            }
        };
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER).collect().await.map_err(|e| format!("the answer broke off: {e}"))?;
        let trailers = body.trailers().cloned();
        Ok(Answer { status: head.status, headers: head.headers, trailers, body: body.to_bytes() })
    }
}
