//! What a request tells of itself: its signal, its times, how many things are in it.

use coldcase_decode::otlp::{self, Signal};

/// How a request is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Json,
    Protobuf,
}

impl Encoding {
    /// That of a request which is one of them: JSON begins with a brace, which no protobuf field does.
    pub(super) fn of(request: &[u8]) -> Encoding {
        let first = request.iter().find(|b| !b.is_ascii_whitespace());
        if first == Some(&b'{') { Encoding::Json } else { Encoding::Protobuf }
    }

    pub(super) const fn media(self) -> &'static str {
        match self {
            Encoding::Json => "application/json",
            Encoding::Protobuf => "application/x-protobuf",
        }
    }
}

/// What a request is about.
pub(super) struct About {
    pub(super) stream: &'static str,
    /// First and last time in it.
    pub(super) first: Option<i64>,
    pub(super) last: Option<i64>,
    /// Spans, points or records.
    pub(super) items: u64,
}

impl About {
    fn new(stream: &'static str, times: &[Option<i64>], items: usize) -> About {
        let known = || times.iter().copied().flatten();
        About { stream, first: known().min(), last: known().max(), items: items as u64 }
    }

    /// A request that is kept without being read.
    pub(super) fn unread(stream: &'static str) -> About {
        About::new(stream, &[], 0)
    }

    /// Reads a request of this signal.
    pub(super) fn of(request: &[u8], encoding: Encoding, signal: Signal) -> Result<About, String> {
        let told = |e: otlp::OtlpError| e.to_string();
        let json = encoding == Encoding::Json;
        Ok(match signal {
            Signal::Traces => {
                let spans = if json { otlp::traces_json(request) } else { otlp::traces(request) }.map_err(told)?;
                let ends = |s: &otlp::Span| [s.start, s.end].map(|t| Some(t).filter(|&t| t > 0));
                let times: Vec<_> = spans.iter().flat_map(ends).collect();
                About::new(if json { "otlp.traces.json" } else { "otlp.traces" }, &times, spans.len())
            }
            Signal::Logs => {
                let records = if json { otlp::logs_json(request) } else { otlp::logs(request) }.map_err(told)?;
                let times: Vec<_> = records.iter().map(|r| r.time.or(r.observed)).collect();
                About::new(if json { "otlp.logs.json" } else { "otlp.logs" }, &times, records.len())
            }
            Signal::Metrics => {
                let points = if json { otlp::metrics_json(request) } else { otlp::metrics(request) }.map_err(told)?;
                let times: Vec<_> = points.iter().map(|p| p.time).collect();
                About::new(if json { "otlp.metrics.json" } else { "otlp.metrics" }, &times, points.len())
            }
        })
    }
}

/// Whether a line is a JSON request by itself.
pub(super) fn is_whole(line: &[u8]) -> bool {
    let whole = |signal| About::of(line, Encoding::Json, signal).is_ok();
    otlp::signal_of(line).is_some_and(whole) || line.iter().all(u8::is_ascii_whitespace)
}
