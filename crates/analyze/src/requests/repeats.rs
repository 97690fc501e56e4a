//! One kind of statement, asked again and again in a row where one could have asked for all: "N+1 queries".

use super::{Seen, by_connection};

/// Requests with the same key, one behind the other on a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeat {
    /// The connection.
    pub connection: u64,
    /// The key.
    pub key: String,
    /// Their places among the requests, in order.
    pub members: Vec<usize>,
    /// Nanoseconds from the first byte of the first to the last of the last.
    pub took: u64,
    /// Nanoseconds of that in which none was under way: what the client did between, and the way to it and back.
    pub between: u64,
    /// The request that the client was answering all the while; its place among the parents.
    pub parent: Option<usize>,
    /// The client was answering another as well: which of them asked is a guess.
    pub inferred: bool,
}

/// Runs of at least `least` requests to databases with the same key, each begun when the last was answered and at most
/// `apart` nanoseconds behind it, and all within one of `parents` where any is known of the client. Parents are requests that
/// the client answers: their server has the number that the repeats have for a client.
pub fn repeats(seen: &[Seen<'_>], parents: &[Seen<'_>], least: usize, apart: u64) -> Vec<Repeat> {
    let mut out = Vec::new();
    for connection in by_connection(seen) {
        let asks: Vec<_> = connection.into_iter().filter(|(_, s)| s.of_database() && !s.opens()).collect();
        let follows = |a: &(usize, &Seen<'_>), b: &(usize, &Seen<'_>)| {
            let idle = b.1.span().0 - a.1.span().1;
            a.1.request.key == b.1.request.key && a.1.answered() && u64::try_from(idle).is_ok_and(|idle| idle <= apart)
        };
        for run in asks.chunk_by(follows) {
            // A run may go over several parents: each has its own part of it.
            let by_parent: Vec<_> = run.iter().map(|(at, s)| (*at, *s, parent_of(s, parents))).collect();
            for part in by_parent.chunk_by(|a, b| a.2.map(|p| p.0) == b.2.map(|p| p.0)) {
                out.extend(repeat(part, least));
            }
        }
    }
    out.sort_by_key(|r| (std::cmp::Reverse(r.members.len()), r.members.first().copied()));
    out
}

/// A request, its place, and what its client was answering.
type Child<'a, 'b> = (usize, &'b Seen<'a>, Option<(usize, bool)>);

fn repeat(part: &[Child<'_, '_>], least: usize) -> Option<Repeat> {
    let ((_, first, parent), (_, last, _)) = (part.first()?, part.last()?);
    if part.len() < least.max(2) {
        return None;
    }
    let took = u64::try_from(last.span().1 - first.span().0).unwrap_or(0);
    let busy = |s: &Seen<'_>| u64::try_from(s.span().1 - s.span().0).unwrap_or(0);
    Some(Repeat {
        connection: first.connection,
        key: first.request.key.clone(),
        members: part.iter().map(|c| c.0).collect(),
        took,
        between: took.saturating_sub(part.iter().map(|c| busy(c.1)).sum()),
        parent: parent.map(|p| p.0),
        inferred: part.iter().any(|c| c.2.is_some_and(|p| p.1)),
    })
}

/// The request that the client of `child` was answering when it asked, the one that began last where there were several;
/// and whether there were.
fn parent_of(child: &Seen<'_>, parents: &[Seen<'_>]) -> Option<(usize, bool)> {
    let (from, to) = child.span();
    let around = |p: &Seen<'_>| p.server == child.client && p.span().0 <= from && (to <= p.span().1 || !p.answered());
    let mut candidates: Vec<_> = parents.iter().enumerate().filter(|(_, p)| around(p)).collect();
    candidates.sort_by_key(|(at, p)| (p.span().0, *at));
    candidates.last().map(|(at, _)| (*at, candidates.len() > 1))
}
