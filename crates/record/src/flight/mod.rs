//! Flight recording: only the last minutes are kept, in sealed segments, and dumped when something happens.
//!
//! The writer goes on from file to file while the sources run; each file is a whole bundle that names what is in it, and
//! rows are numbered on. A dump is one bundle made of the chunks of the segments of its window, copied as they are.

mod adopt;
mod condition;
mod config;
mod dump;
mod folder;
mod request;
mod rule;
mod segment;
mod session;
mod shelf;
mod state;
mod watch;

pub use config::{FlightConfig, SMALLEST_CAP};
pub use dump::Made;
pub use request::{DumpError, Wanted, dump_here, dump_of};
pub use rule::{Quantity, Rule, RuleKind};

pub(crate) use request::{REQUEST, serve};
pub(crate) use session::{Asked, Fired, Outcome};
pub(crate) use state::Flight;
