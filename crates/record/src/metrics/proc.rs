//! Host metrics: `/proc` files to samples with node_exporter's names. Pure; what is not understood is left out.

/// Where samples go: name, labels without braces, value.
pub(super) trait Out {
    fn sample(&mut self, name: &str, labels: &str, value: f64);
}

/// A file under `/proc` and how it is read.
pub(super) struct File {
    pub(super) path: &'static str,
    pub(super) read: fn(&str, &mut dyn Out),
}

/// All files that are read.
pub(super) const FILES: &[File] = &[
    File { path: "stat", read: stat },
    File { path: "meminfo", read: meminfo },
    File { path: "diskstats", read: diskstats },
    File { path: "net/dev", read: net_dev },
    File { path: "vmstat", read: vmstat },
    File { path: "pressure/cpu", read: |t, o| pressure("cpu", t, o) },
    File { path: "pressure/io", read: |t, o| pressure("io", t, o) },
    File { path: "pressure/memory", read: |t, o| pressure("memory", t, o) },
    File { path: "pressure/irq", read: |t, o| pressure("irq", t, o) },
    File { path: "loadavg", read: loadavg },
    File { path: "net/snmp", read: |t, o| netstat(t, SNMP, o) },
    File { path: "net/netstat", read: |t, o| netstat(t, NETSTAT, o) },
    File { path: "sys/fs/file-nr", read: file_nr },
];

/// USER_HZ: 100 on every architecture that is supported.
const TICKS: f64 = 100.0;

fn number(text: Option<&str>) -> Option<f64> {
    text?.parse().ok()
}

fn stat(text: &str, out: &mut dyn Out) {
    const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let name = words.next().unwrap_or("");
        let single = match name {
            "ctxt" => "node_context_switches_total",
            "intr" => "node_intr_total",
            "btime" => "node_boot_time_seconds",
            "processes" => "node_forks_total",
            "procs_running" => "node_procs_running",
            "procs_blocked" => "node_procs_blocked",
            _ => {
                // "cpu" alone is the sum of the others.
                if let Some(cpu) = name.strip_prefix("cpu").filter(|n| !n.is_empty()) {
                    for (mode, ticks) in MODES.iter().zip(words) {
                        if let Some(ticks) = number(Some(ticks)) {
                            let labels = format!("cpu=\"{cpu}\",mode=\"{mode}\"");
                            out.sample("node_cpu_seconds_total", &labels, ticks / TICKS);
                        }
                    }
                }
                continue;
            }
        };
        if let Some(value) = number(words.next()) {
            out.sample(single, "", value);
        }
    }
}

fn meminfo(text: &str, out: &mut dyn Out) {
    const WANTED: [&str; 24] = [
        "MemTotal",
        "MemFree",
        "MemAvailable",
        "Buffers",
        "Cached",
        "SwapCached",
        "Active",
        "Inactive",
        "SwapTotal",
        "SwapFree",
        "Dirty",
        "Writeback",
        "AnonPages",
        "Mapped",
        "Shmem",
        "Slab",
        "SReclaimable",
        "SUnreclaim",
        "KernelStack",
        "PageTables",
        "CommitLimit",
        "Committed_AS",
        "Mlocked",
        "Percpu",
    ];
    for line in text.lines() {
        let Some((name, rest)) = line.split_once(':') else { continue };
        let value = number(rest.trim().strip_suffix("kB").map(str::trim));
        if let Some(kib) = value.filter(|_| WANTED.contains(&name)) {
            out.sample(&format!("node_memory_{name}_bytes"), "", kib * 1024.0);
        }
    }
}

/// Per field of `/proc/diskstats` behind the name: the metric, and by what the value is multiplied.
const DISK: [(&str, f64); 17] = [
    ("reads_completed_total", 1.0),
    ("reads_merged_total", 1.0),
    ("read_bytes_total", 512.0),
    ("read_time_seconds_total", 0.001),
    ("writes_completed_total", 1.0),
    ("writes_merged_total", 1.0),
    ("written_bytes_total", 512.0),
    ("write_time_seconds_total", 0.001),
    ("io_now", 1.0),
    ("io_time_seconds_total", 0.001),
    ("io_time_weighted_seconds_total", 0.001),
    ("discards_completed_total", 1.0),
    ("discards_merged_total", 1.0),
    ("discarded_sectors_total", 1.0),
    ("discard_time_seconds_total", 0.001),
    ("flush_requests_total", 1.0),
    ("flush_requests_time_seconds_total", 0.001),
];

fn diskstats(text: &str, out: &mut dyn Out) {
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace().skip(2);
        let Some(device) = words.next() else { continue };
        let values: Vec<f64> = words.map_while(|w| number(Some(w))).collect();
        // Devices that never did anything: unused loops and RAM disks.
        if values.iter().all(|&v| v == 0.0) {
            continue;
        }
        let labels = format!("device=\"{device}\"");
        for ((name, factor), value) in DISK.iter().zip(values) {
            // Thousandths by division: 3 ms is 0.003 s to the last bit.
            let value = if *factor == 0.001 { value / 1000.0 } else { value * factor };
            out.sample(&format!("node_disk_{name}"), &labels, value);
        }
    }
}

fn net_dev(text: &str, out: &mut dyn Out) {
    const RECEIVE: [&str; 8] = ["bytes", "packets", "errs", "drop", "fifo", "frame", "compressed", "multicast"];
    const TRANSMIT: [&str; 8] = ["bytes", "packets", "errs", "drop", "fifo", "colls", "carrier", "compressed"];
    for line in text.lines().skip(2) {
        let Some((device, rest)) = line.split_once(':') else { continue };
        let labels = format!("device=\"{}\"", device.trim());
        let names = RECEIVE.iter().map(|n| ("receive", n)).chain(TRANSMIT.iter().map(|n| ("transmit", n)));
        for ((direction, name), word) in names.zip(rest.split_ascii_whitespace()) {
            if let Some(value) = number(Some(word)) {
                out.sample(&format!("node_network_{direction}_{name}_total"), &labels, value);
            }
        }
    }
}

fn vmstat(text: &str, out: &mut dyn Out) {
    const WANTED: [&str; 11] = [
        "pgfault",
        "pgmajfault",
        "pgpgin",
        "pgpgout",
        "pswpin",
        "pswpout",
        "oom_kill",
        "pgscan_direct",
        "pgsteal_direct",
        "allocstall_normal",
        "compact_stall",
    ];
    for line in text.lines() {
        let Some((name, value)) = line.split_once(' ') else { continue };
        if let Some(value) = number(Some(value)).filter(|_| WANTED.contains(&name)) {
            out.sample(&format!("node_vmstat_{name}"), "", value);
        }
    }
}

fn pressure(resource: &str, text: &str, out: &mut dyn Out) {
    for (state, seconds) in pressure_total(text) {
        out.sample(&format!("node_pressure_{resource}_{state}_seconds_total"), "", seconds);
    }
}

/// Who waited (`waiting`: some, `stalled`: all) and for how many seconds, of a PSI file.
pub(super) fn pressure_total(text: &str) -> Vec<(&'static str, f64)> {
    let line = |line: &str| {
        let mut words = line.split(' ');
        let state = match words.next()? {
            "some" => "waiting",
            "full" => "stalled",
            _ => return None,
        };
        let microseconds = number(words.find_map(|w| w.strip_prefix("total=")))?;
        Some((state, microseconds / 1e6))
    };
    text.lines().filter_map(line).collect()
}

fn loadavg(text: &str, out: &mut dyn Out) {
    for (name, word) in ["node_load1", "node_load5", "node_load15"].iter().zip(text.split_ascii_whitespace()) {
        if let Some(value) = number(Some(word)) {
            out.sample(name, "", value);
        }
    }
}

const SNMP: &[(&str, &[&str])] = &[
    ("Tcp", &["ActiveOpens", "PassiveOpens", "CurrEstab", "InSegs", "OutSegs", "RetransSegs", "InErrs", "OutRsts"]),
    ("Udp", &["InDatagrams", "OutDatagrams", "InErrors", "NoPorts", "RcvbufErrors", "SndbufErrors"]),
];
const NETSTAT: &[(&str, &[&str])] = &[(
    "TcpExt",
    &["ListenDrops", "ListenOverflows", "TCPSynRetrans", "TCPTimeouts", "TCPRcvQDrop", "TCPOFOQueue", "SyncookiesSent"],
)];

/// Pairs of lines: names, then values, both behind the protocol.
fn netstat(text: &str, wanted: &[(&str, &[&str])], out: &mut dyn Out) {
    let lines: Vec<&str> = text.lines().collect();
    for pair in lines.chunks_exact(2) {
        let (Some((protocol, names)), Some((same, values))) = (pair[0].split_once(':'), pair[1].split_once(':')) else {
            continue;
        };
        let Some((_, fields)) = wanted.iter().find(|(p, _)| *p == protocol && *p == same) else { continue };
        for (name, value) in names.split_ascii_whitespace().zip(values.split_ascii_whitespace()) {
            if let Some(value) = number(Some(value)).filter(|_| fields.contains(&name)) {
                out.sample(&format!("node_netstat_{protocol}_{name}"), "", value);
            }
        }
    }
}

fn file_nr(text: &str, out: &mut dyn Out) {
    let mut words = text.split_ascii_whitespace();
    if let (Some(allocated), _, Some(maximum)) = (number(words.next()), words.next(), number(words.next())) {
        out.sample("node_filefd_allocated", "", allocated);
        out.sample("node_filefd_maximum", "", maximum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::seen::Seen;

    #[test]
    fn samples_have_node_exporters_names_and_units() {
        let mut seen = Seen::default();
        stat("cpu  1 2 3\ncpu0 150 0 25 1000 5 0 1 7 0 0\nctxt 42\nprocs_running 3\n", &mut seen);
        meminfo("MemTotal:       2048 kB\nHugePages_Total:       0\n", &mut seen);
        diskstats("   8 0 sda 10 1 16 3 20 2 32 5 1 7 8\n   7 0 loop0 0 0 0 0 0 0 0 0 0 0 0\n", &mut seen);
        net_dev("Inter-|\n face |\n    lo: 100 2 0 0 0 0 0 0 100 2 0 0 0 0 0 9\n", &mut seen);
        pressure("io", "some avg10=0.00 total=1500000\nfull avg10=0.00 total=500000\n", &mut seen);
        netstat("Tcp: RtoMin RetransSegs\nTcp: 200 17\n", SNMP, &mut seen);
        loadavg("0.50 0.25 0.10 1/200 3000\n", &mut seen);
        for (name, labels, value) in [
            ("node_cpu_seconds_total", "cpu=\"0\",mode=\"user\"", 1.5),
            ("node_cpu_seconds_total", "cpu=\"0\",mode=\"steal\"", 0.07),
            ("node_context_switches_total", "", 42.0),
            ("node_memory_MemTotal_bytes", "", 2_097_152.0),
            ("node_disk_written_bytes_total", "device=\"sda\"", 16384.0),
            ("node_disk_read_time_seconds_total", "device=\"sda\"", 0.003),
            ("node_network_transmit_compressed_total", "device=\"lo\"", 9.0),
            ("node_pressure_io_stalled_seconds_total", "", 0.5),
            ("node_netstat_Tcp_RetransSegs", "", 17.0),
            ("node_load15", "", 0.1),
        ] {
            assert_eq!(seen.value(name, labels), Some(value), "{name}{{{labels}}}");
        }
        assert_eq!(seen.value("node_disk_io_now", "device=\"loop0\""), None);
    }

    #[test]
    fn damaged_files_give_nothing_and_never_panic() {
        let mut seen = Seen::default();
        for file in FILES {
            for text in ["", "\n", ":", "cpu", "cpuX a b", "some", "Tcp:\nTcp:", "a: b kB", "1 2", "\u{0}\u{ffff}"] {
                (file.read)(text, &mut seen);
            }
        }
        assert!(seen.0.iter().all(|s| s.2.is_finite()), "{:?}", seen.0);
    }
}
