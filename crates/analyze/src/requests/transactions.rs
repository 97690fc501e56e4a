//! Connections that are in a transaction and say nothing: what they have locked stays so.

use coldcase_decode::request::Transaction;

use super::{Seen, by_connection};

/// A time in which a connection was in a transaction and no request was under way on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Idle {
    /// The connection.
    pub connection: u64,
    /// The request behind whose answer it was idle: its place among the requests.
    pub behind: usize,
    /// The request that ended it; `None` where none came before the connection or the recording ended.
    pub before: Option<usize>,
    /// UTC nanoseconds of the last byte of the answer.
    pub from: i64,
    /// Nanoseconds until the next request, or until `until` where there is none.
    pub time: u64,
    /// The transaction had failed: it waited for its rollback.
    pub failed: bool,
}

/// The idle times of at least `least` nanoseconds, longest first; `until` is when the recording ended.
pub fn idle(seen: &[Seen<'_>], until: i64, least: u64) -> Vec<Idle> {
    let mut out = Vec::new();
    for connection in by_connection(seen) {
        // The latest end so far: requests that were sent together are answered one behind the other.
        for (i, &(at, s)) in connection.iter().enumerate() {
            let (Some(end), Some(state @ (Transaction::Open | Transaction::Failed))) =
                (s.request.end, s.request.transaction)
            else {
                continue;
            };
            let next = connection.get(i + 1);
            let to = next.map_or(until, |(_, n)| n.request.start.time);
            let Some(time) = u64::try_from(to - end.time).ok().filter(|&t| t >= least) else { continue };
            out.push(Idle {
                connection: s.connection,
                behind: at,
                before: next.map(|n| n.0),
                from: end.time,
                time,
                failed: state == Transaction::Failed,
            });
        }
    }
    out.sort_by_key(|i| (std::cmp::Reverse(i.time), i.behind));
    out
}
