//! A set of frames: a bit for each.

/// Frames by their numbers.
#[derive(Debug, Default)]
pub(super) struct Frames(Vec<u64>);

impl Frames {
    pub(super) fn add(&mut self, frame: u64) {
        let word = (frame / 64) as usize;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (frame % 64);
    }

    pub(super) fn has(&self, frame: u64) -> bool {
        self.0.get((frame / 64) as usize).is_some_and(|word| word >> (frame % 64) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::Frames;

    #[test]
    fn frames_that_were_added_are_in_it_and_others_are_not() {
        let mut frames = Frames::default();
        [1, 64, 200].into_iter().for_each(|f| frames.add(f));
        let has: Vec<u64> = (0..300).filter(|&f| frames.has(f)).collect();
        assert_eq!(has, [1, 64, 200]);
    }
}
