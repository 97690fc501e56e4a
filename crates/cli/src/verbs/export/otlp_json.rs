//! `coldcase export --otlp-json`: all requests as JSON lines.

use std::path::Path;

use coldcase_bundle::Bundle;
use coldcase_export::otlp_json::{self, Written};
use coldcase_model::quantity::{format_count, format_size};
use coldcase_model::text::visible;
use serde_json::json;

use super::{Args, sink_failure};
use crate::exit::{Exit, Failure};
use crate::out::Out;
use crate::progress;

pub(super) fn run(args: &Args, dir: &Path, out: &Out) -> Result<Exit, Failure> {
    args.reading.refuse_scope("what was received by OTLP")?;
    let bundle = Bundle::open(&args.bundle)?;
    std::fs::create_dir_all(dir).map_err(|e| Failure::failed(format!("{}: {e}", dir.display())))?;
    let line = progress::line(out);
    line.set_message(format!("writing {}", dir.display()));
    let exported = otlp_json::write(&bundle, dir, args.force);
    line.finish_and_clear();
    let exported = exported.map_err(sink_failure)?;
    for problem in &exported.problems {
        out.warning(&format!("{}: {problem}", args.bundle.display()));
    }
    if exported.unknown_fields > 0 {
        let count = format_count(exported.unknown_fields);
        out.warning(&format!("{count} fields are not known to this build, and are left out: --otlp keeps them"));
    }
    if out.json {
        let file = |w: &Written| {
            json!({
                "signal": w.signal,
                "file": w.path,
                "requests": w.requests,
                "from_protobuf": w.from_protobuf,
                "bytes": w.bytes,
            })
        };
        out.document(&json!({
            "schema": { "name": "coldcase.export", "version": 1 },
            "bundle": bundle.id(),
            "format": "otlp-json",
            "directory": dir,
            "files": exported.files.iter().map(file).collect::<Vec<_>>(),
            "unknown_fields": exported.unknown_fields,
            "unreadable": exported.unreadable,
            "problems": exported.problems,
        }))?;
    } else if !out.quiet {
        let mut text = String::new();
        for w in &exported.files {
            let (requests, bytes) = (format_count(w.requests), format_size(w.bytes));
            let path = w.path.display().to_string();
            text.push_str(&format!("{:8} {requests:>10} requests {bytes:>10}  {}\n", w.signal, visible(&path)));
        }
        if text.is_empty() {
            text.push_str("nothing was received by OTLP\n");
        }
        out.text(&text)?;
    }
    Ok(if args.reading.strict() && !exported.problems.is_empty() { Exit::Lost } else { Exit::Fine })
}
