//! What could be recorded here if it were named: log files that processes write, and ports that serve metrics.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long one port may take to answer.
const PATIENCE: Duration = Duration::from_millis(300);
/// Ports asked at once.
const PARALLEL: usize = 16;
/// Ports asked at all: a host that listens on more is not worth the wait at the start of a recording.
const PORTS: usize = 256;
/// Files and ports named to a person.
const SHOWN: usize = 12;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// Log files that a process has open for writing.
    pub logs: Vec<PathBuf>,
    /// URLs that answered like Prometheus exporters.
    pub metrics: Vec<String>,
}

impl Found {
    /// The flags that would record it, ready to paste; empty when nothing was found.
    pub fn flags(&self) -> Vec<String> {
        let logs = self.logs.iter().map(|p| format!("--log {}", shell_word(&p.display().to_string())));
        logs.chain(self.metrics.iter().map(|url| format!("--scrape {url}"))).collect()
    }
}

/// Looks for log files (`logs`) and metrics ports (`metrics`), for `budget` at most. Ports are asked on loopback only,
/// with `GET /metrics` and no Host header (which some services that are not HTTP take for an attack).
pub fn look(logs: bool, metrics: bool, budget: Duration) -> Found {
    let end = Instant::now() + budget;
    let metrics = if metrics { serving(end) } else { Vec::new() };
    Found { logs: if logs { open_logs(end) } else { Vec::new() }, metrics }
}

fn open_logs(end: Instant) -> Vec<PathBuf> {
    let mut found = BTreeSet::new();
    let own = std::process::id().to_string();
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    for process in processes.flatten() {
        let name = process.file_name();
        let is_process = name.to_str().is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()) && n != own);
        if !is_process || Instant::now() >= end {
            continue;
        }
        // Unreadable without CAP_SYS_PTRACE for processes of others: they are not found then.
        let Ok(descriptors) = std::fs::read_dir(process.path().join("fd")) else { continue };
        for descriptor in descriptors.flatten() {
            let Ok(target) = std::fs::read_link(descriptor.path()) else { continue };
            if looks_like_log(&target) && is_written(&process.path(), &descriptor.file_name()) && target.is_file() {
                found.insert(target);
            }
        }
    }
    found.into_iter().take(SHOWN).collect()
}

fn looks_like_log(path: &Path) -> bool {
    let text = path.to_string_lossy();
    let binary = text.starts_with("/var/log/journal/") || text.ends_with("tmp") || text.ends_with("lastlog");
    let deleted = text.ends_with(" (deleted)");
    !binary && !deleted && (text.ends_with(".log") || text.starts_with("/var/log/"))
}

/// Whether the descriptor was opened for writing.
fn is_written(process: &Path, descriptor: &std::ffi::OsStr) -> bool {
    let fdinfo = std::fs::read_to_string(process.join("fdinfo").join(descriptor)).unwrap_or_default();
    let flags = fdinfo.lines().find_map(|l| l.strip_prefix("flags:"));
    flags.and_then(|f| u32::from_str_radix(f.trim(), 8).ok()).is_some_and(|f| f & 0o3 != 0)
}

fn serving(end: Instant) -> Vec<String> {
    let mut at: Vec<SocketAddr> = listening().into_iter().collect();
    at.truncate(PORTS);
    let next = std::sync::atomic::AtomicUsize::new(0);
    let mut found: Vec<SocketAddr> = std::thread::scope(|scope| {
        let ask = || {
            let mut found = Vec::new();
            while Instant::now() < end {
                let i = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let Some(&address) = at.get(i) else { break };
                if serves_metrics(address, end).unwrap_or(false) {
                    found.push(address);
                }
            }
            found
        };
        let threads: Vec<_> = (0..PARALLEL.min(at.len())).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().flat_map(|t| t.join().unwrap_or_default()).collect()
    });
    found.sort_unstable();
    found.iter().take(SHOWN).map(|a| format!("http://{a}/metrics")).collect()
}

/// Where this network namespace listens for TCP, as loopback reaches it.
fn listening() -> BTreeSet<SocketAddr> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|p| std::fs::read_to_string(p).unwrap_or_default());
    tables.iter().flat_map(|t| t.lines().skip(1)).filter_map(listener).collect()
}

/// The address in a line of `/proc/net/tcp`, if it is a listener that loopback reaches.
fn listener(line: &str) -> Option<SocketAddr> {
    let mut parts = line.split_whitespace().skip(1);
    let (address, port) = parts.next()?.split_once(':')?;
    let state = parts.nth(1)?;
    let port = u16::from_str_radix(port, 16).ok().filter(|_| state == "0A")?;
    // Words of four bytes, each in the host's order.
    let words: Vec<u8> = (0..address.len() / 8)
        .filter_map(|i| u32::from_str_radix(address.get(i * 8..i * 8 + 8)?, 16).ok())
        .flat_map(u32::to_ne_bytes)
        .collect();
    let ip = match words.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(words).ok()?),
        16 => IpAddr::from(<[u8; 16]>::try_from(words).ok()?).to_canonical(),
        _ => return None,
    };
    match ip {
        // An IPv6 socket on all addresses takes IPv4 too, unless told otherwise; that one is then found as IPv4.
        _ if ip.is_unspecified() => Some(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)),
        IpAddr::V6(v6) if v6 == Ipv6Addr::LOCALHOST => Some(SocketAddr::new(ip, port)),
        IpAddr::V4(v4) if v4.is_loopback() => Some(SocketAddr::new(ip, port)),
        _ => None,
    }
}

fn serves_metrics(at: SocketAddr, end: Instant) -> std::io::Result<bool> {
    let patience = PATIENCE.min(end.saturating_duration_since(Instant::now())).max(Duration::from_millis(1));
    let deadline = Instant::now() + patience;
    let mut stream = TcpStream::connect_timeout(&at, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\nAccept: text/plain;version=0.0.4\r\n\r\n")?;
    let mut page = Vec::new();
    let mut part = [0; 4096];
    while page.len() < 1 << 14 && Instant::now() < deadline {
        let n = stream.read(&mut part)?;
        page.extend_from_slice(&part[..n]);
        if n == 0 || is_exposition(&page) {
            break;
        }
    }
    Ok(is_exposition(&page))
}

/// Whether an HTTP answer is a page of metrics.
fn is_exposition(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let fine = head.lines().next().is_some_and(|status| status.split(' ').nth(1) == Some("200"));
    fine && body.lines().any(|l| l.starts_with("# HELP ") || l.starts_with("# TYPE "))
}

/// A word as a shell takes it back.
fn shell_word(text: &str) -> String {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-+:@%=,".contains(&b));
    if plain { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn listeners_are_read_from_the_kernels_table() {
        let line =
            "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 1 1 0 100 0 0 10 0";
        assert_eq!(listener(line), Some("127.0.0.1:8080".parse().unwrap()));
        assert_eq!(listener(&line.replace(" 0A ", " 01 ")), None, "an open connection is no listener");
        assert_eq!(listener(&line.replace("0100007F", "0100000A")), None, "not reached by loopback");
        let all = line.replace("0100007F", "00000000000000000000000000000000");
        assert_eq!(listener(&all), Some("127.0.0.1:8080".parse().unwrap()));
        assert_eq!(listener("garbage"), None);
    }

    #[test]
    fn a_metrics_port_and_an_open_log_are_found() {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = server.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in server.incoming().flatten() {
                let mut stream = stream;
                let mut request = [0; 512];
                let n = stream.read(&mut request).unwrap_or(0);
                assert!(!String::from_utf8_lossy(&request[..n]).contains("Host:"));
                let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n# TYPE up gauge\nup 1\n");
            }
        });
        assert!(serves_metrics(at, Instant::now() + Duration::from_secs(2)).unwrap());
        let path = std::env::temp_dir().join(format!("coldcase discover {}.log", std::process::id()));
        let log = std::fs::File::create(&path).unwrap();
        let mut holder = std::process::Command::new("sleep").arg("5").stdout(log).spawn().unwrap();
        let found = Found { logs: open_logs(Instant::now() + Duration::from_secs(5)), metrics: Vec::new() };
        holder.kill().unwrap();
        holder.wait().unwrap();
        std::fs::remove_file(&path).unwrap();
        let flag = format!("--log '{}'", path.display());
        assert!(found.logs.len() == SHOWN || found.flags().contains(&flag), "{:?}", found.flags());
    }
}
