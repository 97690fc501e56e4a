use coldcase_decode::request::{Stamp, Transaction, missing};

use super::*;

fn stamp(time: i64) -> Stamp {
    Stamp { time, packet: 0 }
}

/// A statement from `from` to `to`.
fn asked(key: &str, from: i64, to: i64) -> Request {
    let mut r = Request::begins(Protocol::Postgres, stamp(from));
    r.key = key.into();
    (r.sent, r.first, r.end) = (Some(stamp(from)), Some(stamp(to)), Some(stamp(to)));
    r.outcome = Outcome::Ok;
    r
}

fn on(connection: u64, request: &Request) -> Seen<'_> {
    Seen { request, connection, client: 1, server: 2 }
}

#[test]
fn groups_add_up_to_the_time_of_their_server() {
    let mut requests: Vec<_> = (1..=100).map(|n| asked("a", 0, n)).collect();
    requests.push(asked("b", 0, 5000));
    requests[3].outcome = Outcome::Error;
    requests[4].rows = Some(7);
    requests[5].missing = missing::INFERRED;
    let mut open = asked("b", 10, 20);
    (open.end, open.outcome) = (None, Outcome::Closed);
    requests.push(open);
    let seen: Vec<_> = requests.iter().map(|r| on(1, r)).collect();
    let groups = fingerprints::group(&seen);
    let (a, b) = (&groups[0], &groups[1]);
    assert_eq!((a.count, a.errors, a.inferred, a.rows, a.p50, a.p99, a.mean()), (100, 1, 1, 7, 50, 99, 50));
    assert_eq!((b.count, b.unanswered, b.timed, b.total, b.longest), (2, 1, 1, 5000, Some((5000, 100))));
    assert_eq!(a.total + b.total, a.of_server);
    assert!((a.share() + b.share() - 1.0).abs() < 1e-9);
}

#[test]
fn the_same_statement_in_a_row_within_one_request_is_a_repeat() {
    let children: Vec<_> = (0..6).map(|n| asked("select", 100 + n * 10, 105 + n * 10)).collect();
    let mut all = vec![asked("startup", 0, 50), asked("list", 90, 95)];
    all.extend(children);
    // Of another parent, and too far behind.
    all.extend([asked("select", 300, 301), asked("select", 302, 303), asked("select", 90_000, 90_001)]);
    let seen: Vec<_> = all.iter().map(|r| on(1, r)).collect();
    let parents = [asked("GET /", 60, 200), asked("GET /", 290, 310)];
    let parents: Vec<_> = parents.iter().map(|request| Seen { request, connection: 9, client: 0, server: 1 }).collect();
    let found = repeats::repeats(&seen, &parents, 3, 1000);
    assert_eq!(found.len(), 1);
    let r = &found[0];
    assert_eq!(
        (r.members.clone(), r.took, r.between, r.parent, r.inferred),
        ((2..8).collect(), 55, 25, Some(0), false)
    );
    // Without parents the run goes on for as long as it is dense.
    assert_eq!(repeats::repeats(&seen, &[], 3, 1000)[0].members.len(), 8);
}

#[test]
fn silence_inside_of_a_transaction_is_told() {
    let mut requests = vec![
        asked("BEGIN", 0, 10),
        asked("UPDATE", 1_010, 1_020),
        asked("COMMIT", 6_020, 6_030),
        asked("x", 9_000, 9_001),
    ];
    let states = [Transaction::Open, Transaction::Open, Transaction::None, Transaction::Failed];
    requests.iter_mut().zip(states).for_each(|(r, t)| r.transaction = Some(t));
    let seen: Vec<_> = requests.iter().map(|r| on(1, r)).collect();
    let found = transactions::idle(&seen, 10_001, 1000);
    let told: Vec<_> = found.iter().map(|i| (i.behind, i.before, i.time, i.failed)).collect();
    assert_eq!(told, [(1, Some(2), 5000, false), (0, Some(1), 1000, false), (3, None, 1000, true)]);
}

#[test]
fn a_pool_whose_connections_are_all_busy_hands_them_over() {
    let requests = [
        (1, asked("startup", 0, 20)),
        (1, asked("q", 100, 200)),
        (2, asked("q", 110, 220)),
        (1, asked("q", 201, 300)),
        (2, asked("q", 221, 290)),
        (1, asked("q", 400, 410)),
    ];
    let seen: Vec<_> = requests.iter().map(|(c, r)| on(*c, r)).collect();
    let pools = pool::pools(&seen, 5);
    let p = &pools[0];
    assert_eq!((p.connections, p.opened, p.opening, p.requests, p.most_busy), (2, 1, 20, 5, 2));
    assert_eq!((p.all_busy, p.handed_over), (90 + 19 + 69, 2));
}
