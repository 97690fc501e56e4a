#![allow(clippy::unwrap_used)]

use super::super::detect::Verdict;
use super::*;

fn at(n: i64) -> Stamp {
    Stamp { time: n, packet: n as u64 }
}

fn vector(bytes: usize, content: &[u8]) -> Vec<u8> {
    [&(content.len() as u32).to_be_bytes()[4 - bytes..], content].concat()
}

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 3, 3][..], &vector(2, body)].concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &vector(2, content)].concat()
}

/// A ClientHello that offers these versions.
fn client(versions: &[u16]) -> Vec<u8> {
    let versions: Vec<u8> = versions.iter().flat_map(|v| v.to_be_bytes()).collect();
    let extensions = [
        extension(0, &vector(2, &[&[0][..], &vector(2, b"example.org")].concat())),
        extension(16, &vector(2, &[vector(1, b"h2"), vector(1, b"http/1.1")].concat())),
        extension(43, &vector(1, &versions)),
    ];
    let body =
        [&[3, 3][..], &[7; 32], &[0], &vector(2, &[0x13, 1]), &vector(1, &[0]), &vector(2, &extensions.concat())];
    record(22, &[&[1][..], &vector(3, &body.concat())].concat())
}

/// A ServerHello with these extensions.
fn server(random: [u8; 32], extensions: &[Vec<u8>]) -> Vec<u8> {
    let body = [&[3, 3][..], &random, &[0], &[0x13, 1, 0], &vector(2, &extensions.concat())];
    record(22, &[&[2][..], &vector(3, &body.concat())].concat())
}

fn version_13() -> Vec<u8> {
    extension(43, &[3, 4])
}

fn talk(said: &[(Side, Vec<u8>)], how: End) -> Vec<Request> {
    let mut tls = Tls::default();
    let mut out = Vec::new();
    for (n, (from, bytes)) in said.iter().enumerate() {
        tls.bytes(*from, at(n as i64), bytes, &mut out);
    }
    tls.end(how, at(99), &mut out);
    out
}

use Side::{Client, Server};

#[test]
fn a_handshake_of_1_3_ends_with_the_clients_finished() {
    let retry = server(
        [
            0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2,
            0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
        ],
        &[version_13()],
    );
    let said = [
        (Client, client(&[0x0a0a, 0x0303, 0x0304])),
        (Server, [retry, record(20, &[1])].concat()),
        (Client, [record(20, &[1]), client(&[0x0304])].concat()),
        (Server, server([1; 32], &[version_13(), extension(41, &[0, 0])])),
        (Server, record(23, &[0; 900])),
        (Client, record(23, &[0; 53])),
        (Client, record(23, &[0; 19])),
        (Server, record(23, &[0; 500])),
    ];
    let out = talk(&said, End::Closed);
    let [r] = &out[..] else { panic!("{out:?}") };
    assert_eq!((r.key.as_str(), r.target.as_str()), ("TLS 1.3", "example.org"));
    assert_eq!(r.detail, "TLS 1.3, ALPN offered h2 http/1.1, resumed");
    assert_eq!((r.start, r.sent, r.first, r.end), (at(0), Some(at(0)), Some(at(1)), Some(at(5))));
    assert_eq!((r.first_row, r.outcome, r.code.as_str()), (Some(at(6)), Outcome::Ok, ""));
}

#[test]
fn a_handshake_of_1_2_ends_with_the_last_finished_and_shows_resumption() {
    let hello = (Client, client(&[0x0303]));
    let alpn = extension(16, &vector(2, &vector(1, b"h2")));
    let finished = [record(20, &[1]), record(22, &[9; 40])].concat();
    let certificate = record(22, &[&[11][..], &vector(3, &[0; 600])].concat());
    let full = [
        hello.clone(),
        (Server, [server([1; 32], std::slice::from_ref(&alpn)), certificate[..300].to_vec()].concat()),
        (Server, certificate[300..].to_vec()),
        (Client, finished.clone()),
        (Server, finished.clone()),
        (Client, record(23, &[0; 10])),
    ];
    let r = &talk(&full, End::Closed)[0];
    assert_eq!((r.detail.as_str(), r.end, r.first_row), ("TLS 1.2, ALPN h2", Some(at(4)), Some(at(5))));
    let short = [
        hello,
        (Server, [server([1; 32], &[alpn]), finished.clone()].concat()),
        (Client, finished),
        (Client, record(21, &[0; 24])),
    ];
    let r = &talk(&short, End::Closed)[0];
    assert_eq!((r.detail.as_str(), r.end), ("TLS 1.2, ALPN h2, resumed", Some(at(2))));
    assert_eq!((r.outcome, r.code.as_str()), (Outcome::Ok, ""));
}

#[test]
fn alerts_and_silence_end_a_handshake() {
    let hello = (Client, client(&[0x0304, 0x0303]));
    let brief = |said: &[(Side, Vec<u8>)], how| {
        let r = talk(said, how).remove(0);
        format!("{} {} {:?}", r.detail, r.code, r.outcome)
    };
    let offered = "TLS 1.3 offered, ALPN offered h2 http/1.1";
    assert_eq!(
        brief(&[hello.clone(), (Server, record(21, &[2, 40]))], End::Closed),
        format!("{offered} handshake_failure Error")
    );
    assert_eq!(brief(std::slice::from_ref(&hello), End::Capture), format!("{offered}  Unfinished"));
    assert_eq!(brief(std::slice::from_ref(&hello), End::Reset), format!("{offered}  Reset"));
    let hidden = [
        hello,
        (Server, server([1; 32], &[version_13()])),
        (Server, record(23, &[0; 99])),
        (Client, record(23, &[0; 19])),
    ];
    assert_eq!(brief(&hidden, End::Closed), "TLS 1.3, ALPN offered h2 http/1.1 encrypted alert Error");
}

#[test]
fn a_hello_that_is_cut_is_read_as_far_as_it_goes() {
    let hello = client(&[0x0304]);
    let mut tls = Tls::default();
    let mut out = Vec::new();
    tls.bytes(Client, at(0), &hello[..80], &mut out);
    tls.gap(Client, at(0), hello.len() as u64 - 80, &mut out);
    let answer = server([1; 32], &[version_13()]);
    tls.bytes(Server, at(1), &answer, &mut out);
    tls.gap(Server, at(1), 5000, &mut out);
    tls.bytes(Client, at(2), &record(23, &[0; 53]), &mut out);
    tls.bytes(Client, at(3), &record(23, &[0; 53]), &mut out);
    let [r] = &out[..] else { panic!("{out:?}") };
    assert_eq!((r.target.as_str(), r.key.as_str()), ("example.org", "TLS 1.3"));
    assert_eq!((r.first, r.end, r.missing), (Some(at(1)), Some(at(2)), missing::REQUEST | missing::RESPONSE));
}

#[test]
fn tls_is_known_by_its_hello() {
    let hello = client(&[0x0304]);
    assert_eq!(probe(Client, &hello), Verdict::Yes);
    assert_eq!(probe(Server, &hello), Verdict::No);
    assert_eq!(probe(Client, &hello[..7]), Verdict::More);
    assert_eq!(probe(Client, b"GET / HTTP/1.1"), Verdict::No);
}
