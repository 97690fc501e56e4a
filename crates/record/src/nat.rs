//! The source of address translations: connections whose ends the kernel rewrites, from its table of tracked
//! connections, as `conntrack -L` shows it. The table is that of the network namespace of the recorder.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, ErrorKind};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use coldcase_bundle::WriteError;
use coldcase_model::Ip;
use coldcase_model::events::Nat;

use crate::clock;
use crate::host::put;
use crate::source::{Context, Failure, Running, Skip, Source, Started};

/// The source's name.
const NAME: &str = "host.nat";
/// The table, which needs root to be read (or the group of its file).
const TABLE: &str = "/proc/net/nf_conntrack";
const COUNT: &str = "/proc/sys/net/netfilter/nf_conntrack_count";
/// How often it is read: a closed TCP connection stays in it for two minutes, a UDP flow for half a minute.
const INTERVAL: Duration = Duration::from_secs(5);
/// A table larger than this is read less often, in proportion.
const LARGE: u32 = 20_000;
/// Translations that are remembered so as to be told once.
const REMEMBERED: usize = 1 << 16;

/// The source of address translations.
pub struct Translations;

impl Source for Translations {
    fn names(&self) -> Vec<&'static str> {
        vec![NAME]
    }

    fn start(self: Box<Self>, context: Context) -> Result<Started, Skip> {
        std::fs::File::open(TABLE).map_err(|e| match e.kind() {
            ErrorKind::NotFound => Skip::unasked("the kernel tracks no connections (no nf_conntrack)", ""),
            ErrorKind::PermissionDenied => Skip::unasked(format!("only root may read {TABLE}"), ""),
            _ => Skip::unasked(format!("{TABLE}: {e}"), ""),
        })?;
        let (again, failure) = (Arc::new(AtomicBool::new(false)), Failure::default());
        let thread = std::thread::Builder::new().name("cc-nat".into()).spawn({
            let (again, failure) = (again.clone(), failure.clone());
            move || {
                if let Err(e) = run(&context, &again) {
                    failure.note(&e);
                }
            }
        });
        let thread = thread.map_err(|e| Skip::new(format!("cannot start a thread: {e}"), ""))?;
        Ok(Started::all(RunningTranslations { thread, again, failure }))
    }
}

struct RunningTranslations {
    thread: JoinHandle<()>,
    /// Tell all of them again.
    again: Arc<AtomicBool>,
    failure: Failure,
}

impl Running for RunningTranslations {
    fn failures(&mut self) -> Vec<(&'static str, String)> {
        self.failure.take(NAME)
    }

    fn segment_begins(&mut self) {
        self.again.store(true, Ordering::Release);
    }

    fn stop(self: Box<Self>) {
        // A panic of the thread was reported by the panic hook; there is nothing left to write.
        let _ = self.thread.join();
    }
}

/// Reads at once, now and then, and once more at the stop.
fn run(context: &Context, again: &AtomicBool) -> Result<(), WriteError> {
    let mut told = HashSet::new();
    loop {
        let stopped = context.stop.is_stopped();
        if again.swap(false, Ordering::AcqRel) || told.len() > REMEMBERED {
            told.clear();
        }
        let rows = read(&mut told);
        if !rows.is_empty() {
            put(context, &rows)?;
        }
        if stopped {
            return Ok(());
        }
        let count = std::fs::read_to_string(COUNT).ok().and_then(|c| c.trim().parse::<u32>().ok()).unwrap_or(0);
        context.stop.wait(INTERVAL * (1 + count / LARGE).min(60));
    }
}

type Ends = ((Ip, u16), (Ip, u16));

/// The translations in the table that were not told yet.
fn read(told: &mut HashSet<(u8, Ends, Ends)>) -> Vec<Nat> {
    let Ok(table) = std::fs::File::open(TABLE) else { return Vec::new() };
    let time = clock::boottime().0;
    let lines = BufReader::new(table).lines().map_while(Result::ok);
    let new = lines.filter_map(|line| parse(&line)).filter(|entry| told.insert(*entry));
    new.map(|(protocol, (src, dst), (reply_src, reply_dst))| Nat {
        time,
        protocol,
        src_addr: src.0,
        src_port: src.1,
        dst_addr: dst.0,
        dst_port: dst.1,
        reply_src_addr: reply_src.0,
        reply_src_port: reply_src.1,
        reply_dst_addr: reply_dst.0,
        reply_dst_port: reply_dst.1,
    })
    .collect()
}

/// A line of a TCP or UDP connection whose ends are rewritten: its protocol, source and destination as it is opened,
/// and those of what answers it. The format is that of `ct_seq_show` in `net/netfilter/nf_conntrack_standalone.c`.
fn parse(line: &str) -> Option<(u8, Ends, Ends)> {
    let protocol: u8 = line.split_whitespace().nth(3)?.parse().ok().filter(|p| matches!(p, 6 | 17))?;
    let mut values = line.split_whitespace().filter_map(|word| word.split_once('='));
    let mut tuple = || {
        let mut next = |name: &str| values.by_ref().find(|(n, _)| *n == name).map(|(_, value)| value);
        let ips = [next("src")?, next("dst")?].map(|ip| ip.parse::<IpAddr>().ok().map(Ip::from));
        let ports = [next("sport")?, next("dport")?].map(|port| port.parse().ok());
        Some(((ips[0]?, ports[0]?), (ips[1]?, ports[1]?)))
    };
    let (opened, answer) = (tuple()?, tuple()?);
    let rewritten = opened.0 != answer.1 || opened.1 != answer.0;
    rewritten.then_some((protocol, opened, answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_connections_whose_ends_are_rewritten_are_told() {
        let nat = "ipv4     2 tcp      6 431999 ESTABLISHED src=10.0.0.5 dst=10.0.0.1 sport=40000 dport=8080 \
                   src=172.17.0.2 dst=10.0.0.5 sport=80 dport=40000 [ASSURED] mark=0 zone=0 use=2";
        let (protocol, opened, answer) = parse(nat).unwrap_or_default();
        assert_eq!((protocol, opened.1.1, answer.0.1), (6, 8080, 80));
        assert_eq!(answer.0.0.addr().to_string(), "172.17.0.2");
        let plain = "ipv4     2 tcp      6 117 SYN_SENT src=10.0.0.5 dst=10.0.0.1 sport=4 dport=8 [UNREPLIED] \
                     src=10.0.0.1 dst=10.0.0.5 sport=8 dport=4 mark=0 use=2";
        assert_eq!(parse(plain), None);
        for cut in 0..nat.len().min(100) {
            assert_eq!(parse(&nat[..cut]), None);
        }
    }
}
