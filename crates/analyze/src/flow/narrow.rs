//! A flow cut down to some of its connections and requests. What the kernel told beside the packets is left out.

use coldcase_model::analysis::{Flow, Folded};

use super::edges::edges;
use crate::requests::{kinds, repeated, retried, uses, vanished};

/// Keeps the connections that stay and the requests that are kept, and makes the sums anew: what is no connection's is
/// not in them any more.
pub(super) fn narrow(flow: &mut Flow, stays: &[bool], keep: &[bool]) {
    let mut places = Vec::with_capacity(stays.len());
    let mut next = 0;
    for &stay in stays {
        places.push(stay.then_some(next));
        next += usize::from(stay);
    }
    let mut stays = stays.iter();
    flow.connections.retain(|_| *stays.next().unwrap_or(&false));
    let mut keep = keep.iter();
    flow.requests.retain_mut(|r| {
        let place = places.get(r.connection).copied().flatten();
        r.connection = place.unwrap_or(0);
        *keep.next().unwrap_or(&false) && place.is_some()
    });
    flow.packets = flow.connections.iter().map(|c| c.packets_ab + c.packets_ba + c.copies).sum();
    flow.bytes = flow.connections.iter().map(|c| c.bytes_ab + c.bytes_ba).sum();
    flow.copies = flow.connections.iter().map(|c| c.copies).sum();
    (flow.malformed, flow.cut, flow.incomplete_datagrams) = (0, 0, 0);
    flow.malformed_frames.clear();
    flow.folded = Folded::default();
    flow.drops.clear();
    flow.failed_connects.clear();
    flow.full_listeners.clear();
    flow.edges = edges(&flow.connections, &flow.requests);
    flow.request_kinds = kinds(&flow.requests, &flow.connections);
    flow.databases = uses(&flow.requests, &flow.connections);
    flow.repeated = repeated(&flow.requests, &flow.connections);
    flow.vanished = vanished(&flow.requests, &flow.connections);
    flow.retried = retried(&flow.requests, &flow.connections);
}
