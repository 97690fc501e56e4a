//! Names of code made at run time, from the map that its runtime writes for perf: `/tmp/perf-PID.map`.

use std::collections::BTreeSet;
use std::io::Read;

use super::Named;
use crate::host::build_id::in_root;

/// Larger maps are cut.
const MOST: u64 = 64 << 20;

/// The names of these addresses of a process. Empty when its runtime writes no map.
pub(crate) fn names(pid: u32, addresses: &BTreeSet<u64>) -> BTreeSet<Named> {
    // Within its own pid namespace a process knows itself by another number.
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let inner = status.lines().find_map(|l| l.strip_prefix("NSpid:")?.split_whitespace().last());
    let inner = inner.map_or(pid.to_string(), str::to_owned);
    let path = in_root(pid, &format!("/tmp/perf-{inner}.map"));
    if !std::fs::metadata(&path).is_ok_and(|m| m.is_file()) {
        return BTreeSet::new();
    }
    let mut bytes = Vec::new();
    let Ok(file) = std::fs::File::open(&path) else { return BTreeSet::new() };
    if file.take(MOST).read_to_end(&mut bytes).is_err() {
        return BTreeSet::new();
    }
    within(&String::from_utf8_lossy(&bytes), addresses)
}

/// Lines are `START SIZE name`, in hex.
fn within(text: &str, addresses: &BTreeSet<u64>) -> BTreeSet<Named> {
    let hex = |s: &str| u64::from_str_radix(s, 16).ok();
    let mut found = BTreeSet::new();
    for line in text.lines() {
        let mut parts = line.splitn(3, ' ');
        let (Some(start), Some(size), Some(name)) =
            (parts.next().and_then(hex), parts.next().and_then(hex), parts.next())
        else {
            continue;
        };
        if addresses.range(start..start.saturating_add(size)).next().is_some() {
            found.insert(Named { start, size, name: name.to_owned() });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_seen_is_taken() {
        let found = within("1000 20 LazyCompile:a b\n2000 10 c\nbroken\n", &BTreeSet::from([0x1010]));
        assert_eq!(found, BTreeSet::from([Named { start: 0x1000, size: 0x20, name: "LazyCompile:a b".into() }]));
    }
}
