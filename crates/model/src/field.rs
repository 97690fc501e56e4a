//! What a field of an event can be: its type, its unit, and how a value of it enters and leaves a column.

use serde::{Deserialize, Serialize};

use crate::column::Column;

/// The type of one field of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldType {
    /// Unsigned, 8 bits.
    U8,
    /// Unsigned, 16 bits.
    U16,
    /// Unsigned, 32 bits.
    U32,
    /// Unsigned, 64 bits.
    U64,
    /// Signed, 32 bits.
    I32,
    /// Signed, 64 bits.
    I64,
    /// IEEE 754 double.
    F64,
    /// A task name as the kernel holds it: 16 bytes, ends at the first NUL (`TASK_COMM_LEN`). A text column.
    Comm,
    /// An IP address as 16 bytes, IPv4 as `::ffff:a.b.c.d`; all zero where there is none.
    Ip,
    /// Bytes that are usually UTF-8 but need not be (a path, a label, a log line). Interned per batch.
    Text,
    /// A stack of raw return addresses, leaf first. Interned per batch.
    Stack,
}

impl FieldType {
    /// The size in a kernel event's fixed part, in bytes; `None` for what a kernel event cannot hold.
    pub const fn kernel_size(self) -> Option<usize> {
        match self {
            FieldType::U8 => Some(1),
            FieldType::U16 => Some(2),
            // A stack's depth, a text's length: the frames and the bytes follow the fixed part.
            FieldType::U32 | FieldType::I32 | FieldType::Stack | FieldType::Text => Some(4),
            FieldType::U64 | FieldType::I64 => Some(8),
            FieldType::Comm | FieldType::Ip => Some(16),
            FieldType::F64 => None,
        }
    }

    /// The C declaration of a field of this type in a kernel event, with `name`.
    pub fn c_declaration(self, name: &str) -> Option<String> {
        Some(match self {
            FieldType::U8 => format!("__u8 {name}"),
            FieldType::U16 => format!("__u16 {name}"),
            FieldType::U32 | FieldType::Stack | FieldType::Text => format!("__u32 {name}"),
            FieldType::U64 => format!("__u64 {name}"),
            FieldType::I32 => format!("__s32 {name}"),
            FieldType::I64 => format!("__s64 {name}"),
            FieldType::Comm => format!("char {name}[16]"),
            FieldType::Ip => format!("__u8 {name}[16]"),
            FieldType::F64 => return None,
        })
    }
}

/// What a field's number means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// CLOCK_BOOTTIME, nanoseconds.
    BootNs,
    /// CLOCK_REALTIME, nanoseconds since 1970-01-01 UTC.
    RealNs,
    /// A duration in nanoseconds.
    DurNs,
    /// Bytes.
    Bytes,
    /// A count of things.
    Count,
    /// An identifier: equal or not, never added up.
    Id,
    /// A set of bits or an enumeration, explained in the field's doc.
    Flags,
    /// No unit: text, addresses, ratios.
    None,
}

/// One field of an event definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// The name, the same in C, in the columns and in tables.
    pub name: &'static str,
    /// The type.
    pub ty: FieldType,
    /// The unit.
    pub unit: Unit,
    /// What it means, in one or two sentences.
    pub doc: &'static str,
    /// Where it stands in the kernel event's fixed part, in bytes. 0 for host events.
    pub offset: usize,
}

/// A value that can be a field: how it is typed, and how it enters and leaves a [`Column`].
pub trait FieldValue: Sized {
    /// The field type of this Rust type.
    const TYPE: FieldType;
    /// What a reader gets for a whole column of it.
    type Slice<'a>;
    /// Appends the value. The column was made by [`Column::new`] for [`Self::TYPE`].
    fn push(self, column: &mut Column);
    /// The column's values, or `None` when the column is of another type.
    fn slice(column: &Column) -> Option<Self::Slice<'_>>;
}

macro_rules! numeric {
    ($($t:ty => $variant:ident),*) => {$(
        impl FieldValue for $t {
            const TYPE: FieldType = FieldType::$variant;
            type Slice<'a> = &'a [$t];
            fn push(self, column: &mut Column) {
                if let Column::$variant(v) = column { v.push(self) }
            }
            fn slice(column: &Column) -> Option<&[$t]> {
                match column { Column::$variant(v) => Some(v), _ => None }
            }
        }
    )*};
}
numeric!(u8 => U8, u16 => U16, u32 => U32, u64 => U64, i32 => I32, i64 => I64, f64 => F64);

/// A task name as the kernel holds it (`TASK_COMM_LEN` bytes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Comm(pub [u8; 16]);

impl Comm {
    /// The bytes before the first NUL.
    pub fn as_bytes(&self) -> &[u8] {
        let end = self.0.iter().position(|&b| b == 0).unwrap_or(self.0.len());
        &self.0[..end]
    }
}

impl FieldValue for Comm {
    const TYPE: FieldType = FieldType::Comm;
    type Slice<'a> = &'a crate::column::TextColumn;
    fn push(self, column: &mut Column) {
        if let Column::Text(c) = column {
            c.push(self.as_bytes());
        }
    }
    fn slice(column: &Column) -> Option<Self::Slice<'_>> {
        match column {
            Column::Text(c) => Some(c),
            _ => None,
        }
    }
}

/// An IP address, IPv4 mapped into IPv6; all zero where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(C)]
pub struct Ip(pub [u8; 16]);

impl Ip {
    /// The address, IPv4 where it is a mapped one.
    pub fn addr(self) -> std::net::IpAddr {
        std::net::Ipv6Addr::from(self.0).to_canonical()
    }
}

impl From<std::net::IpAddr> for Ip {
    fn from(a: std::net::IpAddr) -> Self {
        match a {
            std::net::IpAddr::V4(v4) => Ip(v4.to_ipv6_mapped().octets()),
            std::net::IpAddr::V6(v6) => Ip(v6.octets()),
        }
    }
}

impl FieldValue for Ip {
    const TYPE: FieldType = FieldType::Ip;
    type Slice<'a> = &'a [Ip];
    fn push(self, column: &mut Column) {
        if let Column::Ip(v) = column {
            v.push(self);
        }
    }
    fn slice(column: &Column) -> Option<&[Ip]> {
        match column {
            Column::Ip(v) => Some(v),
            _ => None,
        }
    }
}

impl FieldValue for Vec<u8> {
    const TYPE: FieldType = FieldType::Text;
    type Slice<'a> = &'a crate::column::TextColumn;
    fn push(self, column: &mut Column) {
        if let Column::Text(c) = column {
            c.push(&self);
        }
    }
    fn slice(column: &Column) -> Option<Self::Slice<'_>> {
        match column {
            Column::Text(c) => Some(c),
            _ => None,
        }
    }
}

impl FieldValue for String {
    const TYPE: FieldType = FieldType::Text;
    type Slice<'a> = &'a crate::column::TextColumn;
    fn push(self, column: &mut Column) {
        self.into_bytes().push(column);
    }
    fn slice(column: &Column) -> Option<Self::Slice<'_>> {
        <Vec<u8> as FieldValue>::slice(column)
    }
}

/// A stack in a host event: raw return addresses, leaf first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stack(pub Vec<u64>);

impl FieldValue for Stack {
    const TYPE: FieldType = FieldType::Stack;
    type Slice<'a> = &'a crate::column::StackColumn;
    fn push(self, column: &mut Column) {
        if let Column::Stack(c) = column {
            c.push(&self.0);
        }
    }
    fn slice(column: &Column) -> Option<Self::Slice<'_>> {
        match column {
            Column::Stack(c) => Some(c),
            _ => None,
        }
    }
}

/// A stack in a kernel event: how many frames (`u64` each) follow the fixed part, in field order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(transparent)]
pub struct StackDepth(pub u32);

impl FieldValue for StackDepth {
    const TYPE: FieldType = FieldType::Stack;
    type Slice<'a> = &'a crate::column::StackColumn;
    fn push(self, column: &mut Column) {
        // A kernel event's frames stand behind its fixed part, where `Columns::push_kernel` finds them; a value of
        // the struct alone has none.
        Stack::default().push(column);
    }
    fn slice(column: &Column) -> Option<Self::Slice<'_>> {
        <Stack as FieldValue>::slice(column)
    }
}

/// A text in a kernel event: how many bytes of it follow the fixed part, behind all frames, in field order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(transparent)]
pub struct TextLen(pub u32);

impl FieldValue for TextLen {
    const TYPE: FieldType = FieldType::Text;
    type Slice<'a> = &'a crate::column::TextColumn;
    fn push(self, column: &mut Column) {
        // As with `StackDepth`: a value of the struct alone has no bytes.
        Vec::<u8>::new().push(column);
    }
    fn slice(column: &Column) -> Option<Self::Slice<'_>> {
        <Vec<u8> as FieldValue>::slice(column)
    }
}
