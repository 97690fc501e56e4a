//! Which symbols hold the wanted addresses: found in one pass over symbols in any order, without keeping them.

/// A symbol that was picked. `N` finds its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Picked<N> {
    /// First address.
    pub(super) start: u64,
    /// Length; 0 when nothing follows that would end it.
    pub(super) size: u64,
    /// Its name.
    pub(super) name: N,
}

/// The wanted addresses, with the best symbol for each so far.
#[derive(Debug)]
pub(super) struct Pick<N> {
    wanted: Vec<u64>,
    /// The innermost symbol with a size that holds each.
    sized: Vec<Option<Picked<N>>>,
    /// The last start between the wanted address before and each, and whether that symbol has a size.
    below: Vec<Option<(u64, bool, N)>>,
    /// The first start behind the wanted address before each; one more for what is behind the last.
    first: Vec<Option<u64>>,
}

impl<N: Copy> Pick<N> {
    /// `wanted` in order, each once.
    pub(super) fn new(wanted: Vec<u64>) -> Pick<N> {
        let n = wanted.len();
        Pick { wanted, sized: vec![None; n], below: vec![None; n], first: vec![None; n + 1] }
    }

    /// Takes a symbol. `size` is 0 when it has none (assembly, the kernel's list): it ends where the next begins.
    pub(super) fn offer(&mut self, start: u64, size: u64, name: N) {
        let at = self.wanted.partition_point(|&w| w < start);
        if self.first[at].is_none_or(|f| start < f) {
            self.first[at] = Some(start);
        }
        if let Some(below) = self.below.get_mut(at)
            && below.is_none_or(|b| b.0 < start)
        {
            *below = Some((start, size > 0, name));
        }
        if size == 0 {
            return;
        }
        let end = start.saturating_add(size);
        for i in at..self.wanted.len() {
            if self.wanted[i] >= end {
                break;
            }
            if self.sized[i].is_none_or(|s| s.start < start) {
                self.sized[i] = Some(Picked { start, size, name });
            }
        }
    }

    /// The symbols, each once, and the wanted addresses that none holds.
    pub(super) fn finish(self) -> (Vec<Picked<N>>, Vec<u64>) {
        let (mut picked, mut open): (Vec<Picked<N>>, Vec<u64>) = Default::default();
        let mut below = None;
        for i in 0..self.wanted.len() {
            below = self.below[i].or(below);
            let found = self.sized[i].or_else(|| {
                let (start, has_size, name) = below?;
                // One with a size that does not reach this far: the address is in nothing that has a name.
                if has_size {
                    return None;
                }
                // A start at the address itself stands in its interval: what is behind it, in the next ones.
                let next = self.first[i + 1..].iter().flatten().next();
                Some(Picked { start, size: next.map_or(0, |n| n - start), name })
            });
            let Some(found) = found else {
                open.push(self.wanted[i]);
                continue;
            };
            if picked.last().is_none_or(|p| p.start != found.start) {
                picked.push(found);
            }
        }
        (picked, open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pick(wanted: &[u64], symbols: &[(u64, u64, &'static str)]) -> Vec<(u64, u64, &'static str)> {
        let mut pick = Pick::new(wanted.to_vec());
        symbols.iter().for_each(|&(start, size, name)| pick.offer(start, size, name));
        pick.finish().0.into_iter().map(|p| (p.start, p.size, p.name)).collect()
    }

    #[test]
    fn an_address_belongs_to_the_innermost_symbol_that_holds_it() {
        let symbols = [(0x200, 0x80, "b"), (0x100, 0x100, "a"), (0x110, 0x10, "inner"), (0x400, 0x10, "far")];
        assert_eq!(pick(&[0x115, 0x120, 0x1ff], &symbols), [(0x110, 0x10, "inner"), (0x100, 0x100, "a")]);
        assert_eq!(pick(&[0x50, 0x290, 0x500], &symbols), [], "in none");
    }

    #[test]
    fn what_has_no_size_ends_where_the_next_begins() {
        let symbols = [(0x300, 0, "c"), (0x100, 0, "a"), (0x200, 0, "b")];
        assert_eq!(pick(&[0x100, 0x1ff, 0x350], &symbols), [(0x100, 0x100, "a"), (0x300, 0, "c")]);
        assert_eq!(pick(&[0x210, 0x220], &symbols), [(0x200, 0x100, "b")]);
        assert_eq!(pick(&[0x150], &[(0x100, 0x10, "sized"), (0x90, 0, "before")]), []);
    }

    #[test]
    fn it_says_which_addresses_it_cannot_name() {
        let mut pick = Pick::new(vec![1, 2, 50]);
        pick.offer(0, 10, ());
        assert_eq!(pick.finish().1, [50]);
    }
}
