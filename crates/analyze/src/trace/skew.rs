//! What causality tells of the clocks that spans were stamped by: a child cannot begin before its parent, and a server
//! answers before its client has the answer.
//!
//! Each pair of spans across two clocks bounds how far one clock is ahead of the other; the bounds of all pairs are
//! intersected. Beginnings bound without exception. That a server's span ends before its client's is usual and not
//! certain (servers end their spans after the last byte has left, clients give up), so those bounds are dropped where they
//! contradict the rest. Nothing is corrected where the clocks may be equal, and times are corrected only in what is
//! shown, never in what is stored.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use coldcase_decode::otlp::{Resource, SpanKind, SpanStatus};
use coldcase_model::analysis::{ClockOffset, ClockPair};

use super::tree::{Place, Tree};

/// A clock: that of a host where senders tell it (`host.id`, `host.name`), else that of a service.
pub(crate) fn clock(resource: &Resource) -> Arc<str> {
    match (resource.attributes.text("host.id"), resource.host.as_str(), resource.service.as_str()) {
        (Some(id), _, _) if !id.is_empty() => format!("host {id}").into(),
        (_, host, _) if !host.is_empty() => format!("host {host}").into(),
        (_, _, service) => format!("service {service}").into(),
    }
}

/// Bounds on how far the clock of children is ahead of their parents', nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bounds {
    /// From children that began: at most.
    most: i64,
    /// The same, from pairs the other way round: at least.
    least: i64,
    /// From servers that answered: at least, and the other way round at most.
    least_soft: i64,
    most_soft: i64,
    pairs: u64,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { most: i64::MAX, least: i64::MIN, least_soft: i64::MIN, most_soft: i64::MAX, pairs: 0 }
    }
}

/// What the pairs of spans tell, by clock and clock, the lesser name first: how far the second is ahead.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clocks(BTreeMap<(Arc<str>, Arc<str>), Bounds>);

impl Clocks {
    /// Takes the pairs of one trace in.
    pub(crate) fn take(&mut self, tree: &Tree<'_>) {
        // Traces name few resources, many times.
        let mut names = HashMap::<*const Resource, Arc<str>>::new();
        let mut name = |r: &Arc<Resource>| names.entry(Arc::as_ptr(r)).or_insert_with(|| clock(r)).clone();
        for child in tree.nodes.iter().filter(|n| n.timed && n.place != Place::Conflict) {
            let Some(parent) = child.parent.map(|p| &tree.nodes[p]).filter(|p| p.timed) else { continue };
            let (Some(above), Some(below)) = (parent.row, child.row) else { continue };
            let (a, b) = (name(&above.span.resource), name(&below.span.resource));
            if a == b {
                continue;
            }
            let began = child.start.saturating_sub(parent.start);
            // Who waits for an answer is a client; one that failed may not have waited for it.
            let waited = above.span.kind == SpanKind::Client
                && below.span.kind == SpanKind::Server
                && above.span.status != SpanStatus::Error;
            let ended = waited.then(|| child.end.saturating_sub(parent.end));
            let turned = b < a;
            let bounds = self.0.entry(if turned { (b, a) } else { (a, b) }).or_default();
            bounds.pairs += 1;
            if turned {
                bounds.least = bounds.least.max(began.saturating_neg());
                bounds.most_soft = ended.map_or(bounds.most_soft, |e| bounds.most_soft.min(e.saturating_neg()));
            } else {
                bounds.most = bounds.most.min(began);
                bounds.least_soft = ended.map_or(bounds.least_soft, |e| bounds.least_soft.max(e));
            }
        }
    }

    /// Adds what other traces tell.
    pub(crate) fn merge(&mut self, other: &Clocks) {
        for (pair, b) in &other.0 {
            let mine = self.0.entry(pair.clone()).or_default();
            mine.most = mine.most.min(b.most);
            mine.least = mine.least.max(b.least);
            mine.most_soft = mine.most_soft.min(b.most_soft);
            mine.least_soft = mine.least_soft.max(b.least_soft);
            mine.pairs += b.pairs;
        }
    }

    /// The pairs as plain rows, by name.
    pub(crate) fn pairs(&self) -> Vec<ClockPair> {
        self.0.iter().map(|((a, b), bounds)| pair(a, b, bounds)).collect()
    }

    /// How far each clock that can be compared with `reference` is ahead of it.
    pub(crate) fn offsets(&self, reference: &str) -> Vec<ClockOffset> {
        let pairs = self.pairs();
        let mut found = BTreeMap::<&str, ClockOffset>::new();
        let mut open = VecDeque::from([(reference, 0i64, Some(0i64), Some(0i64), 0u64, 0u32)]);
        while let Some((at, offset, least, most, used, hops)) = open.pop_front() {
            for p in pairs.iter().filter(|p| !p.contradictory) {
                let (to, sign) = match at {
                    at if at == p.a => (p.b.as_str(), 1),
                    at if at == p.b => (p.a.as_str(), -1),
                    _ => continue,
                };
                if to == reference || found.contains_key(to) {
                    continue;
                }
                let (low, high) = if sign > 0 { (p.least, p.most) } else { (p.most, p.least) };
                let add = |x: Option<i64>, y: Option<i64>| Some(x?.saturating_add(sign_of(y?, sign)));
                let offset = offset.saturating_add(sign_of(p.offset, sign));
                let (least, most) = (add(least, low), add(most, high));
                let (used, hops) = (used + p.pairs, hops + 1);
                found.insert(to, ClockOffset { clock: to.to_owned(), offset, least, most, pairs: used, hops });
                open.push_back((to, offset, least, most, used, hops));
            }
        }
        found.into_values().collect()
    }
}

fn sign_of(n: i64, sign: i64) -> i64 {
    if sign < 0 { n.saturating_neg() } else { n }
}

fn pair(a: &str, b: &str, bounds: &Bounds) -> ClockPair {
    let (hard_least, hard_most) = (bounds.least, bounds.most);
    let (mut least, mut most) = (hard_least.max(bounds.least_soft), hard_most.min(bounds.most_soft));
    let answers_dropped = least > most;
    if answers_dropped {
        (least, most) = (hard_least, hard_most);
    }
    let contradictory = least > most;
    let (least, most) = (Some(least).filter(|&l| l != i64::MIN), Some(most).filter(|&m| m != i64::MAX));
    let (least, most) = if contradictory { (None, None) } else { (least, most) };
    ClockPair {
        a: a.to_owned(),
        b: b.to_owned(),
        offset: nearest(least, most),
        least,
        most,
        pairs: bounds.pairs,
        answers_dropped,
        contradictory,
    }
}

/// The offset to correct by: none where the clocks may be equal, else the middle of the bounds, or the one bound there is.
fn nearest(least: Option<i64>, most: Option<i64>) -> i64 {
    match (least, most) {
        (Some(l), Some(m)) if l > 0 || m < 0 => (l / 2).saturating_add(m / 2),
        (Some(l), None) if l > 0 => l,
        (None, Some(m)) if m < 0 => m,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use coldcase_decode::otlp::TraceId;
    use coldcase_timeline::SpanRow;
    use proptest::prelude::*;

    use super::super::made::{Made, made};
    use super::*;

    /// A call from `a` to `b` whose clock is `ahead`: the client's span, then how long to the server and back.
    fn call(id: u8, at: i64, there: i64, work: i64, back: i64, ahead: i64) -> [SpanRow; 2] {
        let end = at + there + work + back;
        let client = Made { id, from: at, to: end, service: "a", kind: SpanKind::Client, ..Made::default() };
        let from = at + there + ahead;
        let server =
            Made { id: id + 100, parent: id, from, to: from + work, service: "b", kind: SpanKind::Server, ..client };
        [made(client), made(server)]
    }

    fn clocks(rows: &[SpanRow]) -> Clocks {
        let mut out = Clocks::default();
        out.take(&Tree::new(TraceId([1; 16]), rows));
        out
    }

    #[test]
    fn a_clock_that_is_ahead_is_found_between_its_bounds() {
        let ahead = 5_000_000;
        let rows: Vec<SpanRow> = [
            call(1, 1_000_000_000, 300_000, 2_000_000, 100_000, ahead),
            call(2, 2_000_000_000, 80_000, 2_000_000, 700_000, ahead),
        ]
        .concat();
        let pair = &clocks(&rows).pairs()[0];
        assert_eq!((pair.a.as_str(), pair.b.as_str(), pair.pairs), ("service a", "service b", 2));
        assert_eq!((pair.least, pair.most), (Some(ahead - 100_000), Some(ahead + 80_000)));
        assert_eq!(pair.offset, ahead - 10_000);
        let offsets = clocks(&rows).offsets("service b");
        assert_eq!((offsets[0].clock.as_str(), offsets[0].offset), ("service a", 10_000 - ahead));
    }

    #[test]
    fn clocks_that_may_be_equal_are_not_corrected() {
        let pair = &clocks(&call(1, 1_000_000_000, 300_000, 2_000_000, 100_000, 0)).pairs()[0];
        assert_eq!((pair.offset, pair.least, pair.most), (0, Some(-100_000), Some(300_000)));
    }

    #[test]
    fn a_server_that_outlives_its_client_says_nothing_of_the_clocks() {
        // The second server ended after its client, and both began at once: the answers contradict the beginnings.
        let rows =
            [call(1, 1_000_000_000, 10_000, 2_000_000, 100_000, 0), call(2, 2_000_000_000, 10, 900_000, -500_000, 0)];
        let pair = &clocks(&rows.concat()).pairs()[0];
        assert_eq!((pair.answers_dropped, pair.contradictory, pair.offset), (true, false, 0));
        assert_eq!((pair.least, pair.most), (None, Some(10)));
    }

    #[test]
    fn a_clock_behind_two_others_is_reached_over_both() {
        let mut rows: Vec<SpanRow> = call(1, 1_000_000_000, 100, 1_000_000, 100, 7_000_000).to_vec();
        let onward = Made {
            id: 3,
            parent: 101,
            from: 1_007_000_200,
            to: 1_007_900_000,
            service: "b",
            kind: SpanKind::Client,
            ..Made::default()
        };
        rows.push(made(onward));
        rows.push(made(Made {
            id: 4,
            parent: 3,
            from: 1_000_000_300,
            to: 1_000_800_000,
            service: "c",
            kind: SpanKind::Server,
            ..onward
        }));
        let offsets = clocks(&rows).offsets("service a");
        assert_eq!(offsets.len(), 2);
        assert_eq!((offsets[1].clock.as_str(), offsets[1].hops), ("service c", 2));
        assert!(offsets[1].offset.abs() < 200_000, "{offsets:?}");
    }

    proptest! {
        /// Where each server answers before its client has the answer, the true offset is never outside of the bounds.
        #[test]
        fn the_true_offset_is_within_the_bounds(
            calls in prop::collection::vec((1i64..1_000_000, 0i64..1_000_000, 0i64..1_000_000, 0i64..1_000_000), 1..40),
            ahead in -10_000_000i64..10_000_000,
        ) {
            let mut rows = Vec::new();
            for (i, &(at, there, work, back)) in calls.iter().enumerate() {
                rows.extend(call(i as u8 + 1, 1_000_000_000 + at, there, work, back, ahead));
            }
            let pair = &clocks(&rows).pairs()[0];
            prop_assert!(!pair.contradictory && !pair.answers_dropped);
            prop_assert!(pair.least.is_some_and(|l| l <= ahead) && pair.most.is_some_and(|m| ahead <= m));
            let may_be_equal = pair.least.is_some_and(|l| l <= 0) && pair.most.is_some_and(|m| m >= 0);
            prop_assert_eq!(pair.offset == 0, may_be_equal || pair.offset == 0);
        }
    }
}
