//! Where a series changes its level: the division into few runs that explains it best.
//!
//! The cost of a run is the scatter of its values' ranks, so that one wild value weighs no more than any other and no
//! distribution is assumed; the price is that a change may be told some readings early or late, where those are the
//! highest or lowest of their level. The number of runs is weighed by a penalty on each change (as BIC has it, but stricter, since
//! many series are looked at). Least squares over all divisions by dynamic programming: no start value, no chance.
//! (Auger and Lawrence 1989, "Segment Neighbourhood"; ranks as in Pettitt 1979.)

/// Most changes of one series.
const CHANGES: usize = 3;
/// Fewest points of a run.
const RUN: usize = 3;
/// Fewest points of a series.
const ENOUGH: usize = 8;
/// What a change must explain, in logarithms of the number of points.
const PENALTY: f64 = 3.5;
/// Points that are looked at; of more, each stands for several.
const MOST: usize = 150;

/// The indices at which a new level begins, ascending.
pub(super) fn changes(values: &[f64]) -> Vec<usize> {
    let step = values.len().div_ceil(MOST).max(1);
    let thinned: Vec<f64> = values.chunks(step).map(median).collect();
    let n = thinned.len();
    if n < ENOUGH {
        return Vec::new();
    }
    let ranks = ranks(&thinned);
    // Sums of ranks and of their squares up to each point.
    let mut sums = vec![(0.0, 0.0)];
    for r in ranks {
        let (s, q) = sums[sums.len() - 1];
        sums.push((s + r, q + r * r));
    }
    let cost = |from: usize, to: usize| {
        let (s, q) = (sums[to].0 - sums[from].0, sums[to].1 - sums[from].1);
        (q - s * s / (to - from) as f64).max(0.0)
    };
    // best[k][i]: the least cost of the first i points with k changes, and where the last run begins.
    let mut best: Vec<Vec<(f64, usize)>> =
        vec![(0..=n).map(|i| if i < RUN { (f64::INFINITY, 0) } else { (cost(0, i), 0) }).collect()];
    for k in 1..=CHANGES {
        let row = (0..=n)
            .map(|i| {
                let starts = RUN * k..(i + 1).saturating_sub(RUN);
                starts
                    .map(|j| (best[k - 1][j].0 + cost(j, i), j))
                    .fold((f64::INFINITY, 0), |a, b| if b.0 < a.0 { b } else { a })
            })
            .collect();
        best.push(row);
    }
    // The scatter of values that are evenly spread within one rank: a perfect step is not infinitely good.
    let floor = n as f64 / 12.0;
    let score = |k: usize| n as f64 * ((best[k][n].0 + floor) / n as f64).ln() + PENALTY * k as f64 * (n as f64).ln();
    let possible = (1..=CHANGES).filter(|&k| best[k][n].0.is_finite());
    let chosen = possible.fold(0, |chosen, k| if score(k) < score(chosen) { k } else { chosen });
    let mut out = Vec::new();
    let mut end = n;
    for k in (1..=chosen).rev() {
        end = best[k][end].1;
        out.push(end * step);
    }
    out.reverse();
    out
}

/// The rank of each value; those that are equal share theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut out = vec![0.0; values.len()];
    for run in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let below = values.iter().filter(|&&v| v < values[run[0]]).count();
        let rank = below as f64 + (run.len() as f64 + 1.0) / 2.0;
        run.iter().for_each(|&i| out[i] = rank);
    }
    out
}

/// The value in the middle; of an even number, the lower one of two.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noise that looks like chance and is the same each time.
    fn noise(i: usize) -> f64 {
        ((i as u64 * 2_654_435_761) >> 7) as f64 % 1000.0 / 1000.0
    }

    #[test]
    fn a_step_is_found_where_it_is_and_one_wild_value_is_none() {
        let step: Vec<f64> = (0..40).map(|i| noise(i) + if i < 25 { 1.0 } else { 5.0 }).collect();
        assert_eq!(changes(&step), [25]);
        let mut wild: Vec<f64> = (0..40).map(noise).collect();
        wild[20] = 1e9;
        assert_eq!(changes(&wild), Vec::<usize>::new());
        let perfect: Vec<f64> = (0..12).map(|i| if i < 6 { 0.0 } else { 1.0 }).collect();
        assert_eq!(changes(&perfect), [6]);
    }

    #[test]
    fn a_burst_is_two_changes() {
        let burst: Vec<f64> = (0..60).map(|i| noise(i) + if (30..42).contains(&i) { 9.0 } else { 0.0 }).collect();
        assert_eq!(changes(&burst), [30, 42]);
    }

    #[test]
    fn noise_hardly_ever_changes_its_level() {
        let found = (0..300).filter(|s| !changes(&(0..40).map(|i| noise(i + s * 101)).collect::<Vec<_>>()).is_empty());
        assert!(found.count() <= 6);
        assert_eq!(changes(&[1.0; 50]), Vec::<usize>::new());
        assert_eq!(changes(&[1.0, 2.0, 3.0]), Vec::<usize>::new());
        assert_eq!(changes(&[]), Vec::<usize>::new());
    }

    #[test]
    fn long_series_are_looked_at_in_parts() {
        let long: Vec<f64> = (0..600).map(|i| noise(i) + if i < 300 { 0.0 } else { 3.0 }).collect();
        assert_eq!(changes(&long), [300]);
    }
}
