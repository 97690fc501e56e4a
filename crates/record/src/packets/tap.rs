//! The taps: opened as planned, read in turn by one thread, written as sections.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use coldcase_bundle::{RawMessage, WriteError};
use coldcase_model::events::Receipt;
use coldcase_model::loss::Reason;
use coldcase_model::{Boottime, Class, Utc};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::config::PacketsConfig;
use super::cut::headers;
use super::dial::Dial;
use super::filter::{Filter, Program};
use super::links::{self, LinkType};
use super::plan::{self, Tap};
use super::ring::{BLOCK, Frame, RETIRE_MS, Ring};
use super::section::{Interface, Pending, Section};
use super::{NAME, cannot_open};
use crate::clock;
use crate::source::{Context, Skip};

/// Bytes of headers that are looked at. Headers that reach beyond are not decodable.
const HEADERS: u32 = 512;
/// A section is written when its first packet has waited so long, or when it is large.
const FLUSH: Duration = Duration::from_millis(250);
const SECTION_PACKETS: usize = 8192;
const SECTION_BYTES: usize = 1 << 20;
/// How often drops are read, and how often interfaces are looked for.
const DROPS: Duration = Duration::from_secs(1);
const REFRESH: Duration = Duration::from_secs(2);
/// Blocks of one ring that are read before the others get their turn.
const TURN: usize = 16;

/// What the user asked for.
pub(super) struct Wanted {
    config: PacketsConfig,
    filter: Filter,
}

impl Wanted {
    pub(super) fn new(config: PacketsConfig, own: Vec<SocketAddr>) -> Wanted {
        let payload = config.payload_ports.values().copied().max().unwrap_or(0).max(config.payload);
        // A packet of the loopback or with segmentation offload is at most 64 KiB and its headers.
        let payload = payload.min(BLOCK as u32 / 2);
        let snap = HEADERS + payload;
        let expression = config.filter.clone().unwrap_or_default();
        Wanted { filter: Filter { expression, own, snap, payload }, config }
    }

    /// Bytes of payload to keep of a packet between these ports.
    fn payload(&self, ports: Option<(SocketAddr, SocketAddr, bool)>) -> usize {
        let by_port: &BTreeMap<u16, u32> = &self.config.payload_ports;
        let of = |at: SocketAddr| by_port.get(&at.port()).copied();
        let special = ports.and_then(|(from, to, _)| of(from).max(of(to)));
        special.unwrap_or(self.config.payload) as usize
    }
}

struct Open {
    tap: Tap,
    interface: usize,
    ring: Ring,
    program: Program,
    wire: Option<Program>,
}

/// All taps of a recording.
pub(super) struct Taps {
    wanted: Wanted,
    context: Context,
    dial: Dial,
    /// No packet is let in at the moment.
    off: bool,
    open: Vec<Open>,
    interfaces: Vec<Interface>,
    pending: Pending,
    oldest: Option<Instant>,
}

impl Taps {
    pub(super) fn new(wanted: Wanted, context: Context, dial: Dial) -> Taps {
        let (open, interfaces, pending) = (Vec::new(), Vec::new(), Pending::default());
        Taps { wanted, context, dial, off: false, open, interfaces, pending, oldest: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Whether the user's filter compiles.
    pub(super) fn check_filter(&self) -> Result<(), String> {
        self.wanted.filter.compile(LinkType::Ethernet).map(|_| ())
    }

    /// The interfaces, for people.
    pub(super) fn describe(&self) -> String {
        self.open.iter().map(|o| o.tap.link.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// Opens and closes taps as the interfaces of the moment ask for. At the start an interface that cannot be
    /// tapped is an error; later it is left out.
    pub(super) fn refresh(&mut self, start: bool) -> Result<(), Skip> {
        let links = links::list().map_err(|e| Skip::new(format!("cannot list network interfaces: {e}"), ""))?;
        let all_of_those_wanted = |name: &&String| links.iter().any(|l| l.name == **name);
        let wanted: Vec<String> = match start {
            true => self.wanted.config.interfaces.clone(),
            // One that went away may come back; meanwhile the others go on.
            false => self.wanted.config.interfaces.iter().filter(all_of_those_wanted).cloned().collect(),
        };
        if wanted.is_empty() && !self.wanted.config.interfaces.is_empty() {
            return Ok(());
        }
        let taps = plan::plan(&links, &wanted).map_err(|missing| {
            let names: Vec<&str> = links.iter().map(|l| l.name.as_str()).collect();
            Skip::new(format!("no network interface {missing}"), format!("there are: {}", names.join(", ")))
        })?;
        let share = self.wanted.config.ring_bytes / taps.len().max(1) as u64;
        for open in &mut self.open {
            // An interface that is down shows nothing, but keeps its tap; one that is gone does not.
            let stays = links.iter().any(|l| l.index == open.tap.link.index && l.name == open.tap.link.name);
            match taps.iter().find(|t| t.link.index == open.tap.link.index) {
                Some(tap) => open.direct(tap)?,
                None if stays && !start => {}
                None => open.tap.link.index = 0,
            }
        }
        self.close_gone();
        for tap in taps {
            if self.open.iter().any(|o| o.tap.link.index == tap.link.index) {
                continue;
            }
            match self.open(&tap, share) {
                Ok(open) => self.open.push(open),
                Err(skip) if start => return Err(skip),
                Err(skip) => tracing::warn!("packets: {}", skip.reason),
            }
        }
        self.dial.open(self.open.iter().map(|o| &o.ring));
        Ok(())
    }

    /// Lets no packet in, or packets again, as the dial says.
    fn obey(&mut self) {
        let off = self.dial.off.is_set();
        if off == std::mem::replace(&mut self.off, off) {
            return;
        }
        for open in &mut self.open {
            let set = match off {
                true => open.ring.attach(&Program::refuse_all()).map_err(|e| cannot_open(&e, &open.tap.link.name)),
                false => open.let_in(),
            };
            if let Err(skip) = set {
                tracing::warn!("packets: {}", skip.reason);
            }
        }
    }

    /// Reads out and closes the taps whose interface is gone (index 0).
    fn close_gone(&mut self) {
        let (gone, stay) = std::mem::take(&mut self.open).into_iter().partition(|o| o.tap.link.index == 0);
        self.open = gone;
        self.read(usize::MAX);
        self.count_drops();
        self.open = stay;
    }

    fn open(&mut self, tap: &Tap, ring_bytes: u64) -> Result<Open, Skip> {
        let link = tap.link.link;
        let (program, wire) = self
            .wanted
            .filter
            .compile(link)
            .map_err(|e| Skip::new(format!("the packet filter does not fit {}: {e}", tap.link.name), ""))?;
        let name = &tap.link.name;
        let ring =
            Ring::open(tap.link.index, link, ring_bytes, &Program::refuse_all()).map_err(|e| cannot_open(&e, name))?;
        let described = Interface { name: name.clone(), link, snap: self.wanted.filter.snap };
        let interface = self.interfaces.iter().position(|i| *i == described).unwrap_or_else(|| {
            self.interfaces.push(described);
            self.interfaces.len() - 1
        });
        let mut open =
            Open { tap: Tap { inbound: false, outbound: false, ..tap.clone() }, interface, ring, program, wire };
        open.direct(tap)?;
        Ok(open)
    }

    /// Reads until the stop. The error is why it ended before.
    pub(super) fn run(mut self) -> Result<(), String> {
        let (mut drops, mut refresh) = (Instant::now(), Instant::now());
        while !self.context.stop.is_stopped() {
            self.wait()?;
            self.read(TURN);
            self.flush(false)?;
            self.obey();
            if drops.elapsed() >= DROPS {
                drops = Instant::now();
                self.count_drops();
            }
            // What is opened while nothing is let in would let packets in.
            if refresh.elapsed() >= REFRESH && !self.off {
                refresh = Instant::now();
                if let Err(skip) = self.refresh(false) {
                    tracing::warn!("packets: {}", skip.reason);
                }
            }
        }
        // What came before the stop still counts: close the taps, and let the kernel hand over the last blocks.
        for open in &self.open {
            if let Err(error) = open.ring.attach(&Program::refuse_all()) {
                tracing::warn!("packets: cannot close the tap on {}: {error}", open.tap.link.name);
            }
        }
        std::thread::sleep(Duration::from_millis(u64::from(RETIRE_MS) * 2));
        self.read(usize::MAX);
        self.count_drops();
        self.flush(true)
    }

    /// Sleeps until a ring has a block, the stop, or the next flush.
    fn wait(&self) -> Result<(), String> {
        let mut fds: Vec<PollFd<'_>> = self.open.iter().map(|o| PollFd::new(&o.ring, PollFlags::IN)).collect();
        fds.push(PollFd::new(&self.context.stop, PollFlags::IN));
        let timeout = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(format!("cannot wait for packets: {error}")),
        }
        let mut failed = false;
        for (fd, open) in fds.iter().zip(&self.open) {
            if fd.revents().contains(PollFlags::ERR) {
                open.ring.clear_error();
                failed = true;
            }
        }
        if failed {
            // An interface that is down can be polled again at once; there is nothing to hurry for.
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Reads what the rings hold, at most `turn` blocks of each, until a section is full.
    fn read(&mut self, turn: usize) {
        let Taps { wanted, context, dial, open, pending, interfaces, .. } = self;
        let payload = !dial.no_payload.is_set();
        let mut taker = Taker { wanted, payload, context, pending, scratch: Vec::new() };
        for open in open {
            let Open { interface, ring, wire, .. } = open;
            let link = interfaces[*interface].link;
            for _ in 0..turn {
                if !ring.next_block(|frame| taker.take(*interface, link, wire.as_ref(), frame)) {
                    break;
                }
            }
        }
        if pending.len() > 0 {
            self.oldest.get_or_insert_with(Instant::now);
        }
    }

    /// Writes what waits, if it has waited long enough or is large, or at the end.
    fn flush(&mut self, end: bool) -> Result<(), String> {
        let Some(oldest) = self.oldest else { return Ok(()) };
        let large = self.pending.len() >= SECTION_PACKETS || self.pending.bytes() >= SECTION_BYTES;
        if !end && !large && oldest.elapsed() < FLUSH {
            return Ok(());
        }
        self.oldest = None;
        let section = self.pending.take(&self.interfaces).map_err(|e| format!("cannot write pcapng: {e}"))?;
        match section {
            Some(section) => self.write(section),
            None => Ok(()),
        }
    }

    fn write(&self, section: Section) -> Result<(), String> {
        let (boot, real) = clock::now();
        // Packets are stamped with the real-time clock; the offset of this moment places them on BOOTTIME.
        let to_boot =
            |time: u64| Boottime((i128::from(boot.0) - (i128::from(real.0) - i128::from(time))).max(0) as u64);
        let (packets, bytes) = (section.packets, section.bytes.len() as u64);
        let (first, last) = (to_boot(section.first), to_boot(section.last));
        let receipt = Receipt {
            time: boot.0,
            read: real.0,
            bytes,
            items: packets,
            origin: section.origin,
            transport: "af_packet".into(),
            content_type: "application/x-pcapng".into(),
            compression: String::new(),
        };
        let publish_time = Utc(section.first as i64);
        let message = RawMessage { bytes: section.bytes, log_time: real, publish_time, first, last };
        self.context.intake.backlog(Class::Packet, boot.0.saturating_sub(first.0));
        match self.context.writer.append_raw("packets", message, receipt) {
            Ok(_) => {
                self.context.intake.add(packets, bytes);
                Ok(())
            }
            Err(error) => {
                if matches!(error, WriteError::DiskFull { .. }) {
                    self.context.losses.add(NAME, Class::Packet, Reason::DiskFull, packets, bytes);
                }
                Err(error.to_string())
            }
        }
    }

    fn count_drops(&self) {
        for open in &self.open {
            match open.ring.drops() {
                Ok(drops) => self.context.losses.add(NAME, Class::Packet, Reason::PacketDrop, drops, 0),
                Err(error) => tracing::warn!("packets: cannot read the drops of {}: {error}", open.tap.link.name),
            }
        }
    }
}

impl Open {
    /// Sets the directions of the tap.
    fn direct(&mut self, tap: &Tap) -> Result<(), Skip> {
        if (self.tap.inbound, self.tap.outbound) == (tap.inbound, tap.outbound) {
            return Ok(());
        }
        self.ring.ignore_outgoing(!tap.outbound).map_err(|e| cannot_open(&e, &tap.link.name))?;
        let before = std::mem::replace(&mut self.tap, tap.clone());
        self.let_in().inspect_err(|_| self.tap = before)
    }

    /// Puts the filter in place that lets packets of the tap's directions in.
    fn let_in(&self) -> Result<(), Skip> {
        let program = if self.tap.inbound { self.program.clone() } else { self.program.outbound_only() };
        self.ring.attach(&program).map_err(|e| cannot_open(&e, &self.tap.link.name))
    }
}

/// Takes frames out of the rings: filters, cuts, keeps.
struct Taker<'a> {
    wanted: &'a Wanted,
    payload: bool,
    context: &'a Context,
    pending: &'a mut Pending,
    scratch: Vec<u8>,
}

impl Taker<'_> {
    fn take(&mut self, interface: usize, link: LinkType, wire: Option<&Program>, frame: Frame<'_>) {
        if link == LinkType::Raw && !matches!(frame.protocol, 0x0800 | 0x86dd) {
            return;
        }
        let (bytes, length) = match frame.vlan {
            Some((protocol, control)) if link == LinkType::Ethernet && frame.bytes.len() >= 12 => {
                // Back to how it was on the wire.
                self.scratch.clear();
                self.scratch.extend_from_slice(&frame.bytes[..12]);
                self.scratch.extend_from_slice(&protocol.to_be_bytes());
                self.scratch.extend_from_slice(&control.to_be_bytes());
                self.scratch.extend_from_slice(&frame.bytes[12..]);
                (self.scratch.as_slice(), frame.length.saturating_add(4))
            }
            _ => (frame.bytes, frame.length),
        };
        if wire.is_some_and(|program| !program.takes(bytes, length)) {
            return;
        }
        let found = headers(link, bytes);
        if found.ports.is_some_and(|(from, to, tcp)| tcp && self.context.own.is_own(from, to)) {
            return;
        }
        let payload = if self.payload { self.wanted.payload(found.ports) } else { 0 };
        let keep = (found.end + payload).min(bytes.len());
        self.pending.push(interface, frame.time, length, flags(frame.kind), &bytes[..keep]);
    }
}

/// The pcapng option `epb_flags`: bits 0–1 the direction, 2–4 how it was addressed.
fn flags(kind: u8) -> u32 {
    const IN: u32 = 1;
    const OUT: u32 = 2;
    match kind {
        libc::PACKET_HOST => IN | 1 << 2,
        libc::PACKET_MULTICAST => IN | 2 << 2,
        libc::PACKET_BROADCAST => IN | 3 << 2,
        libc::PACKET_OTHERHOST => IN | 4 << 2,
        libc::PACKET_OUTGOING => OUT,
        _ => 0,
    }
}
