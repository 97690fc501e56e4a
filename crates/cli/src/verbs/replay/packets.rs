//! `coldcase replay --packets-to`: recorded packets onto an interface.

use std::net::IpAddr;
use std::path::Path;

use coldcase_export::pcapng::Wanted;
use coldcase_model::quantity::{format_count, format_size};
use coldcase_model::text::visible;
use coldcase_replay::packets::{self, Ask, Mac, PacketsError, Report, Rewrite, mac, pair};
use coldcase_replay::requests::server::listed;
use serde::Serialize;

use super::{Shared, span};
use crate::exit::{Exit, Failure};
use crate::out::Out;
use crate::reading::{Document, Reading};

/// Packets onto an interface.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Args {
    /// Send the recorded packets onto this interface
    #[arg(long, value_name = "IFACE")]
    packets_to: Option<String>,
    /// Of packets that were captured on several interfaces, those of this one
    #[arg(long, value_name = "IFACE", requires = "packets_to")]
    packets_of: Option<String>,
    /// Put another IP address in the place of one, and make the checksums anew
    #[arg(long, value_name = "OLD=NEW", requires = "packets_to", value_parser = ip_pair)]
    rewrite_ip: Vec<(IpAddr, IpAddr)>,
    /// Put another hardware address in the place of one
    #[arg(long, value_name = "OLD=NEW", requires = "packets_to", value_parser = mac_pair)]
    rewrite_mac: Vec<(Mac, Mac)>,
    /// Pad packets that were cut with zeros to the length that they had, and make their checksums anew
    #[arg(long, requires = "packets_to")]
    pad: bool,
}

impl Args {
    pub(super) fn is_asked(&self) -> bool {
        self.packets_to.is_some()
    }
}

fn ip_pair(text: &str) -> Result<(IpAddr, IpAddr), String> {
    let read = |t: &str| t.parse::<IpAddr>().map_err(|_| format!("'{t}' is not an IP address"));
    let (old, new) = pair(text, read)?;
    match old.is_ipv4() == new.is_ipv4() {
        true => Ok((old, new)),
        false => Err(format!("'{text}': IPv4 and IPv6 cannot stand in for each other")),
    }
}

fn mac_pair(text: &str) -> Result<(Mac, Mac), String> {
    pair(text, mac)
}

#[cfg(target_os = "linux")]
pub(super) fn run(file: &Path, args: &Args, shared: &Shared, reading: &Reading, out: &Out) -> Result<Exit, Failure> {
    use coldcase_replay::packets::{Interface, Kind, Socket};

    let name = args.packets_to.as_deref().unwrap_or_default();
    let interface = Interface::of(name).map_err(refused)?;
    if !interface.is_local() && !shared.yes_send {
        let driver = match &interface.kind {
            Kind::Other(driver) if !driver.is_empty() => format!(" (driver {driver})"),
            _ => String::new(),
        };
        return Err(Failure::usage(format!(
            "--packets-to {name}: not loopback and not veth{driver}: others would receive the packets"
        ))
        .hint("--yes-send sends them all the same"));
    }
    let mut socket = Socket::open(&interface).map_err(refused)?;
    let analysis = reading.packets(file, out)?;
    let scope = reading.scope();
    let [from, to] = scope.window.ends();
    let who = scope.who();
    let narrow = who.narrows_processes();
    let wanted = Wanted { from, to, traces: who.traces, narrow, ..Wanted::default() };
    let of = chosen(file, &analysis, &wanted, args.packets_of.clone())?;
    let rewrite = Rewrite { ips: args.rewrite_ip.clone(), macs: args.rewrite_mac.clone() };
    let ask = Ask { wanted, of: Some(of.clone()), rewrite, pad: args.pad, pace: shared.pace()? };
    let report = packets::send(file, &analysis, &ask, &mut socket).map_err(failure)?;
    for problem in &report.problems {
        out.warning(&format!("{}: {problem}", file.display()));
    }
    let kind = match &interface.kind {
        Kind::Loopback => "loopback".to_owned(),
        Kind::Veth => "veth".to_owned(),
        Kind::Other(driver) => driver.clone(),
    };
    let body = Body { bundle: crate::reading::name(&analysis), interface: name, kind: &kind, of: &of, report: &report };
    if out.json {
        out.document(&Document::new("coldcase.replay_packets", body))?;
    } else {
        out.text(&text(&body))?;
    }
    Ok(if report.sent > 0 { reading.exit(std::slice::from_ref(&analysis)) } else { Exit::Failed })
}

#[cfg(not(target_os = "linux"))]
pub(super) fn run(_: &Path, _: &Args, _: &Shared, _: &Reading, _: &Out) -> Result<Exit, Failure> {
    Err(Failure::usage("--packets-to: packets are sent on Linux only")
        .hint("coldcase export --pcapng writes them to a file, for tcpreplay and the like"))
}

/// What `--json` prints.
#[derive(Serialize)]
struct Body<'a> {
    bundle: serde_json::Value,
    interface: &'a str,
    kind: &'a str,
    of: &'a str,
    #[serde(flatten)]
    report: &'a Report,
}

/// The interface whose packets are sent: the one that they were captured on, or one of several that was named.
fn chosen(
    file: &Path,
    analysis: &coldcase_model::analysis::Analysis,
    wanted: &Wanted,
    named: Option<String>,
) -> Result<String, Failure> {
    let all = packets::interfaces(file, analysis, wanted).map_err(|e| failure(e.into()))?;
    match (named, &all[..]) {
        (_, []) => {
            Err(Failure::usage(format!("{}: no packets in it, or none in this window and scope", file.display())))
        }
        (Some(name), all) if all.iter().any(|(n, _)| *n == name) => Ok(name),
        (None, [(only, _)]) => Ok(only.clone()),
        (Some(name), all) => Err(Failure::usage(format!("--packets-of {name}: no packets were captured on it"))
            .hint(format!("packets were captured on {}", listed(all)))),
        (None, all) => Err(Failure::usage(format!("packets were captured on several interfaces: {}", listed(all)))
            .hint("--packets-of IFACE sends those of one: the same packet may be among those of others")),
    }
}

fn text(b: &Body<'_>) -> String {
    let r = b.report;
    let mut text = format!(
        "{} of {} packets of {} sent onto {} ({}), {}, in {}\n",
        format_count(r.sent),
        format_count(r.packets),
        visible(if b.of.is_empty() { "an interface without a name" } else { b.of }),
        visible(b.interface),
        visible(b.kind),
        format_size(r.bytes),
        span(r.took)
    );
    if let Some(late) = &r.late {
        text.push_str(&format!(
            "later than planned: p50 {}, p99 {}, max {}\n",
            span(late.p50),
            span(late.p99),
            span(late.max)
        ));
    }
    if r.rewritten + r.padded > 0 {
        text.push_str(&format!("{} with other addresses, {} padded\n", r.rewritten, r.padded));
    }
    for skip in &r.skipped {
        text.push_str(&format!("{} not sent: {}\n", format_count(skip.count), skip.what));
    }
    text
}

fn failure(e: PacketsError) -> Failure {
    match e {
        PacketsError::Read(coldcase_export::pcapng::PcapngError::Open(e)) => e.into(),
        PacketsError::Read(e) => Failure::usage(e.to_string()),
        e @ PacketsError::Send { .. } => Failure::failed(e.to_string()),
    }
}

#[cfg(target_os = "linux")]
fn refused(e: packets::InterfaceError) -> Failure {
    use coldcase_replay::packets::InterfaceError as E;
    let line = format!("--packets-to: {e}");
    match e {
        E::Privilege => Failure::failed(line).hint("run as root, or with CAP_NET_RAW in the network's namespace"),
        E::Down(name) => Failure::failed(line).hint(format!("ip link set {name} up")),
        E::None(_) => Failure::usage(line).hint("ip link lists them"),
        E::NotEthernet(_) => Failure::usage(line),
        E::Io { .. } => Failure::failed(line),
    }
}
