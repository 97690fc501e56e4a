//! `coldcase export --perfetto`: a trace for <https://ui.perfetto.dev>.

use std::path::Path;

use coldcase_analyze::{Options, Part};
use coldcase_bundle::Bundle;
use coldcase_export::perfetto::{self, LEFT_OUT, Wanted, Written};
use coldcase_model::analysis::Flow;
use coldcase_model::catalogue;
use coldcase_model::quantity::format_count;
use coldcase_timeline::{StreamSet, Timeline};
use serde_json::json;

use super::{Args, begin, sink_failure, tell};
use crate::exit::{Exit, Failure};
use crate::out::Out;
use crate::progress;
use crate::verbs::timeline::check_streams;
use crate::verbs::timeline::filter::Filter;
use crate::verbs::timeline::of_trace::OfTrace;

pub(super) fn run(args: &Args, file: &Path, out: &Out) -> Result<Exit, Failure> {
    let who = args.reading.scope().who();
    let [from, to] = args.reading.scope().window.ends();
    // What threads did and logged for a trace is found by its spans.
    let joined = catalogue::SPAN_STREAMS.iter().copied().chain(["otlp.logs", "log.lines"]);
    let options = coldcase_timeline::Options {
        threads: args.reading.threads(),
        from,
        to,
        streams: if who.traces.is_empty() { StreamSet::None } else { StreamSet::named(joined) },
        debug_files: args.reading.debug_files().wanted(),
    };
    let streams = if args.stream.is_empty() { StreamSet::All } else { StreamSet::named(&args.stream) };
    let bundle = Bundle::open(&args.bundle)?;
    let has_packets = streams.has("packets") && bundle.streams().iter().any(|s| &*s.name == "packets" && s.events > 0);
    let mut sink = begin(args, file, out)?;
    // Before the timeline is loaded: an analysis loads one of its own.
    let flow = if has_packets { Some(flow(args, out)?) } else { None };
    let t = [Timeline::of(bundle, &options)?];
    check_streams(&args.stream, &t)?;
    let [t] = t;
    let of_trace = match who.traces.is_empty() {
        true => None,
        false => Some(OfTrace::new(&t, &who, [from, to], args.reading.threads())?),
    };
    let filter = Filter::new(&t, &who, of_trace.as_ref());
    let line = progress::line(out);
    line.set_message(format!("writing {}", file.display()));
    let wanted = Wanted {
        streams: &|s| streams.has(s),
        passes: &|e| filter.passes(e).is_some(),
        flow: flow.as_ref(),
        // Of a series nobody knows which process or trace it is of.
        samples: who.is_all(),
    };
    let written = perfetto::write(&t, &wanted, &mut sink);
    line.finish_and_clear();
    let mut written = written.map_err(|e| sink_failure(sink.failed(e)))?;
    sink.finish().map_err(sink_failure)?;
    let opening = t.problems();
    written.problems.retain(|p| !opening.contains(p));
    written.problems.splice(0..0, opening.iter().cloned());
    for problem in &written.problems {
        out.warning(&format!("{}: {problem}", args.bundle.display()));
    }
    out.not_fetched(&t.symbols().not_fetched());
    report(out, file, &t, &written)?;
    Ok(if args.reading.strict() && !written.problems.is_empty() { Exit::Lost } else { Exit::Fine })
}

/// The requests in packets that are in scope.
fn flow(args: &Args, out: &Out) -> Result<Flow, Failure> {
    let options = Options { parts: vec![Part::Flow], ..Options::default() };
    let mut flow = args.reading.analyze_as(&args.bundle, &options, out)?.flow;
    let traces = args.reading.scope().who().traces;
    let wanted = |trace: &str| traces.iter().any(|t| t.eq_ignore_ascii_case(trace));
    flow.requests.retain(|r| traces.is_empty() || r.span.as_ref().is_some_and(|s| wanted(&s.trace)));
    Ok(flow)
}

fn report(out: &Out, file: &Path, t: &Timeline, w: &Written) -> Result<(), Failure> {
    let c = &w.counts;
    if out.json {
        let left_out: serde_json::Map<String, serde_json::Value> = t
            .bundle()
            .streams()
            .iter()
            .filter(|s| LEFT_OUT.contains(&&*s.name) && s.events > 0)
            .map(|s| (s.name.to_string(), s.events.into()))
            .collect();
        return out.document(&json!({
            "schema": { "name": "coldcase.export", "version": 1 },
            "bundle": t.bundle().id(),
            "format": "perfetto",
            "file": file,
            "bytes": c.bytes,
            "packets": c.packets,
            "tracks": c.tracks,
            "slices": c.slices,
            "instants": c.instants,
            "counters": c.counters,
            "cpu_samples": c.cpu_samples,
            "without_stack": c.without_stack,
            "flows": c.flows,
            "without_flow": w.without_flow,
            "without_time": w.without_time,
            "buckets": w.buckets,
            "left_out": left_out,
            "problems": w.problems,
        }));
    }
    let sum = |of: &std::collections::BTreeMap<String, u64>| format_count(of.values().sum());
    let what = format!(
        "{} slices, {} instants, {} counter samples, {} CPU samples and {} flows on {} tracks",
        sum(&c.slices),
        sum(&c.instants),
        sum(&c.counters),
        format_count(c.cpu_samples),
        format_count(c.flows),
        format_count(c.tracks)
    );
    tell(out, file, &what, c.bytes)
}
