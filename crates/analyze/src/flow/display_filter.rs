//! Display filters: how Wireshark and tshark are told to show a connection or a request.
//!
//! They are right for the capture file that was read, and for an export of all packets of a bundle: there frames and
//! streams have the numbers that are told here. A selection of packets numbers them anew.

use std::net::SocketAddr;

use coldcase_model::entity::Protocol;

/// The filter of a connection. `stream` is tshark's number of it, where that is known; `ends` its addresses and ports,
/// `frames` the numbers of its first and last packet.
///
/// By stream it shows what an ICMP error quotes of the connection too, as Wireshark takes that for a packet of it.
pub fn connection(proto: Protocol, stream: Option<u64>, ends: [SocketAddr; 2], frames: [u64; 2]) -> String {
    let transport = match proto {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    match stream {
        Some(stream) => format!("{transport}.stream eq {stream}"),
        // Ports are used again, by connections whose frames come before or behind.
        None => within(&either_way(transport, ends), frames),
    }
}

/// The filter of a request: of its connection, by [`connection`], what lies between these frames.
pub fn request(connection: &str, frames: [u64; 2]) -> String {
    within(connection, frames)
}

fn within(filter: &str, [first, last]: [u64; 2]) -> String {
    format!("{filter} && frame.number >= {first} && frame.number <= {last}")
}

/// Packets between two ends, each way in full: `ip.addr` and `tcp.port` by themselves would take those of `a:80` to
/// another port of b for packets of `a:80` to `b:80`.
fn either_way(transport: &str, [a, b]: [SocketAddr; 2]) -> String {
    let one = |from: SocketAddr, to: SocketAddr| {
        let ip = |end: SocketAddr| if end.is_ipv6() { "ipv6" } else { "ip" };
        format!(
            "({}.src == {} && {transport}.srcport == {} && {}.dst == {} && {transport}.dstport == {})",
            ip(from),
            from.ip(),
            from.port(),
            ip(to),
            to.ip(),
            to.port()
        )
    };
    format!("({} || {})", one(a, b), one(b, a))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn ends(a: &str, b: &str) -> [SocketAddr; 2] {
        [a.parse().unwrap(), b.parse().unwrap()]
    }

    #[test]
    fn a_stream_that_is_known_is_the_filter_and_a_request_is_a_range_of_it() {
        let filter = connection(Protocol::Udp, Some(7), ends("10.0.0.1:4000", "10.0.0.2:53"), [3, 9]);
        assert_eq!(filter, "udp.stream eq 7");
        assert_eq!(request(&filter, [4, 5]), "udp.stream eq 7 && frame.number >= 4 && frame.number <= 5");
    }

    #[test]
    fn without_a_stream_both_ends_each_way_and_the_frames_tell_reused_ports_apart() {
        let filter = connection(Protocol::Tcp, None, ends("10.0.0.1:80", "10.0.0.2:80"), [3, 9]);
        let (there, back) = (
            "(ip.src == 10.0.0.1 && tcp.srcport == 80 && ip.dst == 10.0.0.2 && tcp.dstport == 80)",
            "(ip.src == 10.0.0.2 && tcp.srcport == 80 && ip.dst == 10.0.0.1 && tcp.dstport == 80)",
        );
        assert_eq!(filter, format!("({there} || {back}) && frame.number >= 3 && frame.number <= 9"));
        let filter = connection(Protocol::Tcp, None, ends("[fe80::1]:80", "[fe80::2]:81"), [3, 9]);
        assert!(filter.starts_with("((ipv6.src == fe80::1 && tcp.srcport == 80 && ipv6.dst == fe80::2 &&"), "{filter}");
    }
}
