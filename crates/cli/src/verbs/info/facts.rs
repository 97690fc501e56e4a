//! What `info` tells of a bundle, gathered from its manifest and from the recorder's own streams.

use std::collections::BTreeMap;

use coldcase_bundle::{BatchBody, Bundle};
use coldcase_model::analysis::Reduction;
use coldcase_model::catalogue::{by_stream, raw_stream};
use coldcase_model::clock::ClockMap;
use coldcase_model::events::{Anchor, Loss, Mark, SourceState, Step as LadderStep, Trigger};
use coldcase_model::loss::{LossTotal, Reason};
use coldcase_model::manifest::{ChildEntry, FlightEntry, HostEntry, SourceEntry, SourceStatus, StreamEntry};
use coldcase_model::time::{AnchorPoint, Boottime, Nanos, Utc};
use coldcase_model::{Class, Columns, Event};
use serde::Serialize;

use crate::args::rfc3339;

/// Everything that `info` prints; as JSON it is this.
#[derive(Debug, Serialize)]
pub(super) struct Facts {
    pub(super) schema: SchemaName,
    pub(super) file: String,
    pub(super) format: String,
    pub(super) id: String,
    pub(super) complete: bool,
    pub(super) bytes: u64,
    pub(super) chunks: usize,
    pub(super) tool: String,
    pub(super) host: HostEntry,
    pub(super) command: Vec<String>,
    pub(super) user: String,
    pub(super) time: Option<Span>,
    pub(super) streams: Vec<Stream>,
    pub(super) sources: Vec<SourceEntry>,
    pub(super) losses: Vec<LossTotal>,
    /// Where the recorder took in less than was asked for.
    pub(super) reductions: Vec<Reduction>,
    pub(super) clock: Clock,
    pub(super) marks: Vec<Note>,
    pub(super) policies: Vec<String>,
    pub(super) stored_as_sent: Vec<&'static str>,
    pub(super) ended: String,
    pub(super) child: Option<ChildEntry>,
    pub(super) parent: Option<String>,
    pub(super) root: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) flight: Option<Flight>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) triggers: Vec<Fired>,
    pub(super) problems: Vec<Gap>,
}

#[derive(Debug, Serialize)]
pub(super) struct SchemaName {
    pub(super) name: &'static str,
    pub(super) version: u32,
}

/// First and last moment, UTC nanoseconds.
#[derive(Debug, Serialize)]
pub(super) struct Span {
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) duration: u64,
    pub(super) first_text: String,
    pub(super) last_text: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Stream {
    pub(super) name: String,
    pub(super) kind: u16,
    /// Rows, or messages of a raw stream.
    pub(super) events: u64,
    /// Packets in the messages of a raw stream, where the bundle says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) items: Option<u64>,
    /// Before compression.
    pub(super) bytes: u64,
    pub(super) first: Option<i64>,
    pub(super) last: Option<i64>,
    /// Events of its class that were lost.
    pub(super) lost: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Clock {
    pub(super) state: String,
    /// Bound on the error of derived UTC, nanoseconds.
    pub(super) uncertainty: Option<u64>,
    pub(super) anchors: usize,
    pub(super) steps: Vec<Step>,
}

/// A step of the real-time clock.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    pub(super) time: i64,
    pub(super) by: i64,
}

#[derive(Debug, Serialize)]
pub(super) struct Note {
    pub(super) time: i64,
    pub(super) uid: u32,
    pub(super) text: String,
}

/// What part of a flight recording it is.
#[derive(Debug, Serialize)]
pub(super) struct Flight {
    pub(super) segment: u64,
    pub(super) dump: Option<Dump>,
}

/// Why a dump was made; times are UTC nanoseconds.
#[derive(Debug, Serialize)]
pub(super) struct Dump {
    pub(super) trigger: String,
    pub(super) kind: String,
    pub(super) text: String,
    pub(super) value: f64,
    pub(super) threshold: f64,
    pub(super) fired: i64,
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) held_from: i64,
    pub(super) segments: Vec<Part>,
    pub(super) left_out: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Part {
    pub(super) id: String,
    pub(super) segment: u64,
    pub(super) first: i64,
    pub(super) last: i64,
}

/// A trigger that fired, with what came of it.
#[derive(Debug, Serialize)]
pub(super) struct Fired {
    pub(super) time: i64,
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) text: String,
    pub(super) value: f64,
    pub(super) threshold: f64,
    pub(super) count: u64,
    pub(super) outcome: String,
}

fn flight(entry: FlightEntry, map: &ClockMap) -> Flight {
    let utc = |at: u64| map.utc(Boottime(at)).0;
    let dump = entry.dump.map(|d| Dump {
        fired: utc(d.fired),
        from: utc(d.from),
        to: utc(d.to),
        held_from: utc(d.held_from),
        segments: d
            .segments
            .into_iter()
            .map(|s| Part { id: s.id, segment: s.segment, first: utc(s.first), last: utc(s.last) })
            .collect(),
        trigger: d.trigger,
        kind: d.kind,
        text: d.text,
        value: d.value,
        threshold: d.threshold,
        left_out: d.left_out,
    });
    Flight { segment: entry.segment, dump }
}

/// Bytes that cannot be read.
#[derive(Debug, Serialize)]
pub(super) struct Gap {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) what: String,
}

/// The recorder's own rows that tell about the recording.
#[derive(Default)]
struct Own {
    anchors: Vec<AnchorPoint>,
    ntp: Option<i32>,
    marks: Vec<(u64, u32, String)>,
    triggers: Vec<(u64, Fired)>,
    states: BTreeMap<String, (String, String)>,
    losses: BTreeMap<(String, String, String), (u64, u64)>,
    /// By BOOTTIME.
    reductions: Vec<(u64, Reduction)>,
    problems: Vec<Gap>,
}

/// Gathers the facts. Decodes only the chunks with the recorder's own rows.
pub(super) fn gather(bundle: &Bundle) -> Facts {
    let mut own = read_own(bundle);
    let manifest = bundle.manifest().cloned();
    let sealed = manifest.is_some();
    let m = manifest.or_else(|| bundle.preface().cloned()).unwrap_or_default();
    let map = ClockMap::new(std::mem::take(&mut own.anchors));
    let losses = if sealed { m.losses.clone() } else { own.loss_totals() };
    let streams = streams(bundle, &map, &m.streams, &losses);
    let mut problems: Vec<Gap> = bundle.problems().iter().map(|p| gap(p.range.start, p.range.end, &p.what)).collect();
    problems.append(&mut own.problems);
    Facts {
        schema: SchemaName { name: "coldcase.info", version: 1 },
        file: bundle.path().display().to_string(),
        format: coldcase_bundle::PROFILE.to_owned(),
        id: bundle.id().to_owned(),
        complete: bundle.complete(),
        bytes: bundle.len(),
        chunks: bundle.chunks().len(),
        time: span(&streams),
        stored_as_sent: stored_as_sent(&streams),
        streams,
        sources: if sealed { m.sources } else { own.sources() },
        losses,
        reductions: own.reductions.into_iter().map(|(t, r)| Reduction { time: map.utc(Boottime(t)).0, ..r }).collect(),
        clock: Clock {
            state: if sealed { m.clock } else { ntp_words(own.ntp).to_owned() },
            uncertainty: map.uncertainty().map(|n| n.0),
            anchors: map.anchors().len(),
            steps: map.steps().into_iter().map(|(at, by)| Step { time: map.utc(at).0, by }).collect(),
        },
        marks: own.marks.into_iter().map(|(t, uid, text)| Note { time: map.utc(Boottime(t)).0, uid, text }).collect(),
        triggers: own.triggers.into_iter().map(|(t, f)| Fired { time: map.utc(Boottime(t)).0, ..f }).collect(),
        flight: m.flight.map(|f| flight(f, &map)),
        tool: m.tool,
        host: m.host,
        command: m.command,
        user: m.user,
        policies: m.policies,
        ended: m.ended,
        child: m.child,
        parent: m.parent,
        root: m.root,
        problems,
    }
}

fn gap(start: u64, end: u64, what: &str) -> Gap {
    Gap { start, end, what: what.to_owned() }
}

fn read_own(bundle: &Bundle) -> Own {
    let mut own = Own::default();
    let wanted = [
        Anchor::DEF.stream,
        Mark::DEF.stream,
        SourceState::DEF.stream,
        Loss::DEF.stream,
        LadderStep::DEF.stream,
        Trigger::DEF.stream,
    ];
    for chunk in bundle.chunks().iter().filter(|c| c.class == Class::Recorder) {
        match bundle.read_chunk(chunk.index, &|s| wanted.contains(&s)) {
            Ok(batches) => {
                for batch in batches {
                    if let BatchBody::Columns(columns) = &batch.body {
                        own.take(&batch.stream, columns);
                    }
                }
            }
            Err(e) => own.problems.push(gap(chunk.offset, chunk.offset + chunk.bytes, &e.reason)),
        }
    }
    own
}

impl Own {
    /// Takes the rows of a batch. A batch without the columns that this build knows tells it nothing.
    fn take(&mut self, stream: &str, columns: &Columns) {
        if stream == Anchor::DEF.stream
            && let Ok(c) = Anchor::cols(columns)
        {
            for i in 0..columns.len() {
                let (boot, real) = (Boottime(c.time[i]), Utc(c.realtime[i]));
                self.anchors.push(AnchorPoint { boot, real, width: Nanos(c.width[i]) });
                self.ntp = Some(c.ntp_state[i]);
            }
        } else if stream == Mark::DEF.stream
            && let Ok(c) = Mark::cols(columns)
        {
            self.marks.extend((0..columns.len()).map(|i| (c.time[i], c.uid[i], c.text.text(i).into_owned())));
        } else if stream == Trigger::DEF.stream
            && let Ok(c) = Trigger::cols(columns)
        {
            let fired = |i: usize| Fired {
                time: 0,
                name: c.name.text(i).into_owned(),
                kind: c.kind.text(i).into_owned(),
                text: c.text.text(i).into_owned(),
                value: c.value[i],
                threshold: c.threshold[i],
                count: c.count[i],
                outcome: c.outcome.text(i).into_owned(),
            };
            self.triggers.extend((0..columns.len()).map(|i| (c.time[i], fired(i))));
        } else if stream == SourceState::DEF.stream
            && let Ok(c) = SourceState::cols(columns)
        {
            for i in 0..columns.len() {
                let state = (c.status.text(i).into_owned(), c.reason.text(i).into_owned());
                self.states.insert(c.source.text(i).into_owned(), state);
            }
        } else if stream == LadderStep::DEF.stream
            && let Ok(c) = LadderStep::cols(columns)
        {
            self.reductions.extend((0..columns.len()).map(|i| (c.time[i], Reduction::of(&c, i, 0))));
        } else if stream == Loss::DEF.stream
            && let Ok(c) = Loss::cols(columns)
        {
            for i in 0..columns.len() {
                let text = |t: &coldcase_model::column::TextColumn| t.text(i).into_owned();
                let sum = self.losses.entry((text(c.source), text(c.class), text(c.reason))).or_default();
                *sum = (sum.0.saturating_add(c.count[i]), sum.1.saturating_add(c.bytes[i]));
            }
        }
    }

    /// The sources of a bundle that was never sealed.
    fn sources(&self) -> Vec<SourceEntry> {
        let entries = self.states.iter().filter(|(name, _)| *name != "recorder");
        entries
            .map(|(name, (status, reason))| SourceEntry {
                name: name.clone(),
                status: match status.as_str() {
                    "skipped" => SourceStatus::Skipped,
                    "failed" => SourceStatus::Failed,
                    _ => SourceStatus::Recorded,
                },
                reason: reason.clone(),
                hint: String::new(),
            })
            .collect()
    }

    fn loss_totals(&self) -> Vec<LossTotal> {
        let totals = self.losses.iter();
        totals
            .map(|((source, class, reason), &(count, bytes))| LossTotal {
                source: source.clone(),
                class: class.clone(),
                reason: reason.clone(),
                count,
                bytes,
            })
            .collect()
    }
}

fn ntp_words(state: Option<i32>) -> &'static str {
    match state {
        Some(0..=4) => "synchronised",
        Some(5) => "not synchronised",
        _ => "unknown",
    }
}

fn streams(bundle: &Bundle, map: &ClockMap, told: &[StreamEntry], losses: &[LossTotal]) -> Vec<Stream> {
    let utc = |at: Boottime| map.utc(at).0;
    bundle
        .streams()
        .into_iter()
        .map(|s| {
            let class = by_stream(&s.name).map(|d| d.class).or_else(|| raw_stream(&s.name).map(|r| r.class));
            let any = s.events > 0 && s.first <= s.last;
            Stream {
                lost: class.map_or(0, |class| lost(losses, class)),
                kind: s.kind,
                events: s.events,
                items: told.iter().find(|t| t.name == *s.name).and_then(|t| t.items),
                bytes: s.bytes,
                first: any.then(|| utc(s.first)),
                last: any.then(|| utc(s.last)),
                name: s.name.to_string(),
            }
        })
        .collect()
}

/// Events of a class that are not in the bundle. A stack that could not be walked or a text that was cut leaves its
/// event there.
fn lost(losses: &[LossTotal], class: Class) -> u64 {
    let partial = [Reason::StackFault.name(), Reason::Truncated.name()];
    losses.iter().filter(|l| l.class == class.name() && !partial.contains(&l.reason.as_str())).map(|l| l.count).sum()
}

/// From the first to the last row of what was recorded. Snapshots and symbols describe what was there before.
fn span(streams: &[Stream]) -> Option<Span> {
    let first = streams.iter().filter_map(|s| s.first).min()?;
    let last = streams.iter().filter_map(|s| s.last).max()?;
    Some(Span {
        first,
        last,
        duration: u64::try_from(last.saturating_sub(first)).unwrap_or(0),
        first_text: rfc3339(Utc(first), 3),
        last_text: rfc3339(Utc(last), 3),
    })
}

/// What is in the bundle as its sender wrote it, secrets included if there were any.
fn stored_as_sent(streams: &[Stream]) -> Vec<&'static str> {
    let has = |prefix: &str| streams.iter().any(|s| s.events > 0 && s.name.starts_with(prefix));
    let kinds = [
        ("log.lines", "log lines"),
        ("otlp.", "OTLP"),
        ("metrics.pages", "scraped metrics pages"),
        ("prometheus.", "Prometheus Remote-Write"),
    ];
    kinds.into_iter().filter(|(prefix, _)| has(prefix)).map(|(_, name)| name).collect()
}
