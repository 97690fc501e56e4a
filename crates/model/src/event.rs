//! The definition of an event, and the [`event!`](crate::event!) macro that yields everything from it.

use crate::catalogue::Class;
use crate::column::{Columns, ColumnsError};
use crate::field::{Field, Unit};

/// Who lays the event out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// A BPF program fills a C struct of `size` bytes behind the common header, stack frames follow.
    Kernel {
        /// Size of the fixed part with its header, in bytes.
        size: usize,
    },
    /// The recorder fills a Rust value.
    Host,
}

/// Everything there is to know of one kind of event.
#[derive(Debug, Clone, Copy)]
pub struct EventDef {
    /// The kind's number. Append-only, never reused.
    pub kind: u16,
    /// The kind's name in CamelCase, as in Rust; `cc_<snake case>` in C.
    pub name: &'static str,
    /// The stream that carries it by default: `<source>.<what>`.
    pub stream: &'static str,
    /// The signal class: rows of one class share chunks, rings and loss counters.
    pub class: Class,
    /// What it means.
    pub doc: &'static str,
    /// Who lays it out.
    pub layout: Layout,
    /// The fields, in order.
    pub fields: &'static [Field],
}

impl EventDef {
    /// The source part of the stream's name.
    pub fn source(&self) -> &'static str {
        self.stream.split_once('.').map_or(self.stream, |(s, _)| s)
    }

    /// The name of its table in queries: the stream with `.` as `_`.
    pub fn table(&self) -> String {
        self.stream.replace('.', "_")
    }

    /// Index of the field that places a row on the timeline: the first in [`Unit::BootNs`].
    pub fn time_field(&self) -> Option<usize> {
        self.fields.iter().position(|f| f.unit == Unit::BootNs)
    }

    /// Index of the field `duration`, if rows are intervals. A row ends at its time plus its duration.
    pub fn duration_field(&self) -> Option<usize> {
        self.fields.iter().position(|f| f.name == "duration" && f.unit == Unit::DurNs)
    }
}

/// A row of one kind of event. Implemented by [`event!`](crate::event!).
pub trait Event: Sized {
    /// The definition.
    const DEF: EventDef;
    /// The columns of it, typed, as a reader borrows them.
    type Cols<'a>;
    /// Appends this row.
    fn push(self, columns: &mut Columns);
    /// Borrows typed columns. Errors when a column that this build knows is missing or of another type.
    fn cols(columns: &Columns) -> Result<Self::Cols<'_>, ColumnsError>;
}

/// The common head of every kernel event, before its fields. 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct KernelHead {
    /// The event's kind.
    pub kind: u16,
    /// The CPU it was written on.
    pub cpu: u16,
    /// Number of the event on this CPU in its class, counted before the ring may refuse it.
    pub seq: u32,
    /// Zero; keeps the fields 8-byte aligned and room for a word that all events need.
    pub reserved: u64,
}

/// Defines an event: struct, definition, typed columns.
///
/// ```
/// coldcase_model::event! {
///     /// Somebody rang.
///     kernel Ring: kind 60000, stream "door.ring", class Recorder {
///         /// When.
///         time: u64 [BootNs],
///         /// Which button.
///         button: u32 [Id],
///         /// Zero.
///         reserved: u32 [None],
///     }
/// }
/// ```
#[macro_export]
macro_rules! event {
    ($(#[doc = $doc:literal])* kernel $name:ident: kind $kind:literal, stream $stream:literal, class $class:ident {
        $($(#[doc = $fdoc:literal])* $field:ident : $ty:ty [$unit:ident],)*
    }) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Default)]
        #[repr(C)]
        pub struct $name {
            /// The common head.
            pub head: $crate::event::KernelHead,
            $($(#[doc = $fdoc])* pub $field: $ty,)*
        }
        $crate::event!(@rest $name, $kind, $stream, $class,
            $crate::Layout::Kernel { size: ::std::mem::size_of::<$name>() }, concat!($($doc, "\n"),*),
            { $($field: $ty [$unit] (::std::mem::offset_of!($name, $field)) (concat!($($fdoc, "\n"),*)),)* });
    };
    ($(#[doc = $doc:literal])* host $name:ident: kind $kind:literal, stream $stream:literal, class $class:ident {
        $($(#[doc = $fdoc:literal])* $field:ident : $ty:ty [$unit:ident],)*
    }) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq, Default)]
        pub struct $name {
            $($(#[doc = $fdoc])* pub $field: $ty,)*
        }
        $crate::event!(@rest $name, $kind, $stream, $class, $crate::Layout::Host, concat!($($doc, "\n"),*),
            { $($field: $ty [$unit] (0) (concat!($($fdoc, "\n"),*)),)* });
    };
    (@rest $name:ident, $kind:literal, $stream:literal, $class:ident, $layout:expr, $doc:expr,
        { $($field:ident : $ty:ty [$unit:ident] ($offset:expr) ($fdoc:expr),)* }) => {
        const _: () = {
            /// Typed columns, borrowed.
            #[allow(missing_docs)]
            pub struct Cols<'a> {
                $(pub $field: <$ty as $crate::FieldValue>::Slice<'a>,)*
            }
            impl $crate::Event for $name {
                const DEF: $crate::EventDef = $crate::EventDef {
                    kind: $kind,
                    name: stringify!($name),
                    stream: $stream,
                    class: $crate::Class::$class,
                    doc: $doc,
                    layout: $layout,
                    fields: &[$($crate::Field {
                        name: stringify!($field),
                        ty: <$ty as $crate::FieldValue>::TYPE,
                        unit: $crate::Unit::$unit,
                        doc: $fdoc,
                        offset: $offset,
                    },)*],
                };
                type Cols<'a> = Cols<'a>;
                fn push(self, columns: &mut $crate::Columns) {
                    let mut at = 0;
                    $(<$ty as $crate::FieldValue>::push(self.$field, &mut columns.columns[at]); at += 1;)*
                    let _ = at;
                    columns.row_pushed();
                }
                fn cols(columns: &$crate::Columns) -> Result<Cols<'_>, $crate::ColumnsError> {
                    Ok(Cols {
                        $($field: columns
                            .get(stringify!($field))
                            .and_then(<$ty as $crate::FieldValue>::slice)
                            .ok_or($crate::ColumnsError::Missing { stream: $stream, column: stringify!($field) })?,)*
                    })
                }
            }
        };
    };
}
