//! Requests of one kind to one service, added up.

use std::collections::BTreeMap;

use coldcase_model::analysis::{Connection, RequestKind, SeenRequest, process_name};

use crate::quantile::quantile;

/// What a kind is told apart by: service, protocol, key.
type Key<'a> = (&'a str, &'a str, &'a str);

#[derive(Default)]
struct Group {
    durations: Vec<u64>,
    firsts: Vec<u64>,
    first_rows: Vec<u64>,
    kind: RequestKind,
}

/// The kinds, longest total first. `services`: who answers on each connection.
pub(crate) fn kinds(requests: &[SeenRequest], connections: &[Connection]) -> Vec<RequestKind> {
    let services: Vec<String> = connections.iter().map(service).collect();
    let mut groups = BTreeMap::<Key<'_>, Group>::new();
    for (at, r) in requests.iter().enumerate() {
        let service = services.get(r.connection).map_or("", String::as_str);
        groups.entry((service, &r.protocol, &r.key)).or_default().add(at, r, requests);
    }
    let mut totals = BTreeMap::<&str, u64>::new();
    let mut out: Vec<RequestKind> = Vec::with_capacity(groups.len());
    for ((service, protocol, key), group) in groups {
        let mut kind = group.finish();
        *totals.entry(service).or_default() += kind.total;
        (kind.service, kind.protocol, kind.key) = (service.to_owned(), protocol.to_owned(), key.to_owned());
        out.push(kind);
    }
    for kind in &mut out {
        let all = totals.get(kind.service.as_str()).copied().unwrap_or(0);
        kind.share = (u128::from(kind.total) * 1000).checked_div(u128::from(all)).unwrap_or(0) as u64;
    }
    out.sort_by(|x, y| {
        let name = |k: &RequestKind| (k.service.clone(), k.protocol.clone(), k.key.clone());
        y.total.cmp(&x.total).then_with(|| y.count.cmp(&x.count)).then_with(|| name(x).cmp(&name(y)))
    });
    out
}

/// Who answers on a connection: its process without the pid, and the port; else the address.
pub fn service(c: &Connection) -> String {
    let port = c.b.rsplit_once(':').map_or("", |e| e.1);
    match &c.process_b {
        Some(p) => format!("{}:{port}", process_name(p)),
        None => c.b.clone(),
    }
}

impl Group {
    fn add(&mut self, at: usize, r: &SeenRequest, all: &[SeenRequest]) {
        let kind = &mut self.kind;
        kind.count += 1;
        kind.request_bytes += r.request_bytes;
        kind.response_bytes += r.response_bytes;
        if let Some(rows) = r.rows {
            *kind.rows.get_or_insert(0) += rows;
        }
        match r.outcome.as_str() {
            "ok" => {}
            "error" => kind.errors += 1,
            _ => kind.unanswered += 1,
        }
        self.firsts.extend(r.first);
        self.first_rows.extend(r.first_row);
        let answered = matches!(r.outcome.as_str(), "ok" | "error");
        let Some(duration) = r.duration.filter(|_| answered) else { return };
        self.durations.push(duration);
        kind.total = kind.total.saturating_add(duration);
        let slowest = kind.slowest.and_then(|s| all.get(s)).and_then(|s| s.duration);
        if slowest.is_none_or(|s| duration > s) {
            kind.slowest = Some(at);
        }
    }

    fn finish(mut self) -> RequestKind {
        for list in [&mut self.durations, &mut self.firsts, &mut self.first_rows] {
            list.sort_unstable();
        }
        let mut kind = self.kind;
        kind.mean = kind.total.checked_div(self.durations.len() as u64).unwrap_or(0);
        kind.p50 = quantile(&self.durations, 50);
        kind.p99 = quantile(&self.durations, 99);
        kind.max = self.durations.last().copied().unwrap_or(0);
        kind.first = quantile(&self.firsts, 50);
        kind.first_row = (!self.first_rows.is_empty()).then(|| quantile(&self.first_rows, 50));
        kind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(key: &str, outcome: &str, duration: Option<u64>) -> SeenRequest {
        let (protocol, key, outcome) = ("http".to_owned(), key.to_owned(), outcome.to_owned());
        SeenRequest { protocol, key, outcome, duration, first: duration, ..SeenRequest::default() }
    }

    #[test]
    fn kinds_count_errors_and_the_unanswered_apart_and_share_the_time_of_their_service() {
        let connections = [Connection {
            b: "10.0.0.2:80".to_owned(),
            process_b: Some("nginx[7]".to_owned()),
            ..Connection::default()
        }];
        let requests = [
            request("GET /a", "ok", Some(30)),
            request("GET /a", "error", Some(60)),
            request("GET /a", "reset", None),
            request("GET /b", "ok", Some(10)),
        ];
        let kinds = kinds(&requests, &connections);
        let told: Vec<_> = kinds.iter().map(|k| (k.key.as_str(), k.count, k.errors, k.unanswered, k.share)).collect();
        assert_eq!(told, [("GET /a", 3, 1, 1, 900), ("GET /b", 1, 0, 0, 100)]);
        let a = &kinds[0];
        assert_eq!((a.service.as_str(), a.mean, a.p50, a.p99, a.slowest), ("nginx:80", 45, 30, 60, Some(1)));
    }
}
