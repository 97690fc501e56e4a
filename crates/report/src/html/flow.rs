//! The network on the page: the map, the edges, the connections.

use coldcase_model::analysis::{Analysis, Connection};

use super::table::{Cell, code, fault, figure, left_out, maybe, table, tally, words};
use crate::ReportError;
use crate::canvas::Skin;
use crate::flow::{Map, ranked, svg};
use crate::text::{bytes, count, duration, escape, offset, plural};

/// Rows of edges.
const EDGES: usize = 100;
/// Rows of connections.
const CONNECTIONS: usize = 500;

/// The section.
pub(crate) fn body(a: &Analysis) -> Result<String, ReportError> {
    let f = &a.flow;
    if f.connections.is_empty() && f.edges.is_empty() {
        return Ok("<p class=\"none\">No connections were recorded.</p>".to_owned());
    }
    let mut out = format!(
        "<p>{} in {}, {}{}.</p>\n",
        plural(f.packets, "packet", "packets"),
        plural(f.connections.len() as u64, "connection", "connections"),
        bytes(f.bytes),
        if f.malformed > 0 {
            format!("; <b class=\"bad\">{} could not be decoded</b>", count(f.malformed))
        } else {
            String::new()
        }
    );
    if !f.edges.is_empty() {
        out.push_str(&format!("<figure class=\"map\"><div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Flow map\">{}</div>", sized(&svg(a, Skin::Page)?)));
        if let Some(text) = Map::of(a).left_out() {
            out.push_str(&format!("<figcaption class=\"hint\">{}</figcaption>", escape(&text)));
        }
        out.push_str("</figure>\n");
        out.push_str(&edges(a));
    }
    out.push_str(&connections(a));
    Ok(out)
}

/// The map shrinks to the page, but not so far that its labels cannot be read.
fn sized(svg: &str) -> String {
    let wide = svg.split("width=\"").nth(1).and_then(|w| w.split('"').next()).and_then(|w| w.parse::<f64>().ok());
    svg.replacen("<svg ", &format!("<svg style=\"min-width:{:.0}px\" ", wide.unwrap_or(640.0) * 0.78), 1)
}

fn time(ns: u64) -> Cell {
    figure(ns as f64, &duration(ns))
}

fn size(n: u64) -> Cell {
    figure(n as f64, &bytes(n))
}

fn edges(a: &Analysis) -> String {
    let all = ranked(a);
    let rows = all
        .iter()
        .take(EDGES)
        .map(|e| {
            vec![
                words(&e.from),
                words(&e.to),
                tally(e.connections),
                tally(e.packets),
                size(e.bytes),
                maybe(e.rtt, time),
                fault(e.retransmissions),
                fault(e.resets),
                fault(e.unanswered_syns),
            ]
        })
        .collect();
    let columns = [
        "client",
        "server",
        "#connections",
        "#packets",
        "#bytes",
        "#RTT (median)",
        "#retransmitted",
        "#resets",
        "#unanswered SYNs",
    ];
    table("Services", &columns, rows, left_out(EDGES.min(all.len()), all.len(), "pairs"))
}

fn wrong(c: &Connection) -> u64 {
    c.tcp.as_ref().map_or(0, |t| {
        t.resets
            .saturating_add(t.retransmissions)
            .saturating_add(t.unanswered_syns)
            .saturating_add(t.kernel_retransmissions.unwrap_or(0))
    })
}

fn connections(a: &Analysis) -> String {
    let mut all: Vec<&Connection> = a.flow.connections.iter().collect();
    if all.is_empty() {
        return String::new();
    }
    let weight = |c: &Connection| c.bytes_ab.saturating_add(c.bytes_ba);
    all.sort_by(|x, y| {
        (wrong(y), weight(y))
            .cmp(&(wrong(x), weight(x)))
            .then_with(|| (x.first, &x.a, &x.b).cmp(&(y.first, &y.a, &y.b)))
    });
    let rows = all.iter().take(CONNECTIONS).map(|c| connection(a, c)).collect();
    let columns = [
        "from",
        "process",
        "to",
        "process",
        "#first",
        "#length",
        "#resets",
        "#retransmitted",
        "#by the kernel",
        "#unanswered",
        "#zero windows",
        "#RTT",
        "#packets →",
        "#packets ←",
        "#bytes →",
        "#bytes ←",
        "proto",
        "evidence",
    ];
    let left = left_out(CONNECTIONS.min(all.len()), all.len(), "connections: those with trouble first, then by bytes");
    format!(
        "<h3>Connections</h3>\n<div class=\"tools\"><input type=\"search\" data-filter=\"connections\" placeholder=\"Filter: address, process, port\" aria-label=\"Filter connections\"><span role=\"status\" class=\"hint\"></span></div>\n<div id=\"connections\">{}</div>",
        table("Connections", &columns, rows, left)
    )
}

fn connection(a: &Analysis, c: &Connection) -> Vec<Cell> {
    let length = c.last.saturating_sub(c.first).max(0) as u64;
    let tcp = c.tcp.as_ref();
    vec![
        code(&c.a),
        maybe(c.process_a.as_deref(), words),
        code(&c.b),
        maybe(c.process_b.as_deref(), words),
        figure(c.first as f64, &offset(c.first, a.bundle.first)),
        time(length),
        maybe(tcp.map(|t| t.resets), fault),
        maybe(tcp.map(|t| t.retransmissions), fault),
        maybe(tcp.and_then(|t| t.kernel_retransmissions), fault),
        maybe(tcp.map(|t| t.unanswered_syns), fault),
        maybe(tcp.map(|t| t.zero_windows), fault),
        maybe(tcp.and_then(|t| t.rtt), time),
        tally(c.packets_ab),
        tally(c.packets_ba),
        size(c.bytes_ab),
        size(c.bytes_ba),
        words(&c.proto),
        maybe(c.evidence.first(), |e| code(&e.to_string())),
    ]
}
