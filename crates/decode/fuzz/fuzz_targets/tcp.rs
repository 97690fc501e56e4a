//! Segments of one connection: 20 bytes make one.
#![no_main]

use coldcase_decode::packet::Tcp;
use coldcase_decode::tcp::{Connection, Segment};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut connection = Connection::default();
    let mut time = 0i64;
    for (frame, raw) in bytes.chunks_exact(20).enumerate() {
        let word = |at: usize| u32::from_le_bytes([raw[at], raw[at + 1], raw[at + 2], raw[at + 3]]);
        time = time.wrapping_add(i64::from(word(12) as i32) << (raw[17] & 31));
        let mut tcp = Tcp {
            flags: raw[0],
            seq: word(2),
            ack: word(6),
            window: u16::from_le_bytes([raw[10], raw[11]]),
            ..Tcp::default()
        };
        if raw[1] & 1 != 0 {
            tcp.sack.push(word(6).wrapping_add(u32::from(raw[18])), word(6).wrapping_add(u32::from(raw[19])));
        }
        if raw[1] & 2 != 0 {
            (tcp.window_scale, tcp.mss) = (Some(raw[18]), Some(u16::from(raw[19])));
        }
        tcp.mptcp = raw[1] & 4;
        if connection.is_reopened_by(usize::from(raw[1] >> 7), &tcp) && raw[1] & 8 != 0 {
            connection = Connection::reopened();
        }
        let payload = (raw[1] & 16 == 0).then_some(word(16) >> (raw[18] & 31));
        connection.push(
            usize::from(raw[1] >> 7),
            &Segment { frame: frame as u64 + 1, time, ip_id: u16::from(raw[19]), tcp, payload },
        );
    }
    let totals = connection.totals();
    assert!(totals.stalls.len() <= 16);
});
