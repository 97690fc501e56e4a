//! The nouns of coldcase: event definitions, kinds, clocks, time, entities, findings and plain tables. No I/O.
//!
//! Every event is defined once, under [`events`], with the [`event!`] macro. From that definition come the memory
//! layout that the kernel side fills, the C header in `bpf/include/`, the columns of a batch, the reference page in
//! `formats/` and the schema that travels in the bundle. [`catalogue`] lists them all.

pub mod analysis;
pub mod block;
pub mod catalogue;
pub mod clock;
pub mod column;
pub mod columns;
pub mod compare;
pub mod entity;
pub mod errno;
pub mod event;
pub mod events;
pub mod field;
pub mod file;
pub mod finding;
mod flame;
mod flow;
pub mod header;
mod intern;
pub mod journal_export;
pub mod library;
pub mod loss;
pub mod manifest;
pub mod quantity;
mod request;
mod sequence;
pub mod signal;
pub mod sql;
pub mod syscall;
pub mod table;
mod tcp_facts;
pub mod text;
pub mod time;
mod trace;

pub use catalogue::{CATALOGUE, Class};
pub use column::{Column, Columns, ColumnsError};
pub use event::{Event, EventDef, Layout};
pub use field::{Comm, Field, FieldType, FieldValue, Ip, Stack, StackDepth, TextLen, Unit};
pub use finding::{Evidence, Finding};
pub use table::{Cell, Table};
pub use time::{Boottime, Nanos, Utc};
