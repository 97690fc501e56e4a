//! Recorders in processes of their own, numbered events, and causes that triggers look for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, dead_code, missing_docs)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use coldcase_bundle::{BatchBody, Bundle, RawMessage};
use coldcase_model::events::{HostMetric, LogLine, Receipt};
use coldcase_model::manifest::Manifest;
use coldcase_model::{Columns, Event};
use coldcase_record::clock;
use coldcase_record::config::RecordConfig;
use coldcase_record::session::{Observer, Output, Plan, record};
use coldcase_record::source::{Context, Running, Skip, Source, Started};
use coldcase_record::sources;
use coldcase_record::summary::Progress;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;

/// Where the recorder of the trigger test receives OTLP over HTTP.
pub(crate) const OTLP_PORT: u16 = 43_958;

const CONFIG: &str = "COLDCASE_FLIGHT_CONFIG";
const WAY: &str = "COLDCASE_FLIGHT_WAY";
const BURN: &str = "COLDCASE_FLIGHT_BURN";

pub(crate) fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

pub(crate) fn boottime() -> u64 {
    clock::boottime().0
}

pub(crate) fn root(what: &str) -> bool {
    let is = rustix::process::geteuid().is_root();
    if !is {
        eprintln!("skipped: {what}: needs root");
    }
    is
}

#[track_caller]
pub(crate) fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(40), "waited for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What files take on the disk, by their blocks.
pub(crate) fn du(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(meta) = std::fs::symlink_metadata(path) else { return 0 };
    let below = std::fs::read_dir(path).into_iter().flatten().flatten().map(|e| du(&e.path())).sum::<u64>();
    if meta.is_dir() { below } else { meta.blocks() * 512 }
}

/// A recorder in a process of its own.
pub(crate) struct Recorder {
    child: Option<Child>,
    pid: u32,
    folder: PathBuf,
    said: Arc<Mutex<Vec<String>>>,
}

fn again(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).stdin(Stdio::null());
    command
}

fn configure(dir: &tempfile::TempDir, config: &str, way: &str) -> Command {
    let path = dir.path().join("coldcase.toml");
    std::fs::write(&path, format!("output = '{}'\n{config}", dir.path().join("flight").display())).unwrap();
    let mut command = again("the_recorder");
    command.env(CONFIG, path).env(WAY, way).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// What a recorder that cannot start says.
pub(crate) fn refused(dir: &tempfile::TempDir, config: &str) -> String {
    let output = configure(dir, config, "").output().unwrap();
    String::from_utf8_lossy(&output.stderr).into_owned()
}

impl Recorder {
    /// Starts it and waits until it is live. With the way `sources` it has every source, with `noise` one that writes
    /// what nothing compresses; else only numbered events.
    pub(crate) fn start(dir: &tempfile::TempDir, config: &str, way: &str) -> Recorder {
        let mut child = configure(dir, config, way).spawn().unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        std::thread::spawn({
            let said = said.clone();
            move || lines.map_while(Result::ok).for_each(|l| said.lock().unwrap().push(l))
        });
        let pid = child.id();
        let recorder = Recorder { child: Some(child), pid, folder: dir.path().join("flight"), said };
        let begun = Instant::now();
        while !recorder.said().iter().any(|l| l.starts_with("live")) {
            assert!(begun.elapsed() < Duration::from_secs(40), "not live: {:?}", recorder.said());
            std::thread::sleep(Duration::from_millis(20));
        }
        recorder
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }

    pub(crate) fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.pid.to_string()]).status().unwrap().success());
    }

    pub(crate) fn wait(&self) {
        let stat = format!("/proc/{}/stat", self.pid);
        let gone = || std::fs::read_to_string(&stat).map_or(true, |s| s.contains(") Z "));
        wait_for("the recorder to end", gone);
    }

    /// The dumps, the oldest first.
    pub(crate) fn dumps(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(&self.folder).unwrap().flatten();
        let dumps = files.filter(|f| f.file_name().to_string_lossy().starts_with("dump-"));
        let mut dumps: Vec<PathBuf> = dumps.map(|f| f.path()).collect();
        dumps.sort_by_key(|p| std::fs::metadata(p).unwrap().modified().unwrap());
        dumps
    }

    /// The dump after these many, once the recorder has said that it is done.
    #[track_caller]
    pub(crate) fn wait_for_dump(&self, after: usize) -> PathBuf {
        let begun = Instant::now();
        while self.said().iter().filter(|l| l.starts_with("dump: ")).count() <= after {
            assert!(begun.elapsed() < Duration::from_secs(40), "no dump: {:?}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
        self.dumps()[after].clone()
    }

    /// Ends it; its segments, the oldest first.
    pub(crate) fn end(mut self) -> Vec<PathBuf> {
        self.signal("-TERM");
        let ended = self.child.take().unwrap().wait().unwrap();
        assert!(ended.success(), "{ended}: {:?}", self.said());
        let files = std::fs::read_dir(self.folder.join("segments")).unwrap().flatten().map(|f| f.path());
        let mut files: Vec<PathBuf> =
            files.filter(|p| p.extension().is_some_and(|e| e == "case" || e == "open")).collect();
        files.sort();
        assert!(files.iter().all(|f| f.extension().unwrap() == "case"), "all are sealed: {files:?}");
        files
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

struct Aloud;

impl Observer for Aloud {
    fn remark(&mut self, text: &str) {
        eprintln!("{text}");
    }
    fn live(&mut self, sources: &[String]) {
        eprintln!("live: {}", sources.join(" "));
    }
    fn tick(&mut self, _: &Progress) {}
}

/// The body of the recorder's process.
pub(crate) fn recorder_process() {
    let Some(config) = std::env::var_os(CONFIG) else { return };
    let way = std::env::var(WAY).unwrap();
    let mut config = RecordConfig::read(Path::new(&config)).unwrap();
    let output = Output::Flight { folder: config.output.clone().unwrap() };
    let mut all: Vec<Box<dyn Source>> = vec![Box::new(Numbered { noise: way == "noise" })];
    if way == "sources" {
        config.without.push("packets".into());
        all = sources::all(&config);
    }
    let plan = Plan { output, config, child: None, stdout_taken: false, command: vec!["test".into()] };
    match record(plan, all, &mut Aloud) {
        Ok(_) => std::process::exit(0),
        Err(e) => {
            eprintln!("{e}");
            std::process::exit(1);
        }
    }
}

/// A source of numbered events in three streams: rows of two classes, and raw messages.
struct Numbered {
    noise: bool,
}

struct RunningNumbers(JoinHandle<()>);

impl Source for Numbered {
    fn names(&self) -> Vec<&'static str> {
        vec!["numbered"]
    }

    fn start(self: Box<Self>, context: Context) -> Result<Started, Skip> {
        Ok(Started::all(RunningNumbers(std::thread::spawn(move || self.run(&context)))))
    }
}

impl Running for RunningNumbers {
    fn stop(self: Box<Self>) {
        self.0.join().unwrap();
    }
}

impl Numbered {
    fn run(&self, context: &Context) {
        let run = std::process::id();
        let mut state = u64::from(run) | 1;
        for n in 0u64.. {
            if context.stop.is_stopped() {
                return;
            }
            let (boot, real) = clock::now();
            let text = format!("{run} {n}");
            let mut rows = Columns::new(&HostMetric::DEF);
            HostMetric { time: boot.0, name: text.clone(), labels: String::new(), value: 0.0 }.push(&mut rows);
            context.writer.append(HostMetric::DEF.stream, rows).unwrap();
            let mut rows = Columns::new(&LogLine::DEF);
            LogLine { time: boot.0, read: real.0, line: text.clone().into_bytes(), ..LogLine::default() }
                .push(&mut rows);
            context.writer.append(LogLine::DEF.stream, rows).unwrap();
            let mut bytes = text.into_bytes();
            if self.noise {
                bytes.push(b' ');
                // xorshift: nothing that zstd could shorten.
                bytes.extend((0..1024).flat_map(|_| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    state.to_le_bytes()
                }));
            }
            let receipt = Receipt { time: boot.0, read: real.0, bytes: bytes.len() as u64, ..Receipt::default() };
            let message = RawMessage { bytes, log_time: real, publish_time: real, first: boot, last: boot };
            context.writer.append_raw("otlp.traces", message, receipt).unwrap();
            context.intake.add(3, 0);
            context.stop.wait(Duration::from_millis(8));
        }
    }
}

/// A numbered event as it was found.
#[derive(Debug)]
pub(crate) struct Number {
    pub(crate) run: u32,
    pub(crate) number: u64,
    pub(crate) row: u64,
    pub(crate) time: u64,
}

/// What bundles hold.
pub(crate) struct Rows {
    /// Of the last one.
    pub(crate) manifest: Manifest,
    batches: Vec<(String, u64, Columns)>,
    raw: Vec<(String, u64, Vec<u8>)>,
}

impl Rows {
    pub(crate) fn read(paths: &[PathBuf]) -> Rows {
        let mut rows = Rows { manifest: Manifest::default(), batches: Vec::new(), raw: Vec::new() };
        for path in paths {
            let bundle = Bundle::open(path).unwrap();
            assert!(bundle.complete() && bundle.problems().is_empty(), "{}: {:?}", path.display(), bundle.problems());
            rows.manifest = bundle.manifest().unwrap().clone();
            for batch in (0..bundle.chunks().len()).flat_map(|i| bundle.read_chunk(i, &|_| true).unwrap()) {
                match batch.body {
                    BatchBody::Columns(columns) => {
                        rows.batches.push((batch.stream.to_string(), batch.first_row, columns))
                    }
                    BatchBody::Raw(bytes) => rows.raw.push((batch.stream.to_string(), batch.first_row, bytes)),
                }
            }
        }
        rows
    }

    pub(crate) fn rows<T>(&self, stream: &str, row: impl Fn(&Columns, usize) -> T) -> Vec<T> {
        let batches = self.batches.iter().filter(|b| b.0 == stream);
        batches.flat_map(|b| (0..b.2.len()).map(|i| row(&b.2, i)).collect::<Vec<_>>()).collect()
    }

    /// The numbered events of a stream, by row number, each of which is there once.
    pub(crate) fn numbered(&self, stream: &str) -> Vec<Number> {
        let mut found = BTreeMap::new();
        let mut put = |row: u64, time: u64, text: &[u8]| {
            let text = String::from_utf8_lossy(text);
            let mut words = text.split(' ');
            let run = words.next().unwrap().parse().unwrap();
            let number = words.next().unwrap().parse().unwrap();
            assert!(found.insert(row, Number { run, number, row, time }).is_none(), "{stream}#{row} is there twice");
        };
        let receipts: BTreeMap<u64, u64> = self
            .batches
            .iter()
            .filter(|b| b.0 == format!("{stream}.receipts"))
            .flat_map(|b| {
                Receipt::cols(&b.2)
                    .unwrap()
                    .time
                    .iter()
                    .enumerate()
                    .map(|(i, t)| (b.1 + i as u64, *t))
                    .collect::<Vec<_>>()
            })
            .collect();
        for (_, first, columns) in self.batches.iter().filter(|b| b.0 == stream) {
            for i in 0..columns.len() {
                let row = first + i as u64;
                if stream == LogLine::DEF.stream {
                    let c = LogLine::cols(columns).unwrap();
                    put(row, c.time[i], c.line.get(i));
                } else {
                    let c = HostMetric::cols(columns).unwrap();
                    put(row, c.time[i], c.name.get(i));
                }
            }
        }
        for (_, row, bytes) in self.raw.iter().filter(|r| r.0 == stream) {
            put(*row, receipts[row], bytes);
        }
        found.into_values().collect()
    }
}

/// Serves a page to a scraper; the page can be changed, and the port it is on.
pub(crate) fn page(text: &str) -> (Arc<Mutex<String>>, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let page = Arc::new(Mutex::new(text.to_owned()));
    std::thread::spawn({
        let page = page.clone();
        move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 4096]);
                let body = page.lock().unwrap().clone();
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all((head + &body).as_bytes());
            }
        }
    });
    (page, port)
}

/// Sends a span over OTLP/HTTP.
pub(crate) fn send_span(name: &str, milliseconds: u64, code: i32) {
    let span = Span {
        name: name.into(),
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        start_time_unix_nano: 1_000_000_000,
        end_time_unix_nano: 1_000_000_000 + milliseconds * 1_000_000,
        status: Some(Status { code, message: String::new() }),
        ..Span::default()
    };
    let scope = ScopeSpans { spans: vec![span], ..ScopeSpans::default() };
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { scope_spans: vec![scope], ..ResourceSpans::default() }],
    };
    let body = request.encode_to_vec();
    let mut stream = TcpStream::connect(("127.0.0.1", OTLP_PORT)).unwrap();
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-protobuf\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&body).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// A process of this name ends with this code.
pub(crate) fn exit_as(dir: &tempfile::TempDir, name: &str, code: i32) {
    let program = dir.path().join(name);
    if !program.exists() {
        std::fs::copy("/bin/sh", &program).unwrap();
    }
    let ended = Command::new(&program).args(["-c", &format!("exit {code}")]).status().unwrap();
    assert_eq!(ended.code(), Some(code));
}

/// Lets the kernel's OOM killer kill a process in a memory cgroup (v1); whether it did.
pub(crate) fn make_oom_kill() -> bool {
    let kills = || {
        let text = std::fs::read_to_string("/proc/vmstat").unwrap();
        text.lines().find_map(|l| l.strip_prefix("oom_kill ")).unwrap().trim().parse::<u64>().unwrap()
    };
    let group = PathBuf::from(format!("/sys/fs/cgroup/memory/coldcase-flight-{}", std::process::id()));
    if let Err(e) = std::fs::create_dir(&group) {
        eprintln!("skipped: an OOM kill: {}: {e}", group.display());
        return false;
    }
    let before = kills();
    let limited = std::fs::write(group.join("memory.limit_in_bytes"), "20M");
    let script = format!("echo $$ > {}/cgroup.procs && exec tail /dev/zero", group.display());
    if limited.is_ok() {
        let _ = Command::new("sh").args(["-c", &script]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
    let _ = std::fs::remove_dir(&group);
    let killed = kills() > before;
    if !killed {
        eprintln!("skipped: an OOM kill: this kernel made none in {}", group.display());
    }
    killed
}

/// A process that burns CPU.
pub(crate) fn burn() -> Child {
    again("the_burner").env(BURN, "1").stdout(Stdio::null()).spawn().unwrap()
}

/// Its body.
pub(crate) fn burner_process() {
    if std::env::var_os(BURN).is_some() {
        burn_for_the_flight(Duration::from_secs(60));
    }
}

#[inline(never)]
fn burn_for_the_flight(time: Duration) {
    let end = Instant::now() + time;
    let mut x = 1u64;
    while Instant::now() < end {
        for _ in 0..1_000_000 {
            x = std::hint::black_box(x.rotate_left(5) ^ 0x9e37_79b9);
        }
    }
    std::hint::black_box(x);
}
