//! The tables of what the packets came to: `connections` and `requests`.

use coldcase_model::analysis::{Connection, Flow, SeenRequest, TcpFacts};
use polars::prelude::*;

use crate::frame::{Ask, Frame};

/// Their names.
pub(crate) const FLOW_TABLES: [&str; 2] = ["connections", "requests"];

/// Both tables.
///
/// # Errors
/// What polars says.
pub fn flow_tables(flow: &Flow) -> PolarsResult<Vec<(&'static str, DataFrame)>> {
    Ok(vec![("connections", connections(&flow.connections)?), ("requests", requests(flow)?)])
}

fn connections(all: &[Connection]) -> PolarsResult<DataFrame> {
    let mut out = Frame::new(Ask::All);
    let tcp = |of: fn(&TcpFacts) -> u64| all.iter().map(|c| c.tcp.as_ref().map(of)).collect::<Vec<_>>();
    out.put("connection", || all.iter().map(|c| c.number).collect::<Vec<_>>());
    out.put("utc", || all.iter().map(|c| c.first).collect::<Vec<_>>());
    out.put("end", || all.iter().map(|c| c.last).collect::<Vec<_>>());
    out.put("proto", || all.iter().map(|c| c.proto.clone()).collect::<Vec<_>>());
    out.put("a", || all.iter().map(|c| c.a.clone()).collect::<Vec<_>>());
    out.put("b", || all.iter().map(|c| c.b.clone()).collect::<Vec<_>>());
    out.put("process_a", || all.iter().map(|c| c.process_a.clone()).collect::<Vec<_>>());
    out.put("process_b", || all.iter().map(|c| c.process_b.clone()).collect::<Vec<_>>());
    out.put("protocol", || all.iter().map(|c| c.protocol.clone()).collect::<Vec<_>>());
    out.put("packets_ab", || all.iter().map(|c| c.packets_ab).collect::<Vec<_>>());
    out.put("packets_ba", || all.iter().map(|c| c.packets_ba).collect::<Vec<_>>());
    out.put("bytes_ab", || all.iter().map(|c| c.bytes_ab).collect::<Vec<_>>());
    out.put("bytes_ba", || all.iter().map(|c| c.bytes_ba).collect::<Vec<_>>());
    out.put("requests", || all.iter().map(|c| c.requests).collect::<Vec<_>>());
    out.put("rtt", || all.iter().map(|c| c.tcp.as_ref().and_then(|t| t.rtt)).collect::<Vec<_>>());
    out.put("sent_again", || tcp(|t| t.sent_again()));
    out.put("retransmissions", || tcp(|t| t.retransmissions));
    out.put("resets", || tcp(|t| t.resets));
    out.put("zero_windows", || tcp(|t| t.zero_windows));
    out.put("unanswered_syns", || tcp(|t| t.unanswered_syns));
    out.put("stalled", || tcp(|t| t.more.stalled));
    out.finish()
}

fn requests(flow: &Flow) -> PolarsResult<DataFrame> {
    let all: &[SeenRequest] = &flow.requests;
    let of = |r: &SeenRequest| flow.connections.get(r.connection);
    let mut out = Frame::new(Ask::All);
    out.put("request", || all.iter().map(|r| r.number).collect::<Vec<_>>());
    out.put("utc", || all.iter().map(|r| r.start).collect::<Vec<_>>());
    out.put("connection", || all.iter().map(|r| of(r).map(|c| c.number)).collect::<Vec<_>>());
    out.put("client", || all.iter().map(|r| of(r).and_then(|c| c.process_a.clone())).collect::<Vec<_>>());
    out.put("service", || all.iter().map(|r| of(r).and_then(|c| c.process_b.clone())).collect::<Vec<_>>());
    out.put("protocol", || all.iter().map(|r| r.protocol.clone()).collect::<Vec<_>>());
    out.put("key", || all.iter().map(|r| r.key.clone()).collect::<Vec<_>>());
    out.put("detail", || all.iter().map(|r| r.detail.clone()).collect::<Vec<_>>());
    out.put("target", || all.iter().map(|r| r.target.clone()).collect::<Vec<_>>());
    out.put("code", || all.iter().map(|r| r.code.clone()).collect::<Vec<_>>());
    out.put("outcome", || all.iter().map(|r| r.outcome.clone()).collect::<Vec<_>>());
    out.put("first_byte", || all.iter().map(|r| r.first).collect::<Vec<_>>());
    out.put("duration", || all.iter().map(|r| r.duration).collect::<Vec<_>>());
    out.put("rows", || all.iter().map(|r| r.rows).collect::<Vec<_>>());
    out.put("request_bytes", || all.iter().map(|r| r.request_bytes).collect::<Vec<_>>());
    out.put("response_bytes", || all.iter().map(|r| r.response_bytes).collect::<Vec<_>>());
    out.put("trace", || all.iter().map(|r| r.span.as_ref().map(|s| s.trace.clone())).collect::<Vec<_>>());
    out.put("span", || all.iter().map(|r| r.span.as_ref().map(|s| s.span.clone())).collect::<Vec<_>>());
    out.put("first_frame", || all.iter().map(|r| r.frames[0]).collect::<Vec<_>>());
    out.put("last_frame", || all.iter().map(|r| r.frames[1]).collect::<Vec<_>>());
    out.finish()
}
