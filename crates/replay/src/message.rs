//! Messages of raw streams in the order in which they were received, with bounded memory: chunks are decompressed when their turn comes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use coldcase_bundle::{Batch, BatchBody};
use coldcase_model::{Utc, catalogue};
use coldcase_timeline::{StreamSet, Timeline};

/// A message of a raw stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// When it was received; of an imported one, the latest time in it.
    pub utc: Utc,
    /// Its stream.
    pub stream: Arc<str>,
    /// Its number in that.
    pub row: u64,
    /// The bytes as they came.
    pub bytes: Vec<u8>,
    /// Which of the things in it are wanted, in their order; `None` for all.
    pub wanted: Option<Vec<bool>>,
}

impl Message {
    /// As it stands in the bundle.
    pub(crate) fn batch(&self) -> Batch {
        Batch {
            stream: self.stream.clone(),
            first_row: self.row,
            log_time: self.utc,
            publish_time: self.utc,
            body: BatchBody::Raw(self.bytes.clone()),
        }
    }

    /// Whether the thing at this place in it is wanted.
    pub fn wants(&self, index: usize) -> bool {
        self.wanted.as_ref().is_none_or(|w| w.get(index).copied().unwrap_or(true))
    }
}

/// By time, stream and number: the last is unique in its stream.
type Key = (Utc, Arc<str>, u64);

/// An iterator over the messages of streams.
pub(crate) struct Messages<'a> {
    timeline: &'a Timeline,
    streams: StreamSet,
    window: (Option<Utc>, Option<Utc>),
    /// Chunks that were not read, and a time before which none of their messages was received; the next is last.
    pending: Vec<(Utc, usize)>,
    heads: BinaryHeap<Reverse<(Key, usize)>>,
    /// The messages of the chunks that were read, each chunk's last first.
    runs: Vec<Vec<Message>>,
    problems: Vec<String>,
}

impl<'a> Messages<'a> {
    /// The messages that were received within a window.
    pub(crate) fn new(timeline: &'a Timeline, streams: &StreamSet, window: (Option<Utc>, Option<Utc>)) -> Messages<'a> {
        let wanted = |s: &str| streams.has(s) && catalogue::raw_stream(s).is_some();
        let start = |c: &coldcase_bundle::ChunkInfo| {
            c.streams.iter().filter(|s| wanted(&s.stream)).map(|s| timeline.utc(s.start)).min()
        };
        let chunks = timeline.bundle().chunks().iter();
        let mut pending: Vec<(Utc, usize)> = chunks.filter_map(|c| Some((start(c)?, c.index))).collect();
        pending.sort_by_key(|&p| Reverse(p));
        Messages {
            timeline,
            streams: streams.clone(),
            window,
            pending,
            heads: BinaryHeap::new(),
            runs: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// What could not be read, in one line each.
    pub(crate) fn into_problems(self) -> Vec<String> {
        self.problems
    }

    fn load(&mut self, chunk: usize) {
        let wanted = |s: &str| self.streams.has(s) && catalogue::raw_stream(s).is_some();
        let batches = match self.timeline.bundle().read_chunk(chunk, &wanted) {
            Ok(batches) => batches,
            Err(e) => return self.problems.push(e.to_string()),
        };
        let (from, to) = self.window;
        let mut run: Vec<Message> = batches
            .into_iter()
            .filter(|b| from.is_none_or(|f| b.log_time >= f) && to.is_none_or(|t| b.log_time < t))
            .filter_map(|b| match b.body {
                BatchBody::Raw(bytes) => {
                    Some(Message { utc: b.log_time, stream: b.stream, row: b.first_row, bytes, wanted: None })
                }
                BatchBody::Columns(_) => None,
            })
            .collect();
        run.sort_by_key(|m| Reverse((m.utc, m.stream.clone(), m.row)));
        if let Some(key) = run.last().map(key) {
            let free = self.runs.iter().position(Vec::is_empty);
            let slot = free.unwrap_or(self.runs.len());
            match free {
                Some(slot) => self.runs[slot] = run,
                None => self.runs.push(run),
            }
            self.heads.push(Reverse((key, slot)));
        }
    }
}

fn key(m: &Message) -> Key {
    (m.utc, m.stream.clone(), m.row)
}

impl Iterator for Messages<'_> {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        while let Some(&(start, chunk)) = self.pending.last() {
            if self.heads.peek().is_some_and(|Reverse((key, _))| key.0 < start) {
                break;
            }
            self.pending.pop();
            self.load(chunk);
        }
        let Reverse((_, slot)) = self.heads.pop()?;
        let message = self.runs[slot].pop();
        if let Some(next) = self.runs[slot].last() {
            self.heads.push(Reverse((key(next), slot)));
        }
        message
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use coldcase_testkit::bundle::Builder;

    #[test]
    fn messages_of_all_streams_come_in_the_order_of_their_receipt() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("b.case");
        let mut builder = Builder::new(&path).unwrap();
        for n in 0..40u64 {
            let stream = ["otlp.traces", "metrics.pages", "otlp.logs"][n as usize % 3];
            builder = builder.raw(stream, &n.to_le_bytes(), 1_000_000_000 + n * 1_000_000).unwrap();
            if n % 7 == 0 {
                builder = builder.cut().unwrap();
            }
        }
        builder.seal().unwrap();
        let t = Timeline::open(&path, &coldcase_timeline::Options { streams: StreamSet::None, ..Default::default() })
            .unwrap();
        let number = |m: Message| u64::from_le_bytes(m.bytes.try_into().unwrap());
        let all: Vec<u64> = Messages::new(&t, &StreamSet::All, (None, None)).map(number).collect();
        assert_eq!(all, (0..40).collect::<Vec<_>>());
        let first = Messages::new(&t, &StreamSet::All, (None, None)).next().unwrap().utc;
        let window = (Some(Utc(first.0 + 5_000_000)), Some(Utc(first.0 + 20_000_000)));
        let some: Vec<u64> = Messages::new(&t, &StreamSet::named(["otlp"]), window).map(number).collect();
        assert_eq!(some, (5..20).filter(|n| n % 3 != 1).collect::<Vec<_>>());
    }
}
