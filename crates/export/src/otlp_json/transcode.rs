//! A message from protobuf to JSON by its table, without a value of it between: each field that was sent is written, and what the
//! table does not know is counted.

use std::io::Write;

use base64::Engine;

use super::tables::{Field, Kind, Message};

/// Most messages in each other, as prost has it.
const DEPTH: usize = 100;

/// Why a message cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// It ends in the midst of a field.
    #[error("it is cut off")]
    Cut,
    /// A number is longer than 64 bits, a field has no number, or a type that is none.
    #[error("a field is malformed")]
    Malformed,
    /// Text is not UTF-8.
    #[error("a text is not UTF-8")]
    Text,
    /// Messages are nested too deep.
    #[error("messages are nested too deep")]
    Deep,
}

/// A value on the wire.
enum Wire<'a> {
    Varint(u64),
    Eight(u64),
    Four(u32),
    Bytes(&'a [u8]),
}

/// Appends a message as JSON, and adds the fields of other numbers or types to `unknown`.
pub(super) fn message(
    bytes: &[u8],
    table: Message,
    out: &mut Vec<u8>,
    unknown: &mut u64,
    depth: usize,
) -> Result<(), WireError> {
    if depth > DEPTH {
        return Err(WireError::Deep);
    }
    let mut found: Vec<Vec<Wire<'_>>> = Vec::new();
    found.resize_with(table.len(), Vec::new);
    let mut rest = bytes;
    while !rest.is_empty() {
        let key = varint(&mut rest)?;
        let value = wire(key & 7, &mut rest)?;
        match table.iter().position(|f| f.number == key >> 3).filter(|&at| fits(&table[at], &value)) {
            Some(at) => found[at].push(value),
            None => *unknown += 1,
        }
    }
    out.push(b'{');
    let mut first = true;
    for (field, values) in table.iter().zip(&found).filter(|(_, values)| !values.is_empty()) {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        out.push(b'"');
        out.extend_from_slice(field.name.as_bytes());
        out.extend_from_slice(b"\":");
        field_value(field, values, out, unknown, depth)?;
    }
    out.push(b'}');
    Ok(())
}

fn field_value(
    field: &Field,
    values: &[Wire<'_>],
    out: &mut Vec<u8>,
    unknown: &mut u64,
    depth: usize,
) -> Result<(), WireError> {
    if !field.many {
        return match (field.kind, values) {
            // Of a message that was sent in parts the parts are one behind the other (protobuf, "Last One Wins").
            (Kind::Message(table), [_, _, ..]) => {
                let parts = values.iter().filter_map(|v| if let Wire::Bytes(b) = v { Some(*b) } else { None });
                message(&parts.collect::<Vec<_>>().concat(), table(), out, unknown, depth + 1)
            }
            (_, [.., last]) => value(field.kind, last, out, unknown, depth),
            (_, []) => Ok(()),
        };
    }
    out.push(b'[');
    let mut first = true;
    let mut put = |v: &Wire<'_>, out: &mut Vec<u8>| {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        value(field.kind, v, out, unknown, depth)
    };
    for v in values {
        match (v, packed(field.kind)) {
            (Wire::Bytes(numbers), Some(kind)) => {
                let mut rest = *numbers;
                while !rest.is_empty() {
                    put(&wire(kind, &mut rest)?, out)?;
                }
            }
            _ => put(v, out)?,
        }
    }
    out.push(b']');
    Ok(())
}

fn value(kind: Kind, v: &Wire<'_>, out: &mut Vec<u8>, unknown: &mut u64, depth: usize) -> Result<(), WireError> {
    match (kind, v) {
        (Kind::Message(table), Wire::Bytes(b)) => return message(b, table(), out, unknown, depth + 1),
        (Kind::Text, Wire::Bytes(b)) => text(std::str::from_utf8(b).map_err(|_| WireError::Text)?, out),
        (Kind::Hex, Wire::Bytes(b)) => text(&b.iter().map(|b| format!("{b:02x}")).collect::<String>(), out),
        (Kind::Bytes, Wire::Bytes(b)) => text(&base64::engine::general_purpose::STANDARD.encode(b), out),
        (Kind::Bool, Wire::Varint(n)) => put(out, format_args!("{}", *n != 0)),
        // Negative ones are ten bytes long on the wire.
        (Kind::Int32, Wire::Varint(n)) => put(out, format_args!("{}", *n as i32)),
        (Kind::Uint32, Wire::Varint(n)) => put(out, format_args!("{}", *n as u32)),
        (Kind::Sint32, Wire::Varint(n)) => {
            let n = *n as u32;
            put(out, format_args!("{}", (n >> 1) as i32 ^ -((n & 1) as i32)));
        }
        (Kind::Fixed32, Wire::Four(n)) => put(out, format_args!("{n}")),
        (Kind::Int64, Wire::Varint(n)) | (Kind::Sfixed64, Wire::Eight(n)) => {
            put(out, format_args!("\"{}\"", *n as i64))
        }
        (Kind::Uint64, Wire::Varint(n)) | (Kind::Fixed64, Wire::Eight(n)) => put(out, format_args!("\"{n}\"")),
        (Kind::Double, Wire::Eight(n)) => match f64::from_bits(*n) {
            x if x.is_nan() => out.extend_from_slice(b"\"NaN\""),
            f64::INFINITY => out.extend_from_slice(b"\"Infinity\""),
            f64::NEG_INFINITY => out.extend_from_slice(b"\"-Infinity\""),
            // The shortest text that is read back as the same double.
            x => put(out, format_args!("{x:?}")),
        },
        // `fits` let no other through.
        _ => return Err(WireError::Malformed),
    }
    Ok(())
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing into memory does not fail.
    let _ = out.write_fmt(text);
}

fn text(text: &str, out: &mut Vec<u8>) {
    let _ = serde_json::to_writer(out, text);
}

/// Wire types, as in protobuf's encoding.
const VARINT: u64 = 0;
const EIGHT: u64 = 1;
const BYTES: u64 = 2;
const FOUR: u64 = 5;

/// The wire type of one of many numbers that may stand together in one field.
fn packed(kind: Kind) -> Option<u64> {
    match kind {
        Kind::Text | Kind::Hex | Kind::Bytes | Kind::Message(_) => None,
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => Some(EIGHT),
        Kind::Fixed32 => Some(FOUR),
        _ => Some(VARINT),
    }
}

fn fits(field: &Field, v: &Wire<'_>) -> bool {
    match (v, packed(field.kind)) {
        (Wire::Bytes(_), None) => true,
        (Wire::Bytes(_), Some(_)) => field.many,
        (Wire::Varint(_), Some(VARINT)) | (Wire::Eight(_), Some(EIGHT)) | (Wire::Four(_), Some(FOUR)) => true,
        _ => false,
    }
}

fn wire<'a>(kind: u64, rest: &mut &'a [u8]) -> Result<Wire<'a>, WireError> {
    Ok(match kind {
        VARINT => Wire::Varint(varint(rest)?),
        EIGHT => Wire::Eight(u64::from_le_bytes(*rest.split_off_chunk()?)),
        FOUR => Wire::Four(u32::from_le_bytes(*rest.split_off_chunk()?)),
        BYTES => {
            let length = usize::try_from(varint(rest)?).map_err(|_| WireError::Cut)?;
            let (bytes, after) = rest.split_at_checked(length).ok_or(WireError::Cut)?;
            *rest = after;
            Wire::Bytes(bytes)
        }
        // Groups are of proto2, and OTLP has none.
        _ => return Err(WireError::Malformed),
    })
}

/// Takes the first bytes of a slice.
trait SplitOff<'a> {
    fn split_off_chunk<const N: usize>(&mut self) -> Result<&'a [u8; N], WireError>;
}

impl<'a> SplitOff<'a> for &'a [u8] {
    fn split_off_chunk<const N: usize>(&mut self) -> Result<&'a [u8; N], WireError> {
        let (chunk, after) = self.split_first_chunk::<N>().ok_or(WireError::Cut)?;
        *self = after;
        Ok(chunk)
    }
}

fn varint(rest: &mut &[u8]) -> Result<u64, WireError> {
    let mut n = 0u64;
    for shift in (0..70).step_by(7) {
        let (&byte, after) = rest.split_first().ok_or(WireError::Cut)?;
        *rest = after;
        n |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Ok(n);
        }
    }
    Err(WireError::Malformed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::tables::{EXPORT_LOGS_SERVICE_REQUEST, EXPORT_METRICS_SERVICE_REQUEST};
    use super::*;

    fn json(bytes: &[u8], table: Message) -> (String, u64) {
        let (mut out, mut unknown) = (Vec::new(), 0);
        message(bytes, table, &mut out, &mut unknown, 0).unwrap();
        (String::from_utf8(out).unwrap(), unknown)
    }

    fn field(number: u8, body: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, body.len() as u8][..], body].concat()
    }

    #[test]
    fn ids_are_hexadecimal_long_numbers_are_strings_and_unknown_fields_are_counted() {
        let mut record = vec![1 << 3 | 1];
        record.extend_from_slice(&u64::MAX.to_le_bytes());
        record.extend(field(9, &[0xab; 16]));
        // Field 15, which no version has.
        record.extend(field(15, b"new"));
        let request = field(1, &field(2, &field(2, &record)));
        let (text, unknown) = json(&request, EXPORT_LOGS_SERVICE_REQUEST);
        let record = r#"{"timeUnixNano":"18446744073709551615","traceId":"abababababababababababababababab"}"#;
        assert_eq!(text, format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{record}]}}]}}]}}"#));
        assert_eq!(unknown, 1);
    }

    #[test]
    fn packed_numbers_and_numbers_that_json_has_not_are_written_as_otlp_says() {
        let mut counts = Vec::new();
        [3u64, 4].iter().for_each(|n| counts.extend(n.to_le_bytes()));
        let mut point = field(6, &counts);
        point.push(5 << 3 | 1);
        point.extend(f64::NAN.to_le_bytes());
        let request = field(1, &field(2, &field(2, &field(9, &field(1, &point)))));
        let (text, _) = json(&request, EXPORT_METRICS_SERVICE_REQUEST);
        assert!(text.contains(r#""sum":"NaN","bucketCounts":["3","4"]"#), "{text}");
    }

    #[test]
    fn what_is_cut_off_or_nested_without_end_is_an_error() {
        let request = field(1, &field(2, b"x"));
        for length in 1..request.len() {
            let (mut out, mut unknown) = (Vec::new(), 0);
            assert!(message(&request[..length], EXPORT_LOGS_SERVICE_REQUEST, &mut out, &mut unknown, 0).is_err());
        }
        let mut nested = Vec::new();
        for _ in 0..120 {
            let length = [(nested.len() & 0x7f) as u8 | 0x80, (nested.len() >> 7) as u8];
            let array = [&[1 << 3 | 2][..], &length, &nested].concat();
            let length = [(array.len() & 0x7f) as u8 | 0x80, (array.len() >> 7) as u8];
            nested = [&[5 << 3 | 2][..], &length, &array].concat();
        }
        let mut table = EXPORT_LOGS_SERVICE_REQUEST;
        for name in ["resourceLogs", "scopeLogs", "logRecords", "body"] {
            let field = table.iter().find(|f| f.name == name).unwrap();
            let Kind::Message(of) = field.kind else { panic!("{name} is a message") };
            table = of();
        }
        let (mut out, mut unknown) = (Vec::new(), 0);
        assert_eq!(message(&nested, table, &mut out, &mut unknown, 0), Err(WireError::Deep));
    }
}
