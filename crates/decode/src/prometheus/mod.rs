//! Prometheus pages: text exposition 0.0.4 and OpenMetrics 1.0, line by line.
//!
//! Lenient on purpose: a page is evidence, so a line that is wrong is counted and the others are read. Whether a page
//! keeps the rules of OpenMetrics is told by [`crate::openmetrics::parse`].

pub(crate) mod budget;
pub(crate) mod line;
pub(crate) mod native;
pub(crate) mod number;

use std::sync::Arc;

use line::{Line, RawExemplar, Rules, nanoseconds};

pub use native::{Bucket, NativeHistogram};

/// An exemplar: one of the events that a sample counts, mostly with the id of its trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// Labels in the order of the page, unescaped; hostile, as all that was captured.
    pub labels: Vec<(String, String)>,
    /// The value of the event.
    pub value: f64,
    /// When, UTC nanoseconds; `None` where the page does not tell.
    pub time: Option<i64>,
}

impl Exemplar {
    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(k, _)| k == name).map(|(_, v)| &**v)
    }
}

impl From<RawExemplar> for Exemplar {
    fn from(raw: RawExemplar) -> Exemplar {
        Exemplar { labels: raw.labels, value: raw.value.value, time: raw.time.map(nanoseconds) }
    }
}

/// One sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Name of the sample, e.g. `http_requests_total` or `latency_bucket`.
    pub name: Arc<str>,
    /// Labels in the order of the page, unescaped.
    pub labels: Vec<(String, String)>,
    /// The value.
    pub value: f64,
    /// The time that the page gives, UTC nanoseconds; `None` where it gives none: then the scrape's time holds.
    pub time: Option<i64>,
    /// The type that the page declares for its family: `counter`, `gauge`, …; `untyped` where it declares none.
    pub kind: Arc<str>,
    /// Its exemplar; `None` where it has none, or one that cannot be read.
    pub exemplar: Option<Exemplar>,
    /// The native histogram that it is; then the value is its sum. Only the protobuf formats carry them.
    pub histogram: Option<Arc<NativeHistogram>>,
    /// Line of the page, from 1; in protobuf the sample's number.
    pub line: u32,
}

/// The value that says that a series ended: a quiet NaN of its own. Other NaNs are values.
/// <https://prometheus.io/docs/specs/prw/remote_write_spec/>, "Stale Markers".
pub const STALE: u64 = 0x7ff0_0000_0000_0002;

impl Sample {
    /// Whether it is a staleness marker: its series ended here.
    pub fn is_stale(&self) -> bool {
        self.value.to_bits() == STALE
    }

    /// Labels as in the exposition format, without braces.
    pub fn label_text(&self) -> String {
        label_text(&self.labels)
    }
}

/// Labels as in the exposition format, without braces.
pub fn label_text(labels: &[(String, String)]) -> String {
    let mut out = String::new();
    for (k, v) in labels {
        if !out.is_empty() {
            out.push(',');
        }
        out.push_str(k);
        out.push_str("=\"");
        for c in v.chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '"' => out.push_str("\\\""),
                '\n' => out.push_str("\\n"),
                c => out.push(c),
            }
        }
        out.push('"');
    }
    out
}

/// A page.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Page {
    /// Its samples, in order.
    pub samples: Vec<Sample>,
    /// Lines that could not be read: number from 1, and why. A sample whose exemplar cannot be read is in both lists.
    pub errors: Vec<(u32, &'static str)>,
    /// Units by family name, where the page tells (OpenMetrics).
    pub units: Vec<(Arc<str>, String)>,
    /// Whether it ended with `# EOF`, as OpenMetrics demands.
    pub eof: bool,
}

/// Whether a content type is OpenMetrics, where timestamps are seconds rather than milliseconds.
pub fn is_openmetrics(content_type: &str) -> bool {
    content_type.trim_start().to_ascii_lowercase().starts_with("application/openmetrics-text")
}

/// Reads a page.
pub fn parse(page: &[u8], content_type: &str) -> Page {
    let open = is_openmetrics(content_type);
    let rules = if open { Rules::Open } else { Rules::Classic };
    let mut out = Page::default();
    let mut family: (Arc<str>, Arc<str>) = ("".into(), "untyped".into());
    let mut name: Arc<str> = "".into();
    for (i, line) in page.split(|&b| b == b'\n').enumerate() {
        let number = i as u32 + 1;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Ok(line) = std::str::from_utf8(line) else {
            out.errors.push((number, "not UTF-8"));
            continue;
        };
        let trimmed = line.trim_matches([' ', '\t']);
        if trimmed.is_empty() {
            continue;
        }
        if out.eof {
            out.errors.push((number, "text after # EOF"));
            continue;
        }
        if let Some(comment) = trimmed.strip_prefix('#') {
            metadata(comment, open, number, &mut family, &mut out);
            continue;
        }
        match line::line(trimmed, rules) {
            Ok(Line { name: n, labels, value, time, exemplar }) => {
                if *name != *n {
                    name = n.as_ref().into();
                }
                let kind = if belongs(&n, &family.0) { family.1.clone() } else { "untyped".into() };
                let exemplar = exemplar.unwrap_or_else(|why| {
                    out.errors.push((number, why));
                    None
                });
                out.samples.push(Sample {
                    name: name.clone(),
                    labels,
                    value: value.value,
                    time: time.map(nanoseconds),
                    kind,
                    exemplar: exemplar.map(Exemplar::from),
                    histogram: None,
                    line: number,
                });
            }
            Err(why) => out.errors.push((number, why)),
        }
    }
    if open && !out.eof {
        out.errors.push((0, "no # EOF at the end"));
    }
    out
}

/// Whether a sample's name is of a family: the name itself, or with one of the suffixes of its type.
fn belongs(name: &str, family: &str) -> bool {
    name.strip_prefix(family).is_some_and(|suffix| {
        matches!(suffix, "" | "_total" | "_created" | "_bucket" | "_count" | "_sum" | "_gcount" | "_gsum" | "_info")
    }) && !family.is_empty()
}

fn metadata(comment: &str, open: bool, number: u32, family: &mut (Arc<str>, Arc<str>), out: &mut Page) {
    let (word, rest) = split(comment.trim_start());
    let rest = rest.unwrap_or("");
    let (name, text) = match rest.strip_prefix('"').map(line::quoted) {
        Some(Ok((name, text))) => (name, Some(text)),
        // As it stands: a name without its closing quote is no worse than none.
        _ => {
            let (name, text) = split(rest);
            (name.to_owned(), text)
        }
    };
    match (word, &*name, text.map(str::trim)) {
        ("EOF", "", None) => out.eof = true,
        ("TYPE", "", _) | ("TYPE", _, None | Some("")) => {
            out.errors.push((number, "a TYPE line without name or type"));
        }
        ("TYPE", name, Some(kind)) => {
            if !is_kind(kind) {
                out.errors.push((number, "unknown type"));
            }
            *family = (name.into(), kind.into());
        }
        ("HELP" | "UNIT", "", _) if open => out.errors.push((number, "metadata without a name")),
        ("UNIT", name, unit) if !name.is_empty() => out.units.push((name.into(), unit.unwrap_or("").into())),
        _ => {}
    }
}

/// The text up to the first blank, and what follows it; `None` without a blank.
fn split(text: &str) -> (&str, Option<&str>) {
    text.split_once([' ', '\t']).map_or((text, None), |(word, rest)| (word, Some(rest)))
}

fn is_kind(kind: &str) -> bool {
    matches!(
        kind,
        "counter" | "gauge" | "histogram" | "gaugehistogram" | "summary" | "info" | "stateset" | "unknown" | "untyped"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_page_becomes_samples_with_type_labels_and_time() {
        let page = b"# HELP http_requests_total Requests.\n# TYPE http_requests_total counter\n\
            http_requests_total{method=\"get\",path=\"/a\\\"b\\n\"} 3 1700000000123\nup 1\n";
        let p = parse(page, "text/plain; version=0.0.4");
        assert_eq!(p.errors, vec![]);
        assert_eq!(p.samples[0].labels[1], ("path".into(), "/a\"b\n".into()));
        assert_eq!(p.samples[0].label_text(), "method=\"get\",path=\"/a\\\"b\\n\"");
        assert_eq!(
            (p.samples[0].value, p.samples[0].time, &*p.samples[0].kind),
            (3.0, Some(1_700_000_000_123_000_000), "counter")
        );
        assert_eq!((&*p.samples[1].name, &*p.samples[1].kind), ("up", "untyped"));
    }

    #[test]
    fn openmetrics_seconds_keep_their_nanoseconds_and_exemplars_are_not_samples() {
        let page = b"# TYPE a histogram\na_bucket{le=\"1.0\"} 17 1520879607.789123456 # {id=\"x\"} 0.5\n# EOF\n";
        let p = parse(page, "application/openmetrics-text; version=1.0.0");
        assert_eq!(p.errors, vec![]);
        assert_eq!(p.samples.len(), 1);
        assert_eq!(p.samples[0].time, Some(1_520_879_607_789_123_456));
        let exemplar = Exemplar { labels: vec![("id".into(), "x".into())], value: 0.5, time: None };
        assert_eq!(p.samples[0].exemplar, Some(exemplar));
        assert!(p.eof);
    }

    #[test]
    fn a_bad_line_is_counted_and_the_others_are_read() {
        let p = parse(b"a 1\nb{x=1} 2\nc\nd{x=\"y\" 3\n\xff\xff 1\ne 5\nf 1 2 3\n9x 1\n{\"utf.8\",x=\"y\"} 4\n", "");
        assert_eq!(p.samples.iter().map(|s| &*s.name).collect::<Vec<_>>(), ["a", "e", "utf.8"]);
        assert_eq!(p.errors.iter().map(|e| e.0).collect::<Vec<_>>(), [2, 3, 4, 5, 7, 8]);
    }

    #[test]
    fn an_exemplar_has_its_trace_and_time_and_a_bad_one_does_not_cost_its_sample() {
        let page = b"a_total{x=\"#\"} 1 # {trace_id=\"0af7\",y=\" # \"} 0.5 1.000000001\nb_total 2 # {x=1} 3\n";
        let p = parse(page, "application/openmetrics-text");
        let exemplar = p.samples[0].exemplar.as_ref().unwrap();
        assert_eq!((exemplar.label("trace_id"), exemplar.label("y")), (Some("0af7"), Some(" # ")));
        assert_eq!((exemplar.value, exemplar.time), (0.5, Some(1_000_000_001)));
        assert_eq!((p.samples[1].value, &p.samples[1].exemplar), (2.0, &None));
        assert_eq!(p.errors, [(2, "a label value without quotes"), (0, "no # EOF at the end")]);
    }
}
