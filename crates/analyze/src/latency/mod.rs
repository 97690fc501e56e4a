//! Latency: spans, block devices, the run queue, and what threads waited for.

pub(crate) mod block;
pub(crate) mod offcpu;
pub(crate) mod span;
