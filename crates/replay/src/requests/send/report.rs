//! What came of it: per operation how statuses and latencies differ from the recorded ones.

use std::collections::BTreeMap;

use coldcase_model::analysis::{Flow, SeenRequest};
use serde::Serialize;

use super::plan::Plan;
use super::run::{Done, Outcome, Pace};
use crate::quantiles::Quantiles;

/// Something with how often it occurred.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Count {
    /// What.
    pub what: String,
    /// How often.
    pub count: u64,
}

/// A status then and now.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct StatusChange {
    /// As recorded: the status, or how the request ended without one (`unfinished`, `closed`, `reset`).
    pub recorded: String,
    /// Now: the status, or what went wrong.
    pub now: String,
    /// How many requests.
    pub count: u64,
}

/// An operation: method and route template.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Operation {
    /// Its name.
    pub operation: String,
    /// Requests that were sent.
    pub sent: u64,
    /// Of these, answered.
    pub answered: u64,
    /// Those whose status is what it was.
    pub same_status: u64,
    /// Those whose status is another one, most first.
    pub status_changes: Vec<StatusChange>,
    /// Those without a whole answer, by what went wrong.
    pub errors: Vec<Count>,
    /// From the first byte of the request to the last of its answer, as the packets had it: of those requests that were
    /// answered then and now. Nanoseconds.
    pub latency_recorded: Option<Quantiles>,
    /// The same as the client sees it now.
    pub latency_now: Option<Quantiles>,
}

/// How well the times were kept.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Timing {
    /// `--speed`; none for max.
    pub speed: Option<f64>,
    /// From the first request to the end, nanoseconds.
    pub took: u64,
    /// Requests that waited for the answer before them.
    pub held_back: u64,
    /// How much later than planned the others were sent, nanoseconds.
    pub late: Option<Quantiles>,
}

/// What came of sending requests.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The target.
    pub target: String,
    /// Requests in the recording's window and scope.
    pub recorded: u64,
    /// Requests that were sent.
    pub sent: u64,
    /// Of these, answered.
    pub answered: u64,
    /// Of these, with the recorded status.
    pub same_status: u64,
    /// Those that were not sent, by why.
    pub skipped: Vec<Count>,
    /// Recorded connections that requests were sent of.
    pub connections: u64,
    /// Connections that were opened for them.
    pub connections_opened: u64,
    /// Most that were open at a time, as recorded.
    pub connections_at_a_time: u64,
    /// Bodies made of filler.
    pub filled_bodies: u64,
    /// What they consist of.
    pub filler: String,
    /// Requests of which only some headers were captured: the others were not sent.
    pub heads_cut: u64,
    /// Headers with credentials that were not sent.
    pub credentials_left_out: u64,
    /// Headers that are not valid and were not sent.
    pub invalid_headers: u64,
    /// Requests that were sent before the answer before them then; now they are sent after it.
    pub pipelined: u64,
    /// The times.
    pub timing: Timing,
    /// By operation, most requests first.
    pub operations: Vec<Operation>,
}

/// What was sent, before it is held against the recording.
#[derive(Debug)]
pub struct Ran {
    pub(super) outcome: Outcome,
    pub(super) connections: u64,
    pub(super) peak: u64,
}

impl Report {
    /// Holds what was sent against the recording.
    pub fn of(flow: &Flow, plan: &Plan, ran: &Ran, target: &str, pace: Pace) -> Report {
        let done = &ran.outcome.done;
        let held = |d: &&Done| d.held;
        let nanos = |d: std::time::Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
        let timing = Timing {
            speed: match pace {
                Pace::Speed(speed) => Some(speed),
                Pace::Max => None,
            },
            took: nanos(ran.outcome.wall),
            held_back: done.iter().filter(held).count() as u64,
            late: match pace {
                Pace::Speed(_) => Quantiles::of(done.iter().filter(|d| !d.held).map(|d| nanos(d.late))),
                Pace::Max => None,
            },
        };
        let operations = operations(flow, done);
        let sum = |of: fn(&Operation) -> u64| operations.iter().map(of).sum();
        Report {
            target: target.to_owned(),
            recorded: flow.requests.len() as u64,
            sent: done.len() as u64,
            answered: sum(|o| o.answered),
            same_status: sum(|o| o.same_status),
            skipped: plan.skipped(),
            connections: ran.connections,
            connections_opened: ran.outcome.opened,
            connections_at_a_time: ran.peak,
            filled_bodies: plan.filled,
            filler: char::from(super::plan::FILLER).to_string(),
            heads_cut: plan.head_cut,
            credentials_left_out: plan.credentials,
            invalid_headers: plan.invalid,
            pipelined: plan.pipelined,
            timing,
            operations,
        }
    }
}

/// The status then; else how it ended.
fn recorded(r: &SeenRequest) -> &str {
    if r.code.is_empty() { &r.outcome } else { &r.code }
}

fn operations(flow: &Flow, done: &[Done]) -> Vec<Operation> {
    let mut by_key = BTreeMap::<&str, Vec<(&SeenRequest, &Done)>>::new();
    for d in done {
        if let Some(r) = flow.requests.get(d.request) {
            by_key.entry(r.key.as_str()).or_default().push((r, d));
        }
    }
    let mut all: Vec<Operation> = by_key.into_iter().map(|(key, of)| operation(key, &of)).collect();
    all.sort_by(|a, b| b.sent.cmp(&a.sent).then_with(|| a.operation.cmp(&b.operation)));
    all
}

fn operation(key: &str, of: &[(&SeenRequest, &Done)]) -> Operation {
    let mut changes = BTreeMap::<(&str, String), u64>::new();
    let mut errors = BTreeMap::<&str, u64>::new();
    let (mut answered, mut same_status) = (0, 0);
    let (mut then, mut now) = (Vec::new(), Vec::new());
    for (r, d) in of {
        match d.answer {
            Ok(status) => {
                answered += 1;
                let status = status.to_string();
                if recorded(r) == status {
                    same_status += 1;
                } else {
                    *changes.entry((recorded(r), status)).or_default() += 1;
                }
                if let Some(took) = r.duration.filter(|_| r.is_answered()) {
                    then.push(took);
                    now.push(u64::try_from(d.took.as_nanos()).unwrap_or(u64::MAX));
                }
            }
            Err(trouble) => {
                *errors.entry(trouble.words()).or_default() += 1;
                *changes.entry((recorded(r), trouble.words().to_owned())).or_default() += 1;
            }
        }
    }
    let mut status_changes: Vec<StatusChange> = changes
        .into_iter()
        .map(|((then, now), count)| StatusChange { recorded: then.to_owned(), now, count })
        .collect();
    status_changes.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.cmp(b)));
    Operation {
        operation: key.to_owned(),
        sent: of.len() as u64,
        answered,
        same_status,
        status_changes,
        errors: errors.into_iter().map(|(what, count)| Count { what: what.to_owned(), count }).collect(),
        latency_recorded: Quantiles::of(then),
        latency_now: Quantiles::of(now),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::super::wire::Trouble;
    use super::*;

    #[test]
    fn statuses_and_latencies_are_held_against_the_recorded_ones() {
        let request = |code: &str, duration| SeenRequest {
            key: "GET /a".to_owned(),
            code: code.to_owned(),
            outcome: if code.is_empty() { "reset" } else { "ok" }.to_owned(),
            duration,
            ..serde_json::from_value(serde_json::json!({
                "protocol": "http", "key": "", "detail": "", "target": "", "code": "", "outcome": "", "connection": 0,
                "start": 0, "sent": null, "first": null, "first_row": null, "duration": null, "request_bytes": 0,
                "response_bytes": 0, "rows": null, "id": null, "traceparent": null, "missing": [], "frames": [1, 1],
                "evidence": null
            }))
            .unwrap()
        };
        let flow = Flow {
            requests: vec![
                request("200", Some(10)),
                request("200", Some(30)),
                request("", None),
                request("404", Some(5)),
            ],
            ..Flow::default()
        };
        let done = |request, answer, took| Done {
            request,
            answer,
            took: Duration::from_nanos(took),
            late: Duration::ZERO,
            held: false,
        };
        let done = [done(0, Ok(200), 20), done(1, Ok(500), 60), done(2, Ok(200), 7), done(3, Err(Trouble::Closed), 1)];
        let [o] = &operations(&flow, &done)[..] else { panic!("one operation") };
        assert_eq!((o.sent, o.answered, o.same_status), (4, 3, 1));
        let change = |recorded: &str, now: &str| StatusChange { recorded: recorded.into(), now: now.into(), count: 1 };
        let closed = Trouble::Closed.words();
        assert_eq!(o.status_changes, [change("200", "500"), change("404", closed), change("reset", "200")]);
        assert_eq!(o.errors, [Count { what: closed.to_owned(), count: 1 }]);
        let (then, now) = (o.latency_recorded.unwrap(), o.latency_now.unwrap());
        assert_eq!((then.count, then.max, now.count, now.max), (2, 30, 2, 60));
    }
}
