//! What the server answers, and to which request.

use super::exchange::{Step, request};
use super::{Postgres, wire};
use crate::request::frames::Frame;
use crate::request::{Outcome, Request, Transaction, missing};

impl Postgres {
    pub(super) fn server(&mut self, frame: &Frame<'_>, out: &mut Vec<Request>) {
        let kind = frame.head.first().copied().unwrap_or_default();
        let body = frame.head.get(5..).unwrap_or_default();
        // Neither is an answer: a parameter that changed outside of one, a notification.
        if kind == b'A' || (kind == b'S' && self.exchange.awaited() != Some(Step::UntilReady)) {
            return;
        }
        if self.exchange.awaited().is_none() {
            self.stray(kind, body, frame, out);
            return;
        }
        self.align(kind);
        let Some(p) = self.exchange.answer(frame.first, frame.last, frame.total) else { return };
        p.request.missing |= if frame.missing { missing::RESPONSE } else { 0 };
        match kind {
            b'D' | b'd' => {
                p.request.first_row.get_or_insert(frame.first);
                p.rows += 1;
            }
            b'C' | b'I' | b's' => {
                p.request.done = Some(frame.last);
                if let Some(rows) = tagged(body).filter(|_| kind == b'C') {
                    *p.tagged.get_or_insert(0) += rows;
                }
            }
            b'K' => p.request.id = body.first_chunk().map(|b| u64::from(u32::from_be_bytes(*b))),
            b'E' => self.error(body),
            b'G' | b'W' => {
                self.copying = true;
                self.exchange.drop_sync();
            }
            b'Z' => self.ready(body),
            _ => {}
        }
        let awaited = match kind {
            b'1' => Step::Parse,
            b'2' => Step::Bind,
            b'3' => Step::Close,
            b'T' | b'n' => Step::Describe,
            b'C' | b'I' | b's' => Step::Execute,
            _ => return,
        };
        if self.exchange.awaited() == Some(awaited) {
            self.exchange.answered();
        }
    }

    /// Where an answer is another than the one that is awaited, those between were in bytes that are missing.
    fn align(&mut self, kind: u8) {
        let wanted = match kind {
            b'1' => Step::Parse,
            b'2' => Step::Bind,
            b'3' => Step::Close,
            b't' | b'n' => Step::Describe,
            b'D' | b'C' | b'I' | b's' => Step::Execute,
            b'Z' => {
                let ready = |s| matches!(s, Step::Sync | Step::UntilReady);
                return self.exchange.pass_until(ready, missing::RESPONSE | missing::INFERRED, false);
            }
            _ => return,
        };
        if self.exchange.awaited() != Some(wanted) && self.exchange.awaits(wanted) {
            self.exchange.pass_until(|s| s == wanted, missing::RESPONSE | missing::INFERRED, false);
        }
    }

    fn error(&mut self, body: &[u8]) {
        let code = wire::field(body, b'C').unwrap_or_default();
        let fatal =
            wire::field(body, b'V').or_else(|| wire::field(body, b'S')).is_some_and(|s| s == "FATAL" || s == "PANIC");
        self.copying = false;
        let step = self.exchange.awaited();
        if let Some(p) = self.exchange.answering() {
            p.request.outcome = Outcome::Error;
            p.request.code = code;
        }
        if fatal {
            // The connection ends; of what waits behind it nothing was run.
            self.exchange.answered();
        } else if step != Some(Step::UntilReady) && step != Some(Step::Sync) {
            self.exchange.pass_until(|s| matches!(s, Step::Sync | Step::UntilReady), 0, true);
            self.exchange.failed = self.exchange.awaited().is_none();
        }
    }

    fn ready(&mut self, body: &[u8]) {
        self.exchange.transaction = match body.first() {
            Some(b'I') => Some(Transaction::None),
            Some(b'T') => Some(Transaction::Open),
            Some(b'E') => Some(Transaction::Failed),
            _ => None,
        };
        self.copying = false;
        self.exchange.answered();
        self.turns.answered();
    }

    /// An answer to nothing that is known.
    fn stray(&mut self, kind: u8, body: &[u8], frame: &Frame<'_>, out: &mut Vec<Request>) {
        match kind {
            b'N' | b'S' | b'A' => return,
            b'E' if self.exchange.waiting() == 0 => {
                // The server ends the connection on its own account.
                let mut unasked = request(frame.first, "unasked error");
                unasked.target.clone_from(&self.database);
                (unasked.first, unasked.end) = (Some(frame.first), Some(frame.last));
                unasked.response_bytes = frame.total;
                unasked.outcome = Outcome::Error;
                unasked.code = wire::field(body, b'C').unwrap_or_default();
                out.push(unasked);
            }
            b'Z' => {
                self.turns.answered();
                self.exchange.transaction = None;
                self.unread += frame.captured;
            }
            _ => self.unread += frame.captured,
        }
        self.turns.stray();
    }
}

/// The rows that a command tag tells: its last word, where that is a number.
fn tagged(body: &[u8]) -> Option<u64> {
    let (tag, _) = wire::cstring(body)?;
    std::str::from_utf8(tag).ok()?.rsplit(' ').next()?.parse().ok()
}
