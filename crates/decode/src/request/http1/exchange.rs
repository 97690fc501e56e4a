//! The exchanges of a connection that are not over: requests in their order, and which of them is being answered.

use std::collections::VecDeque;

use super::super::{End, Outcome, Protocol, Request, Side, Stamp, missing, route};
use super::head::{RequestHead, Upgrade};

/// Most requests that may wait for an answer. Servers take far fewer.
const OPEN: usize = 1024;

/// What stands for a method or a target that was not seen.
const UNKNOWN: &str = "?";

/// A request that is not over.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) request: Request,
    pub(super) upgrade: Upgrade,
    pub(super) connect: bool,
    head: bool,
    sent: bool,
    answered: bool,
    /// The newest byte of the request and of the answer.
    newest: [Option<Stamp>; 2],
}

impl Exchange {
    /// A request as its head has it.
    pub(super) fn of(head: &RequestHead, start: Stamp) -> Exchange {
        let mut exchange = Exchange::unknown(start);
        let connect = head.method == "CONNECT";
        let request = &mut exchange.request;
        request.key = if connect {
            head.method.clone()
        } else {
            route::bounded(&format!("{} {}", head.method, route::template(&head.target)))
        };
        request.detail = route::bounded(&format!("{} {}", head.method, head.target));
        request.target = match route::authority(&head.target) {
            Some(authority) => route::bounded(authority),
            None if connect => route::bounded(&head.target),
            None => head.host.clone(),
        };
        request.traceparent = head.traceparent.clone();
        exchange.upgrade = head.upgrade;
        exchange.connect = connect;
        exchange.head = head.method == "HEAD";
        exchange
    }

    /// A request of which nothing is known but that it was there.
    pub(super) fn unknown(start: Stamp) -> Exchange {
        let mut request = Request::begins(Protocol::Http1, start);
        request.key = UNKNOWN.to_owned();
        Exchange {
            request,
            upgrade: Upgrade::None,
            connect: false,
            head: false,
            sent: false,
            answered: false,
            newest: [None; 2],
        }
    }

    /// Gives the request the outcome that its code tells, or else `otherwise`.
    fn conclude(&mut self, otherwise: Outcome) {
        self.request.outcome = match self.request.code.as_bytes().first() {
            Some(b'4'..=b'9') => Outcome::Error,
            Some(_) => Outcome::Ok,
            None => otherwise,
        };
    }
}

/// All that are not over, oldest first.
#[derive(Debug, Default)]
pub(super) struct Exchanges {
    open: VecDeque<Exchange>,
    /// The client sent a request before the answer to the one before began, and not all are answered since.
    pipelined: bool,
    /// Answers were lost, so that those which come may be others'.
    doubtful: bool,
    /// An answer was lost whose request was not seen: when, and how long it was.
    orphan: Option<(Stamp, u64)>,
}

impl Exchanges {
    /// The one that is being answered, or is next.
    pub(super) fn current(&self) -> Option<&Exchange> {
        self.open.iter().find(|e| !e.answered)
    }

    fn current_mut(&mut self) -> Option<&mut Exchange> {
        self.open.iter_mut().find(|e| !e.answered)
    }

    fn of(&mut self, from: Side) -> Option<&mut Exchange> {
        match from {
            Side::Client => self.open.back_mut().filter(|e| !e.sent),
            Side::Server => self.current_mut().filter(|e| e.request.first.is_some()),
        }
    }

    /// Counts bytes of a side; false where no message is open that they could be of.
    pub(super) fn add(&mut self, from: Side, (_, last): (Stamp, Stamp), n: u64) -> bool {
        let Some(exchange) = self.of(from) else { return false };
        match from {
            Side::Client => exchange.request.request_bytes += n,
            Side::Server => exchange.request.response_bytes += n,
        }
        exchange.newest[from.index()] = Some(last);
        true
    }

    /// Bytes of the message of a side are missing.
    pub(super) fn mark(&mut self, from: Side) {
        let bit = if from == Side::Client { missing::REQUEST } else { missing::RESPONSE };
        if let Some(exchange) = self.of(from) {
            exchange.request.missing |= bit;
        }
    }

    /// A request begins. `lost`: where the server's bytes are is not known.
    pub(super) fn asked(&mut self, exchange: Exchange, lost: bool, out: &mut Vec<Request>) {
        self.sent_unknown();
        self.hand_out(out);
        self.orphan = None;
        let known = |e: &Exchange| !e.request.detail.is_empty();
        // The client waited for the answers before. What was seen of them is all of it; and that to a request in a gap
        // is in one as well.
        let over = |e: &Exchange| e.request.first.is_some() || !known(e);
        while lost && !self.pipelined && self.current().is_some_and(over) {
            self.answered(None, out);
        }
        // A gap is told of when a packet behind it comes: that may be before the answers that came in between.
        self.pipelined |= known(&exchange) && self.current().is_some_and(|e| e.request.first.is_none() && known(e));
        if self.open.len() >= OPEN
            && let Some(oldest) = self.open.pop_front()
        {
            self.doubtful = true;
            out.push(oldest.request);
        }
        self.open.push_back(exchange);
    }

    /// Whether what a side says next begins a message: the client's last request was answered, or the server did not
    /// begin to answer.
    pub(super) fn expects(&self, from: Side) -> bool {
        match from {
            Side::Client => self.open.back().is_some_and(|e| e.answered && !e.sent),
            Side::Server => self.current().is_some_and(|e| e.request.first.is_none()),
        }
    }

    /// The newest request is whole.
    pub(super) fn sent(&mut self) {
        if let Some(exchange) = self.open.back_mut().filter(|e| !e.sent) {
            exchange.sent = true;
            exchange.request.sent = exchange.newest[0];
        }
    }

    /// The newest request is over, but where it ended was not seen.
    pub(super) fn sent_unknown(&mut self) {
        if let Some(exchange) = self.open.back_mut() {
            exchange.sent = true;
        }
    }

    /// Whether the newest request asked for another protocol and was not answered.
    pub(super) fn asks_upgrade(&self) -> bool {
        self.open.back().is_some_and(|e| e.upgrade != Upgrade::None && !e.answered)
    }

    /// Whether the one that is being answered has a status.
    pub(super) fn has_status(&self) -> bool {
        self.current().is_some_and(|e| !e.request.code.is_empty())
    }

    /// A response with this status begins. Returns whether it can have no body, and whether it answers CONNECT.
    pub(super) fn begins_answer(
        &mut self,
        status: u16,
        start: Stamp,
        midway: u8,
        out: &mut Vec<Request>,
    ) -> (bool, bool) {
        if self.current().is_none() {
            let mut exchange = Exchange::unknown(start);
            exchange.sent = true;
            exchange.request.missing = missing::REQUEST | midway;
            self.hand_out(out);
            self.open.push_back(exchange);
        }
        let doubt = if self.doubtful { missing::INFERRED } else { 0 };
        self.orphan = None;
        let Some(exchange) = self.current_mut() else { return (false, false) };
        exchange.request.first.get_or_insert(start);
        exchange.request.code = status.to_string();
        exchange.request.missing |= doubt;
        (exchange.head, exchange.connect)
    }

    /// That was an interim response (RFC 9110 15.2); the final one comes.
    pub(super) fn interim(&mut self) {
        if let Some(exchange) = self.current_mut() {
            exchange.request.code.clear();
            exchange.request.first = None;
        }
    }

    /// The head of an answer is in a gap.
    pub(super) fn lost_answer(&mut self, at: Stamp, len: u64) {
        if self.pipelined {
            self.doubtful = true;
        }
        match self.current_mut() {
            Some(exchange) => {
                exchange.request.first.get_or_insert(at);
            }
            None => self.orphan = Some((at, len)),
        }
    }

    /// A request is in a gap. Where its answer was found to be lost first, as the same packet told of both, they
    /// belong together.
    pub(super) fn lost_request(&mut self, at: Stamp, lost: bool, out: &mut Vec<Request>) {
        let orphan = self.orphan.take();
        let mut exchange = Exchange::unknown(orphan.map_or(at, |(at, _)| at));
        if let Some((at, len)) = orphan {
            exchange.request.first = Some(at);
            exchange.request.response_bytes = len;
            exchange.request.missing = missing::RESPONSE;
        }
        self.asked(exchange, lost, out);
    }

    /// Behind a gap, the head of an answer was found. It is the next one's, where there is a next one.
    pub(super) fn found_answer(&mut self, out: &mut Vec<Request>) {
        let unanswered = self.open.iter().filter(|e| !e.answered).count();
        let begun = self.current().is_some_and(|e| e.request.first.is_some());
        if begun && (unanswered > 1 || self.has_status()) {
            self.answered(None, out);
        }
    }

    /// The answer is over, with what its status tells or `otherwise`.
    pub(super) fn answered(&mut self, otherwise: Option<Outcome>, out: &mut Vec<Request>) {
        if let Some(exchange) = self.current_mut() {
            exchange.answered = true;
            exchange.request.end = exchange.newest[1].filter(|_| !exchange.request.code.is_empty());
            exchange.conclude(otherwise.unwrap_or_default());
        }
        self.hand_out(out);
    }

    /// Takes the one that is being answered out, for another protocol to go on with.
    pub(super) fn take_current(&mut self, out: &mut Vec<Request>) -> Option<Request> {
        let at = self.open.iter().position(|e| !e.answered)?;
        let mut exchange = self.open.remove(at)?;
        self.hand_out(out);
        exchange.request.sent = exchange.request.sent.or(exchange.newest[0]);
        Some(exchange.request)
    }

    /// Hands out those that are over, in the order of the requests.
    pub(super) fn hand_out(&mut self, out: &mut Vec<Request>) {
        while self.open.front().is_some_and(|e| e.sent && e.answered) {
            out.extend(self.open.pop_front().map(|e| e.request));
            if self.open.is_empty() {
                (self.doubtful, self.pipelined) = (false, false);
            }
        }
    }

    /// The end: hands out all.
    pub(super) fn end(&mut self, how: End, out: &mut Vec<Request>) {
        let outcome = match how {
            End::Capture => Outcome::Unfinished,
            End::Closed => Outcome::Closed,
            End::Reset => Outcome::Reset,
        };
        for mut exchange in self.open.drain(..) {
            if !exchange.answered {
                exchange.request.outcome = outcome;
            }
            out.push(exchange.request);
        }
    }
}
