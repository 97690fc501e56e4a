//! OpenMetrics 1.0 pages, read strictly: families, or the first thing that breaks the rules.
//!
//! [`crate::prometheus::parse`] reads what can be read, since a page is evidence. This reader tells whether the target
//! keeps the specification (<https://prometheus.io/docs/specs/om/open_metrics_spec/>, "ABNF" and "MetricFamily"), as a
//! scraper that refuses whole pages would see it. The rules across lines are those of the reference parser of
//! `prometheus_client` 0.26 (`openmetrics/parser.py`), UTF-8 names in quotes included. Where that one is laxer than the
//! ABNF (blanks among labels, colons in label names, any character for the space behind `}`, native histograms), the ABNF
//! holds. The differences are listed and held in `tests/interop/prometheus_pages.py`.

mod family;
mod histogram;

use std::collections::HashSet;

use crate::prometheus::line::{self, Rules};
use crate::prometheus::{Exemplar, Sample};
use family::Building;

/// The type of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[allow(missing_docs)] // the names are OpenMetrics'
pub enum FamilyKind {
    #[default]
    Unknown,
    Gauge,
    Counter,
    StateSet,
    Info,
    Histogram,
    GaugeHistogram,
    Summary,
}

impl FamilyKind {
    /// The name as in a `# TYPE` line.
    pub const fn name(self) -> &'static str {
        match self {
            FamilyKind::Unknown => "unknown",
            FamilyKind::Gauge => "gauge",
            FamilyKind::Counter => "counter",
            FamilyKind::StateSet => "stateset",
            FamilyKind::Info => "info",
            FamilyKind::Histogram => "histogram",
            FamilyKind::GaugeHistogram => "gaugehistogram",
            FamilyKind::Summary => "summary",
        }
    }

    /// Of the name in a `# TYPE` line.
    pub fn from_name(name: &str) -> Option<FamilyKind> {
        use FamilyKind as K;
        [K::Unknown, K::Gauge, K::Counter, K::StateSet, K::Info, K::Histogram, K::GaugeHistogram, K::Summary]
            .into_iter()
            .find(|k| k.name() == name)
    }

    /// What may stand behind the family's name in the names of its samples.
    const fn suffixes(self) -> &'static [&'static str] {
        match self {
            FamilyKind::Unknown | FamilyKind::Gauge | FamilyKind::StateSet => &[""],
            FamilyKind::Counter => &["_total", "_created"],
            FamilyKind::Summary => &["", "_count", "_sum", "_created"],
            FamilyKind::Histogram => &["_count", "_sum", "_bucket", "_created"],
            FamilyKind::GaugeHistogram => &["_gcount", "_gsum", "_bucket"],
            FamilyKind::Info => &["_info"],
        }
    }
}

/// A metric family: what its metadata lines tell, and its samples.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Family {
    /// Its name: that of its samples without their suffixes.
    pub name: String,
    /// Its type.
    pub kind: FamilyKind,
    /// Its unit, the last part of its name; empty where the page tells none.
    pub unit: String,
    /// What its HELP line says, unescaped; hostile.
    pub help: String,
    /// Its samples in the order of the page. A repeated sample of the same series and time is left out, as the
    /// reference does: two times that differ may have been cut to the same one.
    pub samples: Vec<Sample>,
    /// Line of the page where it begins, from 1.
    pub line: u32,
}

impl Family {
    /// Since when each of its series counts: labels, and UTC seconds. From its `_created` samples.
    pub fn created(&self) -> impl Iterator<Item = (&[(String, String)], f64)> {
        let of = |s: &Sample| s.name.strip_prefix(&*self.name) == Some("_created");
        self.samples.iter().filter(move |s| of(s)).map(|s| (&*s.labels, s.value))
    }

    /// Its exemplars, each with its sample.
    pub fn exemplars(&self) -> impl Iterator<Item = (&Sample, &Exemplar)> {
        self.samples.iter().filter_map(|s| Some((s, s.exemplar.as_ref()?)))
    }
}

/// Why a page is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct OpenMetricsError {
    /// Line of the page, from 1. What only a whole family shows (its buckets, a clash of names) is told at a line of
    /// that family; a missing end at the line where it should stand.
    pub line: u32,
    /// The rule that is broken.
    pub reason: Reason,
}

/// The rule that a page breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // each says what it is
pub enum Reason {
    #[error("not UTF-8")]
    NotUtf8,
    #[error("a blank line")]
    Blank,
    #[error("text after # EOF")]
    AfterEof,
    #[error("no # EOF at the end")]
    NoEof,
    #[error("neither a sample nor HELP, TYPE, UNIT or EOF")]
    NotMetadata,
    #[error("not a metric name")]
    Name,
    #[error("{0}")]
    Syntax(&'static str),
    #[error("metadata behind the samples of its family")]
    MetadataLate,
    #[error("a second {0} line for the same family")]
    MetadataTwice(&'static str),
    #[error("no such type")]
    Type,
    #[error("the name of the family does not end in its unit")]
    Unit,
    #[error("a unit where the type has none")]
    UnitOfType,
    #[error("a name that another family uses")]
    Clash,
    #[error("a stateset without the label of its name")]
    StateLabel,
    #[error("the label le is not a canonical number")]
    Le,
    #[error("the label quantile is not a canonical number from 0 to 1")]
    Quantile,
    #[error("a count that is not a whole number")]
    NotWhole,
    #[error("the samples of one metric are not together")]
    Grouping,
    #[error("times on only some samples of a metric")]
    SomeTimes,
    #[error("the time goes backwards within a metric")]
    TimeBackwards,
    #[error("a state that is neither 0 nor 1")]
    State,
    #[error("an info that is not 1")]
    Info,
    #[error("a quantile that is negative")]
    QuantileNegative,
    #[error("a count or sum that is not a number")]
    CountNan,
    #[error("a count or sum that is negative")]
    CountNegative,
    #[error("an exemplar where only buckets and counters have one")]
    ExemplarPlace,
    #[error("exemplar labels of more than {EXEMPLAR_CHARACTERS} characters")]
    ExemplarLong,
    #[error("no bucket up to +Inf")]
    NoInfBucket,
    #[error("buckets out of order")]
    BucketOrder,
    #[error("a bucket that holds less than the one before")]
    BucketShrinks,
    #[error("the count is not that of the +Inf bucket")]
    CountMismatch,
    #[error("a sum without a count")]
    SumWithoutCount,
    #[error("a count without a sum")]
    CountWithoutSum,
    #[error("a sum beside negative buckets")]
    SumOfNegative,
    #[error("a negative sum without negative buckets")]
    NegativeSum,
}

/// "The combined length of the label names and values of an Exemplar's LabelSet MUST NOT exceed 128 UTF-8 character
/// code points" (OpenMetrics 1.0, "Exemplars").
pub const EXEMPLAR_CHARACTERS: usize = 128;

/// Reads a page; refuses it at the first line that breaks a rule.
pub fn parse(page: &[u8]) -> Result<Vec<Family>, OpenMetricsError> {
    let mut reader = Reader::default();
    // A newline ends a line, and the last one may lack it (OpenMetrics 1.0, "Overall Structure").
    let body = page.strip_suffix(b"\n").unwrap_or(page);
    let lines = if page.is_empty() { None } else { Some(body.split(|&b| b == b'\n')) };
    let mut last = 0;
    for (bytes, number) in lines.into_iter().flatten().zip(1u32..) {
        last = number;
        reader.line(bytes, number).map_err(|reason| OpenMetricsError { line: number, reason })?;
        if let Some(broken) = reader.broken.take() {
            return Err(broken);
        }
    }
    reader.finish_family()?;
    if !reader.eof {
        return Err(OpenMetricsError { line: last.saturating_add(1), reason: Reason::NoEof });
    }
    Ok(reader.done)
}

#[derive(Default)]
struct Reader {
    done: Vec<Family>,
    /// Names that families have taken, with each suffix of their types.
    taken: HashSet<String>,
    current: Option<Building>,
    eof: bool,
    /// A rule that a family before the line at hand broke.
    broken: Option<OpenMetricsError>,
}

impl Reader {
    fn line(&mut self, bytes: &[u8], number: u32) -> Result<(), Reason> {
        let text = std::str::from_utf8(bytes).map_err(|_| Reason::NotUtf8)?;
        if self.eof {
            return Err(Reason::AfterEof);
        }
        if text.is_empty() {
            return Err(Reason::Blank);
        }
        if text == "# EOF" {
            self.eof = true;
            return Ok(());
        }
        match text.strip_prefix('#') {
            Some(rest) => self.metadata(rest, number),
            None => self.sample(text, number),
        }
    }

    /// ` HELP name text` and its kin.
    fn metadata(&mut self, rest: &str, number: u32) -> Result<(), Reason> {
        let rest = rest.strip_prefix(' ').ok_or(Reason::NotMetadata)?;
        let (word, rest) = rest.split_once(' ').ok_or(Reason::NotMetadata)?;
        if !matches!(word, "HELP" | "TYPE" | "UNIT") {
            return Err(Reason::NotMetadata);
        }
        let (name, text) = match rest.strip_prefix('"') {
            Some(inside) => {
                let (name, tail) = line::quoted(inside).map_err(Reason::Syntax)?;
                (name, tail.strip_prefix(' ').ok_or(Reason::NotMetadata)?)
            }
            None => {
                let (name, text) = rest.split_once(' ').ok_or(Reason::NotMetadata)?;
                if !line::is_name(name) {
                    return Err(Reason::Name);
                }
                (name.to_owned(), text)
            }
        };
        if name.is_empty() {
            return Err(Reason::Name);
        }
        if self.current.as_ref().is_none_or(|f| f.name() != name) && !self.begin(Building::described(name, number)) {
            return Ok(());
        }
        match &mut self.current {
            Some(family) => family.metadata(word, text),
            None => Ok(()),
        }
    }

    fn sample(&mut self, text: &str, number: u32) -> Result<(), Reason> {
        let line = line::line(text, Rules::Strict).map_err(Reason::Syntax)?;
        if self.current.as_ref().is_none_or(|f| !f.takes(&line.name))
            && !self.begin(Building::undescribed(line.name.to_string(), number))
        {
            return Ok(());
        }
        match &mut self.current {
            Some(family) => family.sample(line, number),
            None => Ok(()),
        }
    }

    /// Ends the family at hand and begins another; `false` where the one that ended broke a rule.
    fn begin(&mut self, next: Building) -> bool {
        self.broken = self.finish_family().err();
        self.current = Some(next);
        self.broken.is_none()
    }

    fn finish_family(&mut self) -> Result<(), OpenMetricsError> {
        let Some(building) = self.current.take() else { return Ok(()) };
        let family = building.finish()?;
        // The bare name is taken too, whatever the type.
        let suffixes = family.kind.suffixes().iter().copied().filter(|s| !s.is_empty());
        for suffix in suffixes.chain([""]) {
            if !self.taken.insert(format!("{}{suffix}", family.name)) {
                return Err(OpenMetricsError { line: family.line, reason: Reason::Clash });
            }
        }
        self.done.push(family);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
