//! Where the elements of a JSON document begin and end: they are stored as they stand, so their bytes are needed.

use std::ops::Range;

use serde::de::IgnoredAny;

/// Where things stand in a document.
pub(crate) type Places = Vec<Range<usize>>;

/// The elements of the list that begins at `at`, and where it ends.
///
/// # Errors
/// When it is not JSON. What was read until then is not told: a list that is cut is not taken in part.
pub(crate) fn elements(bytes: &[u8], at: usize) -> Result<(Places, usize), String> {
    let mut at = expect(bytes, at, b'[')?;
    let mut out = Vec::new();
    loop {
        at = skip(bytes, at);
        if out.is_empty() && bytes.get(at) == Some(&b']') {
            return Ok((out, at + 1));
        }
        let end = value(bytes, at)?;
        out.push(at..end);
        at = skip(bytes, end);
        match bytes.get(at) {
            Some(b',') => at += 1,
            Some(b']') => return Ok((out, at + 1)),
            _ => return Err(format!("byte {at}: the list is not closed")),
        }
    }
}

/// The members of the object that begins at `at`: their keys and where their values stand.
///
/// # Errors
/// When it is not JSON.
pub(crate) fn members(bytes: &[u8], at: usize) -> Result<Vec<(String, Range<usize>)>, String> {
    let mut at = expect(bytes, at, b'{')?;
    let mut out = Vec::new();
    loop {
        at = skip(bytes, at);
        if out.is_empty() && bytes.get(at) == Some(&b'}') {
            return Ok(out);
        }
        let end = value(bytes, at)?;
        let key: String = serde_json::from_slice(&bytes[at..end]).map_err(|e| format!("byte {at}: {e}"))?;
        at = skip(bytes, expect(bytes, skip(bytes, end), b':')?);
        let end = value(bytes, at)?;
        out.push((key, at..end));
        at = skip(bytes, end);
        match bytes.get(at) {
            Some(b',') => at += 1,
            Some(b'}') => return Ok(out),
            _ => return Err(format!("byte {at}: the object is not closed")),
        }
    }
}

/// Where the next thing begins.
pub(crate) fn skip(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|b| b.is_ascii_whitespace()).count()
}

/// Where the value that begins at `at` ends.
pub(crate) fn value(bytes: &[u8], at: usize) -> Result<usize, String> {
    let rest = bytes.get(at..).unwrap_or_default();
    let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<IgnoredAny>();
    match values.next() {
        Some(Ok(_)) => Ok(at + values.byte_offset()),
        Some(Err(e)) => Err(format!("byte {at} and on: {e}")),
        None => Err(format!("byte {at}: the document ends")),
    }
}

fn expect(bytes: &[u8], at: usize, wanted: u8) -> Result<usize, String> {
    match bytes.get(at) {
        Some(&b) if b == wanted => Ok(at + 1),
        _ => Err(format!("byte {at}: no {:?}", wanted as char)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn elements_and_members_are_found_where_they_stand() {
        let text = br#"[ {"a": [1, "]"]} ,2,"x\"," ] "#;
        let (all, end) = elements(text, 0).unwrap();
        let texts: Vec<&str> = all.iter().map(|r| std::str::from_utf8(&text[r.clone()]).unwrap()).collect();
        assert_eq!((texts, end), (vec![r#"{"a": [1, "]"]}"#, "2", r#""x\",""#], text.len() - 1));
        let text = br#"{"n":1 , "data" : [ 2 ],"e":{}}"#;
        let all = members(text, 0).unwrap();
        assert_eq!(all.iter().map(|m| &text[m.1.clone()]).collect::<Vec<_>>(), [&b"1"[..], b"[ 2 ]", b"{}"]);
        assert_eq!(elements(b"[]", 0), Ok((vec![], 2)));
        for bad in ["[1,", "[1 2]", "[", "{", "[,]", "[1,]"] {
            assert!(elements(bad.as_bytes(), 0).is_err(), "{bad}");
        }
        assert!(members(br#"{"a":1"#, 0).is_err() && members(b"{1:2}", 0).is_err());
        assert!(elements("[".repeat(100_000).as_bytes(), 0).is_err(), "nested too deep");
    }
}
