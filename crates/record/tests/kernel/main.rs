//! The kernel sources with real eBPF, as root: against what the tests themselves did.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod block;
mod captured;
mod cgroup;
mod dials;
mod drop;
mod file;
mod futex;
mod irq;
mod lock;
mod lookup;
mod losses;
mod memory;
mod netns;
mod offcpu;
mod postgres;
mod recorded;
mod refused;
mod sample;
mod signal;
mod socket;
mod sums;
mod syscall;
mod task;
mod tcp;
mod tls;
