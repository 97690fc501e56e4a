//! Requests by operation, from spans: how long they took, what they called, how they failed.

use std::collections::{BTreeMap, HashMap};

use coldcase_decode::otlp::{Span, SpanId, SpanKind, SpanStatus, TraceId};
use coldcase_timeline::SpanRow;

use crate::quantile::quantile;

/// How far up a span's entry is looked for.
const DEPTH: usize = 10_000;
/// Blocks of equal time that a run is cut into, to see how it scatters within itself.
const BLOCKS: usize = 8;
/// Requests of an operation that a block needs.
const BLOCK: usize = 10;
/// Attributes that hold a statement, the summary first: it has no values.
const STATEMENT: [&str; 3] = ["db.query.summary", "db.query.text", "db.statement"];
/// Attributes that say that a span is a call of a database.
const DATABASE: [&str; 2] = ["db.system.name", "db.system"];
/// Characters of a text that kinds are told apart by.
const TEXT: usize = 200;

/// The requests of one kind: spans that are the first of their service.
#[derive(Debug, Default)]
pub(super) struct Operation {
    /// Durations, ascending; errors among them.
    pub(super) durations: Vec<u64>,
    pub(super) errors: u64,
    /// What requests call: of each callee, how many requests have so many calls. Requests without one are the rest.
    pub(super) calls: BTreeMap<String, BTreeMap<u64, u64>>,
    /// Errors by their text, numbers and ids masked: how many, and a trace.
    pub(super) error_texts: BTreeMap<String, (u64, Option<String>)>,
    /// The trace whose request took nearest to the median.
    pub(super) trace: Option<String>,
    /// Of blocks of equal time: median, and share of errors.
    pub(super) blocks: Vec<(f64, f64)>,
}

impl Operation {
    /// How many calls of `callee` most requests have; the smaller of two numbers that are as frequent.
    pub(super) fn usual(&self, callee: &str) -> u64 {
        let Some(calls) = self.calls.get(callee) else { return 0 };
        let none = (self.durations.len() as u64).saturating_sub(calls.values().sum());
        let all = calls.iter().map(|(&n, &requests)| (n, requests)).chain([(0, none)]);
        all.max_by_key(|&(n, requests)| (requests, std::cmp::Reverse(n))).map_or(0, |(n, _)| n)
    }

    /// The share of requests that have the usual number of calls of `callee`.
    pub(super) fn share_of_usual(&self, callee: &str) -> f64 {
        let usual = self.usual(callee);
        let calls = self.calls.get(callee);
        let some: u64 = calls.map_or(0, |c| c.values().sum());
        let with = match usual {
            0 => (self.durations.len() as u64).saturating_sub(some),
            n => calls.and_then(|c| c.get(&n)).copied().unwrap_or(0),
        };
        with as f64 / self.durations.len().max(1) as f64
    }

    /// Calls of `callee`, of all requests.
    pub(super) fn calls_of(&self, callee: &str) -> u64 {
        self.calls
            .get(callee)
            .map_or(0, |c| c.iter().fold(0u64, |sum, (n, requests)| sum.saturating_add(n.saturating_mul(*requests))))
    }

    /// The mean duration.
    pub(super) fn mean(&self) -> f64 {
        self.durations.iter().map(|&d| d as f64).sum::<f64>() / self.durations.len().max(1) as f64
    }
}

/// Spans by trace and id, with what each is under.
struct Forest<'a> {
    spans: &'a [SpanRow],
    by_id: HashMap<(TraceId, SpanId), usize>,
}

impl<'a> Forest<'a> {
    fn new(spans: &'a [SpanRow]) -> Forest<'a> {
        let by_id = spans.iter().enumerate().filter_map(|(i, s)| Some((key(&s.span)?, i))).collect();
        Forest { spans, by_id }
    }

    fn span(&self, i: usize) -> &'a Span {
        &self.spans[i].span
    }

    fn parent(&self, i: usize) -> Option<usize> {
        let s = self.span(i);
        self.by_id.get(&(s.trace?, s.parent?)).copied().filter(|&p| p != i)
    }

    /// Whether a span begins a request of its service: its parent is another's, or missing.
    fn begins(&self, i: usize) -> bool {
        let span = self.span(i);
        match self.parent(i) {
            Some(p) => self.span(p).service() != span.service(),
            None => !matches!(span.kind, SpanKind::Client | SpanKind::Producer) || span.parent.is_none(),
        }
    }

    /// The request that a span is a call in: the nearest above it.
    fn request(&self, i: usize) -> Option<usize> {
        let mut at = self.parent(i)?;
        for _ in 0..DEPTH {
            if self.begins(at) {
                return Some(at);
            }
            at = self.parent(at)?;
        }
        None
    }

    /// Whether a span has a duration, and is the one that its id stands for.
    fn counts(&self, i: usize) -> bool {
        let span = self.span(i);
        let valid = span.start > 0 && span.end >= span.start;
        valid && key(span).is_some_and(|k| self.by_id.get(&k) == Some(&i))
    }
}

fn key(span: &Span) -> Option<(TraceId, SpanId)> {
    Some((span.trace?, span.id?))
}

/// Operations, and what was asked of databases.
pub(super) fn of(spans: &[SpanRow]) -> (BTreeMap<String, Operation>, BTreeMap<String, Vec<u64>>) {
    let forest = Forest::new(spans);
    let mut calls: HashMap<usize, BTreeMap<String, u64>> = HashMap::new();
    let mut requests = BTreeMap::<String, Vec<usize>>::new();
    let mut statements = BTreeMap::<String, Vec<u64>>::new();
    for i in (0..spans.len()).filter(|&i| forest.counts(i)) {
        let span = forest.span(i);
        if forest.begins(i) {
            requests.entry(crate::latency::span::name(span)).or_default().push(i);
        }
        let statement = statement(span);
        if let Some(request) = forest.request(i) {
            let callee = statement.clone().unwrap_or_else(|| crate::latency::span::name(span));
            *calls.entry(request).or_default().entry(callee).or_default() += 1;
        }
        if let Some(statement) = statement {
            statements.entry(statement).or_default().push(span.duration());
        }
    }
    statements.values_mut().for_each(|durations| durations.sort_unstable());
    let mut out: BTreeMap<String, Operation> =
        requests.into_iter().map(|(name, of)| (name, operation(&forest, &of))).collect();
    for (request, made) in calls {
        if let Some(operation) = out.get_mut(&crate::latency::span::name(forest.span(request))) {
            for (callee, n) in made {
                *operation.calls.entry(callee).or_default().entry(n).or_default() += 1;
            }
        }
    }
    (out, statements)
}

fn operation(forest: &Forest<'_>, requests: &[usize]) -> Operation {
    let mut out = Operation::default();
    for &i in requests {
        let span = forest.span(i);
        out.durations.push(span.duration());
        if span.status == SpanStatus::Error {
            out.errors += 1;
            let text = masked(&span.message);
            let known = out.error_texts.entry(text).or_insert_with(|| (0, span.trace.map(|t| t.to_string())));
            known.0 += 1;
        }
    }
    out.durations.sort_unstable();
    let median = quantile(&out.durations, 50);
    let nearest = requests.iter().map(|&i| forest.span(i)).min_by_key(|s| (s.duration().abs_diff(median), s.start));
    out.trace = nearest.and_then(|s| s.trace).map(|t| t.to_string());
    out.blocks = blocks(forest, requests);
    out
}

/// The run in blocks of equal time; none where one has too few requests.
fn blocks(forest: &Forest<'_>, requests: &[usize]) -> Vec<(f64, f64)> {
    let starts = || requests.iter().map(|&i| forest.span(i).start);
    let (Some(first), Some(last)) = (starts().min(), starts().max()) else { return Vec::new() };
    let length = u128::from(last.abs_diff(first)) + 1;
    let mut all = vec![(Vec::new(), 0u64); BLOCKS];
    for &i in requests {
        let span = forest.span(i);
        let at = u128::from(span.start.abs_diff(first)) * BLOCKS as u128 / length;
        let block = &mut all[at as usize];
        block.0.push(span.duration());
        block.1 += u64::from(span.status == SpanStatus::Error);
    }
    if all.iter().any(|(durations, _)| durations.len() < BLOCK) {
        return Vec::new();
    }
    let of = |(durations, errors): &mut (Vec<u64>, u64)| {
        durations.sort_unstable();
        (quantile(durations, 50) as f64, *errors as f64 / durations.len() as f64)
    };
    all.iter_mut().map(of).collect()
}

/// What a span asks of a database, in the words that all such have in common, and who asks; none where it asks none.
fn statement(span: &Span) -> Option<String> {
    DATABASE.iter().find_map(|k| span.attributes.text(k))?;
    let words = STATEMENT.iter().find_map(|k| span.attributes.text(k)).filter(|text| !text.trim().is_empty());
    let words = words.map_or_else(|| span.name.clone(), |text| coldcase_model::sql::mask(text.as_bytes()));
    Some(format!("{} ({})", words.chars().take(TEXT).collect::<String>(), span.service()))
}

/// An error's text without what differs from one to the next: numbers, and with them most ids and addresses.
fn masked(text: &str) -> String {
    if text.is_empty() {
        return "error without a message".to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars().take(TEXT) {
        match c {
            '0'..='9' if out.ends_with('#') => {}
            '0'..='9' => out.push('#'),
            c => out.push(c),
        }
    }
    out
}
