//! Who sends how much: connections added up by the process, or else the address, at each end.

use std::collections::{BTreeMap, BTreeSet};

use coldcase_model::analysis::{Analysis, Connection, end_name};

/// One that sends.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Talker {
    /// Process without its pid, or address.
    pub(crate) name: String,
    /// How many others it exchanged packets with.
    pub(crate) peers: u64,
    /// Packets it sent.
    pub(crate) packets: u64,
    /// Their bytes on the wire.
    pub(crate) bytes: u64,
    /// Packets that it was sent.
    pub(crate) packets_in: u64,
    /// Their bytes.
    pub(crate) bytes_in: u64,
    /// Requests that it sent.
    pub(crate) asked: u64,
    /// Requests that it was sent.
    pub(crate) served: u64,
}

/// All of them, most bytes sent first.
pub(crate) fn talkers(a: &Analysis) -> Vec<Talker> {
    let mut all = BTreeMap::<String, (Talker, BTreeSet<String>)>::new();
    for c in &a.flow.connections {
        let ends = [end_name(&c.a, c.process_a.as_deref()), end_name(&c.b, c.process_b.as_deref())].map(str::to_owned);
        for (me, peer) in [(0, 1), (1, 0)] {
            let (talker, peers) = all.entry(ends[me].clone()).or_default();
            talker.add(c, me == 0);
            peers.insert(ends[peer].clone());
        }
    }
    let mut out: Vec<Talker> =
        all.into_iter().map(|(name, (talker, peers))| Talker { name, peers: peers.len() as u64, ..talker }).collect();
    // The order of the names stays where they sent as much.
    out.sort_by_key(|t| std::cmp::Reverse(t.bytes));
    out
}

impl Talker {
    fn add(&mut self, c: &Connection, opened: bool) {
        let ab = (c.packets_ab, c.bytes_ab);
        let ba = (c.packets_ba, c.bytes_ba);
        let (sent, got) = if opened { (ab, ba) } else { (ba, ab) };
        self.packets = self.packets.saturating_add(sent.0);
        self.bytes = self.bytes.saturating_add(sent.1);
        self.packets_in = self.packets_in.saturating_add(got.0);
        self.bytes_in = self.bytes_in.saturating_add(got.1);
        let requests = if opened { &mut self.asked } else { &mut self.served };
        *requests = requests.saturating_add(c.requests);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_connections_of_a_process_sent_is_added_up() {
        let mut a = Analysis::default();
        let one = |a: &str, process_b: Option<&str>| Connection {
            a: a.to_owned(),
            b: "10.0.0.2:80".to_owned(),
            process_b: process_b.map(str::to_owned),
            packets_ab: 1,
            packets_ba: 2,
            bytes_ab: 100,
            bytes_ba: 2_000,
            requests: 3,
            ..Connection::default()
        };
        a.flow.connections = vec![one("[::1]:4000", Some("web[7]")), one("10.0.0.1:4001", Some("web[8]"))];
        let told = talkers(&a);
        let told: Vec<_> =
            told.iter().map(|t| (t.name.as_str(), t.bytes, t.packets, t.asked, t.served, t.peers)).collect();
        assert_eq!(told, [("web", 4_000, 4, 0, 6, 2), ("10.0.0.1", 100, 1, 3, 0, 1), ("::1", 100, 1, 3, 0, 1)]);
    }
}
