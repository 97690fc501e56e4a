#![allow(clippy::unwrap_used)]

use super::super::{Outcome, Protocol};
use super::*;

fn at(n: i64) -> Stamp {
    Stamp { time: n, packet: n as u64 }
}

/// A conversation: `>` from the client, `<` from the server, `-` and `_` a gap of the client and the server.
fn talk(midway: bool, said: &[(&str, &str)], how: End) -> Vec<Request> {
    let mut http = Http1::new(Opening { midway, depth: 0 });
    let mut out = Vec::new();
    for (n, (who, what)) in said.iter().enumerate() {
        let at = at(n as i64);
        match *who {
            ">" => http.bytes(Side::Client, at, what.as_bytes(), &mut out),
            "<" => http.bytes(Side::Server, at, what.as_bytes(), &mut out),
            "-" => http.gap(Side::Client, at, what.parse().unwrap(), &mut out),
            "_" => http.gap(Side::Server, at, what.parse().unwrap(), &mut out),
            ">fin" => http.half_close(Side::Client, at, &mut out),
            _ => http.half_close(Side::Server, at, &mut out),
        }
    }
    http.end(how, at(99), &mut out);
    out
}

fn brief(requests: &[Request]) -> Vec<String> {
    requests.iter().map(|r| format!("{} {} {:?} {}", r.key, r.code, r.outcome, r.missing)).collect()
}

#[test]
fn a_request_and_its_answer_have_times_sizes_and_identity() {
    let said = &[
        (">", "POST http://h/a/17?x=1 HTTP/1.1\r\nHost: other\r\ntraceparent: 00-ab-cd-01\r\n"),
        (">", "Content-Length: 4\r\n\r\nab"),
        (">", "cd"),
        ("<", "HTTP/1.1 100 Continue\r\n\r\n"),
        ("<", "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n"),
        ("<", "0\r\nTrailer: x\r\n\r"),
        ("<", "\n"),
    ];
    let out = talk(false, said, End::Capture);
    let bytes = |side| said.iter().filter(|(who, _)| *who == side).map(|(_, what)| what.len() as u64).sum::<u64>();
    let [r] = &out[..] else { panic!("{out:?}") };
    assert_eq!((r.key.as_str(), r.target.as_str()), ("POST /a/{n}", "h"));
    assert_eq!(r.detail, "POST http://h/a/17?x=1");
    assert_eq!(r.traceparent.as_deref(), Some("00-ab-cd-01"));
    assert_eq!((r.start, r.sent, r.first, r.end), (at(0), Some(at(2)), Some(at(4)), Some(at(6))));
    assert_eq!((r.code.as_str(), r.outcome, r.protocol), ("404", Outcome::Error, Protocol::Http1));
    assert_eq!((r.request_bytes, r.response_bytes), (bytes(">"), bytes("<")));
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let out = talk(
        false,
        &[
            (">", "GET /a HTTP/1.1\r\n\r\nHEAD /b HTTP/1.1\r\n\r\nGET /c HTTP/1.1\r\n\r\nGET /d HTTP/1.1\r\n\r\n"),
            ("<", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
            ("<", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nHTTP/1.1 500 No\r\n\r\nuntil the"),
            ("<", " close"),
            ("<fin", ""),
        ],
        End::Closed,
    );
    assert_eq!(brief(&out), ["GET /a 200 Ok 0", "HEAD /b 200 Ok 0", "GET /c 304 Ok 0", "GET /d 500 Error 0"]);
    assert_eq!(out[3].end, Some(at(3)));
}

#[test]
fn what_is_not_answered_says_how_it_ended() {
    let request = (">", "GET /a HTTP/1.1\r\n\r\n");
    let half = ("<", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
    assert_eq!(brief(&talk(false, &[request], End::Capture)), ["GET /a  Unfinished 0"]);
    assert_eq!(brief(&talk(false, &[request], End::Closed)), ["GET /a  Closed 0"]);
    assert_eq!(brief(&talk(false, &[request, half], End::Reset)), ["GET /a 200 Reset 0"]);
    assert_eq!(brief(&talk(false, &[(">", "GET /a HT")], End::Reset)), ["GET /a  Reset 0"]);
    let unsent = [(">", "POST /a HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf"), ("<", "HTTP/1.1 413 Too Large\r\n\r\n")];
    assert_eq!(brief(&talk(false, &[&unsent[..], &[("<fin", "")]].concat(), End::Reset)), ["POST /a 413 Error 0"]);
}

#[test]
fn a_gap_in_a_body_is_counted_and_the_exchange_goes_on() {
    let out = talk(
        false,
        &[
            (">", "POST /a HTTP/1.1\r\nContent-Length: 1000\r\n\r\nx"),
            ("-", "999"),
            ("<", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx"),
            ("_", "900"),
            ("<", &"y".repeat(99)),
            (">", "GET /b HTTP/1.1\r\n\r\n"),
            ("<", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100\r\nabc"),
            ("_", "200"),
            ("<", &format!("{}\r\n0\r\n\r\n", "z".repeat(0x100 - 203))),
        ],
        End::Capture,
    );
    assert_eq!(brief(&out), ["POST /a 200 Ok 6", "GET /b 200 Ok 4"]);
    assert_eq!((out[0].request_bytes, out[0].response_bytes), (1042, 1041));
    assert_eq!(out[1].end, Some(at(8)));
}

#[test]
fn a_lost_answer_does_not_shift_those_behind_it() {
    let out = talk(
        false,
        &[
            (">", "GET /a HTTP/1.1\r\n\r\n"),
            ("_", "500"),
            (">", "GET /b HTTP/1.1\r\n\r\n"),
            ("<", "HTTP/1.1 204 No\r\n\r\n"),
            (">", "GET /c HTTP/1.1\r\n\r\n"),
            ("<", "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"),
        ],
        End::Capture,
    );
    assert_eq!(brief(&out), ["GET /a  Unfinished 4", "GET /b 204 Ok 0", "GET /c 404 Error 0"]);
}

#[test]
fn a_lost_request_does_not_shift_those_behind_it() {
    let out = talk(
        false,
        &[
            ("-", "80"),
            ("<", "HTTP/1.1 200 No\r\nContent-Length: 0\r\n\r\n"),
            (">", "GET /b HTTP/1.1\r\n\r\n"),
            ("<", "HTTP/1.1 204 No\r\n\r\n"),
            ("_", "100"),
            ("-", "80"),
            (">", "GET /c HTTP/1.1\r\n\r\n"),
            ("<", "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"),
        ],
        End::Capture,
    );
    assert_eq!(brief(&out), ["? 200 Ok 2", "GET /b 204 Ok 0", "?  Unfinished 6", "GET /c 404 Error 0"]);
}

#[test]
fn packets_cut_inside_heads_still_give_requests_and_statuses() {
    let out = talk(
        false,
        &[
            (">", "POST /a HTTP/1.1\r\nHost: h\r\nUser-A"),
            ("-", "300"),
            ("<", "HTTP/1.1 503 Busy\r\nServer: n"),
            ("_", "700"),
            (">", "GET /b HTTP/1.1\r\nHost: h\r\nUser-A"),
            ("-", "300"),
            ("<", "HTTP/1.1 200 OK\r\nSer"),
            ("_", "7000"),
        ],
        End::Closed,
    );
    assert_eq!(brief(&out), ["POST /a 503 Error 6", "GET /b 200 Ok 6"]);
    assert_eq!((out[0].request_bytes, out[0].response_bytes), (333, 728));
    assert_eq!((out[1].first, out[1].end), (Some(at(6)), Some(at(7))));
}

#[test]
fn a_connection_met_in_its_midst_is_read_from_its_next_head() {
    let out = talk(
        true,
        &[
            ("<", "rest of some body HTTP/1.1 x"),
            (">", "GET /a HTTP/1.1\r\n"),
            (">", "\r\n"),
            ("<", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ],
        End::Capture,
    );
    assert_eq!(brief(&out), ["GET /a 200 Ok 0"]);
    let out = talk(true, &[("<", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")], End::Capture);
    assert_eq!(brief(&out), ["? 200 Ok 3"]);
}

#[test]
fn other_protocols_take_the_connection_over() {
    let ws = talk(
        false,
        &[
            (">", "GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"),
            ("<", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x01\x02"),
            (">", "GET /not HTTP/1.1\r\n\r\n"),
        ],
        End::Closed,
    );
    assert_eq!(brief(&ws), ["GET /ws 101 Ok 0"]);
    let tunnel = talk(
        false,
        &[
            (">", "CONNECT h:80 HTTP/1.1\r\n\r\n"),
            ("<", "HTTP/1.1 200 Connected\r\nContent-Length: 7\r\n\r\n"),
            (">", "GET /in HTTP/1.1\r\n\r\n"),
            ("<", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ],
        End::Closed,
    );
    assert_eq!(brief(&tunnel), ["CONNECT 200 Ok 0", "GET /in 200 Ok 0"]);
    let refused = talk(
        false,
        &[
            (">", "GET /a HTTP/1.1\r\nUpgrade: h2c\r\n\r\nGET /b HTTP/1.1\r\n\r\n"),
            ("<", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 201 OK\r\nContent-Length: 0\r\n\r\n"),
        ],
        End::Closed,
    );
    assert_eq!(brief(&refused), ["GET /a 200 Ok 0", "GET /b 201 Ok 0"]);
}

#[test]
fn endless_heads_and_very_many_requests_stay_bounded() {
    let mut http = Http1::new(Opening::default());
    let mut out = Vec::new();
    http.bytes(Side::Client, at(0), b"GET /a HTTP/1.1\r\n", &mut out);
    for n in 0..10_000 {
        http.bytes(Side::Client, at(n), &[b'x'; 1000], &mut out);
    }
    assert!(http.readers[0].buffer.left().len() <= head::HEAD + PART);
    for n in 0..5000 {
        http.bytes(Side::Client, at(n), b"\r\n\r\nGET /b HTTP/1.1\r\n\r\n", &mut out);
    }
    http.end(End::Capture, at(1), &mut out);
    assert_eq!(out.len(), 5001);
}

#[test]
fn losses_one_after_another_shift_nothing() {
    let request = |n: usize| format!("GET /{} HTTP/1.1\r\n\r\n", ["a", "b", "c", "d"][n]);
    let answer = "HTTP/1.1 204 No\r\n\r\n";
    let (a, b, c, d) = (request(0), request(1), request(2), request(3));
    let lost_answers = [(">", a.as_str()), ("_", "19"), (">", &b), ("_", "19"), (">", &c), ("<", answer)];
    assert_eq!(
        brief(&talk(false, &lost_answers, End::Capture)),
        ["GET /a  Unfinished 4", "GET /b  Unfinished 4", "GET /c 204 Ok 0"]
    );
    let lost_requests = [("-", "20"), ("<", answer), ("-", "20"), ("<", answer), (">", &d), ("<", answer)];
    assert_eq!(brief(&talk(false, &lost_requests, End::Capture)), ["? 204 Ok 2", "? 204 Ok 2", "GET /d 204 Ok 0"]);
}

#[test]
fn a_cut_head_of_an_answer_without_body_counts_what_is_cut() {
    let said = [(">", "HEAD /a HTTP/1.1\r\n\r\n"), ("<", "HTTP/1.1 200 OK\r\nSer"), ("_", "100")];
    let out = talk(false, &said, End::Capture);
    assert_eq!((brief(&out), out[0].response_bytes), (vec!["HEAD /a 200 Ok 4".to_owned()], 120));
}
