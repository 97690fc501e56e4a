use super::*;

const MS: i64 = 1_000_000;

/// A segment at a millisecond.
fn seg(time_ms: i64, flags: u8, seq: u32, ack: u32, payload: u32) -> Segment {
    let tcp = Tcp { flags, seq, ack, window: 500, ..Tcp::default() };
    Segment { frame: time_ms as u64, time: time_ms * MS + 1, ip_id: 0, tcp, payload: Some(payload) }
}

/// A connection with a round trip of 20 ms; side 0 opened it, and goes on at 100, side 1 at 500.
fn open() -> Connection {
    let mut c = Connection::default();
    c.push(0, &seg(0, Tcp::SYN, 99, 0, 0));
    c.push(1, &seg(10, Tcp::SYN | Tcp::ACK, 499, 100, 0));
    c.push(0, &seg(20, Tcp::ACK, 100, 500, 0));
    c
}

fn names(marks: &Marks) -> Vec<&'static str> {
    marks.flags.names().collect()
}

#[test]
fn the_handshake_gives_the_round_trip_from_syn_to_ack() {
    let t = open().totals();
    assert_eq!((t.handshake, t.rtt, t.initial_rtt), (true, Some(20_000_000), Some(20_000_000)));
    assert_eq!((t.unanswered_syns, t.syns, t.syn_acks), (0, [1, 0], 1));
    assert_eq!((t.ack_rtt.count, t.ack_rtt.sum), (2, 20_000_000));
}

#[test]
fn a_segment_sent_again_after_a_timeout_is_a_retransmission() {
    let mut c = open();
    c.push(0, &seg(30, Tcp::ACK, 100, 500, 10));
    assert_eq!(names(&c.push(0, &seg(300, Tcp::ACK, 100, 500, 10))), ["retransmission"]);
    c.push(1, &seg(310, Tcp::ACK, 500, 110, 0));
    let marks = c.push(0, &seg(600, Tcp::ACK, 100, 500, 10));
    assert_eq!(names(&marks), ["retransmission", "spurious_retransmission"], "its bytes were acknowledged");
    let [sent, _] = c.totals().retransmitted;
    assert_eq!((sent.segments, sent.bytes, sent.needless_bytes), (2, 20, 10));
}

#[test]
fn two_segments_swapped_on_the_way_are_out_of_order_and_not_sent_again() {
    let mut c = open();
    assert_eq!(names(&c.push(0, &seg(30, Tcp::ACK, 110, 500, 10))), ["lost_segment"]);
    assert_eq!(names(&c.push(0, &seg(31, Tcp::ACK, 100, 500, 10))), ["out_of_order"]);
    assert_eq!(c.totals().retransmitted[0], Retransmitted::default());
}

#[test]
fn duplicate_acks_make_the_next_retransmission_a_fast_one() {
    let mut c = open();
    for i in 0..3 {
        c.push(0, &seg(30, Tcp::ACK, 100 + 10 * i, 500, 10));
    }
    let numbers: Vec<u32> = (0..4).map(|_| c.push(1, &seg(35, Tcp::ACK, 500, 100, 0)).duplicate_ack).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    assert_eq!(names(&c.push(0, &seg(36, Tcp::ACK, 100, 500, 10))), ["retransmission", "fast_retransmission"]);
}

#[test]
fn what_tshark_takes_for_late_is_a_retransmission_when_its_bytes_were_seen_before() {
    let mut c = open();
    for i in 0..3 {
        c.push(0, &seg(30, Tcp::ACK, 100 + 10 * i, 500, 10));
    }
    // The sender goes on with new bytes while it repairs: the newest segment is then always young.
    let marks = c.push(0, &seg(31, Tcp::ACK, 110, 500, 10));
    assert_eq!((names(&marks), marks.retransmitted), (vec!["out_of_order"], 1));
}

#[test]
fn a_hole_filled_after_a_round_trip_was_filled_by_a_retransmission() {
    for (at, again) in [(31, 0), (45, 1)] {
        let mut c = open();
        c.push(0, &seg(30, Tcp::ACK, 110, 500, 10));
        assert_eq!(c.push(0, &seg(at, Tcp::ACK, 100, 500, 10)).retransmitted, again, "after {} ms", at - 30);
    }
}

#[test]
fn where_the_sender_counts_its_packets_the_count_tells_what_was_sent_later() {
    for (id, again) in [(21, 0), (40, 1)] {
        let mut c = open();
        for i in 0..20 {
            c.push(0, &Segment { ip_id: i as u16 + 1, ..seg(30, Tcp::ACK, 100 + 10 * i, 500, 10) });
        }
        c.push(0, &Segment { ip_id: 22, ..seg(31, Tcp::ACK, 310, 500, 10) });
        let filler = Segment { ip_id: id, ..seg(31, Tcp::ACK, 300, 500, 10) };
        assert_eq!(c.push(0, &filler).retransmitted, again, "packet {id}");
    }
}

#[test]
fn a_receiver_tells_of_duplicates_in_its_first_block() {
    let mut c = open();
    c.push(0, &seg(30, Tcp::ACK, 100, 500, 10));
    let mut report = seg(40, Tcp::ACK, 500, 110, 0);
    report.tcp.sack.push(100, 110);
    c.push(1, &report);
    assert_eq!(c.totals().retransmitted[0].reported, 1);
}

#[test]
fn a_joined_frame_counts_as_the_segments_that_it_holds() {
    let mut c = Connection::default();
    let mut syn = seg(0, Tcp::SYN, 99, 0, 0);
    syn.tcp.mss = Some(1460);
    c.push(0, &syn);
    c.push(0, &seg(10, Tcp::ACK, 100, 1, 14_600));
    assert_eq!(c.push(0, &seg(300, Tcp::ACK, 100, 1, 14_600)).retransmitted, 10);
}

#[test]
fn a_keep_alive_is_neither_sent_again_nor_its_answer_a_duplicate() {
    let mut c = open();
    c.push(0, &seg(30, Tcp::ACK, 100, 500, 10));
    c.push(1, &seg(31, Tcp::ACK, 500, 110, 0));
    assert_eq!(names(&c.push(0, &seg(9_000, Tcp::ACK, 109, 500, 0))), ["keep_alive"]);
    assert_eq!(names(&c.push(1, &seg(9_001, Tcp::ACK, 500, 110, 0))), ["keep_alive_ack"]);
    assert_eq!(c.totals().stall_count, 0, "an idle connection wants nothing");
}

#[test]
fn a_closed_window_is_probed_and_opened() {
    let mut c = open();
    c.push(0, &seg(30, Tcp::ACK, 100, 500, 10));
    let window = |ms, window| {
        let mut s = seg(ms, Tcp::ACK, 500, 110, 0);
        s.tcp.window = window;
        s
    };
    assert_eq!(names(&c.push(1, &window(31, 0))), ["zero_window"]);
    assert_eq!(names(&c.push(0, &seg(300, Tcp::ACK, 110, 500, 1))), ["zero_window_probe"]);
    assert_eq!(names(&c.push(1, &window(301, 0))), ["zero_window", "zero_window_probe_ack"]);
    assert_eq!(names(&c.push(1, &window(900, 40))), ["window_update"]);
    c.push(0, &seg(901, Tcp::ACK, 110, 500, 10));
    let t = c.totals();
    let stall = Stall { start: 31 * MS + 1, length: 870 * MS, cause: StallCause::ZeroWindow, waiting: 0 };
    assert_eq!((t.stalls, t.stalled), (vec![stall], 870_000_000));
}

#[test]
fn a_wait_for_a_retransmission_is_a_stall_of_the_sender() {
    let mut c = open();
    c.push(0, &seg(30, Tcp::ACK, 100, 500, 10));
    c.push(0, &seg(330, Tcp::ACK, 100, 500, 10));
    c.push(1, &seg(340, Tcp::ACK, 500, 110, 0));
    let stall = Stall { start: 30 * MS + 1, length: 310 * MS, cause: StallCause::Retransmission, waiting: 0 };
    assert_eq!(c.totals().stalls, [stall]);
}

#[test]
fn syns_without_any_answer_are_counted_each_and_a_refusal_is_an_answer() {
    let mut c = Connection::default();
    for ms in [0, 1_000, 3_000] {
        c.push(0, &seg(ms, Tcp::SYN, 99, 0, 0));
    }
    let t = c.totals();
    assert_eq!((t.unanswered_syns, t.flagged(Flags::RETRANSMISSION), t.handshake), (3, 2, false));
    assert_eq!(t.stalls.first().map(|s| (s.cause, s.length)), Some((StallCause::Handshake, 3_000 * MS)));
    c.push(1, &seg(3_001, Tcp::RST | Tcp::ACK, 0, 100, 0));
    let t = c.totals();
    assert_eq!((t.unanswered_syns, t.resets), (0, Resets { refused: 1, ..Resets::default() }));
}

#[test]
fn resets_are_told_by_when_they_come() {
    let mut c = open();
    c.push(0, &seg(30, Tcp::RST, 100, 0, 0));
    assert_eq!(c.totals().resets, Resets { mid_stream: 1, ..Resets::default() });
    let mut c = open();
    c.push(1, &seg(30, Tcp::FIN | Tcp::ACK, 500, 100, 0));
    c.push(0, &seg(31, Tcp::RST, 100, 0, 0));
    assert_eq!(c.totals().resets, Resets { after_close: 1, ..Resets::default() });
}

#[test]
fn sequence_numbers_wrap() {
    let mut c = Connection::default();
    c.push(0, &seg(0, Tcp::ACK, u32::MAX - 4, 1, 10));
    c.push(0, &seg(1, Tcp::ACK, 5, 1, 10));
    c.push(0, &seg(400, Tcp::ACK, 5, 1, 10));
    let t = c.totals();
    assert_eq!((t.flagged(Flags::RETRANSMISSION), t.flagged(Flags::LOST_SEGMENT)), (1, 0));
    assert_eq!((t.retransmitted[0].segments, t.payload), (1, [30, 0]));
}

#[test]
fn a_syn_with_another_sequence_number_opens_another_connection() {
    let c = open();
    assert!(!c.is_reopened_by(0, &seg(0, Tcp::SYN, 99, 0, 0).tcp), "the same SYN again");
    let other = seg(40, Tcp::SYN, 12_345, 0, 0);
    assert!(c.is_reopened_by(0, &other.tcp));
    assert_eq!(names(&Connection::reopened().push(0, &other)), ["reused_ports"]);
}

#[test]
fn goodput_leaves_out_what_was_sent_before() {
    let mut c = open();
    c.push(0, &seg(1_000, Tcp::ACK, 100, 500, 1_000));
    c.push(0, &seg(1_400, Tcp::ACK, 100, 500, 1_000));
    c.push(0, &seg(2_000, Tcp::ACK, 1_100, 500, 1_000));
    assert_eq!(c.totals().goodput, [2_000, 0]);
}
