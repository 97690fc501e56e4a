//! The spans of one trace put together: whatever the order in which they came, and whatever is missing, repeated or
//! contradicts itself among them. Nothing here recurses: a hostile trace may be as deep as it has spans.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use coldcase_decode::otlp::{Span, SpanId, SpanKind, TraceId};
use coldcase_timeline::SpanRow;

/// What is peculiar about a span's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Where its parent says.
    Told,
    /// It is not in the bundle; others name it as their parent.
    Missing,
    /// Another span that came first has its id, and other content.
    Conflict,
    /// The server's half of a span whose id the client's half has as well (Zipkin, "shared spans").
    Shared,
    /// Its parents lead back to itself: it is shown as a root.
    Cycle,
}

impl Place {
    /// In a word; `None` where there is nothing to say.
    pub(crate) fn word(self) -> Option<&'static str> {
        match self {
            Place::Told => None,
            Place::Missing => Some("missing"),
            Place::Conflict => Some("conflict"),
            Place::Shared => Some("shared"),
            Place::Cycle => Some("cycle"),
        }
    }
}

/// A span in its place.
#[derive(Debug, Clone)]
pub(crate) struct Node<'a> {
    /// Its row; `None` where it is missing.
    pub(crate) row: Option<&'a SpanRow>,
    /// Its id.
    pub(crate) id: Option<SpanId>,
    /// Its parent in the tree.
    pub(crate) parent: Option<usize>,
    /// Its children, in the order of their starts.
    pub(crate) children: Vec<usize>,
    /// Start, UTC; of a missing one that of its first child.
    pub(crate) start: i64,
    /// End, never before the start; of a missing one that of its last child.
    pub(crate) end: i64,
    /// What was taken off its times to correct its sender's clock.
    pub(crate) corrected: i64,
    /// Whether both are known: one without a start, or with an end before it, has no place in time.
    pub(crate) timed: bool,
    /// What is peculiar about its place.
    pub(crate) place: Place,
}

impl Node<'_> {
    /// How long it took, in nanoseconds.
    pub(crate) fn duration(&self) -> u64 {
        u64::try_from(self.end.saturating_sub(self.start)).unwrap_or(0)
    }
}

/// What is wrong with the spans of a trace, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Flaws {
    /// Spans that came again with the same content: left out.
    pub(crate) duplicates: u64,
    /// Spans with the id of another, and other content: kept beside it.
    pub(crate) conflicts: u64,
    /// Parents that are named and not in the bundle.
    pub(crate) missing: u64,
    /// Circles of parents, each cut at its earliest span.
    pub(crate) cycles: u64,
    /// Spans without an id of their own.
    pub(crate) without_id: u64,
    /// Spans without a start, or with an end before it.
    pub(crate) untimed: u64,
    /// Spans that arrived in a later message than the root did.
    pub(crate) late: u64,
}

/// One trace.
#[derive(Debug, Clone)]
pub(crate) struct Tree<'a> {
    pub(crate) id: TraceId,
    /// Its spans, in the order of their arrival; missing ones last.
    pub(crate) nodes: Vec<Node<'a>>,
    /// Those without a parent in the tree: the main one first, the others in the order of their starts.
    pub(crate) roots: Vec<usize>,
    pub(crate) flaws: Flaws,
}

impl<'a> Tree<'a> {
    /// Puts the spans of one trace together. `rows` stand in the order of their arrival.
    pub(crate) fn new(id: TraceId, rows: impl IntoIterator<Item = &'a SpanRow>) -> Tree<'a> {
        Tree::corrected(id, rows, |_| 0)
    }

    /// The same with times corrected: `ahead` says how far the clock of a span's sender is ahead.
    pub(crate) fn corrected(
        id: TraceId,
        rows: impl IntoIterator<Item = &'a SpanRow>,
        ahead: impl Fn(&SpanRow) -> i64,
    ) -> Tree<'a> {
        let mut ids = Ids::default();
        let mut nodes: Vec<Node<'a>> = Vec::new();
        let mut flaws = Flaws::default();
        for row in rows {
            ids.add(row, ahead(row), &mut nodes, &mut flaws);
        }
        let missing = ids.parents(&mut nodes);
        flaws.missing = missing;
        flaws.untimed = nodes.iter().filter(|n| n.row.is_some() && !n.timed).count() as u64;
        let mut tree = Tree { id, nodes, roots: Vec::new(), flaws };
        tree.cut_cycles();
        tree.adopt();
        tree.find_roots();
        tree.count_late();
        tree
    }

    /// The span that the trace is about; `None` for a trace without spans.
    pub(crate) fn root(&self) -> Option<usize> {
        self.roots.first().copied()
    }

    /// The spans in the order of reading, each below its parent, with their depths.
    pub(crate) fn preorder(&self) -> Vec<(usize, u32)> {
        let mut out = Vec::with_capacity(self.nodes.len());
        let mut stack: Vec<(usize, u32)> = self.roots.iter().rev().map(|&r| (r, 0)).collect();
        while let Some((at, depth)) = stack.pop() {
            out.push((at, depth));
            stack.extend(self.nodes[at].children.iter().rev().map(|&c| (c, depth.saturating_add(1))));
        }
        out
    }

    /// Takes each circle apart at the span that began first.
    fn cut_cycles(&mut self) {
        let mut seen = vec![0u32; self.nodes.len()];
        for from in 0..self.nodes.len() {
            let walk = from as u32 + 1;
            let mut at = from;
            while seen[at] == 0 {
                seen[at] = walk;
                let Some(parent) = self.nodes[at].parent else { break };
                at = parent;
            }
            if seen[at] != walk || self.nodes[at].parent.is_none() {
                continue;
            }
            // `at` is on a circle: once around it.
            let (mut first, mut on) = (at, at);
            while let Some(next) = self.nodes[on].parent.filter(|&p| p != at) {
                on = next;
                if (self.nodes[on].start, on) < (self.nodes[first].start, first) {
                    first = on;
                }
            }
            self.nodes[first].parent = None;
            self.nodes[first].place = Place::Cycle;
            self.flaws.cycles += 1;
        }
    }

    /// Gives parents their children, and those that are missing a time.
    fn adopt(&mut self) {
        let mut order: Vec<usize> = (0..self.nodes.len()).collect();
        order.sort_by_key(|&i| (self.nodes[i].start, std::cmp::Reverse(self.nodes[i].end), i));
        for child in order {
            let Some(parent) = self.nodes[child].parent else { continue };
            self.nodes[parent].children.push(child);
        }
        for at in (0..self.nodes.len()).filter(|&i| self.nodes[i].place == Place::Missing).collect::<Vec<_>>() {
            let timed = self.nodes[at].children.iter().map(|&c| &self.nodes[c]).filter(|c| c.timed);
            let ends = timed.fold(None, |ends: Option<(i64, i64)>, c| {
                Some(ends.map_or((c.start, c.end), |(from, to)| (from.min(c.start), to.max(c.end))))
            });
            if let Some((start, end)) = ends {
                (self.nodes[at].start, self.nodes[at].end, self.nodes[at].timed) = (start, end, true);
            }
        }
    }

    /// The main root is one that says that it has no parent, if any does; of several the longest.
    fn find_roots(&mut self) {
        let nodes = &self.nodes;
        let mut roots: Vec<usize> = (0..nodes.len()).filter(|&i| nodes[i].parent.is_none()).collect();
        roots.sort_by_key(|&i| (nodes[i].start, i));
        let rank = |i: usize| {
            let n = &nodes[i];
            (n.timed, n.place == Place::Told, n.duration(), std::cmp::Reverse(i))
        };
        if let Some(main) = (0..roots.len()).max_by_key(|&at| rank(roots[at])) {
            let main = roots.remove(main);
            roots.insert(0, main);
        }
        self.roots = roots;
    }

    fn count_late(&mut self) {
        let Some(root) = self.root().and_then(|r| self.nodes[r].row) else { return };
        let rows = self.nodes.iter().filter_map(|n| n.row);
        self.flaws.late = rows.filter(|r| r.stream == root.stream && r.row > root.row).count() as u64;
    }
}

/// Which node an id means.
#[derive(Default)]
struct Ids {
    /// The one that came first.
    first: HashMap<SpanId, usize>,
    /// The server's half where an id is shared: the one that has the children.
    server: HashMap<SpanId, usize>,
    /// Contents that were seen under ids that came more than once.
    contents: HashSet<(SpanId, u64)>,
}

impl Ids {
    fn add<'a>(&mut self, row: &'a SpanRow, ahead: i64, nodes: &mut Vec<Node<'a>>, flaws: &mut Flaws) {
        let span = &row.span;
        let timed = span.start > 0 && span.end >= span.start;
        let (at, mut place) = (nodes.len(), Place::Told);
        match span.id {
            None => flaws.without_id += 1,
            Some(id) => match self.first.get(&id).copied() {
                None => _ = self.first.insert(id, at),
                Some(before) => {
                    let known = nodes[before].row.map(|r| &r.span);
                    self.contents.extend(known.map(|s| (id, content(s))));
                    if !self.contents.insert((id, content(span))) {
                        flaws.duplicates += 1;
                        return;
                    }
                    place = self.second(id, before, at, span, nodes);
                    flaws.conflicts += u64::from(place == Place::Conflict);
                }
            },
        }
        let (start, end) = (span.start, if timed { span.end } else { span.start });
        let corrected = if timed { ahead } else { 0 };
        nodes.push(Node {
            row: Some(row),
            id: span.id,
            parent: None,
            children: Vec::new(),
            start: start.saturating_sub(corrected),
            end: end.saturating_sub(corrected),
            corrected,
            timed,
            place,
        });
    }

    /// Where another span of an id stands.
    fn second(&mut self, id: SpanId, before: usize, at: usize, span: &Span, nodes: &mut [Node<'_>]) -> Place {
        let other = nodes[before].row.map(|r| r.span.kind);
        if self.server.contains_key(&id) {
            return Place::Conflict;
        }
        match (other, span.kind) {
            (Some(SpanKind::Client), SpanKind::Server) => {
                self.server.insert(id, at);
                Place::Shared
            }
            (Some(SpanKind::Server), SpanKind::Client) => {
                self.server.insert(id, before);
                self.first.insert(id, at);
                nodes[before].place = Place::Shared;
                Place::Told
            }
            _ => Place::Conflict,
        }
    }

    /// Sets the parents; those that are missing get a place of their own. Says how many these are.
    fn parents(&self, nodes: &mut Vec<Node<'_>>) -> u64 {
        let mut missing = HashMap::<SpanId, usize>::new();
        for at in 0..nodes.len() {
            if nodes[at].place == Place::Shared {
                nodes[at].parent = nodes[at].id.and_then(|id| self.first.get(&id).copied());
                continue;
            }
            let Some(told) = nodes[at].row.and_then(|r| r.span.parent) else { continue };
            let known = self.server.get(&told).or_else(|| self.first.get(&told)).copied();
            let parent = known.unwrap_or_else(|| {
                *missing.entry(told).or_insert_with(|| {
                    nodes.push(Node {
                        row: None,
                        id: Some(told),
                        parent: None,
                        children: Vec::new(),
                        start: 0,
                        end: 0,
                        corrected: 0,
                        timed: false,
                        place: Place::Missing,
                    });
                    nodes.len() - 1
                })
            });
            nodes[at].parent = Some(parent);
        }
        missing.len() as u64
    }
}

/// A fingerprint of what a span says, wherever it stood.
fn content(s: &Span) -> u64 {
    let mut h = DefaultHasher::new();
    (s.trace, s.id, s.parent, &s.name, s.kind, s.start, s.end, s.status, &s.message).hash(&mut h);
    (s.service(), &*s.scope, s.attributes.to_string(), s.events.len(), s.links.len()).hash(&mut h);
    for event in &s.events {
        (event.time, &event.name, event.attributes.to_string()).hash(&mut h);
    }
    for link in &s.links {
        link.hash(&mut h);
    }
    s.resource.attributes.to_string().hash(&mut h);
    h.finish()
}

#[cfg(test)]
mod tests;
