//! One trace, span by span: the critical path, own times, where each span ran, and what was logged.

use std::collections::{BTreeMap, HashMap, HashSet};

use coldcase_decode::otlp::{SpanId, TraceId};
use coldcase_model::analysis::{ClockOffset, PathPart, TraceEvent, TraceFlaws, TraceLink, TraceSpan, TraceView};
use coldcase_timeline::{Binder, Bound, SpanRow, Timeline};

use super::critical_path::{self, Part};
use super::logs::Logs;
use super::skew::{self, Clocks};
use super::tree::Tree;
use super::wire::Wire;

/// What views are made with.
pub(crate) struct Making<'a> {
    t: &'a Timeline,
    clocks: &'a Clocks,
    binder: Binder<'a>,
    wire: Wire,
    deskew: bool,
    /// Most spans of a view; those on the critical path are always in it.
    limit: usize,
}

impl<'a> Making<'a> {
    pub(crate) fn new(t: &'a Timeline, clocks: &'a Clocks, wire: Wire, deskew: bool, limit: usize) -> Making<'a> {
        Making { t, clocks, binder: Binder::new(t), wire, deskew, limit }
    }

    /// The view of a trace.
    pub(crate) fn view(&self, id: TraceId, rows: &[&'a SpanRow], why: String) -> TraceView {
        let tree = Tree::new(id, rows.iter().copied());
        let reference = self.reference(&tree);
        let mut names: HashSet<String> = rows.iter().map(|r| skew::clock(&r.span.resource).to_string()).collect();
        names.remove(&reference);
        let mut clocks = self.clocks.offsets(&reference);
        clocks.retain(|c| names.contains(&c.clock));
        let deskewed = self.deskew && clocks.iter().any(|c| c.offset != 0);
        let tree = if deskewed { correct(id, rows, &clocks) } else { tree };
        let path = tree.root().map(|root| critical_path::parts(&tree, root)).unwrap_or_default();
        let mut view = TraceView { id: id.to_string(), why, reference, clocks, deskewed, ..TraceView::default() };
        self.times(&tree, &mut view);
        self.spans(&tree, &path, &mut view);
        let f = tree.flaws;
        view.flaws = TraceFlaws {
            duplicates: f.duplicates,
            conflicts: f.conflicts,
            missing: f.missing,
            cycles: f.cycles,
            without_id: f.without_id,
            untimed: f.untimed,
            late: f.late,
            roots: tree.roots.len() as u64,
        };
        (view.logs, view.logs_left_out) = Logs::new(self.t, &self.binder).of(id, rows);
        view
    }

    /// The clock that the trace is shown by: the recorded host's where one of its spans ran there, the root's before
    /// others; else the root's.
    fn reference(&self, tree: &Tree<'_>) -> String {
        let root = tree.root().and_then(|r| tree.nodes[r].row);
        let all = || root.into_iter().chain(tree.nodes.iter().filter_map(|n| n.row));
        let here = all().find(|r| self.binder.bind(&r.span).pid().is_some());
        here.or_else(|| all().next()).map(|r| skew::clock(&r.span.resource).to_string()).unwrap_or_default()
    }

    fn times(&self, tree: &Tree<'_>, view: &mut TraceView) {
        if let Some(root) = tree.root().map(|r| &tree.nodes[r]) {
            (view.start, view.duration) = (root.start, root.duration());
        }
        let timed = || tree.nodes.iter().filter(|n| n.timed);
        view.from = timed().map(|n| n.start).min().unwrap_or(view.start);
        view.to = timed().map(|n| n.end).max().unwrap_or(view.start);
        view.count = tree.nodes.iter().filter(|n| n.row.is_some()).count() as u64;
    }

    fn spans(&self, tree: &Tree<'_>, path: &[Part], view: &mut TraceView) {
        let mut on_path = HashMap::<usize, u64>::new();
        for p in path {
            *on_path.entry(p.node).or_default() += (p.to - p.from) as u64;
        }
        let mut others = self.limit.saturating_sub(on_path.len());
        let mut numbers = HashMap::<usize, u64>::new();
        let links = self.linked(tree);
        for (at, depth) in tree.preorder() {
            if !on_path.contains_key(&at) {
                if others == 0 {
                    view.left_out += 1;
                    continue;
                }
                others -= 1;
            }
            numbers.insert(at, view.spans.len() as u64);
            let parent = tree.nodes[at].parent.and_then(|p| numbers.get(&p).copied());
            let on_path = on_path.get(&at).copied().unwrap_or(0);
            view.spans.push(TraceSpan { parent, depth, on_path, ..self.span(tree, at, &links) });
        }
        let part = |p: &Part| numbers.get(&p.node).map(|&span| PathPart { span, from: p.from, to: p.to });
        view.path = path.iter().filter_map(part).collect();
    }

    fn span(&self, tree: &Tree<'_>, at: usize, links: &Links) -> TraceSpan {
        let node = &tree.nodes[at];
        let (own, concurrent) = critical_path::own(tree, at);
        let out = TraceSpan {
            span: node.id.map(|id| id.to_string()),
            place: node.place.word().map(str::to_owned),
            start: node.start,
            end: node.end,
            timed: node.timed,
            corrected: node.corrected,
            own,
            concurrent,
            tier: Bound::default().tier(),
            ..TraceSpan::default()
        };
        let Some(row) = node.row else { return out };
        let (s, bound) = (&row.span, self.wire.bind(&self.binder, &row.span));
        let event = |e: &coldcase_decode::otlp::SpanEvent| TraceEvent {
            time: e.time.map_or(node.start, |t| t.saturating_sub(node.corrected)),
            name: e.name.clone(),
            attributes: e.attributes.to_string(),
        };
        let link = |&(trace, span): &(TraceId, SpanId)| TraceLink {
            trace: trace.to_string(),
            span: span.to_string(),
            name: links.get(&(trace, span)).cloned().flatten(),
        };
        TraceSpan {
            name: s.name.clone(),
            service: s.service().to_owned(),
            kind: s.kind.name().to_owned(),
            status: s.status.name().to_owned(),
            message: s.message.clone(),
            pid: bound.pid(),
            tid: bound.tid(),
            tier: bound.tier(),
            links: s.links.iter().map(link).collect(),
            events: s.events.iter().map(event).collect(),
            evidence: Some(self.t.evidence(row.stream, row.row)),
            ..out
        }
    }

    /// Names of the spans that a trace is linked with, where they are in the bundle.
    fn linked(&self, tree: &Tree<'_>) -> Links {
        let links = tree.nodes.iter().filter_map(|n| n.row).flat_map(|r| &r.span.links);
        let mut out: Links = links.map(|&link| (link, None)).collect();
        if !out.is_empty() {
            for s in self.t.spans().iter().map(|r| &r.span) {
                let Some(key) = s.trace.zip(s.id) else { continue };
                if let Some(name) = out.get_mut(&key) {
                    *name = Some(s.name.clone());
                }
            }
        }
        out
    }
}

type Links = HashMap<(TraceId, SpanId), Option<String>>;

fn correct<'a>(id: TraceId, rows: &[&'a SpanRow], clocks: &[ClockOffset]) -> Tree<'a> {
    let ahead: BTreeMap<&str, i64> = clocks.iter().map(|c| (c.clock.as_str(), c.offset)).collect();
    let of = |row: &SpanRow| ahead.get(&*skew::clock(&row.span.resource)).copied().unwrap_or(0);
    Tree::corrected(id, rows.iter().copied(), of)
}
