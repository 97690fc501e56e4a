//! A capture file, read whole and through a small window: both give the same packets; fragments are put together.
#![no_main]

use coldcase_decode::capture::{Next, Reader, Window};
use coldcase_decode::packet::{self, Decoded, Reassembler};
use libfuzzer_sys::fuzz_target;

fn read(file: &[u8], piece: usize) -> Option<Vec<(Option<i64>, u32, Decoded)>> {
    let mut reader = Reader::of(file)?;
    let mut window = Window::new(file, piece);
    let mut fragments = Reassembler::default();
    let mut out = Vec::new();
    loop {
        let length = match reader.next(window.left()) {
            Next::Packet(r, length) => {
                let mut decoded = packet::decode(r.link, r.bytes, r.original);
                if decoded.headers().is_some_and(|h| h.fragment) {
                    decoded = fragments.push(r.link, r.bytes, r.original).unwrap_or(decoded);
                }
                out.push((r.time, r.original, decoded));
                length
            }
            Next::Frame(length) | Next::Skip(length) => length,
            Next::Need(n) => match window.fill(n) {
                Ok(got) if got >= n => continue,
                _ => return Some(out),
            },
            Next::Bad(_) => return Some(out),
        };
        assert!(length > 0);
        window.pass(length);
    }
}

fuzz_target!(|bytes: &[u8]| {
    let whole = read(bytes, 1 << 20);
    assert_eq!(whole, read(bytes, 7));
    assert!(whole.is_none_or(|packets| packets.len() <= bytes.len() / 16));
});
