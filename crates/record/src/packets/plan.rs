//! Which interfaces are tapped in which direction, so that each packet is recorded once.
//!
//! A packet passes several interfaces of a host, and each would show it. The rules:
//! - *loopback* shows a packet leaving and arriving: only what arrives.
//! - *veth pair with both ends here*: what leaves by one end arrives at the other: only what arrives, on each end.
//! - *bridge with all its ports tapped*: of the ports what arrives, of the bridge what the host itself sends through
//!   it. The other end of a veth that is such a port shows nothing new, and is not tapped.
//! - *bond or team with all its members tapped*: the members, not the bond. *vlan* on a tapped interface: only the
//!   interface under it, where the tag is still visible.
//!
//! A packet that is routed or tunnelled is another packet on each interface, and is recorded on each. What is tapped
//! in part (a bridge and one of its ports, say) was asked for as such, and is recorded as asked.

use std::collections::HashMap;

use super::links::Link;

/// An interface to tap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tap {
    /// The interface.
    pub(super) link: Link,
    /// Record what arrives.
    pub(super) inbound: bool,
    /// Record what leaves.
    pub(super) outbound: bool,
}

/// Chooses taps among the interfaces. `wanted` names some; empty means all that are up.
/// The error is the first name that no interface has.
pub(super) fn plan(links: &[Link], wanted: &[String]) -> Result<Vec<Tap>, String> {
    if let Some(missing) = wanted.iter().find(|w| links.iter().all(|l| l.name != **w)) {
        return Err(missing.clone());
    }
    let chosen: HashMap<u32, &Link> = links
        .iter()
        .filter(|l| if wanted.is_empty() { l.up } else { wanted.contains(&l.name) })
        .map(|l| (l.index, l))
        .collect();
    let whole = |master: u32| {
        let mut members = links.iter().filter(|l| l.master == master && l.up).peekable();
        chosen.contains_key(&master) && members.peek().is_some() && members.all(|l| chosen.contains_key(&l.index))
    };
    let is = |index: u32, kinds: &[&str]| chosen.get(&index).is_some_and(|l| kinds.contains(&l.kind.as_str()));
    let port = |link: &Link| is(link.master, &["bridge"]) && whole(link.master);
    let mut taps: Vec<Tap> = chosen
        .values()
        .map(|&link| {
            let peer = chosen.get(&link.lower).filter(|p| link.kind == "veth" && p.lower == link.index);
            let (inbound, outbound) = match link.kind.as_str() {
                _ if link.loopback => (true, false),
                "bridge" if whole(link.index) => (false, true),
                "bond" | "team" if whole(link.index) => (false, false),
                "vlan" if chosen.contains_key(&link.lower) => (false, false),
                _ => match peer {
                    Some(peer) => (!port(peer), false),
                    None => (true, !port(link)),
                },
            };
            Tap { link: link.clone(), inbound, outbound }
        })
        .filter(|t| t.inbound || t.outbound)
        .collect();
    taps.sort_by_key(|t| t.link.index);
    Ok(taps)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::links::LinkType;
    use super::*;

    fn link(index: u32, name: &str, kind: &str, lower: u32, master: u32) -> Link {
        Link {
            index,
            name: name.into(),
            link: LinkType::Ethernet,
            loopback: name == "lo",
            up: true,
            kind: kind.into(),
            lower,
            master,
        }
    }

    fn shown(links: &[Link], wanted: &[&str]) -> Vec<(String, &'static str)> {
        let wanted: Vec<String> = wanted.iter().map(|w| (*w).to_owned()).collect();
        let taps = plan(links, &wanted).unwrap();
        let direction = |t: &Tap| match (t.inbound, t.outbound) {
            (true, true) => "both",
            (true, false) => "in",
            _ => "out",
        };
        taps.iter().map(|t| (t.link.name.clone(), direction(t))).collect()
    }

    fn expect(links: &[Link], wanted: &[&str], want: &[(&str, &'static str)]) {
        assert_eq!(shown(links, wanted), want.iter().map(|(n, d)| ((*n).to_owned(), *d)).collect::<Vec<_>>());
    }

    #[test]
    fn each_packet_is_recorded_once_on_loopback_veth_and_bridge() {
        let host = [
            link(1, "lo", "", 0, 0),
            link(2, "eth0", "", 0, 0),
            link(3, "br0", "bridge", 0, 0),
            link(4, "vethA", "veth", 0, 3), // to a container: its other end is in another namespace
            link(5, "vethB", "veth", 0, 3),
            link(6, "p0", "veth", 7, 0),
            link(7, "p1", "veth", 6, 0),
        ];
        let all = [
            ("lo", "in"),
            ("eth0", "both"),
            ("br0", "out"),
            ("vethA", "in"),
            ("vethB", "in"),
            ("p0", "in"),
            ("p1", "in"),
        ];
        expect(&host, &[], &all);
        expect(&host, &["vethA"], &[("vethA", "both")]);
        expect(&host, &["br0", "vethA"], &[("br0", "both"), ("vethA", "both")]);
        expect(&host, &["p0"], &[("p0", "both")]);
    }

    #[test]
    fn the_other_end_of_a_bridge_port_shows_nothing_new() {
        let host = [
            link(3, "br0", "bridge", 0, 0),
            link(4, "v0", "veth", 5, 0),
            link(5, "v1", "veth", 4, 3), // a port of br0
        ];
        expect(&host, &[], &[("br0", "out"), ("v1", "in")]);
    }

    #[test]
    fn bonds_and_vlans_are_seen_where_they_touch_the_wire() {
        let host = [
            link(2, "eth0", "", 0, 4),
            link(3, "eth1", "", 0, 4),
            link(4, "bond0", "bond", 0, 0),
            link(5, "eth2", "", 0, 0),
            link(6, "eth2.7", "vlan", 5, 0),
        ];
        expect(&host, &[], &[("eth0", "both"), ("eth1", "both"), ("eth2", "both")]);
        expect(&host, &["bond0", "eth2.7"], &[("bond0", "both"), ("eth2.7", "both")]);
        assert_eq!(plan(&host, &["eth9".to_owned()]), Err("eth9".to_owned()));
    }
}
