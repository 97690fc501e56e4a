//! What a client of PostgreSQL asked for, and what of it the server has answered (Documentation, 55.2 Message Flow).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::request::statement::Statement;
use crate::request::{Outcome, Protocol, Request, Stamp, Transaction};

/// Requests that wait for an answer at most; when there are more, all are handed out unfinished.
const WAITING: usize = 8192;
/// Prepared statements, and portals, that are remembered.
const NAMED: usize = 4096;

/// A message that the server answers, in the order of the requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Parse,
    Bind,
    Describe,
    Execute,
    Close,
    Sync,
    /// A simple query, a function call, a startup, or a request whose rest is in a gap: all up to ReadyForQuery.
    UntilReady,
    /// SSLRequest or GSSENCRequest: one byte.
    Byte,
}

/// A request that is not answered to its end.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) request: Request,
    /// Messages of it that wait for their answer.
    steps: u32,
    /// The client adds no more to it.
    pub(super) closed: bool,
    pub(super) parsed: bool,
    pub(super) bound: bool,
    pub(super) executed: bool,
    /// Last byte of the answer so far.
    last: Option<Stamp>,
    /// Rows that came, and those that the command tags tell.
    pub(super) rows: u64,
    pub(super) tagged: Option<u64>,
}

/// What is under way on a connection.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    pending: VecDeque<Pending>,
    /// Number of the first of `pending`.
    base: u64,
    /// Answers that are awaited, with the number of their request.
    steps: VecDeque<(Step, u64)>,
    statements: HashMap<Vec<u8>, Arc<Statement>>,
    portals: HashMap<Vec<u8>, Arc<Statement>>,
    /// The server passes over messages until the next Sync.
    pub(super) failed: bool,
    pub(super) transaction: Option<Transaction>,
}

impl Exchange {
    pub(super) fn waiting(&self) -> usize {
        self.pending.len()
    }

    /// No more requests may wait.
    pub(super) fn full(&self) -> bool {
        self.pending.len() >= WAITING
    }

    /// Begins a request.
    pub(super) fn begin(&mut self, mut request: Request, target: &str, out: &mut Vec<Request>) -> &mut Pending {
        self.close(out);
        request.target = target.to_owned();
        self.pending.push_back(Pending {
            request,
            steps: 0,
            closed: false,
            parsed: false,
            bound: false,
            executed: false,
            last: None,
            rows: 0,
            tagged: None,
        });
        let at = self.pending.len() - 1;
        &mut self.pending[at]
    }

    /// The request that the client may still add to.
    pub(super) fn open(&mut self) -> Option<&mut Pending> {
        self.pending.back_mut().filter(|p| !p.closed)
    }

    /// The request that was sent last.
    pub(super) fn last(&mut self) -> Option<&mut Pending> {
        self.pending.back_mut()
    }

    /// The request whose answer comes.
    pub(super) fn first(&mut self) -> Option<&mut Pending> {
        self.pending.front_mut()
    }

    /// An answer to the request that was sent last is awaited.
    pub(super) fn step(&mut self, step: Step) {
        let Some(last) = self.pending.len().checked_sub(1) else { return };
        let pending = &mut self.pending[last];
        if self.failed && step != Step::Sync {
            if step == Step::Execute || step == Step::UntilReady {
                skipped(&mut pending.request);
            }
            return;
        }
        self.failed = false;
        pending.steps += 1;
        self.steps.push_back((step, self.base + last as u64));
    }

    /// The client adds no more to the request that it sent last.
    pub(super) fn close(&mut self, out: &mut Vec<Request>) {
        if let Some(p) = self.pending.back_mut() {
            p.closed = true;
            self.hand_out(out);
        }
    }

    /// The answer that is awaited next.
    pub(super) fn awaited(&self) -> Option<Step> {
        self.steps.front().map(|&(step, _)| step)
    }

    /// Whether such an answer is awaited before the next ReadyForQuery.
    pub(super) fn awaits(&self, step: Step) -> bool {
        self.steps.iter().take_while(|(s, _)| !matches!(s, Step::Sync | Step::UntilReady)).any(|&(s, _)| s == step)
    }

    /// Bytes of the answer that is awaited next.
    pub(super) fn answer(&mut self, first: Stamp, last: Stamp, bytes: u64) -> Option<&mut Pending> {
        let of = self.steps.front().map_or(self.base, |s| s.1);
        let p = self.pending.get_mut(of.checked_sub(self.base)? as usize)?;
        p.request.first.get_or_insert(first);
        p.request.response_bytes += bytes;
        p.last = Some(last);
        Some(p)
    }

    /// The request of the answer that is awaited next.
    pub(super) fn answering(&mut self) -> Option<&mut Pending> {
        let of = self.steps.front()?.1;
        self.pending.get_mut(of.checked_sub(self.base)? as usize)
    }

    /// The answer that is awaited next was given.
    pub(super) fn answered(&mut self) {
        if let Some((_, of)) = self.steps.pop_front()
            && let Some(p) = self.pending.get_mut((of - self.base) as usize)
        {
            p.steps -= 1;
        }
    }

    /// Passes over awaited answers until one is such; their requests get these bits.
    pub(super) fn pass_until(&mut self, such: impl Fn(Step) -> bool, bits: u8, error: bool) {
        let failing = self.steps.front().map(|s| s.1);
        while let Some(&(step, of)) = self.steps.front()
            && !such(step)
        {
            self.answered();
            let Some(p) = self.pending.get_mut((of - self.base) as usize) else { continue };
            p.request.missing |= bits;
            if error && Some(of) != failing {
                skipped(&mut p.request);
            }
        }
    }

    /// A Sync that the server was told while it takes in a COPY is passed over (55.2.6).
    pub(super) fn drop_sync(&mut self) {
        if self.awaited() == Some(Step::Execute)
            && self.steps.get(1).is_some_and(|s| s.0 == Step::Sync)
            && let Some((_, of)) = self.steps.remove(1)
            && let Some(p) = self.pending.get_mut((of - self.base) as usize)
        {
            p.steps -= 1;
            p.closed = false;
        }
    }

    /// Hands out what was answered to its end.
    pub(super) fn hand_out(&mut self, out: &mut Vec<Request>) {
        while self.pending.front().is_some_and(|p| p.closed && p.steps == 0)
            && let Some(mut p) = self.pending.pop_front()
        {
            self.base += 1;
            p.request.transaction = self.transaction;
            finish(p, out);
        }
    }

    /// Hands out all, whole or not.
    pub(super) fn end(&mut self, outcome: Outcome, bits: u8, out: &mut Vec<Request>) {
        self.steps.clear();
        while let Some(mut p) = self.pending.pop_front() {
            self.base += 1;
            if p.steps == 0 {
                finish(p, out);
                continue;
            }
            if p.request.outcome != Outcome::Error {
                p.request.outcome = outcome;
            }
            p.request.missing |= bits;
            rows(&mut p);
            out.push(p.request);
        }
    }

    /// All that waits gets these bits.
    pub(super) fn mark(&mut self, bits: u8) {
        self.pending.iter_mut().for_each(|p| p.request.missing |= bits);
    }

    pub(super) fn prepare(&mut self, name: &[u8], statement: Arc<Statement>) {
        remember(&mut self.statements, name, statement);
    }

    /// Binds a portal to a statement, and says which; `None` where it was prepared before the capture began.
    pub(super) fn bind(&mut self, portal: &[u8], statement: &[u8]) -> Option<Arc<Statement>> {
        let Some(known) = self.statements.get(statement).cloned() else {
            self.portals.remove(portal);
            return None;
        };
        remember(&mut self.portals, portal, Arc::clone(&known));
        Some(known)
    }

    pub(super) fn portal(&self, name: &[u8]) -> Option<Arc<Statement>> {
        self.portals.get(name).cloned()
    }

    pub(super) fn statement(&self, name: &[u8]) -> Option<Arc<Statement>> {
        self.statements.get(name).cloned()
    }

    pub(super) fn forget(&mut self, kind: u8, name: &[u8]) {
        if kind == b'S' {
            self.statements.remove(name)
        } else {
            self.portals.remove(name)
        };
    }
}

/// The number of statements and their bytes are bounded: where there are too many, they are learnt again.
fn remember(map: &mut HashMap<Vec<u8>, Arc<Statement>>, name: &[u8], statement: Arc<Statement>) {
    if map.len() >= NAMED && !map.contains_key(name) {
        map.clear();
    }
    map.insert(name.to_vec(), statement);
}

/// An error before it in its batch kept the server from running it.
fn skipped(request: &mut Request) {
    if request.outcome != Outcome::Error {
        request.outcome = Outcome::Error;
        "skipped".clone_into(&mut request.code);
    }
}

fn rows(p: &mut Pending) {
    p.request.rows = if p.rows > 0 { Some(p.rows) } else { p.tagged.or(p.request.done.map(|_| 0)) };
}

fn finish(mut p: Pending, out: &mut Vec<Request>) {
    if p.request.outcome != Outcome::Error {
        p.request.outcome = Outcome::Ok;
    }
    p.request.end = p.last;
    rows(&mut p);
    out.push(p.request);
}

impl Pending {
    /// Another message of the request.
    pub(super) fn sent(&mut self, last: Stamp, bytes: u64, bits: u8) {
        self.request.sent = Some(last);
        self.request.request_bytes += bytes;
        self.request.missing |= bits;
    }
}

/// A request of this protocol that begins with a message.
pub(super) fn request(start: Stamp, key: &str) -> Request {
    let mut request = Request::begins(Protocol::Postgres, start);
    key.clone_into(&mut request.key);
    request
}
