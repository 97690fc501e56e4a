//! The packets of a bundle, read in order with bounded memory.

use coldcase_bundle::{Batch, Bundle, ChunkError};
use rayon::prelude::*;

/// The stream.
pub const PACKETS: &str = "packets";

/// Reads the stream `packets` in the order of capture, and hands it on a few chunks at a time: those are read in
/// parallel, and no more of them are held. A chunk that cannot be read stands as its error.
///
/// # Errors
/// The first of `each`, which ends the reading.
pub fn chunks<E>(
    bundle: &Bundle,
    mut each: impl FnMut(&[Result<Vec<Batch>, ChunkError>]) -> Result<(), E>,
) -> Result<(), E> {
    let with_packets = bundle.chunks().iter().filter(|c| c.streams.iter().any(|s| &*s.stream == PACKETS));
    let wanted: Vec<usize> = with_packets.map(|c| c.index).collect();
    for some in wanted.chunks(4 * rayon::current_num_threads().max(1)) {
        let read: Vec<_> = some.par_iter().map(|&index| bundle.read_chunk(index, &|s| s == PACKETS)).collect();
        each(&read)?;
    }
    Ok(())
}
