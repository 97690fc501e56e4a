//! `coldcase replay`: a bundle again, at the pace it happened, to live receivers.

mod outputs;
mod steering;
mod summary;
mod view;

use std::path::PathBuf;

use coldcase_bundle::Bundle;
use coldcase_model::Utc;
use coldcase_replay::{Filter, Options, ReplayError, Shift, SinkError, Speed, play};
use coldcase_timeline::{Entry, StreamSet, Timeline};
use regex::Regex;

use crate::args::Window;
use crate::exit::{Exit, Failure};
use crate::out::Out;
use outputs::Outputs;
use steering::Steering;
use view::{Again, View};

/// Play a recording again, in order and at its pace: to a terminal, a collector, a metrics store
///
/// All times are moved by one offset, so that intervals and order stay as they were. Ids are kept, and what goes out is marked with the id of the
/// bundle. A request that was received (OTLP, Remote-Write, a scraped page) goes out as one, when it had come in; --from and --to mean that time.
/// What a receiver cannot take now is sent again when it asks for it, and the replay waits meanwhile. Nothing is sent anywhere that was not named.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  coldcase replay incident.case
  coldcase replay incident.case --speed 10 --from +20s --to +50s --stream kernel.tcp,log
  coldcase replay incident.case --otlp http://127.0.0.1:4318 --plain
  coldcase replay incident.case --otlp grpc://tempo:4317 --loop 3 --new-ids
  coldcase replay incident.case --speed max --shift keep --openmetrics incident.om
  coldcase replay incident.case --remote-write http://127.0.0.1:9090/api/v1/write --exposition 9464
  coldcase replay incident.case --speed step --where 'ERROR|retransmit'
  coldcase replay incident.case --speed max --shift keep --no-mark --otlp http://127.0.0.1:4318 --json

Times: with --shift now (the default) nothing lies in the future when it goes out: up to speed 1 the start is now; faster, the
end is when the replay ends. keep leaves times as they were; with --no-mark too, requests go out byte for byte.

With --speed step each line on stdin (Enter) lets one event go; q ends it. Ctrl-C ends in good order, a second one at once.
The summary goes to stderr, or with --json as one document to stdout.

Exit codes: 0 fine, also when ended by Ctrl-C; 1 an output failed; 2 usage or not readable as a bundle; 3 something did not
arrive: it was refused, given up, or cannot be carried (and with --strict when part of the bundle could not be read).")]
pub(crate) struct Args {
    /// The bundle
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    /// How fast: 0.1 to 100 times, max (without waiting) or step (one event a line on stdin)
    #[arg(long, value_name = "SPEED", default_value = "1")]
    speed: Speed,
    #[command(flatten)]
    window: Window,
    /// Only these streams, or streams whose names begin so
    #[arg(long, value_name = "STREAM", value_delimiter = ',')]
    stream: Vec<String>,
    /// Only what has this regular expression in its line (as `timeline` prints it); of OTLP requests, the spans, records and points that do
    #[arg(long = "where", value_name = "REGEX")]
    filter: Option<Regex>,
    /// Play it so many times over
    #[arg(long = "loop", value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// To which time: now, keep, or the start as RFC 3339
    #[arg(long, value_name = "TIME", default_value = "now", value_parser = shift)]
    shift: Shift,
    /// New trace and span ids, the same in all that goes out; another number makes others
    #[arg(long, value_name = "NUMBER", num_args = 0..=1, default_missing_value = "0")]
    new_ids: Option<u64>,
    /// Do not mark what goes out with the id of the bundle
    #[arg(long)]
    no_mark: bool,
    #[command(flatten)]
    outputs: Outputs,
    /// Threads to decode with [default: one a CPU]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Exit with 3 when part of the bundle could not be read
    #[arg(long)]
    strict: bool,
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

pub(crate) fn run(args: Args, out: &Out) -> Result<Exit, Failure> {
    let timeline = Timeline::of(
        Bundle::open(&args.bundle)?,
        &coldcase_timeline::Options {
            threads: args.threads,
            streams: StreamSet::None,
            ..coldcase_timeline::Options::default()
        },
    )?;
    super::timeline::check_streams(&args.stream, std::slice::from_ref(&timeline))?;
    let [from, to] = args.window.ends().map(|end| end.map(|when| when.utc(timeline.start())));
    let streams = match args.stream.is_empty() {
        true => StreamSet::All,
        false => StreamSet::named(&args.stream),
    };
    let filter = args.filter.as_ref().map(|regex| matching(&timeline, regex));
    let options = Options {
        from,
        to,
        streams,
        filter,
        speed: args.speed,
        shift: args.shift,
        rounds: args.rounds,
        new_ids: args.new_ids,
    };
    let window = (from.unwrap_or(timeline.start()), to.unwrap_or(timeline.end()));
    let view = args.outputs.has_view(out).then(|| View::new(&timeline, window, console::colors_enabled()));
    // Keys are the view's.
    let steering = Steering::start(args.speed == Speed::Step && view.is_none())?;
    let mut sinks = args.outputs.open(&args, &timeline, out, view.as_ref(), steering.stop())?;
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
            sinks.push(outputs::view_of(view, &args, &timeline));
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
    summary::print(&timeline, &args, &played, out)?;
    let flawed = args.strict && !(timeline.problems().is_empty() && played.problems.is_empty());
    // What is left when somebody ends it is no loss.
    let lost = played.is_flawed() && !played.interrupted;
    Ok(if lost || flawed { Exit::Lost } else { Exit::Fine })
}

/// What has the expression in its line.
fn matching<'a>(timeline: &'a Timeline, regex: &'a Regex) -> Box<Filter<'a>> {
    Box::new(move |entry: &Entry| {
        let mut text = String::new();
        super::timeline::write_line(timeline, entry, &mut text);
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

fn sink_failure(e: SinkError) -> Failure {
    let hint = match &e {
        SinkError::Unreachable { .. } => "is the receiver running, and is this its address?",
        SinkError::Io { .. } => "",
    };
    Failure::failed(e.to_string()).hint(hint)
}
