//! Packets: AF_PACKET taps on the interfaces, cut behind the headers.

mod config;
mod cut;
mod dial;
mod filter;
mod links;
mod plan;
mod ring;
mod section;
mod tap;

use std::io;
use std::thread::JoinHandle;

use coldcase_model::Class;
use coldcase_model::loss::Reason;

pub use config::PacketsConfig;

use crate::caps::{Cap, grant};
use crate::reduce::{Brake, Rung, Stage};
use crate::source::{Context, Failure, Running, Skip, Source, Started};
use dial::Dial;
use filter::Filter;
use tap::{Taps, Wanted};

/// The source's name.
const NAME: &str = "packets";
/// Says whether names that were looked up are in the bundle: they are in the payload of packets to and from port 53.
const DNS: &str = "dns";
const DNS_PORT: u16 = 53;

/// The packets source.
pub struct Packets {
    config: PacketsConfig,
    wanted: bool,
}

impl Packets {
    /// With these options.
    pub fn new(config: PacketsConfig) -> Packets {
        Packets { config, wanted: true }
    }

    /// The same; `wanted` says which of the names to start.
    pub fn wanted(self, wanted: impl Fn(&str) -> bool) -> Packets {
        Packets { wanted: wanted(NAME), ..self }
    }
}

impl Source for Packets {
    fn names(&self) -> Vec<&'static str> {
        vec![NAME, DNS]
    }

    fn start(self: Box<Self>, context: Context) -> Result<Started, Skip> {
        if !self.wanted {
            return Err(Skip::unasked("lookups are in packets, which are not recorded", ""));
        }
        let lookups = self.config.payload_ports.get(&DNS_PORT).copied().unwrap_or(self.config.payload);
        let dial = Dial::default();
        let with_payload = self.config.payload > 0 || !self.config.payload_ports.is_empty();
        let wanted = Wanted::new(self.config, context.own.listening());
        let mut taps = Taps::new(wanted, context.clone(), dial.clone());
        taps.check_filter().map_err(|e| Skip::new(format!("the packet filter is not valid: {e}"), FILTER_HINT))?;
        taps.refresh(true)?;
        if taps.is_empty() {
            return Err(Skip::new("no network interface is up", ""));
        }
        context.losses.watch(NAME, Class::Packet, Reason::PacketDrop);
        let remark = format!("packets on {}", taps.describe());
        let failure = Failure::default();
        let thread = std::thread::Builder::new()
            .name("cc-packets".into())
            .spawn({
                let failure = failure.clone();
                move || {
                    if let Err(error) = taps.run() {
                        failure.note(&error);
                    }
                }
            })
            .map_err(|e| Skip::new(format!("cannot start a thread: {e}"), ""))?;
        let running = RunningPackets { thread, failure, dial, with_payload };
        let no_lookups = Skip::unasked(
            "lookups are in the payload of packets, which is not kept",
            format!("--payload-port {DNS_PORT}=512"),
        );
        let skipped = if lookups == 0 { vec![(DNS, no_lookups)] } else { Vec::new() };
        Ok(Started { skipped, remarks: vec![remark], ..Started::all(running) })
    }
}

const FILTER_HINT: &str = "the syntax is tcpdump's: man 7 pcap-filter";

struct RunningPackets {
    thread: JoinHandle<()>,
    failure: Failure,
    dial: Dial,
    with_payload: bool,
}

/// The keys of its rungs.
const NO_PAYLOAD: u64 = 1;
const NO_PACKETS: u64 = 2;

impl Running for RunningPackets {
    fn rungs(&self) -> Vec<Rung> {
        let rung = |stage, what: &str, key| Rung { stage, source: NAME, what: what.into(), key };
        let payload = self.with_payload.then(|| rung(Stage::Payload, "headers only, no payload", NO_PAYLOAD));
        payload.into_iter().chain([rung(Stage::Packets, "off", NO_PACKETS)]).collect()
    }

    fn reduce(&mut self, rung: &Rung, down: bool) -> Result<(), String> {
        match rung.key {
            NO_PAYLOAD => self.dial.no_payload.set(down),
            _ => self.dial.off.set(down),
        }
        Ok(())
    }

    fn brake(&self) -> Option<Brake> {
        let dial = self.dial.clone();
        Some(Box::new(move || dial.deafen()))
    }

    fn failures(&mut self) -> Vec<(&'static str, String)> {
        self.failure.take(NAME)
    }

    fn stop(self: Box<Self>) {
        // A panic of the thread was reported by the panic hook; there is nothing left to write.
        let _ = self.thread.join();
    }
}

/// Checks a filter without capturing: what `record` does before it creates a file. The error is libpcap's.
pub fn check_filter(expression: &str) -> Result<(), String> {
    let filter = Filter { expression: expression.to_owned(), own: Vec::new(), snap: 512, payload: 0 };
    filter.compile(links::LinkType::Ethernet).map(|_| ())
}

fn cannot_open(error: &io::Error, name: &str) -> Skip {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            Skip::new("no permission to open packet sockets (CAP_NET_RAW is missing)", grant(&[Cap::NetRaw]))
        }
        Some(libc::ENOMEM) => Skip::new(format!("no memory for the packet ring of {name}"), "lower ring-bytes"),
        _ => Skip::new(format!("cannot tap {name}: {error}"), ""),
    }
}
