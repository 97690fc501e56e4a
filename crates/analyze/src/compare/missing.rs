//! What was not compared, because a side does not have it: no measure passes by lack of data.

use coldcase_model::compare::NotCompared;

use super::Sides;
use super::facts::Facts;

/// What there may be, and how it could be had.
const PARTS: [(&str, &str); 7] = [
    ("spans", "send OTLP to the recorder, or import traces"),
    ("CPU samples", "record as root, or with CAP_BPF and CAP_PERFMON"),
    ("waits off the CPU", "record as root, or with CAP_BPF and CAP_PERFMON"),
    ("packets", "record as root, or with CAP_NET_RAW"),
    ("host metrics", "do not leave the source host out"),
    ("log lines", "record --log FILE, or send OTLP logs"),
    ("system calls", "record --syscalls"),
];

/// The parts that not all runs have.
pub(super) fn missing(sides: &Sides<'_>) -> Vec<NotCompared> {
    let database = ("database statements", "spans with db.system.name, or record --payload 512");
    let of = |(what, hint): (&'static str, &str)| {
        let have = |runs: &[&Facts]| (runs.iter().filter(|f| f.has.contains(what)).count() as u32, runs.len() as u32);
        let (base, head) = (have(sides.base), have(sides.head));
        let all = base.0 == base.1 && head.0 == head.1;
        (!all).then(|| NotCompared { what: what.to_owned(), base, head, hint: hint.to_owned() })
    };
    PARTS.into_iter().chain([database]).filter_map(of).collect()
}
