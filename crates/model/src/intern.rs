//! Values that repeat, kept once: which of a column's entries a value is.

use std::hash::{BuildHasher, Hash};

use hashbrown::{DefaultHashBuilder, HashTable};

/// Finds a value among the entries of a column. Holds numbers of entries only; the entries stay the column's.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    numbers: HashTable<u32>,
    /// Seeded at random: what is captured cannot be chosen so that it collides.
    hasher: DefaultHashBuilder,
    /// The value of the row before is often that of the next.
    last: u32,
}

impl Index {
    /// The number of the entry that equals `value`, which becomes the last one if there is none yet.
    pub(crate) fn intern<T: Hash + Eq + Clone>(&mut self, entries: &mut Vec<Box<[T]>>, value: &[T]) -> u32 {
        // Empty ones (most rows have no stack) are compared by length alone: the C library's comparison reads where an empty box points,
        // to an address that is not mapped, and the processor takes hundreds of cycles to find that none of it was wanted.
        let is_value = |e: &[T]| e.len() == value.len() && (value.is_empty() || *e == *value);
        let at = |entries: &[Box<[T]>], number: u32| entries.get(number as usize).is_some_and(|e| is_value(e));
        if at(entries, self.last) {
            return self.last;
        }
        let Index { numbers, hasher, last } = self;
        if numbers.len() < entries.len() {
            // The column came with entries; of equal ones the first is taken.
            numbers.clear();
            for (number, entry) in entries.iter().enumerate() {
                numbers.insert_unique(hasher.hash_one(&**entry), number as u32, |&n| hash_of(hasher, entries, n));
            }
        }
        let hash = hasher.hash_one(value);
        *last = match numbers.find(hash, |&n| at(entries, n)) {
            Some(&number) => number,
            None => {
                let number = entries.len() as u32;
                entries.push(value.into());
                numbers.insert_unique(hash, number, |&n| hash_of(hasher, entries, n));
                number
            }
        };
        *last
    }
}

fn hash_of<T: Hash>(hasher: &DefaultHashBuilder, entries: &[Box<[T]>], number: u32) -> u64 {
    entries.get(number as usize).map_or(0, |e| hasher.hash_one(&**e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_have_one_number_and_entries_that_were_there_are_found() {
        let mut entries: Vec<Box<[u8]>> = vec![b"there"[..].into(), b"before"[..].into()];
        let mut index = Index::default();
        let words: Vec<String> = (0..1000).map(|i| format!("w{}", i % 300)).collect();
        let numbers: Vec<u32> = words.iter().map(|w| index.intern(&mut entries, w.as_bytes())).collect();
        assert_eq!(index.intern(&mut entries, b"before"), 1);
        assert_eq!(index.intern(&mut entries, b"there"), 0);
        assert_eq!(index.intern(&mut entries, b""), 302);
        assert_eq!((entries.len(), numbers[0], numbers[300], numbers[999]), (303, 2, 2, 2 + 99));
        assert!(words.iter().zip(&numbers).all(|(w, &n)| *entries[n as usize] == *w.as_bytes()));
    }
}
