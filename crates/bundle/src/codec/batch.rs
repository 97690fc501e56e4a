//! A batch: a MessagePack map of its version, rows, first row number and columns.

use std::borrow::Cow;
use std::fmt;

use coldcase_model::{Column, Columns};
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::column::{self, WireColumn};
use super::{Budget, CodecError};
use crate::gate::Gate;
use crate::limits;

/// Version of the batch encoding.
const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct WireBatch<'a> {
    v: u32,
    rows: u64,
    first: u64,
    #[serde(borrow)]
    cols: WireColumns<'a>,
}

/// The columns, a map in their order.
#[derive(Debug)]
struct WireColumns<'a>(Vec<(Cow<'a, str>, WireColumn<'a>)>);

impl Serialize for WireColumns<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, column) in &self.0 {
            map.serialize_entry(name, column)?;
        }
        map.end()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for WireColumns<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = WireColumns<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of columns")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut columns: Vec<(Cow<'de, str>, WireColumn<'de>)> = Vec::new();
                while let Some((name, column)) = map.next_entry::<&'de str, WireColumn<'de>>()? {
                    if columns.len() == limits::BATCH_COLUMNS || columns.iter().any(|(n, _)| n == name) {
                        return Err(serde::de::Error::custom("too many columns, or one twice"));
                    }
                    columns.push((Cow::Borrowed(name), column));
                }
                Ok(WireColumns(columns))
            }
        }
        deserializer.deserialize_map(V)
    }
}

/// The bytes of a batch whose first row has the number `first`. All text passes the gate here, and nowhere else.
///
/// # Errors
/// When MessagePack cannot hold it, which only a batch beyond 4 GiB can cause.
pub fn encode_batch(stream: &str, first: u64, rows: &Columns, gate: &dyn Gate) -> Result<Vec<u8>, CodecError> {
    let mut cols: Vec<(Cow<'_, str>, WireColumn<'_>)> = rows
        .names
        .iter()
        .zip(&rows.columns)
        .map(|(name, column)| (Cow::Borrowed(name.as_ref()), column::encode(column, stream, name, gate)))
        .collect();
    end_instead_of_start(rows, &mut cols);
    let batch = WireBatch { v: VERSION, rows: rows.len() as u64, first, cols: WireColumns(cols) };
    rmp_serde::to_vec_named(&batch).map_err(|e| CodecError::Framing(e.to_string()))
}

/// Intervals are written when they end, so their ends rise where their starts jump: where it is smaller, the end is
/// stored in place of the start.
fn end_instead_of_start(rows: &Columns, cols: &mut [(Cow<'_, str>, WireColumn<'_>)]) {
    let (Some(Column::U64(time)), Some(Column::U64(duration))) = (rows.get("time"), rows.get("duration")) else {
        return;
    };
    let mut d = Vec::new();
    super::ints::encode(time.iter().zip(duration).map(|(t, d)| t.wrapping_add(*d)), &mut d);
    if let Some((_, wire)) = cols.iter_mut().find(|(name, wire)| name == "time" && d.len() < wire.d.len()) {
        wire.d = Cow::Owned(d);
        wire.minus = Some(Cow::Borrowed("duration"));
    }
}

/// The first row number and the columns of a batch. Columns of a type that this build does not know are left out.
///
/// # Errors
/// When the bytes are not a batch, contradict themselves, or exceed the limits or the budget.
pub(crate) fn decode_batch(bytes: &[u8], budget: &mut Budget) -> Result<(u64, Columns), CodecError> {
    let batch: WireBatch<'_> = rmp_serde::from_slice(bytes).map_err(|e| CodecError::Framing(e.to_string()))?;
    if batch.v != VERSION {
        return Err(CodecError::Version(batch.v));
    }
    if batch.rows > limits::BATCH_ROWS {
        return Err(CodecError::Limit("more rows in a batch than allowed"));
    }
    if batch.first.checked_add(batch.rows).is_none() {
        return Err(CodecError::Limit("row numbers beyond the largest"));
    }
    let rows = batch.rows as usize;
    let (mut names, mut columns) = (Vec::new(), Vec::new());
    for (name, wire) in &batch.cols.0 {
        if let Some(column) = column::decode(wire, name, rows, budget)? {
            names.push(Cow::<'static, str>::Owned(name.to_string()));
            columns.push(column);
        }
    }
    let mut columns = Columns::from_parts(names, columns).map_err(|e| CodecError::Framing(e.to_string()))?;
    for (name, wire) in &batch.cols.0 {
        if let Some(other) = &wire.minus {
            subtract(&mut columns, name, other)
                .map_err(|reason| CodecError::Column { column: name.to_string(), reason })?;
        }
    }
    if columns.len() != rows {
        return Err(CodecError::Limit("rows without any column of a known type"));
    }
    Ok((batch.first, columns))
}

fn subtract(columns: &mut Columns, name: &str, other: &str) -> Result<(), &'static str> {
    let at = columns.names.iter().position(|n| n == name);
    let other = columns.names.iter().position(|n| n == other);
    let (Some(at), Some(other)) = (at, other) else { return Err("the column it is relative to is missing") };
    let Ok([Column::U64(values), Column::U64(minus)]) = columns.columns.get_disjoint_mut([at, other]) else {
        return Err("not relative to another column of u64");
    };
    values.iter_mut().zip(minus.iter()).for_each(|(v, m)| *v = v.wrapping_sub(*m));
    Ok(())
}
