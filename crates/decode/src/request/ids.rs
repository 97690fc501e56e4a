//! Requests that wait for an answer with their number.

use std::collections::{BTreeMap, HashMap};

use super::{End, Outcome, Request, missing};

/// Requests that wait at most; the oldest is handed out unfinished when there are more.
const WAITING: usize = 4096;

/// Requests by their numbers.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// In the order in which they were sent: their place and number.
    order: BTreeMap<u64, u64>,
    by_id: HashMap<u64, (u64, Request)>,
    next: u64,
}

impl Waiting {
    /// Puts a request in. One that waits under the same number will not be answered.
    pub(super) fn put(&mut self, id: u64, request: Request, out: &mut Vec<Request>) {
        if let Some(mut lost) = self.take(id) {
            lost.missing |= missing::RESPONSE;
            out.push(lost);
        }
        if self.by_id.len() >= WAITING
            && let Some((_, oldest)) = self.order.pop_first()
            && let Some((_, mut lost)) = self.by_id.remove(&oldest)
        {
            lost.missing |= missing::RESPONSE;
            out.push(lost);
        }
        self.order.insert(self.next, id);
        self.by_id.insert(id, (self.next, request));
        self.next += 1;
    }

    /// Takes the request of this number out.
    pub(super) fn take(&mut self, id: u64) -> Option<Request> {
        let (place, request) = self.by_id.remove(&id)?;
        self.order.remove(&place);
        Some(request)
    }

    /// The only request that waits.
    pub(super) fn only(&mut self) -> Option<&mut Request> {
        if self.by_id.len() != 1 {
            return None;
        }
        self.by_id.values_mut().next().map(|w| &mut w.1)
    }

    /// Whether a request of this number waits.
    pub(super) fn has(&self, id: u64) -> bool {
        self.by_id.contains_key(&id)
    }

    /// All that wait, in their order, without their answers.
    pub(super) fn end(&mut self, how: End, out: &mut Vec<Request>) {
        for id in std::mem::take(&mut self.order).into_values() {
            let Some((_, mut request)) = self.by_id.remove(&id) else { continue };
            request.outcome = match how {
                End::Capture => Outcome::Unfinished,
                End::Closed => Outcome::Closed,
                End::Reset => Outcome::Reset,
            };
            out.push(request);
        }
    }

    /// Answers are missing: which of these were answered is not known.
    pub(super) fn mark(&mut self, bits: u8) {
        self.by_id.values_mut().for_each(|w| w.1.missing |= bits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Protocol, Stamp};

    #[test]
    fn requests_are_found_by_their_numbers_and_bounded_in_number() {
        let (mut waiting, mut out) = (Waiting::default(), Vec::new());
        let request = |n: i64| Request::begins(Protocol::Kafka, Stamp { time: n, packet: 0 });
        for n in 0..5000 {
            waiting.put(n as u64, request(n), &mut out);
        }
        assert_eq!((out.len(), out[0].start.time, waiting.order.len()), (5000 - WAITING, 0, WAITING));
        assert_eq!(waiting.take(4000).unwrap().start.time, 4000);
        assert!(!waiting.has(4000) && waiting.has(4001) && !waiting.has(0));
        waiting.put(4001, request(9), &mut out);
        out.clear();
        waiting.end(End::Reset, &mut out);
        assert_eq!((out.len(), out.last().unwrap().start.time), (WAITING - 1, 9));
    }
}
