//! Outputs of a replay: from the command line to sinks.

use std::io::{BufWriter, IsTerminal};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use coldcase_replay::enrich::{Enricher, OnWire};
use coldcase_replay::metrics::{Exposition, OpenMetrics, RemoteWrite, RemoteWriteUrl};
use coldcase_replay::otlp::{Otlp, Target};
use coldcase_replay::plain::Plain;
use coldcase_replay::{Event, Item, Sink, Stop};
use coldcase_timeline::{StreamSet, Timeline};

use super::play::{Args, sink_failure};
use super::view::View;
use crate::exit::Failure;
use crate::out::{Out, Style};
use crate::reading::failure;
use crate::verbs::timeline;

/// Where it goes; several at once.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Outputs")]
#[group(skip)]
pub(super) struct Outputs {
    /// One line an event on stdout, as `timeline` prints it, instead of the view that a terminal gets [default where stdout is no terminal and
    /// no other output is named]
    #[arg(long, conflicts_with = "again")]
    plain: bool,
    /// Send OTLP requests and log lines here: http://HOST:4318 (protobuf or JSON as they came), grpc://HOST:4317; https, grpcs
    #[arg(long, value_name = "URL", conflicts_with = "again")]
    otlp: Vec<Target>,
    /// Add to the spans what the kernel and the packets tell of them: what their threads waited for, disk and TCP trouble, the request on the
    /// wire, as attributes `coldcase.…` and span events. Packets are read once before it begins
    #[arg(long, requires = "otlp", conflicts_with = "again")]
    enrich: bool,
    /// Write the samples of scraped pages and Remote-Write requests here, e.g. http://127.0.0.1:9090/api/v1/write
    #[arg(long, value_name = "URL", conflicts_with = "again")]
    remote_write: Vec<RemoteWriteUrl>,
    /// Write them into an OpenMetrics file, for `promtool tsdb create-blocks-from openmetrics FILE`
    #[arg(long, value_name = "FILE", conflicts_with = "again")]
    openmetrics: Option<PathBuf>,
    /// Let the values of the moment be scraped at http://ADDR/metrics while it runs: a port of the loopback, or an address with one
    #[arg(long, value_name = "ADDR", value_parser = loopback, conflicts_with = "again")]
    exposition: Option<SocketAddr>,
}

/// An address; of a port alone, that of the loopback.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix(':').unwrap_or(text).parse::<u16>();
    port.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .or_else(|_| text.parse())
        .map_err(|_| format!("'{text}' is no address: write 9464 or 127.0.0.1:9464"))
}

impl Outputs {
    /// Whether something goes out whose ids matter to a receiver.
    pub(super) fn has_ids(&self) -> bool {
        !self.otlp.is_empty()
    }

    /// Whether anything but lines is named.
    fn is_elsewhere(&self) -> bool {
        let metrics = !self.remote_write.is_empty() || self.openmetrics.is_some() || self.exposition.is_some();
        metrics || !self.otlp.is_empty()
    }

    /// Whether it is shown live in the terminal.
    pub(super) fn has_view(&self, out: &Out) -> bool {
        !(self.plain || out.json || out.quiet) && View::is_possible()
    }

    /// Whether it goes nowhere but to the terminal, so that it can be played again without sending anything twice.
    pub(super) fn is_only_view(&self) -> bool {
        !self.is_elsewhere()
    }

    /// Opens them.
    pub(super) fn open<'a>(
        &self,
        args: &Args,
        force: bool,
        t: &'a Timeline,
        out: &'a Out,
        view: Option<&View>,
        stop: &Stop,
    ) -> Result<Vec<Box<dyn Sink + 'a>>, Failure> {
        if self.plain && out.json {
            return Err(Failure::usage("--plain and --json both write to stdout")
                .hint("without --json the summary goes to stderr; `timeline --json` prints events as JSON"));
        }
        let mut sinks: Vec<Box<dyn Sink + 'a>> = Vec::new();
        let mark = (!args.no_mark).then(|| t.bundle().id());
        match view {
            Some(view) => sinks.push(view_of(view, args, t)),
            None if self.plain || !(self.is_elsewhere() || out.json) => sinks.push(lines(args, t, out)),
            None => {}
        }
        let has_packets = args.stream.is_empty() || StreamSet::named(&args.stream).has("packets");
        let on_wire = match self.enrich && has_packets {
            true => OnWire::read(t, None).map_err(failure)?,
            false => OnWire::default(),
        };
        for target in &self.otlp {
            let host = t.bundle().manifest().or(t.bundle().preface()).map(|m| m.host.name.as_str());
            let sink = Otlp::start(target.clone(), mark, host.filter(|h| !h.is_empty()), stop);
            let sink = sink.map_err(sink_failure)?;
            sinks.push(match self.enrich {
                true => {
                    let line = Box::new(timeline::write_line);
                    Box::new(sink.enriched(Enricher::new(t, on_wire.clone(), line)))
                }
                false => Box::new(sink),
            });
        }
        self.metrics(t, mark, force, out, stop, &mut sinks)?;
        Ok(sinks)
    }

    fn metrics<'a>(
        &self,
        t: &'a Timeline,
        mark: Option<&str>,
        force: bool,
        out: &Out,
        stop: &Stop,
        sinks: &mut Vec<Box<dyn Sink + 'a>>,
    ) -> Result<(), Failure> {
        for url in &self.remote_write {
            let sink = RemoteWrite::start(url.clone(), t.pages(), mark, stop);
            sinks.push(Box::new(sink.map_err(sink_failure)?));
        }
        if let Some(path) = &self.openmetrics {
            if path.exists() && !force {
                return Err(Failure::usage(format!("{}: exists", path.display()))
                    .hint("choose another name, or --force to replace it"));
            }
            let sink = OpenMetrics::create(path, force, t.pages(), mark);
            sinks.push(Box::new(sink.map_err(sink_failure)?));
        }
        if let Some(at) = self.exposition {
            let sink = Exposition::listen(at, t.bundle().id(), t.pages()).map_err(sink_failure)?;
            out.remark(&format!("exposition: http://{}/metrics", sink.address()));
            sinks.push(Box::new(sink));
        }
        Ok(())
    }
}

/// The live view, with the streams that lines have.
pub(super) fn view_of<'a>(view: &View, args: &Args, t: &'a Timeline) -> Box<dyn Sink + 'a> {
    view.sink(t, timeline::streams(&args.stream, t), timeline::write_line)
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
