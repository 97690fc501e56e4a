//! What a server of MySQL answers to the commands that wait, in their order.

use std::sync::Arc;

use super::wire::{self, FULL, HEADER, command};
use super::{Mysql, Statement};
use crate::request::frames::Frame;
use crate::request::{Outcome, Request, Stamp, Turn, missing};

/// Where the answer to a command stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// Its first packet, or that of the next result.
    First,
    /// Definitions of columns come.
    Columns(u64),
    /// Rows come; before them an EOF may.
    Rows { behind_eof: bool },
    /// Definitions of parameters and columns of a prepared statement come, each group with an EOF behind it or not.
    Prepared { parameters: u64, columns: u64 },
    /// The client sends a file.
    File,
    /// The login goes on.
    Login,
    /// Nothing more comes.
    Done,
}

/// A command whose answer is awaited.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) request: Request,
    pub(super) command: u8,
    pub(super) at: At,
    /// The number that the next packet of the server has; `None` where packets are missing.
    pub(super) sequence: Option<u8>,
    /// The next packet continues the last.
    full: bool,
    rows: u64,
    affected: Option<u64>,
    /// The statement that is prepared.
    pub(super) statement: Option<Arc<Statement>>,
    last: Option<Stamp>,
}

impl Pending {
    pub(super) fn new(request: Request, command: u8, sequence: u8) -> Pending {
        Pending {
            request,
            command,
            at: if command == command::CONNECT || command == command::CHANGE_USER { At::Login } else { At::First },
            sequence: Some(sequence),
            full: false,
            rows: 0,
            affected: None,
            statement: None,
            last: None,
        }
    }

    /// The request, answered or not.
    pub(super) fn into_request(mut self, outcome: Outcome) -> Request {
        if self.at == At::Done {
            self.request.end = self.last;
            if self.request.outcome != Outcome::Error {
                self.request.outcome = Outcome::Ok;
            }
        } else {
            self.request.outcome = outcome;
        }
        self.request.rows = if self.rows > 0 { Some(self.rows) } else { self.affected };
        self.request
    }

    /// Bytes of the answer.
    pub(super) fn took(&mut self, first: Stamp, last: Stamp, bytes: u64) {
        self.request.first.get_or_insert(first);
        self.request.response_bytes += bytes;
        self.last = Some(last);
    }
}

impl Mysql {
    /// A packet of the server.
    pub(super) fn answer(&mut self, frame: &Frame<'_>, out: &mut Vec<Request>) {
        let Some((length, sequence)) = wire::header(&frame.head) else { return };
        let payload = frame.head.get(HEADER..).unwrap_or_default();
        let deprecated = self.deprecates_eof();
        let Some(p) = self.pending.front_mut() else {
            // The end of an answer that was taken for whole, as it was not known that it has one.
            if !(length == 5 && payload.first() == Some(&0xfe)) {
                self.unread += frame.captured;
                self.turns.stray();
            }
            return;
        };
        p.took(frame.first, frame.last, frame.total);
        p.request.missing |= if frame.missing { missing::RESPONSE } else { 0 };
        p.sequence = Some(sequence.wrapping_add(1));
        if std::mem::take(&mut self.found) {
            p.at = if sequence == 1 { At::First } else { At::Rows { behind_eof: true } };
        }
        let continued = std::mem::replace(&mut p.full, length == FULL);
        // Of MariaDB: how far a long command is (error 0xffff).
        let progress = payload.starts_with(&[0xff, 0xff, 0xff]) && p.at != At::Login;
        if continued || progress {
            return;
        }
        if payload.first() == Some(&0xff) {
            p.request.code = wire::error(payload);
            p.request.outcome = Outcome::Error;
            p.at = At::Done;
        } else {
            self.transaction = p.step(payload, length, frame.first, deprecated).or(self.transaction);
        }
        let prepared = p.statement.take();
        if p.at == At::Done {
            self.done(out);
        }
        if let (Some(statement), Some(0)) = (prepared, payload.first()) {
            self.remember(wire::le32(payload, 1).unwrap_or_default(), statement);
        }
    }

    /// The answer of the first command that waits is whole.
    fn done(&mut self, out: &mut Vec<Request>) {
        let Some(mut p) = self.pending.pop_front() else { return };
        self.turns.answered();
        let failed = p.request.outcome == Outcome::Error;
        if p.command == command::CONNECT && !failed && self.compresses() {
            self.turned = Some(Turn::Compressed);
        }
        p.request.transaction = self.transaction;
        out.push(p.into_request(Outcome::Ok));
    }
}

impl Pending {
    /// Moves on by a packet that is no error. Returns the transaction where it tells.
    fn step(
        &mut self,
        payload: &[u8],
        length: u64,
        first: Stamp,
        deprecated: Option<bool>,
    ) -> Option<crate::request::Transaction> {
        let lead = payload.first().copied();
        let eof = lead == Some(0xfe) && length == 5;
        match self.at {
            // Its kind is in a gap.
            At::First if lead.is_none() => {
                self.request.missing |= missing::INFERRED;
                self.at = At::Rows { behind_eof: true };
            }
            At::First => return self.first(payload, length, lead),
            At::Login if lead == Some(0) => return self.ok(payload),
            At::Login | At::File | At::Done => {}
            At::Columns(left) => {
                self.at =
                    if left > 1 { At::Columns(left - 1) } else { At::Rows { behind_eof: deprecated == Some(true) } };
            }
            At::Rows { behind_eof: false } if eof && self.rows == 0 => {
                let status = wire::le16(payload, 3).unwrap_or_default();
                // A cursor was opened: its rows are fetched by commands of their own.
                let cursor = status & wire::CURSOR_EXISTS != 0;
                self.at = if cursor { At::Done } else { At::Rows { behind_eof: true } };
            }
            At::Rows { .. } if lead == Some(0xfe) && length < FULL => {
                let status =
                    if eof { wire::le16(payload, 3) } else { wire::ok(payload).map(|o| o.1) }.unwrap_or_default();
                self.at = if status & wire::MORE_RESULTS != 0 { At::First } else { At::Done };
                return Some(wire::transaction(status));
            }
            At::Rows { .. } => {
                self.request.first_row.get_or_insert(first);
                self.rows += 1;
            }
            At::Prepared { parameters: 0, columns: 0 } => self.at = At::Done,
            At::Prepared { .. } if eof => {}
            At::Prepared { parameters, columns } => {
                let (parameters, columns) =
                    if parameters > 0 { (parameters - 1, columns) } else { (0, columns.saturating_sub(1)) };
                self.at = At::Prepared { parameters, columns };
                if parameters + columns == 0 && deprecated != Some(false) {
                    self.at = At::Done;
                }
            }
        }
        None
    }

    /// The first packet of a result.
    fn first(&mut self, payload: &[u8], length: u64, lead: Option<u8>) -> Option<crate::request::Transaction> {
        match (self.command, lead) {
            (command::STATISTICS, _) => self.at = At::Done,
            (command::PREPARE, Some(0)) => {
                let count = |at| u64::from(wire::le16(payload, at).unwrap_or_default());
                let (columns, parameters) = (count(5), count(7));
                self.at = At::Prepared { parameters, columns };
                if columns + parameters == 0 {
                    self.at = At::Done;
                }
            }
            (command::FETCH | command::FIELD_LIST, _) => {
                self.at = At::Rows { behind_eof: true };
                return self.step(payload, length, self.last.unwrap_or_default(), Some(true));
            }
            (_, Some(0)) => return self.ok(payload),
            (command::QUERY | command::EXECUTE | command::BULK_EXECUTE | command::PROCESS_INFO, Some(0xfb))
                if length > 0 =>
            {
                self.at = At::File;
            }
            (command::QUERY | command::EXECUTE | command::BULK_EXECUTE | command::PROCESS_INFO, Some(_)) => {
                let (columns, rest) = wire::lenenc(payload)?;
                // MariaDB: a byte behind the number tells that the definitions are left out (MARIADB_CLIENT_CACHE_METADATA).
                let left_out = rest == [0];
                self.at = if left_out || columns == 0 { At::Rows { behind_eof: false } } else { At::Columns(columns) };
            }
            // An EOF or OK of a command without rows.
            _ => {
                self.at = At::Done;
                if length == 5 {
                    return wire::le16(payload, 3).map(wire::transaction);
                }
            }
        }
        None
    }

    fn ok(&mut self, payload: &[u8]) -> Option<crate::request::Transaction> {
        let (affected, status) = wire::ok(payload).unwrap_or_default();
        if self.at != At::Login {
            *self.affected.get_or_insert(0) += affected;
        }
        self.at = if status & wire::MORE_RESULTS != 0 { At::First } else { At::Done };
        Some(wire::transaction(status))
    }
}
