//! `coldcase replay --requests-to` and `--load-profile`: recorded requests sent again, or summed up.

use std::path::{Path, PathBuf};
use std::time::Duration;

use coldcase_analyze::flow::filter::Filter;
use coldcase_export::pcapng::Wanted;
use coldcase_model::analysis::Analysis;
use coldcase_model::quantity::format_count;
use coldcase_model::text::visible;
use coldcase_replay::quantiles::Quantiles;
use coldcase_replay::requests::extract::{Extracted, extract};
use coldcase_replay::requests::send::{self, Ask, Keep, Operation, Plan, Report, Target, TargetError};
use coldcase_replay::requests::server::{listed, servers};
use serde::Serialize;

use super::{Shared, span, timeout};
use crate::exit::{Exit, Failure};
use crate::out::{Out, Style};
use crate::reading::{Document, Reading};
use coldcase_model::columns::columns;

/// Requests to a server, and what they are as a load.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Args {
    /// Write what was recorded as a load into this folder: load.json, and load.js for k6
    #[arg(long, value_name = "DIR")]
    load_profile: Option<PathBuf>,
    /// Send the recorded HTTP/1 requests to this server: http://HOST[:PORT]
    #[arg(long, value_name = "URL")]
    requests_to: Option<String>,
    /// Send the recorded Host header instead of the target's
    #[arg(long, requires = "requests_to")]
    keep_host: bool,
    /// Send recorded Authorization, Cookie and other headers with credentials
    #[arg(long, requires = "requests_to")]
    keep_credentials: bool,
    /// Fill bodies that were not captured: as many x as they had bytes
    #[arg(long, requires = "requests_to")]
    fill_bodies: bool,
    /// Wait so long for each answer
    #[arg(long, requires = "requests_to", value_name = "DURATION", default_value = "30s", value_parser = timeout)]
    answer_timeout: Duration,
    /// Only requests that match, in the words of `flow -Y`: 'tcp port 8080', 'http.request.method == GET'
    #[arg(short = 'Y', long, value_name = "FILTER", requires = "again", conflicts_with = "packets_to")]
    filter: Option<Filter>,
}

impl Args {
    pub(super) fn is_asked(&self) -> bool {
        self.load_profile.is_some() || self.requests_to.is_some()
    }
}

pub(super) fn run(file: &Path, args: &Args, shared: &Shared, reading: &Reading, out: &Out) -> Result<Exit, Failure> {
    let mut analysis = reading.packets(file, out)?;
    if let Some(filter) = &args.filter {
        filter.apply(&mut analysis.flow);
    }
    if coldcase_analyze::flow::capture::is_capture(file) {
        in_window(&mut analysis, reading);
    }
    of_traces(&mut analysis, reading);
    for problem in &analysis.quality.problems {
        out.warning(&format!("{}: {problem}", file.display()));
    }
    if let Some(dir) = &args.load_profile {
        return super::load::run(file, &analysis, dir, shared.force, reading, out);
    }
    let url = args.requests_to.as_deref().unwrap_or_default();
    send_again(file, &analysis, url, args, shared, reading, out)
}

/// Of a capture file the whole flow is told: those requests stay that begin in the window.
fn in_window(analysis: &mut Analysis, reading: &Reading) {
    let start = coldcase_model::Utc(analysis.bundle.first);
    let [from, to] = reading.scope().window.ends().map(|end| end.map(|when| when.utc(start).0));
    let inside = |at: i64| from.is_none_or(|from| at >= from) && to.is_none_or(|to| at < to);
    analysis.flow.requests.retain(|r| inside(r.start));
}

/// Of requests those stay that carry the id of a trace that was asked for.
fn of_traces(analysis: &mut Analysis, reading: &Reading) {
    let traces = reading.scope().who().traces;
    let wanted = |trace: &str| traces.iter().any(|t| t.eq_ignore_ascii_case(trace));
    if !traces.is_empty() {
        analysis.flow.requests.retain(|r| r.span.as_ref().is_some_and(|span| wanted(&span.trace)));
    }
}

/// What of the file is read a second time.
pub(super) fn wanted(reading: &Reading) -> Wanted {
    let [from, to] = reading.scope().window.ends();
    Wanted { from, to, ..Wanted::default() }
}

fn send_again(
    file: &Path,
    analysis: &Analysis,
    url: &str,
    args: &Args,
    shared: &Shared,
    reading: &Reading,
    out: &Out,
) -> Result<Exit, Failure> {
    let pace = shared.pace()?;
    let target = Target::of(url).map_err(not_a_target)?;
    one_server(analysis)?;
    let read = extract(file, analysis, &wanted(reading)).map_err(|e| Failure::failed(e.to_string()))?;
    let keep = Keep { host: args.keep_host, credentials: args.keep_credentials };
    let ask = Ask { keep, fill: args.fill_bodies };
    let mut plan = planned(analysis, read, &target, &ask)?;
    if !target.is_loopback() && !plan.unsafe_methods().is_empty() && !shared.yes_send {
        let methods: Vec<String> = plan.unsafe_methods().iter().map(|(m, n)| format!("{m} ({n})")).collect();
        let line = format!("{url} is another machine, and {} may change something there", methods.join(", "));
        return Err(Failure::usage(line).hint("--yes-send sends them; -Y 'http.request.method == GET' leaves them out"));
    }
    let of = coldcase_model::quantity::format_count(plan.len() as u64);
    out.remark(&format!("sending {of} requests to {url}"));
    let ran = send::send(&mut plan, &target, pace, args.answer_timeout).map_err(|e| Failure::failed(e.to_string()))?;
    let report = Report::of(&analysis.flow, &plan, &ran, url, pace);
    if out.json {
        let body = Body { bundle: crate::reading::name(analysis), report: &report };
        out.document(&Document::new("coldcase.replay_requests", body))?;
    } else {
        out.text(&text(&report, out))?;
    }
    Ok(if report.answered > 0 { reading.exit(std::slice::from_ref(analysis)) } else { Exit::Failed })
}

/// What `--json` prints.
#[derive(Serialize)]
struct Body<'a> {
    bundle: serde_json::Value,
    #[serde(flatten)]
    report: &'a Report,
}

/// Refuses requests to several servers: they would all go to the one.
fn one_server(analysis: &Analysis) -> Result<(), Failure> {
    let all = servers(&analysis.flow, &["http"]);
    match &all[..] {
        [] => Err(none(analysis)),
        [_] => Ok(()),
        several => Err(Failure::usage(format!("the recorded requests went to several servers: {}", listed(several)))
            .hint("-Y chooses those of one: -Y 'host 10.0.0.1 and tcp port 80'")),
    }
}

/// There is no request to send.
fn none(analysis: &Analysis) -> Failure {
    let flow = &analysis.flow;
    let line = match (flow.packets, flow.requests.len()) {
        (0, _) => "no packets were recorded in this window and scope",
        (_, 0) => "the packets hold no requests: they were cut behind their headers",
        _ => "the packets hold no HTTP/1 requests",
    };
    Failure::usage(line)
        .hint("record with --payload 65535 to send requests again; --load-profile DIR makes a load of what is known")
}

fn planned(analysis: &Analysis, read: Extracted, target: &Target, ask: &Ask) -> Result<Plan, Failure> {
    let id = match analysis.bundle.id.as_str() {
        "" => "capture",
        id => id,
    };
    let plan = Plan::of(&analysis.flow, read, id, target, ask);
    if plan.is_empty() {
        let whys: Vec<String> = plan.skipped().iter().map(|c| format!("{}: {}", c.count, c.what)).collect();
        return Err(Failure::usage(format!("no request can be sent again: {}", whys.join("; ")))
            .hint("record with --payload 65535; --load-profile DIR makes a load of what is known"));
    }
    Ok(plan)
}

fn not_a_target(e: TargetError) -> Failure {
    let hint = match &e {
        TargetError::Form(_) => "the recorded paths are added to it: --requests-to http://127.0.0.1:8080",
        TargetError::Tls(_) => "put a proxy in front that speaks it: socat TCP-LISTEN:8080,fork OPENSSL:host:443",
        TargetError::Name { .. } => "",
    };
    Failure::usage(format!("--requests-to: {e}")).hint(hint)
}

fn text(r: &Report, out: &Out) -> String {
    let mut text = format!(
        "{} of {} requests sent to {} over {} connections, {} answered, {} with the recorded status, in {}\n",
        format_count(r.sent),
        format_count(r.recorded),
        visible(&r.target),
        format_count(r.connections_opened),
        format_count(r.answered),
        format_count(r.same_status),
        span(r.timing.took)
    );
    text.push_str(&times(r));
    let mut more = |count: u64, words: &str| {
        if count > 0 {
            text.push_str(&format!("{} {words}\n", format_count(count)));
        }
    };
    more(r.filled_bodies, "bodies were not captured, and are filler");
    more(r.heads_cut, "heads were cut: the headers behind were not sent");
    more(r.credentials_left_out, "headers with credentials were not sent (--keep-credentials)");
    more(r.invalid_headers, "headers are not valid and were not sent");
    more(r.pipelined, "were pipelined then, and are not now");
    for skip in &r.skipped {
        text.push_str(&format!("{} not sent: {}\n", format_count(skip.count), skip.what));
    }
    text.push_str(&format!("\n{}\n", out.style(Style::Bold, "operations, then → now")));
    let head = ["operation", "sent", "answered", "same status", "p50", "p99", "status differs"];
    let rows: Vec<Vec<String>> = r.operations.iter().map(row).collect();
    text.push_str(&columns(&head, &rows));
    text
}

fn times(r: &Report) -> String {
    let t = &r.timing;
    match &t.late {
        None => String::new(),
        Some(late) => format!(
            "later than planned: p50 {}, p99 {}, max {}; {} waited for the answer before them\n",
            span(late.p50),
            span(late.p99),
            span(late.max),
            format_count(t.held_back)
        ),
    }
}

fn row(o: &Operation) -> Vec<String> {
    let of = |q: fn(&Quantiles) -> u64| match (&o.latency_recorded, &o.latency_now) {
        (Some(then), Some(now)) => format!("{} → {}", span(q(then)), span(q(now))),
        _ => "-".to_owned(),
    };
    let changes: Vec<String> =
        o.status_changes.iter().map(|c| format!("{} → {}: {}", c.recorded, c.now, c.count)).collect();
    let mut row = vec![o.operation.clone()];
    row.extend([o.sent, o.answered, o.same_status].map(format_count));
    row.extend([of(|q| q.p50), of(|q| q.p99)]);
    row.push(if changes.is_empty() { "-".to_owned() } else { changes.join(", ") });
    row
}
