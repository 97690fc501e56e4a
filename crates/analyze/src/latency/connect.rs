//! How long connections took to be established, by destination.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use coldcase_model::Boottime;
use coldcase_model::analysis::Latency;
use coldcase_model::events::TcpInfo;
use coldcase_timeline::{Scope, Timeline};

use crate::axis::Axis;
use crate::series::Series;

/// `kernel.tcp_info`: why a row was written, and the state in which a connection waits for its answer.
pub(crate) const ESTABLISHED: u8 = 2;
pub(crate) const CLOSED: u8 = 3;
pub(crate) const SYN_SENT: u8 = 2;

/// The latency of each destination, largest total first. A connection that failed counts with the time it took to.
pub(crate) fn latencies(t: &Timeline, axis: &Axis, scope: &Scope, bundle: &str) -> Vec<Latency> {
    let mut groups = BTreeMap::<SocketAddr, Series>::new();
    for part in t.rows::<TcpInfo>() {
        let c = &part.cols;
        for i in 0..part.len() {
            let (took, failed) = match (c.why[i], c.state[i]) {
                (ESTABLISHED, _) if c.connect[i] > 0 => (c.connect[i], false),
                (CLOSED, SYN_SENT) => (c.age[i], true),
                _ => continue,
            };
            if !scope.has_process(t, c.pid[i], Boottime(c.time[i])) {
                continue;
            }
            let to = SocketAddr::new(c.remote_addr[i].addr(), c.remote_port[i]);
            let series = groups.entry(to).or_default();
            series.push(axis, t.utc_of(c.time[i].saturating_sub(took)).0, took, part.row(i), None);
            series.outcome(failed);
        }
    }
    let mut out: Vec<Latency> =
        groups.iter().map(|(to, s)| s.finish(axis, "connect", to.to_string(), bundle, "kernel.tcp_info")).collect();
    out.sort_by(|x, y| y.total.cmp(&x.total).then_with(|| x.name.cmp(&y.name)));
    out
}
