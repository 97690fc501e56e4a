//! Statistics over runs: the run is the sample, not the request. Requests of one run share its luck (neighbours, caches, layout), so that
//! pooling them finds differences between any two sides.

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

/// The difference of two means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Difference {
    /// Mean of the head minus that of the base.
    pub(super) estimate: f64,
    /// Standard error.
    error: f64,
    /// Degrees of freedom.
    df: f64,
    /// Standard deviation of a single run, both sides together.
    pub(super) spread: f64,
}

/// Welch's difference: the sides may spread differently (B. L. Welch, *The generalization of "Student's" problem*, Biometrika 34, 1947).
/// `None` with fewer than two runs on a side.
pub(super) fn welch(base: &[f64], head: &[f64]) -> Option<Difference> {
    if base.len() < 2 || head.len() < 2 {
        return None;
    }
    let (m0, v0) = moments(base);
    let (m1, v1) = moments(head);
    let (n0, n1) = (base.len() as f64, head.len() as f64);
    let (e0, e1) = (v0 / n0, v1 / n1);
    let error = (e0 + e1).sqrt();
    let df = if error > 0.0 {
        (e0 + e1).powi(2) / (e0.powi(2) / (n0 - 1.0) + e1.powi(2) / (n1 - 1.0))
    } else {
        n0 + n1 - 2.0
    };
    let spread = (((n0 - 1.0) * v0 + (n1 - 1.0) * v1) / (n0 + n1 - 2.0)).sqrt();
    Some(Difference { estimate: m1 - m0, error, df, spread })
}

/// The mean difference of pairs ("Student", *The probable error of a mean*, Biometrika 6, 1908). `None` with fewer than two.
pub(super) fn of_pairs(pairs: &[(f64, f64)]) -> Option<Difference> {
    if pairs.len() < 2 {
        return None;
    }
    let differences: Vec<f64> = pairs.iter().map(|(base, head)| head - base).collect();
    let (mean, variance) = moments(&differences);
    let n = pairs.len() as f64;
    // As much noise in a run as would give that of the differences, had pairs nothing in common.
    Some(Difference { estimate: mean, error: (variance / n).sqrt(), df: n - 1.0, spread: (variance / 2.0).sqrt() })
}

/// The difference of two means whose noise is that of earlier runs: for sides that have too few to tell their own. `None` with fewer than
/// three earlier runs.
pub(super) fn against_history(base: &[f64], head: &[f64], history: &[f64]) -> Option<Difference> {
    if base.is_empty() || head.is_empty() || history.len() < 3 {
        return None;
    }
    let (_, variance) = moments(history);
    let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len() as f64;
    let runs = 1.0 / base.len() as f64 + 1.0 / head.len() as f64;
    Some(Difference {
        estimate: mean(head) - mean(base),
        error: (variance * runs).sqrt(),
        df: (history.len() - 1) as f64,
        spread: variance.sqrt(),
    })
}

/// The difference of two means at the same value of what else is known of each run (analysis of covariance with one slope for both sides:
/// R. A. Fisher, *Statistical Methods for Research Workers*, 1932, §49.1). `base` and `head` are pairs of that and of what was measured. The farther
/// the sides are apart in what is known, the wider is the interval. `None` with fewer than four runs, or where what is known never differs.
pub(super) fn at_the_same(base: &[(f64, f64)], head: &[(f64, f64)]) -> Option<Difference> {
    let (n0, n1) = (base.len() as f64, head.len() as f64);
    let df = n0 + n1 - 3.0;
    if base.is_empty() || head.is_empty() || df < 1.0 {
        return None;
    }
    let mean = |of: &[(f64, f64)]| {
        let n = of.len() as f64;
        (of.iter().map(|v| v.0).sum::<f64>() / n, of.iter().map(|v| v.1).sum::<f64>() / n)
    };
    let (b, h) = (mean(base), mean(head));
    let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
    for (side, centre) in [(base, b), (head, h)] {
        for (x, y) in side {
            let (dx, dy) = (x - centre.0, y - centre.1);
            (xx, xy, yy) = (xx + dx * dx, xy + dx * dy, yy + dy * dy);
        }
    }
    if xx <= 0.0 {
        return None;
    }
    let slope = xy / xx;
    let variance = (yy - slope * xy).max(0.0) / df;
    let apart = h.0 - b.0;
    let error = (variance * (1.0 / n0 + 1.0 / n1 + apart * apart / xx)).sqrt();
    Some(Difference { estimate: h.1 - b.1 - slope * apart, error, df, spread: variance.sqrt() })
}

impl Difference {
    /// The interval that holds the true difference in 95 of 100 comparisons.
    pub(super) fn interval(&self) -> (f64, f64) {
        let t = student(self.df).map_or(f64::INFINITY, |t| t.inverse_cdf(0.975));
        let half = if self.error == 0.0 { 0.0 } else { t * self.error };
        (self.estimate - half, self.estimate + half)
    }

    /// How likely a difference of this size or more is where the true one is `at` (one-sided).
    pub(super) fn p_above(&self, at: f64) -> f64 {
        if self.error == 0.0 {
            return if self.estimate > at { 0.0 } else { 1.0 };
        }
        student(self.df).map_or(1.0, |t| t.sf((self.estimate - at) / self.error))
    }

    /// The same below.
    pub(super) fn p_below(&self, at: f64) -> f64 {
        Difference { estimate: -self.estimate, ..*self }.p_above(-at)
    }

    /// The same on either side of `limit` (two-sided).
    pub(super) fn p_beyond(&self, limit: f64) -> f64 {
        (2.0 * self.p_above(limit).min(self.p_below(-limit))).min(1.0)
    }

    /// Whether the difference is shown to be less than `limit` either way: two one-sided tests (D. J. Schuirmann, *A comparison of the two
    /// one-sided tests procedure and the power approach*, 1987).
    pub(super) fn is_within(&self, limit: f64, alpha: f64) -> bool {
        self.p_above(-limit) < alpha && self.p_below(limit) < alpha
    }

    /// Runs on each side that show a true difference of `effect` above `at` in four of five comparisons, of which one in
    /// `1 / alpha` would be a false alarm. By the normal approximation, and two at least.
    pub(super) fn runs_needed(&self, effect: f64, alpha: f64) -> u32 {
        if self.spread == 0.0 || effect <= 0.0 {
            return 2;
        }
        let z = |p: f64| Normal::standard().inverse_cdf(p);
        let n = 2.0 * ((z(1.0 - alpha) + z(0.8)) * self.spread / effect).powi(2);
        // A t test of few runs needs about one more than the normal one.
        (n.ceil() + 1.0).clamp(2.0, 10_000.0) as u32
    }
}

fn student(df: f64) -> Option<StudentsT> {
    StudentsT::new(0.0, 1.0, df).ok()
}

/// Mean and variance of a sample.
fn moments(of: &[f64]) -> (f64, f64) {
    let n = of.len() as f64;
    let mean = of.iter().sum::<f64>() / n;
    let squares: f64 = of.iter().map(|x| (x - mean).powi(2)).sum();
    (mean, squares / (n - 1.0))
}

/// Holm's correction: the family's chance of any false alarm stays at the level (S. Holm, *A simple sequentially rejective multiple test
/// procedure*, 1979).
pub(super) fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]).then(a.cmp(&b)));
    let (mut out, mut least) = (vec![1.0; p.len()], 0.0f64);
    for (rank, &i) in order.iter().enumerate() {
        least = least.max((p[i] * (p.len() - rank) as f64).min(1.0));
        out[i] = least;
    }
    out
}

/// Benjamini and Hochberg's: of what is called a change, that share is none (*Controlling the false discovery rate*, 1995).
pub(super) fn benjamini_hochberg(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[b].total_cmp(&p[a]).then(b.cmp(&a)));
    let (mut out, mut most) = (vec![1.0; p.len()], 1.0f64);
    for (at, &i) in order.iter().enumerate() {
        let rank = p.len() - at;
        most = most.min(p[i] * p.len() as f64 / rank as f64);
        out[i] = most;
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// SciPy: `ttest_ind([11, 12, 14, 15], [10, 11, 12], equal_var=False)`, its interval, and `alternative="greater"`.
    #[test]
    fn the_difference_is_that_of_other_programs() {
        let d = welch(&[10.0, 11.0, 12.0], &[11.0, 12.0, 14.0, 15.0]).unwrap();
        assert!((d.estimate - 2.0).abs() < 1e-12);
        assert!((d.df - 4.741_935_483_9).abs() < 1e-9, "{}", d.df);
        let (low, high) = d.interval();
        assert!((low + 0.822_615_990).abs() < 1e-6 && (high - 4.822_615_990).abs() < 1e-6, "{low} {high}");
        assert!((d.p_above(0.0) - 0.063_226_530).abs() < 1e-6, "{}", d.p_above(0.0));
    }

    #[test]
    fn runs_that_are_all_alike_have_no_width_and_no_nan() {
        let d = welch(&[1.0, 1.0], &[2.0, 2.0]).unwrap();
        assert_eq!((d.interval(), d.p_above(0.5), d.p_above(1.0)), ((1.0, 1.0), 0.0, 1.0));
        assert_eq!(welch(&[1.0], &[2.0, 3.0]), None);
    }

    /// By hand: differences 1, 2, 3 have mean 2 and sd 1, the error is 1/√3, and t(2) at 97.5% is 4.302653.
    #[test]
    fn what_pairs_have_in_common_is_no_noise() {
        let d = of_pairs(&[(1.0, 2.0), (50.0, 52.0), (9.0, 12.0)]).unwrap();
        let (low, high) = d.interval();
        let half = 4.302_653 / 3f64.sqrt();
        assert!((low - (2.0 - half)).abs() < 1e-5 && (high - (2.0 + half)).abs() < 1e-5, "{low} {high}");
        assert_eq!(of_pairs(&[(1.0, 2.0)]), None);
    }

    /// Least squares of y on (1, side, x) by the normal equations: the side has 1.985695, a standard error of 0.068574 and 5 degrees of freedom.
    #[test]
    fn what_follows_from_what_is_known_of_a_run_is_no_noise() {
        let base = [(1.0, 10.1), (2.0, 11.9), (3.0, 14.0), (4.0, 16.1)];
        let head = [(1.5, 13.0), (2.5, 15.1), (3.5, 17.0), (5.0, 19.9)];
        let d = at_the_same(&base, &head).unwrap();
        let plain = welch(&base.map(|v| v.1), &head.map(|v| v.1)).unwrap();
        assert!((d.estimate - 1.985_695).abs() < 1e-6 && (d.error - 0.068_574).abs() < 1e-6, "{d:?}");
        assert_eq!(d.df, 5.0);
        assert!(plain.error > 10.0 * d.error, "{plain:?}");
        assert_eq!(at_the_same(&[(1.0, 2.0), (1.0, 3.0)], &[(1.0, 2.0), (1.0, 5.0)]), None, "nothing is known");
        assert_eq!(at_the_same(&[(1.0, 2.0)], &[(2.0, 3.0), (3.0, 1.0)]), None, "too few");
    }

    /// SciPy: `ttest_ind_from_stats` of equal variances has the same form; by hand: sd of (9, 10, 11) is 1, the error of one run against one
    /// is √2, and t(2) at 97.5% is 4.302653.
    #[test]
    fn single_runs_are_held_against_the_noise_of_earlier_ones() {
        let d = against_history(&[10.0], &[13.0], &[9.0, 10.0, 11.0]).unwrap();
        let (low, high) = d.interval();
        assert!(
            (low - (3.0 - 4.302_653 * 2f64.sqrt())).abs() < 1e-5
                && (high - (3.0 + 4.302_653 * 2f64.sqrt())).abs() < 1e-5,
            "{low} {high}"
        );
        assert_eq!(against_history(&[1.0], &[1.0], &[1.0, 1.0]), None);
    }

    #[test]
    fn equal_is_only_what_is_shown_to_be_equal() {
        let d = welch(&[10.0, 10.1, 9.9], &[10.0, 10.05, 9.95]).unwrap();
        assert!(d.is_within(1.0, 0.05) && !d.is_within(0.01, 0.05));
        let wide = welch(&[1.0, 19.0, 10.0], &[2.0, 18.0, 10.0]).unwrap();
        assert!(!wide.is_within(1.0, 0.05), "no difference shown is not equal");
        assert!((d.p_below(0.3) + d.p_above(0.3) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn corrections_are_those_of_the_papers() {
        // R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm") and "BH".
        let p = [0.01, 0.04, 0.03, 0.005];
        let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(x, y)| (x - y).abs() < 1e-12);
        assert!(near(&holm(&p), &[0.03, 0.06, 0.06, 0.02]));
        assert!(near(&benjamini_hochberg(&p), &[0.02, 0.04, 0.04, 0.02]));
    }

    /// Coverage of the interval, simulated: of 4,000 pairs of five runs with a true difference of 1, it holds it in 95 of 100.
    #[test]
    fn the_interval_holds_the_truth_as_often_as_it_says() {
        let mut state = 7u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        let mut normal = || (-2.0 * (1.0 - uniform()).ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos();
        let held = (0..4_000)
            .filter(|_| {
                let base: Vec<f64> = (0..5).map(|_| normal()).collect();
                let head: Vec<f64> = (0..5).map(|_| 1.0 + 1.5 * normal()).collect();
                let (low, high) = welch(&base, &head).unwrap().interval();
                (low..=high).contains(&1.0)
            })
            .count();
        assert!((3_740..=3_880).contains(&held), "{held} of 4000");
    }
}
