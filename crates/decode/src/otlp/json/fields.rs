//! Fields of JSON objects as proto3's JSON mapping has them. A missing field and `null` are its default.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;

pub(super) type Map = serde_json::Map<String, Value>;

/// A value that does not fit its field: where, and why.
#[derive(Debug)]
pub(super) struct Bad {
    /// Built from the inside out.
    path: String,
    why: &'static str,
}

impl Bad {
    fn within(mut self, step: impl fmt::Display) -> Bad {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{step}{dot}{}", self.path);
        self
    }
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.why)
    }
}

impl From<&'static str> for Bad {
    fn from(why: &'static str) -> Bad {
        Bad { path: String::new(), why }
    }
}

fn told<'a>(object: &'a Map, key: &str) -> Option<&'a Value> {
    object.get(key).filter(|v| !v.is_null())
}

/// A field that may be missing.
pub(super) fn optional<T>(object: &Map, key: &str, read: fn(&Value) -> Result<T, Bad>) -> Result<Option<T>, Bad> {
    told(object, key).map(read).transpose().map_err(|e| e.within(key))
}

/// A field whose default stands for a missing one.
pub(super) fn field<T: Default>(object: &Map, key: &str, read: fn(&Value) -> Result<T, Bad>) -> Result<T, Bad> {
    Ok(optional(object, key, read)?.unwrap_or_default())
}

/// A repeated field.
pub(super) fn list<T>(object: &Map, key: &str, read: fn(&Value) -> Result<T, Bad>) -> Result<Vec<T>, Bad> {
    let Some(value) = told(object, key) else { return Ok(Vec::new()) };
    let items = value.as_array().ok_or_else(|| Bad::from("not an array").within(key))?;
    let read = |(i, item)| read(item).map_err(|e| e.within(format_args!("[{i}]")).within(key));
    items.iter().enumerate().map(read).collect()
}

pub(super) fn object(value: &Value) -> Result<&Map, Bad> {
    value.as_object().ok_or_else(|| "not an object".into())
}

pub(super) fn text(value: &Value) -> Result<String, Bad> {
    value.as_str().map(str::to_owned).ok_or_else(|| "not a string".into())
}

pub(super) fn boolean(value: &Value) -> Result<bool, Bad> {
    value.as_bool().ok_or_else(|| "not true or false".into())
}

/// An integer of any width, as a number or a string, also as `1.0` or `1e3` where that is whole. Wide enough for both
/// 64-bit types.
fn integer(value: &Value) -> Option<i128> {
    let whole = |x: f64| (x.is_finite() && x.fract() == 0.0).then_some(x as i128);
    match value {
        Value::Number(n) => match (n.as_u64(), n.as_i64()) {
            (Some(u), _) => Some(u.into()),
            (_, Some(i)) => Some(i.into()),
            _ => n.as_f64().and_then(whole),
        },
        Value::String(s) => s.parse().ok().or_else(|| plain_number(s).and_then(whole)),
        _ => None,
    }
}

/// Digits, not the names that Rust's parser takes too.
fn plain_number(text: &str) -> Option<f64> {
    let first = text.strip_prefix(['-', '+']).unwrap_or(text).as_bytes().first()?;
    if first.is_ascii_digit() || *first == b'.' { text.parse().ok() } else { None }
}

macro_rules! integers {
    ($($name:ident: $type:ty, $why:literal;)*) => {$(
        pub(super) fn $name(value: &Value) -> Result<$type, Bad> {
            integer(value).and_then(|i| <$type>::try_from(i).ok()).ok_or_else(|| $why.into())
        }
    )*};
}
integers! {
    u64_of: u64, "not an unsigned 64-bit integer";
    i64_of: i64, "not a 64-bit integer";
    u32_of: u32, "not an unsigned 32-bit integer";
    i32_of: i32, "not a 32-bit integer";
}

pub(super) fn double(value: &Value) -> Result<f64, Bad> {
    let read = match value {
        Value::Number(n) => n.as_f64(),
        Value::String(s) => match &**s {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            digits => plain_number(digits),
        },
        _ => None,
    };
    read.ok_or_else(|| "not a number".into())
}

/// Bytes of a trace or span id from hex in any case; none where it is not hex.
pub(super) fn id(value: &Value) -> Result<Vec<u8>, Bad> {
    /// Twice the longest id.
    const LONGEST: usize = 64;
    let hex = value.as_str().ok_or("not a string")?.as_bytes();
    if hex.len() > LONGEST || hex.len() % 2 != 0 {
        return Ok(Vec::new());
    }
    let digit = |b: u8| (b as char).to_digit(16).map(|d| d as u8);
    let bytes = hex.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?));
    Ok(bytes.collect::<Option<Vec<u8>>>().unwrap_or_default())
}

/// Base64 of either alphabet, padded or not.
pub(super) fn base64(value: &Value) -> Result<Vec<u8>, Bad> {
    const CONFIG: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, CONFIG);
    const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, CONFIG);
    let text = value.as_str().ok_or("not a string")?;
    STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).map_err(|_| "not base64".into())
}
