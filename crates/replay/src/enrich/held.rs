//! The rows of late, by the thread or the connection that they are of.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use coldcase_analyze::waits::Wait;

/// Rows that are held, at most.
const HELD: usize = 100_000;

/// Whose a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Of {
    Thread(u32),
    /// The lesser end first.
    Connection(SocketAddr, SocketAddr),
}

impl Of {
    pub(super) fn connection(a: SocketAddr, b: SocketAddr) -> Of {
        // A socket of IPv6 may carry IPv4.
        let plain = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
        let (a, b) = (plain(a), plain(b));
        Of::Connection(a.min(b), a.max(b))
    }
}

/// A row.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) stream: Arc<str>,
    pub(super) row: u64,
    /// As `timeline` prints it.
    pub(super) text: String,
    /// Of time off the CPU, why.
    pub(super) wait: Option<Wait>,
    /// Segments that were sent again.
    pub(super) segments: u64,
    /// Whether a span has it already.
    pub(super) given: bool,
}

#[derive(Debug)]
pub(super) struct Held {
    rows: HashMap<Of, Rows>,
    /// Whose the rows are, the oldest first.
    order: VecDeque<Of>,
    most: usize,
    /// When the last row began that was let go.
    gone: Option<i64>,
}

#[derive(Debug, Default)]
struct Rows {
    rows: VecDeque<Seen>,
    /// None was longer.
    longest: i64,
}

impl Default for Held {
    fn default() -> Held {
        Held::of(HELD)
    }
}

impl Held {
    pub(super) fn of(most: usize) -> Held {
        Held { rows: HashMap::new(), order: VecDeque::new(), most, gone: None }
    }

    /// Adds a row, in the order of beginnings. One that is there already (it was gone back in time) is as if it were new.
    pub(super) fn add(&mut self, of: Of, seen: Seen) {
        let rows = self.rows.entry(of).or_default();
        let at = rows.rows.partition_point(|r| r.start < seen.start);
        let known = rows.rows.range_mut(at..).find(|r| r.row == seen.row && r.stream == seen.stream);
        if let Some(known) = known {
            known.given = false;
            return;
        }
        rows.longest = rows.longest.max(seen.end.saturating_sub(seen.start));
        let at = rows.rows.partition_point(|r| r.start <= seen.start);
        rows.rows.insert(at, seen);
        self.order.push_back(of);
        if self.order.len() > self.most {
            self.let_go();
        }
    }

    fn let_go(&mut self) {
        let Some(of) = self.order.pop_front() else { return };
        let Some(rows) = self.rows.get_mut(&of) else { return };
        let gone = rows.rows.pop_front();
        self.gone = self.gone.max(gone.map(|r| r.start));
        if rows.rows.is_empty() {
            self.rows.remove(&of);
        }
    }

    /// Whether rows may have been let go that began at this time or later.
    pub(super) fn is_beyond(&self, start: i64) -> bool {
        self.gone.is_some_and(|gone| start <= gone)
    }

    /// Hands on the rows that touch a stretch of time, and notes those that became an event.
    pub(super) fn each(&mut self, of: Of, from: i64, to: i64, mut take: impl FnMut(&Seen) -> bool) {
        let Some(rows) = self.rows.get_mut(&of) else { return };
        let first = from.saturating_sub(rows.longest);
        let begin = rows.rows.partition_point(|r| r.start < first);
        let end = rows.rows.partition_point(|r| r.start <= to);
        for row in rows.rows.range_mut(begin..end.max(begin)).filter(|r| r.end >= from) {
            if take(row) {
                row.given = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(start: i64, end: i64, row: u64) -> Seen {
        let stream = Arc::from("kernel.block");
        Seen { start, end, stream, row, text: String::new(), wait: None, segments: 0, given: false }
    }

    fn rows(held: &mut Held, of: Of, from: i64, to: i64) -> Vec<(u64, bool)> {
        let mut out = Vec::new();
        held.each(of, from, to, |r| {
            out.push((r.row, r.given));
            true
        });
        out
    }

    #[test]
    fn rows_that_touch_are_found_and_given_once() {
        let mut held = Held::of(10);
        for (start, end, row) in [(0, 100, 0), (10, 12, 1), (20, 20, 2), (50, 60, 3)] {
            held.add(Of::Thread(7), seen(start, end, row));
        }
        assert_eq!(rows(&mut held, Of::Thread(7), 15, 30), [(0, false), (2, false)]);
        assert_eq!(rows(&mut held, Of::Thread(7), 12, 60), [(0, true), (1, false), (2, true), (3, false)]);
        assert_eq!(rows(&mut held, Of::Thread(8), 0, 100), []);
    }

    #[test]
    fn the_oldest_are_let_go_and_that_is_known() {
        let mut held = Held::of(3);
        for n in 0..6 {
            held.add(Of::Thread(n as u32 % 2), seen(n * 10, n * 10 + 1, n as u64));
        }
        let all = [Of::Thread(0), Of::Thread(1)].map(|of| rows(&mut held, of, 0, 100).len());
        assert_eq!((all, held.is_beyond(20), held.is_beyond(21)), ([1, 2], true, false));
    }

    #[test]
    fn gone_back_in_time_a_row_is_there_once_and_can_be_given_again() {
        let mut held = Held::of(10);
        held.add(Of::Thread(7), seen(0, 1, 0));
        held.add(Of::Thread(7), seen(5, 6, 1));
        assert_eq!(rows(&mut held, Of::Thread(7), 0, 10).len(), 2);
        held.add(Of::Thread(7), seen(0, 1, 0));
        assert_eq!(rows(&mut held, Of::Thread(7), 0, 10), [(0, false), (1, true)]);
    }

    #[test]
    fn a_connection_is_the_same_from_both_ends_and_in_both_families() {
        let end = |text: &str| text.parse::<SocketAddr>().unwrap_or_else(|e| panic!("{text}: {e}"));
        let (a, b) = (end("10.0.0.1:80"), end("10.0.0.2:5000"));
        assert_eq!(Of::connection(a, b), Of::connection(b, end("[::ffff:10.0.0.1]:80")));
    }
}
