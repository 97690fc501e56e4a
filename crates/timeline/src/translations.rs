//! Address translation: which connection is which on the other side of it.

use std::collections::HashMap;
use std::net::IpAddr;

use coldcase_model::{Event, Ip, events};

use crate::segment::Segment;
use crate::sockets::End;

/// The other side of a translation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Translated {
    /// The end that opened the connection.
    pub a: (IpAddr, u16),
    /// The other.
    pub b: (IpAddr, u16),
    /// Whether these are the ends behind the translation; else those before it.
    pub behind: bool,
}

/// Connections before and behind a translation, by protocol and ends. Ports are used again: the newest counts.
#[derive(Debug, Default)]
pub(crate) struct Translations {
    /// From who opened it and whom it was opened to, to the ends behind.
    behind: HashMap<(u8, End, End), (End, End)>,
    /// The other way.
    before: HashMap<(u8, End, End), (End, End)>,
}

impl Translations {
    pub(crate) fn new(nat: &[Segment]) -> Translations {
        let mut out = Translations::default();
        for cols in nat.iter().filter_map(|s| events::Nat::cols(&s.columns).ok()) {
            for i in 0..cols.time.len() {
                let protocol = cols.protocol[i];
                let (a, b) = ((cols.src_addr[i], cols.src_port[i]), (cols.dst_addr[i], cols.dst_port[i]));
                let behind_a = (cols.reply_dst_addr[i], cols.reply_dst_port[i]);
                let behind_b = (cols.reply_src_addr[i], cols.reply_src_port[i]);
                out.behind.insert((protocol, a, b), (behind_a, behind_b));
                out.before.insert((protocol, behind_a, behind_b), (a, b));
            }
        }
        out
    }

    /// The ends as the process at the local end knows them, where that is on the other side: of the one who was opened
    /// to, those behind; of the one who opened it, those before.
    pub(crate) fn elsewhere(&self, protocol: u8, (local, remote): (End, End)) -> Option<(End, End)> {
        let behind = self.behind.get(&(protocol, remote, local)).map(|&(a, b)| (b, a));
        behind.or_else(|| self.before.get(&(protocol, local, remote)).copied())
    }

    pub(crate) fn of(&self, protocol: u8, a: (IpAddr, u16), b: (IpAddr, u16)) -> Option<Translated> {
        let key = (protocol, (Ip::from(a.0), a.1), (Ip::from(b.0), b.1));
        let told =
            |behind| move |&((a, p), (b, q)): &(End, End)| Translated { a: (a.addr(), p), b: (b.addr(), q), behind };
        self.behind.get(&key).map(told(true)).or_else(|| self.before.get(&key).map(told(false)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coldcase_model::Columns;

    #[test]
    fn each_end_is_looked_up_on_its_own_side() {
        let ip = |last| Ip::from(IpAddr::from([10, 0, 0, last]));
        let mut rows = Columns::new(&events::Nat::DEF);
        // 10.0.0.5:4000 opens 10.0.0.1:8080, which is 10.0.0.2:80; the source stays.
        events::Nat {
            time: 1,
            protocol: 6,
            src_addr: ip(5),
            src_port: 4000,
            dst_addr: ip(1),
            dst_port: 8080,
            reply_src_addr: ip(2),
            reply_src_port: 80,
            reply_dst_addr: ip(5),
            reply_dst_port: 4000,
        }
        .push(&mut rows);
        let t = Translations::new(&[Segment::new(0, rows)]);
        let (client, public, server) = ((ip(5), 4000), (ip(1), 8080), (ip(2), 80));
        assert_eq!(t.elsewhere(6, (public, client)), Some((server, client)), "the server of the one before");
        assert_eq!(t.elsewhere(6, (client, server)), Some((client, public)), "the client of the one behind");
        assert_eq!(t.elsewhere(6, (client, public)), None);
        let of = |a: End, b: End| t.of(6, (a.0.addr(), a.1), (b.0.addr(), b.1)).map(|t| (t.b.1, t.behind));
        assert_eq!((of(client, public), of(client, server)), (Some((80, true)), Some((8080, false))));
    }
}
