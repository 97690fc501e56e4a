//! The mapping from a host's BOOTTIME to UTC, through anchors.

use crate::time::{AnchorPoint, Boottime, Nanos, Utc};

/// Anchors of one host in order of BOOTTIME, and the UTC that follows from them.
///
/// Between two anchors UTC is interpolated, unless their offsets differ by more than [`ClockMap::STEP`]: then the
/// clock was stepped in between, and the offset of the earlier anchor holds until the later one. Outside the anchors
/// the nearest offset holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClockMap {
    anchors: Vec<AnchorPoint>,
}

impl ClockMap {
    /// A change of REALTIME against BOOTTIME between two anchors beyond this is a step, not drift: NTP slews at most
    /// 500 µs/s, and anchors are seconds apart.
    pub const STEP: Nanos = Nanos(20_000_000);

    /// A map of anchors in any order.
    pub fn new(mut anchors: Vec<AnchorPoint>) -> Self {
        anchors.sort_by_key(|a| (a.boot, a.real));
        anchors.dedup_by_key(|a| a.boot);
        ClockMap { anchors }
    }

    /// Whether there is no anchor: UTC is then unknown.
    pub fn is_empty(&self) -> bool {
        self.anchors.is_empty()
    }

    /// The anchors, in order.
    pub fn anchors(&self) -> &[AnchorPoint] {
        &self.anchors
    }

    fn offset(a: &AnchorPoint) -> i128 {
        i128::from(a.real.0) - i128::from(a.boot.0)
    }

    /// UTC of a BOOTTIME. Without anchors, BOOTTIME itself (the timeline then starts at boot).
    pub fn utc(&self, boot: Boottime) -> Utc {
        let after = self.anchors.partition_point(|a| a.boot <= boot);
        let offset = match (after.checked_sub(1).map(|i| &self.anchors[i]), self.anchors.get(after)) {
            (None, None) => 0,
            (None, Some(a)) | (Some(a), None) => Self::offset(a),
            (Some(a), Some(b)) => {
                let change = Self::offset(b) - Self::offset(a);
                if change.unsigned_abs() > u128::from(Self::STEP.0) {
                    Self::offset(a)
                } else {
                    let span = i128::from(b.boot.0 - a.boot.0).max(1);
                    Self::offset(a) + change * i128::from(boot.0 - a.boot.0) / span
                }
            }
        };
        let utc = i128::from(boot.0) + offset;
        Utc(utc.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64)
    }

    /// Steps of the clock: the BOOTTIME of the anchor after each, and by how much REALTIME jumped, in nanoseconds.
    pub fn steps(&self) -> Vec<(Boottime, i64)> {
        self.anchors
            .windows(2)
            .filter_map(|w| {
                let change = Self::offset(&w[1]) - Self::offset(&w[0]);
                (change.unsigned_abs() > u128::from(Self::STEP.0)).then_some((w[1].boot, change as i64))
            })
            .collect()
    }

    /// The largest uncertainty of a derived UTC: the widest bracket plus the largest drift between two anchors.
    pub fn uncertainty(&self) -> Option<Nanos> {
        let width = self.anchors.iter().map(|a| a.width.0).max()?;
        let drift = self
            .anchors
            .windows(2)
            .map(|w| (Self::offset(&w[1]) - Self::offset(&w[0])).unsigned_abs())
            .filter(|&d| d <= u128::from(Self::STEP.0))
            .max()
            .unwrap_or(0) as u64;
        Some(Nanos(width + drift))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anchor(boot: u64, real: i64) -> AnchorPoint {
        AnchorPoint { boot: Boottime(boot), real: Utc(real), width: Nanos(100) }
    }

    #[test]
    fn drift_is_interpolated_and_a_step_is_not() {
        let map =
            ClockMap::new(vec![anchor(0, 1_000), anchor(1_000_000, 1_001_200), anchor(2_000_000, 3_600_000_000_000)]);
        assert_eq!(map.utc(Boottime(500_000)), Utc(501_100));
        assert_eq!(map.utc(Boottime(1_500_000)), Utc(1_501_200), "before the step the old offset holds");
        assert_eq!(map.utc(Boottime(2_000_000)), Utc(3_600_000_000_000));
        assert_eq!(map.steps().len(), 1);
        assert_eq!(map.uncertainty(), Some(Nanos(300)));
    }

    #[test]
    fn without_anchors_time_is_boottime() {
        assert_eq!(ClockMap::default().utc(Boottime(7)), Utc(7));
        assert_eq!(ClockMap::default().uncertainty(), None);
    }
}
