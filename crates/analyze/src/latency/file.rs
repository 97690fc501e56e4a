//! Syncs and removals of files, by path.

use std::collections::BTreeMap;

use coldcase_model::analysis::Latency;
use coldcase_model::events::FileCall;
use coldcase_model::{file, text};
use coldcase_timeline::{Selection, Timeline};

use crate::axis::Axis;
use crate::series::Series;

/// Paths that have a line of their own: a program can sync a new file each second.
const MOST: usize = 200;
/// Flag bit: the file system does not tell when it was done.
const END_UNSEEN: u32 = 1;

/// The latency of each call and path, largest total first. Only what took at least the file threshold was recorded.
pub(crate) fn latencies(t: &Timeline, axis: &Axis, selection: &Selection<'_>, bundle: &str) -> Vec<Latency> {
    let mut groups = BTreeMap::<(u32, String), Series>::new();
    for part in t.rows::<FileCall>() {
        let c = &part.cols;
        for i in (0..part.len()).filter(|&i| c.flags[i] & END_UNSEEN == 0) {
            if !selection.has(c.pid[i], c.tid[i], c.time[i], c.duration[i]) {
                continue;
            }
            let path = match c.path.get(i) {
                [] => format!("inode {} on {}", c.inode[i], t.devices().name(c.dev[i])),
                _ => text::visible(&c.path.text(i)).into_owned(),
            };
            let series = groups.entry((c.what[i], path)).or_default();
            series.push(axis, t.utc_of(c.time[i]).0, c.duration[i], part.row(i), None);
            series.outcome(c.result[i] != 0);
        }
    }
    let mut out: Vec<Latency> = groups
        .into_iter()
        .map(|((what, path), s)| s.finish(axis, "file", format!("{} {path}", file::call(what)), bundle, "kernel.file"))
        .collect();
    out.sort_by(|x, y| y.total.cmp(&x.total).then_with(|| x.name.cmp(&y.name)));
    out.truncate(MOST);
    out
}
