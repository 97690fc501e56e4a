//! Sending until it is taken: waits as the receiver asks, tries again, and gives up in the end.

use std::time::Duration;

use hyper::Request;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::{Address, Answer, Body, Link};
use crate::control::Stop;
use crate::tally::Tally;

/// A try without an answer is given up after this time.
const PATIENCE: Duration = Duration::from_secs(10);
/// A request is given up for good after this time (as the Collector's own exporters do).
const AGE: Duration = Duration::from_secs(300);
/// The first wait before a request is sent again; it doubles up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Time between two looks at whether to stop.
const LOOK: Duration = Duration::from_millis(50);

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Taken; so many things in it were left out, with the receiver's words.
    Taken { left_out: u64, why: String },
    /// Sending it again would not help.
    Refused(String),
    /// To be sent again; `after` is what the receiver asked for.
    Again { after: Option<Duration>, why: String },
}

impl Outcome {
    /// All of it was taken.
    pub(crate) fn taken() -> Outcome {
        Outcome::Taken { left_out: 0, why: String::new() }
    }
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Ending {
    Taken {
        left_out: u64,
        why: String,
    },
    Refused(String),
    /// It was asked to stop before it was taken.
    Stopped,
}

/// A receiver, and the connection to it while there is one.
pub(crate) struct Peer {
    pub(crate) address: Address,
    pub(crate) tls: Option<TlsConnector>,
    pub(crate) stop: Stop,
    pub(crate) link: Option<Link>,
}

impl Peer {
    /// Sends one request, of so many bytes, until it is taken, refused, too old, or nobody wants it any more; and counts which.
    pub(crate) async fn deliver(
        &mut self,
        request: &Request<Body>,
        length: u64,
        judge: impl Fn(&Answer) -> Outcome,
        tally: &Tally,
    ) {
        let ending = self.until_taken(request, judge, tally).await;
        let mut report = tally.lock();
        match ending {
            Ending::Taken { left_out, why } => {
                report.sent += 1;
                report.bytes += length;
                report.partly_rejected += left_out;
                if !why.is_empty() {
                    report.reason(why);
                }
            }
            Ending::Refused(why) => {
                report.rejected += 1;
                report.reason(why);
            }
            Ending::Stopped => report.not_sent += 1,
        }
    }

    async fn until_taken(
        &mut self,
        request: &Request<Body>,
        judge: impl Fn(&Answer) -> Outcome,
        tally: &Tally,
    ) -> Ending {
        let (mut wait, since) = (FIRST_WAIT, Instant::now());
        loop {
            let tried = tokio::time::timeout(PATIENCE, self.attempt(request.clone())).await;
            let outcome = match tried {
                Ok(Ok(answer)) => judge(&answer),
                Ok(Err(why)) => Outcome::Again { after: None, why },
                Err(_) => Outcome::Again { after: None, why: format!("no answer within {PATIENCE:?}") },
            };
            let (after, why) = match outcome {
                Outcome::Taken { left_out, why } => return Ending::Taken { left_out, why },
                Outcome::Refused(why) => return Ending::Refused(why),
                Outcome::Again { after, why } => (after, why),
            };
            if self.stop.is_set() {
                return Ending::Stopped;
            }
            let pause = after.unwrap_or(wait).min(AGE);
            if since.elapsed() + pause > AGE {
                return Ending::Refused(format!("given up after {}s: {why}", since.elapsed().as_secs()));
            }
            {
                let mut report = tally.lock();
                report.retries += 1;
                report.reason(&why);
            }
            // Whatever was wrong, a new connection may reach another, healthier end; a late answer must not be taken for the next one's.
            self.link = None;
            if !self.pause(pause).await {
                return Ending::Stopped;
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn attempt(&mut self, request: Request<Body>) -> Result<Answer, String> {
        let open = match self.link.take().filter(Link::is_open) {
            Some(open) => open,
            None => Link::open(&self.address, self.tls.as_ref()).await?,
        };
        let answered = self.link.insert(open).exchange(request).await;
        if answered.is_err() {
            self.link = None;
        }
        answered
    }

    /// Waits; false when it was asked to stop meanwhile.
    async fn pause(&self, long: Duration) -> bool {
        let until = Instant::now() + long;
        while Instant::now() < until {
            if self.stop.is_set() {
                return false;
            }
            tokio::time::sleep(LOOK.min(until - Instant::now())).await;
        }
        !self.stop.is_set()
    }
}
