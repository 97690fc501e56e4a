//! Prometheus pages in files: text exposition, OpenMetrics, and the lists of samples with times that
//! `promtool tsdb create-blocks-from openmetrics` takes. A file is one page of `metrics.pages`, as it is.

use std::fs::File;
use std::io::Read;
use std::time::UNIX_EPOCH;

use coldcase_bundle::{RawMessage, Writer};
use coldcase_decode::capture::Unpack;
use coldcase_decode::{exposition, openmetrics};
use coldcase_model::Utc;
use coldcase_model::events::Receipt;

use crate::clock::boot;
use crate::format::{Format, Times};
use crate::input::Input;
use crate::{ImportError, Imported};

const STREAM: &str = "metrics.pages";
/// Longest page: a bundle takes no longer message.
const LONGEST: u64 = 32 << 20;

/// What its content type says of a page: text has times in milliseconds, the others in seconds.
const TEXT: &str = "text/plain; version=0.0.4";
const OPEN: &str = "application/openmetrics-text; version=1.0.0";
/// Lists for backfilling keep not all of OpenMetrics' rules (counters are declared with their `_total`): as promtool does,
/// they are read line by line.
const LAX: &str = "application/openmetrics-text; version=0.0.1";

/// Whether a file begins like a page: with metadata, and with lines that are samples.
pub(crate) fn is_page(head: &[u8]) -> bool {
    // The last line may be cut.
    let whole = head.iter().rposition(|&b| b == b'\n').map_or(&[][..], |end| &head[..=end]);
    let metadata = |line: &[u8]| [&b"# TYPE "[..], b"# HELP "].iter().any(|m| line.starts_with(m));
    let mut lines = whole.split(|&b| b == b'\n').filter(|l| !l.is_empty());
    if !lines.by_ref().take(20).any(metadata) {
        return false;
    }
    let page = exposition::read(whole, LAX).page;
    !page.samples.is_empty() && page.errors.iter().filter(|e| e.0 > 0).count() * 10 <= page.samples.len()
}

/// Writes a page to the stream.
pub(crate) fn import(input: &Input, writer: &Writer, times: &mut Times<'_>) -> Result<Imported, ImportError> {
    let io = |source| ImportError::Io { path: input.name.clone(), source };
    let mut done = Imported::new(&input.name, Format::Prometheus, STREAM);
    let about = std::fs::metadata(input).map_err(io)?;
    let mut file = File::open(input).and_then(Unpack::new).map_err(io)?;
    let mut page = Vec::new();
    let read = (&mut file).take(LONGEST + 1).read_to_end(&mut page).map_err(io)? as u64;
    done.problem = file.problem().map(str::to_owned);
    if read > LONGEST {
        let rest = std::io::copy(&mut file, &mut std::io::sink()).map_err(io)?;
        // What ends with a whole line can be read; the rest is counted.
        page.truncate(LONGEST as usize);
        let end = page.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        page.truncate(end);
        done.bytes_lost = read + rest - end as u64;
        done.problem = Some(format!("only the first {end} bytes: a page of a bundle is not larger. Split the file"));
    }
    let content_type = content_type(&page);
    let scraped = exposition::read(&page, content_type).page;
    let written = about.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
    let written = written.and_then(|d| i64::try_from(d.as_nanos()).ok()).unwrap_or(0);
    let all = || scraped.samples.iter().map(|s| s.time.unwrap_or(written));
    let (first, last) = (Utc(all().min().unwrap_or(written)), Utc(all().max().unwrap_or(written)));
    times(first, last);
    done.bytes = page.len() as u64;
    done.items = scraped.samples.len() as u64;
    done.messages = 1;
    if let (None, Some((line, why))) = (&done.problem, scraped.errors.iter().find(|e| e.0 > 0)) {
        done.problem = Some(format!("{} bad lines, the first {line}: {why}", scraped.errors.len()));
    }
    // The page's time is that of samples which tell none of their own.
    let at = if scraped.samples.iter().any(|s| s.time.is_none()) { Utc(written) } else { last };
    let receipt = Receipt {
        time: boot(at).0,
        read: at.0,
        bytes: page.len() as u64,
        items: done.items,
        origin: input.origin(),
        transport: "file".into(),
        content_type: content_type.into(),
        compression: String::new(),
    };
    let message = RawMessage { bytes: page, log_time: at, publish_time: first, first: boot(first), last: boot(last) };
    writer.append_raw(STREAM, message, receipt)?;
    Ok(done)
}

/// A page that ends in `# EOF` is OpenMetrics, strict where it keeps all rules.
fn content_type(page: &[u8]) -> &'static str {
    let open = page.trim_ascii_end().ends_with(b"# EOF");
    match (open, open && openmetrics::parse(page).is_ok()) {
        (false, _) => TEXT,
        (true, true) => OPEN,
        (true, false) => LAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_known_by_their_lines() {
        assert!(is_page(b"# HELP up Whether.\n# TYPE up gauge\nup{a=\"b\"} 1\n"));
        assert!(is_page(b"# TYPE a_total counter\na_total 1 1609954636\na_total 2 1609954637\n# EOF\n"));
        assert!(!is_page(b"up 1\n"), "without metadata it may be anything");
        assert!(!is_page(b"# TYPE of log\n2026-01-01 something happened here\nand more words that follow\n"));
        assert!(!is_page(b"{\"resourceSpans\": []}\n"));
        assert!(!is_page(b""));
    }

    #[test]
    fn the_end_tells_the_format() {
        assert_eq!(content_type(b"# TYPE up gauge\nup 1\n"), TEXT);
        assert_eq!(content_type(b"# TYPE a counter\na_total 1 5\n# EOF\n"), OPEN);
        assert_eq!(content_type(b"# TYPE a_total counter\na_total 1 5\n# EOF\n"), LAX);
    }
}
