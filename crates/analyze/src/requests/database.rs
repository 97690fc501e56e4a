//! How clients use databases: connections and how busy they are, transactions left open, statements in loops.

use std::collections::BTreeMap;

use coldcase_model::analysis::{Connection, DatabaseUse, RepeatedRequest, SeenRequest, process_name};

use super::kinds::service;

/// Protocols of databases.
const DATABASES: [&str; 4] = ["postgres", "mysql", "redis", "mongo"];
/// So many of one statement one after another are a loop.
const LOOP: usize = 5;
/// Longest pause between two of them: what a program needs to look at an answer.
const PAUSE: i64 = 5_000_000;

/// Who asks on a connection: its process without the pid, else its address.
pub(super) fn client(c: &Connection) -> String {
    match &c.process_a {
        Some(p) => process_name(p).to_owned(),
        None => c.a.rsplit_once(':').map_or(c.a.as_str(), |e| e.0).to_owned(),
    }
}

/// Where a request ends in time: at its last byte, or with its connection.
fn end(r: &SeenRequest, c: &Connection) -> i64 {
    r.duration.and_then(|d| i64::try_from(d).ok()).map_or(c.last, |d| r.start.saturating_add(d)).max(r.start)
}

/// Requests to databases by connection, each connection's in order, with their indices.
fn by_connection(requests: &[SeenRequest]) -> BTreeMap<usize, Vec<(usize, &SeenRequest)>> {
    let mut out = BTreeMap::<usize, Vec<(usize, &SeenRequest)>>::new();
    for (at, r) in requests.iter().enumerate().filter(|(_, r)| DATABASES.contains(&r.protocol.as_str())) {
        out.entry(r.connection).or_default().push((at, r));
    }
    out
}

/// Who uses which database how, longest total first.
pub(crate) fn uses(requests: &[SeenRequest], connections: &[Connection]) -> Vec<DatabaseUse> {
    let mut groups = BTreeMap::<(String, String, &str), Vec<usize>>::new();
    let of = by_connection(requests);
    for (&at, list) in &of {
        let (Some(c), Some((_, first))) = (connections.get(at), list.first()) else { continue };
        groups.entry((client(c), service(c), first.protocol.as_str())).or_default().push(at);
    }
    let mut out: Vec<DatabaseUse> = groups
        .into_iter()
        .map(|((client, service, protocol), members)| {
            let mut new = DatabaseUse { client, service, protocol: protocol.to_owned(), ..DatabaseUse::default() };
            for at in &members {
                if let (Some(c), Some(list)) = (connections.get(*at), of.get(at)) {
                    connection(&mut new, c, list);
                }
            }
            (new.most, new.all_busy) = busy(&members, &of, connections);
            new
        })
        .collect();
    out.sort_by(|x, y| {
        let name = |u: &DatabaseUse| (u.client.clone(), u.service.clone(), u.protocol.clone());
        y.total.cmp(&x.total).then_with(|| name(x).cmp(&name(y)))
    });
    out
}

/// Adds one connection.
fn connection(new: &mut DatabaseUse, c: &Connection, list: &[(usize, &SeenRequest)]) {
    new.connections += 1;
    new.opened += u64::from(c.tcp.as_ref().is_some_and(|t| t.handshake));
    for (i, (at, r)) in list.iter().enumerate() {
        new.requests += 1;
        new.total = new.total.saturating_add(r.duration.unwrap_or(0));
        if !matches!(r.transaction.as_deref(), Some("open" | "failed")) || r.duration.is_none() {
            continue;
        }
        let next = list.get(i + 1).map_or(c.last, |(_, next)| next.start);
        let idle = u64::try_from(next.saturating_sub(end(r, c))).unwrap_or(0);
        new.idle_in_transaction = new.idle_in_transaction.saturating_add(idle);
        if idle > new.idle_longest {
            (new.idle_longest, new.idle_after) = (idle, Some(*at));
        }
    }
}

/// The most requests at a time, and how long all connections that were open were busy.
fn busy(members: &[usize], of: &BTreeMap<usize, Vec<(usize, &SeenRequest)>>, connections: &[Connection]) -> (u64, u64) {
    // At each moment: how many connections more are open, how many more are busy, how many requests more are asked.
    let mut steps = Vec::<(i64, [i64; 3])>::new();
    for at in members {
        let (Some(c), Some(list)) = (connections.get(*at), of.get(at)) else { continue };
        steps.extend([(c.first, [1, 0, 0]), (c.last, [-1, 0, 0])]);
        let mut until = i64::MIN;
        for (_, r) in list {
            let (from, to) = (r.start, end(r, c));
            steps.extend([(from, [0, 0, 1]), (to, [0, 0, -1])]);
            // Pipelined requests keep their connection busy once.
            if to > until {
                steps.extend([(from.max(until), [0, 1, 0]), (to, [0, -1, 0])]);
                until = to;
            }
        }
    }
    steps.sort_unstable();
    let (mut now, mut most, mut all) = ([0i64; 3], 0, 0u64);
    for (i, (time, step)) in steps.iter().enumerate() {
        now.iter_mut().zip(step).for_each(|(n, s)| *n += s);
        most = most.max(now[2]);
        let next = steps.get(i + 1).map_or(*time, |s| s.0);
        if now[0] > 0 && now[1] >= now[0] {
            all = all.saturating_add(u64::try_from(next.saturating_sub(*time)).unwrap_or(0));
        }
    }
    (u64::try_from(most).unwrap_or(0), all)
}

/// Statements in loops, longest total first.
pub(crate) fn repeated(requests: &[SeenRequest], connections: &[Connection]) -> Vec<RepeatedRequest> {
    let mut groups = BTreeMap::<(String, String, &str, &str), RepeatedRequest>::new();
    for (at, list) in by_connection(requests) {
        let Some(c) = connections.get(at) else { continue };
        let mut rest = list.as_slice();
        while let Some(&(first, r)) = rest.first() {
            let same = |pair: &[(usize, &SeenRequest)]| {
                let (before, after) = (pair[0].1, pair[1].1);
                let pause = after.start.saturating_sub(end(before, c));
                after.key == r.key && (0..PAUSE).contains(&pause)
            };
            let run = 1 + rest.windows(2).take_while(|pair| same(pair)).count();
            let (this, others) = rest.split_at(run);
            rest = others;
            if run < LOOP {
                continue;
            }
            let last = this.last().map_or(r.start, |(_, l)| end(l, c));
            let key = (client(c), service(c), r.protocol.as_str(), r.key.as_str());
            let group = groups.entry(key).or_default();
            group.runs += 1;
            group.requests += run as u64;
            group.total = group.total.saturating_add(u64::try_from(last.saturating_sub(r.start)).unwrap_or(0));
            if run as u64 > group.longest {
                (group.longest, group.first) = (run as u64, first);
            }
        }
    }
    let mut out: Vec<RepeatedRequest> = groups
        .into_iter()
        .map(|((client, service, protocol, key), group)| RepeatedRequest {
            client,
            service,
            protocol: protocol.to_owned(),
            key: key.to_owned(),
            ..group
        })
        .collect();
    // The order of the names stays where totals are the same.
    out.sort_by_key(|r| std::cmp::Reverse(r.total));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(connection: usize, key: &str, start: i64, duration: u64, transaction: &str) -> SeenRequest {
        SeenRequest {
            protocol: "postgres".to_owned(),
            key: key.to_owned(),
            connection,
            start,
            duration: Some(duration),
            transaction: Some(transaction.to_owned()),
            ..SeenRequest::default()
        }
    }

    fn connections() -> Vec<Connection> {
        let one = |a: &str| Connection {
            a: a.to_owned(),
            b: "10.0.0.2:5432".to_owned(),
            first: 0,
            last: 100_000_000,
            ..Connection::default()
        };
        vec![one("10.0.0.1:40000"), one("10.0.0.1:40001")]
    }

    #[test]
    fn a_loop_around_a_statement_is_told_and_a_pause_ends_it() {
        let mut requests = vec![request(0, "SELECT orders", 0, 10, "none")];
        requests.extend((0..7).map(|i| request(0, "SELECT item", 100 + i * 1_000, 500, "none")));
        requests.push(request(0, "SELECT item", 50_000_000, 500, "none"));
        let told = repeated(&requests, &connections());
        assert_eq!(told.len(), 1);
        let r = &told[0];
        assert_eq!((r.key.as_str(), r.runs, r.requests, r.longest, r.first), ("SELECT item", 1, 7, 7, 1));
        assert_eq!(r.total, 6_500);
    }

    #[test]
    fn time_in_a_transaction_in_which_nothing_is_asked_is_idle() {
        let requests = [
            request(0, "BEGIN", 0, 1_000, "open"),
            request(0, "UPDATE", 2_000, 1_000, "open"),
            request(0, "COMMIT", 90_000, 1_000, "none"),
        ];
        let told = uses(&requests, &connections());
        assert_eq!(told.len(), 1);
        let u = &told[0];
        assert_eq!((u.idle_in_transaction, u.idle_longest, u.idle_after), (1_000 + 87_000, 87_000, Some(1)));
        assert_eq!((u.client.as_str(), u.service.as_str(), u.connections), ("10.0.0.1", "10.0.0.2:5432", 1));
    }

    #[test]
    fn a_pool_is_exhausted_while_every_connection_is_busy() {
        let requests = [
            request(0, "SELECT", 1_000, 10_000, "none"),
            request(1, "SELECT", 5_000, 10_000, "none"),
            // Pipelined behind the first: the connection is busy once.
            request(0, "SELECT", 6_000, 8_000, "none"),
        ];
        let told = uses(&requests, &connections());
        assert_eq!((told[0].most, told[0].all_busy), (3, 14_000 - 5_000));
    }
}
