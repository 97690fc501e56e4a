//! `coldcase export --ndjson`: the timeline, one JSON object a line.

use std::io::{self, Write};
use std::path::Path;

use coldcase_model::quantity::format_count;
use serde_json::json;

use super::{Args, begin, sink_failure, tell};
use crate::exit::{Exit, Failure};
use crate::out::Out;
use crate::progress;
use crate::verbs::timeline::{self, list};

pub(super) fn run(args: &Args, file: &Path, out: &Out) -> Result<Exit, Failure> {
    let wanted = timeline::Args::of(args.bundle.clone(), &args.reading, args.stream.clone());
    let mut to = Counted { to: begin(args, file, out)?, bytes: 0 };
    let line = progress::line(out);
    line.set_message(format!("writing {}", file.display()));
    let listed = list(&wanted, out, true, &mut to);
    line.finish_and_clear();
    let listed = listed?;
    to.to.finish().map_err(sink_failure)?;
    for problem in &listed.problems {
        out.warning(problem);
    }
    if out.json {
        out.document(&json!({
            "schema": { "name": "coldcase.export", "version": 1 },
            "format": "ndjson",
            "file": file,
            "bytes": to.bytes,
            "entries": listed.lines,
            "problems": listed.problems,
        }))?;
    } else {
        tell(out, file, &format!("{} entries", format_count(listed.lines)), to.bytes)?;
    }
    Ok(if args.reading.strict() && !listed.problems.is_empty() { Exit::Lost } else { Exit::Fine })
}

/// Counts what is written.
struct Counted<W: Write> {
    to: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
