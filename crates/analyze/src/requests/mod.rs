//! What requests seen in packets say together: pure functions over requests with the connections that carried them.
//!
//! Times are those of the wire: from the last byte of a request to the last of its answer. Requests that are not whole
//! are counted and their times left out.

pub mod fingerprints;
pub mod pool;
pub mod repeats;
pub mod transactions;

use coldcase_decode::request::{Outcome, Protocol, Request};

/// A request with its connection and the ends of it.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// What was exchanged.
    pub request: &'a Request,
    /// Number of the connection in its recording.
    pub connection: u64,
    /// Number of who asked: a process, or an address where that is all that is known.
    pub client: u64,
    /// Number of who was asked: a service.
    pub server: u64,
}

impl Seen<'_> {
    /// Nanoseconds from the last byte of the request to the last of the answer; `None` where one is not known.
    pub fn time(&self) -> Option<u64> {
        let sent = self.request.sent.unwrap_or(self.request.start);
        u64::try_from(self.request.end?.time - sent.time).ok()
    }

    /// It was answered, well or with an error.
    pub fn answered(&self) -> bool {
        matches!(self.request.outcome, Outcome::Ok | Outcome::Error)
    }

    /// From first to last byte, in UTC nanoseconds: what is known of when it was under way.
    pub fn span(&self) -> (i64, i64) {
        let r = self.request;
        let last = [Some(r.start), r.sent, r.first, r.end].into_iter().flatten().map(|s| s.time).max();
        (r.start.time, last.unwrap_or(r.start.time))
    }

    /// It opens a connection to a database, or makes it safe; it asks for nothing yet.
    pub fn opens(&self) -> bool {
        matches!(
            (self.request.protocol, self.request.key.as_str()),
            (Protocol::Postgres, "startup" | "ssl-request" | "gss-request")
                | (Protocol::Mysql, "connect" | "ssl-request")
        )
    }

    /// Its protocol is that of a database.
    pub fn of_database(&self) -> bool {
        matches!(
            self.request.protocol,
            Protocol::Postgres | Protocol::Mysql | Protocol::Redis | Protocol::Mongo | Protocol::Kafka
        )
    }
}

/// The requests by connection, each connection's in the order in which they began.
fn by_connection<'a, 'b>(seen: &'b [Seen<'a>]) -> Vec<Vec<(usize, &'b Seen<'a>)>> {
    let mut order: Vec<_> = seen.iter().enumerate().collect();
    order.sort_by_key(|(at, s)| (s.connection, s.request.start, *at));
    let same = |a: &(usize, &Seen<'_>), b: &(usize, &Seen<'_>)| a.1.connection == b.1.connection;
    order.chunk_by(same).map(<[_]>::to_vec).collect()
}

#[cfg(test)]
mod tests;
