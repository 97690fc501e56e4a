//! Requests that were seen in packets, as slices: below a track for each server, beside each other where they overlap.

use std::io::{self, Write};

use coldcase_model::analysis::{Flow, SeenRequest};

use super::proto::{self, TrackEvent};
use super::tracks::Tracks;
use super::writer::{Said, Writer};

/// Their category.
const REQUEST: &str = "request";

/// Writes all requests: slices of those that were answered, instants of the others.
pub(super) fn put<W: Write>(w: &mut Writer<W>, tracks: &mut Tracks<'_>, flow: &Flow) -> io::Result<()> {
    let mut all: Vec<&SeenRequest> = flow.requests.iter().collect();
    all.sort_by_key(|r| (r.start, std::cmp::Reverse(r.duration), r.number));
    for r in all {
        let connection = flow.connections.get(r.connection);
        let server = connection.map_or("unknown", |c| c.process_b.as_deref().unwrap_or(&c.b));
        let above = tracks.named(w, 0, "requests")?;
        let name = format!("{} {server}", r.protocol);
        let mut event = w.event(REQUEST, &r.key);
        annotate(w, &mut event, r);
        if let Some(c) = connection {
            w.annotate(&mut event, "client", Said::Text(c.process_a.as_deref().unwrap_or(&c.a)));
            w.annotate(&mut event, "connection", Said::Text(&format!("{} > {}", c.a, c.b)));
        }
        match r.duration {
            Some(long) => {
                let end = r.start.saturating_add(i64::try_from(long).unwrap_or(i64::MAX));
                let track = tracks.free(w, (above, &name), (r.start, end))?;
                *w.counts.slices.entry(REQUEST.to_owned()).or_default() += 1;
                w.put(proto::SLICE_BEGIN, r.start, track, event)?;
                w.put(proto::SLICE_END, end, track, TrackEvent::default())?;
            }
            None => {
                let track = tracks.named(w, above, &format!("{name}, not answered"))?;
                *w.counts.instants.entry(REQUEST.to_owned()).or_default() += 1;
                w.put(proto::INSTANT, r.start, track, event)?;
            }
        }
    }
    Ok(())
}

fn annotate<W: Write>(w: &mut Writer<W>, event: &mut TrackEvent, r: &SeenRequest) {
    w.annotate(event, "number", Said::Uint(r.number));
    let texts = [("protocol", &r.protocol), ("detail", &r.detail), ("target", &r.target), ("code", &r.code)];
    for (name, text) in texts.into_iter().chain([("outcome", &r.outcome)]).filter(|(_, text)| !text.is_empty()) {
        w.annotate(event, name, Said::Text(text));
    }
    let times = [("sent_ns", r.sent), ("first_byte_ns", r.first), ("first_row_ns", r.first_row), ("rows", r.rows)];
    for (name, n) in times {
        if let Some(n) = n {
            w.annotate(event, name, Said::Uint(n));
        }
    }
    w.annotate(event, "request_bytes", Said::Uint(r.request_bytes));
    w.annotate(event, "response_bytes", Said::Uint(r.response_bytes));
    if let Some(span) = &r.span {
        w.annotate(event, "trace", Said::Text(&span.trace));
        w.annotate(event, "span", Said::Text(&span.span));
        w.annotate(event, "joined by", Said::Text(&span.how));
    }
}
