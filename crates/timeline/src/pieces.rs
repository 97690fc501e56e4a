//! Lines that a container's runtime cut into pieces (docker's json-file at 16 KiB, CRI at what the runtime chose), put together
//! when they are read: the first piece's row stands for the line, in the runtime's format again; the rows of the others have none.

use std::collections::HashMap;
use std::sync::Arc;

use coldcase_decode::log::container::{Entry, Stream};
use coldcase_decode::log::{self, cri, docker};

use crate::decoded::LogRow;

/// Bytes of a line at most; the pieces behind stay lines of their own.
const BOUND: usize = 1 << 20;

/// How a runtime writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Docker,
    Cri,
}

/// A line whose last piece has not come.
struct Open {
    /// Its first piece, in the list.
    at: usize,
    text: Vec<u8>,
    pieces: usize,
}

/// Puts pieces together. `lines` are in the order of their rows, so those of one file are in the order of the file.
pub(crate) fn join(lines: &mut Vec<LogRow>) {
    let mut open: HashMap<(Arc<str>, Stream), Open> = HashMap::new();
    let mut whole: Vec<(Open, Format)> = Vec::new();
    let mut gone = vec![false; lines.len()];
    for (i, row) in lines.iter().enumerate() {
        let Some((entry, format)) = entry(&row.line) else { continue };
        let key = (row.path.clone(), entry.stream);
        let fits = |line: &Open| line.text.len() + entry.text.len() <= BOUND;
        match open.get_mut(&key) {
            Some(line) if fits(line) => {
                line.text.extend_from_slice(&entry.text);
                line.pieces += 1;
                gone[i] = true;
            }
            Some(_) => whole.extend(open.remove(&key).map(|line| (line, format))),
            None if entry.partial => {
                open.insert(key, Open { at: i, text: entry.text.to_vec(), pieces: 1 });
                continue;
            }
            None => continue,
        }
        if !entry.partial {
            whole.extend(open.remove(&key).map(|line| (line, format)));
        }
    }
    // Those whose end was not recorded.
    for (_, line) in open {
        if let Some((_, format)) = entry(&lines[line.at].line) {
            whole.push((line, format));
        }
    }
    for (line, format) in whole.iter().filter(|(line, _)| line.pieces > 1) {
        let row = &mut lines[line.at];
        row.line = written(&row.line, &line.text, *format).into_boxed_slice();
        row.fields = log::parse_at(&row.line, Some(row.utc.0));
    }
    if whole.iter().any(|(line, _)| line.pieces > 1) {
        let mut gone = gone.into_iter();
        lines.retain(|_| !gone.next().unwrap_or(false));
    }
}

/// The line as a container's, if it looks like one.
fn entry(line: &[u8]) -> Option<(Entry<'_>, Format)> {
    if line.starts_with(b"{\"log\":") {
        return docker::parse(line).ok().map(|e| (e, Format::Docker));
    }
    let stream = line.splitn(3, |&b| b == b' ').nth(1)?;
    let seems = line.first().is_some_and(u8::is_ascii_digit) && (stream == b"stdout" || stream == b"stderr");
    seems.then(|| cri::parse(line).ok().map(|e| (e, Format::Cri)))?
}

/// The first piece with the text of all.
fn written(first: &[u8], text: &[u8], format: Format) -> Vec<u8> {
    match format {
        Format::Cri => {
            let head = first.splitn(4, |&b| b == b' ').take(2).collect::<Vec<_>>().join(&b' ');
            [&head, &b" F "[..], text].concat()
        }
        Format::Docker => {
            // Only its text changes: the rest stands behind it.
            let text = serde_json::Value::from(String::from_utf8_lossy(text) + "\n").to_string();
            let end = string_end(first, b"{\"log\":".len()).unwrap_or(first.len());
            [b"{\"log\":", text.as_bytes(), &first[end..]].concat()
        }
    }
}

/// Where the JSON string that begins at `from` ends.
fn string_end(json: &[u8], from: usize) -> Option<usize> {
    let mut escaped = false;
    for (at, &b) in json.iter().enumerate().skip(from + 1) {
        match b {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use coldcase_model::{Boottime, Utc};

    use super::*;

    fn joined(lines: &[(&str, &str)]) -> Vec<(u64, String)> {
        let mut rows: Vec<LogRow> = lines
            .iter()
            .enumerate()
            .map(|(i, (path, line))| LogRow {
                row: i as u64,
                utc: Utc(1),
                own_time: false,
                read: Boottime(1),
                path: Arc::from(*path),
                line: line.as_bytes().into(),
                fields: log::parse(line.as_bytes()),
            })
            .collect();
        join(&mut rows);
        rows.iter().map(|r| (r.row, r.text().into_owned())).collect()
    }

    #[test]
    fn pieces_of_cri_are_one_line_by_file_and_output() {
        let t = "2024-01-02T03:04:05.000000001Z";
        let line = |rest: &str| format!("{t} {rest}");
        let (a, b, c, d, e) = (
            line("stdout P {\"level\":\"er"),
            line("stderr F other"),
            line("stdout P ror\",\"trace"),
            line("stdout F _id\":1}"),
            line("stdout F next"),
        );
        let got = joined(&[("x", &a), ("x", &b), ("y", &e), ("x", &c), ("x", &d), ("x", &e)]);
        let whole = line("stdout F {\"level\":\"error\",\"trace_id\":1}");
        assert_eq!(got, [(0, whole), (1, b), (2, e.clone()), (5, e)]);
    }

    #[test]
    fn pieces_of_docker_are_one_line_and_one_whose_end_is_missing_too() {
        let line =
            |text: &str| format!("{{\"log\":\"{text}\",\"stream\":\"stdout\",\"time\":\"2024-01-02T03:04:05Z\"}}");
        let got = joined(&[("x", &line("a \\\"b\\\" ")), ("x", &line("c\\n")), ("x", &line("d")), ("x", &line("e"))]);
        assert_eq!(got, [(0, line("a \\\"b\\\" c\\n")), (2, line("de\\n"))]);
        let plain = [("x", "no container's"), ("x", "2024 stdout"), ("x", "{\"log\":1}")];
        assert_eq!(joined(&plain).len(), 3);
    }
}
