//! No decoder panics, whatever the bytes.

use coldcase_decode::{exposition, log, otlp, packet, pcapng, prometheus, remote_write, spans};
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
        let _ = (spans::jaeger(&bytes), spans::zipkin(&bytes), spans::is_jaeger(&bytes), spans::is_zipkin(&bytes));
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

    /// Numbers at their limits, ids of any length, and values of the wrong type.
    #[test]
    fn almost_spans_of_jaeger_and_zipkin_are_survived(
        id in "[0-9a-fé]{0,40}", time in prop_oneof![any::<i64>().prop_map(|n| n.to_string()), "\\PC{0,6}"], long: i64,
        key in "span.kind|error|otel.status_code|thread.id|event", value in "\"[a-z0-9]{0,6}\"|[0-9]{0,30}|null|\\[\\]",
    ) {
        let jaeger = format!(
            "{{\"data\":[{{\"spans\":[{{\"traceID\":\"{id}\",\"spanID\":\"{id}\",\"startTime\":{time},\"duration\":{long},\
             \"references\":[{{\"refType\":\"CHILD_OF\",\"traceID\":\"{id}\",\"spanID\":\"{id}\"}}],\"tags\":[{{\"key\":\"{key}\",\
             \"value\":{value}}}],\"logs\":[{{\"timestamp\":{long},\"fields\":[{{\"key\":\"{key}\",\"value\":{value}}}]}}]}}]}}]}}"
        );
        let zipkin = format!(
            "[{{\"traceId\":\"{id}\",\"id\":\"{id}\",\"parentId\":\"{id}\",\"timestamp\":{time},\"duration\":{long},\
             \"tags\":{{\"{key}\":{value}}},\"annotations\":[{{\"timestamp\":{long},\"value\":\"{id}\"}}]}}]"
        );
        for spans in [spans::jaeger(jaeger.as_bytes()), spans::zipkin(zipkin.as_bytes())].into_iter().flatten() {
            prop_assert_eq!(spans.len(), 1);
            spans[0].duration();
        }
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
