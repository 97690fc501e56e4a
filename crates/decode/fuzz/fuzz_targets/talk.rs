//! A talk between a client and a server out of bytes: each turn begins with a byte for its side and kind, and one for its
//! length. The same talk in other pieces must give the same requests.

use coldcase_decode::request::{Dissector, End, Request, Side, Stamp, missing};

/// Turns: the side, and its bytes or how many are missing.
fn turns(mut rest: &[u8]) -> Vec<(Side, Result<&[u8], u64>)> {
    let mut out = Vec::new();
    while let [kind, length, behind @ ..] = rest {
        let side = if kind & 1 == 0 { Side::Client } else { Side::Server };
        let length = usize::from(*length) << (kind >> 1 & 3);
        if kind & 8 != 0 {
            out.push((side, Err(length as u64)));
            rest = behind;
        } else {
            let (bytes, behind) = behind.split_at(length.min(behind.len()));
            out.push((side, Ok(bytes)));
            rest = behind;
        }
    }
    out
}

fn read(mut dissector: impl Dissector, input: &[u8], size: usize) -> (Vec<Request>, u64) {
    let mut out = Vec::new();
    for (n, (side, turn)) in turns(input).into_iter().enumerate() {
        let at = Stamp { time: n as i64, packet: n as u64 };
        match turn {
            Ok(bytes) => bytes.chunks(size).for_each(|b| dissector.bytes(side, at, b, &mut out)),
            Err(length) => dissector.gap(side, at, length, &mut out),
        }
    }
    dissector.end(End::Closed, Stamp::default(), &mut out);
    (out, dissector.unread())
}

/// Reads the talk whole and in pieces.
pub fn run<D: Dissector>(new: fn() -> D, probe: coldcase_decode::request::detect::Probe, input: &[u8]) {
    probe(Side::Client, input);
    probe(Side::Server, input);
    let (whole, unread) = read(new(), input, usize::MAX);
    for size in [1, 7] {
        let (pieces, _) = read(new(), input, size);
        // Where a side was lost, how much of it is there at once decides what it is found again by.
        // A side that was lost says so: its answers are matched by order.
        let lost = whole.iter().any(|r| r.missing & missing::INFERRED != 0);
        if unread == 0 && !lost && turns(input).iter().all(|t| t.1.is_ok()) {
            assert_eq!(pieces, whole);
        }
    }
}
