//! Captures and pages that nobody of this project wrote, held against what tshark, capinfos and the OpenMetrics
//! project say of them. The folder is `$COLDCASE_CORPUS`, or `../shared/corpus` beside the repository.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use coldcase_decode::packet::{self, Decoded, Tcp};
use coldcase_decode::{openmetrics, pcapng, prometheus};
use pcap_file::pcap::PcapReader;
use serde_json::Value;

fn corpus(test: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let folder = std::env::var_os("COLDCASE_CORPUS").map_or(beside, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: {test}: no corpus at {} (set COLDCASE_CORPUS)", folder.display());
    None
}

/// The packets of a capture, whichever of both formats it has: wire length and what they are. `None`: the file cannot
/// be read to its end.
fn packets(bytes: &[u8]) -> Option<Vec<(u32, Decoded)>> {
    if bytes.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]) {
        let section = pcapng::decode(bytes);
        return Some(section.packets.iter().map(|p| (p.original, p.decoded)).collect());
    }
    let mut reader = PcapReader::new(bytes).ok()?;
    // Some of the files put an FCS length into the upper half of the link type.
    let link = (u32::from(reader.header().datalink) & 0xffff) as u16;
    let mut out = Vec::new();
    while let Some(p) = reader.next_packet() {
        // What the crate that reads pcap files refuses (an absurd length) says nothing of the decoder.
        let p = p.ok()?;
        out.push((p.orig_len, packet::decode(link, &p.data, p.orig_len)));
    }
    Some(out)
}

fn verdicts(folder: &Path) -> Vec<(String, Vec<u8>, Value)> {
    let mut names: Vec<_> = std::fs::read_dir(folder.join("pcaps")).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    let mut out = Vec::new();
    for path in names {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let verdict = std::fs::read(folder.join("pcap-verdicts").join(format!("{name}.json"))).unwrap();
        out.push((name, std::fs::read(&path).unwrap(), serde_json::from_slice(&verdict).unwrap()));
    }
    out
}

#[test]
fn packets_and_bytes_are_those_that_tshark_counts() {
    let Some(folder) = corpus("packet counts") else { return };
    let mut checked = 0;
    for (name, bytes, verdict) in verdicts(&folder) {
        let Some(found) = packets(&bytes) else {
            let known = ["corrupt", "truncated", "fcs"].iter().any(|c| name.contains(c));
            assert!(known, "{name}: unreadable, but tshark reads {}", verdict["packets"]);
            continue;
        };
        if verdict["capinfos"]["rc"] != 0 || name.contains("corrupt") {
            continue;
        }
        let wire: u64 = found.iter().map(|p| u64::from(p.0)).sum();
        assert_eq!((found.len() as u64, wire), (number(&verdict["packets"]), number(&verdict["bytes_wire"])), "{name}");
        checked += 1;
    }
    assert!(checked >= 30, "only {checked} captures were checked");
}

fn number(v: &Value) -> u64 {
    v.as_u64().unwrap()
}

/// Per unordered pair of ends: packets, payload bytes, SYNs, resets.
type Flows = BTreeMap<[(String, u64); 2], [u64; 4]>;

#[test]
fn tcp_flows_have_the_packets_payload_and_flags_that_tshark_sees() {
    let Some(folder) = corpus("tcp flows") else { return };
    let mut checked = 0;
    for (name, bytes, verdict) in verdicts(&folder) {
        // Inner headers of tunnels are not decoded, nor fragments put together; both are tshark's default.
        let features = &verdict["features"];
        let set_aside = ["tunnel", "frag", "corrupt", "truncated", "fcs"].iter().any(|c| name.contains(c));
        if set_aside || !features["icmp_error_embedding_l4"].is_null() || verdict["capinfos"]["rc"] != 0 {
            continue;
        }
        let Some(found) = packets(&bytes) else { continue };
        let mut ours = Flows::new();
        for h in found.iter().filter_map(|p| p.1.headers()) {
            let Some(tcp) = h.tcp else { continue };
            let mut ends =
                [(h.src.addr().to_string(), u64::from(h.src_port)), (h.dst.addr().to_string(), u64::from(h.dst_port))];
            ends.sort();
            let flow = ours.entry(ends).or_default();
            flow[0] += 1;
            flow[1] += u64::from(h.payload);
            flow[2] += u64::from(tcp.has(Tcp::SYN));
            flow[3] += u64::from(tcp.has(Tcp::RST));
        }
        let mut theirs = Flows::new();
        for f in verdict["tcp_flows"].as_array().unwrap() {
            let end = |a: &str| (f[a].as_str().unwrap().to_owned(), number(&f[format!("{a}_port")]));
            let mut ends = [end("a"), end("b")];
            ends.sort();
            let flow = theirs.entry(ends).or_default();
            flow[0] += number(&f["packets_ab"]) + number(&f["packets_ba"]);
            flow[1] += number(&f["payload_ab"]) + number(&f["payload_ba"]);
            flow[2] += number(&f["syn"]) + number(&f["synack"]);
            flow[3] += number(&f["rst"]);
        }
        if name.starts_with("049-") {
            // Segments that overlap: tshark takes the bytes that it saw before out of `tcp.len`; the headers do not.
            ours.values_mut().chain(theirs.values_mut()).for_each(|f| f[1] = 0);
        }
        assert_eq!(ours, theirs, "{name}");
        checked += ours.len();
    }
    assert!(checked >= 30, "only {checked} flows were checked");
}

#[test]
fn openmetrics_pages_are_taken_and_refused_as_they_must_be() {
    let Some(folder) = corpus("openmetrics") else { return };
    let folder = folder.join("openmetrics");
    let verdicts: Value = serde_json::from_slice(&std::fs::read(folder.join("verdicts.json")).unwrap()).unwrap();
    let verdicts = verdicts.as_array().unwrap();
    let mut differ = Vec::new();
    for v in verdicts {
        let name = v["file"].as_str().unwrap();
        let page = std::fs::read(folder.join(name)).unwrap();
        let strict = openmetrics::parse(&page);
        if v["should_parse"] != strict.is_ok() {
            differ.push(format!("{name}: {strict:?}"));
        }
        // A page is evidence, not an exam: the lenient reader reads every sample of a good page.
        if let Ok(families) = strict {
            let lenient = prometheus::parse(&page, "application/openmetrics-text; version=1.0.0; charset=utf-8");
            assert_eq!(lenient.errors, vec![], "{name}");
            let strict = families.iter().flat_map(|f| &f.samples).map(|s| (&s.name, &s.labels, s.time, &s.exemplar));
            assert!(strict.eq(lenient.samples.iter().map(|s| (&s.name, &s.labels, s.time, &s.exemplar))), "{name}");
        }
    }
    assert_eq!(differ, Vec::<String>::new());
    eprintln!("openmetrics: {} verdicts agree", verdicts.len());
    assert!(verdicts.len() >= 100);
    let page = std::fs::read(folder.join("node_exporter-e2e-output.prom")).unwrap();
    let parsed = prometheus::parse(&page, "text/plain; version=0.0.4");
    let lines = page.split(|&b| b == b'\n').filter(|l| !l.is_empty() && l[0] != b'#').count();
    assert_eq!((parsed.samples.len(), parsed.errors.len()), (lines, 0));
}

#[test]
fn packets_of_captures_survive_being_cut_at_every_byte() {
    let Some(folder) = corpus("cut packets") else { return };
    let bytes = std::fs::read(folder.join("pcaps/030-vlan-mixed-vlan-mpls.pcap")).unwrap();
    let mut reader = PcapReader::new(&bytes[..]).unwrap();
    let link = u32::from(reader.header().datalink) as u16;
    while let Some(Ok(p)) = reader.next_packet() {
        let Decoded::Ip(whole) = packet::decode(link, &p.data, p.orig_len) else { continue };
        for cut in 0..p.data.len() {
            // Wherever it is decoded from less, it is decoded to the same; options may be missing.
            if let Decoded::Ip(h) = packet::decode(link, &p.data[..cut], p.orig_len)
                && let (Some(less), Some(all)) = (h.tcp, whole.tcp)
            {
                assert_eq!(
                    (h.src, h.dst, h.src_port, h.dst_port),
                    (whole.src, whole.dst, whole.src_port, whole.dst_port)
                );
                assert_eq!((h.payload, h.length_known), (whole.payload, whole.length_known), "cut at {cut}");
                let fixed = |t: packet::Tcp| (t.flags, t.seq, t.ack, t.window);
                assert_eq!(fixed(less), fixed(all), "cut at {cut}");
            }
        }
    }
}
