//! Aligns clocks, loads streams in parallel into typed columns, resolves entities, merges in order.
//!
//! ```no_run
//! use coldcase_model::events::OffCpu;
//! use coldcase_timeline::{Options, Timeline};
//!
//! let t = Timeline::open("incident.case".as_ref(), &Options::default())?;
//! for part in t.rows::<OffCpu>() {
//!     for i in 0..part.len() {
//!         let began = t.utc_of(part.cols.time[i]);
//!         let who = t.processes().label(part.cols.pid[i], part.cols.time[i].into_boot());
//!         println!("{} {who} {}ns, row {}", began.0, part.cols.duration[i], part.row(i));
//!     }
//! }
//! for s in t.spans() {
//!     println!("{} {} {}ns, otlp.traces#{}", s.span.name, s.span.service(), s.span.duration(), s.row);
//! }
//! # use coldcase_timeline::IntoBoot;
//! # Ok::<(), coldcase_timeline::TimelineError>(())
//! ```
//!
//! [`Timeline`] holds the streams that were asked for in memory, typed. [`Merge`] reads any streams in time order
//! with bounded memory, whatever the size of the bundle. [`Timeline::fold`] adds up the rows of streams: those that are
//! held, and the rest chunk by chunk.

mod binding;
mod container;
mod cpu_groups;
mod debug_files;
mod decoded;
mod devices;
mod enums;
mod error;
mod fold;
mod futex;
mod load;
mod log_templates;
mod made;
mod merge;
mod options;
mod pieces;
mod process;
mod processes;
mod repeats;
mod samples;
mod scope;
mod segment;
mod sockets;
mod space;
mod symbols;
mod timeline;
mod translations;

pub use binding::{Binder, Bound, ProcessTier, ThreadTier, span_ends};
pub use coldcase_decode as decode;
pub use container::{Container, ContainerNames};
pub use cpu_groups::{CpuGroup, CpuGroups, Limit, ROOT};
pub use debug_files::{DebugFiles, DebugFilesError};
pub use decoded::{Decoded, ExemplarRow, LogRow, MetricRow, Packet, REMOTE_WRITE, RecordRow, SampleRow, SpanRow};
pub use devices::Devices;
pub use enums::EnumNames;
pub use error::TimelineError;
pub use fold::Piece;
pub use futex::{Awaited, FutexWait, HolderHow};
pub use log_templates::{LogTemplate, LogTemplates, Logged, SEVERITIES};
pub use merge::{Body, Entry, Merge};
pub use options::{Options, StreamSet, When};
pub use process::Process;
pub use processes::Processes;
pub use scope::{Scope, Selection};
pub use segment::{Rows, Segment};
pub use sockets::{Owner, OwnerHow, Sockets};
pub use symbols::{Frame, Place, Symbols};
pub use timeline::{IntoBoot, Timeline};
pub use translations::Translated;
