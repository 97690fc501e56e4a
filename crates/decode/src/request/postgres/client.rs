//! What the client says: requests of the simple and the extended protocol.

use std::sync::Arc;

use super::exchange::{Pending, Step, request};
use super::{Postgres, wire};
use crate::request::frames::Frame;
use crate::request::statement::{Statement, unknown};
use crate::request::turns::Waiting;
use crate::request::{Outcome, Request, missing};

impl Postgres {
    /// Begins a request of the extended or simple protocol.
    fn begin(&mut self, frame: &Frame<'_>, key: &str, out: &mut Vec<Request>) -> &mut Pending {
        match self.turns.another(self.exchange.waiting()) {
            Waiting::Fine => {}
            Waiting::AnsweredUnseen => self.exchange.end(Outcome::Unfinished, missing::RESPONSE, out),
            Waiting::Unsure => self.exchange.mark(missing::INFERRED),
        }
        if self.exchange.full() {
            self.exchange.end(Outcome::Unfinished, missing::RESPONSE, out);
            self.turns.client_lost();
        }
        self.exchange.close(out);
        let mut begun = request(frame.first, key);
        if self.turns.begins(self.exchange.waiting()) {
            begun.missing |= missing::INFERRED | if self.whole { 0 } else { missing::START };
        }
        self.exchange.begin(begun, &self.database, out)
    }

    /// The request that a message of the extended protocol belongs to.
    fn unit(&mut self, frame: &Frame<'_>, fits: impl Fn(&Pending) -> bool, out: &mut Vec<Request>) -> &mut Pending {
        if !self.exchange.open().is_some_and(|p| fits(p)) {
            self.begin(frame, "", out);
        }
        let bits = if frame.missing { missing::REQUEST } else { 0 };
        #[allow(clippy::expect_used)] // it was begun above where there was none
        let p = self.exchange.last().expect("a request that was begun");
        p.sent(frame.last, frame.total, bits);
        p
    }

    pub(super) fn client(&mut self, frame: &Frame<'_>, out: &mut Vec<Request>) {
        let kind = frame.head.first().copied().unwrap_or_default();
        let body = frame.head.get(5..).unwrap_or_default();
        let bits = if frame.missing { missing::REQUEST } else { 0 };
        match kind {
            b'Q' => {
                let statement = self.statement(body);
                let p = self.begin(frame, "", out);
                p.sent(frame.last, frame.total, bits);
                statement.describe(&mut p.request, "");
                self.exchange.step(Step::UntilReady);
                self.exchange.close(out);
            }
            b'F' => {
                let oid = body.first_chunk().map_or(0, |b| u32::from_be_bytes(*b));
                self.begin(frame, &format!("function {oid}"), out).sent(frame.last, frame.total, bits);
                self.exchange.step(Step::UntilReady);
                self.exchange.close(out);
            }
            b'P' => self.parse(body, frame, out),
            b'B' => self.bind(body, frame, out),
            b'D' => self.describe(body, frame, out),
            b'E' => self.execute(body, frame, out),
            b'C' => self.close(body, frame, out),
            b'S' => self.sync(frame, out),
            // A Flush, and what is added to a request under way: rows of a COPY, passwords.
            b'H' | b'd' | b'c' | b'f' | b'p' => {
                if matches!(kind, b'c' | b'f') {
                    self.copying = false;
                }
                if let Some(p) = self.exchange.first().filter(|_| kind != b'H') {
                    p.sent(frame.last, frame.total, bits);
                }
            }
            _ => self.exchange.close(out),
        }
    }

    /// The statement of a body that begins with its text.
    fn statement(&mut self, body: &[u8]) -> Statement {
        let (text, cut) = wire::cstring(body).map_or((body, true), |(text, _)| (text, false));
        Statement::of(&mut self.prints, text, cut)
    }

    fn parse(&mut self, body: &[u8], frame: &Frame<'_>, out: &mut Vec<Request>) {
        let (name, rest) = wire::cstring(body).unwrap_or((body, &[]));
        let statement = Arc::new(self.statement(rest));
        let p = self.unit(frame, |p| !p.parsed && !p.bound && !p.executed, out);
        statement.describe(&mut p.request, "prepare: ");
        p.parsed = true;
        self.exchange.prepare(name, statement);
        self.exchange.step(Step::Parse);
    }

    fn bind(&mut self, body: &[u8], frame: &Frame<'_>, out: &mut Vec<Request>) {
        let (portal, rest) = wire::cstring(body).unwrap_or((body, &[]));
        let name = wire::cstring(rest).map_or(rest, |(name, _)| name);
        let known = self.exchange.bind(portal, name);
        let p = self.unit(frame, |p| !p.bound && !p.executed, out);
        p.bound = true;
        match known {
            Some(statement) => statement.describe(&mut p.request, "bind: "),
            None => unknown(&mut p.request, "", &String::from_utf8_lossy(name)),
        }
        self.exchange.step(Step::Bind);
    }

    fn execute(&mut self, body: &[u8], frame: &Frame<'_>, out: &mut Vec<Request>) {
        let portal = wire::cstring(body).map_or(body, |(name, _)| name);
        let known = self.exchange.portal(portal);
        let p = self.unit(frame, |p| !p.executed, out);
        p.executed = true;
        match known {
            Some(statement) => statement.describe(&mut p.request, ""),
            // What its Bind said of an unknown statement stays.
            None if p.bound => {}
            None => unknown(&mut p.request, "", &String::from_utf8_lossy(portal)),
        }
        self.exchange.step(Step::Execute);
    }

    fn sync(&mut self, frame: &Frame<'_>, out: &mut Vec<Request>) {
        if self.copying {
            return;
        }
        let p = self.unit(frame, |_| true, out);
        if p.request.key.is_empty() {
            "sync".clone_into(&mut p.request.key);
        }
        self.exchange.step(Step::Sync);
        self.exchange.close(out);
    }

    fn describe(&mut self, body: &[u8], frame: &Frame<'_>, out: &mut Vec<Request>) {
        let known = match body.split_first() {
            Some((b'S', name)) => self.exchange.statement(wire::cstring(name).map_or(name, |n| n.0)),
            _ => None,
        };
        let p = self.unit(frame, |p| !p.executed, out);
        if p.request.key.is_empty() {
            "describe".clone_into(&mut p.request.key);
            if let Some(known) = known {
                known.describe(&mut p.request, "describe: ");
            }
        }
        self.exchange.step(Step::Describe);
    }

    fn close(&mut self, body: &[u8], frame: &Frame<'_>, out: &mut Vec<Request>) {
        let p = self.unit(frame, |_| true, out);
        if p.request.key.is_empty() {
            "close".clone_into(&mut p.request.key);
        }
        if let Some((&kind, name)) = body.split_first() {
            self.exchange.forget(kind, wire::cstring(name).map_or(name, |n| n.0));
        }
        self.exchange.step(Step::Close);
    }
}
