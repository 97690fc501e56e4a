//! Fragments of IP datagrams, put together. Bounded: the datagrams that waited longest are given up first.

use std::collections::{HashMap, VecDeque};

use coldcase_model::Ip;

use super::part::Part;
use super::walk::Walk;
use super::{Decoded, Headers, decoded, whole};

/// Most datagrams that wait for their missing fragments.
const WAITING: usize = 1024;
/// Longest datagram.
const LONGEST: u32 = 65_535;
/// Most fragments of one datagram: more only repeat.
const FRAGMENTS: usize = 8192;

/// What tells the fragments of a datagram from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FragmentKey {
    pub(super) ends: [Ip; 2],
    pub(super) id: u32,
    pub(super) protocol: u8,
    pub(super) vlan: Option<u16>,
}

/// One fragment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fragment<'a> {
    pub(super) key: FragmentKey,
    /// Where in the datagram it begins.
    pub(super) offset: u32,
    /// Whether others follow.
    pub(super) more: bool,
    pub(super) bytes: &'a [u8],
    /// The headers before it.
    pub(super) headers: Headers,
    pub(super) depth: u8,
}

/// A datagram that waits.
#[derive(Debug)]
struct Waiting {
    /// Stretches seen, apart and in order: start, bytes.
    parts: Vec<(u32, Vec<u8>)>,
    /// Its length, once the last fragment was seen.
    length: Option<u32>,
    seen: usize,
    /// Numbers of the frames that it came in, where the caller gives them.
    frames: Vec<u64>,
    /// When it began to wait, counted in datagrams.
    since: u64,
}

/// A datagram that was put together.
#[derive(Debug)]
pub struct Whole {
    /// What it is.
    pub decoded: Decoded,
    /// What stands behind its transport header.
    pub data: Vec<u8>,
    /// Numbers of the frames whose fragments it was made of, the completing one included.
    pub frames: Vec<u64>,
}

/// Puts fragments together. Feed it the frames that [`decode`](super::decode) calls fragments, in capture order.
#[derive(Debug, Default)]
pub struct Reassembler {
    waiting: HashMap<FragmentKey, Waiting>,
    order: VecDeque<(u64, FragmentKey)>,
    begun: u64,
    given_up: u64,
}

impl Reassembler {
    /// Takes in a frame. Gives the datagram that it completes, decoded, and what stands behind its transport header;
    /// `None` while fragments are missing, or when it is none that can be put together.
    pub fn push(&mut self, link: u16, frame: &[u8], original: u32) -> Option<(Decoded, Vec<u8>)> {
        let whole = self.take(link, frame, original, Vec::new())?;
        Some((whole.decoded, whole.data))
    }

    /// The same for a caller who numbers frames and wants to know which ones a datagram came in.
    pub fn push_numbered(&mut self, number: u64, link: u16, frame: &[u8], original: u32) -> Option<Whole> {
        self.take(link, frame, original, vec![number])
    }

    fn take(&mut self, link: u16, frame: &[u8], original: u32, frames: Vec<u64>) -> Option<Whole> {
        let mut walk = Walk::default();
        // A found packet may be the fragment itself.
        let _ = walk.link(link, whole(frame, original));
        self.add(walk.fragment?, frames)
    }

    /// Datagrams of which fragments are missing, those given up included.
    pub fn incomplete(&self) -> u64 {
        self.given_up + self.waiting.len() as u64
    }

    fn add(&mut self, fragment: Fragment<'_>, frames: Vec<u64>) -> Option<Whole> {
        let (bytes, frames) = self.place(&fragment, frames)?;
        let length = bytes.len() as u32;
        let headers = Headers {
            fragment: false,
            payload: length,
            ip_bytes: fragment.headers.ip_bytes.saturating_sub(fragment.bytes.len() as u32).saturating_add(length),
            ..fragment.headers
        };
        let mut walk = Walk { vlan: headers.vlan, tunnel: headers.tunnel, depth: fragment.depth, ..Walk::default() };
        let found = walk.transport(headers, Part { bytes: &bytes, wire: length });
        match walk.fragment {
            // A fragmented packet in a tunnel whose packets were fragmented too. Each level is one deeper.
            Some(inner) => self.add(inner, frames),
            None => Some(Whole { decoded: decoded(found), data: walk.payload.to_vec(), frames }),
        }
    }

    /// Notes a fragment that came in these frames. Gives the whole datagram, and all its frames, if it was the last that
    /// was missing.
    fn place(&mut self, fragment: &Fragment<'_>, frames: Vec<u64>) -> Option<(Vec<u8>, Vec<u64>)> {
        let end = fragment.offset.saturating_add(fragment.bytes.len() as u32);
        if end > LONGEST {
            return None;
        }
        if !self.waiting.contains_key(&fragment.key) {
            self.make_room();
            self.begun += 1;
            self.order.push_back((self.begun, fragment.key));
            let (parts, frames) = (Vec::new(), Vec::new());
            let new = Waiting { parts, length: None, seen: 0, frames, since: self.begun };
            self.waiting.insert(fragment.key, new);
        }
        let waiting = self.waiting.get_mut(&fragment.key)?;
        waiting.seen += 1;
        if waiting.seen > FRAGMENTS {
            return None;
        }
        if !fragment.more && waiting.length.is_none() {
            waiting.length = Some(end);
        }
        waiting.frames.extend(frames);
        waiting.fill(fragment.offset, fragment.bytes);
        let whole = waiting.whole()?;
        let frames = std::mem::take(&mut waiting.frames);
        self.waiting.remove(&fragment.key);
        Some((whole, frames))
    }

    fn make_room(&mut self) {
        while self.waiting.len() >= WAITING
            && let Some((since, key)) = self.order.pop_front()
        {
            // The same key may wait again since.
            if self.waiting.get(&key).is_some_and(|w| w.since == since) {
                self.waiting.remove(&key);
                self.given_up += 1;
            }
        }
        if self.order.len() > 2 * WAITING {
            let waiting = &self.waiting;
            self.order.retain(|(since, key)| waiting.get(key).is_some_and(|w| w.since == *since));
        }
    }
}

impl Waiting {
    /// Adds what is new of a stretch: where fragments overlap, the first one counts.
    fn fill(&mut self, start: u32, bytes: &[u8]) {
        let mut at = start;
        let end = start.saturating_add(bytes.len() as u32);
        let mut new = Vec::new();
        let mut take = |from: u32, to: u32| {
            if let Some(part) = bytes.get((from - start) as usize..(to - start) as usize)
                && !part.is_empty()
            {
                new.push((from, part.to_vec()));
            }
        };
        for (known, part) in &self.parts {
            let known_end = known.saturating_add(part.len() as u32);
            if known_end <= at {
                continue;
            }
            if *known >= end {
                break;
            }
            if *known > at {
                take(at, *known);
            }
            at = known_end;
        }
        if at < end {
            take(at, end);
        }
        self.parts.extend(new);
        self.parts.sort_unstable_by_key(|p| p.0);
    }

    fn whole(&mut self) -> Option<Vec<u8>> {
        let length = self.length?;
        let mut at = 0;
        for (start, part) in &self.parts {
            if *start != at {
                return None;
            }
            at = at.saturating_add(part.len() as u32);
            if at >= length {
                break;
            }
        }
        if at < length {
            return None;
        }
        let mut bytes: Vec<u8> = std::mem::take(&mut self.parts).into_iter().flat_map(|p| p.1).collect();
        bytes.truncate(length as usize);
        Some(bytes)
    }
}
