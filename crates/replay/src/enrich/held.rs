//! The rows of late, by the thread or the connection that they are of.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use coldcase_analyze::waits::Wait;

/// Rows that are held, at most, and bytes of their lines.
const HELD: (usize, usize) = (100_000, 32 << 20);

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
    bytes: usize,
    most: (usize, usize),
    /// When the last row began that was let go, or that never came.
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
        Held::of(HELD.0, HELD.1)
    }
}

impl Held {
    fn of(rows: usize, bytes: usize) -> Held {
        Held { rows: HashMap::new(), order: VecDeque::new(), bytes: 0, most: (rows, bytes), gone: None }
    }

    /// Nothing, where rows that began before this time do not come.
    pub(super) fn from(start: Option<i64>) -> Held {
        Held { gone: start, ..Held::default() }
    }

    /// Adds a row, in the order of beginnings.
    pub(super) fn add(&mut self, of: Of, seen: Seen) {
        let rows = self.rows.entry(of).or_default();
        rows.longest = rows.longest.max(seen.end.saturating_sub(seen.start));
        self.bytes += seen.text.len();
        let at = rows.rows.partition_point(|r| r.start <= seen.start);
        rows.rows.insert(at, seen);
        self.order.push_back(of);
        while self.order.len() > self.most.0 || self.bytes > self.most.1 {
            self.let_go();
        }
    }

    fn let_go(&mut self) {
        let Some(of) = self.order.pop_front() else { return };
        let Some(rows) = self.rows.get_mut(&of) else { return };
        if let Some(gone) = rows.rows.pop_front() {
            self.bytes -= gone.text.len();
            self.gone = self.gone.max(Some(gone.start));
        }
        if rows.rows.is_empty() {
            self.rows.remove(&of);
        }
    }

    /// Whether rows may have been let go that began at this time or later.
    pub(super) fn is_beyond(&self, start: i64) -> bool {
        self.gone.is_some_and(|gone| start <= gone)
    }

    /// The rows that touch a stretch of time.
    pub(super) fn between(&mut self, of: Of, from: i64, to: i64) -> impl Iterator<Item = &mut Seen> {
        let rows = self.rows.get_mut(&of).into_iter();
        rows.flat_map(move |rows| {
            let first = from.saturating_sub(rows.longest);
            let begin = rows.rows.partition_point(|r| r.start < first);
            let end = rows.rows.partition_point(|r| r.start <= to);
            rows.rows.range_mut(begin..end.max(begin)).filter(move |r| r.end >= from)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(start: i64, end: i64, row: u64) -> Seen {
        let stream = Arc::from("kernel.block");
        Seen { start, end, stream, row, text: String::new(), wait: None, segments: 0, given: false }
    }

    fn rows(held: &mut Held, of: Of, from: i64, to: i64) -> Vec<u64> {
        held.between(of, from, to).map(|r| r.row).collect()
    }

    #[test]
    fn rows_that_touch_are_found() {
        let mut held = Held::of(10, 1_000);
        for (start, end, row) in [(0, 100, 0), (10, 12, 1), (20, 20, 2), (50, 60, 3)] {
            held.add(Of::Thread(7), seen(start, end, row));
        }
        assert_eq!(rows(&mut held, Of::Thread(7), 15, 30), [0, 2]);
        assert_eq!(rows(&mut held, Of::Thread(7), 12, 60), [0, 1, 2, 3]);
        assert!(rows(&mut held, Of::Thread(8), 0, 100).is_empty());
    }

    #[test]
    fn the_oldest_are_let_go_and_that_is_known() {
        let mut held = Held::of(3, 1_000);
        for n in 0..6 {
            held.add(Of::Thread(n as u32 % 2), seen(n * 10, n * 10 + 1, n as u64));
        }
        let all = [Of::Thread(0), Of::Thread(1)].map(|of| rows(&mut held, of, 0, 100).len());
        assert_eq!((all, held.is_beyond(20), held.is_beyond(21)), ([1, 2], true, false));
        assert!(Held::from(Some(5)).is_beyond(5) && !Held::from(None).is_beyond(5));
    }

    #[test]
    fn long_lines_are_let_go_earlier() {
        let mut held = Held::of(10, 100);
        for n in 0..5 {
            held.add(Of::Thread(7), Seen { text: "x".repeat(40), ..seen(n, n, n as u64) });
        }
        assert_eq!((rows(&mut held, Of::Thread(7), 0, 9), held.bytes), (vec![3, 4], 80));
    }

    #[test]
    fn a_connection_is_the_same_from_both_ends_and_in_both_families() {
        let end = |text: &str| text.parse::<SocketAddr>().unwrap_or_else(|e| panic!("{text}: {e}"));
        let (a, b) = (end("10.0.0.1:80"), end("10.0.0.2:5000"));
        assert_eq!(Of::connection(a, b), Of::connection(b, end("[::ffff:10.0.0.1]:80")));
    }
}
