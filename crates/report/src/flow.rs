//! `flow.svg`: who talks to whom. Services in layers from clients to servers, edges through their labels.

use std::collections::BTreeMap;

use coldcase_model::analysis::{Analysis, Edge};

use crate::ReportError;
use crate::canvas::{Align, Canvas, Skin, draw, text_width};
use crate::flow_layout::{LABEL_HIGH, LABEL_TALL, LABEL_WIDE, Layout, NODE_HIGH, NODE_WIDE, Place};
use crate::palette::Ink;
use crate::text::{bytes, count, duration, plural, share, shorten};

/// Services on the map.
pub(crate) const NODES: usize = 15;
/// Edges on the map.
pub(crate) const EDGES: usize = 24;

/// What the map shows, and what it had no room for.
#[derive(Debug, Default)]
pub(crate) struct Map<'a> {
    /// Services shown.
    pub(crate) nodes: Vec<String>,
    /// Edges shown: client, server, port, the edge.
    pub(crate) edges: Vec<(usize, usize, String, &'a Edge)>,
    /// Services in all.
    pub(crate) all_nodes: usize,
    /// Edges in all.
    pub(crate) all_edges: usize,
}

/// `orders:8081` is the service `orders` at port 8081; IPv6 addresses stand in brackets.
pub(crate) fn split_port(server: &str) -> (&str, &str) {
    match server.rsplit_once(':') {
        Some((name, port))
            if !name.is_empty()
                && !port.is_empty()
                && port.len() <= 5
                && port.bytes().all(|b| b.is_ascii_digit())
                && (!name.contains(':') || name.ends_with(']')) =>
        {
            (name, port)
        }
        _ => (server, ""),
    }
}

/// Signs of trouble on an edge.
pub(crate) fn trouble(e: &Edge) -> u64 {
    e.resets.saturating_add(e.retransmissions).saturating_add(e.unanswered_syns)
}

/// The edges in order of weight: troubled ones first, then by bytes.
pub(crate) fn ranked(a: &Analysis) -> Vec<&Edge> {
    let mut edges: Vec<&Edge> = a.flow.edges.iter().collect();
    edges.sort_by(|x, y| {
        (y.bytes, trouble(y)).cmp(&(x.bytes, trouble(x))).then_with(|| (&x.from, &x.to).cmp(&(&y.from, &y.to)))
    });
    // Trouble must not fall off the map because little was sent: a few such edges go first.
    let (mut sick, well): (Vec<&Edge>, Vec<&Edge>) = edges.into_iter().partition(|e| trouble(e) > 0);
    sick.sort_by(|x, y| trouble(y).cmp(&trouble(x)).then_with(|| (&x.from, &x.to).cmp(&(&y.from, &y.to))));
    sick.extend(well);
    sick
}

impl<'a> Map<'a> {
    /// Chooses what to show.
    pub(crate) fn of(a: &'a Analysis) -> Map<'a> {
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        let mut map = Map { all_edges: a.flow.edges.len(), ..Map::default() };
        let mut all: Vec<&str> = a.flow.edges.iter().flat_map(|e| [e.from.as_str(), split_port(&e.to).0]).collect();
        all.sort_unstable();
        all.dedup();
        map.all_nodes = all.len();
        for edge in ranked(a) {
            let (to, port) = split_port(&edge.to);
            let new = [edge.from.as_str(), to].iter().filter(|n| !names.contains_key(*n)).count();
            let same = usize::from(edge.from == to && new > 0);
            if map.edges.len() >= EDGES || names.len() + new - same > NODES {
                continue;
            }
            let mut id = |name: &'a str| {
                let next = names.len();
                *names.entry(name).or_insert_with(|| {
                    map.nodes.push(name.to_owned());
                    next
                })
            };
            let (from, to) = (id(&edge.from), id(to));
            map.edges.push((from, to, port.to_owned(), edge));
        }
        map
    }

    /// `15 of 40 services, 24 of 87 edges`, or nothing when all are there.
    pub(crate) fn left_out(&self) -> Option<String> {
        (self.nodes.len() < self.all_nodes || self.edges.len() < self.all_edges).then(|| {
            format!(
                "showing {} of {} services and {} of {} edges, those with trouble first, then by bytes",
                self.nodes.len(),
                self.all_nodes,
                self.edges.len(),
                self.all_edges
            )
        })
    }
}

/// The picture.
pub(crate) fn svg(a: &Analysis, skin: Skin) -> Result<String, ReportError> {
    let map = Map::of(a);
    let ends: Vec<(usize, usize)> = map.edges.iter().map(|e| (e.0, e.1)).collect();
    let head = if skin == Skin::File { 64.0 } else { 10.0 };
    let heights: Vec<f64> = map.edges.iter().map(|e| if e.3.requests > 0 { LABEL_TALL } else { LABEL_HIGH }).collect();
    let layout = Layout::new(&map.nodes, &ends, &heights);
    let size = (layout.width.max(640.0), layout.height.max(60.0) + head + 18.0);
    draw("Who talks to whom", size, skin, |canvas| {
        if skin == Skin::File {
            heading(canvas, a, &map);
        }
        if map.edges.is_empty() {
            canvas.text("No connections were recorded.", (24.0, head + 24.0), 13.0, Ink::Muted, Align::Start);
        }
        let most = map.edges.iter().map(|e| e.3.bytes).max().unwrap_or(1).max(1);
        for (i, (from, to, _, edge)) in map.edges.iter().enumerate() {
            edge_line(canvas, &layout, (*from, *to), i, edge, most, head);
        }
        for (i, (_, _, port, edge)) in map.edges.iter().enumerate() {
            edge_label(canvas, layout.labels.get(i).copied().unwrap_or_default(), port, edge, head);
        }
        for (i, name) in map.nodes.iter().enumerate() {
            node(canvas, &map, layout.nodes.get(i).copied().unwrap_or_default(), i, name, head);
        }
    })
}

fn heading(canvas: &mut Canvas<'_>, a: &Analysis, map: &Map<'_>) {
    canvas.bold("Who talks to whom", (24.0, 24.0), 18.0, Ink::Text, Align::Start);
    let mut under = format!(
        "{} · {} packets, {} · {}",
        shorten(&a.bundle.file, 60),
        count(a.flow.packets),
        bytes(a.flow.bytes),
        plural(a.flow.connections.len() as u64, "connection", "connections")
    );
    if let Some(left_out) = map.left_out() {
        under.push_str(" · ");
        under.push_str(&left_out);
    }
    canvas.text(&under, (24.0, 44.0), 11.5, Ink::Muted, Align::Start);
}

/// A smooth line from the client's right side through the label to the server.
fn edge_line(
    canvas: &mut Canvas<'_>,
    layout: &Layout,
    (from, to): (usize, usize),
    index: usize,
    edge: &Edge,
    most: u64,
    head: f64,
) {
    let (Some(a), Some(b), Some(label)) = (layout.nodes.get(from), layout.nodes.get(to), layout.labels.get(index))
    else {
        return;
    };
    let (exit, entry) = layout.ports.get(index).copied().unwrap_or_default();
    let start = (a.x + NODE_WIDE, a.y + exit + head);
    let middle = (label.x, label.y + head);
    let forward = b.x > a.x;
    let end = if forward { (b.x, b.y + entry + head) } else { (b.x + NODE_WIDE, b.y + entry + head) };
    let ink = if trouble(edge) > 0 { Ink::Bad } else { Ink::Muted };
    let weight = 1.2 + 3.0 * (edge.bytes as f64).ln_1p() / (most as f64).ln_1p();
    let (left, right) = ((middle.0 - label.high / 2.0, middle.1), (middle.0 + label.high / 2.0, middle.1));
    let mut points = curve(start, left, 1.0, 1.0);
    // A loop, or a way back, turns round where its label begins.
    let mut last = if forward { right } else { left };
    let mut leave = 1.0;
    let ahead = if forward { 1.0 } else { -1.0 };
    for &(x, y) in layout.ways.get(index).into_iter().flatten() {
        let (near, far) = if forward { (x - 12.0, x + NODE_WIDE + 12.0) } else { (x + NODE_WIDE + 12.0, x - 12.0) };
        points.extend(curve(last, (near, y + head), leave, ahead));
        last = (far, y + head);
        leave = ahead;
    }
    points.extend(curve(last, end, leave, ahead));
    canvas.path(&points, ink, weight, 0.55);
    let tip = end;
    let back = if forward { -9.0 } else { 9.0 };
    canvas.polygon(&[tip, (tip.0 + back, tip.1 - 4.5), (tip.0 + back, tip.1 + 4.5)], ink, 0.9);
}

/// Points of a cubic curve that leaves and arrives horizontally, in these directions.
fn curve(from: (f64, f64), to: (f64, f64), leave: f64, arrive: f64) -> Vec<(f64, f64)> {
    let reach = ((to.0 - from.0).abs() * 0.5).max(18.0);
    let (c1, c2) = ((from.0 + reach * leave, from.1), (to.0 - reach * arrive, to.1));
    (0..=20)
        .map(|i| {
            let t = f64::from(i) / 20.0;
            let u = 1.0 - t;
            let mix = |p0: f64, p1: f64, p2: f64, p3: f64| {
                u * u * u * p0 + 3.0 * u * u * t * p1 + 3.0 * u * t * t * p2 + t * t * t * p3
            };
            (mix(from.0, c1.0, c2.0, to.0), mix(from.1, c1.1, c2.1, to.1))
        })
        .collect()
}

/// What flowed on an edge.
fn flowed(port: &str, edge: &Edge) -> String {
    let port = if port.is_empty() { String::new() } else { format!(":{port} · ") };
    format!("{port}{} · {} pkts", bytes(edge.bytes), count(edge.packets))
}

/// How often it was asked, and how often in vain.
fn asked(edge: &Edge) -> (String, Option<String>) {
    let rate = match edge.request_rate {
        rate if rate >= 100.0 => format!("{} req/s", count(rate.round() as u64)),
        rate if rate >= 1.0 => format!("{rate:.1} req/s"),
        _ => plural(edge.requests, "request", "requests"),
    };
    let errors = edge.request_errors as f64 / edge.requests.max(1) as f64;
    (rate, (edge.request_errors > 0).then(|| format!("{} errors", share(errors))))
}

/// What went wrong on an edge, in words.
pub(crate) fn wrong(edge: &Edge) -> Option<String> {
    let mut wrong = Vec::new();
    if edge.resets > 0 {
        wrong.push(plural(edge.resets, "reset", "resets"));
    }
    if edge.retransmissions > 0 {
        wrong.push(format!("{} retransmitted", count(edge.retransmissions)));
    }
    if edge.unanswered_syns > 0 {
        wrong.push(plural(edge.unanswered_syns, "unanswered SYN", "unanswered SYNs"));
    }
    (!wrong.is_empty()).then(|| wrong.join(" · "))
}

/// Above the flat stretch of the line what flowed and how often it was asked, below it how long answers took, and
/// trouble or else the round trip.
fn edge_label(canvas: &mut Canvas<'_>, at: Place, port: &str, edge: &Edge, head: f64) {
    const LINE: f64 = 13.0;
    let (x, y) = (at.x, at.y + head);
    let plain = |canvas: &mut Canvas<'_>, text: &str, y: f64, ink: Ink| {
        patch(canvas, text, (x, y));
        if ink == Ink::Bad {
            canvas.bold(text, (x, y), 10.5, ink, Align::Middle);
        } else {
            canvas.text(text, (x, y), 10.5, ink, Align::Middle);
        }
    };
    let mut above = y - 9.0;
    if edge.requests > 0 {
        match asked(edge) {
            (rate, None) => plain(canvas, &rate, above, Ink::Text),
            (rate, Some(errors)) => {
                patch(canvas, &format!("{rate} · {errors}"), (x, above));
                // They meet a little left of the middle: the share is the longer one.
                canvas.text(&rate, (x - 8.0, above), 10.5, Ink::Text, Align::End);
                canvas.bold(&errors, (x, above), 10.5, Ink::Warn, Align::Start);
            }
        }
        above -= LINE;
    }
    plain(canvas, &flowed(port, edge), above, Ink::Text);
    let mut below = y + 9.5;
    if let Some((p50, p99)) = edge.request_p50.zip(edge.request_p99) {
        plain(canvas, &format!("p50 {} · p99 {}", duration(p50), duration(p99)), below, Ink::Text);
        below += LINE;
    } else if edge.requests > 0 {
        plain(canvas, "none was answered", below, Ink::Warn);
        below += LINE;
    }
    match (wrong(edge), edge.rtt) {
        (Some(wrong), _) => plain(canvas, &wrong, below, Ink::Bad),
        (None, Some(rtt)) => plain(canvas, &format!("RTT {}", duration(rtt)), below, Ink::Muted),
        (None, None) => {}
    }
}

/// Clears what other lines drew behind a label.
fn patch(canvas: &mut Canvas<'_>, text: &str, (x, y): (f64, f64)) {
    let half = text_width(text, 10.5).min(LABEL_WIDE) / 2.0 + 2.0;
    canvas.rect((x - half, y - 5.5), (x + half, y + 5.5), Ink::Surface);
}

fn node(canvas: &mut Canvas<'_>, map: &Map<'_>, at: Place, index: usize, name: &str, head: f64) {
    let (from, to) = ((at.x, at.y + head), (at.x + NODE_WIDE, at.y + at.high.max(NODE_HIGH) + head));
    let middle = (from.1 + to.1) / 2.0;
    canvas.rect(from, to, Ink::Panel);
    canvas.border(from, to, Ink::Muted, 1.25);
    let visible = coldcase_model::text::visible(name);
    canvas.bold(&shorten(&visible, 18), (from.0 + NODE_WIDE / 2.0, middle - 8.0), 13.0, Ink::Text, Align::Middle);
    let mut ports: Vec<&str> =
        map.edges.iter().filter(|e| e.1 == index && !e.2.is_empty()).map(|e| e.2.as_str()).collect();
    ports.sort_unstable_by_key(|p| (p.len(), *p));
    ports.dedup();
    let calls: u64 = map.edges.iter().filter(|e| e.0 == index || e.1 == index).map(|e| e.3.connections).sum();
    let mut under =
        if ports.is_empty() { plural(calls, "connection", "connections") } else { format!("{} conn.", count(calls)) };
    if !ports.is_empty() {
        let listed = ports.iter().take(2).map(|p| format!(":{p}")).collect::<Vec<_>>().join(" ");
        let more = if ports.len() > 2 { " …" } else { "" };
        under = format!("{listed}{more} · {under}");
    }
    canvas.text(&shorten(&under, 26), (from.0 + NODE_WIDE / 2.0, middle + 9.0), 10.5, Ink::Muted, Align::Middle);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_split_from_its_port() {
        assert_eq!(split_port("orders:8081"), ("orders", "8081"));
        assert_eq!(split_port("10.0.0.1:5432"), ("10.0.0.1", "5432"));
        assert_eq!(split_port("[::1]:80"), ("[::1]", "80"));
        assert_eq!(split_port("fe80::1"), ("fe80::1", ""));
        assert_eq!(split_port("nginx: worker"), ("nginx: worker", ""));
    }
}
