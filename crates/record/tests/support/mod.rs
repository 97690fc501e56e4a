//! What the tests of the sources share: a recording of one source, and a network of the test's own.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, unreachable_pub, missing_docs)]

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use coldcase_bundle::{BatchBody, Bundle, Writer, WriterOptions};
use coldcase_model::Columns;
use coldcase_model::loss::LossTotal;
use coldcase_model::manifest::Manifest;
use coldcase_record::loss::LossLedger;
use coldcase_record::source::{Context, Intake, Own, Running, Skip, Source, StopToken};

/// A source that records into a bundle of its own.
pub struct Recording {
    pub context: Context,
    pub remarks: Vec<String>,
    running: Box<dyn Running>,
    dir: tempfile::TempDir,
}

/// A bundle with what a source recorded.
pub struct Recorded {
    pub bundle: Bundle,
    pub losses: Vec<LossTotal>,
    _dir: tempfile::TempDir,
}

pub fn context(writer: Writer) -> Context {
    Context {
        writer,
        losses: LossLedger::default(),
        stop: StopToken::new().unwrap(),
        intake: Intake::default(),
        scope: Arc::default(),
        own: Own::new(),
    }
}

/// Starts a source. `prepare` sees the context first.
pub fn record_with(source: impl Source + 'static, prepare: impl FnOnce(&Context)) -> Result<Recording, Skip> {
    let dir = tempfile::tempdir().unwrap();
    let writer = Writer::create(&dir.path().join("test.case"), false, WriterOptions::default()).unwrap();
    let context = context(writer);
    prepare(&context);
    let started = Box::new(source).start(context.clone())?;
    assert!(started.skipped.iter().all(|(_, skip)| skip.unasked));
    Ok(Recording { context, remarks: started.remarks, running: started.running, dir })
}

pub fn record(source: impl Source + 'static) -> Recording {
    record_with(source, |_| {}).unwrap()
}

impl Recording {
    /// Stops the source, seals the bundle and opens it.
    pub fn finish(mut self) -> Recorded {
        self.context.stop.stop();
        self.running.poll();
        assert_eq!(self.running.failures(), []);
        self.running.stop();
        let losses = self.context.losses.totals();
        self.context.writer.seal(Manifest::default()).unwrap();
        let bundle = Bundle::open(&self.dir.path().join("test.case")).unwrap();
        assert!(bundle.complete());
        Recorded { bundle, losses, _dir: self.dir }
    }

    /// The source itself, to be stepped down.
    pub fn running(&mut self) -> &mut dyn Running {
        &mut *self.running
    }

    /// Waits until the source took in so many events; panics after ten seconds.
    pub fn wait_for(&self, events: u64) {
        wait_until(&format!("{events} events (there are {})", self.context.intake.events()), || {
            self.context.intake.events() >= events
        });
    }
}

impl Recorded {
    fn bodies(&self, stream: &str) -> Vec<BatchBody> {
        let chunks = 0..self.bundle.chunks().len();
        let batches = chunks.flat_map(|i| self.bundle.read_chunk(i, &|s| s == stream).unwrap());
        let mut batches: Vec<_> = batches.filter(|b| &*b.stream == stream).collect();
        batches.sort_by_key(|b| b.first_row);
        batches.into_iter().map(|b| b.body).collect()
    }

    /// The messages of a raw stream, in order.
    pub fn raw(&self, stream: &str) -> Vec<Vec<u8>> {
        let raw = |body| match body {
            BatchBody::Raw(bytes) => bytes,
            BatchBody::Columns(_) => panic!("{stream} has columns"),
        };
        self.bodies(stream).into_iter().map(raw).collect()
    }

    /// The rows of a stream, batch by batch, in order.
    pub fn columns(&self, stream: &str) -> Vec<Columns> {
        let columns = |body| match body {
            BatchBody::Columns(columns) => columns,
            BatchBody::Raw(_) => panic!("{stream} is raw"),
        };
        self.bodies(stream).into_iter().map(columns).collect()
    }

    /// Things lost for a reason; `None` when nobody looked.
    pub fn lost(&self, reason: &str) -> Option<u64> {
        self.losses.iter().find(|l| l.reason == reason).map(|l| l.count)
    }
}

pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(10), "waited for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Runs a test in a network namespace of its own, with its loopback up. Skipped, and said so, without the right to.
pub fn in_own_network(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(move || {
        // SAFETY: unshare(2) takes an integer; only this thread's network namespace changes.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
            eprintln!("skipped: no network namespace can be made: {}", std::io::Error::last_os_error());
            return;
        }
        run("ip", &["link", "set", "lo", "up"]);
        test();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Runs a command in the network namespace of this thread; panics when it fails.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Another network namespace, held by a process that sleeps in it.
pub struct Network(Child);

impl Network {
    pub fn new() -> Network {
        let child = Command::new("unshare").args(["-n", "sleep", "60"]).stdin(Stdio::null()).spawn().unwrap();
        let network = Network(child);
        let mine = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
        let theirs = format!("/proc/{}/ns/net", network.pid());
        wait_until("the namespace", || std::fs::read_link(&theirs).is_ok_and(|n| n != mine));
        network.run("ip", &["link", "set", "lo", "up"]);
        network
    }

    pub fn pid(&self) -> String {
        self.0.id().to_string()
    }

    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        let pid = self.pid();
        run("nsenter", &[&["-t", &pid, "-n", program], arguments].concat())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
