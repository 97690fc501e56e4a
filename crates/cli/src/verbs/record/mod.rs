//! `coldcase record`: a recording from the command line.

mod flags;
mod summary;
mod watcher;

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use coldcase_record::config::{RecordConfig, ScrapeTarget, SyslogAddress, Uprobe};
use coldcase_record::discover;
use coldcase_record::error::RecordError;
use coldcase_record::flight::Rule;
use coldcase_record::kernel::{Kernel, bench::Empty};
use coldcase_record::limits::{Rate, parse_cpu};
use coldcase_record::otlp::{Ack, Collector, Endpoint};
use coldcase_record::session::{self, Output, Plan};
use coldcase_record::source::Source;
use coldcase_record::sources;
use coldcase_record::summary::{Ended, Summary};
use coldcase_record::symbols::Seen;

use crate::again::{self, Again};
use crate::args::{duration, size};
use crate::exit::{Exit, Failure};
use crate::out::Out;
use flags::{configure, payload_port, ring_size};
use summary::report;
use watcher::Watcher;

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
