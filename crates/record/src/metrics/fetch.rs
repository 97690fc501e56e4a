//! One HTTP request to a Prometheus target, over a connection that the packets source knows as the recorder's own.

use std::io::{self, Read};
use std::time::Duration;

use base64::Engine;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header;
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;

use crate::dial;
use crate::source::Own;

/// Bytes of a page at most, after decompression.
const LIMIT: usize = 32 << 20;

/// An address to scrape, taken apart.
#[derive(Debug, Clone)]
pub(super) struct Address {
    /// `http://host:port/path`, without credentials.
    pub(super) shown: String,
    host: String,
    port: u16,
    path: String,
    authority: String,
    credentials: Option<String>,
}

/// A page as it came.
pub(super) struct Page {
    pub(super) bytes: Vec<u8>,
    pub(super) content_type: String,
    pub(super) compression: &'static str,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub(super) enum Miss {
    #[error("no connection: {0}")]
    Connect(#[source] io::Error),
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
        let port = authority.port_u16().unwrap_or(80);
        let host = authority.host().to_owned();
        let bare = match authority.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.clone(),
        };
        let path = uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
        let user = authority.as_str().rsplit_once('@').map(|(user, _)| user);
        let credentials = user.map(|u| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(u)));
        Ok(Address { shown: format!("http://{bare}{path}"), host, port, path, authority: bare, credentials })
    }

    /// Fetches the page.
    pub(super) async fn fetch(&self, own: &Own, timeout: Duration) -> Result<Page, Miss> {
        tokio::time::timeout(timeout, self.get(own, timeout)).await.unwrap_or(Err(Miss::Late(timeout)))
    }

    async fn get(&self, own: &Own, timeout: Duration) -> Result<Page, Miss> {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let (stream, _known) = dial::dial(host, self.port, own).await.map_err(Miss::Connect)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let request = self.request(timeout)?;
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

    fn request(&self, timeout: Duration) -> Result<Request<Empty<Bytes>>, Miss> {
        let mut request = Request::get(&self.path)
            .header(header::HOST, &self.authority)
            .header(header::USER_AGENT, concat!("coldcase/", env!("CARGO_PKG_VERSION")))
            .header(header::ACCEPT, ACCEPT)
            .header(header::CONNECTION, "close")
            .header("x-prometheus-scrape-timeout-seconds", timeout.as_secs_f64().to_string());
        if let Some(credentials) = &self.credentials {
            request = request.header(header::AUTHORIZATION, credentials);
        }
        request.body(Empty::new()).map_err(|e| Miss::Page(e.to_string()))
    }
}

const ACCEPT: &str = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

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
    }
}
