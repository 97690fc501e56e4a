//! The network on the page: the map, the edges, who sends most, the connections, and the sickest of them segment by
//! segment.

use coldcase_model::analysis::{Analysis, Connection, Edge};

use super::table::{Cell, code, fault, figure, left_out, maybe, size, table, tally, time, words};
use crate::ReportError;
use crate::canvas::Skin;
use crate::flow::{Map, ranked, svg};
use crate::sequence;
use crate::talkers::{Talker, talkers};
use crate::text::{bytes, count, escape, number, offset, plural, share, shorten};

/// Rows of edges.
const EDGES: usize = 100;
/// Rows of those that send.
const TALKERS: usize = 50;
/// Rows of connections.
const CONNECTIONS: usize = 500;
/// Pictures of connections.
const SEQUENCES: usize = 3;

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
    out.push_str(&senders(a));
    out.push_str(&connections(a));
    out.push_str(&sequences(a)?);
    out.push_str(&super::requests::body(a));
    Ok(out)
}

/// The map shrinks to the page, but not so far that its labels cannot be read.
fn sized(svg: &str) -> String {
    let wide = svg.split("width=\"").nth(1).and_then(|w| w.split('"').next()).and_then(|w| w.parse::<f64>().ok());
    svg.replacen("<svg ", &format!("<svg style=\"min-width:{:.0}px\" ", wide.unwrap_or(640.0) * 0.78), 1)
}

fn edges(a: &Analysis) -> String {
    let all = ranked(a);
    let asked = all.iter().any(|e| e.requests > 0);
    let rows = all.iter().take(EDGES).map(|e| edge(e, asked)).collect();
    let mut columns = vec!["client", "server", "#connections", "#packets", "#bytes"];
    if asked {
        columns.extend(["#requests", "#per second", "#errors", "#unanswered", "#p50", "#p99"]);
    }
    columns.extend(["#RTT (median)", "#retransmitted", "#of packets", "#resets", "#unanswered SYNs"]);
    let left = left_out(EDGES.min(all.len()), all.len(), "pairs");
    format!("<h3>Services</h3>\n{}", table("Services", &columns, rows, left))
}

/// `asked`: whether there are requests on any edge.
fn edge(e: &Edge, asked: bool) -> Vec<Cell> {
    let mut row = vec![words(&e.from), words(&e.to), tally(e.connections), tally(e.packets), size(e.bytes)];
    if asked {
        row.extend([tally(e.requests), figure(e.request_rate, &number(e.request_rate))]);
        row.extend([fault(e.request_errors), fault(e.unanswered_requests)]);
        row.extend([maybe(e.request_p50, time), maybe(e.request_p99, time)]);
    }
    row.push(maybe(e.rtt, time));
    row.push(fault(e.retransmissions));
    row.push(figure(e.retransmit_share, &share(e.retransmit_share)));
    row.extend([e.resets, e.unanswered_syns].map(fault));
    row
}

/// Who sends most, and who is chattiest.
fn senders(a: &Analysis) -> String {
    let all = talkers(a);
    let most = |of: fn(&Talker) -> u64| all.iter().rev().max_by_key(|t| of(t)).filter(|t| of(t) > 0);
    let name = |t: &Talker| format!("<b>{}</b>", escape(&shorten(&t.name, 80)));
    let mut told = Vec::new();
    if let Some(t) = most(|t| t.bytes) {
        told.push(format!("Most bytes were sent by {} ({})", name(t), bytes(t.bytes)));
    }
    if let Some(t) = most(|t| t.packets) {
        let each = bytes(t.bytes.checked_div(t.packets).unwrap_or(0));
        told.push(format!("most packets by {} ({} of {each} on average)", name(t), count(t.packets)));
    }
    if let Some(t) = most(|t| t.asked) {
        told.push(format!("most requests by {} ({})", name(t), count(t.asked)));
    }
    if told.is_empty() {
        return String::new();
    }
    let rows = all
        .iter()
        .take(TALKERS)
        .map(|t| {
            let each = t.bytes.checked_div(t.packets).unwrap_or(0);
            let mut row = vec![words(&t.name), tally(t.peers), size(t.bytes), tally(t.packets), size(each)];
            row.extend([size(t.bytes_in), tally(t.packets_in), tally(t.asked), tally(t.served)]);
            row
        })
        .collect();
    let columns = [
        "who",
        "#talks to",
        "#bytes sent",
        "#packets sent",
        "#bytes a packet",
        "#bytes received",
        "#packets received",
        "#requests sent",
        "#requests received",
    ];
    format!(
        "<h3>Who sends most</h3>\n<p>{}.</p>\n{}",
        told.join(", "),
        table("Who sends most", &columns, rows, left_out(TALKERS.min(all.len()), all.len(), "that send"))
    )
}

/// The connections with most trouble, segment by segment.
fn sequences(a: &Analysis) -> Result<String, ReportError> {
    let mut out = String::new();
    for s in a.flow.sequences.iter().take(SEQUENCES) {
        let Some(c) = a.flow.connections.get(s.connection) else { continue };
        if out.is_empty() {
            out.push_str(
                "<h3>The connections with most trouble</h3>\n<p class=\"hint\">Sequence numbers over time: each bar is a segment. \
<code>coldcase flow --conn N</code> tells the rest, and draws any other.</p>\n",
            );
        }
        let left = sequence::left_out(s).map(|t| format!("<span>{}</span>", escape(&t))).unwrap_or_default();
        out.push_str(&format!(
            "<figure class=\"sequence\"><figcaption><b>connection {}: {} → {}</b> <span>from {}</span>{left}</figcaption>\
<div class=\"scroll\"><div class=\"chart\">{}</div></div></figure>\n",
            s.connection,
            escape(&sequence::end(&c.a, c.process_a.as_deref())),
            escape(&sequence::end(&c.b, c.process_b.as_deref())),
            offset(c.first, a.bundle.first),
            sequence::svg(a, s, Skin::Page)?
        ));
    }
    Ok(out)
}

/// How much is wrong with it, to be compared.
fn wrong(c: &Connection) -> (u64, u64) {
    c.tcp.as_ref().map_or((0, 0), |t| {
        let (stalled, counts) = t.trouble();
        (stalled, counts.saturating_add(t.resets).saturating_add(t.kernel_retransmissions.unwrap_or(0)))
    })
}

fn connections(a: &Analysis) -> String {
    let mut all: Vec<(usize, &Connection)> = a.flow.connections.iter().enumerate().collect();
    if all.is_empty() {
        return String::new();
    }
    let weight = |c: &Connection| c.bytes_ab.saturating_add(c.bytes_ba);
    all.sort_by(|(_, x), (_, y)| {
        (wrong(y), weight(y))
            .cmp(&(wrong(x), weight(x)))
            .then_with(|| (x.first, &x.a, &x.b).cmp(&(y.first, &y.a, &y.b)))
    });
    let rows = all.iter().take(CONNECTIONS).map(|&(at, c)| connection(a, at, c)).collect();
    let columns = [
        "#conn",
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
        "#stood still",
        "#requests",
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

/// `at`: its number, which `flow --conn` takes.
fn connection(a: &Analysis, at: usize, c: &Connection) -> Vec<Cell> {
    let length = c.last.saturating_sub(c.first).max(0) as u64;
    let tcp = c.tcp.as_ref();
    vec![
        figure(at as f64, &at.to_string()),
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
        maybe(tcp.filter(|t| t.more.stall_count > 0).map(|t| t.more.stalled), time),
        tally(c.requests),
        maybe(tcp.and_then(|t| t.rtt), time),
        tally(c.packets_ab),
        tally(c.packets_ba),
        size(c.bytes_ab),
        size(c.bytes_ba),
        words(&c.proto),
        maybe(c.evidence.first(), |e| code(&e.to_string())),
    ]
}
