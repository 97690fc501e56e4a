//! One HTTP request to a Prometheus target, over a connection that the packets source knows as the recorder's own.

use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header;
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::credentials::{Credentials, basic};
use crate::dial::{Known, connect};
use crate::source::Own;

/// Bytes of a page at most, after decompression.
const LIMIT: usize = 32 << 20;

/// An address to scrape, taken apart.
#[derive(Debug, Clone)]
pub(super) struct Address {
    /// `http://host:port/path` or `https://…`, without credentials.
    pub(super) shown: String,
    host: String,
    port: u16,
    path: String,
    authority: String,
    tls: bool,
    credentials: Option<String>,
}

/// What all targets are fetched with.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) own: Own,
    pub(super) tls: TlsConnector,
    pub(super) credentials: Credentials,
    /// Whether protobuf may be asked for: who judges pages while they come reads text only.
    pub(super) protobuf: bool,
}

/// A page as it came.
pub(super) struct Page {
    pub(super) bytes: Vec<u8>,
    pub(super) content_type: String,
    pub(super) compression: &'static str,
}

/// What came of a scrape.
pub(super) struct Fetched {
    /// Who was asked, once there was a connection.
    pub(super) peer: Option<SocketAddr>,
    pub(super) page: Result<Page, Miss>,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub(super) enum Miss {
    #[error("no connection: {0}")]
    Connect(#[source] io::Error),
    #[error("no TLS: {0}")]
    Tls(#[source] io::Error),
    #[error("no credentials: {0}")]
    Credentials(String),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("status {0}")]
    Status(u16),
    #[error("{0}")]
    Page(String),
    #[error("no answer within {0:?}")]
    Late(Duration),
}

impl Miss {
    /// The HTTP status, 0 when there was none.
    pub(super) fn status(&self) -> u32 {
        match self {
            Miss::Status(status) => u32::from(*status),
            _ => 0,
        }
    }
}

impl Address {
    /// Takes a URL apart; the error is for people.
    pub(super) fn parse(url: &str) -> Result<Address, String> {
        let uri: Uri = url.parse().map_err(|e| format!("{url}: {e}"))?;
        let authority = uri.authority().ok_or_else(|| format!("{url}: no host"))?;
        let tls = uri.scheme_str() == Some("https");
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let host = authority.host().to_owned();
        let bare = match authority.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.clone(),
        };
        let path = uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
        let user = authority.as_str().rsplit_once('@').map(|(user, _)| user);
        let shown = format!("{}://{bare}{path}", if tls { "https" } else { "http" });
        Ok(Address { shown, host, port, path, authority: bare, tls, credentials: user.map(basic) })
    }

    pub(super) async fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((self.bare_host(), self.port)).await?.collect())
    }

    /// Fetches the page, from the one of its addresses that is `at` where that is given.
    pub(super) async fn fetch(&self, client: &Client, at: Option<IpAddr>, timeout: Duration) -> Fetched {
        let mut peer = None;
        let page = tokio::time::timeout(timeout, self.get(client, at, timeout, &mut peer)).await;
        Fetched { peer, page: page.unwrap_or(Err(Miss::Late(timeout))) }
    }

    async fn get(
        &self,
        client: &Client,
        at: Option<IpAddr>,
        timeout: Duration,
        peer: &mut Option<SocketAddr>,
    ) -> Result<Page, Miss> {
        let request = self.request(client, timeout)?;
        let (stream, _known, remote) = self.connect(&client.own, at).await.map_err(Miss::Connect)?;
        *peer = Some(remote);
        if !self.tls {
            return exchange(stream, request).await;
        }
        let name = ServerName::try_from(self.bare_host().to_owned()).map_err(|e| Miss::Tls(io::Error::other(e)))?;
        exchange(client.tls.connect(name, stream).await.map_err(Miss::Tls)?, request).await
    }

    fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    fn request(&self, client: &Client, timeout: Duration) -> Result<Request<Empty<Bytes>>, Miss> {
        let mut request = Request::get(&self.path)
            .header(header::HOST, &self.authority)
            .header(header::USER_AGENT, concat!("coldcase/", env!("CARGO_PKG_VERSION")))
            .header(header::ACCEPT, if client.protobuf { ACCEPT } else { ACCEPT_TEXT })
            .header(header::CONNECTION, "close")
            .header("x-prometheus-scrape-timeout-seconds", timeout.as_secs_f64().to_string());
        let credentials = match &self.credentials {
            Some(own) => Some(own.clone()),
            None => client.credentials.header().map_err(Miss::Credentials)?,
        };
        if let Some(credentials) = credentials {
            request = request.header(header::AUTHORIZATION, credentials);
        }
        request.body(Empty::new()).map_err(|e| Miss::Page(e.to_string()))
    }

    /// Connects from a port that was made known before the first packet leaves.
    async fn connect(&self, own: &Own, at: Option<IpAddr>) -> io::Result<(TcpStream, Known, SocketAddr)> {
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        let addresses = match at {
            Some(ip) => vec![SocketAddr::new(ip, self.port)],
            None => self.resolve().await?,
        };
        for remote in addresses {
            match connect(remote, own).await {
                Ok((stream, known)) => return Ok((stream, known, remote)),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}

/// As Prometheus sends it where it takes native histograms: only protobuf carries them.
const ACCEPT: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,\
                      application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,\
                      text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
/// As Prometheus sends it elsewhere.
const ACCEPT_TEXT: &str = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                           text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

/// One request and its answer over a connection.
async fn exchange<S>(stream: S, request: Request<Empty<Bytes>>) -> Result<Page, Miss>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        let (head, body) = response.into_parts();
        if head.status != hyper::StatusCode::OK {
            return Err(Miss::Status(head.status.as_u16()));
        }
        let text = |name| head.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
        let body = Limited::new(body, LIMIT).collect().await.map_err(|e| Miss::Page(e.to_string()))?;
        Ok((body.to_bytes(), text(header::CONTENT_TYPE), text(header::CONTENT_ENCODING)))
    };
    let mut exchange = std::pin::pin!(exchange);
    let mut connection = std::pin::pin!(connection);
    let (bytes, content_type, encoding) = tokio::select! {
        biased;
        done = &mut exchange => done?,
        // A server that closes at the end of its answer ends the connection first.
        closed = &mut connection => { closed?; exchange.await? }
    };
    let (bytes, compression) = match encoding.as_str() {
        "" | "identity" => (bytes.to_vec(), ""),
        "gzip" => (gunzip(&bytes)?, "gzip"),
        other => return Err(Miss::Page(format!("content encoding {other:?} was not asked for"))),
    };
    Ok(Page { bytes, content_type, compression })
}

fn gunzip(bytes: &[u8]) -> Result<Vec<u8>, Miss> {
    let mut out = Vec::new();
    let read = flate2::read::MultiGzDecoder::new(bytes).take(LIMIT as u64 + 1).read_to_end(&mut out);
    match read {
        Ok(_) if out.len() <= LIMIT => Ok(out),
        Ok(_) => Err(Miss::Page(format!("a page of more than {LIMIT} bytes"))),
        Err(error) => Err(Miss::Page(format!("not gzip: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn credentials_are_sent_and_not_shown() {
        let a = Address::parse("http://me:secret@host:9100/metrics?x=1").unwrap();
        assert_eq!(a.shown, "http://host:9100/metrics?x=1");
        assert_eq!((a.host.as_str(), a.port, a.credentials.as_deref()), ("host", 9100, Some("Basic bWU6c2VjcmV0")));
        let a = Address::parse("http://[::1]/metrics").unwrap();
        assert_eq!((a.shown.as_str(), a.port), ("http://[::1]/metrics", 80));
        let a = Address::parse("https://me:secret@host/m").unwrap();
        assert_eq!((a.shown.as_str(), a.port, a.tls), ("https://host/m", 443, true));
    }
}
