//! Metrics above or below a level, or rising too fast: scraped pages, and the host's own.

use std::collections::HashMap;

use coldcase_model::Event;
use coldcase_model::events::HostMetric;

use super::{Condition, Edge, Met, Rule, Seen, cut, lasting};

/// Targets whose state is kept.
const MOST: usize = 256;

/// See the module. The value is the sum of the series that match, of one target at one time.
pub(super) struct Metric {
    name: String,
    labels: Vec<(String, String)>,
    shown: String,
    level: Option<f64>,
    rise: Option<f64>,
    below: bool,
    lasting: u64,
    targets: HashMap<String, Target>,
}

#[derive(Default)]
struct Target {
    last: Option<(u64, f64)>,
    edge: Edge,
}

impl Metric {
    pub(super) fn new(rule: &Rule) -> Option<Metric> {
        let shown = rule.pattern.clone()?;
        let (name, labels) = series(&shown)?;
        let labels = labels.map(|(k, v)| (k.to_owned(), v)).collect();
        Some(Metric {
            name: name.to_owned(),
            labels,
            level: rule.level(),
            rise: rule.rise,
            below: rule.below,
            lasting: lasting(rule),
            targets: HashMap::new(),
            shown,
        })
    }

    fn has_labels(&self, labels: &str) -> bool {
        self.labels.is_empty() || {
            let there: Vec<(&str, String)> = Labels(labels).collect();
            self.labels.iter().all(|(k, v)| there.iter().any(|(tk, tv)| tk == k && tv == v))
        }
    }

    /// The sum in a page of the text format.
    fn in_page(&self, page: &str) -> Option<f64> {
        let mut sum = None;
        for line in page.lines() {
            let Some(rest) = line.strip_prefix(self.name.as_str()) else { continue };
            let (labels, value) = match rest.strip_prefix('{') {
                Some(rest) => match labels_end(rest) {
                    Some(end) => (&rest[..end], &rest[end + 1..]),
                    None => continue,
                },
                None if rest.starts_with([' ', '\t']) => ("", rest),
                None => continue,
            };
            let value = value.split_ascii_whitespace().next().and_then(|v| v.parse::<f64>().ok());
            if let Some(value) = value.filter(|_| self.has_labels(labels)) {
                sum = Some(sum.unwrap_or(0.0) + value);
            }
        }
        sum
    }

    fn judge(&mut self, origin: &str, time: u64, value: f64, met: &mut dyn FnMut(Met)) {
        if !self.targets.contains_key(origin) && self.targets.len() >= MOST {
            return;
        }
        let target = self.targets.entry(origin.to_owned()).or_default();
        let before = target.last.replace((time, value));
        let (measured, holds) = match (self.rise, self.level) {
            (Some(limit), _) => {
                // A counter that begins anew, or one that is seen first, has not risen.
                let Some((then, old)) = before.filter(|(then, old)| *then < time && *old <= value) else {
                    target.edge = Edge::default();
                    return;
                };
                let per_second = (value - old) / ((time - then) as f64 / 1e9);
                (per_second, per_second > limit)
            }
            (None, Some(level)) if self.below => (value, value < level),
            (None, Some(level)) => (value, value > level),
            (None, None) => return,
        };
        if target.edge.update(holds, time, self.lasting) {
            met(Met { time, value: measured, text: cut(format!("{} of {origin}", self.shown).as_bytes()), pid: 0 });
        }
    }
}

impl Condition for Metric {
    fn see(&mut self, seen: &Seen, met: &mut dyn FnMut(Met)) {
        match seen {
            Seen::Page { bytes, origin, time } => {
                if let Some(value) = self.in_page(&String::from_utf8_lossy(bytes)) {
                    self.judge(origin, *time, value, met);
                }
            }
            Seen::Host(rows) => {
                let Ok(cols) = HostMetric::cols(rows) else { return };
                let mut sum = None;
                for row in 0..rows.len() {
                    if cols.name.get(row) == self.name.as_bytes() && self.has_labels(&cols.labels.text(row)) {
                        sum = Some((cols.time[row], sum.map_or(0.0, |(_, v)| v) + cols.value[row]));
                    }
                }
                if let Some((time, value)) = sum {
                    self.judge("this host", time, value, met);
                }
            }
            _ => {}
        }
    }
}

/// Name and labels of `name{a="b"}` or `name`.
fn series(text: &str) -> Option<(&str, Labels<'_>)> {
    match text.split_once('{') {
        Some((name, rest)) => Some((name.trim(), Labels(rest.strip_suffix('}')?))),
        None => Some((text.trim(), Labels(""))),
    }
}

/// Where the labels of a line end: at the first brace outside of quotes.
fn labels_end(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    text.bytes().position(|b| {
        let end = b == b'}' && !quoted;
        quoted ^= b == b'"' && !escaped;
        escaped = b == b'\\' && !escaped;
        end
    })
}

/// Labels of the exposition format, one by one, their values unescaped.
struct Labels<'a>(&'a str);

impl<'a> Iterator for Labels<'a> {
    type Item = (&'a str, String);

    fn next(&mut self) -> Option<(&'a str, String)> {
        let (key, rest) = self.0.trim_start_matches([',', ' ']).split_once("=\"")?;
        let (mut value, mut escaped) = (String::new(), false);
        for (at, c) in rest.char_indices() {
            match c {
                '\\' if !escaped => escaped = true,
                '"' if !escaped => {
                    self.0 = &rest[at + 1..];
                    return Some((key.trim(), value));
                }
                'n' if escaped => {
                    value.push('\n');
                    escaped = false;
                }
                c => {
                    value.push(c);
                    escaped = false;
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use coldcase_model::Columns;

    const SECOND: u64 = 1_000_000_000;

    fn page(text: &str, seconds: u64) -> Seen {
        Seen::Page { bytes: text.into(), origin: "a".into(), time: seconds * SECOND }
    }

    fn values(rule: &str, seen: &[Seen]) -> Vec<f64> {
        let mut out = Vec::new();
        let mut metric = Metric::new(&rule.parse().unwrap()).unwrap();
        seen.iter().for_each(|s| metric.see(s, &mut |m| out.push(m.value)));
        out
    }

    #[test]
    fn the_series_that_match_are_summed_and_others_left_alone() {
        let text = "# HELP e x\ne{code=\"500\",path=\"/}\\\"\"} 3 1700000000\ne{code=\"200\"} 100\ne_total 900\ne{code=\"500\"} 4\n";
        assert_eq!(values("metric=e{code=\"500\"}>6", &[page(text, 1)]), [7.0]);
        assert_eq!(values("metric=e{code=\"500\"}>7", &[page(text, 1)]), [0.0; 0]);
        assert_eq!(values("metric=e{path=\"/}\\\"\"}>2", &[page(text, 1)]), [3.0]);
        assert_eq!(values("metric=e>106", &[page(text, 1)]), [107.0]);
        assert_eq!(values("metric=e<200", &[page(text, 1), page(text, 2)]), [107.0], "once");
    }

    #[test]
    fn a_rise_is_per_second_and_a_counter_that_begins_anew_has_not_risen() {
        let pages: Vec<Seen> = [(1, 0), (3, 10), (5, 40), (6, 60), (7, 60), (9, 5), (10, 5)]
            .map(|(t, v)| page(&format!("e {v}\n"), t))
            .into();
        assert_eq!(values("metric=e rise>10/s", &pages), [15.0]);
    }

    #[test]
    fn the_hosts_own_metrics_count_too() {
        let mut rows = Columns::new(&HostMetric::DEF);
        for (name, labels, value) in [("node_load1", "", 7.5), ("node_load5", "", 90.0)] {
            HostMetric { time: 1, name: name.into(), labels: labels.into(), value }.push(&mut rows);
        }
        assert_eq!(values("metric=node_load1>7", &[Seen::Host(rows)]), [7.5]);
    }
}
