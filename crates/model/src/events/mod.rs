//! The event definitions, one file a source.

mod block;
mod clock;
mod device;
mod drop;
mod host;
mod lock;
mod log;
mod metric;
mod receipt;
mod recorder;
mod ring;
mod sample;
mod sched;
mod socket;
mod symbol;
mod task;
mod tcp;

pub use block::BlockIo;
pub use clock::Anchor;
pub use device::Device;
pub use drop::{EnumName, PacketDrop};
pub use host::{Cgroup, Container, Mapping, Process, Socket};
pub use lock::LockContention;
pub use log::LogLine;
pub use metric::{HostMetric, Scrape};
pub use receipt::Receipt;
pub use recorder::{Backlog, Cost, Loss, Mark, SourceState, Step};
pub use ring::RingCount;
pub use sample::CpuSample;
pub use sched::{OffCpu, OffCpuSum};
pub use socket::{SocketOwner, TcpInfo};
pub use symbol::{Symbol, SymbolModule};
pub use task::{Exec, Task};
pub use tcp::{TcpReset, TcpRetransmit, TcpState};
