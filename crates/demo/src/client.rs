//! An HTTP client that keeps one connection open and opens it again when it has broken.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::http1::Connection;

/// One connection to one peer.
pub(crate) struct Client {
    peer: SocketAddr,
    connection: Option<Connection>,
}

impl Client {
    pub(crate) fn new(peer: SocketAddr) -> Self {
        Self { peer, connection: None }
    }

    /// Sends a request and waits for the answer. `headers` are whole lines, each with its line end.
    /// After an error the next call connects again; nothing is sent twice.
    pub(crate) fn send(&mut self, method: &str, target: &str, headers: &str, body: &[u8]) -> Result<(u16, Vec<u8>)> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let mut message = format!(
            "{method} {target} HTTP/1.1\r\nhost: {}\r\n{headers}content-length: {}\r\n\r\n",
            self.peer,
            body.len()
        )
        .into_bytes();
        message.extend_from_slice(body);
        connection.stream.write_all(&message).context("cannot send the request")?;
        let answer = connection.read_response().context("cannot read the answer")?;
        self.connection = Some(connection);
        Ok(answer)
    }

    fn connect(&self) -> Result<Connection> {
        let limit = Duration::from_secs(5);
        let stream = TcpStream::connect_timeout(&self.peer, limit)
            .with_context(|| format!("cannot connect to {}", self.peer))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.set_write_timeout(Some(limit))?;
        Ok(Connection::new(stream))
    }
}
