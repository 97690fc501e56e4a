//! The segments of one side that were not acknowledged yet.

use std::collections::VecDeque;

use super::seq::{after, not_after};

/// Most segments remembered, as in tshark: without acknowledgments in sight, what comes then is not kept.
const MOST: usize = 10_000;

/// A segment that was sent and not acknowledged.
#[derive(Debug, Clone, Copy)]
struct Sent {
    seq: u32,
    /// The number after its last byte; SYN and FIN count as one.
    end: u32,
    frame: u64,
    time: i64,
}

/// What an acknowledgment met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Acked {
    /// Frame of the segment that ends exactly there.
    pub(super) frame: u64,
    /// When that was sent.
    pub(super) time: i64,
}

/// Segments in the order in which they were captured.
///
/// As long as each begins where the one before ends or later, acknowledgments take from the front; once that fails
/// the whole list is walked, until it is empty.
#[derive(Debug, Clone, Default)]
pub(super) struct Unacked {
    list: VecDeque<Sent>,
    unordered: bool,
    /// The acknowledgment for which the list was walked last, if nothing was added since.
    walked: Option<u32>,
}

impl Unacked {
    /// Whether there is room for one more.
    pub(super) fn has_room(&self) -> bool {
        self.list.len() < MOST
    }

    /// Whether nothing waits for an acknowledgment.
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Adds a segment.
    pub(super) fn push(&mut self, seq: u32, end: u32, frame: u64, time: i64) {
        if self.list.is_empty() {
            self.unordered = false;
        }
        self.unordered |= match (self.list.front(), self.list.back()) {
            (Some(first), Some(last)) => {
                // Beyond half the number space from the first, order means nothing.
                after(last.end, seq) || after(seq, end) || end.wrapping_sub(first.seq) > i32::MAX as u32
            }
            _ => after(seq, end),
        };
        self.walked = None;
        self.list.push_back(Sent { seq, end, frame, time });
    }

    /// Takes out what `ack` acknowledges. Of the segments that end exactly there, the one captured first is told.
    pub(super) fn acknowledge(&mut self, ack: u32) -> Option<Acked> {
        if self.unordered { self.walk(ack) } else { self.take_front(ack) }
    }

    fn take_front(&mut self, ack: u32) -> Option<Acked> {
        let mut met = None;
        while let (Some(last), Some(first)) = (self.list.back().copied(), self.list.front_mut()) {
            if after(first.end, ack) {
                if !after(last.end, ack) {
                    // So far away that it lies behind some and before others.
                    return met.or(self.walk(ack));
                }
                if after(ack, first.seq) {
                    first.seq = ack;
                }
                break;
            }
            if first.end == ack && met.is_none() {
                met = Some(Acked { frame: first.frame, time: first.time });
            }
            self.list.pop_front();
        }
        met
    }

    fn walk(&mut self, ack: u32) -> Option<Acked> {
        if self.walked == Some(ack) {
            return None;
        }
        let mut met = None;
        self.list.retain_mut(|sent| {
            if sent.end == ack {
                met = met.or(Some(Acked { frame: sent.frame, time: sent.time }));
                return false;
            }
            if after(ack, sent.seq) && not_after(ack, sent.end) {
                sent.seq = ack;
            }
            after(sent.end, ack)
        });
        self.walked = Some(ack);
        met
    }

    /// Bytes from the first to the last that was not acknowledged, counted from `base`; `None` when there are none.
    pub(super) fn span(&self, base: u32) -> Option<u32> {
        let (first, last) = (self.list.front()?, self.list.back()?);
        let (low, high) = (first.seq.wrapping_sub(base), last.end.wrapping_sub(base));
        if !self.unordered && low <= high {
            return Some(high - low);
        }
        let low = self.list.iter().map(|s| s.seq.wrapping_sub(base)).min()?;
        let high = self.list.iter().map(|s| s.end.wrapping_sub(base)).max()?;
        Some(high.wrapping_sub(low))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The rules written down as they are in the reference, one list walked for each acknowledgment.
    #[derive(Default)]
    struct Plain(Vec<Sent>);

    impl Plain {
        fn acknowledge(&mut self, ack: u32) -> Option<Acked> {
            let mut met = None;
            let mut kept = Vec::new();
            // Newest first: the one told last is the oldest.
            for mut s in self.0.drain(..).rev() {
                if ack == s.end {
                    met = Some(Acked { frame: s.frame, time: s.time });
                    continue;
                }
                if after(ack, s.seq) && not_after(ack, s.end) {
                    s.seq = ack;
                }
                if after(s.end, ack) {
                    kept.push(s);
                }
            }
            kept.reverse();
            self.0 = kept;
            met
        }

        fn span(&self, base: u32) -> Option<u32> {
            let low = self.0.iter().map(|s| s.seq.wrapping_sub(base)).min()?;
            Some(self.0.iter().map(|s| s.end.wrapping_sub(base)).max()?.wrapping_sub(low))
        }
    }

    proptest! {
        #[test]
        fn taking_from_the_front_gives_what_walking_gives(
            start: u32,
            steps in prop::collection::vec((any::<bool>(), 0u32..4_000, 0u32..900, 0u8..9), 1..80),
            far: u32,
        ) {
            let (mut quick, mut plain) = (Unacked::default(), Plain::default());
            let mut next = start;
            for (frame, (send, at, len, odd)) in steps.into_iter().enumerate() {
                if send {
                    let seq = if odd > 6 { start.wrapping_add(at) } else { next };
                    let end = seq.wrapping_add(len);
                    quick.push(seq, end, frame as u64, 7);
                    plain.0.push(Sent { seq, end, frame: frame as u64, time: 7 });
                    next = end;
                } else {
                    let ack = match odd {
                        0 => start.wrapping_add(far).wrapping_add(at),
                        1..5 => start.wrapping_add(at),
                        _ => next,
                    };
                    prop_assert_eq!(quick.acknowledge(ack), plain.acknowledge(ack));
                }
                prop_assert_eq!(quick.span(start), plain.span(start));
                prop_assert_eq!(quick.list.len(), plain.0.len());
            }
        }
    }
}
