//! What went wrong in TCP connections, as a table.

use coldcase_model::Nanos;
use coldcase_model::analysis::{Connection, TcpFacts};

/// The head of the table.
pub(super) const HEAD: [&str; 12] = [
    "a → b",
    "conn",
    "sent again",
    "in truth",
    "late",
    "dup acks",
    "holes",
    "window 0",
    "resets",
    "stalled",
    "longest stall",
    "display filter",
];

/// Rows of the connections with trouble, the worst first.
pub(super) fn rows(connections: &[Connection]) -> Vec<Vec<String>> {
    let all = connections.iter().filter_map(|c| Some((c, c.tcp.as_ref()?)));
    let mut sick: Vec<_> = all.filter(|(_, t)| t.trouble() != (0, 0)).collect();
    sick.sort_by_key(|(_, t)| std::cmp::Reverse(t.trouble()));
    sick.into_iter().map(|(c, t)| row(c, t)).collect()
}

fn row(c: &Connection, t: &TcpFacts) -> Vec<String> {
    let more = &t.more;
    let mut row = vec![format!("{} → {}", c.a, c.b), c.number.to_string(), t.retransmissions.to_string()];
    row.push((more.sent_again_ab.segments + more.sent_again_ba.segments).to_string());
    row.extend([t.out_of_order, t.duplicate_acks, t.lost_segments, t.zero_windows].map(|n| n.to_string()));
    row.push(resets(t));
    row.push(if more.stall_count > 0 { Nanos(more.stalled).to_string() } else { "-".to_owned() });
    let longest = more.stalls.iter().max_by_key(|s| s.length);
    row.push(longest.map_or("-".to_owned(), |s| {
        format!("{} {} ({} waited)", Nanos(s.length), s.cause.replace('_', " "), s.waiting)
    }));
    row.push(crate::requests::display_filter(Some(c), &c.display_filter));
    row
}

/// Resets by kind: `1 refused, 2 mid-stream`.
pub(super) fn resets(t: &TcpFacts) -> String {
    let kinds = [
        (t.more.resets_refused, "refused"),
        (t.more.resets_mid_stream, "mid-stream"),
        (t.more.resets_after_close, "after close"),
        (t.unanswered_syns, "no answer"),
    ];
    let told: Vec<String> = kinds.iter().filter(|(n, _)| *n > 0).map(|(n, kind)| format!("{n} {kind}")).collect();
    if told.is_empty() { "-".to_owned() } else { told.join(", ") }
}
