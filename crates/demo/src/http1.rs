//! As much HTTP/1.1 as the shop speaks: requests and responses with a length, on connections that stay open.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, bail};

/// Longest head and longest body that are accepted, in bytes.
const LIMIT: usize = 64 * 1024;

/// A connection, and the bytes read from it that belong to the next message.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

/// A request as the server sees it.
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path without the query.
    pub(crate) path: String,
    /// Query without the question mark; empty when there is none.
    pub(crate) query: String,
    pub(crate) traceparent: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// A response, on either side.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn json(status: u16, body: &serde_json::Value) -> Self {
        Self { status, content_type: "application/json", body: body.to_string().into_bytes() }
    }

    pub(crate) fn text(status: u16, body: impl Into<String>) -> Self {
        Self { status, content_type: "text/plain; version=0.0.4", body: body.into().into_bytes() }
    }
}

impl Request {
    /// Value of a query parameter.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, v)| v)
    }
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// Whether bytes of a further message are already here.
    pub(crate) fn has_more(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// The next request, or `None` when the peer has closed between requests.
    pub(crate) fn read_request(&mut self) -> Result<Option<Request>> {
        loop {
            if let Some(request) = self.parse_request()? {
                return Ok(Some(request));
            }
            if self.fill()? == 0 {
                if self.buffer.is_empty() {
                    return Ok(None);
                }
                bail!("the peer closed within a request");
            }
        }
    }

    /// The next response: status and body.
    pub(crate) fn read_response(&mut self) -> Result<(u16, Vec<u8>)> {
        loop {
            if let Some(response) = self.parse_response()? {
                return Ok(response);
            }
            if self.fill()? == 0 {
                bail!("the peer closed before it answered");
            }
        }
    }

    pub(crate) fn write_response(&mut self, response: &Response) -> Result<()> {
        let mut out = format!(
            "HTTP/1.1 {} {}\r\ncontent-type: {}\r\ncontent-length: {}\r\n\r\n",
            response.status,
            reason(response.status),
            response.content_type,
            response.body.len()
        )
        .into_bytes();
        out.extend_from_slice(&response.body);
        Ok(self.stream.write_all(&out)?)
    }

    fn fill(&mut self) -> Result<usize> {
        let mut piece = [0; 8192];
        let read = self.stream.read(&mut piece)?;
        self.buffer.extend_from_slice(&piece[..read]);
        Ok(read)
    }

    fn parse_request(&mut self) -> Result<Option<Request>> {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut head = httparse::Request::new(&mut headers);
        let httparse::Status::Complete(start) = head.parse(&self.buffer).context("not an HTTP request")? else {
            return self.too_long();
        };
        let target = head.path.unwrap_or("/");
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let (path, query) = (path.to_owned(), query.to_owned());
        let method = head.method.unwrap_or("GET").to_owned();
        let traceparent = header(head.headers, "traceparent").map(str::to_owned);
        let Some(body) = self.take_body(start, length(head.headers)?) else { return Ok(None) };
        Ok(Some(Request { method, path, query, traceparent, body }))
    }

    fn parse_response(&mut self) -> Result<Option<(u16, Vec<u8>)>> {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut head = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(start) = head.parse(&self.buffer).context("not an HTTP response")? else {
            return self.too_long();
        };
        let status = head.code.unwrap_or(0);
        let length = length(head.headers)?;
        Ok(self.take_body(start, length).map(|body| (status, body)))
    }

    fn too_long<T>(&self) -> Result<Option<T>> {
        if self.buffer.len() > LIMIT {
            bail!("a head of more than {LIMIT} bytes");
        }
        Ok(None)
    }

    /// Cuts the message that ends `length` bytes after `start` off the buffer, if all of it is here.
    fn take_body(&mut self, start: usize, length: usize) -> Option<Vec<u8>> {
        let body = self.buffer.get(start..start + length)?.to_vec();
        self.buffer.drain(..start + length);
        Some(body)
    }
}

fn header<'a>(headers: &[httparse::Header<'a>], name: &str) -> Option<&'a str> {
    let value = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?.value;
    std::str::from_utf8(value).ok()
}

fn length(headers: &[httparse::Header<'_>]) -> Result<usize> {
    let length = match header(headers, "content-length") {
        Some(text) => text.trim().parse().context("a content-length that is not a number")?,
        None => 0,
    };
    if length > LIMIT {
        bail!("a body of more than {LIMIT} bytes");
    }
    Ok(length)
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        400 => "Bad Request",
        404 => "Not Found",
        409 => "Conflict",
        502 => "Bad Gateway",
        _ => "Internal Server Error",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn two_requests_written_at_once_are_read_one_after_the_other() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client
            .write_all(
                b"POST /order?a=1 HTTP/1.1\r\nContent-Length: 2\r\ntraceparent: t\r\n\r\nhiGET /x HTTP/1.1\r\n\r\n",
            )
            .unwrap();
        drop(client);
        let mut server = Connection::new(listener.accept().unwrap().0);
        let first = server.read_request().unwrap().unwrap();
        assert_eq!((first.method.as_str(), first.path.as_str(), first.parameter("a")), ("POST", "/order", Some("1")));
        assert_eq!((first.body.as_slice(), first.traceparent.as_deref()), (&b"hi"[..], Some("t")));
        assert_eq!(server.read_request().unwrap().unwrap().path, "/x");
        assert!(server.read_request().unwrap().is_none());
    }

    #[test]
    fn an_absurd_length_is_refused_before_anything_is_kept() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.write_all(b"POST / HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n").unwrap();
        let mut server = Connection::new(listener.accept().unwrap().0);
        assert!(server.read_request().is_err());
    }
}
