//! Samples of metrics, chunk by chunk: for those who need each once, however many there are.

use crate::decoded::SampleRow;
use crate::load::{Decoder, Loaded};
use crate::timeline::Timeline;

/// The streams that samples come from.
const STREAMS: [&str; 3] = ["metrics.pages", "prometheus.remote_write", "prometheus.remote_write.v2"];

impl Timeline {
    /// Hands on the samples of scraped pages and Remote-Write requests within the window, in the order of the file; memory holds one
    /// chunk of them. Stops at the first error of `take`. Returns what could not be read, in one line each.
    pub fn each_sample<E>(&self, mut take: impl FnMut(&SampleRow) -> Result<(), E>) -> Result<Vec<String>, E> {
        let decoder = Decoder { pages: self.pages(), ..Decoder::default() };
        let mut problems = Vec::new();
        for chunk in self.bundle().chunks() {
            if !chunk.streams.iter().any(|s| STREAMS.contains(&&*s.stream)) {
                continue;
            }
            let mut loaded = Loaded::default();
            match self.bundle().read_chunk(chunk.index, &|s| STREAMS.contains(&s)) {
                Ok(batches) => batches.into_iter().for_each(|b| decoder.batch(b, &mut loaded)),
                Err(e) => problems.push(e.to_string()),
            }
            problems.append(&mut loaded.decoded.problems);
            for sample in loaded.decoded.samples.iter().filter(|s| self.in_window(s.utc, s.utc)) {
                take(sample)?;
            }
        }
        Ok(problems)
    }
}
