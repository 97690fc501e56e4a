//! Lines that are not UTF-8: UTF-16, as Windows programs write logs, and Latin-1.
//!
//! A recorder cuts lines at the byte 0x0A, so of UTF-16 a line has half of the newline before it (little-endian) or at
//! its end; and only the first has the byte order mark. So each line is judged by itself: text of which every other
//! byte is zero is UTF-16. Of text in other scripts, which has few zeros, only a line with the mark is recognised.

use std::borrow::Cow;

/// Bytes that are looked at to tell UTF-16.
const LOOK: usize = 256;

/// A line as UTF-8 where its encoding can be told; the line itself where it is UTF-8 already or nothing is known.
pub fn utf8(line: &[u8]) -> Cow<'_, [u8]> {
    if let Some(text) = utf16(line) {
        return Cow::Owned(text.into_bytes());
    }
    match std::str::from_utf8(line) {
        Err(_) if is_latin1(line) => Cow::Owned(line.iter().map(|&b| char::from(b)).collect::<String>().into_bytes()),
        _ => Cow::Borrowed(line),
    }
}

fn utf16(line: &[u8]) -> Option<String> {
    let decode = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
        String::from_utf16_lossy(&units).trim_end_matches('\r').to_owned()
    };
    match line {
        [0xff, 0xfe, rest @ ..] => return Some(decode(rest, u16::from_le_bytes)),
        [0xfe, 0xff, rest @ ..] => return Some(decode(rest, u16::from_be_bytes)),
        _ => {}
    }
    let head = &line[..line.len().min(LOOK)];
    if head.len() < 4 || !head.contains(&0) {
        return None;
    }
    // Behind the first newline: `00` is what is left of it, then low bytes and high bytes in turn; or high bytes first.
    let zeros = |from: usize| head.iter().skip(from).step_by(2).filter(|&&b| b == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    let half = head.len() / 2;
    let is_wide = even.max(odd) * 10 >= half * 8 && even.min(odd) * 10 <= half;
    match (is_wide && even > odd, line.len() % 2) {
        // `00 61 00 62 00`: little-endian behind half of a newline.
        (true, 1) if line.last() == Some(&0) && line.first() == Some(&0) && line.get(1) != Some(&0) => {
            Some(decode(&line[1..], u16::from_le_bytes))
        }
        (true, _) => Some(decode(line, u16::from_be_bytes)),
        _ => None,
    }
}

/// Whether it may be Latin-1 (ISO 8859-1): printable, and at least half of it ASCII.
fn is_latin1(line: &[u8]) -> bool {
    let printable = line.iter().all(|&b| matches!(b, b'\t' | b'\r' | 0x1b | 0x20..=0x7e | 0xa0..=0xff));
    printable && line.iter().filter(|b| b.is_ascii()).count() * 2 >= line.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The lines of a file in an encoding, cut at the byte 0x0A as a recorder does.
    fn lines(units: impl Iterator<Item = [u8; 2]>) -> Vec<String> {
        let bytes: Vec<u8> = units.flatten().collect();
        bytes.split(|&b| b == b'\n').map(|line| String::from_utf8_lossy(&utf8(line)).into_owned()).collect()
    }

    #[test]
    fn utf16_is_read_in_both_byte_orders_though_lines_are_cut_within_the_newline() {
        let text = "\u{feff}first line\r\nERROR größer\r\nlast one\r\n";
        let want = ["first line", "ERROR größer", "last one"];
        assert_eq!(lines(text.encode_utf16().map(u16::to_le_bytes))[..3], want);
        assert_eq!(lines(text.encode_utf16().map(u16::to_be_bytes))[..3], want);
    }

    #[test]
    fn latin1_is_read_and_binary_is_left_alone() {
        assert_eq!(&*utf8(b"Gr\xf6\xdfe \xfcberschritten"), "Größe überschritten".as_bytes());
        for line in
            [&b"plain"[..], "größer".as_bytes(), b"\x00\x01\x02\x03", b"a\0b", b"\x80\x81 text", b"", b"\0", &[0; 64]]
        {
            assert_eq!(&*utf8(line), line);
        }
    }

    proptest! {
        #[test]
        fn utf8_is_never_changed_where_it_has_no_zeros(text in "[^\0\n]{0,40}") {
            prop_assert_eq!(&*utf8(text.as_bytes()), text.as_bytes());
        }

        #[test]
        fn never_panics_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = utf8(&bytes);
        }
    }
}
