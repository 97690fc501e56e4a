//! New ids for traces and spans: the same old id always becomes the same new one, wherever it stands, without a list of them.

/// Makes new ids out of old ones.
#[derive(Debug, Clone, Copy)]
pub struct NewIds {
    key: [u8; 32],
}

impl NewIds {
    /// For one round of a replay of a bundle. Another seed or round gives other ids; the same give the same.
    pub fn new(bundle: &str, seed: u64, round: u32) -> NewIds {
        let mut hasher = blake3::Hasher::new_derive_key("coldcase replay 2026 new ids");
        hasher.update(&seed.to_le_bytes()).update(&round.to_le_bytes()).update(bundle.as_bytes());
        NewIds { key: *hasher.finalize().as_bytes() }
    }

    /// Replaces an id of a trace (16 bytes) or a span (8 bytes). What is empty, or all zeros, says "none" and stays; so does what has another
    /// length, which is no id.
    pub fn replace(&self, id: &mut [u8]) {
        if !matches!(id.len(), 8 | 16) || id.iter().all(|b| *b == 0) {
            return;
        }
        let hash = blake3::keyed_hash(&self.key, id);
        let made = &hash.as_bytes()[..id.len()];
        id.copy_from_slice(made);
        // W3C Trace Context: an id of all zeros is none.
        if made.iter().all(|b| *b == 0)
            && let Some(last) = id.last_mut()
        {
            *last = 1;
        }
    }

    /// The same of an id in hex, in lower case; `None` for what is no id.
    pub fn replace_hex(&self, hex: &str) -> Option<String> {
        let digits = hex.as_bytes();
        if !matches!(digits.len(), 16 | 32) {
            return None;
        }
        let nibble = |b: u8| char::from(b).to_digit(16).map(|d| d as u8);
        let mut id = Vec::with_capacity(digits.len() / 2);
        for pair in digits.chunks_exact(2) {
            id.push(nibble(pair[0])? << 4 | nibble(pair[1])?);
        }
        self.replace(&mut id);
        Some(id.iter().map(|b| format!("{b:02x}")).collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn new(ids: &NewIds, old: &[u8]) -> Vec<u8> {
        let mut id = old.to_vec();
        ids.replace(&mut id);
        id
    }

    #[test]
    fn the_same_id_becomes_the_same_one_and_different_ones_stay_different() {
        let ids = NewIds::new("b1", 0, 0);
        let all: std::collections::HashSet<Vec<u8>> = (0u64..1000).map(|n| new(&ids, &(n + 1).to_be_bytes())).collect();
        assert_eq!(all.len(), 1000);
        assert_eq!(new(&ids, &[7; 16]), new(&NewIds::new("b1", 0, 0), &[7; 16]));
        for other in [NewIds::new("b2", 0, 0), NewIds::new("b1", 1, 0), NewIds::new("b1", 0, 1)] {
            assert_ne!(new(&ids, &[7; 16]), new(&other, &[7; 16]));
        }
    }

    #[test]
    fn bytes_and_hex_agree() {
        let ids = NewIds::new("b1", 0, 0);
        let hex: String = new(&ids, &[0xab; 8]).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(ids.replace_hex("ABababababababab").unwrap(), hex);
    }

    #[test]
    fn what_is_no_id_stays() {
        let ids = NewIds::new("b1", 0, 0);
        for none in [&[0; 16][..], &[0; 8], &[], &[1, 2, 3]] {
            assert_eq!(new(&ids, none), none);
        }
        assert_eq!(ids.replace_hex("0000000000000000").unwrap(), "0000000000000000");
        assert_eq!((ids.replace_hex("abc"), ids.replace_hex("zzzzzzzzzzzzzzzz")), (None, None));
    }
}
