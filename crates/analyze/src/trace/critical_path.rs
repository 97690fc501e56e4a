//! The critical path of a trace: which span its wall time was spent in.
//!
//! The rule is that of the last returning child (Zhang et al., "CRISP: Critical Path Analysis of Large-Scale
//! Microservice Architectures", USENIX ATC 2022, 3.1; Jaeger's view of a trace draws the same): from the end of a span
//! backwards, it waited for the child that returned last, and before that one began for the child that had returned last
//! by then. Children that ran beside these were not waited for. What a child did outside of its parent's time, nobody
//! waited for either, and it is cut off.
//!
//! Each nanosecond of the root is in exactly one part.

use super::tree::Tree;

/// A stretch of the path: the span in which the time went by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) node: usize,
    pub(crate) from: i64,
    pub(crate) to: i64,
}

/// A span on the way.
struct Step {
    node: usize,
    lo: i64,
    /// What is before it is still to be told.
    cursor: i64,
    /// Its children within its time, last returning last.
    children: Vec<(i64, i64, usize)>,
}

impl Step {
    fn new(tree: &Tree<'_>, node: usize, lo: i64, hi: i64) -> Step {
        let children = tree.nodes[node].children.iter().filter(|&&c| tree.nodes[c].timed);
        let mut children: Vec<(i64, i64, usize)> = children
            .map(|&c| (tree.nodes[c].end.min(hi), tree.nodes[c].start.max(lo), c))
            .filter(|(end, start, _)| end > start)
            .collect();
        // Of those that returned together the one that began first, then the one that came first.
        children.sort_by_key(|&(end, start, c)| (end, std::cmp::Reverse((start, c))));
        Step { node, lo, cursor: hi, children }
    }

    /// The child that had returned last by now.
    fn next(&mut self) -> Option<(i64, i64, usize)> {
        while let Some(child) = self.children.pop() {
            if child.0 <= self.cursor {
                return Some(child);
            }
        }
        None
    }
}

/// The path through a span and what is below it, in the order of time; empty for a span without a duration.
pub(crate) fn parts(tree: &Tree<'_>, root: usize) -> Vec<Part> {
    let (start, end) = (tree.nodes[root].start, tree.nodes[root].end);
    let mut out = Vec::new();
    if !tree.nodes[root].timed {
        return out;
    }
    let mut steps = vec![Step::new(tree, root, start, end)];
    while let Some(step) = steps.last_mut() {
        let (node, cursor) = (step.node, step.cursor);
        match step.next() {
            Some((returned, began, child)) => {
                if returned < cursor {
                    out.push(Part { node, from: returned, to: cursor });
                }
                step.cursor = began;
                steps.push(Step::new(tree, child, began, returned));
            }
            None => {
                if step.lo < cursor {
                    out.push(Part { node, from: step.lo, to: cursor });
                }
                steps.pop();
            }
        }
    }
    out.reverse();
    out
}

/// Time of a span in which none of its children ran, and the most of them that ran at once.
pub(crate) fn own(tree: &Tree<'_>, node: usize) -> (u64, u32) {
    let n = &tree.nodes[node];
    if !n.timed {
        return (0, 0);
    }
    let mut edges: Vec<(i64, i32)> = Vec::with_capacity(2 * n.children.len());
    for c in n.children.iter().map(|&c| &tree.nodes[c]).filter(|c| c.timed) {
        let (from, to) = (c.start.max(n.start), c.end.min(n.end));
        if from < to {
            edges.extend([(from, 1), (to, -1)]);
        }
    }
    // Ends before beginnings: one that begins when another ends does not run beside it.
    edges.sort_unstable();
    let (mut running, mut most, mut covered, mut since) = (0i32, 0i32, 0u64, n.start);
    for (time, step) in edges {
        if running > 0 {
            covered += (time - since) as u64;
        }
        since = time;
        running += step;
        most = most.max(running);
    }
    (n.duration() - covered.min(n.duration()), most as u32)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use coldcase_decode::otlp::TraceId;
    use coldcase_timeline::SpanRow;
    use proptest::prelude::*;

    use super::super::made::{Made, made};
    use super::*;

    fn of(spans: &[(u8, u8, i64, i64)]) -> Vec<SpanRow> {
        spans.iter().map(|&(id, parent, from, to)| made(Made { id, parent, from, to, ..Made::default() })).collect()
    }

    /// Id, from and to of each part.
    fn path(rows: &[SpanRow]) -> Vec<(u8, i64, i64)> {
        let t = Tree::new(TraceId([1; 16]), rows);
        parts(&t, t.root().unwrap()).iter().map(|p| (t.nodes[p.node].id.unwrap().0[0], p.from, p.to)).collect()
    }

    #[test]
    fn the_time_before_the_last_returning_child_belongs_to_whoever_returned_before_it_began() {
        // 1 |--------------------| 10..100
        // 2    |----|              20..40
        // 3         |--------|     45..90
        // 4      |------|          30..60, beside 3: not waited for
        let rows = of(&[(1, 0, 10, 100), (2, 1, 20, 40), (3, 1, 45, 90), (4, 1, 30, 60)]);
        assert_eq!(path(&rows), [(1, 10, 20), (2, 20, 40), (1, 40, 45), (3, 45, 90), (1, 90, 100)]);
    }

    #[test]
    fn what_a_child_does_after_its_parent_is_cut_off() {
        let rows = of(&[(1, 0, 10, 50), (2, 1, 40, 90), (3, 2, 60, 80), (4, 1, 60, 70)]);
        assert_eq!(path(&rows), [(1, 10, 40), (2, 40, 50)]);
    }

    #[test]
    fn own_time_is_what_no_child_covers_and_children_at_once_are_counted() {
        let rows =
            of(&[(1, 0, 0, 0), (2, 0, 10, 100), (3, 2, 20, 50), (4, 2, 40, 60), (5, 2, 60, 70), (6, 2, 90, 200)]);
        let t = Tree::new(TraceId([1; 16]), &rows);
        assert_eq!(own(&t, 1), (10 + 20, 2));
        assert_eq!(own(&t, 5), (110, 0));
    }

    proptest! {
        /// Whatever the spans are, the parts follow each other without gap or overlap, from the root's start to its end.
        #[test]
        fn each_nanosecond_of_the_root_is_in_one_part(
            spans in prop::collection::vec((1u8..40, 0u8..40, 1i64..1000, -20i64..1000), 1..60),
        ) {
            let rows: Vec<SpanRow> = spans
                .iter()
                .map(|&(id, parent, from, long)| made(Made { id, parent, from, to: from + long, ..Made::default() }))
                .collect();
            let t = Tree::new(TraceId([1; 16]), &rows);
            let in_order: usize = t.preorder().len();
            prop_assert_eq!(in_order, t.nodes.len());
            for root in 0..t.nodes.len() {
                let all = parts(&t, root);
                let sum: i64 = all.iter().map(|p| p.to - p.from).sum();
                prop_assert_eq!(sum as u64, if t.nodes[root].timed { t.nodes[root].duration() } else { 0 });
                let mut at = t.nodes[root].start;
                for p in &all {
                    prop_assert_eq!(p.from, at);
                    prop_assert!(p.to > p.from);
                    prop_assert!(p.from >= t.nodes[p.node].start && p.to <= t.nodes[p.node].end);
                    at = p.to;
                }
                let (own, _) = own(&t, root);
                let mine: i64 = all.iter().filter(|p| p.node == root).map(|p| p.to - p.from).sum();
                prop_assert!(own <= t.nodes[root].duration());
                // What no child covers is on the path as the span's own.
                prop_assert!(own <= mine as u64);
            }
        }
    }
}
