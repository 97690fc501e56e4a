//! Block I/O by device, operation and origin.

use std::collections::BTreeMap;

use coldcase_model::analysis::Latency;
use coldcase_model::block;
use coldcase_model::events::BlockIo;
use coldcase_timeline::Timeline;

use crate::axis::Axis;
use crate::scope::Options;
use crate::series::Series;

/// The latency of each device and operation, largest total first.
pub(crate) fn latencies(t: &Timeline, axis: &Axis, scope: &Options, bundle: &str) -> Vec<Latency> {
    let mut groups = BTreeMap::<(u32, u8, u32), Series>::new();
    for part in t.rows::<BlockIo>() {
        for i in 0..part.len() {
            let comm = || Some(part.cols.comm.text(i).into_owned());
            if !scope.has_process(part.cols.pid[i], comm) {
                continue;
            }
            let series = groups.entry((part.cols.dev[i], part.cols.op[i] as u8, part.cols.origin[i])).or_default();
            series.push(axis, t.utc_of(part.cols.time[i]).0, part.cols.duration[i], part.row(i), None);
            series.outcome(part.cols.error[i] != 0);
        }
    }
    let mut out: Vec<Latency> = groups
        .into_iter()
        .map(|((dev, op, origin), s)| {
            let name = name(&t.devices().name(dev), op, origin);
            s.finish(axis, "block", name, bundle, "kernel.block")
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
