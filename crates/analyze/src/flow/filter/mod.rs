//! Filters of connections and requests, in words that tcpdump and Wireshark users have in their fingers:
//! `port 5432 and not host 10.0.0.9`, `tcp.analysis.retransmission && ip.dst == 10.0.0.0/8`,
//! `http.response.code >= 500 or duration > 100ms`.
//!
//! A filter is asked of each request with its connection, and of a connection without requests by itself. What a row
//! does not have is neither equal nor unequal to anything.

mod field;
mod parse;
mod token;

use std::net::IpAddr;

use coldcase_model::analysis::{Connection, Flow, SeenRequest};

use field::{FIELDS, Field, Got};
use parse::{Expr, Op, Value};

/// Why a filter could not be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at column {column}: {what}")]
pub struct FilterError {
    /// Where, counted in characters from 1.
    pub column: usize,
    /// What is wrong there.
    pub what: String,
}

impl FilterError {
    fn new(column: usize, what: impl Into<String>) -> FilterError {
        FilterError { column, what: what.into() }
    }
}

/// A filter.
#[derive(Debug, Clone)]
pub struct Filter(Expr);

impl std::str::FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Filter, FilterError> {
        parse::parse(text).map(Filter)
    }
}

/// The names of all fields.
pub fn fields() -> impl Iterator<Item = &'static str> {
    FIELDS.iter().map(|f| f.0)
}

impl Filter {
    /// Whether a connection, with one of its requests, is wanted.
    pub fn matches(&self, c: &Connection, r: Option<&SeenRequest>) -> bool {
        matches(&self.0, c, r)
    }

    /// Keeps what is wanted: requests, and connections of which a request is, or which have none and are themselves.
    /// The sums are made anew. Packets that are no connection's are not counted any more.
    pub fn apply(&self, flow: &mut Flow) {
        let mut of = vec![(false, false); flow.connections.len()];
        let wanted = |r: &SeenRequest| flow.connections.get(r.connection).is_some_and(|c| self.matches(c, Some(r)));
        let keep: Vec<bool> = flow.requests.iter().map(wanted).collect();
        for (r, &keep) in flow.requests.iter().zip(&keep) {
            if let Some((any, kept)) = of.get_mut(r.connection) {
                (*any, *kept) = (true, *kept || keep);
            }
        }
        let stays: Vec<bool> = flow
            .connections
            .iter()
            .zip(&of)
            .map(|(c, &(any, kept))| if any { kept } else { self.matches(c, None) })
            .collect();
        super::narrow::narrow(flow, &stays, &keep);
    }
}

fn matches(expr: &Expr, c: &Connection, r: Option<&SeenRequest>) -> bool {
    match expr {
        Expr::Any(parts) => parts.iter().any(|p| matches(p, c, r)),
        Expr::All(parts) => parts.iter().all(|p| matches(p, c, r)),
        Expr::Not(part) => !matches(part, c, r),
        Expr::Has(field) => has(*field, c, r),
        Expr::Is(field, op, value) => field.of(c, r).iter().any(|got| compare(got, *op, value)),
    }
}

/// A count of none is nothing to have; a number like 0 of a stream is.
fn has(field: Field, c: &Connection, r: Option<&SeenRequest>) -> bool {
    let counts = matches!(field, Field::Tcp(_) | Field::Copies | Field::Requests);
    field.of(c, r).iter().any(|got| !(counts && *got == Got::Number(0)))
}

fn compare(got: &Got, op: Op, value: &Value) -> bool {
    use std::cmp::Ordering;
    let order = match (got, value) {
        (Got::Number(got), Value::Range(first, last)) => return (first..=last).contains(&got),
        (Got::Frames(first, last), Value::Number(n)) if op == Op::Equal => return (first..=last).contains(&n),
        (Got::Frames(first, _), Value::Number(n)) | (Got::Number(first), Value::Number(n)) => first.cmp(n),
        (Got::Time(got), Value::Time(wanted)) => got.cmp(wanted),
        (Got::Address(ip), Value::Net(net, bits)) => return within(*ip, *net, *bits) && op == Op::Equal,
        (Got::Text(got), Value::Text(wanted)) if op == Op::Contains => {
            return got.to_lowercase().contains(&wanted.to_lowercase());
        }
        (Got::Text(got), Value::Text(wanted)) => match (got.parse::<u64>(), wanted.parse::<u64>()) {
            // Codes are numbers where they look like one.
            (Ok(got), Ok(wanted)) => got.cmp(&wanted),
            _ => got.as_str().cmp(wanted),
        },
        _ => return false,
    };
    match op {
        Op::Equal => order == Ordering::Equal,
        Op::Greater => order == Ordering::Greater,
        Op::Less => order == Ordering::Less,
        Op::AtLeast => order != Ordering::Less,
        Op::AtMost => order != Ordering::Greater,
        Op::Contains => false,
    }
}

fn within(ip: IpAddr, net: IpAddr, bits: u8) -> bool {
    let (ip, net, all) = match (ip, net) {
        (IpAddr::V4(ip), IpAddr::V4(net)) => (u128::from(u32::from(ip)), u128::from(u32::from(net)), 32),
        (IpAddr::V6(ip), IpAddr::V6(net)) => (u128::from(ip), u128::from(net), 128),
        _ => return false,
    };
    let behind = u32::from(all - bits.min(all));
    ip.checked_shr(behind).unwrap_or(0) == net.checked_shr(behind).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use coldcase_model::analysis::TcpFacts;
    use proptest::prelude::*;

    fn connection() -> Connection {
        Connection {
            a: "10.0.0.1:40000".to_owned(),
            b: "10.0.0.2:5432".to_owned(),
            proto: "tcp".to_owned(),
            process_a: Some("orders[20]".to_owned()),
            stream: Some(0),
            packets_ab: 10,
            packets_ba: 5,
            first: 0,
            last: 2_000_000_000,
            tcp: Some(TcpFacts { retransmissions: 3, rtt: Some(150_000), ..TcpFacts::default() }),
            protocol: Some("postgres".to_owned()),
            ..Connection::default()
        }
    }

    fn request() -> SeenRequest {
        SeenRequest {
            protocol: "postgres".to_owned(),
            key: "SELECT * FROM orders WHERE id = $1".to_owned(),
            detail: "SELECT * FROM orders WHERE id = 7".to_owned(),
            code: "57014".to_owned(),
            outcome: "error".to_owned(),
            duration: Some(250_000_000),
            frames: [11, 14],
            ..SeenRequest::default()
        }
    }

    fn is(text: &str) -> bool {
        text.parse::<Filter>().unwrap().matches(&connection(), Some(&request()))
    }

    #[test]
    fn tcpdump_and_wireshark_words_mean_what_they_mean_there() {
        for yes in [
            "port 5432",
            "tcp port 5432 or udp port 53",
            "tcp dst port 5432",
            "src 10.0.0.1",
            "host 10.0.0.1 and port 5432",
            "src host 10.0.0.1 and dst port 5432",
            "net 10.0.0.0/24 and not host 10.0.0.9",
            "portrange 5000-6000",
            "tcp && !udp && ip",
            "ip.addr == 10.0.0.2 and tcp.dstport eq 5432",
            "ip.src == 10.0.0.0/8 && tcp.port in {80, 5432}",
            "tcp.stream eq 0",
            "tcp.analysis.retransmission",
            "tcp.analysis.retransmission > 2 and rtt < 1ms",
            "process == orders and pid == 20",
            "pgsql and pgsql.query contains \"from ORDERS\"",
            "code == 57014 and outcome == error",
            "duration >= 0.25 and duration < 251ms",
            "frame.number == 12",
            "lasted == 2s and packets == 15",
        ] {
            assert!(is(yes), "{yes}");
        }
        for no in [
            "udp",
            "udp port 5432",
            "ip6",
            "host 10.0.0.3",
            "src port 5432",
            "dst host 10.0.0.1",
            "tcp.stream != 0",
            "http.response.code != 200",
            "http or dns",
            "copies",
            "frame.number == 15",
            "ip.addr != 10.0.0.1",
        ] {
            assert!(!is(no), "{no}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_column() {
        let error = |text: &str| text.parse::<Filter>().unwrap_err();
        assert_eq!(error("port http").column, 6);
        assert_eq!(error("tcp and ip.adr == 10.0.0.1").column, 9);
        assert!(error("ip.adr == 10.0.0.1").what.contains("ip.addr"), "{}", error("ip.adr == 10.0.0.1"));
        assert_eq!(error("(tcp").column, 5);
        assert_eq!(error("").column, 1);
        assert_eq!(error("tcp udp").column, 5);
        assert_eq!(error("detail contains \"a").column, 17);
        assert!("(".repeat(100_000).parse::<Filter>().is_err());
        assert!("!".repeat(100_000).parse::<Filter>().is_err());
    }

    #[test]
    fn a_filter_keeps_what_is_wanted_and_counts_anew() {
        let other = Connection { a: "10.0.0.7:1:".to_owned(), proto: "udp".to_owned(), ..Connection::default() };
        let requests = [0, 1, 1].map(|connection| SeenRequest {
            connection,
            code: if connection == 0 { "500" } else { "200" }.to_owned(),
            ..request()
        });
        let mut flow = Flow {
            packets: 100,
            connections: vec![other, connection()],
            requests: requests.to_vec(),
            ..Flow::default()
        };
        "code == 200".parse::<Filter>().unwrap().apply(&mut flow);
        assert_eq!((flow.connections.len(), flow.requests.len(), flow.packets), (1, 2, 15));
        assert!(flow.requests.iter().all(|r| r.connection == 0));
        assert_eq!(flow.request_kinds.iter().map(|k| k.count).sum::<u64>(), 2);
        assert_eq!(flow.edges.len(), 1);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[ -~]{0,40}") {
            if let Ok(filter) = text.parse::<Filter>() {
                filter.matches(&connection(), Some(&request()));
            }
        }
    }
}
