//! What the view shows: rates by stream, the slow spans of the moment, and what happened last. It grows with the screen, not with the bundle.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use coldcase_model::Utc;

/// Lines of what happened that are kept.
const FEED: usize = 200;
/// Columns of a rate that are kept.
pub(super) const COLUMNS: usize = 240;
/// Spans that are kept; of more the shortest go.
const SPANS: usize = 512;
/// How long a span that ended counts as one of the moment, nanoseconds of the recording.
const MOMENT: i64 = 1_000_000_000;

/// What sort of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    /// A log line or record.
    Log,
    /// A log line or record that says that something is wrong, or a span that failed.
    Error,
    /// A thread waited long.
    Wait,
    /// A disk took long.
    Disk,
    /// The network lost, refused or sent again.
    Network,
    /// Somebody or the kernel did something that is rare: a mark, a signal, an OOM kill, a loss.
    Event,
}

/// One line of what happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) utc: Utc,
    pub(super) sort: Sort,
    /// Visible text: no control characters.
    pub(super) text: String,
}

/// A span that is or was open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: Utc,
    pub(super) end: Utc,
    pub(super) failed: bool,
    /// Service and name, visible.
    pub(super) text: String,
}

/// Events of one stream over time.
#[derive(Debug, Clone, Default)]
pub(super) struct Rate {
    /// All that went by.
    pub(super) total: u64,
    columns: VecDeque<(i64, u64)>,
}

impl Rate {
    /// Events in each of the `count` columns up to `last`, the oldest first.
    pub(super) fn columns(&self, last: i64, count: usize) -> Vec<u64> {
        let first = last - count as i64 + 1;
        let mut out = vec![0; count];
        for (column, n) in &self.columns {
            if let Some(place) = usize::try_from(column - first).ok().and_then(|at| out.get_mut(at)) {
                *place += n;
            }
        }
        out
    }
}

/// What the view shows.
#[derive(Debug, Clone)]
pub(super) struct Model {
    /// Start of the recording's part that is played.
    pub(super) start: Utc,
    /// Nanoseconds of the recording in a column of a rate.
    pub(super) column: i64,
    pub(super) rates: BTreeMap<Arc<str>, Rate>,
    pub(super) feed: VecDeque<Line>,
    spans: Vec<Span>,
}

impl Model {
    /// Of a window of the recording.
    pub(super) fn new(start: Utc, end: Utc) -> Model {
        // The whole of a short recording fits beside each other; of a long one, what is seen is at most so old.
        let column = (end.0.saturating_sub(start.0) / COLUMNS as i64).clamp(10_000_000, 250_000_000);
        Model { start, column, rates: BTreeMap::new(), feed: VecDeque::new(), spans: Vec::new() }
    }

    /// Forgets everything: what is shown next is from another time.
    pub(super) fn clear(&mut self) {
        (self.rates, self.feed, self.spans) = Default::default();
    }

    /// The column that a time is in.
    pub(super) fn column_of(&self, utc: Utc) -> i64 {
        utc.0.saturating_sub(self.start.0).div_euclid(self.column)
    }

    /// Counts an event.
    pub(super) fn count(&mut self, stream: &Arc<str>, utc: Utc) {
        let column = self.column_of(utc);
        if !self.rates.contains_key(stream) {
            self.rates.insert(stream.clone(), Rate::default());
        }
        let Some(rate) = self.rates.get_mut(stream) else { return };
        rate.total += 1;
        match rate.columns.back_mut() {
            Some((last, n)) if *last == column => *n += 1,
            _ => rate.columns.push_back((column, 1)),
        }
        if rate.columns.len() > COLUMNS {
            rate.columns.pop_front();
        }
    }

    /// Adds a line of what happened.
    pub(super) fn happened(&mut self, line: Line) {
        if self.feed.len() == FEED {
            self.feed.pop_front();
        }
        self.feed.push_back(line);
    }

    /// Adds a span, at its start.
    pub(super) fn span(&mut self, span: Span) {
        if self.spans.len() == SPANS {
            let now = span.start;
            self.spans.retain(|s| s.end.0 >= now.0.saturating_sub(MOMENT));
        }
        if self.spans.len() == SPANS {
            let shortest = self.spans.iter().enumerate().min_by_key(|(_, s)| s.end.0.saturating_sub(s.start.0));
            if let Some((at, _)) = shortest {
                self.spans.swap_remove(at);
            }
        }
        self.spans.push(span);
    }

    /// The spans that are open at `now` or ended just before, with how long they took so far: the longest first.
    pub(super) fn slow(&self, now: Utc, count: usize) -> Vec<(i64, bool, &Span)> {
        let of = |s: &'_ Span| s.end.min(now).0.saturating_sub(s.start.0);
        let current = |s: &&Span| s.start <= now && s.end.0 >= now.0.saturating_sub(MOMENT);
        let mut all: Vec<_> = self.spans.iter().filter(current).map(|s| (of(s), s.end > now, s)).collect();
        all.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| (a.2.start, &a.2.text).cmp(&(b.2.start, &b.2.text))));
        all.truncate(count);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: i64, end: i64) -> Span {
        Span { start: Utc(start), end: Utc(end), failed: false, text: format!("{start}-{end}") }
    }

    #[test]
    fn spans_of_the_moment_are_the_open_ones_and_those_that_ended_just_now() {
        let mut model = Model::new(Utc(0), Utc(10_000_000_000));
        for s in [
            span(0, 500),
            span(0, 5_000_000_000),
            span(2_000_000_000, 2_600_000_000),
            span(4_000_000_000, 9_000_000_000),
        ] {
            model.span(s);
        }
        let shown: Vec<_> = model.slow(Utc(3_000_000_000), 9).iter().map(|(t, open, s)| (*t, *open, s.end.0)).collect();
        assert_eq!(shown, [(3_000_000_000, true, 5_000_000_000), (600_000_000, false, 2_600_000_000)]);
    }

    #[test]
    fn it_does_not_grow_with_what_is_played() {
        let mut model = Model::new(Utc(0), Utc(i64::MAX));
        let stream = Arc::from("log.lines");
        for n in 0..50_000i64 {
            model.span(span(n * 1_000_000, n * 1_000_000 + 3_000_000_000 + n));
            model.count(&stream, Utc(n * 100_000_000));
            model.happened(Line { utc: Utc(n), sort: Sort::Log, text: String::new() });
        }
        assert!(model.spans.len() <= SPANS && model.feed.len() == FEED);
        assert!(model.rates.values().all(|r| r.columns.len() <= COLUMNS && r.total == 50_000));
    }

    #[test]
    fn a_rate_has_its_events_in_the_columns_of_their_times() {
        let mut model = Model::new(Utc(0), Utc(2_400_000_000));
        let stream = Arc::from("kernel.block");
        for utc in [5, 6, 25_000_000, 31_000_000] {
            model.count(&stream, Utc(utc));
        }
        assert_eq!(model.column, 10_000_000);
        assert_eq!(model.rates["kernel.block"].columns(3, 6), [0, 0, 2, 0, 1, 1]);
    }
}
