//! One column: which parts it has, and how they are checked when read.

use std::borrow::Cow;

use coldcase_model::column::{StackColumn, TextColumn};
use coldcase_model::{Column, Ip};
use serde::{Deserialize, Serialize};

use super::{Budget, CodecError, ints, packed};
use crate::gate::Gate;

/// A column on the wire: a MessagePack map of these keys. Absent keys are left out.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct WireColumn<'a> {
    /// Type name.
    #[serde(borrow)]
    pub(crate) t: Cow<'a, str>,
    /// Values, or ids into the entries.
    #[serde(borrow, with = "serde_bytes")]
    pub(crate) d: Cow<'a, [u8]>,
    /// The values of this column are those in `d` minus those of this column.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) minus: Option<Cow<'a, str>>,
    /// `f64` whose values are all integers, stored as `i64`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) int: bool,
    /// How many entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) n: Option<u32>,
    /// Lengths of the entries: bytes of a text, frames of a stack.
    #[serde(borrow, default, with = "serde_bytes", skip_serializing_if = "Option::is_none")]
    pub(crate) l: Option<Cow<'a, [u8]>>,
    /// The entries, one after the other.
    #[serde(borrow, default, with = "serde_bytes", skip_serializing_if = "Option::is_none")]
    pub(crate) e: Option<Cow<'a, [u8]>>,
    /// How many distinct frames.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) k: Option<u32>,
    /// The distinct frames, rising.
    #[serde(borrow, default, with = "serde_bytes", skip_serializing_if = "Option::is_none")]
    pub(crate) f: Option<Cow<'a, [u8]>>,
}

/// Encodes a column. Its text passes the gate.
pub(crate) fn encode<'a>(column: &Column, stream: &str, field: &str, gate: &dyn Gate) -> WireColumn<'a> {
    let mut d = Vec::new();
    let mut wire = WireColumn::default();
    let t = match column {
        Column::U8(v) => numbers("u8", v, &mut d),
        Column::U16(v) => numbers("u16", v, &mut d),
        Column::U32(v) => numbers("u32", v, &mut d),
        Column::U64(v) => numbers("u64", v, &mut d),
        Column::I32(v) => numbers("i32", v, &mut d),
        Column::I64(v) => numbers("i64", v, &mut d),
        Column::F64(v) => {
            wire.int = v.iter().all(|x| is_integer(*x));
            if wire.int {
                ints::encode(v.iter().map(|x| *x as i64), &mut d);
            } else {
                ints::encode(v.iter().map(|x| x.to_bits()), &mut d);
            }
            "f64"
        }
        Column::Ip(v) => {
            addresses(v, &mut wire, &mut d);
            "ip"
        }
        Column::Text(c) => {
            texts(c, stream, field, gate, &mut wire);
            packed::encode(c.ids.iter().copied(), &mut d);
            "text"
        }
        Column::Stack(c) => {
            stacks(c, &mut wire);
            packed::encode(c.ids.iter().copied(), &mut d);
            "stack"
        }
    };
    wire.t = Cow::Borrowed(t);
    wire.d = Cow::Owned(d);
    wire
}

fn numbers<T: ints::Int>(name: &'static str, values: &[T], d: &mut Vec<u8>) -> &'static str {
    ints::encode(values.iter().copied(), d);
    name
}

/// Whether an `i64` says exactly the same: not for −0.0, fractions, NaN, or beyond 2^53.
fn is_integer(x: f64) -> bool {
    x.abs() <= 9_007_199_254_740_992.0 && (x as i64 as f64).to_bits() == x.to_bits()
}

fn addresses(v: &[Ip], wire: &mut WireColumn<'_>, d: &mut Vec<u8>) {
    let mut seen = std::collections::HashMap::new();
    let mut entries: Vec<u8> = Vec::new();
    let ids: Vec<u32> = v
        .iter()
        .map(|ip| {
            let next = seen.len() as u32;
            *seen.entry(ip.0).or_insert_with(|| {
                entries.extend_from_slice(&ip.0);
                next
            })
        })
        .collect();
    packed::encode(ids.into_iter(), d);
    wire.n = Some(seen.len() as u32);
    wire.e = Some(Cow::Owned(entries));
}

fn texts(c: &TextColumn, stream: &str, field: &str, gate: &dyn Gate, wire: &mut WireColumn<'_>) {
    let mut bytes = Vec::new();
    let mut lengths = Vec::with_capacity(c.entries.len());
    for entry in &c.entries {
        let passed = gate.pass(stream, field, entry);
        lengths.push(passed.len() as u32);
        bytes.extend_from_slice(&passed);
    }
    let mut l = Vec::new();
    ints::encode(lengths.into_iter(), &mut l);
    wire.n = Some(c.entries.len() as u32);
    wire.l = Some(Cow::Owned(l));
    wire.e = Some(Cow::Owned(bytes));
}

fn stacks(c: &StackColumn, wire: &mut WireColumn<'_>) {
    let mut frames: Vec<u64> = c.entries.iter().flat_map(|s| s.iter().copied()).collect();
    frames.sort_unstable();
    frames.dedup();
    let (mut l, mut e, mut f) = (Vec::new(), Vec::new(), Vec::new());
    ints::encode(c.entries.iter().map(|s| s.len() as u32), &mut l);
    let index = |frame: &u64| frames.partition_point(|x| x < frame) as u32;
    let ids: Vec<u32> = c.entries.iter().flat_map(|s| s.iter().map(index)).collect();
    packed::encode(ids.into_iter(), &mut e);
    wire.k = Some(frames.len() as u32);
    ints::encode(frames.into_iter(), &mut f);
    wire.n = Some(c.entries.len() as u32);
    wire.l = Some(Cow::Owned(l));
    wire.e = Some(Cow::Owned(e));
    wire.f = Some(Cow::Owned(f));
}

/// Decodes a column of `rows` rows; `None` for a type that this build does not know.
pub(crate) fn decode(
    wire: &WireColumn<'_>,
    name: &str,
    rows: usize,
    budget: &mut Budget,
) -> Result<Option<Column>, CodecError> {
    let bad = |reason| CodecError::Column { column: name.to_owned(), reason };
    budget.take(rows, 8)?;
    Ok(Some(match wire.t.as_ref() {
        "u8" => Column::U8(ints::decode(&wire.d, rows).map_err(bad)?),
        "u16" => Column::U16(ints::decode(&wire.d, rows).map_err(bad)?),
        "u32" => Column::U32(ints::decode(&wire.d, rows).map_err(bad)?),
        "u64" => Column::U64(ints::decode(&wire.d, rows).map_err(bad)?),
        "i32" => Column::I32(ints::decode(&wire.d, rows).map_err(bad)?),
        "i64" => Column::I64(ints::decode(&wire.d, rows).map_err(bad)?),
        "f64" if wire.int => {
            Column::F64(ints::decode::<i64>(&wire.d, rows).map_err(bad)?.into_iter().map(|v| v as f64).collect())
        }
        "f64" => {
            Column::F64(ints::decode::<u64>(&wire.d, rows).map_err(bad)?.into_iter().map(f64::from_bits).collect())
        }
        "ip" => {
            budget.take(rows, 16)?;
            Column::Ip(decode_addresses(wire, rows).map_err(bad)?)
        }
        "text" => {
            let n = entry_count(wire, rows).map_err(bad)?;
            budget.take(n, 32)?;
            Column::Text(decode_texts(wire, rows, n).map_err(bad)?)
        }
        "stack" => {
            let n = entry_count(wire, rows).map_err(bad)?;
            budget.take(n, 32)?;
            decode_stacks(wire, name, rows, n, budget)?
        }
        _ => return Ok(None),
    }))
}

/// An entry that no row uses has no reason to be there: there are at most as many as rows.
fn entry_count(wire: &WireColumn<'_>, rows: usize) -> Result<usize, &'static str> {
    let n = wire.n.ok_or("no entry count")? as usize;
    if n > rows { Err("more entries than rows") } else { Ok(n) }
}

fn decode_addresses(wire: &WireColumn<'_>, rows: usize) -> Result<Vec<Ip>, &'static str> {
    let n = entry_count(wire, rows)?;
    let (entries, rest) = wire.e.as_deref().unwrap_or_default().as_chunks::<16>();
    if entries.len() != n || !rest.is_empty() {
        return Err("entries of another length than their count");
    }
    let ids = packed::decode(&wire.d, rows, n)?;
    Ok(ids.into_iter().map(|id| Ip(entries[id as usize])).collect())
}

fn decode_texts(wire: &WireColumn<'_>, rows: usize, n: usize) -> Result<TextColumn, &'static str> {
    let lengths: Vec<u32> = ints::decode(wire.l.as_deref().unwrap_or_default(), n)?;
    let mut rest = wire.e.as_deref().unwrap_or_default();
    let mut entries: Vec<Box<[u8]>> = Vec::with_capacity(n);
    for length in lengths {
        let (entry, after) = rest.split_at_checked(length as usize).ok_or("entries end early")?;
        entries.push(entry.into());
        rest = after;
    }
    if !rest.is_empty() {
        return Err("entries longer than their lengths");
    }
    Ok(TextColumn::from_parts(packed::decode(&wire.d, rows, n)?, entries))
}

fn decode_stacks(
    wire: &WireColumn<'_>,
    name: &str,
    rows: usize,
    n: usize,
    budget: &mut Budget,
) -> Result<Column, CodecError> {
    let bad = |reason| CodecError::Column { column: name.to_owned(), reason };
    let lengths: Vec<u32> = ints::decode(wire.l.as_deref().unwrap_or_default(), n).map_err(bad)?;
    let total: u64 = lengths.iter().map(|&l| u64::from(l)).sum();
    let total = usize::try_from(total).map_err(|_| bad("too many frames"))?;
    budget.take(total, 12)?;
    let distinct = wire.k.ok_or_else(|| bad("no frame count"))? as usize;
    if distinct > total {
        return Err(bad("more distinct frames than frames"));
    }
    let frames: Vec<u64> = ints::decode(wire.f.as_deref().unwrap_or_default(), distinct).map_err(bad)?;
    let ids = packed::decode(wire.e.as_deref().unwrap_or_default(), total, distinct).map_err(bad)?;
    let mut ids = ids.into_iter();
    let entries =
        lengths.into_iter().map(|l| ids.by_ref().take(l as usize).map(|id| frames[id as usize]).collect()).collect();
    Ok(Column::Stack(StackColumn::from_parts(packed::decode(&wire.d, rows, n).map_err(bad)?, entries)))
}
