//! `coldcase export --otlp`: requests as they were received.

use std::path::Path;

use coldcase_bundle::Bundle;
use coldcase_export::otlp::{self, Exported, OtlpError};
use coldcase_model::quantity::{format_count, format_size};
use coldcase_model::text::visible;
use serde_json::json;

use super::Args;
use crate::exit::{Exit, Failure};
use crate::out::Out;
use crate::progress;

pub(super) fn run(args: &Args, dir: &Path, out: &Out) -> Result<Exit, Failure> {
    args.reading.refuse_scope("what was received by OTLP")?;
    let bundle = Bundle::open(&args.bundle)?;
    std::fs::create_dir_all(dir).map_err(|e| Failure::failed(format!("{}: {e}", dir.display())))?;
    let line = progress::line(out);
    line.set_message(format!("writing {}", dir.display()));
    let exported = otlp::write(&bundle, dir, args.force);
    line.finish_and_clear();
    let exported = exported.map_err(failure)?;
    for problem in &exported.problems {
        out.warning(&format!("{}: {problem}", args.bundle.display()));
    }
    tell(out, dir, &bundle, &exported)?;
    Ok(if args.reading.strict() && !exported.problems.is_empty() { Exit::Lost } else { Exit::Fine })
}

fn tell(out: &Out, dir: &Path, bundle: &Bundle, exported: &Exported) -> Result<(), Failure> {
    if out.json {
        let file = |w: &otlp::Written| json!({ "stream": w.stream, "file": w.path, "framing": w.framing, "requests": w.requests, "bytes": w.bytes });
        return out.document(&json!({
            "schema": { "name": "coldcase.export", "version": 1 },
            "bundle": bundle.id(),
            "format": "otlp",
            "directory": dir,
            "files": exported.files.iter().map(file).collect::<Vec<_>>(),
            "problems": exported.problems,
        }));
    }
    if out.quiet {
        return Ok(());
    }
    let mut text = String::new();
    for w in &exported.files {
        let (requests, bytes) = (format_count(w.requests), format_size(w.bytes));
        let path = w.path.display().to_string();
        text.push_str(&format!("{:18} {requests:>10} requests {bytes:>10}  {}\n", w.stream, visible(&path)));
    }
    if text.is_empty() {
        text.push_str("nothing was received by OTLP\n");
    }
    out.text(&text)
}

fn failure(e: OtlpError) -> Failure {
    match e {
        OtlpError::Open(e) => e.into(),
        e @ OtlpError::Exists { .. } => {
            Failure::usage(e.to_string()).hint("choose another folder, or --force to replace the files")
        }
        e @ OtlpError::Io { .. } => Failure::failed(e.to_string()),
    }
}
