//! Counters to rates.

/// The rate per second between each two readings of a counter, at the time of the later one. A counter that fell was
/// started anew from zero. Readings out of order or of one moment are passed over.
pub(crate) fn rates(readings: &[(i64, f64)]) -> Vec<(i64, f64)> {
    increases(readings).into_iter().map(|(time, span, grown)| (time, grown * 1e9 / span as f64)).collect()
}

/// By how much a counter grew between each two readings: time of the later one, nanoseconds between, growth.
pub(crate) fn increases(readings: &[(i64, f64)]) -> Vec<(i64, i64, f64)> {
    let mut out = Vec::with_capacity(readings.len());
    let mut last: Option<(i64, f64)> = None;
    for &(time, value) in readings {
        if !value.is_finite() {
            continue;
        }
        match last {
            Some((before, _)) if time <= before => continue,
            // A page may tell any time, the ends of what there is among them.
            Some((before, old)) => {
                out.push((time, time.saturating_sub(before), if value < old { value } else { value - old }));
            }
            None => {}
        }
        last = Some((time, value));
    }
    out
}

/// When a counter began anew: at each reading that is less than the one before.
pub(crate) fn resets(readings: &[(i64, f64)]) -> Vec<i64> {
    let finite: Vec<(i64, f64)> = readings.iter().copied().filter(|r| r.1.is_finite()).collect();
    finite.windows(2).filter(|w| w[1].0 > w[0].0 && w[1].1 < w[0].1).map(|w| w[1].0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    #[test]
    fn a_counter_becomes_its_rate_per_second() {
        assert_eq!(rates(&[(0, 10.0), (2 * S, 14.0), (3 * S, 14.0)]), [(2 * S, 2.0), (3 * S, 0.0)]);
        assert_eq!(rates(&[(0, 10.0)]), []);
    }

    #[test]
    fn a_counter_that_was_started_anew_never_gives_a_negative_rate() {
        let readings = [(0, 1_000.0), (S, 5.0), (2 * S, 7.0)];
        assert_eq!(rates(&readings), [(S, 5.0), (2 * S, 2.0)]);
        assert_eq!(resets(&readings), [S]);
        assert_eq!(resets(&[(0, 1.0), (S, f64::NAN), (2 * S, 1.0), (3 * S, 2.0)]), Vec::<i64>::new());
    }

    #[test]
    fn readings_of_one_moment_or_without_a_number_are_passed_over() {
        assert_eq!(rates(&[(0, 1.0), (0, 9.0), (S, f64::NAN), (2 * S, 3.0)]), [(2 * S, 1.0)]);
    }
}
