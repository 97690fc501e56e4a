//! What is on the host: processes, threads, sockets, mappings and cgroups at the start; new programs and mappings
//! while recording; and the names of the addresses that were seen.

pub(crate) mod build_id;
pub(crate) mod cgroups;
mod containers;
mod devices;
pub(crate) mod held;
pub(crate) mod known;
pub(crate) mod maps;
mod perf_ring;
mod processes;
mod recall;
mod segment;
mod sockets;
mod source;
mod watch;

pub(crate) use recall::Recall;
pub(crate) use segment::Turn;
pub use source::Host;

use coldcase_bundle::WriteError;
use coldcase_model::{Columns, Event};

use crate::source::Context;

/// Rows in one batch.
const ROWS: usize = 4096;

/// Appends rows to their stream.
pub(crate) fn put<E: Event + Clone>(context: &Context, rows: &[E]) -> Result<(), WriteError> {
    for part in rows.chunks(ROWS) {
        let mut columns = Columns::new(&E::DEF);
        part.iter().for_each(|row| row.clone().push(&mut columns));
        context.intake.add(part.len() as u64, 0);
        context.writer.append(E::DEF.stream, columns)?;
    }
    Ok(())
}
