//! The walk over protobuf's wire format (<https://protobuf.dev/programming-guides/encoding/>).

use super::MARK;
use super::label;
use super::rules::{Rule, Rules};
use crate::ids::NewIds;
use crate::shift::Offset;

/// What is changed in a request.
#[derive(Debug, Clone)]
pub(crate) struct Patch<'a> {
    pub(super) offset: Offset,
    pub(super) ids: Option<NewIds>,
    /// The bundle's id, where the request is to say that it was replayed.
    pub(super) mark: Option<&'a str>,
    /// Which of the things in the request go out.
    pub(super) wanted: Option<&'a [bool]>,
    /// By the number of the thing: fields that are added to it.
    pub(super) added: &'a [Vec<u8>],
    /// The number of the next thing.
    pub(super) item: usize,
    /// Of Remote-Write 2.0, where the request is marked.
    pub(super) symbols: Option<Symbols>,
}

/// The symbols of a request: whether each, as a label's name, stands after the mark's. The mark's name and value follow them.
pub(super) type Symbols = Vec<bool>;

/// A message that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a protobuf message")]
pub(crate) struct Malformed;

/// A field: its number, its wire type with what is needed to write it again, and its content.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    pub(super) number: u64,
    pub(super) value: Value<'a>,
    /// The whole field as it stands.
    pub(super) raw: &'a [u8],
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32,
    Bytes(&'a [u8]),
}

/// The fields of a message, one after another.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or(Malformed))
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<Field<'a>> {
        let whole = self.0;
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed32)?,
            // Groups: proto3 has none.
            _ => return None,
        };
        Some(Field { number: tag >> 3, value, raw: &whole[..whole.len() - self.0.len()] }).filter(|f| f.number != 0)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn varint(&mut self) -> Option<u64> {
        let mut out = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            out |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(out);
            }
        }
        None
    }
}

pub(super) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A length-delimited field.
pub(super) fn put_bytes(number: u64, bytes: &[u8], out: &mut Vec<u8>) {
    put_varint(number << 3 | 2, out);
    put_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// A request, changed.
///
/// # Errors
/// When the bytes are no message, or a field that is to be changed is not of its type.
pub(crate) fn protobuf(bytes: &[u8], rules: Rules, patch: &mut Patch<'_>) -> Result<Vec<u8>, Malformed> {
    let mut out = Vec::with_capacity(bytes.len() + 64);
    label::read_symbols(bytes, rules, patch)?;
    message(bytes, rules, patch, &mut out)?;
    label::add_symbols(patch, &mut out);
    Ok(out)
}

/// Rules are nested a few levels deep at most, and so is the walk.
pub(super) fn message(bytes: &[u8], rules: Rules, patch: &mut Patch<'_>, out: &mut Vec<u8>) -> Result<(), Malformed> {
    for field in Fields(bytes) {
        let field = field?;
        match rules.iter().find(|(number, _)| *number == field.number) {
            Some((_, rule)) => changed(&field, *rule, patch, out)?,
            None => out.extend_from_slice(field.raw),
        }
    }
    Ok(())
}

fn changed(field: &Field<'_>, rule: Rule, patch: &mut Patch<'_>, out: &mut Vec<u8>) -> Result<(), Malformed> {
    let number = field.number;
    match (rule, field.value) {
        (Rule::Nanos, Value::Fixed64(nanos)) => {
            put_varint(number << 3 | 1, out);
            out.extend_from_slice(&patch.offset.unix_nanos(nanos).to_le_bytes());
        }
        (Rule::Millis, Value::Varint(ms)) => {
            put_varint(number << 3, out);
            // 0 says "unknown" of exemplars and beginnings.
            let moved = if ms == 0 { 0 } else { patch.offset.millis(ms as i64) };
            put_varint(moved as u64, out);
        }
        (Rule::Id, Value::Bytes(id)) => {
            let mut id = id.to_vec();
            if let Some(ids) = patch.ids {
                ids.replace(&mut id);
            }
            put_bytes(number, &id, out);
        }
        (Rule::Symbol, Value::Bytes(_)) => out.extend_from_slice(field.raw),
        (rule, Value::Bytes(bytes)) => {
            let mut inner = Vec::with_capacity(bytes.len() + 48);
            match rule {
                Rule::Message(rules) => message(bytes, rules, patch, &mut inner)?,
                Rule::Item(rules) => {
                    if !patch.next_is_wanted() {
                        return Ok(());
                    }
                    message(bytes, rules, patch, &mut inner)?;
                    inner.extend_from_slice(patch.added());
                }
                Rule::OfResource(rules) => of_resource(bytes, rules, patch, &mut inner)?,
                Rule::Resource => resource(bytes, patch, &mut inner)?,
                Rule::Series(rules) => label::series(bytes, rules, patch, &mut inner)?,
                Rule::SeriesOfRefs(rules) => label::series_of_refs(bytes, rules, patch, &mut inner)?,
                Rule::ExemplarLabel => label::of_exemplar(bytes, patch, &mut inner)?,
                Rule::Nanos | Rule::Millis | Rule::Id | Rule::Symbol => return Err(Malformed),
            }
            put_bytes(number, &inner, out);
        }
        _ => return Err(Malformed),
    }
    Ok(())
}

/// `ResourceSpans` and its like: one without a resource gets one, to hold the mark.
fn of_resource(bytes: &[u8], rules: Rules, patch: &mut Patch<'_>, out: &mut Vec<u8>) -> Result<(), Malformed> {
    message(bytes, rules, patch, out)?;
    let has_resource = Fields(bytes).any(|f| f.is_ok_and(|f| f.number == 1));
    if patch.mark.is_some() && !has_resource {
        let mut made = Vec::new();
        resource(&[], patch, &mut made)?;
        put_bytes(1, &made, out);
    }
    Ok(())
}

/// A resource with the mark; a mark that it has already is that of an earlier replay.
fn resource(bytes: &[u8], patch: &Patch<'_>, out: &mut Vec<u8>) -> Result<(), Malformed> {
    let Some(mark) = patch.mark else {
        out.extend_from_slice(bytes);
        return Ok(());
    };
    for field in Fields(bytes) {
        let field = field?;
        let of_mark = |attribute: &[u8]| {
            let key = Fields(attribute).flatten().find(|f| f.number == 1);
            matches!(key, Some(Field { value: Value::Bytes(key), .. }) if key == MARK.as_bytes())
        };
        if !(field.number == 1 && matches!(field.value, Value::Bytes(a) if of_mark(a))) {
            out.extend_from_slice(field.raw);
        }
    }
    // KeyValue { key: 1, value: 2 AnyValue { string_value: 1 } }
    let (mut value, mut attribute) = (Vec::new(), Vec::new());
    put_bytes(1, mark.as_bytes(), &mut value);
    put_bytes(1, MARK.as_bytes(), &mut attribute);
    put_bytes(2, &value, &mut attribute);
    put_bytes(1, &attribute, out);
    Ok(())
}
