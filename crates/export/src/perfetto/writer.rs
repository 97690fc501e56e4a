//! Packets of one sequence, written one after another: what is named often is interned.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::sync::Arc;

use coldcase_timeline::Frame;

use super::proto::{self, DebugAnnotation, InternedData, InternedName, TracePacket, TrackEvent};

/// Most names that are interned of one kind; later ones stand where they are used. Names come from strangers.
const MOST_NAMES: usize = 1 << 16;
/// Most stacks and frames.
const MOST_STACKS: usize = 1 << 18;
/// Longest name of an event, and longest text of an annotation, in bytes.
const NAME: usize = 160;
const TEXT: usize = 4096;

/// `TracePacket.SequenceFlags`.
const STATE_CLEARED: u32 = 1;
const NEEDS_STATE: u32 = 2;

/// What was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Slices by category: the stream, or what else they are of.
    pub slices: BTreeMap<String, u64>,
    /// Instants, likewise.
    pub instants: BTreeMap<String, u64>,
    /// Samples of counters, by what they come from.
    pub counters: BTreeMap<String, u64>,
    /// Samples of the CPU.
    pub cpu_samples: u64,
    /// Of these, without their stack, since there are too many different ones.
    pub without_stack: u64,
    /// Arrows between slices.
    pub flows: u64,
    /// Tracks.
    pub tracks: u64,
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What an annotation says.
pub(super) enum Said<'a> {
    Text(&'a str),
    Int(i64),
    Uint(u64),
    Float(f64),
    Bool(bool),
}

#[derive(Default)]
struct Names {
    known: HashMap<Box<str>, u64>,
}

impl Names {
    /// The number of a name, and whether it is new; `None` where there are too many.
    fn of(&mut self, name: &str) -> Option<(u64, bool)> {
        if let Some(iid) = self.known.get(name) {
            return Some((*iid, false));
        }
        if self.known.len() >= MOST_NAMES {
            return None;
        }
        let iid = self.known.len() as u64 + 1;
        self.known.insert(name.into(), iid);
        Some((iid, true))
    }
}

/// Writes the packets of a trace.
pub(super) struct Writer<W: Write> {
    out: W,
    buffer: Vec<u8>,
    begun: bool,
    pub(super) counts: Counts,
    pending: InternedData,
    categories: Names,
    names: Names,
    annotations: Names,
    functions: Names,
    paths: Names,
    frames: HashMap<(u64, u64), u64>,
    stacks: HashMap<Vec<u64>, u64>,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(out: W) -> Writer<W> {
        Writer {
            out,
            buffer: Vec::new(),
            begun: false,
            counts: Counts::default(),
            pending: InternedData::default(),
            categories: Names::default(),
            names: Names::default(),
            annotations: Names::default(),
            functions: Names::default(),
            paths: Names::default(),
            frames: HashMap::new(),
            stacks: HashMap::new(),
        }
    }

    /// Writes a packet, with what was interned since the last one.
    pub(super) fn packet(&mut self, mut packet: TracePacket) -> io::Result<()> {
        packet.trusted_packet_sequence_id = Some(1);
        let mut flags = NEEDS_STATE;
        if !std::mem::replace(&mut self.begun, true) {
            flags |= STATE_CLEARED;
            packet.trace_packet_defaults = Some(proto::TracePacketDefaults {
                timestamp_clock_id: Some(proto::REALTIME),
                perf_sample_defaults: Some(proto::PerfSampleDefaults {
                    timebase: Some(proto::Timebase { counter: Some(proto::SW_CPU_CLOCK) }),
                }),
            });
        }
        packet.sequence_flags = Some(flags);
        if self.pending != InternedData::default() {
            packet.interned_data = Some(std::mem::take(&mut self.pending));
        }
        self.buffer.clear();
        // `Trace.packet`, field 1.
        prost::encoding::message::encode(1, &packet, &mut self.buffer);
        self.out.write_all(&self.buffer)?;
        self.counts.packets += 1;
        self.counts.bytes += self.buffer.len() as u64;
        Ok(())
    }

    /// An event of a category, by its name.
    pub(super) fn event(&mut self, category: &str, name: &str) -> TrackEvent {
        let mut event = TrackEvent::default();
        match self.categories.of(category) {
            Some((iid, new)) => {
                if new {
                    self.pending.event_categories.push(interned(iid, category));
                }
                event.category_iids.push(iid);
            }
            None => event.categories.push(category.to_owned()),
        }
        let name = cut(name, NAME);
        match self.names.of(&name) {
            Some((iid, new)) => {
                if new {
                    self.pending.event_names.push(interned(iid, &name));
                }
                event.name_iid = Some(iid);
            }
            None => event.name = Some(name.into_owned()),
        }
        event
    }

    /// Adds an annotation.
    pub(super) fn annotate(&mut self, event: &mut TrackEvent, name: &str, said: Said<'_>) {
        let mut a = DebugAnnotation::default();
        let name = cut(name, NAME);
        match self.annotations.of(&name) {
            Some((iid, new)) => {
                if new {
                    self.pending.debug_annotation_names.push(interned(iid, &name));
                }
                a.name_iid = Some(iid);
            }
            None => a.name = Some(name.into_owned()),
        }
        match said {
            Said::Text(text) => a.string_value = Some(cut(text, TEXT).into_owned()),
            Said::Int(n) => a.int_value = Some(n),
            Said::Uint(n) => a.uint_value = Some(n),
            Said::Float(x) => a.double_value = Some(x),
            Said::Bool(b) => a.bool_value = Some(b),
        }
        event.debug_annotations.push(a);
    }

    /// Writes an event at a time, on a track.
    pub(super) fn put(&mut self, kind: u32, utc: i64, track: u64, mut event: TrackEvent) -> io::Result<()> {
        event.r#type = Some(kind);
        event.track_uuid = Some(track);
        self.packet(TracePacket {
            timestamp: Some(u64::try_from(utc).unwrap_or(0)),
            track_event: Some(event),
            ..TracePacket::default()
        })
    }

    /// The number of a stack, whose frames are innermost first; `None` of one without frames, or where there are too many.
    pub(super) fn stack(&mut self, frames: &[Frame]) -> Option<u64> {
        if frames.is_empty() || self.stacks.len() >= MOST_STACKS || self.frames.len() >= MOST_STACKS {
            return None;
        }
        let ids: Vec<u64> = frames.iter().rev().map(|f| self.frame(&f.name, &f.module)).collect::<Option<_>>()?;
        if let Some(iid) = self.stacks.get(&ids) {
            return Some(*iid);
        }
        let iid = self.stacks.len() as u64 + 1;
        self.pending.callstacks.push(proto::Callstack { iid: Some(iid), frame_ids: ids.clone() });
        self.stacks.insert(ids, iid);
        Some(iid)
    }

    fn frame(&mut self, name: &Arc<str>, module: &Arc<str>) -> Option<u64> {
        let (function, new) = self.functions.of(&cut(name, TEXT))?;
        if new {
            self.pending.function_names.push(interned(function, &cut(name, TEXT)));
        }
        // A module has one mapping here, of the number of its path.
        let (mapping, new) = self.paths.of(module)?;
        if new {
            self.pending.mapping_paths.push(interned(mapping, module));
            self.pending.mappings.push(proto::Mapping { iid: Some(mapping), path_string_ids: vec![mapping] });
        }
        let next = self.frames.len() as u64 + 1;
        let iid = *self.frames.entry((function, mapping)).or_insert(next);
        if iid == next {
            let (function_name_id, mapping_id) = (Some(function), Some(mapping));
            self.pending.frames.push(proto::Frame { iid: Some(iid), function_name_id, mapping_id });
        }
        Some(iid)
    }

    pub(super) fn finish(mut self) -> io::Result<Counts> {
        self.out.flush()?;
        Ok(self.counts)
    }
}

fn interned(iid: u64, name: &str) -> InternedName {
    InternedName { iid: Some(iid), name: Some(name.to_owned()) }
}

/// A text, cut at a character where it is longer than `most` bytes.
pub(super) fn cut(text: &str, most: usize) -> std::borrow::Cow<'_, str> {
    if text.len() <= most {
        return text.into();
    }
    let end = (0..=most).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
    format!("{}…", &text[..end]).into()
}
