//! Which packets are written, and which of them begin something.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;

use coldcase_analyze::flow::ends;
use coldcase_decode::packet::{self, Decoded, Reassembler};
use coldcase_model::analysis::{Analysis, Connection, Flow};
use coldcase_model::entity::Protocol;
use rayon::prelude::*;

use super::frames::Frames;
use super::source::{Group, Numbered, Source};
use super::{PcapngError, Wanted};

/// What begins at a packet: index into the connections or requests of the flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Note {
    Connection(usize),
    Request(usize),
}

/// What is written.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Start and end of the window, UTC nanoseconds; the end is not in it.
    window: [Option<i64>; 2],
    /// Frames that are written; `None` for all.
    chosen: Option<Frames>,
    /// What begins where, in the order of frames.
    pub(super) notes: Vec<(u64, Note)>,
    /// Messages that show the trouble of the connections, where not all packets are written: findings about others have
    /// no place there.
    pub(super) cited: Option<BTreeSet<u64>>,
    pub(super) connections: usize,
    pub(super) requests: usize,
}

/// For each connection that is wanted, from which frame to which.
type Targets = BTreeMap<usize, Vec<[u64; 2]>>;

impl Plan {
    /// Finds out what is to be written.
    pub(super) fn of(source: &Source, analysis: &Analysis, wanted: &Wanted) -> Result<Plan, PcapngError> {
        let flow = &analysis.flow;
        let start = coldcase_model::Utc(analysis.bundle.first);
        let window = [wanted.from, wanted.to].map(|end| end.map(|when| when.utc(start).0));
        if let [Some(from), Some(to)] = window
            && from >= to
        {
            return Err(PcapngError::Window);
        }
        let requests = requests(flow, wanted)?;
        let targets = targets(flow, wanted, &requests)?;
        let mut plan = Plan { window, ..Plan::default() };
        // The flow of a bundle is that of its window; that of a capture file is of all of it.
        let whole = targets.is_none() && (matches!(source, Source::Bundle(_)) || window == [None, None]);
        let firsts = if whole {
            flow.connections.iter().map(|c| c.frames[0]).enumerate().collect()
        } else {
            plan.choose(source, flow, targets.as_ref())?
        };
        plan.connections = firsts.len();
        plan.notes = firsts.iter().map(|(&c, &frame)| (frame, Note::Connection(c))).collect();
        for (n, r) in flow.requests.iter().enumerate() {
            let wanted = match &requests {
                Some(some) => some.contains(&n),
                None => firsts.contains_key(&r.connection),
            };
            if wanted {
                plan.requests += 1;
                plan.notes.push((r.frames[0], Note::Request(n)));
            }
        }
        plan.notes.sort_unstable();
        if plan.chosen.is_some() {
            let chosen = firsts.keys().filter_map(|&c| flow.connections.get(c));
            plan.cited = Some(chosen.flat_map(troubled).collect());
        }
        Ok(plan)
    }

    /// Whether a packet is written.
    pub(super) fn takes(&self, p: &Numbered<'_>, group: &Group<'_>) -> bool {
        self.in_window(p.record.time.unwrap_or(group.received)) && self.chosen.as_ref().is_none_or(|c| c.has(p.frame))
    }

    fn in_window(&self, time: i64) -> bool {
        self.window[0].is_none_or(|from| time >= from) && self.window[1].is_none_or(|to| time < to)
    }

    /// Reads all packets, and notes those of the connections that are wanted. Gives the first one of each connection.
    fn choose(
        &mut self,
        source: &Source,
        flow: &Flow,
        targets: Option<&Targets>,
    ) -> Result<BTreeMap<usize, u64>, PcapngError> {
        let mut chooser = Chooser::new(flow, targets);
        // What cannot be read is told by the pass that writes.
        source.read::<PcapngError>(&mut |group| {
            chooser.group(group, &|p| self.in_window(p.record.time.unwrap_or(group.received)));
            Ok(())
        })?;
        self.chosen = targets.is_some().then_some(chooser.chosen);
        Ok(chooser.firsts)
    }
}

/// Messages that show what is wrong with a connection; none of one that is well. Those of its trouble stand behind that
/// of its first packet, where it has packets of its own.
fn troubled(c: &Connection) -> impl Iterator<Item = u64> {
    let ill = c.tcp.as_ref().is_some_and(|t| t.resets > 0 || t.unanswered_syns > 0 || t.sent_again() > 0);
    let rows = if ill { c.evidence.as_slice() } else { &[] };
    rows.iter().skip(usize::from(rows.len() > 1)).map(|e| e.row)
}

/// The requests that were asked for; `None` when none were.
fn requests(flow: &Flow, wanted: &Wanted) -> Result<Option<BTreeSet<usize>>, PcapngError> {
    let have = flow.requests.len();
    if let Some(&number) = wanted.requests.iter().find(|&&n| n >= have) {
        return Err(PcapngError::Unknown { what: "request", number, have });
    }
    if wanted.requests.is_empty() && wanted.traces.is_empty() {
        return Ok(None);
    }
    let of_trace = |trace: &str| wanted.traces.iter().any(|t| t.eq_ignore_ascii_case(trace));
    let fits = |&(n, r): &(usize, &coldcase_model::analysis::SeenRequest)| {
        (wanted.requests.is_empty() || wanted.requests.contains(&n))
            && (wanted.connections.is_empty() || wanted.connections.contains(&r.connection))
            && (wanted.traces.is_empty() || r.span.as_ref().is_some_and(|s| of_trace(&s.trace)))
    };
    let some: BTreeSet<usize> = flow.requests.iter().enumerate().filter(fits).map(|(n, _)| n).collect();
    if some.is_empty() {
        let [trace, several] = [wanted.traces.first(), wanted.traces.get(1)];
        return Err(match trace.filter(|_| several.is_none() && wanted.requests.is_empty()) {
            Some(trace) => PcapngError::NoTrace { trace: trace.clone() },
            None => PcapngError::NoRequest,
        });
    }
    Ok(Some(some))
}

/// The connections that are wanted, and from where to where; `None` for all packets, connection or not.
fn targets(flow: &Flow, wanted: &Wanted, requests: &Option<BTreeSet<usize>>) -> Result<Option<Targets>, PcapngError> {
    let have = flow.connections.len();
    if let Some(&number) = wanted.connections.iter().find(|&&n| n >= have) {
        return Err(PcapngError::Unknown { what: "connection", number, have });
    }
    let mut targets = Targets::new();
    if let Some(some) = requests {
        for r in some.iter().filter_map(|&n| flow.requests.get(n)) {
            targets.entry(r.connection).or_default().push(r.frames);
        }
    } else if !wanted.connections.is_empty() || wanted.narrow {
        let whole = |n: usize| wanted.connections.is_empty() || wanted.connections.contains(&n);
        let some = flow.connections.iter().enumerate().filter(|(n, _)| whole(*n));
        targets.extend(some.map(|(n, c)| (n, vec![c.frames])));
    } else {
        return Ok(None);
    }
    Ok(Some(targets))
}

/// Finds the packets of connections again: by their ends, and by frames where ports were used by several.
struct Chooser<'a> {
    flow: &'a Flow,
    targets: Option<&'a Targets>,
    /// By transport and both ends in order: the connections, in the order of their frames.
    by_ends: HashMap<(Protocol, SocketAddr, SocketAddr), Vec<usize>>,
    fragments: Reassembler,
    chosen: Frames,
    firsts: BTreeMap<usize, u64>,
}

impl<'a> Chooser<'a> {
    fn new(flow: &'a Flow, targets: Option<&'a Targets>) -> Chooser<'a> {
        let mut by_ends = HashMap::<_, Vec<usize>>::new();
        for (n, c) in flow.connections.iter().enumerate() {
            let proto = if c.proto == "udp" { Protocol::Udp } else { Protocol::Tcp };
            if let (Ok(a), Ok(b)) = (c.a.parse::<SocketAddr>(), c.b.parse::<SocketAddr>())
                && targets.is_none_or(|t| t.contains_key(&n))
            {
                by_ends.entry((proto, a.min(b), a.max(b))).or_default().push(n);
            }
        }
        let (fragments, chosen, firsts) = Default::default();
        Chooser { flow, targets, by_ends, fragments, chosen, firsts }
    }

    fn group(&mut self, group: &Group<'_>, in_window: &dyn Fn(&Numbered<'_>) -> bool) {
        let decode = |p: &Numbered<'_>| packet::decode(p.record.link, p.record.bytes, p.record.original);
        let decoded: Vec<Decoded> = group.packets.par_iter().with_min_len(1024).map(decode).collect();
        for (p, decoded) in group.packets.iter().zip(decoded).filter(|(p, _)| in_window(p)) {
            self.packet(p, decoded);
        }
    }

    fn packet(&mut self, p: &Numbered<'_>, mut decoded: Decoded) {
        // A datagram in fragments counts where it is complete, but nobody can read it without its other fragments.
        let mut frames = vec![p.frame];
        if decoded.headers().is_some_and(|h| h.fragment)
            && let Some(whole) = self.fragments.push_numbered(p.frame, p.record.link, p.record.bytes, p.record.original)
        {
            (decoded, frames) = (whole.decoded, whole.frames);
        }
        let Some(h) = decoded.headers() else { return };
        for tunnel in [true, false] {
            let Some((proto, [src, dst])) = ends(h, tunnel) else { continue };
            let Some(n) = self.connection((proto, src.min(dst), src.max(dst)), p.frame) else { continue };
            let wanted = match self.targets.and_then(|t| t.get(&n)) {
                Some(stretches) => stretches.iter().any(|s| (s[0]..=s[1]).contains(&p.frame)),
                None => true,
            };
            if wanted {
                let first = frames.iter().copied().min().unwrap_or(p.frame);
                self.firsts.entry(n).or_insert(first);
                frames.iter().for_each(|&frame| self.chosen.add(frame));
            }
        }
    }

    /// The connection between these ends that a frame belongs to.
    fn connection(&self, key: (Protocol, SocketAddr, SocketAddr), frame: u64) -> Option<usize> {
        let frames = |n: usize| self.flow.connections.get(n).map_or([0; 2], |c| c.frames);
        let all = self.by_ends.get(&key)?;
        let after = all.partition_point(|&n| frames(n)[0] <= frame);
        let n = *all.get(after.checked_sub(1)?)?;
        (frames(n)[1] >= frame).then_some(n)
    }
}
