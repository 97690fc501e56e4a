//! Block I/O by device, operation and origin.

use std::collections::BTreeMap;

use coldcase_model::analysis::Latency;
use coldcase_model::block;
use coldcase_model::events::BlockIo;
use coldcase_timeline::{Rows, Selection, Timeline};

use crate::axis::Axis;
use crate::series::Series;

/// Requests by device, operation and origin.
pub(crate) type Groups = BTreeMap<(u32, u8, u32), Series>;

/// Adds requests.
pub(crate) fn take(
    groups: &mut Groups,
    t: &Timeline,
    axis: &Axis,
    selection: &Selection<'_>,
    rows: &Rows<'_, BlockIo>,
) {
    let c = &rows.cols;
    for i in 0..rows.len() {
        if selection.has(c.pid[i], c.tid[i], c.time[i], c.duration[i]) {
            let series = groups.entry((c.dev[i], c.op[i] as u8, c.origin[i])).or_default();
            series.push(axis, t.utc_of(c.time[i]).0, c.duration[i], rows.row(i), None);
            series.outcome(c.error[i] != 0);
        }
    }
}

/// The latency of each device, operation and origin, largest total first.
pub(crate) fn latencies(groups: &Groups, t: &Timeline, axis: &Axis, bundle: &str) -> Vec<Latency> {
    let mut out: Vec<Latency> = groups
        .iter()
        .map(|(&(dev, op, origin), s)| {
            s.finish(axis, "block", name(&t.devices().name(dev), op, origin), bundle, "kernel.block")
        })
        .collect();
    out.sort_by(|x, y| y.total.cmp(&x.total).then_with(|| x.name.cmp(&y.name)));
    out
}

/// `vda write`: the device, and the operation (REQ_OP_*); behind it, on whose behalf if not a thread's own.
fn name(device: &str, op: u8, origin: u32) -> String {
    let behalf = block::origin(origin).map_or(String::new(), |o| format!(" ({o})"));
    format!("{device} {}{behalf}", block::operation(u32::from(op)))
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn requests_are_named_by_device_operation_and_origin() {
        assert_eq!(name("8:16", 1, 1), "8:16 write");
        assert_eq!(name("vda", 2, 0), "vda flush");
        assert_eq!(name("vda", 1, 3), "vda write (writeback)");
        assert_eq!(name("0:0", 77, 0), "0:0 operation 77");
    }
}
