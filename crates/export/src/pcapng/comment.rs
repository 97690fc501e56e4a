//! What the comments of packets say. They hold captured text, which is hostile: made visible and bounded here.

use coldcase_model::analysis::{Connection, SeenRequest};
use coldcase_model::text::visible;
use coldcase_model::{Finding, Nanos};

/// Characters of a comment at most. What follows is cut, and an ellipsis says so.
const LONGEST: usize = 1_000;
/// Words of a request that are told at most.
const WORDS: usize = 300;

/// Text that a terminal and a packet list can show: control characters visible, not too long.
pub(super) fn safe(text: &str) -> String {
    cut(&visible(text), LONGEST)
}

/// Words of a request, cut so that what stands behind them is not.
fn words(text: &str) -> String {
    cut(&visible(text), WORDS)
}

fn cut(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or("")),
    }
}

/// Who talks, and how that was found. `number` is its index in the connections of `flow --json`.
pub(super) fn connection(number: usize, c: &Connection) -> String {
    let protocol = c.protocol.as_deref().unwrap_or(&c.proto);
    safe(&format!(
        "connection {number} ({protocol}): {} → {}",
        end(&c.a, c.process_a.as_deref(), c.found_a.as_deref()),
        end(&c.b, c.process_b.as_deref(), c.found_b.as_deref()),
    ))
}

fn end(address: &str, process: Option<&str>, found: Option<&str>) -> String {
    let how = match found {
        Some("acted") => "by the kernel's events of this socket",
        Some("held") => "by the snapshot of its files",
        Some("inferred") => "inferred: it listens on this port",
        Some(other) => other,
        None => "how is not told",
    };
    match process {
        Some(process) => format!("{process} at {address} ({how})"),
        None => format!("{address} (process not known)"),
    }
}

/// What was asked, of whom, and what came of it. `number` is its index in the requests of `flow --json`.
pub(super) fn request(number: usize, r: &SeenRequest, c: Option<&Connection>) -> String {
    let service = c.map(coldcase_analyze::flow::service).unwrap_or_default();
    let mut text = format!("request {number}: {} {} → {service}: {}", r.protocol, words(&r.key), r.outcome);
    if !r.code.is_empty() {
        text.push_str(&format!(" {}", r.code));
    }
    match r.duration {
        Some(duration) => text.push_str(&format!(" in {}", Nanos(duration))),
        None => text.push_str(", no end was seen"),
    }
    if let Some(first) = r.first {
        text.push_str(&format!(", first byte after {}", Nanos(first)));
    }
    if let Some(span) = &r.span {
        text.push_str(&format!(", trace {} span {}", span.trace, span.span));
        if let Some(name) = &span.name {
            text.push_str(&format!(" ({name})"));
        }
    }
    if !r.detail.is_empty() && r.detail != r.key {
        text.push_str(&format!("; {}", words(&r.detail)));
    }
    safe(&text)
}

/// What the analysis claims of the message that begins here.
pub(super) fn finding(row: u64, f: &Finding) -> String {
    safe(&format!("finding ({}), cites packets#{row}, which begins here: {}", f.detector, f.claim))
}

/// Why a packet's time is not its own.
pub(super) const NO_TIME: &str =
    "the capture holds no time for this packet: the one written is when it was received, or 0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_names_both_processes_and_how_they_were_found() {
        let c = Connection {
            a: "10.0.0.1:4000".to_owned(),
            b: "10.0.0.2:80".to_owned(),
            proto: "tcp".to_owned(),
            process_a: Some("curl[7]".to_owned()),
            found_a: Some("acted".to_owned()),
            ..Connection::default()
        };
        let expected = "connection 3 (tcp): curl[7] at 10.0.0.1:4000 (by the kernel's events of this socket) → \
                        10.0.0.2:80 (process not known)";
        assert_eq!(connection(3, &c), expected);
    }

    #[test]
    fn captured_words_are_visible_and_bounded() {
        let r = SeenRequest {
            protocol: "http".to_owned(),
            key: "GET /\x1b]0;owned\x07".to_owned(),
            detail: "\u{202e}\r\n".repeat(2_000),
            outcome: "ok".to_owned(),
            duration: Some(1_500_000),
            ..SeenRequest::default()
        };
        let text = request(0, &r, None);
        assert!(text.starts_with("request 0: http GET /\\x1b]0;owned\\x07 → : ok in 1.50ms; \\u{202e}\\x0d"), "{text}");
        assert!(text.chars().count() <= 2 * WORDS && text.ends_with('…'), "{text}");
        let long = Connection { a: "a".repeat(5_000), ..Connection::default() };
        assert_eq!(connection(0, &long).chars().count(), LONGEST + 1);
        assert!(!text.chars().any(char::is_control));
    }
}
