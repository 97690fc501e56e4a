//! Prints the requests of a capture file, one JSON object a line. For tests: `tests/requests/requests.py`.

#[path = "../tests/capture/mod.rs"]
mod capture;

use coldcase_decode::request::Stamp;

#[allow(clippy::print_stdout)]
fn main() {
    for path in std::env::args().skip(1) {
        for r in capture::read(path.as_ref()).requests {
            let at = |s: Option<Stamp>| s.map(|s| s.time);
            let frame = |s: Option<Stamp>| s.map(|s| s.packet + 1);
            println!(
                "{}",
                serde_json::json!({
                    "protocol": r.protocol.name(), "key": r.key, "detail": r.detail, "target": r.target,
                    "code": r.code, "outcome": format!("{:?}", r.outcome), "missing": r.missing, "id": r.id,
                    "start": r.start.time, "sent": at(r.sent), "first": at(r.first), "end": at(r.end),
                    "first_row": at(r.first_row), "done": at(r.done), "transaction": r.transaction.map(|t| format!("{t:?}")), "rows": r.rows, "traceparent": r.traceparent,
                    "request_bytes": r.request_bytes, "response_bytes": r.response_bytes,
                    "frames": [Some(r.start.packet + 1), frame(r.sent), frame(r.first), frame(r.end)],
                })
            );
        }
    }
}
