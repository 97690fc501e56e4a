//! Lines of calls into libraries and databases.

use std::fmt::Write;

use coldcase_model::quantity::format_size;
use coldcase_model::{Boottime, Columns, Event, Nanos, events, library};
use coldcase_timeline::Timeline;

use super::line::end;

const CENSORED: u32 = 1;
const THREAD_ENDED: u32 = 2;

/// Whether a call was not seen to return, in words.
fn unfinished(flags: u32, who: &str) -> String {
    match flags {
        f if f & CENSORED != 0 => ", not done when the capture ended".to_owned(),
        f if f & THREAD_ENDED != 0 => format!(", its {who} ended in it"),
        _ => String::new(),
    }
}

pub(super) fn tls_call(t: &Timeline, columns: &Columns, i: usize) -> Option<String> {
    let c = events::TlsCall::cols(columns).ok()?;
    let who = t.processes().describe(c.tid[i], c.pid[i], Boottime(c.time[i]));
    let mut out = format!("{who} {} {}", library::tls_function(c.function[i]), Nanos(c.duration[i]));
    match (library::tls_reads(c.function[i]), unfinished(c.flags[i], "thread")) {
        (_, open) if !open.is_empty() => out.push_str(&open),
        _ if c.result[i] <= 0 => _ = write!(out, ", returned {}", c.result[i]),
        (Some(true), _) => _ = write!(out, ", received {}", format_size(c.bytes[i])),
        (Some(false), _) => _ = write!(out, ", sent {}", format_size(c.bytes[i])),
        (None, _) => {}
    }
    match c.family[i] {
        2 | 10 => {
            let (local, remote) = (end(c.local_addr[i], c.local_port[i]), end(c.remote_addr[i], c.remote_port[i]));
            _ = write!(out, ", {local} > {remote}");
        }
        _ if c.socket[i] != 0 => out.push_str(", a socket that is not IP"),
        _ => {}
    }
    Some(out)
}

pub(super) fn statement(t: &Timeline, columns: &Columns, i: usize) -> Option<String> {
    /// Flag bits.
    const BEFORE: u32 = 4;
    const NO_PORTAL: u32 = 8;
    const FAILED: u32 = 16;
    const UNREAD: u32 = 64;
    const WORKER: u32 = 128;
    let c = events::Statement::cols(columns).ok()?;
    let who = t.processes().describe(c.tid[i], c.pid[i], Boottime(c.time[i]));
    let mut out = format!("{who} {}", Nanos(c.duration[i]));
    match c.flags[i] {
        f if f & FAILED != 0 => out.push_str(", failed"),
        f if f & WORKER != 0 => out.push_str(" as a parallel worker"),
        f if f & (NO_PORTAL | BEFORE) == NO_PORTAL => out.push_str(", not executed"),
        _ => _ = write!(out, ", executing {}", Nanos(c.executing[i])),
    }
    out.push_str(&unfinished(c.flags[i], "process"));
    match c.flags[i] {
        f if f & BEFORE != 0 => out.push_str(", ran already when the capture began"),
        f if f & UNREAD != 0 => out.push_str(": its text could not be read"),
        _ => _ = write!(out, ": {}", c.query.text(i)),
    }
    Some(out)
}

pub(super) fn name_lookup(t: &Timeline, columns: &Columns, i: usize) -> Option<String> {
    let c = events::NameLookup::cols(columns).ok()?;
    let who = t.processes().describe(c.tid[i], c.pid[i], Boottime(c.time[i]));
    let mut out = format!("{who} getaddrinfo({}) {}", c.name.text(i), Nanos(c.duration[i]));
    match unfinished(c.flags[i], "thread") {
        open if !open.is_empty() => out.push_str(&open),
        _ if c.result[i] != 0 => _ = write!(out, ", {}", library::lookup_error(c.result[i])),
        _ => {}
    }
    Some(out)
}
