//! Lines of block requests.

use std::fmt::Write;

use coldcase_model::quantity::format_size;
use coldcase_model::{Boottime, Columns, Event, Nanos, block, events};
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
