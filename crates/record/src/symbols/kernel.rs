//! Names of kernel addresses, from `/proc/kallsyms`.

use std::collections::BTreeSet;
use std::io::BufRead;

use super::Named;

/// Whether the kernel tells us where its functions are.
pub(crate) fn are_told() -> bool {
    let Ok(file) = std::fs::File::open("/proc/kallsyms") else { return false };
    // Without the right every address reads as zero: the first function's says it.
    let mut lines = std::io::BufReader::new(file).lines().map_while(Result::ok);
    lines.find_map(|l| parse(&l).map(|f| f.0)).is_some_and(|address| address != 0)
}

/// The functions that hold these addresses (sorted). Empty when the kernel does not tell addresses.
pub(crate) fn names(addresses: &[u64]) -> BTreeSet<Named> {
    if addresses.is_empty() {
        return BTreeSet::new();
    }
    let text = std::fs::read_to_string("/proc/kallsyms").unwrap_or_default();
    let found = within(&text, addresses);
    if found.is_empty() {
        tracing::warn!(
            "kernel frames have no names: /proc/kallsyms does not tell addresses (CAP_SYSLOG, kptr_restrict)"
        );
    }
    found
}

fn within(text: &str, addresses: &[u64]) -> BTreeSet<Named> {
    let mut functions: Vec<(u64, &str)> = text.lines().filter_map(parse).filter(|f| f.0 != 0).collect();
    functions.sort_by_key(|f| f.0);
    // Aliases: the first that is listed names the address.
    functions.dedup_by_key(|f| f.0);
    let mut found = BTreeSet::new();
    for &address in addresses {
        let after = functions.partition_point(|f| f.0 <= address);
        let Some(&(start, name)) = after.checked_sub(1).and_then(|i| functions.get(i)) else { continue };
        let size = functions.get(after).map_or(0, |next| next.0 - start);
        found.insert(Named { start, size, name: name.to_owned() });
    }
    found
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
        let found = within(text, &[0x50, 0x100, 0x1ff, 0x210]);
        let expected = [
            Named { start: 0x100, size: 0x100, name: "first".into() },
            Named { start: 0x200, size: 0, name: "second".into() },
        ];
        assert_eq!(found, BTreeSet::from(expected));
        assert!(within("0000000000000000 T hidden\n", &[5]).is_empty(), "addresses are withheld");
    }
}
