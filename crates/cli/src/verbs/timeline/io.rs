//! Lines of block requests, file calls and writeback.

use std::fmt::Write;

use coldcase_model::quantity::format_size;
use coldcase_model::{Boottime, Columns, Event, Nanos, block, events, file};
use coldcase_timeline::Timeline;

pub(super) fn request(t: &Timeline, columns: &Columns, i: usize) -> Option<String> {
    let c = events::BlockIo::cols(columns).ok()?;
    let who = match c.tid[i] {
        0 => c.comm.text(i).into_owned(),
        tid => t.processes().describe(tid, c.pid[i], Boottime(c.time[i])),
    };
    let mut out = format!(
        "{who} {} {} on {} sector {}: {} (queue {})",
        block::operation(c.op[i]),
        format_size(u64::from(c.bytes[i])),
        t.devices().name(c.dev[i]),
        c.sector[i],
        Nanos(c.duration[i]),
        Nanos(c.queue[i]),
    );
    if let Some(origin) = block::origin(c.origin[i]) {
        _ = write!(out, ", {origin}");
    }
    if c.origin[i] == block::THROTTLED {
        _ = write!(out, " of cgroup {}", c.owner_cgroup[i]);
    }
    if c.error[i] != 0 {
        _ = write!(out, ", failed with error {}", c.error[i]);
    }
    Some(out)
}

pub(super) fn file_call(t: &Timeline, columns: &Columns, i: usize) -> Option<String> {
    let c = events::FileCall::cols(columns).ok()?;
    let who = t.processes().describe(c.tid[i], c.pid[i], Boottime(c.time[i]));
    let mut out = format!("{who} {} ", file::call(c.what[i]));
    match (c.path.get(i).is_empty(), c.flags[i] & 2 != 0) {
        (true, _) => _ = write!(out, "inode {} on {}", c.inode[i], t.devices().name(c.dev[i])),
        (false, cut) => _ = write!(out, "{}{}", if cut { "…" } else { "" }, c.path.text(i)),
    }
    match c.flags[i] & 1 {
        0 => _ = write!(out, " ({}): {}", format_size(c.size[i]), Nanos(c.duration[i])),
        _ => _ = write!(out, " ({}): begun, its end is not told", format_size(c.size[i])),
    }
    if c.result[i] != 0 {
        _ = write!(out, ", failed with error {}", c.result[i]);
    }
    Some(out)
}

pub(super) fn writeback(t: &Timeline, columns: &Columns, i: usize) -> Option<String> {
    let c = events::Writeback::cols(columns).ok()?;
    let who = t.processes().describe(c.tid[i], c.pid[i], Boottime(c.time[i]));
    let device = match c.dev[i] {
        0 => "a device without number".into(),
        dev => t.devices().name(dev),
    };
    Some(match c.what[i] {
        1 => format!("{who} wrote {} dirty pages back to {device}: {}", c.pages[i], Nanos(c.duration[i])),
        2 => format!("{who} must wait: too much is dirty for {device}"),
        3 => format!("{who} committed the journal on {device}: {}", Nanos(c.duration[i])),
        n => format!("{who} unknown writeback {n} on {device}"),
    })
}
