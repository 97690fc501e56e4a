//! `coldcase flow --conn`: one connection, and all that is known of it.

use std::fmt::Write as _;

use coldcase_analyze::flow::Sequences;
use coldcase_model::analysis::{Analysis, Connection, Sequence, SocketFacts, TcpFacts};
use coldcase_model::quantity::format_size;
use coldcase_model::text::visible;
use coldcase_model::{Nanos, Utc};
use serde_json::json;

use super::{Args, tcp};
use crate::args::rfc3339;
use crate::exit::{Exit, Failure};
use crate::out::{Out, Style};
use crate::reading::{Document, documents, name, write_picture};
use crate::requests;
use coldcase_model::columns::columns;

/// Frames of a mark that are listed.
const FRAMES: usize = 12;
/// Width of the labels.
const LABEL: usize = 16;

pub(super) fn run(args: &Args, at: usize, out: &Out) -> Result<Exit, Failure> {
    let [file] = args.files.as_slice() else {
        return Err(Failure::usage("--conn: a connection is of one bundle or capture file"));
    };
    let a = args.reading.flow_with(file, Sequences::One(at), out)?;
    for problem in &a.quality.problems {
        out.warning(&format!("{}: {problem}", file.display()));
    }
    let Some(c) = a.flow.connections.get(at) else {
        let there = match a.flow.connections.len() {
            0 => "there is none".to_owned(),
            n => format!("the last is {}", n - 1),
        };
        return Err(Failure::usage(format!("--conn {at}: {}: no such connection, {there}", file.display()))
            .hint("coldcase flow FILE lists them with their numbers, --json all of them in order"));
    };
    let sequence = a.flow.sequences.first();
    if let Some(svg) = &args.svg {
        let Some(sequence) = sequence else {
            return Err(Failure::usage(format!("--svg: connection {at} is {}: it has no segments", c.proto)));
        };
        write_picture(svg, coldcase_report::sequence_svg(&a, sequence), args.force)?;
    }
    if out.json {
        documents(out, &[document(&a, at, c)])?;
    } else {
        out.text(&text(&a, at, c, args.top, out))?;
    }
    Ok(args.reading.exit(std::slice::from_ref(&a)))
}

fn document<'a>(a: &'a Analysis, at: usize, c: &'a Connection) -> Document<'a, serde_json::Value> {
    let of = |r: &&coldcase_model::analysis::SeenRequest| r.connection == at;
    let body = json!({
        "bundle": name(a),
        "number": at,
        "connection": c,
        "requests": a.flow.requests.iter().filter(of).collect::<Vec<_>>(),
        "sequence": a.flow.sequences.first(),
        "problems": a.quality.problems,
    });
    Document::new("coldcase.flow_connection", body)
}

fn text(a: &Analysis, at: usize, c: &Connection, top: usize, out: &Out) -> String {
    let title = format!("connection {at}: {} → {}, {}", c.a, c.b, c.proto);
    let mut text = format!("{}\n", out.style(Style::Bold, &visible(&title)));
    for (label, value) in fields(c) {
        let _ = writeln!(text, "{label:<LABEL$}{}", visible(&value));
    }
    if let Some(t) = &c.tcp {
        text.push_str(&stalls(c, t, out));
        text.push_str(&marks(t, out));
    }
    text.push_str(&requests::of_connection(&a.flow, at, top, out));
    if let Some(left) = a.flow.sequences.first().and_then(left_out) {
        let _ = writeln!(text, "\n{left}");
    }
    text
}

/// How much of a long connection its picture and its JSON do not have.
fn left_out(s: &Sequence) -> Option<String> {
    let left = s.ways.iter().map(|w| w.left_out).sum::<u64>();
    (left > 0)
        .then(|| format!("of its segments, acknowledgments and windows {left} are not in --svg and --json: too many"))
}

fn fields(c: &Connection) -> Vec<(&'static str, String)> {
    let mut out = vec![
        ("a", side(&c.a, c.process_a.as_deref(), c.found_a.as_deref())),
        ("b", side(&c.b, c.process_b.as_deref(), c.found_b.as_deref())),
    ];
    let lasted = Nanos(u64::try_from(c.last.saturating_sub(c.first)).unwrap_or(0));
    let [first, last] = c.frames;
    out.push(("seen", format!("{} for {lasted}, frames {first} to {last}", rfc3339(Utc(c.first), 6))));
    if let Some(stream) = c.stream {
        out.push(("tshark", format!("{}.stream {stream}", c.proto)));
    }
    let both = |ab: String, ba: String| format!("→ {ab}, ← {ba}");
    out.push(("packets", both(c.packets_ab.to_string(), c.packets_ba.to_string())));
    out.push(("bytes", both(format_size(c.bytes_ab), format_size(c.bytes_ba))));
    if let Some(t) = &c.tcp {
        out.extend(tcp_fields(t));
    }
    for (label, facts) in [("kernel, side a", &c.socket_a), ("kernel, side b", &c.socket_b)] {
        out.extend(facts.as_ref().map(|s| (label, socket(s))));
    }
    if let Some(protocol) = &c.protocol {
        let unread = if c.unread > 0 { format!(", {} not read", format_size(c.unread)) } else { String::new() };
        out.push(("speaks", format!("{protocol}: {}{unread}", many(c.requests, "request"))));
    }
    // A capture file has no rows to cite.
    let rows: Vec<String> = c.evidence.iter().filter(|e| !e.bundle.is_empty()).map(ToString::to_string).collect();
    if !rows.is_empty() {
        out.push(("evidence", rows.join(", ")));
    }
    out
}

/// `10.0.0.1:4000  orders[7], which acted on the socket`.
fn side(address: &str, process: Option<&str>, found: Option<&str>) -> String {
    let Some(process) = process else { return format!("{address}  (process not known)") };
    let how = match found {
        Some("acted") => ", seen acting on the socket",
        Some("held") => ", which held the socket",
        Some("inferred") => ", inferred: it listens on the port",
        _ => "",
    };
    format!("{address}  {process}{how}")
}

fn tcp_fields(t: &TcpFacts) -> Vec<(&'static str, String)> {
    let m = &t.more;
    let mut out = Vec::new();
    out.push((
        "handshake",
        match (t.handshake, t.rtt) {
            (true, Some(rtt)) => format!("whole, {}", Nanos(rtt)),
            (true, None) => "whole".to_owned(),
            (false, _) if t.unanswered_syns > 0 => format!("{} without an answer", many(t.unanswered_syns, "SYN")),
            (false, _) if m.syns > 0 => "not finished".to_owned(),
            (false, _) => "before the capture".to_owned(),
        },
    ));
    let nanos = |n: i64| Nanos(u64::try_from(n).unwrap_or(0));
    if let Some(r) = &m.ack_rtt {
        let [min, p50, p95, max] = [r.min, r.p50, r.p95, r.max].map(nanos);
        out.push(("round trips", format!("{}: min {min}, p50 {p50}, p95 {p95}, max {max}", r.count)));
    }
    let rate = |payload, goodput| match goodput {
        0 => format_size(payload),
        _ => format!("{} ({}/s)", format_size(payload), format_size(goodput)),
    };
    out.push(("payload", format!("→ {}, ← {}", rate(m.payload_ab, m.goodput_ab), rate(m.payload_ba, m.goodput_ba))));
    let again = [("→", m.sent_again_ab), ("←", m.sent_again_ba)].map(|(way, s)| match s.segments {
        0 => format!("{way} none"),
        n => {
            let (bytes, needless) = (format_size(s.bytes), format_size(s.needless_bytes));
            format!("{way} {}, {bytes} (needless {needless})", many(n, "segment"))
        }
    });
    out.push(("sent again", again.join(", ")));
    let kernel = t.kernel_retransmissions.map(|n| format!("; the kernel says {n}")).unwrap_or_default();
    out.push((
        "Wireshark says",
        format!(
            "{} ({} fast, {} spurious), {} out of order{kernel}",
            many(t.retransmissions, "retransmission"),
            t.fast_retransmissions,
            t.spurious_retransmissions,
            t.out_of_order
        ),
    ));
    out.push((
        "acknowledged",
        format!("{}, {}", many(t.duplicate_acks, "duplicate ACK"), many(t.lost_segments, "hole")),
    ));
    out.push((
        "windows",
        format!(
            "{} closed, {}, {} filled, {}; {} in flight at most",
            t.zero_windows,
            many(m.zero_window_probes, "probe"),
            m.windows_full,
            many(m.window_updates, "update"),
            format_size(m.bytes_in_flight_max)
        ),
    ));
    out.push(("ends", format!("{}, resets: {}", many(m.fins, "FIN"), tcp::resets(t))));
    out
}

/// `1 hole`, `3 holes`.
fn many(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

fn socket(s: &SocketFacts) -> String {
    let connect = s.connect.map(|n| format!("connected in {}, ", Nanos(n))).unwrap_or_default();
    let error = s.error.as_ref().map(|e| format!(", closed with {e}")).unwrap_or_default();
    format!(
        "{connect}rtt {} to {}, cwnd {} at least, {} sent again, {} unsent and {} unread at most{error}",
        Nanos(s.rtt_min),
        Nanos(s.rtt_max),
        s.cwnd_min,
        s.retransmits,
        format_size(u64::from(s.send_queue_max)),
        format_size(u64::from(s.receive_queue_max))
    )
}

/// The longest times in which nothing went on.
fn stalls(c: &Connection, t: &TcpFacts, out: &Out) -> String {
    let m = &t.more;
    if m.stall_count == 0 {
        return String::new();
    }
    let rows: Vec<Vec<String>> = m
        .stalls
        .iter()
        .map(|s| {
            let who = if s.waiting == "a" {
                super::end(&c.a, c.process_a.as_deref())
            } else {
                super::end(&c.b, c.process_b.as_deref())
            };
            let at = Nanos(u64::try_from(s.start.saturating_sub(c.first)).unwrap_or(0));
            vec![
                format!("+{at}"),
                Nanos(s.length).to_string(),
                s.cause.replace('_', " "),
                format!("{} ({who})", s.waiting),
            ]
        })
        .collect();
    let title = match m.stall_count {
        1 => format!("stood still once, for {}", Nanos(m.stalled)),
        n => format!("stood still {n} times, {} in all", Nanos(m.stalled)),
    };
    let mut text =
        format!("\n{}\n{}", out.style(Style::Bold, &title), columns(&["at", "for", "cause", "who waited"], &rows));
    if m.stall_count > m.stalls.len() as u64 {
        let _ = writeln!(text, "and {} shorter ones", m.stall_count - m.stalls.len() as u64);
    }
    text
}

/// Numbers of the frames that Wireshark marks.
fn marks(t: &TcpFacts, out: &Out) -> String {
    if t.more.frames.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> = t
        .more
        .frames
        .iter()
        .map(|(mark, frames)| {
            let mut listed: Vec<String> = frames.iter().take(FRAMES).map(u64::to_string).collect();
            if frames.len() > FRAMES {
                listed.push("…".to_owned());
            }
            vec![mark.replace('_', " "), listed.join(" ")]
        })
        .collect();
    format!("\n{}\n{}", out.style(Style::Bold, "frames by mark"), columns(&["tcp.analysis", "frames"], &rows))
}
