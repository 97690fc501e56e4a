//! Rows folded segment by segment: what a whole bundle adds up to, whether or not its rows are held.

use std::sync::atomic::{AtomicUsize, Ordering};

use coldcase_bundle::BatchBody;
use coldcase_model::{Event, catalogue};
use rayon::prelude::*;

use crate::segment::{Rows, Segment};
use crate::timeline::Timeline;

/// The rows of one segment, whose stream is told.
#[derive(Debug)]
pub struct Piece<'a> {
    stream: &'a str,
    segment: &'a Segment,
}

impl Piece<'_> {
    /// Its rows as those of an event; `None` when they are another's, or lack a column that this build knows.
    pub fn rows<E: Event>(&self) -> Option<Rows<'_, E>> {
        (self.stream == E::DEF.stream).then(|| Rows::new(self.segment)).flatten()
    }
}

impl Timeline {
    /// Folds the rows of streams within the window: each thread takes segments into a sum of its own, `new` at first,
    /// and the sums are merged at the end. Streams that were not loaded are read chunk by chunk: memory then holds
    /// the sums and one chunk a thread, whatever the bundle's size.
    ///
    /// Which segments meet in one sum differs from run to run, so the order of rows must not matter to `take` nor that
    /// of sums to `merge`. Returns with the sum what could not be read, in one line each, in the order of the file;
    /// of streams that were loaded, [`Timeline::problems`] tells it.
    pub fn fold<A: Send>(
        &self,
        streams: &[&str],
        new: impl Fn() -> A + Sync,
        take: impl Fn(&mut A, &Piece<'_>) + Sync,
        merge: impl Fn(A, A) -> A + Sync,
    ) -> (A, Vec<String>) {
        let (held, unread): (Vec<&str>, Vec<&str>) = streams.iter().partition(|s| self.holds(s));
        let segments: Vec<Piece<'_>> = held
            .iter()
            .flat_map(|&stream| self.segments(stream).iter().map(move |segment| Piece { stream, segment }))
            .collect();
        let chunks: Vec<usize> = self
            .bundle()
            .chunks()
            .iter()
            .filter(|c| c.streams.iter().any(|s| unread.contains(&&*s.stream) && self.near(s)))
            .map(|c| c.index)
            .collect();
        let next = AtomicUsize::new(0);
        let work = |_| {
            let (mut sum, mut problems) = (new(), Vec::new());
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if let Some(piece) = segments.get(at) {
                    take(&mut sum, piece);
                    continue;
                }
                let Some(&index) = chunks.get(at - segments.len()) else { break };
                match self.bundle().read_chunk(index, &|s| unread.contains(&s)) {
                    Ok(batches) => {
                        for batch in batches {
                            let BatchBody::Columns(columns) = batch.body else { continue };
                            let columns = match catalogue::by_stream(&batch.stream) {
                                Some(def) => columns.complete(def),
                                None => columns,
                            };
                            let segment = self.within(&batch.stream, Segment::new(batch.first_row, columns));
                            if !segment.is_empty() {
                                take(&mut sum, &Piece { stream: &batch.stream, segment: &segment });
                            }
                        }
                    }
                    Err(e) => problems.push((index, e.to_string())),
                }
            }
            (sum, problems)
        };
        let parts: Vec<_> = self.install(|| (0..self.threads()).into_par_iter().map(work).collect());
        let (mut sum, mut problems) = (None, Vec::new());
        for (part, told) in parts {
            sum = Some(match sum {
                None => part,
                Some(before) => merge(before, part),
            });
            problems.extend(told);
        }
        problems.sort();
        (sum.unwrap_or_else(new), problems.into_iter().map(|(_, told)| told).collect())
    }
}
