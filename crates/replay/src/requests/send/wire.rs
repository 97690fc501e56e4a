//! Bodies, and one connection of the client.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::plan::FILLER;

/// Filler is sent in pieces of this size.
const PIECE: usize = 64 << 10;

/// A body of known bytes, or of filler. In chunks its length is not told.
#[derive(Debug)]
pub(super) struct Payload {
    left: Left,
    chunked: bool,
}

#[derive(Debug)]
enum Left {
    Bytes(Bytes),
    Filler(u64),
}

impl Payload {
    pub(super) fn none() -> Payload {
        Payload::of(Bytes::new(), false)
    }

    pub(super) fn of(bytes: Bytes, chunked: bool) -> Payload {
        Payload { left: Left::Bytes(bytes), chunked }
    }

    pub(super) fn filler(n: u64, chunked: bool) -> Payload {
        Payload { left: Left::Filler(n), chunked }
    }

    fn len(&self) -> u64 {
        match &self.left {
            Left::Bytes(bytes) => bytes.len() as u64,
            Left::Filler(n) => *n,
        }
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let piece = match &mut self.get_mut().left {
            Left::Bytes(bytes) => std::mem::take(bytes),
            Left::Filler(n) => {
                let take = (*n).min(PIECE as u64);
                *n -= take;
                Bytes::from(vec![FILLER; take as usize])
            }
        };
        Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        // An empty body in chunks is still one in chunks.
        !self.chunked && self.len() == 0
    }

    fn size_hint(&self) -> SizeHint {
        if self.chunked { SizeHint::default() } else { SizeHint::with_exact(self.len()) }
    }
}

/// What went wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trouble {
    Connect,
    Refused,
    TimedOut,
    Closed,
    Answer,
}

impl Trouble {
    pub(super) fn words(self) -> &'static str {
        match self {
            Trouble::Connect => "no connection",
            Trouble::Refused => "connection refused",
            Trouble::TimedOut => "no whole answer in time",
            Trouble::Closed => "connection closed before the whole answer",
            Trouble::Answer => "the answer is not HTTP/1",
        }
    }
}

/// A connection of the client, which is opened again when the server closed it.
pub(super) struct Wire {
    to: Arc<[SocketAddr]>,
    timeout: Duration,
    sender: Option<SendRequest<Payload>>,
    /// Connections that were opened.
    pub(super) opened: u64,
}

impl Wire {
    pub(super) fn new(to: Arc<[SocketAddr]>, timeout: Duration) -> Wire {
        Wire { to, timeout, sender: None, opened: 0 }
    }

    /// Opens the connection, if it is not open.
    pub(super) async fn open(&mut self) -> Result<&mut SendRequest<Payload>, Trouble> {
        let usable = match &mut self.sender {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        if !usable {
            self.sender = None;
            let connect = tokio::time::timeout(self.timeout, TcpStream::connect(&self.to[..]));
            let stream = connect.await.map_err(|_| Trouble::Connect)?.map_err(|e| match e.kind() {
                std::io::ErrorKind::ConnectionRefused => Trouble::Refused,
                _ => Trouble::Connect,
            })?;
            // Requests go out as they are, not when the one before is acknowledged.
            stream.set_nodelay(true).map_err(|_| Trouble::Connect)?;
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|_| Trouble::Connect)?;
            // How it ended is seen at the request that it ends.
            tokio::spawn(async move { drop(connection.await) });
            self.opened += 1;
            self.sender = Some(sender);
        }
        self.sender.as_mut().ok_or(Trouble::Connect)
    }

    /// Sends a request and reads its whole answer; gives the status.
    pub(super) async fn send(&mut self, request: Request<Payload>) -> Result<u16, Trouble> {
        let timeout = self.timeout;
        let sender = self.open().await?;
        let answer = async {
            let response = sender.send_request(request).await.map_err(|e| trouble(&e))?;
            let status = response.status().as_u16();
            drain(response).await.map(|()| status)
        };
        let answer = tokio::time::timeout(timeout, answer).await.unwrap_or(Err(Trouble::TimedOut));
        if answer.is_err() {
            self.sender = None;
        }
        answer
    }
}

async fn drain(response: Response<hyper::body::Incoming>) -> Result<(), Trouble> {
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        frame.map_err(|e| trouble(&e))?;
    }
    Ok(())
}

fn trouble(e: &hyper::Error) -> Trouble {
    if e.is_parse() { Trouble::Answer } else { Trouble::Closed }
}
