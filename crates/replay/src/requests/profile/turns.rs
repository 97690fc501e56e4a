//! A load profile of connections whose bytes were not captured: when a client spoke, how much, and what came back.
//!
//! A turn begins when the client says something new after the server spoke last, and is answered until the client speaks
//! again. For HTTP/1 that is a request; for TLS the handshake counts as well, for a protocol that sends several requests at
//! a time they are one turn.

use std::collections::HashMap;
use std::net::SocketAddr;

use coldcase_analyze::flow::ends;
use coldcase_decode::packet::{self, Tcp};
use coldcase_export::pcapng::Frame;
use coldcase_model::analysis::Flow;
use coldcase_model::entity::Protocol;

use super::load::{Seen, profile};
use super::{Profile, Source};
use crate::requests::server::most_first;

/// Follows the turns of TCP connections.
#[derive(Debug, Default)]
pub struct Turns {
    by_ends: HashMap<(SocketAddr, SocketAddr), Vec<Talk>>,
}

#[derive(Debug)]
struct Talk {
    client: SocketAddr,
    server: SocketAddr,
    frames: [u64; 2],
    /// Behind the newest byte of the client and of the server.
    next: [Option<u32>; 2],
    turns: Vec<Turn>,
}

#[derive(Debug, Clone, Copy)]
struct Turn {
    start: i64,
    end: Option<i64>,
    bytes: [u64; 2],
}

impl Turns {
    /// Follows the TCP connections of a flow in which nothing was read.
    pub fn of(flow: &Flow) -> Turns {
        let mut turns = Turns::default();
        for c in flow.connections.iter().filter(|c| c.proto == "tcp" && c.requests == 0) {
            let (Ok(client), Ok(server)) = (c.a.parse::<SocketAddr>(), c.b.parse::<SocketAddr>()) else { continue };
            let talk = Talk { client, server, frames: c.frames, next: [None; 2], turns: Vec::new() };
            turns.by_ends.entry((client.min(server), client.max(server))).or_default().push(talk);
        }
        turns.by_ends.values_mut().for_each(|talks| talks.sort_by_key(|t| t.frames[0]));
        turns
    }

    /// Takes in a packet, in the order of capture.
    pub fn frame(&mut self, f: &Frame<'_>) {
        let decoded = packet::decode(f.link, f.bytes, f.original);
        let Some(h) = decoded.headers().filter(|h| h.length_known) else { return };
        let (Some(tcp), Some((Protocol::Tcp, [src, dst]))) = (h.tcp, ends(h, false)) else { return };
        let Some(talks) = self.by_ends.get_mut(&(src.min(dst), src.max(dst))) else { return };
        let after = talks.partition_point(|t| t.frames[0] <= f.number);
        let Some(talk) = after.checked_sub(1).and_then(|at| talks.get_mut(at)) else { return };
        if f.number <= talk.frames[1] {
            talk.segment(usize::from(src != talk.client), &tcp, h.payload, f.time);
        }
    }

    /// The servers that were spoken to, with how many turns each had, most first.
    pub fn servers(&self) -> Vec<(String, u64)> {
        let mut counts = HashMap::<SocketAddr, u64>::new();
        for talk in self.by_ends.values().flatten().filter(|t| !t.turns.is_empty()) {
            *counts.entry(talk.server).or_default() += talk.turns.len() as u64;
        }
        most_first(counts.into_iter().map(|(server, n)| (server.to_string(), n)).collect())
    }
}

impl Talk {
    /// A segment of the client (0) or the server (1).
    fn segment(&mut self, from: usize, tcp: &Tcp, payload: u32, time: i64) {
        if tcp.has(Tcp::SYN) {
            self.next[from] = Some(tcp.seq.wrapping_add(1));
        }
        if payload == 0 {
            return;
        }
        let end = tcp.seq.wrapping_add(payload);
        let new = self.next[from].map_or(i64::from(payload), |next| i64::from(end.wrapping_sub(next) as i32));
        if new <= 0 {
            return; // sent again
        }
        self.next[from] = Some(end);
        let begins = from == 0 && self.turns.last().is_none_or(|t| t.end.is_some());
        if begins {
            self.turns.push(Turn { start: time, end: None, bytes: [0; 2] });
        }
        // What a server says before its client is a greeting.
        if let Some(turn) = self.turns.last_mut() {
            turn.bytes[from] += new as u64;
            if from == 1 {
                turn.end = Some(time);
            }
        }
    }
}

/// The profile of turns, which are with one server.
pub fn of_turns(turns: &Turns, server: &str) -> Profile {
    let mut talks: Vec<&Talk> = turns.by_ends.values().flatten().filter(|t| !t.turns.is_empty()).collect();
    talks.sort_by_key(|t| t.frames);
    let seen = talks.iter().flat_map(|t| &t.turns).map(|t| Seen {
        start: t.start,
        duration: t.end.map(|end| u64::try_from(end.saturating_sub(t.start)).unwrap_or(0)),
        protocol: "unknown".to_owned(),
        request_bytes: Some(t.bytes[0]),
        response_bytes: Some(t.bytes[1]),
        ..Seen::default()
    });
    let unknown = vec![
        "what was asked (method, path, headers, bodies): the packets were cut behind their headers".to_owned(),
        "statuses, so that errors are those without an answer".to_owned(),
        "whether it is HTTP at all: a request is what a client said until the server answered. A TLS handshake counts as \
         one or two, requests that were sent at the same time on one connection count as one"
            .to_owned(),
    ];
    let seen: Vec<Seen> = seen.map(|s| Seen { failed: s.duration.is_none(), ..s }).collect();
    let on = talks.iter().map(|t| t.turns.len() as u64).collect();
    profile(seen, Source::Turns, server.to_owned(), Some(on), unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(seq: u32, flags: u8) -> Tcp {
        Tcp { seq, flags, ..Tcp::default() }
    }

    #[test]
    fn turns_are_what_a_client_says_until_it_is_answered() {
        let any = SocketAddr::from(([0; 4], 0));
        let mut t = Talk { client: any, server: any, frames: [0; 2], next: [None; 2], turns: Vec::new() };
        t.segment(0, &tcp(u32::MAX - 1, Tcp::SYN), 0, 0);
        t.segment(1, &tcp(500, Tcp::SYN | Tcp::ACK), 0, 1);
        t.segment(0, &tcp(u32::MAX, Tcp::ACK), 100, 2);
        t.segment(0, &tcp(u32::MAX, Tcp::ACK), 100, 3); // again
        t.segment(0, &tcp(99, Tcp::ACK), 50, 4);
        t.segment(1, &tcp(501, Tcp::ACK), 1000, 5);
        t.segment(1, &tcp(1501, Tcp::ACK), 1000, 6);
        t.segment(0, &tcp(149, Tcp::ACK), 10, 9);
        let told: Vec<_> = t.turns.iter().map(|t| (t.start, t.end, t.bytes)).collect();
        assert_eq!(told, [(2, Some(6), [150, 2000]), (9, None, [10, 0])]);
    }
}
