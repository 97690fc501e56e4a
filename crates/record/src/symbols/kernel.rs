//! Names of kernel addresses, from `/proc/kallsyms`.

use std::collections::BTreeSet;
use std::io::BufRead;
use std::time::{Duration, Instant};

use super::Named;
use super::pick::Pick;

/// Whether the kernel tells us where its functions are.
pub(crate) fn are_told() -> bool {
    let Ok(file) = std::fs::File::open("/proc/kallsyms") else { return false };
    // Without the right every address reads as zero: the first function's says it.
    let mut lines = std::io::BufReader::new(file).lines().map_while(Result::ok);
    lines.find_map(|l| parse(&l).map(|f| f.0)).is_some_and(|address| address != 0)
}

/// The list is read again, for what is not in the kernel itself, after this many times what reading it took: at most a hundredth of a CPU.
const PACE: u32 = 100;
/// And no sooner than after this time.
const SOONEST: Duration = Duration::from_secs(5);

/// The kernel's own functions, kept after the first look: its list takes a tenth of a second of CPU to read, and they stay where they
/// are. Those of modules and of BPF programs come and go, and are read again, at a slow pace.
#[derive(Debug, Default)]
pub(crate) struct Kallsyms {
    own: Option<Own>,
    /// Not to be read again before.
    due: Option<Instant>,
}

/// What was found of some addresses.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) named: BTreeSet<Named>,
    /// How many of the addresses they hold.
    pub(crate) held: usize,
    /// Some were not looked for: it is too soon to read the list again.
    pub(crate) put_off: bool,
}

/// In order of address, each start once.
#[derive(Debug, Default)]
struct Own {
    starts: Vec<u64>,
    /// Where the name of each begins in `names`; one more for the end of the last.
    at: Vec<usize>,
    names: String,
}

impl Kallsyms {
    /// The functions that hold these addresses; none when the kernel does not tell addresses. `last`: there is no later.
    pub(crate) fn names(&mut self, addresses: &BTreeSet<u64>, last: bool) -> Found {
        if addresses.is_empty() {
            return Found::default();
        }
        let read = || std::fs::read_to_string("/proc/kallsyms").unwrap_or_default();
        let (before, began) = (self.due, Instant::now());
        let may_read = last || before.is_none_or(|due| began >= due);
        let mut has_read = false;
        let found = self.names_from(addresses, may_read, || {
            has_read = true;
            read()
        });
        if has_read {
            self.due = Some(Instant::now() + (began.elapsed() * PACE).max(SOONEST));
        }
        found
    }

    fn names_from(&mut self, addresses: &BTreeSet<u64>, may_read: bool, mut read: impl FnMut() -> String) -> Found {
        let mut text = None;
        let own = self.own.get_or_insert_with(|| Own::parse(text.insert(read())));
        let found: Vec<(u64, Option<Named>)> = addresses.iter().map(|&a| (a, own.find(a))).collect();
        let others: BTreeSet<u64> = found.iter().filter(|(_, named)| named.is_none()).map(|&(a, _)| a).collect();
        let mut named: BTreeSet<Named> = found.into_iter().filter_map(|(_, named)| named).collect();
        let mut held = addresses.len() - others.len();
        let put_off = !others.is_empty() && text.is_none() && !may_read;
        if !others.is_empty() && !put_off {
            let (more, among) = within(&text.unwrap_or_else(read), &others);
            named.extend(more);
            held += among;
        }
        Found { named, held, put_off }
    }
}

impl Own {
    fn parse(text: &str) -> Own {
        let is_own = |line: &&str| !line.ends_with(']');
        let mut functions: Vec<_> = text.lines().filter(is_own).filter_map(parse).filter(|f| f.0 != 0).collect();
        functions.sort_by_key(|f| f.0);
        functions.dedup_by_key(|f| f.0);
        let mut own = Own::default();
        for (start, name) in functions {
            own.starts.push(start);
            own.at.push(own.names.len());
            own.names.push_str(name);
        }
        own.at.push(own.names.len());
        own.names.shrink_to_fit();
        own
    }

    /// The function that holds an address and ends where the next of the kernel's own begins.
    fn find(&self, address: u64) -> Option<Named> {
        let i = self.starts.partition_point(|&s| s <= address).checked_sub(1)?;
        let (start, next) = (self.starts[i], *self.starts.get(i + 1)?);
        let name = self.names.get(self.at[i]..self.at[i + 1])?;
        Some(Named { start, size: next - start, name: name.to_owned() })
    }
}

fn within(text: &str, addresses: &BTreeSet<u64>) -> (BTreeSet<Named>, usize) {
    let mut pick = Pick::new(addresses.iter().copied().collect());
    for (start, name) in text.lines().filter_map(parse).filter(|f| f.0 != 0) {
        pick.offer(start, 0, name);
    }
    let (picked, open) = pick.finish();
    let named = picked.into_iter().map(|p| Named { start: p.start, size: p.size, name: p.name.to_owned() });
    (named.collect(), addresses.len() - open.len())
}

/// Address and name of a function: `ffffffff81000000 T _text [module]`.
fn parse(line: &str) -> Option<(u64, &str)> {
    let mut parts = line.split_ascii_whitespace();
    let address = u64::from_str_radix(parts.next()?, 16).ok()?;
    let kind = parts.next()?;
    let name = parts.next()?;
    matches!(kind, "t" | "T" | "w" | "W").then_some((address, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_own_functions_are_read_once_and_those_of_modules_each_time() {
        let own =
            "0000000000000100 T first\n0000000000000200 t second\n0000000000000200 T alias\n0000000000000300 T last\n";
        let mut kallsyms = Kallsyms::default();
        let name = |found: Found| (found.named.into_iter().map(|n| n.name).collect::<Vec<_>>(), found.held);
        let text = format!("{own}0000000000000800 t before\t[module]\n");
        let found = kallsyms.names_from(&BTreeSet::from([0x110, 0x210, 0x810]), true, || text.clone());
        assert_eq!(name(found), (vec!["first".into(), "second".into(), "before".into()], 3));
        let found = kallsyms.names_from(&BTreeSet::from([0x1f0, 0x2ff]), true, String::new);
        assert_eq!(name(found), (vec!["first".into(), "second".into()], 2));
        let text = format!("{own}0000000000000800 t after\t[module]\n");
        let found = kallsyms.names_from(&BTreeSet::from([0x110, 0x810]), false, || text.clone());
        assert!(found.put_off && found.held == 1, "{found:?}");
        let found = kallsyms.names_from(&BTreeSet::from([0x50, 0x310, 0x810]), true, || text.clone());
        assert_eq!(name(found), (vec!["last".into(), "after".into()], 2));
    }

    #[test]
    fn an_address_belongs_to_the_function_before_it() {
        let text = "0000000000000100 T first\n0000000000000180 d some_data\n0000000000000200 t second\t[module]\n";
        let (found, held) = within(text, &BTreeSet::from([0x50, 0x100, 0x1ff, 0x210]));
        let expected = [
            Named { start: 0x100, size: 0x100, name: "first".into() },
            Named { start: 0x200, size: 0, name: "second".into() },
        ];
        assert_eq!(found, BTreeSet::from(expected));
        assert_eq!(held, 3);
        assert!(within("0000000000000000 T hidden\n", &BTreeSet::from([5])).0.is_empty(), "addresses are withheld");
    }
}
