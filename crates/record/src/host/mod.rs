//! What is on the host: processes, threads, sockets, mappings and cgroups at the start; new programs and mappings
//! while recording; and at the end the names of the addresses that were seen.

pub(crate) mod build_id;
pub(crate) mod cgroups;
mod devices;
pub(crate) mod maps;
mod perf_ring;
mod processes;
mod sockets;
mod source;
mod watch;

pub use source::Host;
