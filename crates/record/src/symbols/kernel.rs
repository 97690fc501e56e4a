//! Names of kernel addresses, from `/proc/kallsyms`.

use std::collections::BTreeSet;
use std::io::BufRead;

use super::Named;
use super::pick::Pick;

/// Whether the kernel tells us where its functions are.
pub(crate) fn are_told() -> bool {
    let Ok(file) = std::fs::File::open("/proc/kallsyms") else { return false };
    // Without the right every address reads as zero: the first function's says it.
    let mut lines = std::io::BufReader::new(file).lines().map_while(Result::ok);
    lines.find_map(|l| parse(&l).map(|f| f.0)).is_some_and(|address| address != 0)
}

/// The functions that hold these addresses, and how many they hold. Empty when the kernel does not tell addresses.
pub(crate) fn names(addresses: &BTreeSet<u64>) -> (BTreeSet<Named>, usize) {
    if addresses.is_empty() {
        return Default::default();
    }
    within(&std::fs::read_to_string("/proc/kallsyms").unwrap_or_default(), addresses)
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
