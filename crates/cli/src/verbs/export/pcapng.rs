//! `coldcase export --pcapng`: packets, with comments.

use std::path::Path;

use coldcase_export::pcapng::{self, PcapngError, Wanted, Written};
use coldcase_model::analysis::Analysis;
use coldcase_model::quantity::{format_count, format_size};
use coldcase_model::text::visible;
use serde_json::json;

use super::Args;
use crate::exit::{Exit, Failure};
use crate::out::Out;
use crate::progress;

pub(super) fn run(args: &Args, file: &Path, out: &Out) -> Result<Exit, Failure> {
    let mut analysis = args.reading.packets(&args.bundle, out)?;
    let scope = args.reading.scope();
    let [from, to] = scope.window.ends();
    let wanted = Wanted {
        from,
        to,
        connections: args.packets.conn.clone(),
        requests: args.packets.request.clone(),
        traces: scope.who().traces,
        narrow: scope.who().narrows_processes(),
    };
    let line = progress::line(out);
    line.set_message(format!("writing {}", file.display()));
    let written = pcapng::write(&args.bundle, &analysis, &wanted, file, args.force);
    line.finish_and_clear();
    let written = written.map_err(|e| failure(e, &analysis))?;
    // What the analysis could not read, the export could not either.
    let new: Vec<String> =
        written.problems.iter().filter(|p| !analysis.quality.problems.contains(p)).cloned().collect();
    analysis.quality.problems.extend(new);
    for problem in &analysis.quality.problems {
        out.warning(&format!("{}: {problem}", args.bundle.display()));
    }
    if written.without_time > 0 {
        let count = format_count(written.without_time);
        out.warning(&format!("{}: {count} packets have no time of their own", args.bundle.display()));
    }
    let folded = analysis.flow.folded.connections;
    if folded > 0 && written.left_out > 0 {
        let count = format_count(folded);
        out.warning(&format!("{count} connections were too many to follow, and their packets could not be chosen"));
    }
    tell(out, file, &analysis, &written)?;
    Ok(args.reading.exit(std::slice::from_ref(&analysis)))
}

fn tell(out: &Out, file: &Path, analysis: &Analysis, w: &Written) -> Result<(), Failure> {
    if out.json {
        return out.document(&json!({
            "schema": { "name": "coldcase.export", "version": 1 },
            "bundle": analysis.bundle.id,
            "format": "pcapng",
            "file": file,
            "bytes": w.bytes,
            "packets": w.packets,
            "left_out": w.left_out,
            "without_time": w.without_time,
            "connections": w.connections,
            "requests": w.requests,
            "comments": w.comments,
            "interfaces": w.interfaces,
            "problems": analysis.quality.problems,
        }));
    }
    if out.quiet {
        return Ok(());
    }
    let left_out = match w.left_out {
        0 => String::new(),
        n => format!(" ({} left out)", format_count(n)),
    };
    let path = file.display().to_string();
    out.text(&format!(
        "{} packets{left_out} of {} connections and {} requests, {} comments, {}  {}\n",
        format_count(w.packets),
        format_count(w.connections),
        format_count(w.requests),
        format_count(w.comments),
        format_size(w.bytes),
        visible(&path)
    ))
}

fn failure(e: PcapngError, analysis: &Analysis) -> Failure {
    let line = e.to_string();
    match e {
        PcapngError::Open(e) => e.into(),
        PcapngError::Exists { .. } => Failure::usage(line).hint("choose another name, or --force to replace the file"),
        PcapngError::Unknown { what, .. } => {
            let flag = if what == "request" { "--request" } else { "--conn" };
            Failure::usage(format!("{flag}: {line}"))
                .hint(format!("coldcase flow --json, with the same --from, --pid and the like, lists every {what}"))
        }
        PcapngError::NoTrace { .. } | PcapngError::NoRequest => {
            Failure::usage(line).hint(match analysis.flow.requests.len() {
                0 => "no request at all could be read: record with --payload 512, so that packets hold what was asked",
                _ => "coldcase flow --json lists the requests, with the trace of each in span.trace",
            })
        }
        PcapngError::Window => Failure::usage(line).hint("--from must be before --to"),
        PcapngError::Io { .. } | PcapngError::TooManyInterfaces => Failure::failed(line),
    }
}
