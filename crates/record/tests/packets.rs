//! Packets: real sockets in a network of the test's own, tcpdump and tshark beside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;

use coldcase_model::{Event, events::Receipt};
use coldcase_record::packets::{Packets, PacketsConfig};
use pcap_file::pcapng::{Block, PcapNgReader};
use support::{Network, Recorded, in_own_network, record, record_with, run};

/// A packet as the bundle has it.
struct Packet {
    interface: String,
    bytes: Vec<u8>,
    original: u32,
}

fn packets(recorded: &Recorded) -> Vec<Packet> {
    let mut out = Vec::new();
    for message in recorded.raw("packets") {
        let mut reader = PcapNgReader::new(message.as_slice()).unwrap();
        while let Some(block) = reader.next_block() {
            let Block::EnhancedPacket(packet) = block.unwrap().into_owned() else { continue };
            let interface = &reader.interfaces()[packet.interface_id as usize];
            let name = interface.options.iter().find_map(|o| match o {
                pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionOption::IfName(n) => Some(n),
                _ => None,
            });
            out.push(Packet {
                interface: name.unwrap().to_string(),
                bytes: packet.data.into_owned(),
                original: packet.original_len,
            });
        }
    }
    out
}

fn on(interfaces: &[&str], filter: &str) -> PacketsConfig {
    PacketsConfig {
        interfaces: interfaces.iter().map(|i| (*i).to_owned()).collect(),
        filter: (!filter.is_empty()).then(|| filter.to_owned()),
        ..PacketsConfig::default()
    }
}

fn send_udp(count: u32, to: &str) {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    for n in 0..count {
        socket.send_to(&n.to_be_bytes(), to).unwrap();
        if n % 64 == 63 {
            // Paced, so that tcpdump's own ring keeps up too.
            std::thread::sleep(Duration::from_micros(500));
        }
    }
}

#[test]
fn the_count_is_tcpdumps_and_tshark_reads_the_sections() {
    in_own_network(|| {
        let dir = tempfile::tempdir().unwrap();
        let pcap = dir.path().join("theirs.pcap");
        let mut tcpdump = Command::new("tcpdump")
            .args(["-i", "lo", "-s", "128", "-B", "16384", "--immediate-mode", "-w", pcap.to_str().unwrap(), "udp"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(tcpdump.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("listening on") {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0);
        }
        let recording = record(Packets::new(on(&["lo"], "udp")));
        send_udp(10_000, "127.0.0.1:9");
        recording.wait_for(10_000);
        let recorded = recording.finish();
        std::thread::sleep(Duration::from_millis(300));
        // SAFETY: a signal to our own child.
        unsafe { libc::kill(tcpdump.id() as i32, libc::SIGINT) };
        let mut rest = String::new();
        said.read_to_string(&mut rest).unwrap();
        tcpdump.wait().unwrap();
        assert!(rest.contains("0 packets dropped by kernel"), "{rest}");

        let ours = packets(&recorded);
        let theirs = run("tshark", &["-r", pcap.to_str().unwrap(), "-T", "fields", "-e", "frame.len"]);
        assert_eq!(ours.len(), theirs.lines().count());
        assert_eq!(ours.len(), 10_000);
        assert_eq!(recorded.lost("packet-drop"), Some(0));

        let file = dir.path().join("ours.pcapng");
        std::fs::write(&file, recorded.raw("packets").concat()).unwrap();
        let read = run(
            "tshark",
            &["-r", file.to_str().unwrap(), "-T", "fields", "-e", "frame.len", "-e", "frame.interface_name"],
        );
        assert_eq!(read.lines().count(), 10_000);
        assert!(read.lines().all(|l| l == "46\tlo"), "{}", read.lines().next().unwrap());
        let receipts = recorded.columns("packets.receipts");
        let counted: u64 = receipts.iter().map(|c| Receipt::cols(c).unwrap().items.iter().sum::<u64>()).sum();
        assert_eq!(counted, 10_000);
    });
}

#[test]
fn what_is_not_recorded_is_counted_as_dropped() {
    in_own_network(|| {
        let config = PacketsConfig { ring_bytes: 1 << 20, ..on(&["lo"], "udp and dst port 9") };
        let recording = record(Packets::new(config));
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..60_000u32 {
            socket
                .send_to(&[0; 400], "127.0.0.1:9")
                .or_else(|e| match e.raw_os_error() {
                    // The ICMP answer to the one before.
                    Some(libc::ECONNREFUSED) => Ok(0),
                    _ => Err(e),
                })
                .unwrap();
        }
        let recorded = recording.finish();
        assert_eq!(packets(&recorded).len() as u64 + recorded.lost("packet-drop").unwrap(), 60_000);
    });
}

/// Sends numbered datagrams from a namespace: `python3 -c` with socket code is the smallest sender there is.
const SENDER: &str = "import socket,sys
s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)
for n in range(int(sys.argv[2]),int(sys.argv[3])): s.sendto(b'N%08d'%n,(sys.argv[1],9))";

#[test]
fn each_packet_is_recorded_once_across_bridge_and_veth() {
    in_own_network(|| {
        let (a, b) = (Network::new(), Network::new());
        run("ip", &["link", "add", "br0", "type", "bridge"]);
        run("ip", &["addr", "add", "10.9.0.1/24", "dev", "br0"]);
        for (network, name, address) in [(&a, "pa", "10.9.0.2/24"), (&b, "pb", "10.9.0.3/24")] {
            run("ip", &["link", "add", name, "type", "veth", "peer", "name", "e0", "netns", &network.pid()]);
            run("ip", &["link", "set", name, "master", "br0", "up"]);
            network.run("ip", &["addr", "add", address, "dev", "e0"]);
            network.run("ip", &["link", "set", "e0", "up"]);
        }
        run("ip", &["link", "set", "br0", "up"]);
        // A pair with both ends here; what leaves by v0 arrives at v1.
        run("ip", &["link", "add", "v0", "type", "veth", "peer", "name", "v1"]);
        run("ip", &["addr", "add", "10.8.0.1/24", "dev", "v0"]);
        run("ip", &["link", "set", "v0", "up"]);
        run("ip", &["link", "set", "v1", "up"]);
        run("ip", &["neigh", "add", "10.8.0.9", "lladdr", "02:00:00:00:00:09", "dev", "v0"]);
        // Bridges learn and ports come up in their own time.
        for (network, to) in [(&a, "10.9.0.3"), (&a, "10.9.0.1"), (&b, "10.9.0.1")] {
            network.run("ping", &["-c1", "-W5", to]);
        }

        let recording = record(Packets::new(PacketsConfig { payload: 16, ..on(&[], "udp port 9") }));
        a.run("python3", &["-c", SENDER, "10.9.0.3", "0", "100"]);
        a.run("python3", &["-c", SENDER, "10.9.0.1", "100", "200"]);
        run("python3", &["-c", SENDER, "10.9.0.2", "200", "300"]);
        run("python3", &["-c", SENDER, "10.8.0.9", "300", "400"]);
        run("python3", &["-c", SENDER, "127.0.0.1", "400", "500"]);
        recording.wait_for(500);
        let recorded = recording.finish();

        let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for packet in packets(&recorded) {
            let payload = String::from_utf8_lossy(&packet.bytes[42..51]).into_owned();
            seen.entry(payload).or_default().push(packet.interface);
        }
        assert_eq!(seen.len(), 500);
        for (number, interfaces) in seen {
            let want = match number.trim_start_matches('N').parse::<u32>().unwrap() {
                0..200 => "pa",
                200..300 => "br0",
                300..400 => "v1",
                _ => "lo",
            };
            assert_eq!(interfaces, [want], "{number}");
        }
    });
}

/// Sends the secret in every way that the parser knows and in some that it does not.
const SPEAKER: &str = r#"
import socket, struct, sys
S = b'COLDCASE-SECRET-' * 8
lo = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0); lo.bind(('lo', 0))
eth = b'\0' * 12
def ip(proto, body, frag=0, opts=b''):
    n = 20 + len(opts)
    return struct.pack('!BBHHHBBH4s4s', 0x40 | n // 4, 0, n + len(body), 7, frag, 64, proto, 0, b'\x7f\0\0\1', b'\x7f\0\0\1') + opts + body
def ip6(next, body): return struct.pack('!IHBB16s16s', 6 << 28, len(body), next, 64, b'\0' * 15 + b'\1', b'\0' * 15 + b'\1') + body
tcp = struct.pack('!HHIIBBHHH', 1000, 2000, 1, 1, 0x80, 0x18, 100, 0, 0) + b'\x01' * 12 + S
udp = struct.pack('!HHHH', 1000, 2000, 8 + len(S), 0) + S
icmp = struct.pack('!BBHI', 8, 0, 0, 1) + S
quote = struct.pack('!BBHI', 3, 3, 0, 0) + ip(17, udp)
frames = [
    eth + b'\x08\0' + ip(6, tcp), eth + b'\x08\0' + ip(17, udp), eth + b'\x08\0' + ip(1, icmp), eth + b'\x08\0' + ip(1, quote),
    eth + b'\x08\0' + ip(17, udp, 0x2000), eth + b'\x08\0' + ip(17, S, 0x0010), eth + b'\x08\0' + ip(6, tcp, opts=b'\x01' * 8),
    eth + b'\x08\0' + ip(253, S), eth + b'\x08\0' + ip(50, S), eth + b'\x08\0' + ip(132, b'\0' * 12 + S),
    eth + b'\x08\0' + ip(6, tcp[:12] + b'\x10' + S),           # a TCP header that says it has 4 bytes
    eth + b'\x08\0' + ip(4, ip(17, udp)), eth + b'\x08\0' + ip(47, struct.pack('!HH', 0, 0x0800) + ip(6, tcp)),
    eth + b'\x08\0' + ip(47, struct.pack('!HH', 0x0001, 0x880b) + S),
    eth + b'\x08\0' + b'\x41' + S,                             # an IP header of 4 bytes
    eth + b'\x08\0' + b'\xff' + S, eth + b'\x88\xb5' + S, eth + struct.pack('!H', len(S)) + S,
    eth + b'\x08\x06' + struct.pack('!HHBBH', 1, 0x800, 6, 4, 1) + b'\0' * 20 + S,
    eth + b'\x81\0\0\x05\x08\0' + ip(6, tcp), eth + b'\x88\xa8\0\x05\x81\0\0\x06\x08\0' + ip(17, udp), eth + b'\x81\0\0\x05\x88\xb5' + S,
    eth + b'\x88\x47' + b'\0\x01\x01\x40' + ip(6, tcp), eth + b'\x88\x47' + b'\0\x01\x00\x40' + b'\0\x01\x01\x40' + S,
    eth + b'\x88\x64\x11\0\0\1\0\x82\0\x21' + ip(17, udp), eth + b'\x88\x63\x11\0\0\1\0\x82' + S,
    eth + b'\x86\xdd' + ip6(6, tcp), eth + b'\x86\xdd' + ip6(17, udp), eth + b'\x86\xdd' + ip6(58, struct.pack('!BBHI', 128, 0, 0, 1) + S),
    eth + b'\x86\xdd' + ip6(0, b'\x06\0' + b'\0' * 6 + tcp), eth + b'\x86\xdd' + ip6(43, b'\x11\0' + b'\0' * 6 + udp),
    eth + b'\x86\xdd' + ip6(44, b'\x11\0\0\x11\0\0\0\1' + S), eth + b'\x86\xdd' + ip6(59, S), eth + b'\x86\xdd' + ip6(60, b'\x06\xff' + S),
]
for f in frames: lo.send(f)
srv = socket.socket(); srv.bind(('127.0.0.1', 0)); srv.listen()
c = socket.create_connection(srv.getsockname()); p, _ = srv.accept()
for _ in range(5): c.sendall(S * 500); p.recv(65536); p.sendall(S); c.recv(65536)
c.close(); p.close()
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.sendto(S, ('127.0.0.1', 9)); u.sendto(S * 100, ('127.0.0.1', 9))    # the second in fragments
print(len(frames))
"#;

fn hear_the_speaker(config: PacketsConfig) -> Recorded {
    run("ip", &["link", "set", "lo", "mtu", "1500"]);
    let recording = record(Packets::new(config));
    let frames: usize = run("python3", &["-c", SPEAKER]).trim().parse().unwrap();
    let recorded = recording.finish();
    let count = packets(&recorded).len();
    assert!(count > frames + 20, "{count} packets of {frames} frames and two conversations");
    recorded
}

#[test]
fn no_byte_of_a_payload_is_kept_unless_asked_for() {
    in_own_network(|| {
        let recorded = hear_the_speaker(on(&["lo"], ""));
        for (n, packet) in packets(&recorded).iter().enumerate() {
            for part in [b"COLDCASE", b"-SECRET-"] {
                let leaked = packet.bytes.windows(part.len()).any(|w| w == part);
                assert!(!leaked, "packet {n}: {:02x?}", packet.bytes);
            }
            assert!(packet.bytes.len() <= 200, "packet {n} keeps {} bytes", packet.bytes.len());
            assert!(packet.original as usize >= packet.bytes.len());
        }
        // TCP with its options, behind Ethernet and IPv4, is kept whole.
        assert!(packets(&recorded).iter().any(|p| p.bytes.len() == 14 + 20 + 32 && p.original > 190));

        let asked = hear_the_speaker(PacketsConfig { payload: 64, ..on(&["lo"], "") });
        let whole = packets(&asked).iter().filter(|p| p.bytes.windows(16).any(|w| w == b"COLDCASE-SECRET-")).count();
        assert!(whole > 30, "{whole} packets with the payload that was asked for");
    });
}

#[test]
fn vlan_tags_that_the_kernel_took_out_are_put_back_and_can_be_filtered_by() {
    in_own_network(|| {
        const TAGGED: &str = "import socket,struct
s=socket.socket(socket.AF_PACKET,socket.SOCK_RAW,0); s.bind(('lo',0))
ip=bytes.fromhex('4500001c0001000040110000'+'7f000001'*2)+struct.pack('!HHHH',1,2,8,0)
for tag in ('','81000005','81000006'): s.send(bytes(12)+bytes.fromhex(tag)+b'\\x08\\0'+ip)";
        for (filter, tags) in [("udp port 2", vec![0x0800, 0x8100, 0x8100]), ("vlan 6 and udp port 2", vec![0x8100])] {
            let recording = record(Packets::new(on(&["lo"], filter)));
            run("python3", &["-c", TAGGED]);
            recording.wait_for(tags.len() as u64);
            let found = packets(&recording.finish());
            let types = found.iter().map(|p| u16::from_be_bytes([p.bytes[12], p.bytes[13]]));
            assert_eq!(types.collect::<Vec<_>>(), tags, "{filter}");
            let lengths = found.iter().map(|p| (p.bytes.len(), p.original));
            let want = tags.iter().map(|&t| if t == 0x0800 { (42, 42) } else { (46, 46) });
            assert_eq!(lengths.collect::<Vec<_>>(), want.collect::<Vec<_>>(), "{filter}");
        }
    });
}

#[test]
fn payload_is_kept_for_the_port_it_was_asked_for() {
    in_own_network(|| {
        let payload_ports = BTreeMap::from([(53, 4)]);
        let recording = record(Packets::new(PacketsConfig { payload_ports, ..on(&["lo"], "udp") }));
        for port in [53, 54] {
            UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"question", ("127.0.0.1", port)).unwrap();
        }
        recording.wait_for(2);
        let lengths: Vec<usize> = packets(&recording.finish()).iter().map(|p| p.bytes.len()).collect();
        assert_eq!(lengths, [42 + 4, 42]);
    });
}

#[test]
fn the_recorders_own_connections_are_left_out() {
    in_own_network(|| {
        let servers = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [otlp, scraped, other] = servers.each_ref().map(|s| s.local_addr().unwrap());
        // The listener is known before the start (a kernel filter), the connection comes later.
        let recording = record_with(Packets::new(on(&["lo"], "tcp")), |c| c.own.listen(otlp)).unwrap();
        let talk = |stream: TcpStream, server: &TcpListener| {
            let (mut peer, _) = server.accept().unwrap();
            (&stream).write_all(b"hello").unwrap();
            let mut hello = [0; 5];
            peer.read_exact(&mut hello).unwrap();
        };
        talk(TcpStream::connect(otlp).unwrap(), &servers[0]);
        let late = TcpListener::bind("127.0.0.1:0").unwrap();
        recording.context.own.listen(late.local_addr().unwrap());
        talk(TcpStream::connect(late.local_addr().unwrap()).unwrap(), &late);
        recording.context.own.connect("127.0.0.1:45454".parse().unwrap(), scraped);
        let scraper = run(
            "python3",
            &[
                "-c",
                &format!(
                    "import socket
socket.create_connection(('127.0.0.1', {}), source_address=('127.0.0.1', 45454)).send(b'GET')",
                    scraped.port()
                ),
            ],
        );
        drop(scraper);
        talk(TcpStream::connect(other).unwrap(), &servers[2]);
        recording.wait_for(6);
        let recorded = recording.finish();
        let found = packets(&recorded);
        assert!(found.len() >= 6);
        for packet in found {
            let port = |at: usize| u16::from_be_bytes([packet.bytes[at], packet.bytes[at + 1]]);
            assert!([port(34), port(36)].contains(&other.port()), "{} → {}", port(34), port(36));
        }
    });
}

#[test]
fn what_cannot_be_tapped_is_said() {
    in_own_network(|| {
        let skip = record_with(Packets::new(on(&["eth9"], "")), |_| {}).err().unwrap();
        assert_eq!(skip.reason, "no network interface eth9");
        assert!(skip.hint.contains("lo"), "{}", skip.hint);
        let skip = record_with(Packets::new(on(&["lo"], "tcp prt 80")), |_| {}).err().unwrap();
        assert!(
            skip.reason.starts_with("the packet filter is not valid: ") && skip.reason.contains("syntax"),
            "{skip:?}"
        );
    });
}

#[test]
fn an_interface_that_appears_while_recording_is_tapped() {
    in_own_network(|| {
        let recording = record(Packets::new(on(&[], "udp port 9")));
        run("ip", &["link", "add", "new0", "type", "veth", "peer", "name", "new1"]);
        run("ip", &["addr", "add", "10.7.0.1/24", "dev", "new0"]);
        run("ip", &["link", "set", "new0", "up"]);
        run("ip", &["link", "set", "new1", "up"]);
        run("ip", &["neigh", "add", "10.7.0.9", "lladdr", "02:00:00:00:00:09", "dev", "new0"]);
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        support::wait_until("a packet on new1", || {
            socket.send_to(b"x", "10.7.0.9:9").unwrap();
            std::thread::sleep(Duration::from_millis(100));
            recording.context.intake.events() > 0
        });
        run("ip", &["link", "del", "new0"]);
        std::thread::sleep(Duration::from_millis(2200));
        let found = packets(&recording.finish());
        assert!(!found.is_empty() && found.iter().all(|p| p.interface == "new1"));
    });
}
