//! The flow of a bundle: its packets, streamed, and who holds the sockets.

use std::convert::Infallible;
use std::net::SocketAddr;

use coldcase_bundle::{Batch, BatchBody};
use coldcase_decode::capture::{Next, Reader};
use coldcase_model::analysis::{Flow, Translation};
use coldcase_model::entity::Protocol;
use coldcase_model::events::TcpRetransmit;
use coldcase_model::{Ip, Utc};
use coldcase_timeline::{OwnerHow, Scope, Timeline};
use rayon::prelude::*;

use super::packets::Interfaces;
use super::sequence::{Picker, Sequences};
use super::stored::{self, PACKETS};
use super::{Frame, Holder, KernelRetransmits, KernelSockets, Packet, Parts, Sink, Tap, socket};

/// Connections and edges of a bundle, and what of its packets could not be read. Its packets are read once more for
/// `sequences`.
pub(crate) fn flow(t: &Timeline, scope: &Scope, sequences: Sequences) -> (Flow, Vec<String>) {
    let mut tap = Tap::default();
    let problems = packets(t, &mut tap);
    let kernel = kernel(t);
    let owner = |proto, local: SocketAddr, remote: SocketAddr, time| {
        let protocol = if proto == Protocol::Tcp { 6 } else { 17 };
        let at = t.boot(Utc(time));
        let ends = ((local.ip(), local.port()), (remote.ip(), remote.port()));
        let owner = t.sockets().owner(protocol, ends.0, ends.1, at)?;
        let found = match owner.how {
            OwnerHow::Acted => "acted",
            OwnerHow::Held => "held",
            OwnerHow::Listens => "inferred",
        };
        let in_scope = scope.has_process(t, owner.pid, at);
        Some(Holder { service: t.processes().label(owner.pid, at).to_string(), pid: owner.pid, found, in_scope })
    };
    let sockets = KernelSockets::read(t);
    let translated = |proto, a: SocketAddr, b: SocketAddr| {
        let protocol = if proto == Protocol::Tcp { 6 } else { 17 };
        let t = t.sockets().translated(protocol, (a.ip(), a.port()), (b.ip(), b.port()))?;
        let end = |(ip, port)| SocketAddr::new(ip, port).to_string();
        Some(Translation { a: end(t.a), b: end(t.b), behind: t.behind })
    };
    let (kernel, sockets, narrow) = (kernel.as_ref(), sockets.as_ref(), scope.narrows_processes());
    let flow = Parts {
        bundle: t.bundle().id(),
        tap: &mut tap,
        kernel,
        sockets,
        owner: &owner,
        translated: &translated,
        narrow,
    };
    let mut flow = flow.finish();
    // Whose packet was dropped is not known.
    flow.drops = if narrow { Vec::new() } else { socket::drops(t) };
    flow.failed_connects = socket::failed_connects(t, scope);
    crate::requests::span::name(&mut flow.requests, t);
    crate::requests::span_inferred::join(&mut flow.requests, &flow.connections, t);
    flow.full_listeners = super::listener::full(t, scope);
    drop(tap);
    if let Some(mut picker) = Picker::new(&flow.connections, sequences) {
        // What cannot be read was told the first time.
        let _ = packets(t, &mut picker);
        flow.sequences = picker.finish();
    }
    (flow, problems)
}

/// Feeds the packets in order: a few chunks are decoded at a time, in parallel, so that memory stays bounded.
fn packets(t: &Timeline, tap: &mut impl Sink) -> Vec<String> {
    let mut problems = Vec::new();
    let mut frames = 0;
    let Ok(()) = stored::chunks(t.bundle(), |chunks| {
        let decoded: Vec<_> = chunks
            .par_iter()
            .map(|chunk| chunk.as_ref().map(|batches| batches.iter().filter_map(section).collect::<Vec<Decoded<'_>>>()))
            .collect();
        for chunk in decoded {
            match chunk {
                Ok(sections) => sections.into_iter().for_each(|s| feed(t, tap, &mut frames, s, &mut problems)),
                // The timeline reads every chunk's entities, but not this stream: told here.
                Err(e) => problems.push(e.to_string()),
            }
        }
        Ok::<(), Infallible>(())
    });
    tap.end();
    problems
}

/// The packets of one message, and why not all could be read. Frames are numbered from 0: the caller adds those before.
type Decoded<'a> = (u64, Vec<Packet<'a>>, Option<&'static str>);

fn section(batch: &Batch) -> Option<Decoded<'_>> {
    let BatchBody::Raw(bytes) = &batch.body else { return None };
    if &*batch.stream != PACKETS {
        return None;
    }
    let (row, received) = (batch.first_row, batch.log_time.0);
    let mut rest: &[u8] = bytes;
    let mut reader = Reader::of(rest)?;
    let mut packets = Vec::new();
    let mut frames = 0;
    let mut interfaces = Interfaces::default();
    loop {
        match reader.next(rest) {
            Next::Packet(record, length) => {
                let interface = interfaces.id(&reader, record.interface);
                packets.push(Packet::of(&Frame::from(&record), interface, row, frames, received));
                frames += 1;
                rest = &rest[length..];
            }
            Next::Frame(length) | Next::Skip(length) => rest = &rest[length..],
            Next::Need(_) if rest.is_empty() => return Some((row, packets, None)),
            Next::Need(_) => return Some((row, packets, Some("cut inside a block"))),
            Next::Bad(problem) => return Some((row, packets, Some(problem))),
        }
    }
}

/// Takes in the packets of a message that lie in the window. Frames are numbered as an export of all of them has them.
fn feed(
    t: &Timeline,
    tap: &mut impl Sink,
    frames: &mut u64,
    (row, packets, problem): Decoded<'_>,
    problems: &mut Vec<String>,
) {
    let (before, all) = (*frames + 1, packets.len());
    *frames += all as u64;
    let mut wanted = packets;
    wanted.retain_mut(|p| {
        p.frame += before;
        let time = Utc(p.time);
        t.in_window(time, time)
    });
    if wanted.len() < all {
        tap.leave_out();
    }
    tap.take(wanted);
    if let Some(problem) = problem {
        problems.push(format!("{PACKETS}#{row}: {problem}"));
    }
}

/// What the kernel told of retransmissions; `None` when it was not asked.
fn kernel(t: &Timeline) -> Option<KernelRetransmits> {
    let name = "kernel.tcp";
    let asked = t.bundle().manifest().is_some_and(|m| {
        m.sources.iter().any(|s| s.name == name && s.status == coldcase_model::manifest::SourceStatus::Recorded)
    });
    let mut out = KernelRetransmits::default();
    let mut any = false;
    for part in t.rows::<TcpRetransmit>() {
        let c = &part.cols;
        let end = |ip: Ip, port| SocketAddr::new(ip.addr(), port);
        for i in (0..part.len()).filter(|&i| c.error[i] == 0) {
            any = true;
            let (local, remote) = (end(c.local_addr[i], c.local_port[i]), end(c.remote_addr[i], c.remote_port[i]));
            out.add(local, remote, t.utc_of(c.time[i]).0, u64::from(c.segments[i]));
        }
    }
    (any || asked).then_some(out)
}
