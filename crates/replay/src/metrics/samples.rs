//! Samples out of pages and requests, with the labels that a scraper or the mark of a replay adds.

use std::collections::HashMap;
use std::sync::Arc;

use coldcase_decode::prometheus::Sample;
use coldcase_decode::{exposition, remote_write};

use crate::message::Message;
use crate::patch::MARK_LABEL;
use crate::sink::Round;

/// The job of what was scraped, as a Prometheus would name one: the bundle does not say how the target's was called.
const JOB: &str = "coldcase";

/// Target and content type of each scraped page.
pub(super) type Pages = HashMap<u64, (Arc<str>, String)>;

/// A sample as it goes out.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Out {
    /// Its labels, those that were added among them, in the order of their names.
    pub(super) labels: Vec<(String, String)>,
    /// Its time, moved, in milliseconds since 1970.
    pub(super) ms: i64,
    /// What it is.
    pub(super) sample: Sample,
}

/// What a message holds.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Read {
    /// Where it comes from: a target's URL, or nothing for what was pushed.
    pub(super) origin: Option<Arc<str>>,
    /// The samples that can go out.
    pub(super) samples: Vec<Out>,
    /// Samples that cannot, and why.
    pub(super) unsupported: u64,
    /// Why, the last.
    pub(super) why: Option<String>,
}

/// Reads a message of one of [`super::STREAMS`].
pub(super) fn read(message: &Message, pages: &Pages, round: &Round, mark: Option<&str>) -> Read {
    let mut out = Read::default();
    let samples = match &*message.stream {
        "metrics.pages" => {
            let (target, content_type) = pages.get(&message.row).cloned().unwrap_or_default();
            out.origin = Some(target);
            let scraped = exposition::read(&message.bytes, &content_type);
            match scraped.refused {
                None => scraped.page.samples,
                Some(why) => return out.cannot(1, &format!("a page is not read: {why}")),
            }
        }
        stream => {
            let v2 = stream.ends_with(".v2");
            let written = if v2 { remote_write::v2(&message.bytes) } else { remote_write::v1(&message.bytes) };
            match written {
                Ok(written) => written.samples,
                Err(why) => return out.cannot(1, &why.to_string()),
            }
        }
    };
    for sample in samples {
        let utc = sample.time.unwrap_or(message.utc.0);
        let labels = labels(&sample.labels, out.origin.as_deref(), mark);
        out.samples.push(Out { labels, ms: round.offset.millis(utc.div_euclid(1_000_000)), sample });
    }
    out
}

impl Read {
    /// Without what the text formats cannot carry.
    pub(super) fn into_text(mut self) -> Read {
        let before = self.samples.len();
        self.samples.retain(|out| out.sample.histogram.is_none());
        match before - self.samples.len() {
            0 => self,
            left_out => self.cannot(left_out as u64, "native histograms have no form in the text formats"),
        }
    }

    fn cannot(mut self, count: u64, why: &str) -> Read {
        self.unsupported += count;
        self.why = Some(why.to_owned());
        self
    }
}

/// With `job` and `instance` of a scrape (what the target calls so itself becomes `exported_…`, as in Prometheus) and the mark.
fn labels(own: &[(String, String)], target: Option<&str>, mark: Option<&str>) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = own.iter().filter(|(n, _)| n != MARK_LABEL).cloned().collect();
    let mut put = |name: &str, value: &str| {
        out.iter_mut().filter(|(n, _)| n == name).for_each(|(n, _)| *n = format!("exported_{name}"));
        out.push((name.to_owned(), value.to_owned()));
    };
    if let Some(target) = target {
        put("instance", instance(target));
        put("job", JOB);
    }
    out.extend(mark.map(|m| (MARK_LABEL.to_owned(), m.to_owned())));
    out.sort();
    out
}

/// `host:port` of a URL.
fn instance(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shift::Offset;
    use coldcase_model::Utc;

    #[test]
    fn a_page_becomes_samples_as_a_scraper_would_label_them() {
        let pages: Pages = [(3, ("http://10.0.0.1:9100/metrics".into(), "text/plain".to_owned()))].into();
        let message = Message {
            utc: Utc(1_000_000_000),
            stream: "metrics.pages".into(),
            row: 3,
            bytes: b"# TYPE a counter\na{z=\"1\",job=\"own\"} 2\nb 3 7000\n".to_vec(),
            wanted: None,
        };
        let round = Round { number: 0, offset: Offset(2_000_000), ids: None, from: None };
        let read = read(&message, &pages, &round, Some("b1"));
        let text = |o: &Out| coldcase_decode::prometheus::label_text(&o.labels);
        let want = r#"coldcase_replay="b1",exported_job="own",instance="10.0.0.1:9100",job="coldcase",z="1""#;
        assert_eq!(text(&read.samples[0]), want);
        assert_eq!((read.samples[0].ms, read.samples[1].ms), (1_002, 7_002));
    }
}
