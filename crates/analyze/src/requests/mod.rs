//! Requests: from the exchanges that the bytes of connections hold to rows and kinds.

mod database;
mod kinds;
mod row;
pub(crate) mod span;
pub(crate) mod span_inferred;
mod vanish;

pub(crate) use database::{repeated, uses};
pub(crate) use kinds::kinds;
pub use kinds::service;
pub(crate) use row::{Found, rows};
pub(crate) use vanish::{retried, vanished};
