//! A bundle's timeline again, at the pace it happened, to live receivers.

use std::path::Path;

use coldcase_bundle::Bundle;
use coldcase_model::Utc;
use coldcase_replay::{Filter, Options, ReplayError, Shift, SinkError, Speed, play};
use coldcase_timeline::{Entry, StreamSet, Timeline};
use regex::Regex;

use super::outputs::{self, Outputs};
use super::steering::Steering;
use super::view::{Again, View};
use super::{Shared, summary};
use crate::exit::{Exit, Failure};
use crate::out::Out;
use crate::reading::Reading;
use crate::verbs::timeline;

/// How the timeline is played.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Args {
    /// Only these streams, or streams whose names begin so
    #[arg(conflicts_with = "again", long, value_name = "STREAM", value_delimiter = ',')]
    pub(super) stream: Vec<String>,
    /// Only what has this regular expression in its line (as `timeline` prints it); of OTLP requests, the spans, records and points that do
    #[arg(conflicts_with = "again", long = "where", value_name = "REGEX")]
    pattern: Option<Regex>,
    /// Play it so many times over
    #[arg(conflicts_with = "again", long = "loop", value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// To which time: now, keep, or the start as RFC 3339
    #[arg(conflicts_with = "again", long, value_name = "TIME", default_value = "now", value_parser = shift)]
    shift: Shift,
    /// New trace and span ids, the same in all that goes out; another number makes others
    #[arg(conflicts_with = "again", long, value_name = "NUMBER", num_args = 0..=1, default_missing_value = "0")]
    pub(super) new_ids: Option<u64>,
    /// Do not mark what goes out with the id of the bundle
    #[arg(long, conflicts_with = "again")]
    pub(super) no_mark: bool,
    #[command(flatten)]
    outputs: Outputs,
}

fn shift(text: &str) -> Result<Shift, String> {
    match text {
        "now" => Ok(Shift::Now),
        "keep" => Ok(Shift::Keep),
        _ => {
            let stamp: Option<jiff::Timestamp> = text.parse().ok();
            let nanos = stamp.and_then(|s| i64::try_from(s.as_nanosecond()).ok());
            nanos.map(|n| Shift::To(Utc(n))).ok_or_else(|| {
                format!("'{text}' is not a time: write now, keep or an RFC 3339 time such as 2026-11-22T13:00:00Z")
            })
        }
    }
}

pub(super) fn run(file: &Path, args: &Args, shared: &Shared, reading: &Reading, out: &Out) -> Result<Exit, Failure> {
    let how = coldcase_timeline::Options { streams: StreamSet::None, ..reading.whole("the timeline is replayed")? };
    let timeline = Timeline::of(Bundle::open(file)?, &how)?;
    timeline::check_streams(&args.stream, std::slice::from_ref(&timeline))?;
    let [from, to] = reading.scope().window.ends().map(|end| end.map(|when| when.utc(timeline.start())));
    let streams = match args.stream.is_empty() {
        true => StreamSet::All,
        false => StreamSet::named(&args.stream),
    };
    let filter = args.pattern.as_ref().map(|regex| matching(&timeline, regex));
    let options = Options {
        from,
        to,
        streams,
        filter,
        speed: shared.speed,
        shift: args.shift,
        rounds: args.rounds,
        new_ids: args.new_ids,
    };
    let window = (from.unwrap_or(timeline.start()), to.unwrap_or(timeline.end()));
    let view = args.outputs.has_view(out).then(|| View::new(&timeline, window, console::colors_enabled()));
    // Keys are the view's.
    let steering = Steering::start(shared.speed == Speed::Step && view.is_none())?;
    let mut sinks = args.outputs.open(args, shared.force, &timeline, out, view.as_ref(), steering.stop())?;
    if args.rounds > 1 && args.new_ids.is_none() && args.outputs.has_ids() {
        out.remark("note: the same ids go out in each round; --new-ids gives each its own");
    }
    let options = std::cell::RefCell::new(options);
    let mut played = |again: Option<Again>| {
        // A second time is one for the view alone, from where it was asked to go back to.
        if let (Some(again), Some(view)) = (again, &view) {
            let mut options = options.borrow_mut();
            options.from = Some(again.from);
            options.speed = again.speed.unwrap_or(options.speed);
            sinks.push(outputs::view_of(view, args, &timeline));
        }
        let sinks = std::mem::take(&mut sinks);
        let options = options.borrow();
        play(&timeline, &options, sinks, steering.control(), steering.stop(), steering.status()).map_err(failure)
    };
    let played = match &view {
        Some(view) => view.around(&steering, args.outputs.is_only_view(), played)?,
        None => played(None)?,
    };
    for problem in timeline.problems().iter().chain(&played.problems) {
        out.warning(&format!("{}: {problem}", timeline.bundle().path().display()));
    }
    summary::print(&timeline, args, &played, out)?;
    let flawed = reading.strict() && !(timeline.problems().is_empty() && played.problems.is_empty());
    // What is left when somebody ends it is no loss.
    let lost = played.is_flawed() && !played.interrupted;
    Ok(if lost || flawed { Exit::Lost } else { Exit::Fine })
}

/// What has the expression in its line.
fn matching<'a>(timeline: &'a Timeline, regex: &'a Regex) -> Box<Filter<'a>> {
    Box::new(move |entry: &Entry| {
        let mut text = String::new();
        timeline::write_line(timeline, entry, &mut text);
        regex.is_match(&text)
    })
}

fn failure(e: ReplayError) -> Failure {
    match e {
        e @ ReplayError::Window { .. } => Failure::usage(e.to_string()).hint("--from must be before --to"),
        // Keeps a broken pipe what it is.
        ReplayError::Sink(SinkError::Io { source, .. }) if source.kind() == std::io::ErrorKind::BrokenPipe => {
            source.into()
        }
        ReplayError::Sink(e) => sink_failure(e),
    }
}

pub(super) fn sink_failure(e: SinkError) -> Failure {
    let hint = match &e {
        SinkError::Unreachable { .. } => "is the receiver running, and is this its address?",
        SinkError::Io { .. } => "",
    };
    Failure::failed(e.to_string()).hint(hint)
}
