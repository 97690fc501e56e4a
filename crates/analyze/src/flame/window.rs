//! A window, and how much of a stretch of time is in it and outside of it.

use std::ops::{Add, AddAssign};

/// A weight in a window, and in the rest of the recording (nothing, when no window is set apart).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Amount {
    pub(crate) window: u64,
    pub(crate) base: u64,
}

impl Amount {
    /// Both.
    pub(crate) fn total(self) -> u64 {
        self.window.saturating_add(self.base)
    }
}

impl Add for Amount {
    type Output = Amount;

    fn add(self, more: Amount) -> Amount {
        // A bundle may claim any duration.
        Amount { window: self.window.saturating_add(more.window), base: self.base.saturating_add(more.base) }
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, more: Amount) {
        *self = *self + more;
    }
}

/// A window of a recording, BOOTTIME nanoseconds: it begins with `from` and ends before `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// Length of the recording outside of it.
    pub(crate) base: u64,
}

impl Window {
    /// Its length.
    pub(crate) fn length(&self) -> u64 {
        self.to.saturating_sub(self.from)
    }

    /// Whether a moment is in it.
    pub(crate) fn has(&self, at: u64) -> bool {
        (self.from..self.to).contains(&at)
    }

    /// How much of a stretch is in it, and how much is not: to the nanosecond.
    pub(crate) fn amount(&self, start: u64, length: u64) -> Amount {
        let end = start.saturating_add(length);
        let window = end.min(self.to).saturating_sub(start.max(self.from)).min(length);
        Amount { window, base: length - window }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_is_divided_by_the_ends_of_the_window_to_the_nanosecond() {
        let window = Window { from: 100, to: 200, base: 900 };
        let amount = |start, length| {
            let a = window.amount(start, length);
            assert_eq!(a.total(), length);
            (a.window, a.base)
        };
        assert_eq!(amount(50, 20), (0, 20));
        assert_eq!(amount(90, 20), (10, 10));
        assert_eq!(amount(120, 20), (20, 0));
        assert_eq!(amount(190, 20), (10, 10));
        assert_eq!(amount(0, 1_000), (100, 900));
        assert_eq!(amount(150, u64::MAX), (50, u64::MAX - 50));
        assert!(window.has(100) && !window.has(200));
    }
}
