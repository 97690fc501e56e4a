//! Sends recorded HTTP/1 requests to a server again, in the recorded shape.
//!
//! Each recorded connection is one connection of the client, opened when it was opened then; its requests go out in
//! their order, each at its time or, where the answer before it has not come yet, right behind that. One thread keeps the
//! time for all of them. Pipelined requests are sent one after another.

mod headers;
mod plan;
mod report;
mod run;
mod target;
mod wire;

pub use headers::{CREDENTIALS, Keep, MARK};
pub use plan::{Ask, FILLER, Plan};
pub use report::{Count, Operation, Ran, Report, StatusChange, Timing};
pub use run::{Pace, SendError, send};
pub use target::{Target, TargetError};
