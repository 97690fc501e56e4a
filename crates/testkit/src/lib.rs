//! Test support: bundle builders and corrupters. Not published.
//!
//! Everything here is deterministic: the same calls give the same bytes.

pub mod bundle;
pub mod corrupt;
pub mod rows;

pub use bundle::{Builder, FIXED_ID, fixed_options};
