//! Spans as slices: nested where they are, on tracks of their own where they overlap, with arrows from whom they were caused by.
//!
//! An arrow's number stands at both of its ends, and what a span causes comes after it. So a slice is held until what
//! it stands in is over, and somewhat longer; what comes later still finds no end to begin at, and is counted.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io::{self, Write};

use coldcase_timeline::decode::otlp::{SpanId, TraceId};

use super::proto::{self, TrackEvent};
use super::tracks::Tracks;
use super::writer::Writer;

/// How long a slice is held after its end, in nanoseconds: what is passed through a queue begins later.
const GRACE: i64 = 1_000_000_000;
/// Most slices that are held.
const MOST: usize = 50_000;
/// Most lanes that are looked through for room.
const LANES: usize = 256;

/// Which span.
pub(super) type Key = (TraceId, SpanId);

/// A span, to be shown.
pub(super) struct Slice {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) key: Option<Key>,
    pub(super) parent: Option<Key>,
    pub(super) links: Vec<Key>,
    pub(super) event: TrackEvent,
    /// Its span events.
    pub(super) instants: Vec<(i64, TrackEvent)>,
}

/// Where spans stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Place {
    /// On the track of a thread: what is within another is nested in it.
    Thread(u64),
    /// Below a track: only children are nested.
    Below(u64),
}

struct Lane {
    track: u64,
    /// What stands there now, outermost first: end and span.
    open: Vec<(i64, Option<Key>)>,
    tree: u64,
}

/// Slices on one track, from one that stands by itself to its end.
#[derive(Default)]
struct Tree {
    track: u64,
    slices: Vec<Slice>,
    /// Slices that were written already.
    written: usize,
    /// Ends of what was begun and not ended in what was written.
    begun: Vec<i64>,
}

/// The spans that are held.
#[derive(Default)]
pub(super) struct Spans {
    places: HashMap<Place, Vec<Lane>>,
    trees: HashMap<u64, Tree>,
    last_tree: u64,
    /// Trees that are not over, by their ends.
    open: BTreeSet<(i64, u64)>,
    /// Trees that are, in the order of their ends.
    over: VecDeque<(i64, u64)>,
    /// Where a span is held: tree, and place in it.
    held: HashMap<Key, (u64, usize)>,
    holding: usize,
    last_flow: u64,
    /// Arrows that were not drawn: nothing is held at their other end.
    pub(super) without_flow: u64,
}

impl Spans {
    /// Takes a span. They come in the order of their starts, of equals the longest first.
    pub(super) fn put<W: Write>(
        &mut self,
        w: &mut Writer<W>,
        tracks: &mut Tracks<'_>,
        place: Place,
        mut slice: Slice,
    ) -> io::Result<()> {
        self.advance(w, slice.start)?;
        let (tree, nested_in_parent) = self.place(w, tracks, place, &slice)?;
        if !nested_in_parent && let Some(parent) = slice.parent {
            self.arrow(w, parent, &mut slice);
        }
        for link in std::mem::take(&mut slice.links) {
            self.arrow(w, link, &mut slice);
        }
        let Some(of) = self.trees.get_mut(&tree) else { return Ok(()) };
        if let Some(key) = slice.key {
            self.held.insert(key, (tree, of.written + of.slices.len()));
        }
        of.slices.push(slice);
        self.holding += 1;
        if self.holding > MOST {
            self.relieve(w)?;
        }
        Ok(())
    }

    /// Writes all that is held.
    pub(super) fn finish<W: Write>(&mut self, w: &mut Writer<W>) -> io::Result<()> {
        self.advance(w, i64::MAX)?;
        while let Some((_, tree)) = self.over.pop_front() {
            self.write(w, tree, true)?;
        }
        Ok(())
    }

    fn advance<W: Write>(&mut self, w: &mut Writer<W>, now: i64) -> io::Result<()> {
        while let Some(&(end, tree)) = self.open.first().filter(|(end, _)| *end <= now) {
            self.open.pop_first();
            self.over.push_back((end, tree));
        }
        while let Some(&(_, tree)) = self.over.front().filter(|(end, _)| end.saturating_add(GRACE) < now) {
            self.over.pop_front();
            self.write(w, tree, true)?;
        }
        Ok(())
    }

    /// Finds a track with room, and tells whether the span stands in its parent there.
    fn place<W: Write>(
        &mut self,
        w: &mut Writer<W>,
        tracks: &mut Tracks<'_>,
        place: Place,
        s: &Slice,
    ) -> io::Result<(u64, bool)> {
        let lanes = self.places.entry(place).or_default();
        let fits = |lane: &mut Lane| {
            while lane.open.last().is_some_and(|(end, _)| *end <= s.start) {
                lane.open.pop();
            }
            match (lane.open.last(), place) {
                (None, _) => true,
                (Some((end, _)), Place::Thread(_)) => *end >= s.end,
                (Some((end, key)), Place::Below(_)) => *end >= s.end && key.is_some() && *key == s.parent,
            }
        };
        let found = lanes.iter_mut().position(fits);
        let at = match found {
            Some(at) => at,
            None => {
                let track = match place {
                    Place::Thread(track) if lanes.is_empty() => track,
                    Place::Thread(above) | Place::Below(above) => tracks.another(w, above, "spans")?,
                };
                if lanes.len() >= LANES {
                    lanes.truncate(LANES);
                }
                lanes.push(Lane { track, open: Vec::new(), tree: 0 });
                lanes.len() - 1
            }
        };
        let lane = &mut lanes[at];
        if lane.open.is_empty() {
            self.last_tree += 1;
            lane.tree = self.last_tree;
            self.trees.insert(lane.tree, Tree { track: lane.track, ..Tree::default() });
            self.open.insert((s.end, lane.tree));
        }
        let nested = s.parent.is_some() && lane.open.iter().any(|(_, key)| *key == s.parent);
        lane.open.push((s.end, s.key));
        Ok((lane.tree, nested))
    }

    /// Draws an arrow from a span that is held and began before.
    fn arrow<W: Write>(&mut self, w: &mut Writer<W>, from: Key, to: &mut Slice) {
        let held = self.held.get(&from).and_then(|(tree, at)| {
            let tree = self.trees.get_mut(tree)?;
            tree.slices.get_mut(at.checked_sub(tree.written)?)
        });
        match held.filter(|s| s.start < to.start) {
            Some(cause) => {
                self.last_flow += 1;
                cause.event.flow_ids.push(self.last_flow);
                to.event.terminating_flow_ids.push(self.last_flow);
                w.counts.flows += 1;
            }
            None => self.without_flow += 1,
        }
    }

    /// Writes the older of what is held.
    fn relieve<W: Write>(&mut self, w: &mut Writer<W>) -> io::Result<()> {
        while self.holding > MOST / 2
            && let Some((_, tree)) = self.over.pop_front()
        {
            self.write(w, tree, true)?;
        }
        if self.holding > MOST / 2 {
            let mut open: Vec<u64> = self.open.iter().map(|(_, tree)| *tree).collect();
            open.sort_unstable();
            for tree in open {
                self.write(w, tree, false)?;
            }
        }
        Ok(())
    }

    /// Writes the slices of a tree that are held, and the ends of all of them where it is over.
    fn write<W: Write>(&mut self, w: &mut Writer<W>, tree: u64, over: bool) -> io::Result<()> {
        let Some(mut of) = self.trees.remove(&tree) else { return Ok(()) };
        let track = of.track;
        for slice in of.slices.drain(..) {
            end(w, track, &mut of.begun, slice.start)?;
            if let Some(key) = slice.key
                && self.held.get(&key).is_some_and(|held| held.0 == tree)
            {
                self.held.remove(&key);
            }
            self.holding -= 1;
            of.written += 1;
            w.put(proto::SLICE_BEGIN, slice.start, track, slice.event)?;
            of.begun.push(slice.end);
            *w.counts.slices.entry("span".to_owned()).or_default() += 1;
            for (utc, event) in slice.instants {
                w.put(proto::INSTANT, utc, track, event)?;
                *w.counts.instants.entry("span event".to_owned()).or_default() += 1;
            }
        }
        if over {
            end(w, track, &mut of.begun, i64::MAX)?;
        } else {
            self.trees.insert(tree, of);
        }
        Ok(())
    }
}

/// Ends what ends before or at a time, innermost first.
fn end<W: Write>(w: &mut Writer<W>, track: u64, begun: &mut Vec<i64>, at: i64) -> io::Result<()> {
    while let Some(end) = begun.pop_if(|end| *end <= at) {
        w.put(proto::SLICE_END, end, track, TrackEvent::default())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashMap;

    use coldcase_timeline::{Options, Timeline};
    use prost::Message;

    use super::super::proto::TracePacket;
    use super::*;

    #[derive(Clone, PartialEq, Message)]
    struct Packets {
        #[prost(message, repeated, tag = "1")]
        packet: Vec<TracePacket>,
    }

    fn key(n: u64) -> Key {
        (TraceId([7; 16]), SpanId((n + 1).to_be_bytes()))
    }

    /// Start and end of each slice, by its number; and the flows, from and to.
    type Found = (HashMap<u64, (u64, u64)>, Vec<(u64, u64)>);

    /// What a reader finds that sorts by time and keeps the file's order among equals.
    fn read(bytes: &[u8]) -> Found {
        let mut packets: Vec<TracePacket> =
            Packets::decode(bytes).unwrap().packet.into_iter().filter(|p| p.track_event.is_some()).collect();
        packets.sort_by_key(|p| p.timestamp);
        let (mut open, mut found, mut flows) = (HashMap::<u64, Vec<(u64, u64)>>::new(), HashMap::new(), HashMap::new());
        let mut arrows = Vec::new();
        for p in packets {
            let (at, e) = (p.timestamp.unwrap(), p.track_event.unwrap());
            let stack = open.entry(e.track_uuid.unwrap()).or_default();
            if e.r#type == Some(proto::SLICE_END) {
                let (number, start) = stack.pop().unwrap();
                assert!(found.insert(number, (start, at)).is_none());
                continue;
            }
            let number = e.debug_annotations[0].uint_value.unwrap();
            stack.push((number, at));
            flows.extend(e.flow_ids.iter().map(|f| (*f, number)));
            arrows.extend(e.terminating_flow_ids.iter().map(|f| (flows.remove(f).unwrap(), number)));
        }
        assert!(open.values().all(Vec::is_empty) && flows.is_empty());
        (found, arrows)
    }

    /// Writes spans (start, end, parent), on one thread or below one track, and reads them again.
    fn round(spans: &[(i64, i64, Option<u64>)], thread: bool) -> Found {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("b.case");
        coldcase_testkit::Builder::new(&path).unwrap().seal().unwrap();
        let t = Timeline::open(&path, &Options::default()).unwrap();
        let mut bytes = Vec::new();
        let mut w = Writer::new(&mut bytes);
        let (mut tracks, mut all) = (Tracks::new(&t), Spans::default());
        let above = tracks.named(&mut w, 0, "x").unwrap();
        let place = if thread { Place::Thread(above) } else { Place::Below(above) };
        let mut order: Vec<usize> = (0..spans.len()).collect();
        order.sort_by_key(|&i| (spans[i].0, std::cmp::Reverse(spans[i].1)));
        for i in order {
            let (start, end, parent) = spans[i];
            let mut event = w.event("span", "s");
            w.annotate(&mut event, "number", super::super::writer::Said::Uint(i as u64));
            let (key, parent) = (Some(key(i as u64)), parent.map(key));
            let slice = Slice { start, end, key, parent, links: Vec::new(), event, instants: Vec::new() };
            all.put(&mut w, &mut tracks, place, slice).unwrap();
        }
        all.finish(&mut w).unwrap();
        w.finish().unwrap();
        read(&bytes)
    }

    #[test]
    fn whatever_overlaps_each_slice_keeps_its_start_and_end() {
        let mut random = coldcase_testkit::corrupt::Rng(11);
        for case in 0..60 {
            // Few different times, so that many are equal.
            let times = [5, 40, 4_000][case % 3];
            let spans: Vec<(i64, i64, Option<u64>)> = (0..300)
                .map(|i| {
                    let start = 1 + random.below(times) as i64;
                    let parent = (i > 0 && random.below(3) > 0).then(|| random.below(i));
                    (start, start + random.below(times) as i64, parent)
                })
                .collect();
            for thread in [true, false] {
                let (found, _) = round(&spans, thread);
                assert_eq!(found.len(), spans.len());
                for (i, s) in spans.iter().enumerate() {
                    assert_eq!(found[&(i as u64)], (s.0 as u64, s.1 as u64), "case {case}, span {i} of {spans:?}");
                }
            }
        }
    }

    #[test]
    fn an_arrow_leads_from_a_parent_that_its_child_does_not_stand_in() {
        let second = 1_000_000_000;
        let spans = [
            (1, 10, None),
            (2, 5, Some(0)),
            // Overlaps the one before: not in its parent's track.
            (3, 12, Some(0)),
            // Within the time that an end is held for, and after it.
            (10 + second / 2, 11 + second / 2, Some(0)),
            (20 + 2 * second, 21 + 2 * second, Some(0)),
        ];
        let (_, mut arrows) = round(&spans, false);
        arrows.sort_unstable();
        assert_eq!(arrows, [(0, 2), (0, 3)]);
    }

    #[test]
    fn more_spans_than_are_held_are_all_written() {
        let many = MOST as i64 + 20_000;
        let mut spans: Vec<(i64, i64, Option<u64>)> = (0..many).map(|i| (10 + i, 10 + i, Some(many as u64))).collect();
        spans.push((1, many + 100, None));
        let (found, _) = round(&spans, true);
        assert_eq!(found.len(), spans.len());
        assert_eq!(found[&(many as u64)], (1, many as u64 + 100));
    }
}
