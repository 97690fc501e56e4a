//! How clients use their connections: how often they open one, and when all that they have are busy.

use std::collections::{BTreeMap, BTreeSet};

use super::Seen;

/// The connections of one client to one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Who asks.
    pub client: u64,
    /// Who is asked.
    pub server: u64,
    /// Connections that carried a request.
    pub connections: u64,
    /// Those that were seen to be opened.
    pub opened: u64,
    /// Nanoseconds that the openings took together, passwords and all.
    pub opening: u64,
    /// Requests that are no openings.
    pub requests: u64,
    /// Most connections busy at one time.
    pub most_busy: u64,
    /// Nanoseconds in which every connection that was in use then was busy, where there were at least two. A request that
    /// came in such a time could only wait in the client; packets do not show whether one did.
    pub all_busy: u64,
    /// Requests that began on a connection at most `soon` nanoseconds behind the answer before, while all others were busy:
    /// they had probably waited for it.
    pub handed_over: u64,
}

/// The pools, those with the longest time of all connections busy first.
pub fn pools(seen: &[Seen<'_>], soon: u64) -> Vec<Pool> {
    let mut members: BTreeMap<(u64, u64), Vec<&Seen<'_>>> = BTreeMap::new();
    for s in seen.iter().filter(|s| s.of_database()) {
        members.entry((s.client, s.server)).or_default().push(s);
    }
    let mut pools: Vec<_> = members.into_iter().map(|((client, server), m)| pool(client, server, &m, soon)).collect();
    pools.sort_by_key(|p| (std::cmp::Reverse(p.all_busy), p.client, p.server));
    pools
}

fn pool(client: u64, server: u64, members: &[&Seen<'_>], soon: u64) -> Pool {
    let openings: Vec<_> = members.iter().filter(|s| s.opens()).collect();
    let connections: BTreeSet<u64> = members.iter().map(|s| s.connection).collect();
    let opened: BTreeSet<u64> = openings.iter().map(|s| s.connection).collect();
    let mut pool = Pool {
        client,
        server,
        connections: connections.len() as u64,
        opened: opened.len() as u64,
        opening: openings.iter().filter_map(|s| s.time()).sum(),
        requests: (members.len() - openings.len()) as u64,
        most_busy: 0,
        all_busy: 0,
        handed_over: 0,
    };
    sweep(members, soon, &mut pool);
    pool
}

/// What happens at a time, in the order in which it counts: ends before begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    End,
    /// A connection's last request has ended.
    Gone,
    /// A connection's first request begins.
    Come,
    Begin,
}

fn sweep(members: &[&Seen<'_>], soon: u64, pool: &mut Pool) {
    let mut changes = Vec::new();
    let mut lives: BTreeMap<u64, (i64, i64)> = BTreeMap::new();
    for s in members {
        let (from, to) = s.span();
        changes.extend([(from, Change::Begin, s.connection), (to, Change::End, s.connection)]);
        let life = lives.entry(s.connection).or_insert((from, to));
        *life = (life.0.min(from), life.1.max(to));
    }
    for (connection, (from, to)) in lives {
        changes.extend([(from, Change::Come, connection), (to, Change::Gone, connection)]);
    }
    changes.sort_unstable();
    // Requests under way by connection, connections in use, and when each was last answered.
    let (mut busy, mut used, mut free_since): (BTreeMap<u64, u64>, u64, BTreeMap<u64, i64>) = Default::default();
    let mut before = 0;
    for (at, change, connection) in changes {
        if used >= 2 && busy.len() as u64 >= used {
            pool.all_busy += u64::try_from(at - before).unwrap_or(0);
        }
        before = at;
        match change {
            Change::Come => used += 1,
            Change::Gone => used -= 1,
            Change::Begin => {
                let others = busy.len() as u64 - u64::from(busy.contains_key(&connection));
                let at_once = free_since.get(&connection).and_then(|&since| u64::try_from(at - since).ok());
                if used >= 2 && others + 1 >= used && at_once.is_some_and(|gap| gap <= soon) {
                    pool.handed_over += 1;
                }
                *busy.entry(connection).or_default() += 1;
                pool.most_busy = pool.most_busy.max(busy.len() as u64);
            }
            Change::End => {
                // A request whose last byte is its first ends before it begins.
                let Some(n) = busy.get_mut(&connection) else { continue };
                *n -= 1;
                if *n == 0 {
                    busy.remove(&connection);
                    free_since.insert(connection, at);
                }
            }
        }
    }
}
