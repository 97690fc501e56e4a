//! Outputs of a replay: from the command line to sinks.

use std::io::{BufWriter, IsTerminal};

use coldcase_replay::otlp::{Otlp, Target};
use coldcase_replay::plain::Plain;
use coldcase_replay::{Event, Item, Sink, Stop};
use coldcase_timeline::Timeline;

use super::{Args, sink_failure};
use crate::exit::Failure;
use crate::out::{Out, Style};
use crate::verbs::timeline;

/// Where it goes; several at once.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Outputs")]
pub(super) struct Outputs {
    /// One line an event on stdout, as `timeline` prints it [default where no other output is named]
    #[arg(long)]
    plain: bool,
    /// Send OTLP requests and log lines here: http://HOST:4318 (protobuf or JSON as they came), grpc://HOST:4317; https, grpcs
    #[arg(long, value_name = "URL")]
    otlp: Vec<Target>,
}

impl Outputs {
    /// Whether something goes out whose ids matter to a receiver.
    pub(super) fn has_ids(&self) -> bool {
        !self.otlp.is_empty()
    }

    /// Whether anything but lines is named.
    fn is_elsewhere(&self) -> bool {
        !self.otlp.is_empty()
    }

    /// Opens them.
    pub(super) fn open<'a>(
        &self,
        args: &Args,
        t: &'a Timeline,
        out: &'a Out,
        stop: &Stop,
    ) -> Result<Vec<Box<dyn Sink + 'a>>, Failure> {
        if self.plain && out.json {
            return Err(Failure::usage("--plain and --json both write to stdout")
                .hint("without --json the summary goes to stderr; `timeline --json` prints events as JSON"));
        }
        let mut sinks: Vec<Box<dyn Sink + 'a>> = Vec::new();
        let mark = (!args.no_mark).then(|| t.bundle().id());
        if self.plain || !(self.is_elsewhere() || out.json) {
            sinks.push(lines(args, t, out));
        }
        for target in &self.otlp {
            let host = t.bundle().manifest().or(t.bundle().preface()).map(|m| m.host.name.as_str());
            let sink = Otlp::start(target.clone(), mark, host.filter(|h| !h.is_empty()), stop);
            sinks.push(Box::new(sink.map_err(sink_failure)?));
        }
        Ok(sinks)
    }
}

/// Lines on stdout, those of `timeline`.
fn lines<'a>(args: &Args, t: &'a Timeline, out: &'a Out) -> Box<dyn Sink + 'a> {
    let all = args.stream.is_empty();
    let mut text = String::new();
    let line = move |event: &Event<'_>, to: &mut Vec<u8>| {
        let Item::Entry(entry) = event.item else { return false };
        if all && timeline::is_no_news(entry) {
            return false;
        }
        text.clear();
        timeline::write_line(event.timeline, entry, &mut text);
        let head = timeline::head_of(event.timeline, entry);
        to.extend_from_slice(out.style(Style::Dim, &head).as_bytes());
        to.push(b' ');
        to.extend_from_slice(text.as_bytes());
        to.push(b'\n');
        true
    };
    let streams = timeline::streams(&args.stream, t);
    // A terminal shows each line when it is due anyway: the loop flushes before it waits.
    let size = if std::io::stdout().is_terminal() { 1 << 12 } else { 1 << 16 };
    Box::new(Plain::new(BufWriter::with_capacity(size, std::io::stdout()), "stdout", streams, Box::new(line)))
}
