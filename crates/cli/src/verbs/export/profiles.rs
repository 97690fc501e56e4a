//! `coldcase export --pprof`, `--speedscope`, `--folded`: stacks of CPU samples and of waits.

use std::io::Write;
use std::path::Path;

use coldcase_analyze::{Options, Part};
use coldcase_bundle::Bundle;
use coldcase_export::stacks::{self, Stacks, Working};
use coldcase_export::{pprof as pprof_file, speedscope as speedscope_file};
use coldcase_model::Nanos;
use coldcase_model::catalogue::SPAN_STREAMS;
use coldcase_model::quantity::format_count;
use coldcase_timeline::{Selection, StreamSet, Timeline};
use serde_json::{Value, json};

use super::{Args, begin, sink_failure, tell};
use crate::exit::{Exit, Failure};
use crate::out::Out;
use crate::progress;
use crate::verbs::flame::{self, Kind};

/// The stacks of a bundle, in scope. The timeline holds its spans.
fn collect(args: &Args, out: &Out) -> Result<(Timeline, Stacks), Failure> {
    let who = args.reading.scope().who();
    let [from, to] = args.reading.scope().window.ends();
    let options = coldcase_timeline::Options {
        threads: args.reading.threads(),
        from,
        to,
        streams: StreamSet::named(SPAN_STREAMS),
        debug_files: args.reading.debug_files().wanted(),
    };
    let t = Timeline::of(Bundle::open(&args.bundle)?, &options)?;
    let line = progress::line(out);
    line.set_message(format!("reading {}", args.bundle.display()));
    let stacks = stacks::collect(&t, &Selection::new(&t, &who));
    line.finish_and_clear();
    Ok((t, stacks))
}

/// Tells what was written, and of what could not be read.
fn end(
    args: &Args,
    file: &Path,
    out: &Out,
    (t, unread): (&Timeline, &[String]),
    (format, facts, what): (&str, Value, String),
) -> Result<Exit, Failure> {
    let problems: Vec<&String> =
        t.problems().iter().chain(unread.iter().filter(|p| !t.problems().contains(p))).collect();
    for problem in &problems {
        out.warning(&format!("{}: {problem}", args.bundle.display()));
    }
    out.not_fetched(&t.symbols().not_fetched());
    if out.json {
        let mut document = json!({
            "schema": { "name": "coldcase.export", "version": 1 },
            "bundle": t.bundle().id(),
            "format": format,
            "file": file,
            "problems": problems,
        });
        if let (Value::Object(to), Value::Object(facts)) = (&mut document, facts) {
            to.extend(facts);
        }
        out.document(&document)?;
    } else {
        tell(out, file, &what, std::fs::metadata(file).map_or(0, |m| m.len()))?;
    }
    Ok(if args.reading.strict() && !problems.is_empty() { Exit::Lost } else { Exit::Fine })
}

pub(super) fn pprof(args: &Args, file: &Path, out: &Out) -> Result<Exit, Failure> {
    let mut sink = begin(args, file, out)?;
    let (t, stacks) = collect(args, out)?;
    let written = pprof_file::write(&t, &stacks, &Working::new(&t), &mut sink);
    let w = written.map_err(|e| sink_failure(sink.failed(e)))?;
    sink.finish().map_err(sink_failure)?;
    if w.cpu.is_none() && w.samples > 0 {
        out.remark("note: how often samples were taken is not known: the profile counts them, and tells no CPU time");
    }
    let what = format!(
        "{} CPU samples and {} waits ({}) in {} stacks",
        format_count(w.samples),
        format_count(w.waits),
        Nanos(w.off_cpu),
        format_count(w.stacks)
    );
    let facts = json!({
        "stacks": w.stacks,
        "cpu_samples": w.samples,
        "cpu": w.cpu,
        "waits": w.waits,
        "off_cpu": w.off_cpu,
        "uncompressed": w.bytes,
    });
    end(args, file, out, (&t, &stacks.problems), ("pprof", facts, what))
}

pub(super) fn speedscope(args: &Args, file: &Path, out: &Out) -> Result<Exit, Failure> {
    let mut sink = begin(args, file, out)?;
    let (t, stacks) = collect(args, out)?;
    let name = args.bundle.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let written = speedscope_file::write(&t, &stacks, &name, &mut sink);
    let w = written.map_err(|e| sink_failure(sink.failed(e)))?;
    sink.finish().map_err(sink_failure)?;
    if w.profiles == 0 {
        out.remark("note: no CPU samples and no waits were recorded in this scope: the file has no profile");
    }
    let what = format!(
        "{} CPU samples and {} off the CPU in {} profiles",
        format_count(w.samples),
        Nanos(w.off_cpu),
        format_count(w.profiles)
    );
    let facts = json!({ "profiles": w.profiles, "cpu_samples": w.samples, "off_cpu": w.off_cpu });
    end(args, file, out, (&t, &stacks.problems), ("speedscope", facts, what))
}

pub(super) fn folded(args: &Args, file: &Path, out: &Out) -> Result<Exit, Failure> {
    let kind = args.stacks.unwrap_or(Kind::OnCpu);
    let mut sink = begin(args, file, out)?;
    let options = Options { parts: vec![Part::Flame], ..Options::default() };
    let a = args.reading.analyze_as(&args.bundle, &options, out)?;
    let text = flame::folded(&a, kind, false, false);
    sink.write_all(text.as_bytes()).map_err(|e| sink_failure(sink.failed(e)))?;
    sink.finish().map_err(sink_failure)?;
    for problem in &a.quality.problems {
        out.warning(&format!("{}: {problem}", args.bundle.display()));
    }
    let of = a.flames.iter().find(|f| f.kind == kind.name());
    let unit = if kind == Kind::OnCpu { "samples" } else { "ns" };
    let weight = of.map_or(0, |f| f.stacks.iter().fold(0u64, |sum, s| sum.saturating_add(s.1)));
    let lines = of.map_or(0, |f| f.stacks.len());
    if out.json {
        out.document(&json!({
            "schema": { "name": "coldcase.export", "version": 1 },
            "bundle": a.bundle.id,
            "format": "folded",
            "file": file,
            "kind": kind.name(),
            "stacks": lines,
            "unit": unit,
            "weight": weight,
            "bytes": text.len(),
            "problems": a.quality.problems,
        }))?;
    } else {
        tell(out, file, &format!("{lines} stacks of {weight} {unit}"), text.len() as u64)?;
    }
    Ok(args.reading.exit(std::slice::from_ref(&a)))
}

#[cfg(test)]
mod tests {
    /// The profile tells CPU time by the rate that the recorder takes unless it is told otherwise.
    #[cfg(target_os = "linux")]
    #[test]
    fn the_recorders_rate_is_the_one_that_is_taken_for_granted() {
        let rate = coldcase_record::config::RecordConfig::default().kernel.sample_hz;
        assert_eq!(rate, coldcase_export::pprof::DEFAULT_HZ);
    }
}
