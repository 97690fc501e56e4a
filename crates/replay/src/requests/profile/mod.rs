//! A load profile: how requests arrived, which, how large and how many at a time. It works from as little as headers.
//!
//! `load.json` is for any load generator, its schema is `formats/load-profile.schema.json`; `load.js` is a script of k6.

mod k6;
mod load;
mod packets;
mod spans;
mod turns;

use serde::Serialize;

use crate::quantiles::Quantiles;

pub use k6::script;
pub use packets::of_requests;
pub use spans::{of_spans, services};
pub use turns::{Turns, of_turns};

/// How a sum over time is made and what it may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Requests that were read from packets.
    Requests,
    /// Server spans that were received.
    ServerSpans,
    /// Turns of connections whose bytes were not captured.
    Turns,
}

/// A load profile.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Profile {
    /// What it is made of.
    pub source: Source,
    /// Only times, sizes and concurrency are known: not what was asked.
    pub shape_only: bool,
    /// What is not known, or was left out, in one line each.
    pub unknown: Vec<String>,
    /// The server that was asked; empty where it is not known.
    pub server: String,
    /// Requests.
    pub requests: u64,
    /// When the first began, UTC nanoseconds.
    pub start: i64,
    /// From the first to the last arrival, nanoseconds.
    pub span: u64,
    /// Requests a second, over the whole buckets.
    pub mean_rate: f64,
    /// Requests a second in the fullest bucket.
    pub peak_rate: f64,
    /// How they arrived.
    pub arrivals: Arrivals,
    /// From one arrival to the next, nanoseconds.
    pub gaps: Option<Quantiles>,
    /// How many were being answered at a time.
    pub concurrency: Option<Concurrency>,
    /// Connections to the server; none where no packets tell.
    pub connections: Option<Connections>,
    /// Requests by protocol, most first.
    pub protocols: Vec<Share>,
    /// Requests by operation, most first.
    pub operations: Vec<Operation>,
}

/// Arrivals over time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Arrivals {
    /// Width of a bucket, nanoseconds.
    pub bucket: u64,
    /// Arrivals in each bucket, from the first arrival on.
    pub counts: Vec<u64>,
}

/// Requests that were being answered, over time: for half of the time there were at most `p50`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Concurrency {
    /// On average.
    pub mean: f64,
    /// For half of the time at most.
    pub p50: u64,
    /// For nine tenths of the time at most.
    pub p90: u64,
    /// For 99 hundredths of the time at most.
    pub p99: u64,
    /// At most.
    pub max: u64,
}

/// How connections were used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Connections {
    /// How many.
    pub count: u64,
    /// Of these, with more than one request.
    pub reused: u64,
    /// Whether most requests were not the first of their connection.
    pub keep_alive: bool,
    /// Requests of a connection.
    pub requests: Option<Quantiles>,
}

/// A share of the requests.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Share {
    /// Of what.
    pub name: String,
    /// How many.
    pub requests: u64,
}

/// One kind of request.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Operation {
    /// Method and route, or `?` where it is not known.
    pub name: String,
    /// The method; none where it is not known.
    pub method: Option<String>,
    /// The route: a template of paths; none where it is not known.
    pub route: Option<String>,
    /// Its requests.
    pub requests: u64,
    /// Its share of all, 0 to 1.
    pub weight: f64,
    /// Paths with query as they were asked for, most first: at most 50.
    pub paths: Vec<AskedPath>,
    /// Requests for other paths than those, or whose path is not known.
    pub other_paths: u64,
    /// Bytes of a request, head and framing included.
    pub request_bytes: Option<Quantiles>,
    /// Bytes of an answer, likewise.
    pub response_bytes: Option<Quantiles>,
    /// Bytes of bodies, evenly spaced quantiles from the least to the most: at most 16. Empty where they are not known.
    pub body_bytes: Vec<u64>,
    /// How long it took until the whole answer was there, nanoseconds.
    pub latency: Option<Quantiles>,
    /// Requests that were answered with an error status (4xx, 5xx), or not at all.
    pub errors: u64,
}

/// A path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AskedPath {
    /// As it was asked for.
    pub path: String,
    /// How often.
    pub requests: u64,
}
