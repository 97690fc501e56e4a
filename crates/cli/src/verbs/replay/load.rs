//! `coldcase replay --load-profile`: what was recorded, as a load.

use std::path::Path;

use coldcase_export::pcapng::{self, PcapngError};
use coldcase_model::analysis::Analysis;
use coldcase_model::catalogue::SPAN_STREAMS;
use coldcase_model::quantity::format_count;
use coldcase_model::text::visible;
use coldcase_replay::requests::extract::extract;
use coldcase_replay::requests::profile::{Profile, Source, Turns, of_requests, of_spans, of_turns, script, services};
use coldcase_replay::requests::server::{listed, servers};
use coldcase_timeline::{StreamSet, Timeline};
use serde::Serialize;

use super::requests::wanted;
use super::span;
use crate::exit::{Exit, Failure};
use crate::out::{Out, Style};
use crate::reading::{Document, Reading, name, write_new};
use coldcase_model::columns::columns;

/// Operations that are printed.
const PRINTED: usize = 10;

/// What `load.json` holds.
#[derive(Serialize)]
struct Body<'a> {
    bundle: serde_json::Value,
    #[serde(flatten)]
    profile: &'a Profile,
}

/// Writes the profile of a file whose flow is in `analysis`.
pub(super) fn run(
    file: &Path,
    analysis: &Analysis,
    dir: &Path,
    force: bool,
    reading: &Reading,
    out: &Out,
) -> Result<Exit, Failure> {
    let profile = profile(file, analysis, reading)?;
    std::fs::create_dir_all(dir).map_err(|e| Failure::failed(format!("{}: {e}", dir.display())))?;
    let document = Document::new("coldcase.load_profile", Body { bundle: name(analysis), profile: &profile });
    let json = serde_json::to_string_pretty(&document)? + "\n";
    let id = if analysis.bundle.id.is_empty() { "capture" } else { &analysis.bundle.id };
    write_new(&dir.join("load.json"), &json, force)?;
    write_new(&dir.join("load.js"), &script(&profile, id), force)?;
    match out.json {
        true => out.document(&document)?,
        false => out.text(&text(&profile, dir, out))?,
    }
    Ok(reading.exit(std::slice::from_ref(analysis)))
}

/// The profile of the best that there is: requests, else server spans, else turns.
fn profile(file: &Path, analysis: &Analysis, reading: &Reading) -> Result<Profile, Failure> {
    let failed = |e: PcapngError| Failure::failed(e.to_string());
    let flow = &analysis.flow;
    let all = servers(flow, &["http", "http2"]);
    if !all.is_empty() {
        one(&all, "the recorded requests went to", "-Y chooses those of one: -Y 'host 10.0.0.1 and tcp port 80'")?;
        let read = extract(file, analysis, &wanted(reading)).map_err(failed)?;
        return Ok(of_requests(flow, &read));
    }
    if let Some(profile) = spans(file, reading)? {
        return Ok(profile);
    }
    if !reading.scope().who().traces.is_empty() {
        return Err(Failure::usage("--trace: no request in the packets and no server span of HTTP is of this trace"));
    }
    let mut turns = Turns::of(flow);
    pcapng::each::<PcapngError>(file, analysis, &wanted(reading), &mut |frame| {
        turns.frame(&frame);
        Ok(())
    })
    .map_err(failed)?;
    let all = turns.servers();
    if all.is_empty() {
        return Err(Failure::usage(
            "no requests, no server spans of HTTP and no TCP connections in this window and scope",
        )
        .hint("record with packets, or with --otlp-grpc and --otlp-http for spans"));
    }
    let server = one(&all, "the recorded connections went to", "-Y chooses those of one: -Y 'tcp port 80'")?;
    Ok(of_turns(&turns, &server))
}

fn spans(file: &Path, reading: &Reading) -> Result<Option<Profile>, Failure> {
    if coldcase_analyze::flow::capture::is_capture(file) {
        return Ok(None);
    }
    let scope = reading.scope();
    let [from, to] = scope.window.ends();
    let options = coldcase_timeline::Options {
        from,
        to,
        // Whose a span is tells the process that sent it.
        streams: StreamSet::named(SPAN_STREAMS),
        ..coldcase_timeline::Options::default()
    };
    let t = Timeline::open(file, &options)?;
    let scope = scope.who();
    let all = services(&t, &scope);
    if all.is_empty() {
        return Ok(None);
    }
    let service = one(&all, "server spans are of", "--service chooses those of one")?;
    Ok(Some(of_spans(&t, &scope, &service)))
}

/// The one that there is: a load is of one server.
fn one(all: &[(String, u64)], what: &str, hint: &str) -> Result<String, Failure> {
    match all {
        [(only, _)] => Ok(only.clone()),
        several => Err(Failure::usage(format!("{what} several: {}", listed(several))).hint(hint)),
    }
}

fn text(p: &Profile, dir: &Path, out: &Out) -> String {
    let source = match p.source {
        Source::Requests => "requests in packets",
        Source::ServerSpans => "server spans",
        Source::Turns => "turns of connections: THE SHAPE ONLY, not what was asked",
    };
    let mut text = format!(
        "{} requests to {} in {}: {:.1} a second, {:.1} at most; from {source}\n",
        format_count(p.requests),
        visible(if p.server.is_empty() { "a server that is not known" } else { &p.server }),
        span(p.span),
        p.mean_rate,
        p.peak_rate
    );
    if let Some(c) = &p.concurrency {
        text.push_str(&format!("at a time: {:.1} on average, p99 {}, at most {}\n", c.mean, c.p99, c.max));
    }
    if let Some(c) = &p.connections {
        let used = if c.keep_alive { "kept alive" } else { "mostly one request each" };
        text.push_str(&format!("{} connections, {used}\n", format_count(c.count)));
    }
    let rows: Vec<Vec<String>> = p.operations.iter().take(PRINTED).map(row).collect();
    text.push_str(&format!("\n{}\n", out.style(Style::Bold, "operations")));
    text.push_str(&columns(&["operation", "requests", "share", "paths", "request", "answer", "errors"], &rows));
    if p.operations.len() > PRINTED {
        text.push_str(&format!("and {} more in load.json\n", p.operations.len() - PRINTED));
    }
    text.push_str(&format!("\n{}\n", out.style(Style::Bold, "not known")));
    p.unknown.iter().for_each(|what| text.push_str(&format!("{}\n", visible(what))));
    let written = dir.join("load.js").display().to_string();
    text.push_str(&format!("\nk6 run -e TARGET=http://127.0.0.1:8080 {}\n", visible(&written)));
    text
}

fn row(o: &coldcase_replay::requests::profile::Operation) -> Vec<String> {
    let size = |q: &Option<coldcase_replay::quantiles::Quantiles>| {
        q.map_or_else(|| "-".to_owned(), |q| coldcase_model::quantity::format_size(q.p50))
    };
    let mut row = vec![o.name.clone(), format_count(o.requests), format!("{:.1}%", o.weight * 100.0)];
    row.push(o.paths.len().to_string());
    row.extend([size(&o.request_bytes), size(&o.response_bytes), format_count(o.errors)]);
    row
}
