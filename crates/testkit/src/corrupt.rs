//! Corrupters: damage of a known kind.

/// A small deterministic generator (splitmix64), so that a failing case can be made again from its seed.
#[derive(Debug, Clone)]
pub struct Rng(pub u64);

impl Rng {
    /// The next number.
    #[allow(clippy::should_implement_trait)] // endless, unlike an iterator
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// One bit of one byte turned over.
pub fn flip(bytes: &mut [u8], at: usize, bit: u8) {
    bytes[at] ^= 1 << (bit & 7);
}

/// `count` random bytes changed to other values.
pub fn flip_random(bytes: &mut [u8], rng: &mut Rng, count: usize) {
    for _ in 0..count {
        let at = rng.below(bytes.len() as u64) as usize;
        bytes[at] ^= (1 + rng.below(255)) as u8;
    }
}

/// The first `length` bytes.
pub fn truncate(bytes: &[u8], length: usize) -> Vec<u8> {
    bytes[..length.min(bytes.len())].to_vec()
}

/// The bytes without those from `at`, `count` of them.
pub fn cut_out(bytes: &[u8], at: usize, count: usize) -> Vec<u8> {
    let mut out = bytes[..at].to_vec();
    out.extend_from_slice(&bytes[(at + count).min(bytes.len())..]);
    out
}
