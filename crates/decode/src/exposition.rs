//! Scraped pages in whatever format their target chose: protobuf, OpenMetrics or text.

use crate::prometheus::{Page, is_openmetrics};
use crate::{openmetrics, prometheus, prometheus_protobuf};

/// What was read of a page.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scraped {
    /// Its samples, and what of it could not be read.
    pub page: Page,
    /// Why the whole page is refused: OpenMetrics 1.0 does not allow for half of one. Then it has no samples.
    pub refused: Option<openmetrics::OpenMetricsError>,
}

/// Reads a page by its content type.
pub fn read(page: &[u8], content_type: &str) -> Scraped {
    if prometheus_protobuf::is_protobuf(content_type) {
        return Scraped { page: prometheus_protobuf::parse(page), refused: None };
    }
    if !is_openmetrics(content_type) || is_draft(content_type) {
        return Scraped { page: prometheus::parse(page, content_type), refused: None };
    }
    match openmetrics::parse(page) {
        Err(why) => Scraped { page: Page::default(), refused: Some(why) },
        Ok(families) => {
            let mut read = Page { eof: true, ..Page::default() };
            for family in families {
                if !family.unit.is_empty() {
                    read.units.push((family.name.into(), family.unit));
                }
                read.samples.extend(family.samples);
            }
            Scraped { page: read, refused: None }
        }
    }
}

/// Version 0.0.1 came before the specification, and clients keep other rules in it.
fn is_draft(content_type: &str) -> bool {
    content_type.split(';').any(|p| p.trim().strip_prefix("version=").is_some_and(|v| v.trim_matches('"') == "0.0.1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    #[test]
    fn the_content_type_decides_how_a_page_is_read() {
        let page = b"# TYPE a counter\n# UNIT a \na_total 1 1.5\n# EOF\n";
        let open = read(page, OPEN).page;
        assert_eq!((open.samples.len(), open.samples[0].time), (1, Some(1_500_000_000)));
        let text = read(b"a_total 1 1500\n", "text/plain; version=0.0.4").page;
        assert_eq!(text.samples[0].time, Some(1_500_000_000));
        let protobuf = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
        assert_eq!(read(page, protobuf).page.samples, []);
    }

    #[test]
    fn a_page_that_breaks_the_rules_of_openmetrics_is_refused_as_a_whole() {
        let page = b"# TYPE a counter\na_total 1\na_total -1 # {}\n";
        let got = read(page, OPEN);
        assert_eq!(got.page.samples, []);
        assert!(got.refused.is_some());
        let draft = read(page, "application/openmetrics-text; version=0.0.1; charset=utf-8");
        assert!(draft.refused.is_none() && draft.page.samples.len() == 2, "{draft:?}");
        assert!(read(page, "").refused.is_none());
    }
}
