//! HPACK (RFC 7541), read so that what is known stays known where the connection was met in its midst or bytes are
//! missing. That is why it is our own: libraries stop at the first reference to an entry that they never saw.
//!
//! Entries are counted from the newest, so those that came since the gap have their right numbers whatever came
//! before. For the same reason the table need not shrink when its owner's does: an entry that the owner evicted is
//! never referred to. It is bounded by [`TABLE`] instead, and a reference beyond it is an unknown field.

use std::collections::VecDeque;

/// Most bytes of entries kept (RFC 7541 4.1). Browsers take 64 KiB, others 4 KiB.
const TABLE: usize = 64 << 10;
/// What an entry costs beside its bytes (RFC 7541 4.1).
const ENTRY: usize = 32;
/// Longest name or value, after decoding.
const STRING: usize = 32 << 10;

/// A block that can not be read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// Receives the fields: name and value, `None` for what is not known.
pub(super) type Each<'e> = dyn FnMut(Option<&[u8]>, Option<&[u8]>) + 'e;

/// A name or value; `None` where it is not known.
type Text = Option<Box<[u8]>>;

/// A name and a value as they are looked up.
type Field<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// The dynamic table of one side.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// Newest first.
    entries: VecDeque<(Text, Text)>,
    size: usize,
}

impl Decoder {
    /// Blocks were missed: entries have other numbers now.
    pub(super) fn forget(&mut self) {
        self.entries.clear();
        self.size = 0;
    }

    /// Reads a header block.
    pub(super) fn decode(&mut self, mut block: &[u8], each: &mut Each<'_>) -> Result<(), Malformed> {
        while let Some(&first) = block.first() {
            if first & 0x80 != 0 {
                let index = integer(&mut block, 7)?;
                let (name, value) = self.entry(index)?;
                each(name, value);
            } else if first & 0xe0 == 0x20 {
                // Size update (6.3).
                integer(&mut block, 5)?;
            } else {
                let indexed = first & 0x40 != 0;
                let index = integer(&mut block, if indexed { 6 } else { 4 })?;
                let name: Text = match index {
                    0 => Some(string(&mut block)?),
                    _ => self.entry(index)?.0.map(Box::from),
                };
                let value = string(&mut block)?;
                each(name.as_deref(), Some(&value));
                if indexed {
                    self.insert(name, value);
                }
            }
        }
        Ok(())
    }

    /// The entry at an index (2.3.3).
    fn entry(&self, index: usize) -> Result<Field<'_>, Malformed> {
        let index = index.checked_sub(1).ok_or(Malformed)?;
        if let Some((name, value)) = STATIC.get(index) {
            return Ok((Some(name.as_bytes()), Some(value.as_bytes())));
        }
        Ok(match self.entries.get(index - STATIC.len()) {
            Some((name, value)) => (name.as_deref(), value.as_deref()),
            None => (None, None),
        })
    }

    fn insert(&mut self, name: Text, value: Box<[u8]>) {
        self.size += cost(&name) + value.len() + ENTRY;
        self.entries.push_front((name, Some(value)));
        while self.size > TABLE {
            let Some((name, value)) = self.entries.pop_back() else { break };
            self.size -= cost(&name) + cost(&value) + ENTRY;
        }
    }
}

fn cost(text: &Text) -> usize {
    text.as_ref().map_or(0, |t| t.len())
}

/// An integer behind a prefix of so many bits (5.1).
fn integer(block: &mut &[u8], prefix: u32) -> Result<usize, Malformed> {
    let (&first, mut rest) = block.split_first().ok_or(Malformed)?;
    let most = (1usize << prefix) - 1;
    let mut value = usize::from(first) & most;
    if value == most {
        for shift in (0..28).step_by(7) {
            let (&byte, behind) = rest.split_first().ok_or(Malformed)?;
            rest = behind;
            value += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                *block = rest;
                return Ok(value);
            }
        }
        return Err(Malformed);
    }
    *block = rest;
    Ok(value)
}

/// A string (5.2).
fn string(block: &mut &[u8]) -> Result<Box<[u8]>, Malformed> {
    let coded = block.first().ok_or(Malformed)? & 0x80 != 0;
    let length = integer(block, 7)?;
    let (bytes, rest) = block.split_at_checked(length).ok_or(Malformed)?;
    *block = rest;
    if length > STRING {
        return Err(Malformed);
    }
    if coded { huffman(bytes) } else { Ok(bytes.into()) }
}

/// Decodes a string of the Huffman code (Appendix B), which is canonical: its lengths are all there is to it.
fn huffman(bytes: &[u8]) -> Result<Box<[u8]>, Malformed> {
    let mut out = Vec::with_capacity(bytes.len() * 8 / 5);
    let (mut code, mut length) = (0u32, 0usize);
    for &byte in bytes {
        for bit in (0..8).rev() {
            code = code << 1 | u32::from(byte >> bit & 1);
            length += 1;
            if let Some(n) = code.checked_sub(CODE.first[length]).filter(|n| *n < CODE.count[length]) {
                let symbol = CODE.symbols[(CODE.before[length] + n) as usize];
                // The end of string never occurs in a string.
                out.push(u8::try_from(symbol).map_err(|_| Malformed)?);
                (code, length) = (0, 0);
            } else if length == LONGEST {
                return Err(Malformed);
            }
        }
    }
    // Padding is the beginning of the end of string: ones, fewer than eight.
    if length < 8 && code == (1 << length) - 1 { Ok(out.into()) } else { Err(Malformed) }
}

/// Longest code.
const LONGEST: usize = 30;

/// A canonical code: by length, the first code, how many there are, and how many symbols have shorter ones.
struct Code {
    first: [u32; LONGEST + 1],
    count: [u32; LONGEST + 1],
    before: [u32; LONGEST + 1],
    symbols: [u16; 257],
}

static CODE: Code = code();

const fn code() -> Code {
    let mut code =
        Code { first: [0; LONGEST + 1], count: [0; LONGEST + 1], before: [0; LONGEST + 1], symbols: [0; 257] };
    let (mut length, mut next, mut placed) = (1, 0, 0);
    while length <= LONGEST {
        next <<= 1;
        code.first[length] = next;
        code.before[length] = placed;
        let mut symbol = 0;
        while symbol < 257 {
            if LENGTHS[symbol] as usize == length {
                code.symbols[placed as usize] = symbol as u16;
                code.count[length] += 1;
                placed += 1;
                next += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    code
}

/// The lengths of the codes of the 256 bytes and the end of string (Appendix B).
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7,
    7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
    23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
    21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

/// The static table (Appendix A).
#[rustfmt::skip]
static STATIC: [(&str, &str); 61] = [
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"), (":path", "/index.html"),
    (":scheme", "http"), (":scheme", "https"), (":status", "200"), (":status", "204"), (":status", "206"),
    (":status", "304"), (":status", "400"), (":status", "404"), (":status", "500"), ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""), ("accept", ""),
    ("access-control-allow-origin", ""), ("age", ""), ("allow", ""), ("authorization", ""), ("cache-control", ""),
    ("content-disposition", ""), ("content-encoding", ""), ("content-language", ""), ("content-length", ""),
    ("content-location", ""), ("content-range", ""), ("content-type", ""), ("cookie", ""), ("date", ""), ("etag", ""),
    ("expect", ""), ("expires", ""), ("from", ""), ("host", ""), ("if-match", ""), ("if-modified-since", ""),
    ("if-none-match", ""), ("if-range", ""), ("if-unmodified-since", ""), ("last-modified", ""), ("link", ""),
    ("location", ""), ("max-forwards", ""), ("proxy-authenticate", ""), ("proxy-authorization", ""), ("range", ""),
    ("referer", ""), ("refresh", ""), ("retry-after", ""), ("server", ""), ("set-cookie", ""),
    ("strict-transport-security", ""), ("transfer-encoding", ""), ("user-agent", ""), ("vary", ""), ("via", ""),
    ("www-authenticate", ""),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(|b| *b != b' ').collect();
        digits.chunks(2).map(|c| u8::from_str_radix(std::str::from_utf8(c).unwrap(), 16).unwrap()).collect()
    }

    fn decode(decoder: &mut Decoder, block: &str) -> Vec<String> {
        let mut out = Vec::new();
        let text = |t: Option<&[u8]>| t.map_or("?".to_owned(), |t| String::from_utf8_lossy(t).into_owned());
        decoder.decode(&hex(block), &mut |n, v| out.push(format!("{}={}", text(n), text(v)))).unwrap();
        out
    }

    /// RFC 7541 C.4 and C.6: three blocks each, with Huffman coding.
    const REQUESTS: [&str; 3] = [
        "828684418cf1e3c2e5f23a6ba0ab90f4ff",
        "828684be5886a8eb10649cbf",
        "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
    ];
    const RESPONSES: [&str; 3] = [
        "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
        "4883640effc1c0bf",
        "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
    ];

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        let mut d = Decoder::default();
        assert_eq!(
            decode(&mut d, REQUESTS[0]),
            [":method=GET", ":scheme=http", ":path=/", ":authority=www.example.com"]
        );
        assert_eq!(decode(&mut d, REQUESTS[1])[4], "cache-control=no-cache");
        assert_eq!(
            decode(&mut d, REQUESTS[2])[2..],
            [":path=/index.html", ":authority=www.example.com", "custom-key=custom-value"]
        );
        let mut d = Decoder::default();
        assert_eq!(decode(&mut d, RESPONSES[0])[0], ":status=302");
        assert_eq!(
            decode(&mut d, RESPONSES[1]),
            [
                ":status=307",
                "cache-control=private",
                "date=Mon, 21 Oct 2013 20:13:21 GMT",
                "location=https://www.example.com"
            ]
        );
        assert_eq!(
            decode(&mut d, RESPONSES[2])[5],
            "set-cookie=foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"
        );
    }

    #[test]
    fn after_a_gap_old_entries_are_unknown_and_new_ones_are_known() {
        let mut d = Decoder::default();
        assert_eq!(decode(&mut d, REQUESTS[1])[3..], ["?=?", "cache-control=no-cache"]);
        assert_eq!(decode(&mut d, "be"), ["cache-control=no-cache"]);
        d.forget();
        assert_eq!(decode(&mut d, "be"), ["?=?"]);
        // A literal with an unknown name is an entry with an unknown name.
        assert_eq!(decode(&mut d, "7e 01 61"), ["?=a"]);
        assert_eq!(decode(&mut d, "be"), ["?=a"]);
    }

    #[test]
    fn a_bomb_stays_small_and_nonsense_is_refused() {
        let mut d = Decoder::default();
        let mut block = hex("40 01 61 7f a1 1e");
        block.extend([b'x'; 4000]);
        block.extend([0xbe; 10_000]);
        let mut fields = 0;
        assert!(d.decode(&block, &mut |_, _| fields += 1).is_ok());
        assert_eq!(fields, 10_001);
        for _ in 0..100 {
            assert!(d.decode(&block, &mut |_, _| {}).is_ok());
        }
        assert!(d.size <= TABLE);
        for bad in ["80", "40 01 61", "ff ff ff ff ff 7f", "00 81 ff 00", "00 84 ff ff ff fc 00", "7f"] {
            assert_eq!(Decoder::default().decode(&hex(bad), &mut |_, _| {}), Err(Malformed), "{bad}");
        }
    }
}
