//! Latency: spans, block devices, connects, files, faults, locks, the run queue, and what threads waited for.

pub(crate) mod block;
pub(crate) mod connect;
pub(crate) mod fault;
pub(crate) mod file;
pub(crate) mod library;
pub(crate) mod lock;
pub(crate) mod offcpu;
pub(crate) mod span;
pub(crate) mod syscall;
