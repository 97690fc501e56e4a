//! No decoder panics, whatever the bytes.

use coldcase_decode::{exposition, log, otlp, packet, pcapng, prometheus, remote_write};
use proptest::prelude::*;

const LINKS: [u16; 19] = [0, 1, 9, 12, 14, 50, 51, 101, 104, 105, 108, 113, 119, 127, 163, 204, 228, 276, 147];

/// A pcapng section whose blocks are well-formed and whose contents are not.
fn section(link: u16, frame: &[u8], original: u32) -> Vec<u8> {
    let block = |kind: u32, body: &[u8]| {
        let total = (12 + body.len().next_multiple_of(4)) as u32;
        let mut out = [kind.to_le_bytes(), total.to_le_bytes()].concat();
        out.extend(body);
        out.resize(total as usize - 4, 0);
        out.extend(total.to_le_bytes());
        out
    };
    let mut out = block(0x0a0d_0d0a, &[0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]);
    out.extend(block(1, &[link.to_le_bytes(), [0, 0], [0, 0], [0, 0]].concat()));
    let mut body = vec![0; 12];
    body.extend((frame.len() as u32).to_le_bytes());
    body.extend(original.to_le_bytes());
    body.extend(frame);
    out.extend(block(6, &body));
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_are_survived_by_every_decoder(bytes in prop::collection::vec(any::<u8>(), 0..600), original: u32) {
        for link in LINKS {
            packet::decode(link, &bytes, original);
        }
        pcapng::decode(&bytes);
        let _ = (otlp::traces(&bytes), otlp::metrics(&bytes), otlp::logs(&bytes));
        prometheus::parse(&bytes, "application/openmetrics-text");
        exposition::read(&bytes, "application/vnd.google.protobuf; encoding=delimited");
        let _ = (remote_write::v1(&bytes), remote_write::v2(&bytes));
        log::parse(&bytes);
    }

    #[test]
    fn any_frame_in_a_well_formed_section_is_one_packet(
        frame in prop::collection::vec(any::<u8>(), 0..200), original: u32, link in prop::sample::select(&LINKS[..]),
    ) {
        let decoded = pcapng::decode(&section(link, &frame, original));
        prop_assert_eq!(decoded.problem, None);
        prop_assert_eq!(decoded.packets.len(), 1);
        prop_assert_eq!(decoded.packets[0].captured as usize, frame.len());
    }

    #[test]
    fn any_text_is_survived_by_the_text_decoders(text in "\\PC{0,300}") {
        let page = prometheus::parse(text.as_bytes(), "text/plain");
        let lines = text.split('\n').count();
        prop_assert!(page.samples.len() <= lines && page.errors.len() <= lines);
        log::parse(text.as_bytes());
    }

    #[test]
    fn almost_log_lines_are_survived(
        text in "[0-9/:T. ,+Z-]{0,40}|(trace_id|ts|time|level)[=:\"é]{0,3}[0-9a-f\"é ]{0,40}|[{\"a:=é,}]{0,40}|(<1>|E0102 |Jan  2 )[0-9: a-]{0,30}",
        near: i64,
    ) {
        log::parse(text.as_bytes());
        log::parse_at(text.as_bytes(), Some(near));
    }
}
