//! Tracks: one a process, one a thread, and named ones below them or by themselves. Their numbers count from 1 in the order of use.

use std::collections::HashMap;
use std::io::{self, Write};

use coldcase_model::Boottime;
use coldcase_timeline::Timeline;

use super::proto::{CounterDescriptor, ProcessDescriptor, ThreadDescriptor, TracePacket, TrackDescriptor};
use super::writer::{Writer, cut};

/// Longest name of a track, in bytes.
const NAME: usize = 200;
/// Most lanes that are looked through for room; what finds none gets a track of its own.
const LANES: usize = 256;

/// The tracks of a trace.
pub(super) struct Tracks<'a> {
    t: &'a Timeline,
    last: u64,
    /// By pid and start.
    processes: HashMap<(u32, u64), u64>,
    /// By thread and the track of its process.
    threads: HashMap<(u32, u64), u64>,
    /// By the track above, and the name.
    named: HashMap<(u64, Box<str>), u64>,
    counters: HashMap<(u64, Box<str>), u64>,
    /// Tracks of one name on which nothing overlaps, each with the end of its last slice.
    lanes: HashMap<u64, Vec<(u64, i64)>>,
}

impl<'a> Tracks<'a> {
    pub(super) fn new(t: &'a Timeline) -> Tracks<'a> {
        Tracks {
            t,
            last: 0,
            processes: HashMap::new(),
            threads: HashMap::new(),
            named: HashMap::new(),
            counters: HashMap::new(),
            lanes: HashMap::new(),
        }
    }

    fn put<W: Write>(&mut self, w: &mut Writer<W>, mut track: TrackDescriptor) -> io::Result<u64> {
        self.last += 1;
        w.counts.tracks += 1;
        track.uuid = Some(self.last);
        w.packet(TracePacket { track_descriptor: Some(track), ..TracePacket::default() })?;
        Ok(self.last)
    }

    /// The track of the process that had a pid at a time.
    pub(super) fn process<W: Write>(&mut self, w: &mut Writer<W>, pid: u32, at: Boottime) -> io::Result<u64> {
        let process = self.t.processes().get(pid, at);
        let key = (pid, process.map_or(0, |p| p.key.started));
        if let Some(track) = self.processes.get(&key) {
            return Ok(*track);
        }
        let label = self.t.processes().label(pid, at);
        let container = process.and_then(|p| p.container.as_ref()).map(|c| format!("@{}", c.label()));
        let name = format!("{label}{}", container.unwrap_or_default());
        let descriptor = ProcessDescriptor {
            pid: i32::try_from(pid).ok(),
            cmdline: process
                .map(|p| p.argv.as_str())
                .filter(|a| !a.is_empty())
                .map(str::to_owned)
                .into_iter()
                .collect(),
            process_name: Some(cut(&name, NAME).into_owned()),
            start_timestamp_ns: process.map(|p| self.t.utc_of(p.key.started).0),
        };
        let track = self.put(w, TrackDescriptor { process: Some(descriptor), ..TrackDescriptor::default() })?;
        self.processes.insert(key, track);
        Ok(track)
    }

    /// The track of a thread.
    pub(super) fn thread<W: Write>(
        &mut self,
        w: &mut Writer<W>,
        (pid, tid): (u32, u32),
        at: Boottime,
    ) -> io::Result<u64> {
        let process = self.process(w, pid, at)?;
        if let Some(track) = self.threads.get(&(tid, process)) {
            return Ok(*track);
        }
        let name = match self.t.processes().thread(tid, at) {
            "" => format!("thread {tid}"),
            name => name.to_owned(),
        };
        let thread = ThreadDescriptor {
            pid: i32::try_from(pid).ok(),
            tid: Some(i64::from(tid)),
            thread_name: Some(cut(&name, NAME).into_owned()),
        };
        let parent_uuid = Some(process);
        let track = self.put(w, TrackDescriptor { thread: Some(thread), parent_uuid, ..TrackDescriptor::default() })?;
        self.threads.insert((tid, process), track);
        Ok(track)
    }

    /// The track of a name below another; 0 is above all.
    pub(super) fn named<W: Write>(&mut self, w: &mut Writer<W>, above: u64, name: &str) -> io::Result<u64> {
        let key = (above, Box::from(name));
        if let Some(track) = self.named.get(&key) {
            return Ok(*track);
        }
        let track = self.another(w, above, name)?;
        self.named.insert(key, track);
        Ok(track)
    }

    /// One more track of a name.
    pub(super) fn another<W: Write>(&mut self, w: &mut Writer<W>, above: u64, name: &str) -> io::Result<u64> {
        let parent_uuid = (above != 0).then_some(above);
        let name = Some(cut(name, NAME).into_owned());
        self.put(w, TrackDescriptor { name, parent_uuid, ..TrackDescriptor::default() })
    }

    /// The track of a counter.
    pub(super) fn counter<W: Write>(
        &mut self,
        w: &mut Writer<W>,
        above: u64,
        (name, unit): (&str, &str),
    ) -> io::Result<u64> {
        let key = (above, Box::from(name));
        if let Some(track) = self.counters.get(&key) {
            return Ok(*track);
        }
        let counter = CounterDescriptor { unit_name: (!unit.is_empty()).then(|| cut(unit, NAME).into_owned()) };
        let (name, parent_uuid) = (Some(cut(name, NAME).into_owned()), (above != 0).then_some(above));
        let track = self.put(w, TrackDescriptor { name, parent_uuid, counter: Some(counter), ..Default::default() })?;
        self.counters.insert(key, track);
        Ok(track)
    }

    /// A track of a name on which nothing of this stretch stands yet. Stretches are asked for in the order of their starts.
    pub(super) fn free<W: Write>(
        &mut self,
        w: &mut Writer<W>,
        (above, name): (u64, &str),
        (start, end): (i64, i64),
    ) -> io::Result<u64> {
        let first = self.named(w, above, name)?;
        let lanes = self.lanes.entry(first).or_insert_with(|| vec![(first, i64::MIN)]);
        if let Some((track, until)) = lanes.iter_mut().find(|(_, until)| *until <= start) {
            *until = end;
            return Ok(*track);
        }
        let track = self.another(w, above, name)?;
        if let Some(lanes) = self.lanes.get_mut(&first).filter(|l| l.len() < LANES) {
            lanes.push((track, end));
        }
        Ok(track)
    }
}
