#![allow(clippy::unwrap_used)]
use super::*;

/// Reads pieces (`Ok` bytes, `Err` a gap) of a client of which the analysis found these requests, packet and detail.
fn read(expected: &[(u64, &str)], pieces: &[Result<&[u8], u64>]) -> BTreeMap<usize, Sent> {
    let expected = expected.iter().enumerate();
    let expected = expected.map(|(request, &(packet, detail))| Expected { packet, detail: detail.to_owned(), request });
    let mut stream = Stream { expected: expected.collect(), ..Stream::default() };
    let (mut found, mut held) = (BTreeMap::new(), 0);
    for (packet, piece) in pieces.iter().enumerate() {
        let at = Stamp { time: 0, packet: packet as u64 };
        match *piece {
            Ok(bytes) => stream.piece(Piece::Bytes(at, bytes), &mut found, &mut held),
            Err(gap) => stream.piece(Piece::Gap(at, gap), &mut found, &mut held),
        }
    }
    stream.end(&mut found);
    found
}

#[test]
fn requests_are_read_with_headers_and_bodies_whatever_the_pieces() {
    let all = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhelloGET /b?c=d HTTP/1.1\r\nX-A: 1\r\n\r\n";
    for cut in 1..all.len() {
        let second = u64::from(cut <= 53);
        let found = read(&[(0, "POST /a"), (second, "GET /b?c=d")], &[Ok(&all[..cut]), Ok(&all[cut..])]);
        assert_eq!(found[&0].body, Body::Bytes(b"hello".to_vec()), "cut at {cut}");
        assert_eq!((found[&1].target.as_str(), &found[&1].body), ("/b?c=d", &Body::None), "cut at {cut}");
        assert_eq!(found[&1].headers, [("X-A".to_owned(), b"1".to_vec())]);
    }
}

#[test]
fn chunks_are_joined() {
    let found = read(
        &[(0, "POST /c"), (1, "GET /d")],
        &[
            Ok(b"POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: 1\r\n\r\n"),
            Ok(b"GET /d HTTP/1.1\r\n\r\n"),
        ],
    );
    assert_eq!((&found[&0].body, found[&0].framing), (&Body::Bytes(b"abcde".to_vec()), Framing::Chunked));
    assert!(found.contains_key(&1));
}

#[test]
fn a_cut_body_is_missing_with_its_length_and_what_follows_is_read() {
    let found = read(
        &[(0, "PUT /a"), (2, "GET /b")],
        &[Ok(b"PUT /a HTTP/1.1\r\nContent-Length: 100\r\n\r\n1234"), Err(96), Ok(b"GET /b HTTP/1.1\r\n\r\n")],
    );
    assert_eq!(found[&0].body, Body::Missing(Some(100)));
    assert_eq!((found[&1].head_whole, &found[&1].body), (true, &Body::None));
}

#[test]
fn behind_a_cut_head_the_next_request_is_found_where_the_analysis_found_it() {
    let found = read(
        &[(0, "GET /a"), (2, "GET /b"), (3, "GET /c")],
        &[
            Ok(b"GET /a HTTP/1.1\r\nHost: h\r\nCookie: lo"),
            Err(40),
            Ok(b"tail of something\r\nGET /b HTTP/1.1\r\n\r\n"),
            Ok(b"GET /c HTTP/1.1\r\n\r\n"),
        ],
    );
    assert_eq!((found[&0].head_whole, found[&0].headers.len()), (false, 1));
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn what_the_analysis_does_not_know_is_left_out() {
    let found = read(&[(0, "GET /other")], &[Ok(b"GET /a HTTP/1.1\r\n\r\n")]);
    assert!(found.is_empty());
}

#[test]
fn any_bytes_are_survived() {
    let mut state = 7u64;
    for _ in 0..500 {
        let mut noise = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        let words: [&[u8]; 6] =
            [b"POST / HTTP/1.1\r\n", b"Transfer-Encoding: chunked\r\n", b"\r\n", b"5\r\n", b"0\r\n", b"\xff\0x"];
        let bytes: Vec<u8> = (0..8).flat_map(|_| words[usize::from(noise()) % words.len()].to_vec()).collect();
        let gap = u64::from(noise());
        read(&[(0, "POST /")], &[Ok(&bytes), Err(gap), Ok(&bytes)]);
    }
}
