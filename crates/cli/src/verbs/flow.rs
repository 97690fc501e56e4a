//! `coldcase flow`: connections and services.

mod conn;
mod tcp;

use std::path::PathBuf;

use coldcase_analyze::flow::filter::Filter;
use coldcase_model::Nanos;
use coldcase_model::analysis::{
    Analysis, Connection, Drops, Edge, FailedConnects, Flow, Folded, FullListener, RequestKind, RetriedRequests,
    SeenRequest, SocketFacts, VanishedRequests,
};
use coldcase_model::quantity::format_size;

use crate::exit::{Exit, Failure};
use crate::out::{Out, Style};
use crate::reading::{Document, Reading, documents, name, pages, picture};
use crate::requests;
use coldcase_model::columns::columns;

/// Show connections and services: packets, bytes, retransmissions, round trips, resets
///
/// Takes a bundle, or a pcap or pcapng file of another tool.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  coldcase flow incident.case
  coldcase flow incident.case --svg flow.svg
  coldcase flow incident.case -Y 'tcp port 5432 and not host 10.0.0.9'
  coldcase flow incident.case -Y 'http.response.code >= 500 or duration > 100ms'
  coldcase flow capture.pcapng --conn 3 --svg sequence.svg
  coldcase flow capture.pcapng --json | jq '.connections[] | select(.tcp.retransmissions > 0)'")]
pub(crate) struct Args {
    /// Bundles or capture files, each shown by itself
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Show this connection alone, and all that is known of it: its number as in the column conn, its place in the
    /// connections of --json
    #[arg(long, value_name = "N")]
    conn: Option<usize>,
    /// Write the map of services as SVG to this file; with --conn the segments of the connection over time
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Replace the SVG file if it is there
    #[arg(long)]
    force: bool,
    /// Only connections and requests that match, in tcpdump's or Wireshark's words
    #[arg(short = 'Y', long, value_name = "FILTER")]
    filter: Option<Filter>,
    /// How many services and connections to print
    #[arg(long, value_name = "N", default_value_t = 20)]
    top: usize,
    #[command(flatten)]
    reading: Reading,
}

pub(crate) fn run(args: Args, out: &Out) -> Result<Exit, Failure> {
    if let Some(at) = args.conn {
        return conn::run(&args, at, out);
    }
    let mut all = Vec::with_capacity(args.files.len());
    for file in &args.files {
        let mut analysis = args.reading.flow(file, out)?;
        if let Some(filter) = &args.filter {
            filter.apply(&mut analysis.flow);
        }
        for problem in &analysis.quality.problems {
            out.warning(&format!("{}: {problem}", file.display()));
        }
        all.push(analysis);
    }
    picture(args.svg.as_ref(), args.force, &all, coldcase_report::flow_svg)?;
    if out.json {
        documents(out, &all.iter().map(document).collect::<Vec<_>>())?;
    } else {
        pages(out, &all, |a| text(&a.flow, args.top, out))?;
    }
    Ok(args.reading.exit(&all))
}

/// What `--json` prints.
#[derive(serde::Serialize)]
struct Body<'a> {
    bundle: serde_json::Value,
    packets: u64,
    bytes: u64,
    copies: u64,
    malformed: u64,
    malformed_frames: &'a [u64],
    cut: u64,
    incomplete_datagrams: u64,
    folded: &'a Folded,
    connections: &'a [Connection],
    edges: &'a [Edge],
    drops: &'a [Drops],
    failed_connects: &'a [FailedConnects],
    full_listeners: &'a [FullListener],
    requests: &'a [SeenRequest],
    request_kinds: &'a [RequestKind],
    vanished: &'a [VanishedRequests],
    retried: &'a [RetriedRequests],
    requests_note: &'a str,
    problems: &'a [String],
}

fn document(a: &Analysis) -> Document<'_, Body<'_>> {
    let flow = &a.flow;
    let body = Body {
        bundle: name(a),
        packets: flow.packets,
        bytes: flow.bytes,
        copies: flow.copies,
        malformed: flow.malformed,
        malformed_frames: &flow.malformed_frames,
        cut: flow.cut,
        incomplete_datagrams: flow.incomplete_datagrams,
        folded: &flow.folded,
        connections: &flow.connections,
        edges: &flow.edges,
        drops: &flow.drops,
        failed_connects: &flow.failed_connects,
        full_listeners: &flow.full_listeners,
        requests: &flow.requests,
        request_kinds: &flow.request_kinds,
        vanished: &flow.vanished,
        retried: &flow.retried,
        requests_note: requests::NOTE,
        problems: &a.quality.problems,
    };
    Document::new("coldcase.flow", body)
}

fn text(flow: &Flow, top: usize, out: &Out) -> String {
    let mut text = head(flow);
    if flow.connections.is_empty() {
        text.push_str(&kernel(flow, top, out));
        return text;
    }
    let more = |all: usize| if all > top { format!("and {} more (--top)\n", all - top) } else { String::new() };
    text.push_str(&format!("\n{}\n", out.style(Style::Bold, "services")));
    let mut head = vec!["from → to", "connections", "packets", "bytes", "sent again", "resets", "no answer", "rtt p50"];
    let asked = flow.edges.iter().any(|e| e.requests > 0);
    if asked {
        head.extend(["requests", "per second", "errors", "unanswered", "p50", "p99"]);
    }
    let rows: Vec<Vec<String>> = flow.edges.iter().take(top).map(|e| edge(e, asked)).collect();
    text.push_str(&columns(&head, &rows));
    text.push_str(&more(flow.edges.len()));
    text.push_str(&format!("\n{}\n", out.style(Style::Bold, "connections, largest first")));
    let mut by_bytes: Vec<&Connection> = flow.connections.iter().collect();
    by_bytes.sort_by_key(|c| std::cmp::Reverse(c.bytes_ab + c.bytes_ba));
    let rows: Vec<Vec<String>> = by_bytes.iter().take(top).map(|c| connection(c)).collect();
    let head =
        ["a → b", "conn", "proto", "packets", "bytes →", "bytes ←", "rtt", "sent again", "resets", "zero window"];
    text.push_str(&columns(&head, &rows));
    text.push_str(&more(flow.connections.len()));
    let sick = tcp::rows(&flow.connections);
    if !sick.is_empty() {
        text.push_str(&format!("\n{}\n", out.style(Style::Bold, "TCP trouble, longest standstill first")));
        text.push_str(&columns(&tcp::HEAD, &sick[..sick.len().min(top)]));
        text.push_str(&more(sick.len()));
    }
    text.push_str(&requests::text(flow, top, out));
    text.push_str(&kernel(flow, top, out));
    text
}

/// How much there is, and what of it could not be told.
fn head(flow: &Flow) -> String {
    let mut text = format!("{} packets, {}", flow.packets, format_size(flow.bytes));
    if flow.malformed > 0 {
        let frames: Vec<String> = flow.malformed_frames.iter().take(5).map(u64::to_string).collect();
        let frames = match frames.len() {
            0 => String::new(),
            n if n as u64 == flow.malformed => format!(" (frame {})", frames.join(", ")),
            _ => format!(" (frame {}, …)", frames.join(", ")),
        };
        text.push_str(&format!(", {} malformed{frames}", flow.malformed));
    }
    if flow.cut > 0 {
        text.push_str(&format!(", {} cut before their ports", flow.cut));
    }
    if flow.incomplete_datagrams > 0 {
        text.push_str(&format!(", {} datagrams with fragments missing", flow.incomplete_datagrams));
    }
    if flow.copies > 0 {
        text.push_str(&format!(", {} of them seen again on another interface and counted once", flow.copies));
    }
    text.push_str(&format!(", {} connections\n", flow.connections.len()));
    let folded = &flow.folded;
    if folded.connections > 0 {
        text.push_str(&format!(
            "{} more connections were too many to list: {} packets, {}, {} SYNs without an answer\n",
            folded.connections,
            folded.packets,
            format_size(folded.bytes),
            folded.unanswered_syns
        ));
    }
    text
}

/// What the kernel told beside the packets: sockets, failed connects, drops.
fn kernel(flow: &Flow, top: usize, out: &Out) -> String {
    let mut text = String::new();
    let mut table = |title: &str, head: &[&str], rows: Vec<Vec<String>>| {
        if !rows.is_empty() {
            text.push_str(&format!("\n{}\n", out.style(Style::Bold, title)));
            text.push_str(&columns(head, &rows[..rows.len().min(top)]));
            if rows.len() > top {
                text.push_str(&format!("and {} more (--top)\n", rows.len() - top));
            }
        }
    };
    let head =
        ["local → remote", "connect", "rtt min", "rtt max", "cwnd min", "sent again", "unsent", "unread", "error"];
    let mut by_bytes: Vec<&Connection> = flow.connections.iter().collect();
    by_bytes.sort_by_key(|c| std::cmp::Reverse(c.bytes_ab + c.bytes_ba));
    let ends = by_bytes.iter().flat_map(|c| [(&c.a, &c.b, &c.socket_a), (&c.b, &c.a, &c.socket_b)]);
    let rows = ends.filter_map(|(local, remote, facts)| Some(socket(local, remote, facts.as_ref()?)));
    table("sockets, as the kernel saw them", &head, rows.collect());
    let failed = flow.failed_connects.iter().map(|f| {
        vec![format!("{} → {}", f.process, f.to), f.error.clone(), f.count.to_string(), Nanos(f.longest).to_string()]
    });
    table("connects that failed", &["from → to", "error", "times", "longest"], failed.collect());
    let full = flow.full_listeners.iter().map(|l| {
        let queue = format!("{} of {}", l.queue_max, l.limit);
        vec![format!("{} ({})", l.listener, l.process), l.turned_away.to_string(), queue]
    });
    table("listeners that turned connections away", &["listener", "times", "waited at most"], full.collect());
    let drops = flow.drops.iter().map(|d| {
        let dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
        vec![d.reason.clone(), dash(&d.location), d.packets.to_string(), format_size(d.bytes), dash(&d.to)]
    });
    table("packets that the kernel dropped", &["reason", "in", "packets", "bytes", "mostly to"], drops.collect());
    text
}

fn socket(local: &str, remote: &str, s: &SocketFacts) -> Vec<String> {
    let mut row = vec![format!("{local} → {remote}"), rtt(s.connect), rtt(Some(s.rtt_min)), rtt(Some(s.rtt_max))];
    row.extend([s.cwnd_min.to_string(), s.retransmits.to_string()]);
    row.extend([s.send_queue_max, s.receive_queue_max].map(|n| format_size(u64::from(n))));
    row.push(s.error.clone().unwrap_or_else(|| "-".to_owned()));
    row
}

fn rtt(ns: Option<u64>) -> String {
    ns.map_or_else(|| "-".to_owned(), |n| Nanos(n).to_string())
}

/// `asked`: whether there are requests on any edge.
fn edge(e: &Edge, asked: bool) -> Vec<String> {
    let mut row = vec![format!("{} → {}", e.from, e.to), e.connections.to_string(), e.packets.to_string()];
    row.push(format_size(e.bytes));
    row.push(match (e.retransmissions, e.retransmit_share * 100.0) {
        (0, _) => "0".to_owned(),
        (n, share) if share < 0.1 => format!("{n} (<0.1%)"),
        (n, share) => format!("{n} ({share:.1}%)"),
    });
    row.extend([e.resets, e.unanswered_syns].map(|n| n.to_string()));
    row.push(rtt(e.rtt));
    if asked {
        row.extend([e.requests.to_string(), format!("{:.1}", e.request_rate)]);
        row.extend([e.request_errors, e.unanswered_requests].map(|n| n.to_string()));
        row.extend([e.request_p50, e.request_p99].map(rtt));
    }
    row
}

fn connection(c: &Connection) -> Vec<String> {
    let ends = format!("{} → {}", end(&c.a, c.process_a.as_deref()), end(&c.b, c.process_b.as_deref()));
    let mut row = vec![ends, c.number.to_string(), c.proto.clone(), (c.packets_ab + c.packets_ba).to_string()];
    row.extend([format_size(c.bytes_ab), format_size(c.bytes_ba)]);
    match &c.tcp {
        Some(t) => {
            row.push(rtt(t.rtt));
            row.extend([t.retransmissions, t.resets, t.zero_windows].map(|n| n.to_string()));
        }
        None => row.extend(["-", "-", "-", "-"].map(str::to_owned)),
    }
    row
}

/// One end of a connection.
fn end(address: &str, process: Option<&str>) -> String {
    process.map_or_else(|| address.to_owned(), |p| format!("{p} {address}"))
}
