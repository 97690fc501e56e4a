//! Flame, latency and flow: from the timeline of a bundle to findings and tables.

mod axis;
mod change;
pub mod flow;
mod heat;
mod quantile;
mod series;
