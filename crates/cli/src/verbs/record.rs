//! `coldcase record`: flags to configuration, the status line, the end summary.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use coldcase_model::quantity::{format_count, format_size};
use coldcase_record::config::{RecordConfig, ScrapeTarget, SyslogAddress, Uprobe};
use coldcase_record::discover;
use coldcase_record::error::RecordError;
use coldcase_record::flight::Rule;
use coldcase_record::kernel::{Kernel, bench::Empty};
use coldcase_record::limits::{Rate, parse_cpu};
use coldcase_record::otlp::{Ack, Collector, Endpoint};
use coldcase_record::session::{self, Observer, Output, Plan};
use coldcase_record::source::Source;
use coldcase_record::sources;
use coldcase_record::summary::{Ended, Progress, Summary};
use coldcase_record::symbols::Seen;
use indicatif::ProgressBar;
use serde_json::json;

use crate::again::{self, Again};
use crate::args::{duration, rfc3339, size};
use crate::exit::{Exit, Failure};
use crate::out::Out;
use crate::progress;

/// Record what this host does into one bundle
///
/// Records kernel events (eBPF), packets, OpenTelemetry, logs, metrics and host state. What this user or this kernel
/// does not allow is skipped and said. Never read: environments, payloads of packets (cut behind their headers).
/// Command lines are masked. Log lines and OTLP are stored as they were sent.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  coldcase record -o incident.case --for 30s
  coldcase record -o run.case -- ./my-benchmark --fast      ends with the command, and with its exit code
  coldcase record -o run-%d.case --repeat 5 -- ./my-benchmark      run-1.case to run-5.case, for compare
  coldcase record -o b.case --log '/var/log/app/*.log' --scrape http://127.0.0.1:9100/metrics
  coldcase record -o b.case --interface eth0 --filter 'tcp port 5432'
  coldcase record -o b.case --ack durable --otlp-grpc 127.0.0.1:4317 --otlp-forward grpc://collector:4317
  coldcase record -o - --for 10s | ssh laptop 'cat > b.case'
  coldcase record --flight 5m --max-size 512MiB -o /var/tmp/flight --trigger 'log=ERROR.*timeout' --log app.log
  coldcase record --config coldcase.toml

Ctrl-C seals the bundle; a second one leaves at once (`coldcase recover` then makes the bundle whole).
Exit codes: 0 fine, 1 failed, 2 usage, 3 recorded but evidence was lost. With a command: the command's own
(128+n for a signal), 125 if recording could not start. With --json the command's stdout goes to stderr.")]
pub(crate) struct Args {
    /// The bundle to write; - for stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the bundle if it exists
    #[arg(long)]
    force: bool,
    /// Stop after this time
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    time_limit: Option<Duration>,
    /// Stop before the bundle is larger than about this; with --flight: what the folder may take, dumps included
    /// [with --flight, default: 1GiB]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_size: Option<u64>,
    /// Take in less while recording takes more CPU time than this, percent of one CPU
    #[arg(long, value_name = "PERCENT", value_parser = parse_cpu)]
    max_cpu: Option<u64>,
    /// Take in less while the recorder holds more memory than this
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_memory: Option<u64>,
    /// Take in less while more is taken in a second: events (20000) or bytes of the bundle (5MiB)
    #[arg(long, value_name = "EVENTS|SIZE")]
    max_rate: Option<Rate>,
    /// End while this file exists, and do not begin
    #[arg(long, value_name = "FILE")]
    kill_switch: Option<PathBuf>,
    /// Settings from a file; flags override it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Fail unless this source starts (kernel, kernel.sched, packets, otlp, …)
    #[arg(long, value_name = "SOURCE", value_delimiter = ',')]
    require: Vec<String>,
    /// Record only these sources
    #[arg(long, value_name = "SOURCE", value_delimiter = ',')]
    only: Vec<String>,
    /// Leave these sources out
    #[arg(long, value_name = "SOURCE", value_delimiter = ',')]
    without: Vec<String>,
    /// For tests: refuse these sources and programs as a kernel would
    #[arg(long, hide = true, value_name = "NAME", value_delimiter = ',')]
    refuse: Vec<String>,
    /// Carry no names of functions: the laptop then needs the binaries (--debug-dir)
    #[arg(long)]
    no_symbols: bool,
    /// For benchmarks: empty programs on the kernel's hooks, and nothing else
    #[arg(long, hide = true)]
    empty_hooks: bool,
    #[command(flatten)]
    flight: Flight,
    #[command(flatten)]
    what: What,
    /// Run and record the command so many times, each into a bundle of its own: %d or {n} in its name is the number, else it
    /// stands before the extension
    #[arg(long, value_name = "N", requires = "command", value_parser = clap::value_parser!(u32).range(1..))]
    repeat: Option<u32>,
    /// A command to run and record, after --
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// The last minutes instead of everything.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Flight recording")]
struct Flight {
    /// Keep only so much, in the folder -o, and dump it when something happens
    #[arg(long = "flight", value_name = "TIME", value_parser = duration)]
    window: Option<Duration>,
    /// Dump when this happens: log=REGEX, metric=NAME>N, 'metric=NAME rise>N/s', psi=cpu:some:avg10>N,
    /// span=latency>TIME[,name=NAME], span=error, exit=!0[,comm=NAME], oom
    #[arg(long, value_name = "KIND=WHAT")]
    trigger: Vec<Rule>,
    /// A dump holds so much before its cause [default: all that is kept]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pre: Option<Duration>,
    /// A dump holds so much after its cause [default: 5s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    post: Option<Duration>,
    /// A trigger makes no other dump for so long [default: 1m]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    cooldown: Option<Duration>,
    /// Dumps that one trigger makes at most [default: 10]
    #[arg(long, value_name = "N")]
    max_dumps: Option<u32>,
    /// With less free space on the disk make no dump, and shrink the window [default: 256MiB]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    disk_floor: Option<u64>,
}

/// What each source is told.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Sources")]
struct What {
    /// Follow this log file or glob, or - for standard input, whose end ends the recording
    #[arg(long = "log", value_name = "PATH")]
    log: Vec<String>,
    /// Read log files from their beginning, not from their end
    #[arg(long)]
    log_from_start: bool,
    /// An entry of a log begins with a line that has this; lines without it join the one before
    #[arg(long, value_name = "REGEX")]
    log_multiline: Option<String>,
    /// Follow systemd's journal, through journalctl
    #[arg(long)]
    journal: bool,
    /// Follow the journal files in this folder instead of this host's journal
    #[arg(long, value_name = "DIR")]
    journal_dir: Option<PathBuf>,
    /// Receive syslog here: udp://127.0.0.1:5514, tcp://127.0.0.1:5514, unix:/path
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    syslog: Vec<SyslogAddress>,
    /// Scrape this Prometheus target; @SECONDS sets how often. dns+http:// scrapes every address of the name
    #[arg(long, value_name = "URL[@SECONDS]")]
    scrape: Vec<ScrapeTarget>,
    /// Scrape the targets in this file or glob (Prometheus' file_sd, JSON or YAML); read again when it changes
    #[arg(long, value_name = "PATH")]
    scrape_file: Vec<String>,
    /// Trust the certificates in this file (PEM) for https:// targets, instead of the system's
    #[arg(long, value_name = "FILE")]
    scrape_ca: Option<PathBuf>,
    /// Take whatever certificate an https:// target shows
    #[arg(long)]
    scrape_insecure: bool,
    /// Send the bearer token in this file to the targets
    #[arg(long, value_name = "FILE", conflicts_with = "scrape_basic_auth_file")]
    scrape_bearer_file: Option<PathBuf>,
    /// Send the USER:PASSWORD in this file to the targets
    #[arg(long, value_name = "FILE")]
    scrape_basic_auth_file: Option<PathBuf>,
    /// Receive Prometheus Remote-Write here
    #[arg(long, value_name = "ADDRESS")]
    remote_write: Option<SocketAddr>,
    /// Tap this network interface; all that are up unless named
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    interface: Vec<String>,
    /// Record only packets that this filter (tcpdump's syntax) lets through
    #[arg(long, value_name = "EXPRESSION")]
    filter: Option<String>,
    /// Keep this many bytes of payload of each packet
    #[arg(long, value_name = "BYTES")]
    payload: Option<u32>,
    /// Keep this many bytes of payload where either port is this one
    #[arg(long, value_name = "PORT=BYTES", value_parser = payload_port)]
    payload_port: Vec<(u16, u32)>,
    /// Receive OTLP over gRPC here: ADDRESS:PORT or unix:/PATH (senders in Python, C++, Ruby and PHP then need the channel
    /// option grpc.default_authority=localhost) [default: 127.0.0.1:4317]
    #[arg(long, value_name = "WHERE")]
    otlp_grpc: Option<Endpoint>,
    /// Receive OTLP over HTTP here, likewise [default: 127.0.0.1:4318]
    #[arg(long, value_name = "WHERE")]
    otlp_http: Option<Endpoint>,
    /// Take OTLP only from senders that bring the token in this file (Authorization: Bearer ...)
    #[arg(long, value_name = "FILE")]
    otlp_token: Option<PathBuf>,
    /// Receive OTLP over TLS, with this certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "otlp_tls_key")]
    otlp_tls_cert: Option<PathBuf>,
    /// The private key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "otlp_tls_cert")]
    otlp_tls_key: Option<PathBuf>,
    /// Pass OTLP on, once it is acknowledged, to the collector that was there before: grpc://HOST[:4317] or
    /// http://HOST[:4318][/PREFIX], with TLS grpcs:// or https://; one of each at most
    #[arg(long, value_name = "URL")]
    otlp_forward: Vec<Collector>,
    /// When an OTLP request is acknowledged: received (it is in the bundle two seconds later, whatever happens to the
    /// recorder) or durable (it is in the bundle, and on the disk) [default: received]
    #[arg(long, value_name = "WHEN")]
    ack: Option<Ack>,
    /// CPU samples per second and CPU
    #[arg(long, value_name = "HZ", value_parser = clap::value_parser!(u64).range(1..))]
    sample_hz: Option<u64>,
    /// Off-CPU intervals shorter than this are summed each second instead of becoming rows
    #[arg(long, value_name = "TIME", value_parser = duration)]
    row_threshold: Option<Duration>,
    /// Off-CPU intervals from this length on carry stacks
    #[arg(long, value_name = "TIME", value_parser = duration)]
    stack_threshold: Option<Duration>,
    /// Record the latency of system calls, by process, call and length, and the slow ones; costs each call
    #[arg(long)]
    syscalls: bool,
    /// With --syscalls: calls from this length on are rows of their own
    #[arg(long, value_name = "TIME", value_parser = duration)]
    syscall_threshold: Option<Duration>,
    /// Record the time in interrupts, by CPU and number, and the long ones; costs each interrupt
    #[arg(long)]
    irq: bool,
    /// Record calls into libssl (TLS; never what is in it), of postgres (statements, literals masked), into libc (getaddrinfo)
    #[arg(long, value_name = "TARGET", value_delimiter = ',')]
    uprobe: Vec<Uprobe>,
    /// CPUs that share a kernel ring of a class
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    ring_cpus: Option<u32>,
    /// Size of each kernel ring; a power of two
    #[arg(long, value_name = "SIZE", value_parser = ring_size)]
    ring_bytes: Option<u32>,
    /// Record only these processes, where a source knows processes
    #[arg(long, value_name = "PID", value_delimiter = ',')]
    pid: Vec<u32>,
    /// Record only tasks of these names, likewise
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    comm: Vec<String>,
    /// Record only processes of this cgroup and of those below it, likewise
    #[arg(long, value_name = "PATH")]
    cgroup: Vec<String>,
    /// Record only processes of this container, likewise
    #[arg(long, value_name = "ID")]
    container: Vec<String>,
}

/// The exit code when recording could not start and a command was to be run, as in `timeout(1)` and `env(1)`.
const NOT_STARTED: u8 = 125;

/// Looks for logs and metrics ports that nobody named may take this long in all.
const LOOK: Duration = Duration::from_millis(1200);

pub(crate) fn run(args: Args, out: &Out) -> Result<Exit, Failure> {
    let with_command = !args.command.is_empty();
    record(args, out).map_err(|failure| match failure.exit {
        // A code of the command's own stays: it ran.
        Exit::Failed | Exit::Usage if with_command => failure.with(Exit::Code(NOT_STARTED)),
        _ => failure,
    })
}

/// Runs the same command line again and again without `--repeat`, until a run fails.
fn repeat(times: u32, name: &std::path::Path, out: &Out) -> Result<Exit, Failure> {
    let own: Vec<OsString> = std::env::args_os().skip(1).collect();
    let (options, command) = again::without(&own, &["--repeat", "--output", "-o"]);
    let again = Again::new()?;
    for n in 1..=times {
        let bundle = again::numbered(name, n);
        out.remark(&format!("run {n} of {times}: {}", bundle.display()));
        let output = again::arguments(["--output".as_ref(), bundle.as_os_str()]);
        let ended = again.run(&[&options[..], &output, &command].concat())?;
        if ended.code != 0 || ended.interrupted {
            out.warning(&format!("run {n} of {times} ended with {}: no more are made", ended.code));
            return Ok(Exit::Code(ended.code));
        }
    }
    Ok(Exit::Fine)
}

fn record(args: Args, out: &Out) -> Result<Exit, Failure> {
    let config = configure(&args)?;
    let output = config.output.clone().ok_or_else(|| {
        Failure::usage("--output: name the bundle to write").hint("coldcase record -o incident.case --for 30s")
    })?;
    if let Some(times) = args.repeat {
        if output.as_os_str() == "-" || config.flight.window.is_some() {
            return Err(Failure::usage("--repeat: makes bundles: not with -o - or --flight"));
        }
        return repeat(times, &output, out);
    }
    let to_stdout = output.as_os_str() == "-";
    if to_stdout {
        if !args.command.is_empty() {
            return Err(Failure::usage("-o -: the bundle and the command's output both need stdout"));
        }
        if std::io::stdout().is_terminal() {
            return Err(Failure::usage("-o -: will not write a bundle to a terminal").hint("pipe it, or name a file"));
        }
    }
    if to_stdout && config.otlp.ack == Ack::Durable {
        return Err(Failure::usage("--ack durable: what goes to stdout cannot be synced").hint("-o FILE"));
    }
    let name = output.display().to_string();
    let flight = config.flight.window.is_some();
    if flight && to_stdout {
        return Err(Failure::usage("--flight: keeps its segments in a folder, not on stdout").hint("-o FOLDER"));
    }
    let output = match to_stdout {
        _ if flight => Output::Flight { folder: output },
        true => Output::Stream(Box::new(std::io::stdout()) as Box<dyn Write + Send>),
        false => Output::File { path: output, force: args.force },
    };
    tell(&config, out);
    let sources = match args.empty_hooks {
        true => {
            let kernel = Kernel::new(&config.kernel, Seen::default(), |name| config.wants(name));
            vec![Box::new(Empty::twin(&kernel)) as Box<dyn Source>]
        }
        false => sources::all(&config),
    };
    let command: Vec<String> = std::env::args_os().map(|a| a.to_string_lossy().into_owned()).collect();
    let child = (!args.command.is_empty()).then_some(args.command);
    let mut watcher = Watcher { out, line: None, name: name.clone(), flight: config.flight.window };
    let plan = Plan { output, config, child, stdout_taken: out.json, command };
    let summary = session::record(plan, sources, &mut watcher);
    watcher.clear();
    let summary = summary.map_err(failure)?;
    report(&summary, &name, to_stdout, out)?;
    Ok(exit(&summary))
}

/// The configuration file, overridden by the flags.
fn configure(args: &Args) -> Result<RecordConfig, Failure> {
    let mut config = match &args.config {
        Some(path) => RecordConfig::read(path).map_err(failure)?,
        None => RecordConfig::default(),
    };
    let what = &args.what;
    over(&mut config.output, &args.output);
    over(&mut config.time_limit, &args.time_limit);
    over(&mut config.max_size, &args.max_size);
    over(&mut config.max_cpu, &args.max_cpu);
    over(&mut config.max_memory, &args.max_memory);
    over(&mut config.max_rate, &args.max_rate);
    if let Some(file) = &args.kill_switch {
        config.kill_switch.clone_from(file);
    }
    over_list(&mut config.require, &args.require);
    over_list(&mut config.kernel.refuse, &args.refuse);
    over_list(&mut config.only, &args.only);
    over_list(&mut config.without, &args.without);
    if args.no_symbols {
        config.without.push("symbols".to_owned());
    }
    over_list(&mut config.scope.pids, &what.pid);
    over_list(&mut config.scope.comms, &what.comm);
    over_list(&mut config.scope.cgroups, &what.cgroup);
    over_list(&mut config.scope.containers, &what.container);
    over_list(&mut config.logs.paths, &what.log);
    config.logs.from_start |= what.log_from_start;
    over(&mut config.logs.multiline, &what.log_multiline);
    config.logs.journal |= what.journal;
    over(&mut config.logs.journal_dir, &what.journal_dir);
    over_list(&mut config.logs.syslog, &what.syslog);
    over_list(&mut config.metrics.targets, &what.scrape);
    over_list(&mut config.metrics.files, &what.scrape_file);
    over(&mut config.metrics.ca, &what.scrape_ca);
    config.metrics.insecure |= what.scrape_insecure;
    over(&mut config.metrics.bearer_file, &what.scrape_bearer_file);
    over(&mut config.metrics.basic_auth_file, &what.scrape_basic_auth_file);
    over(&mut config.remote_write.listen, &what.remote_write);
    over_list(&mut config.packets.interfaces, &what.interface);
    over(&mut config.packets.filter, &what.filter);
    config.packets.payload = what.payload.unwrap_or(config.packets.payload);
    config.packets.payload_ports.extend(what.payload_port.iter().copied());
    over(&mut config.otlp.grpc, &what.otlp_grpc);
    over(&mut config.otlp.http, &what.otlp_http);
    over(&mut config.otlp.token, &what.otlp_token);
    over(&mut config.otlp.tls_cert, &what.otlp_tls_cert);
    over(&mut config.otlp.tls_key, &what.otlp_tls_key);
    over_list(&mut config.otlp.forward, &what.otlp_forward);
    config.otlp.ack = what.ack.unwrap_or(config.otlp.ack);
    let (flight, told) = (&mut config.flight, &args.flight);
    over(&mut flight.window, &told.window);
    over(&mut flight.pre, &told.pre);
    flight.post = told.post.unwrap_or(flight.post);
    flight.cooldown = told.cooldown.unwrap_or(flight.cooldown);
    flight.max_dumps = told.max_dumps.unwrap_or(flight.max_dumps);
    flight.disk_floor = told.disk_floor.unwrap_or(flight.disk_floor);
    for rule in &told.trigger {
        let mut rule = rule.clone();
        let alike = flight.triggers.iter().filter(|r| r.kind == rule.kind).count();
        // Short forms have no name of their own: the second of a kind is `log-2`.
        rule.name = (alike > 0).then(|| format!("{}-{}", rule.name(), alike + 1));
        flight.triggers.push(rule);
    }
    if let Some(fault) = config.flight.fault() {
        return Err(Failure::usage(fault));
    }
    config.kernel.sample_hz = what.sample_hz.unwrap_or(config.kernel.sample_hz);
    config.kernel.row_threshold = what.row_threshold.unwrap_or(config.kernel.row_threshold);
    config.kernel.stack_threshold = what.stack_threshold.unwrap_or(config.kernel.stack_threshold);
    config.kernel.syscalls |= what.syscalls;
    config.kernel.syscall_threshold = what.syscall_threshold.unwrap_or(config.kernel.syscall_threshold);
    config.kernel.irq |= what.irq;
    over_list(&mut config.kernel.uprobe, &what.uprobe);
    config.kernel.ring_cpus = what.ring_cpus.unwrap_or(config.kernel.ring_cpus);
    config.kernel.ring_bytes = what.ring_bytes.unwrap_or(config.kernel.ring_bytes);
    match config.fault() {
        Some(fault) => Err(Failure::usage(fault)),
        None => Ok(config),
    }
}

fn payload_port(text: &str) -> Result<(u16, u32), String> {
    let parts = text.split_once('=').and_then(|(port, bytes)| Some((port.parse().ok()?, bytes.parse().ok()?)));
    parts.ok_or_else(|| format!("'{text}' is not PORT=BYTES"))
}

/// A ring's size as the kernel takes it: a power of two of at least a page.
fn ring_size(text: &str) -> Result<u32, String> {
    let bytes = size(text)?;
    match u32::try_from(bytes) {
        Ok(bytes) if bytes.is_power_of_two() && bytes >= 4096 => Ok(bytes),
        _ => Err(format!("'{text}' is not a power of two from 4KiB to 2GiB")),
    }
}

fn over<T: Clone>(to: &mut Option<T>, from: &Option<T>) {
    if from.is_some() {
        to.clone_from(from);
    }
}

fn over_list<T: Clone>(to: &mut Vec<T>, from: &[T]) {
    if !from.is_empty() {
        *to = from.to_vec();
    }
}

/// The first lines: what is read and what is stored as it was sent; and what could be named but was not.
fn tell(config: &RecordConfig, out: &Out) {
    if out.quiet {
        return;
    }
    let payload = config.packets.payload > 0 || !config.packets.payload_ports.is_empty();
    let packets = if payload { "packets WITH payload, as asked" } else { "packets cut behind their headers" };
    out.remark(&format!(
        "privacy: {packets}, command lines masked, environments never read; log lines and OTLP are stored as sent"
    ));
    let logs = config.logs.paths.is_empty() && config.wants("log");
    let metrics = config.metrics.is_empty() && config.wants("metrics");
    if !logs && !metrics {
        return;
    }
    let unnamed = match (logs, metrics) {
        (true, true) => "no log files and no scrape targets were named",
        (true, false) => "no log files were named",
        _ => "no scrape targets were named",
    };
    let flags = discover::look(logs, metrics, LOOK).flags();
    match flags.is_empty() {
        true => out.remark(&format!("{unnamed}, and none were seen here")),
        false => out.remark(&format!("{unnamed}; seen here, ready to paste:\n  {}", flags.join(" \\\n  "))),
    }
}

/// Prints what happens meanwhile: a status line on a terminal, remarks anywhere.
struct Watcher<'a> {
    out: &'a Out,
    line: Option<ProgressBar>,
    name: String,
    flight: Option<Duration>,
}

impl Watcher<'_> {
    fn clear(&mut self) {
        if let Some(line) = self.line.take() {
            line.finish_and_clear();
        }
    }
}

impl Observer for Watcher<'_> {
    fn remark(&mut self, text: &str) {
        match &self.line {
            Some(line) => line.suspend(|| self.out.remark(text)),
            None => self.out.remark(text),
        }
    }

    /// The first line is the warning, what follows explains it.
    fn warning(&mut self, text: &str) {
        let (line, more) = text.split_once('\n').unwrap_or((text, ""));
        match &self.line {
            Some(status) => status.suspend(|| self.out.warning(line)),
            None => self.out.warning(line),
        }
        if !more.is_empty() {
            self.remark(more);
        }
    }

    fn live(&mut self, sources: &[String]) {
        let into = if self.name == "-" { "stdout" } else { &self.name };
        let what = self.flight.map_or(String::new(), |window| format!(", the last {window:?} of it"));
        self.out.remark(&format!("recording {} into {into}{what}; Ctrl-C ends it", sources.join(" ")));
        if !self.out.quiet {
            self.line = Some(progress::line(self.out));
        }
    }

    fn tick(&mut self, p: &Progress) {
        if let Some(line) = &self.line {
            line.set_message(status(p));
        }
    }
}

/// Time, events, bytes, memory, losses by source.
fn status(p: &Progress) -> String {
    let seconds = p.elapsed.as_secs();
    let losses: Vec<String> =
        p.losses.iter().map(|l| format!("{} {} {}", l.source, format_count(l.count), l.reason)).collect();
    let lost = if losses.is_empty() { "nothing lost".to_owned() } else { format!("lost: {}", losses.join(", ")) };
    format!(
        "{:02}:{:02}  {} events/s  {}  {} memory  {lost}",
        seconds / 60,
        seconds % 60,
        format_count(p.events_per_second),
        format_size(p.bytes),
        format_size(p.resident),
    )
}

fn report(s: &Summary, name: &str, to_stdout: bool, out: &Out) -> Result<(), Failure> {
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

fn exit(s: &Summary) -> Exit {
    match s.child_code {
        Some(code) => command_code(code),
        None if s.ended == Ended::WriteError => Exit::Failed,
        None if s.flight.as_ref().is_some_and(|f| f.lost) => Exit::Lost,
        None if !s.lost_ours() && !s.left_out && s.ended != Ended::DiskFull => Exit::Fine,
        None => Exit::Lost,
    }
}

/// A failure to record as the command line shows it.
pub(crate) fn failure(e: RecordError) -> Failure {
    let hint = e.hint();
    let failure = match &e {
        RecordError::UnknownSource { .. }
        | RecordError::LeftOut { .. }
        | RecordError::Config { .. }
        | RecordError::Write(coldcase_bundle::WriteError::Exists { .. }) => Failure::usage(e.to_string()),
        _ => Failure::failed(e.to_string()),
    };
    match e {
        RecordError::Unsealed { child_code: Some(code), .. } => failure.with(command_code(code)).hint(hint),
        _ => failure.hint(hint),
    }
}

/// The command's own code as ours.
fn command_code(code: i32) -> Exit {
    Exit::Code(u8::try_from(code).unwrap_or(255))
}
