//! How a flame graph of a window differs from that of the rest of the recording: stacks and functions by their weight
//! per second of wall time, since the two are of different length.

use std::collections::{BTreeMap, HashSet};

use coldcase_model::analysis::{Flame, FlameDiff, FunctionChange, StackChange};

use super::{Amount, Folded, Window};

/// Functions that are told.
const MOST: usize = 200;

/// A function of an owner: as it is with all that it calls, and by itself.
#[derive(Debug, Clone, Copy, Default)]
struct Function {
    total: Amount,
    own: Amount,
}

/// The difference of a graph, by kind, unit and what its stacks begin with.
pub(super) fn diff((kind, unit, by): (&str, &str, &str), window: &Window, folded: &Folded) -> FlameDiff {
    let change = |a: Amount| FlameDiff::rate(a.window, window.length()) - FlameDiff::rate(a.base, window.base);
    let stacks = folded
        .iter()
        .filter(|(_, a)| a.total() > 0)
        .map(|(stack, &a)| StackChange { stack: stack.clone(), base: a.base, window: a.window, change: change(a) })
        .collect();
    let functions = functions(folded, Flame::owners(by))
        .into_iter()
        .map(|((owner, function), f)| FunctionChange {
            function: function.to_owned(),
            owner: owner.to_owned(),
            base: FlameDiff::rate(f.total.base, window.base),
            window: FlameDiff::rate(f.total.window, window.length()),
            change: change(f.total),
            own_change: change(f.own),
        })
        .collect();
    FlameDiff {
        kind: kind.to_owned(),
        unit: unit.to_owned(),
        by: by.to_owned(),
        window: window.length(),
        base: window.base,
        stacks,
        functions: largest(functions),
    }
}

/// Those that changed most. Of equal ones those first where it happened, then in the order of names.
fn largest(mut functions: Vec<FunctionChange>) -> Vec<FunctionChange> {
    functions.retain(|f| f.change != 0.0);
    functions.sort_by(|x, y| {
        let size = y.change.abs().total_cmp(&x.change.abs());
        let own = y.own_change.abs().total_cmp(&x.own_change.abs());
        size.then(own).then_with(|| (&x.owner, &x.function).cmp(&(&y.owner, &y.function)))
    });
    functions.truncate(MOST);
    functions
}

/// The functions of each owner. One that does nothing but call another, and is the only one to call it, is left out: the
/// other says more, with the very same weights.
fn functions(folded: &Folded, owners: usize) -> BTreeMap<(&str, &str), Function> {
    let mut all = BTreeMap::<(&str, &str), Function>::new();
    let mut calls = HashSet::new();
    for (stack, &amount) in folded {
        let (owner, frames) = owner_and_frames(stack, owners);
        let frames: Vec<&str> = frames.split(';').filter(|f| !f.is_empty() && *f != "--").collect();
        let mut seen = HashSet::new();
        // A function that calls itself counts once.
        for frame in frames.iter().filter(|f| seen.insert(**f)) {
            all.entry((owner, frame)).or_default().total += amount;
        }
        calls.extend(frames.windows(2).filter(|pair| pair[0] != pair[1]).map(|pair| (owner, pair[0], pair[1])));
        if let Some(leaf) = frames.last() {
            all.entry((owner, leaf)).or_default().own += amount;
        }
    }
    let passes_on = |&&(owner, caller, callee): &&(&str, &str, &str)| {
        let function = |name| all.get(&(owner, name)).copied().unwrap_or_default();
        let (caller_is, callee_is) = (function(caller), function(callee));
        caller_is.total == callee_is.total && caller_is.own.total() == 0 && !calls.contains(&(owner, callee, caller))
    };
    let left_out: HashSet<(&str, &str)> =
        calls.iter().filter(passes_on).map(|&(owner, caller, _)| (owner, caller)).collect();
    all.retain(|function, _| !left_out.contains(function));
    all
}

/// The first frames, and the others.
fn owner_and_frames(stack: &str, owners: usize) -> (&str, &str) {
    match stack.match_indices(';').nth(owners.saturating_sub(1)) {
        Some((at, _)) => (&stack[..at], &stack[at + 1..]),
        None => (stack, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_told_by_how_much_their_rate_changed() {
        let folded: Folded = [
            ("p;main;read", Amount { window: 100, base: 900 }),
            ("p;main;work;commit", Amount { window: 300, base: 0 }),
            ("p;main;work;work;log", Amount { window: 0, base: 90 }),
        ]
        .into_iter()
        .map(|(s, a)| (s.to_owned(), a))
        .collect();
        let window = Window { from: 0, to: 1_000_000_000, base: 9_000_000_000 };
        let d = diff(("off-cpu", "ns", "process"), &window, &folded);
        let told: Vec<_> = d.functions.iter().map(|f| (f.function.as_str(), f.change, f.own_change)).collect();
        // `read` waits as much per second as before, and is not told.
        assert_eq!(told, [("commit", 300.0, 300.0), ("main", 290.0, 0.0), ("work", 290.0, 0.0), ("log", -10.0, -10.0)]);
        assert_eq!(d.stacks.iter().map(|s| (s.base, s.window)).collect::<Vec<_>>(), [(900, 100), (0, 300), (90, 0)]);
    }

    #[test]
    fn what_only_passes_on_is_told_by_what_it_calls() {
        let folded: Folded = [("p;start;main;run".to_owned(), Amount { window: 5, base: 1 })].into();
        let names: Vec<_> = functions(&folded, 1).into_keys().collect();
        assert_eq!(names, [("p", "run")]);
        let same = Amount { window: 5, base: 1 };
        let folded: Folded = ["p;main;f", "p;main;g"].into_iter().map(|s| (s.to_owned(), same)).collect();
        let names: Vec<_> = functions(&folded, 1).into_keys().collect();
        assert_eq!(names, [("p", "f"), ("p", "g"), ("p", "main")], "equal weights alone mean nothing");
        assert_eq!(owner_and_frames("c;p;f;g", 2), ("c;p", "f;g"));
        assert_eq!(owner_and_frames("p", 1), ("p", ""));
    }
}
