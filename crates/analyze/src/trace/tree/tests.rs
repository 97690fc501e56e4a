#![allow(clippy::unwrap_used)]
use super::*;
use crate::trace::made::{Made, made};

fn tree(rows: &[SpanRow]) -> Tree<'_> {
    Tree::new(TraceId([1; 16]), rows)
}

#[test]
fn spans_find_their_parents_in_any_order_and_across_services() {
    let rows = [
        made(Made { id: 3, parent: 2, from: 30, to: 50, service: "stock", ..Made::default() }),
        made(Made { id: 2, parent: 1, from: 20, to: 60, service: "orders", ..Made::default() }),
        made(Made { id: 1, from: 10, to: 90, service: "gateway", ..Made::default() }),
    ];
    let t = tree(&rows);
    let read: Vec<(u8, u32)> = t.preorder().iter().map(|&(n, depth)| (t.nodes[n].id.unwrap().0[0], depth)).collect();
    assert_eq!(read, [(1, 0), (2, 1), (3, 2)]);
    assert_eq!(t.flaws, Flaws::default());
}

#[test]
fn a_parent_that_never_came_is_shown_as_such_and_holds_its_children_together() {
    let rows = [
        made(Made { id: 2, parent: 9, from: 20, to: 30, ..Made::default() }),
        made(Made { id: 3, parent: 9, from: 40, to: 70, ..Made::default() }),
    ];
    let t = tree(&rows);
    let root = &t.nodes[t.root().unwrap()];
    assert_eq!((root.place, root.start, root.end, root.children.len()), (Place::Missing, 20, 70, 2));
    assert_eq!((t.flaws.missing, t.roots.len()), (1, 1));
}

#[test]
fn a_span_that_came_twice_is_a_duplicate_and_one_with_other_content_a_conflict() {
    let same = Made { id: 2, parent: 1, from: 20, to: 30, ..Made::default() };
    let other = Made { to: 31, ..same };
    let root = Made { id: 1, from: 10, to: 90, ..Made::default() };
    let rows = [made(root), made(same), made(same), made(other), made(other), made(same)];
    let t = tree(&rows);
    assert_eq!((t.nodes.len(), t.flaws.duplicates, t.flaws.conflicts), (3, 3, 1));
    assert_eq!(t.nodes[0].children.len(), 2, "both are shown");
    assert_eq!(t.nodes[2].place, Place::Conflict);
}

#[test]
fn the_halves_of_a_shared_span_stand_one_below_the_other() {
    let client = Made { id: 2, parent: 1, from: 20, to: 60, kind: SpanKind::Client, ..Made::default() };
    let server = Made { from: 25, to: 55, kind: SpanKind::Server, service: "b", ..client };
    let root = Made { id: 1, from: 10, to: 90, ..Made::default() };
    let below = Made { id: 3, parent: 2, from: 30, to: 40, service: "b", ..Made::default() };
    for rows in [[root, client, server, below], [below, server, client, root]] {
        let rows = rows.map(made);
        let t = tree(&rows);
        let kinds: Vec<SpanKind> = t.preorder().iter().map(|p| t.nodes[p.0].row.unwrap().span.kind).collect();
        assert_eq!(kinds[1..3], [SpanKind::Client, SpanKind::Server]);
        assert_eq!(t.preorder()[3].1, 3);
        assert_eq!(t.flaws.conflicts, 0);
    }
}

#[test]
fn parents_in_a_circle_are_cut_where_it_began() {
    let rows = [
        made(Made { id: 1, parent: 3, from: 30, to: 40, ..Made::default() }),
        made(Made { id: 2, parent: 1, from: 20, to: 50, ..Made::default() }),
        made(Made { id: 3, parent: 2, from: 25, to: 60, ..Made::default() }),
        made(Made { id: 4, parent: 4, from: 70, to: 80, ..Made::default() }),
        made(Made { id: 5, parent: 1, from: 31, to: 32, ..Made::default() }),
    ];
    let t = tree(&rows);
    assert_eq!(t.flaws.cycles, 2);
    assert_eq!(t.preorder().len(), 5, "each span is there once");
    assert_eq!((t.nodes[1].place, t.nodes[3].place), (Place::Cycle, Place::Cycle));
}

#[test]
fn a_trace_may_be_as_deep_as_it_has_spans_and_hold_a_million_of_one_parent() {
    let deep: Vec<SpanRow> = (1..=100_000u64)
        .map(|i| made(Made { wide: i, wide_parent: i - 1, from: i as i64, to: 300_000 - i as i64, ..Made::default() }))
        .collect();
    let t = tree(&deep);
    assert_eq!(t.preorder().last().unwrap().1, 99_999);
    let path = crate::trace::critical_path::parts(&t, t.root().unwrap());
    assert_eq!(path.iter().map(|p| p.to - p.from).sum::<i64>(), t.nodes[0].end - t.nodes[0].start);
    drop(deep);
    let one = made(Made { wide: 1, from: 1, to: 2_000_000, ..Made::default() });
    let wide: Vec<SpanRow> = (1..=1_000_000u64)
        .map(|i| {
            let mut row = one.clone();
            row.span.id = SpanId::from_bytes(&i.to_be_bytes());
            row.span.parent = SpanId::from_bytes(&u64::from(i > 1).to_be_bytes());
            row.span.start = i as i64;
            row
        })
        .collect();
    let t = tree(&wide);
    assert_eq!((t.nodes.len(), t.roots.len(), t.nodes[0].children.len()), (1_000_000, 1, 999_999));
}
