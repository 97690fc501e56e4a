//! The summary of a recording: what was recorded and what was lost.

use coldcase_model::quantity::{format_count, format_size};
use coldcase_record::summary::{Ended, Summary};
use serde_json::json;

use crate::args::rfc3339;
use crate::exit::Failure;
use crate::out::Out;

pub(super) fn report(s: &Summary, name: &str, to_stdout: bool, out: &Out) -> Result<(), Failure> {
    let seconds = s.elapsed.as_secs_f64();
    out.remark(&format!(
        "{name}: {} events in {seconds:.1} s, {}, ended: {}",
        format_count(s.events),
        format_size(s.bytes),
        s.ended.words(),
    ));
    for l in s.lost() {
        let bytes = if l.bytes > 0 { format!(" ({})", format_size(l.bytes)) } else { String::new() };
        out.warning(&format!(
            "evidence lost: {} {} of class {}{bytes}: {}",
            format_count(l.count),
            l.source,
            l.class,
            l.reason
        ));
    }
    if s.left_out {
        out.warning(
            "evidence left out: a source was off for a while, to stay within the limits (coldcase info says which)",
        );
    }
    if s.ended == Ended::DiskFull {
        out.warning(&format!("{name}: the disk was full; the bundle is sealed and holds everything up to there"));
    }
    match &s.flight {
        Some(f) => {
            for dump in &f.dumps {
                out.remark(&format!("dump: {}", dump.display()));
            }
            if !out.json {
                out.remark(&format!("{name}: {} segments; next: coldcase dump {name}", f.segments));
            }
        }
        None if !to_stdout && !out.quiet && !out.json => out.remark(&format!("next: coldcase info {name}")),
        None => {}
    }
    // With the bundle on stdout the summary has no room there.
    if out.json && !to_stdout { out.document(&summary_json(s)) } else { Ok(()) }
}

fn summary_json(s: &Summary) -> serde_json::Value {
    let m = &s.manifest;
    json!({
        "schema": {"name": "coldcase.record", "version": 1},
        "bundle": s.bundle,
        "id": m.id,
        "bytes": s.bytes,
        "started": s.started,
        "started_text": rfc3339(coldcase_model::Utc(s.started), 3),
        "duration": u64::try_from(s.elapsed.as_nanos()).unwrap_or(u64::MAX),
        "events": s.events,
        "ended": s.ended.words(),
        "exit_code": s.child_code,
        "sources": m.sources,
        "streams": m.streams,
        "losses": m.losses,
        "reductions": s.reductions,
        "policies": m.policies,
        "clock": m.clock,
        "remarks": s.remarks,
        "flight": s.flight.as_ref().map(|f| json!({
            "folder": f.folder,
            "segments": f.segments,
            "dumps": f.dumps,
        })),
    })
}
