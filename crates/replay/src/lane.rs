//! A lane: what is read ahead on a thread of its own, so that decompressing and decoding a chunk makes nothing late.

use std::collections::VecDeque;

use crossbeam_channel::{Receiver, Sender};

/// Items that go through the channel at once, at most, and their size together, about.
const BATCH: (usize, usize) = (256, 1 << 20);
/// Batches that may wait.
const AHEAD: usize = 4;

/// The reading end.
pub(crate) struct Lane<T> {
    batches: Receiver<Vec<T>>,
    ready: VecDeque<T>,
}

/// The filling end.
pub(crate) struct Filler<T> {
    batches: Sender<Vec<T>>,
}

/// Both ends of a lane.
pub(crate) fn lane<T>() -> (Filler<T>, Lane<T>) {
    let (send, receive) = crossbeam_channel::bounded(AHEAD);
    (Filler { batches: send }, Lane { batches: receive, ready: VecDeque::new() })
}

impl<T> Filler<T> {
    /// Puts everything in, waiting for room; ends early when the reading end is gone. `size` is about the bytes of an item.
    pub(crate) fn fill(self, items: impl Iterator<Item = T>, size: impl Fn(&T) -> usize) {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for item in items {
            bytes += size(&item);
            batch.push(item);
            // A reader that has nothing left need not wait for what comes after.
            if self.batches.is_empty() || batch.len() >= BATCH.0 || bytes >= BATCH.1 {
                bytes = 0;
                if self.batches.send(std::mem::take(&mut batch)).is_err() {
                    return;
                }
            }
        }
        // Nobody reads it any more: nothing is lost.
        let _ = self.batches.send(batch);
    }
}

impl<T> Lane<T> {
    /// The next item, without taking it; waits until it is read. `None` at the end.
    pub(crate) fn peek(&mut self) -> Option<&T> {
        while self.ready.is_empty() {
            self.ready = self.batches.recv().ok()?.into();
        }
        self.ready.front()
    }

    /// The next item.
    pub(crate) fn next(&mut self) -> Option<T> {
        self.peek()?;
        self.ready.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_comes_out_in_order_and_a_reader_that_leaves_ends_it() {
        let (filler, mut lane) = lane();
        let filling = std::thread::spawn(move || filler.fill(0..5_000, |_| 1 << 12));
        assert_eq!(lane.peek(), Some(&0));
        assert_eq!(std::iter::from_fn(|| lane.next()).collect::<Vec<_>>(), (0..5_000).collect::<Vec<_>>());
        assert!(filling.join().is_ok());
        let (filler, mut lane) = super::lane();
        let filling = std::thread::spawn(move || filler.fill(0.., |_| 8));
        assert_eq!(lane.next(), Some(0));
        drop(lane);
        assert!(filling.join().is_ok());
    }
}
