//! Requests: from the exchanges that the bytes of connections hold to rows and kinds.

mod database;
mod kinds;
mod row;
pub(crate) mod span;
pub(crate) mod span_inferred;

pub(crate) use database::{repeated, uses};
pub(crate) use kinds::kinds;
pub(crate) use row::{Found, rows};
