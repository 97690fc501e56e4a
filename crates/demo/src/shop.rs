//! `coldcase-demo all`: starts the three processes, tells where they are, and stops them together.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::client::Client;
use crate::fault::Kind;
use crate::load::Shape;
use crate::orders::FaultOptions;
use crate::process::stop_flag;
use crate::server::listen;

/// Port of the gateway when none is named and it is free.
const GATEWAY_PORT: u16 = 18080;
/// Port of orders when none is named and it is free.
const ORDERS_PORT: u16 = 18081;

/// Flags of `coldcase-demo all`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Port of the gateway on 127.0.0.1; without it 18080, or any free one when that is taken
    #[arg(long)]
    gateway_port: Option<u16>,
    /// Port of orders on 127.0.0.1; without it 18081, or any free one when that is taken
    #[arg(long)]
    orders_port: Option<u16>,
    /// Folder for the database and the logs; `shop.env` there says where everything is
    #[arg(long, default_value = "demo-out/shop")]
    dir: PathBuf,
    /// Worker threads of each service
    #[arg(long, default_value_t = 8)]
    workers: usize,
    /// OTLP/HTTP base address; otherwise `OTEL_EXPORTER_OTLP_ENDPOINT` or <http://localhost:4318>
    #[arg(long)]
    otlp: Option<String>,
    #[command(flatten)]
    fault: FaultOptions,
    #[command(flatten)]
    shape: Shape,
}

/// A process of the shop; ended, if need be by force, when this is dropped.
struct Part {
    name: &'static str,
    child: Child,
}

/// Runs the whole shop for the time asked for, or until SIGINT or SIGTERM.
pub(crate) fn run(options: &Options) -> Result<()> {
    let stop = stop_flag()?;
    std::fs::create_dir_all(&options.dir).with_context(|| format!("cannot make {}", options.dir.display()))?;
    let (orders, orders_at) = start("orders", &orders_arguments(options)?)?;
    let (gateway, gateway_at) = start("gateway", &gateway_arguments(options, orders_at)?)?;
    let mut load = Part::spawn("load", &load_arguments(options, gateway_at), Stdio::inherit())?;
    tell(options, [(&orders, orders_at), (&gateway, gateway_at)], &load)?;
    let mut fault = options.fault.fault.map(|_| Instant::now() + options.fault.fault_after);
    let served = load.wait(&stop, || {
        if fault.is_some_and(|at| Instant::now() >= at) {
            fault = None;
            switch_on(&options.fault, orders_at)?;
        }
        Ok(())
    });
    // The front door first, so that no request meets a service that is gone.
    gateway.end()?;
    orders.end()?;
    served
}

/// Asks orders to switch the fault on.
fn switch_on(fault: &FaultOptions, orders: SocketAddr) -> Result<()> {
    let kind = fault.fault.map_or("none", Kind::name);
    let amount = fault.fault_amount.map(|amount| format!("&amount={amount}")).unwrap_or_default();
    let (status, body) = Client::new(orders).send("POST", &format!("/fault?kind={kind}{amount}"), "", b"")?;
    if status != 200 {
        bail!("orders did not switch the fault on: status {status}, {}", String::from_utf8_lossy(&body));
    }
    Ok(())
}

fn orders_arguments(options: &Options) -> Result<Vec<String>> {
    let mut arguments = common(options);
    arguments.extend(["--port".to_owned(), port(options.orders_port, ORDERS_PORT)?.to_string()]);
    Ok(arguments)
}

fn gateway_arguments(options: &Options, orders: SocketAddr) -> Result<Vec<String>> {
    let mut arguments = common(options);
    arguments.extend(["--port".to_owned(), port(options.gateway_port, GATEWAY_PORT)?.to_string()]);
    arguments.extend(["--orders".to_owned(), orders.to_string()]);
    Ok(arguments)
}

fn load_arguments(options: &Options, gateway: SocketAddr) -> Vec<String> {
    let shape = &options.shape;
    let mut arguments = vec![
        format!("--gateway={gateway}"),
        format!("--connections={}", shape.connections),
        format!("--rate={}", shape.rate),
        format!("--burst={}", shape.burst),
        format!("--writes={}", shape.writes),
    ];
    if let Some(time) = shape.time {
        arguments.push(format!("--for={}ms", time.as_millis()));
    }
    if options.fault.fault.is_some() {
        arguments.push(format!("--phase-at={}ms", options.fault.fault_after.as_millis()));
    }
    if shape.json {
        arguments.push("--json".to_owned());
    }
    arguments
}

fn common(options: &Options) -> Vec<String> {
    let mut arguments = vec![format!("--dir={}", options.dir.display()), format!("--workers={}", options.workers)];
    arguments.extend(options.otlp.iter().map(|base| format!("--otlp={base}")));
    arguments
}

/// The port asked for, or the usual one, or a free one when nothing was asked for and the usual one is taken.
fn port(asked: Option<u16>, usual: u16) -> Result<u16> {
    match asked {
        Some(port) => Ok(port),
        None => Ok(listen(usual, true)?.local_addr()?.port()),
    }
}

/// Starts a service and waits for the line that says where it listens.
fn start(name: &'static str, arguments: &[String]) -> Result<(Part, SocketAddr)> {
    let mut part = Part::spawn(name, arguments, Stdio::piped())?;
    let output = part.child.stdout.take().with_context(|| format!("{name} has no output"))?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    let address = line.trim().rsplit(' ').next().and_then(|address| address.parse().ok());
    let address = address.with_context(|| format!("{name} did not start (see its message above)"))?;
    Ok((part, address))
}

/// Writes `shop.env`, which a shell can source, and says the same on the terminal.
fn tell(options: &Options, services: [(&Part, SocketAddr); 2], load: &Part) -> Result<()> {
    let mut text = String::new();
    for (part, address) in services {
        let (name, log) = (part.name.to_uppercase(), options.dir.join(format!("{}.log", part.name)));
        text += &format!("{name}_ADDR={address}\n{name}_PID={}\n{name}_LOG='{}'\n", part.child.id(), log.display());
    }
    text += &format!("LOAD_PID={}\n", load.child.id());
    // Written aside and renamed: who waits for the file never reads half of it.
    let path = options.dir.join("shop.env");
    std::fs::write(path.with_extension("tmp"), text)?;
    std::fs::rename(path.with_extension("tmp"), &path)?;
    let [(_, orders), (_, gateway)] = services;
    let fault = options.fault.fault.map_or_else(
        || "no fault".to_owned(),
        |kind| format!("fault {} after {:?}", kind.name(), options.fault.fault_after),
    );
    if !options.shape.json {
        println!("shop: gateway http://{gateway}, orders http://{orders}, {fault}, logs in {}", options.dir.display());
    }
    Ok(())
}

impl Part {
    fn spawn(name: &'static str, arguments: &[String], output: Stdio) -> Result<Self> {
        let child = Command::new(std::env::current_exe()?)
            .arg(name)
            .args(arguments)
            .arg(format!("--parent={}", std::process::id()))
            .stdin(Stdio::null())
            .stdout(output)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name, child })
    }

    /// Waits until the process ends by itself, or asks it to end when `stop` is set.
    /// Calls `meanwhile` some fifty times a second.
    fn wait(&mut self, stop: &AtomicBool, mut meanwhile: impl FnMut() -> Result<()>) -> Result<()> {
        let mut asked = false;
        loop {
            if let Some(status) = self.child.try_wait()? {
                if !status.success() {
                    bail!("{} ended with {status}", self.name);
                }
                return Ok(());
            }
            if stop.load(Ordering::SeqCst) && !asked {
                self.ask_to_end();
                asked = true;
            }
            meanwhile()?;
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks the process to end and waits for it, five seconds at most.
    fn end(mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} had ended before its time with {status}", self.name);
        }
        self.ask_to_end();
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(5) {
            if let Some(status) = self.child.try_wait()? {
                if !status.success() {
                    bail!("{} ended with {status}", self.name);
                }
                return Ok(());
            }
            thread::sleep(Duration::from_millis(10));
        }
        bail!("{} did not end within five seconds and was killed", self.name);
    }

    fn ask_to_end(&self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
