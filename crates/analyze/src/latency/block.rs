//! Block I/O by device and operation.

use std::collections::BTreeMap;

use coldcase_model::analysis::Latency;
use coldcase_model::events::BlockIo;
use coldcase_timeline::Timeline;

use crate::axis::Axis;
use crate::scope::Options;
use crate::series::Series;

/// The latency of each device and operation, largest total first.
pub(crate) fn latencies(t: &Timeline, axis: &Axis, scope: &Options, bundle: &str) -> Vec<Latency> {
    let mut groups = BTreeMap::<(u32, u8), Series>::new();
    for part in t.rows::<BlockIo>() {
        for i in 0..part.len() {
            let comm = || Some(part.cols.comm.text(i).into_owned());
            if !scope.has_process(part.cols.pid[i], comm) {
                continue;
            }
            let series = groups.entry((part.cols.dev[i], part.cols.op[i] as u8)).or_default();
            series.push(axis, t.utc_of(part.cols.time[i]).0, part.cols.duration[i], part.row(i), None);
            series.outcome(part.cols.error[i] != 0);
        }
    }
    let mut out: Vec<Latency> = groups
        .into_iter()
        .map(|((dev, op), s)| s.finish(axis, "block", name(dev, op), bundle, "kernel.block"))
        .collect();
    out.sort_by(|x, y| y.total.cmp(&x.total).then_with(|| x.name.cmp(&y.name)));
    out
}

/// `8:0 write`: the device as the kernel numbers it, and the operation (REQ_OP_*).
fn name(dev: u32, op: u8) -> String {
    let op = match op {
        0 => "read".to_owned(),
        1 => "write".to_owned(),
        2 => "flush".to_owned(),
        3 => "discard".to_owned(),
        5 => "secure erase".to_owned(),
        9 => "write zeroes".to_owned(),
        34 | 35 => "driver command".to_owned(),
        other => format!("operation {other}"),
    };
    format!("{}:{} {op}", dev >> 20, dev & 0xf_ffff)
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn devices_are_named_as_the_kernel_numbers_them() {
        assert_eq!(name(8 << 20 | 16, 1), "8:16 write");
        assert_eq!(name(259 << 20, 2), "259:0 flush");
        assert_eq!(name(0, 77), "0:0 operation 77");
    }
}
