//! The sealed segments, and which of them must go: the oldest, when the window has passed it or space is short.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::segment::Segment;

/// Numbers of segments that a dump in the making still reads.
#[derive(Debug, Clone, Default)]
pub(super) struct Reserved(Arc<Mutex<BTreeSet<u64>>>);

impl Reserved {
    /// Reserves.
    pub(super) fn add(&self, numbers: impl IntoIterator<Item = u64>) {
        self.lock().extend(numbers);
    }

    /// Gives one back.
    pub(super) fn release(&self, number: u64) {
        self.lock().remove(&number);
    }

    fn has(&self, number: u64) -> bool {
        self.lock().contains(&number)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The shelf, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    pub(super) segments: Vec<Segment>,
    pub(super) reserved: Reserved,
}

impl Shelf {
    /// What they take on the disk.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|s| s.bytes).sum()
    }

    /// Takes out those that ended before `from` (BOOTTIME of `boot`). Those of another boot go when the others fill
    /// the window by themselves.
    pub(super) fn passed(&mut self, from: u64, boot: &str) -> Vec<Segment> {
        let filled = self.segments.iter().any(|s| s.boot == boot && s.first <= from);
        let passed = |s: &Segment| if s.boot == boot { s.last < from } else { filled };
        let mut gone = Vec::new();
        while let Some(oldest) = self.segments.first() {
            if !passed(oldest) || self.reserved.has(oldest.number) {
                break;
            }
            gone.push(self.segments.remove(0));
        }
        gone
    }

    /// Takes out the oldest that no dump reads.
    pub(super) fn oldest(&mut self) -> Option<Segment> {
        let at = self.segments.iter().position(|s| !self.reserved.has(s.number))?;
        Some(self.segments.remove(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(number: u64, boot: &str, first: u64) -> Segment {
        Segment {
            number,
            path: "x".into(),
            id: String::new(),
            boot: boot.into(),
            bytes: 10,
            first,
            last: first + 9,
            rows: 1,
        }
    }

    fn numbers(segments: &[Segment]) -> Vec<u64> {
        segments.iter().map(|s| s.number).collect()
    }

    #[test]
    fn what_the_window_has_passed_goes_but_not_while_a_dump_reads_it() {
        let segments = (0..5).map(|n| segment(n, "b", n * 10)).collect();
        let mut shelf = Shelf { segments, reserved: Reserved::default() };
        shelf.reserved.add([1]);
        assert_eq!(numbers(&shelf.passed(35, "b")), [0]);
        assert_eq!(shelf.oldest().map(|s| s.number), Some(2));
        shelf.reserved.release(1);
        assert_eq!(numbers(&shelf.passed(35, "b")), [1]);
        assert_eq!((numbers(&shelf.segments), shelf.bytes()), (vec![3, 4], 20));
    }

    #[test]
    fn those_of_another_boot_stay_until_the_window_is_full() {
        let mut shelf =
            Shelf { segments: vec![segment(0, "a", 500), segment(1, "b", 10)], reserved: Reserved::default() };
        assert!(shelf.passed(5, "b").is_empty());
        assert_eq!(numbers(&shelf.passed(12, "b")), [0]);
    }
}
