//! Labels of Remote-Write series: the mark among them, in its place, and the ids that exemplars name.

use super::rules::{Rule, Rules};
use super::wire::{Fields, Malformed, Patch, Value, message, put_bytes, put_varint};

/// The label that says that a series was replayed, with the bundle's id.
pub(crate) const MARK_LABEL: &str = "coldcase_replay";

/// The labels of exemplars that hold ids.
const IDS: [&[u8]; 6] = [b"trace_id", b"traceID", b"traceid", b"span_id", b"spanID", b"spanid"];

/// Whether a label of an exemplar holds an id.
pub(crate) fn is_id_label(name: &str) -> bool {
    IDS.contains(&name.as_bytes())
}

/// Bytes of a field of a message.
fn bytes_of(message: &[u8], number: u64) -> Option<&[u8]> {
    Fields(message).flatten().find_map(|f| match f.value {
        Value::Bytes(bytes) if f.number == number => Some(bytes),
        _ => None,
    })
}

/// A series of 1.0: labels are its fields 1 and stand in the order of their names.
pub(super) fn series(bytes: &[u8], rules: Rules, patch: &mut Patch<'_>, out: &mut Vec<u8>) -> Result<(), Malformed> {
    let Some(mark) = patch.mark else { return message(bytes, rules, patch, out) };
    let mut marked = false;
    let mut label = Vec::new();
    put_bytes(1, MARK_LABEL.as_bytes(), &mut label);
    put_bytes(2, mark.as_bytes(), &mut label);
    let (mut labels, mut rest) = (Vec::new(), Vec::new());
    for field in Fields(bytes) {
        let field = field?;
        let Value::Bytes(own) = field.value else {
            rest.extend_from_slice(field.raw);
            continue;
        };
        if field.number != 1 {
            rest.extend_from_slice(field.raw);
            continue;
        }
        match bytes_of(own, 1).unwrap_or_default().cmp(MARK_LABEL.as_bytes()) {
            // The mark of an earlier replay.
            std::cmp::Ordering::Equal => continue,
            std::cmp::Ordering::Greater if !marked => {
                marked = true;
                put_bytes(1, &label, &mut labels);
            }
            _ => {}
        }
        labels.extend_from_slice(field.raw);
    }
    if !marked {
        put_bytes(1, &label, &mut labels);
    }
    out.extend_from_slice(&labels);
    message(&rest, rules, patch, out)
}

/// A label of an exemplar: a trace or a span gets its new id.
pub(super) fn of_exemplar(bytes: &[u8], patch: &Patch<'_>, out: &mut Vec<u8>) -> Result<(), Malformed> {
    let new = patch.ids.filter(|_| bytes_of(bytes, 1).is_some_and(|name| IDS.contains(&name)));
    for field in Fields(bytes) {
        let field = field?;
        let replaced = match (new, field.number, field.value) {
            (Some(ids), 2, Value::Bytes(value)) => std::str::from_utf8(value).ok().and_then(|hex| ids.replace_hex(hex)),
            _ => None,
        };
        match replaced {
            Some(value) => put_bytes(2, value.as_bytes(), out),
            None => out.extend_from_slice(field.raw),
        }
    }
    Ok(())
}

/// Of 2.0: the symbols that are there; symbol 0 is the empty string.
pub(super) fn read_symbols(bytes: &[u8], rules: Rules, patch: &mut Patch<'_>) -> Result<(), Malformed> {
    let Some((number, _)) = rules.iter().find(|(_, rule)| matches!(rule, Rule::Symbol)) else { return Ok(()) };
    if patch.mark.is_some() {
        let mut symbols = Vec::new();
        for field in Fields(bytes) {
            match field? {
                f if f.number != *number => {}
                super::wire::Field { value: Value::Bytes(symbol), .. } => symbols.push(symbol > MARK_LABEL.as_bytes()),
                _ => return Err(Malformed),
            }
        }
        patch.symbols = Some(symbols);
    }
    Ok(())
}

/// Adds the mark's symbols at the end: a repeated field may stand in parts.
pub(super) fn add_symbols(patch: &Patch<'_>, out: &mut Vec<u8>) {
    if let (Some(symbols), Some(mark)) = (&patch.symbols, patch.mark) {
        if symbols.is_empty() {
            put_bytes(4, b"", out);
        }
        put_bytes(4, MARK_LABEL.as_bytes(), out);
        put_bytes(4, mark.as_bytes(), out);
    }
}

/// A series of 2.0: references to names and values in turn, packed, in its field 1, in the order of the names.
pub(super) fn series_of_refs(
    bytes: &[u8],
    rules: Rules,
    patch: &mut Patch<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    let Some(symbols) = &patch.symbols else { return message(bytes, rules, patch, out) };
    let (mut refs, mut rest) = (Vec::new(), Vec::new());
    for field in Fields(bytes) {
        let field = field?;
        match (field.number, field.value) {
            (1, Value::Bytes(packed)) => {
                let mut packed = Fields(packed);
                while !packed.0.is_empty() {
                    refs.push(packed.varint().ok_or(Malformed)?);
                }
            }
            (1, Value::Varint(one)) => refs.push(one),
            _ => rest.extend_from_slice(field.raw),
        }
    }
    let after = |name: u64| usize::try_from(name).ok().and_then(|n| symbols.get(n)).copied().unwrap_or(false);
    let place = refs.chunks(2).position(|pair| after(pair[0])).map_or(refs.len(), |pairs| pairs * 2);
    let name = symbols.len().max(1) as u64;
    refs.splice(place..place, [name, name + 1]);
    let mut packed = Vec::new();
    refs.into_iter().for_each(|r| put_varint(r, &mut packed));
    put_bytes(1, &packed, out);
    message(&rest, rules, patch, out)
}
