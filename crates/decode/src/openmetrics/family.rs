//! One family while it is read: the rules that its metadata and samples keep.

use std::collections::HashSet;
use std::sync::Arc;

use super::{EXEMPLAR_CHARACTERS, Family, FamilyKind, OpenMetricsError, Reason, histogram};
use crate::prometheus::line::{Label, Line, Number, nanoseconds};
use crate::prometheus::{Exemplar, Sample};

/// A family of which more lines may come.
pub(super) struct Building {
    family: Family,
    kind: Option<FamilyKind>,
    unit: bool,
    help: bool,
    any_sample: bool,
    /// What its samples may be called behind its name: before a TYPE line nothing.
    suffixes: &'static [&'static str],
    kind_name: Arc<str>,
    /// Labels of the metric at hand, and all that were.
    group: Option<Arc<[Label]>>,
    groups: HashSet<Arc<[Label]>>,
    group_time: Option<i128>,
    /// Name and labels of the samples of the metric at hand.
    series: HashSet<(Arc<str>, Vec<Label>)>,
    points: Option<histogram::Points>,
}

impl Building {
    /// One that a metadata line begins.
    pub(super) fn described(name: String, line: u32) -> Building {
        Building {
            family: Family { name, line, ..Family::default() },
            kind: None,
            unit: false,
            help: false,
            any_sample: false,
            suffixes: &[""],
            kind_name: FamilyKind::Unknown.name().into(),
            group: None,
            groups: HashSet::new(),
            group_time: None,
            series: HashSet::new(),
            points: None,
        }
    }

    /// One that a sample begins: its type is unknown.
    pub(super) fn undescribed(name: String, line: u32) -> Building {
        Building { kind: Some(FamilyKind::Unknown), ..Building::described(name, line) }
    }

    pub(super) fn name(&self) -> &str {
        &self.family.name
    }

    /// Whether a sample of this name belongs to it.
    pub(super) fn takes(&self, sample: &str) -> bool {
        sample.strip_prefix(self.name()).is_some_and(|suffix| self.suffixes.contains(&suffix))
    }

    pub(super) fn metadata(&mut self, word: &str, text: &str) -> Result<(), Reason> {
        if self.any_sample {
            return Err(Reason::MetadataLate);
        }
        match word {
            "HELP" => {
                if std::mem::replace(&mut self.help, true) {
                    return Err(Reason::MetadataTwice("HELP"));
                }
                self.family.help = unescaped(text);
            }
            "UNIT" => {
                if std::mem::replace(&mut self.unit, true) {
                    return Err(Reason::MetadataTwice("UNIT"));
                }
                self.family.unit = text.into();
            }
            _ => {
                let kind = FamilyKind::from_name(text).ok_or(Reason::Type)?;
                if self.kind.replace(kind).is_some() {
                    return Err(Reason::MetadataTwice("TYPE"));
                }
                self.suffixes = kind.suffixes();
                self.kind_name = kind.name().into();
                if matches!(kind, FamilyKind::Histogram | FamilyKind::GaugeHistogram) {
                    self.points = Some(histogram::Points::default());
                }
            }
        }
        Ok(())
    }

    /// A sample that it [takes](Building::takes).
    pub(super) fn sample(&mut self, line: Line<'_>, number: u32) -> Result<(), Reason> {
        let kind = self.kind.unwrap_or_default();
        let suffix = line.name.get(self.name().len()..).unwrap_or("").to_owned();
        let le = self.check_labels(kind, &suffix, &line)?;
        check_value(kind, &suffix, line.value)?;
        let exemplar = line.exemplar.map_err(Reason::Syntax)?;
        if let Some(e) = &exemplar {
            let has_exemplars = match kind {
                FamilyKind::Histogram | FamilyKind::GaugeHistogram => suffix == "_bucket",
                FamilyKind::Counter => suffix == "_total",
                _ => false,
            };
            if !has_exemplars {
                return Err(Reason::ExemplarPlace);
            }
            let characters = e.labels.iter().map(|(k, v)| k.chars().count() + v.chars().count()).sum::<usize>();
            if characters > EXEMPLAR_CHARACTERS {
                return Err(Reason::ExemplarLong);
            }
        }
        self.any_sample = true;
        if !self.is_new(kind, &suffix, &line.name, &line.labels, line.time)? {
            return Ok(());
        }
        if let (Some(points), Some(group)) = (&mut self.points, &self.group) {
            points.sample(group, line.time, &suffix, le, line.value, number)?;
        }
        self.family.samples.push(Sample {
            name: line.name.as_ref().into(),
            labels: line.labels,
            value: line.value.value,
            time: line.time.map(nanoseconds),
            kind: self.kind_name.clone(),
            exemplar: exemplar.map(Exemplar::from),
            histogram: None,
            line: number,
        });
        Ok(())
    }

    /// The labels that a type demands; hands out the bound of a bucket.
    fn check_labels(&self, kind: FamilyKind, suffix: &str, line: &Line<'_>) -> Result<Option<Number>, Reason> {
        let label = |name: &str| line.labels.iter().find(|(k, _)| k == name).map(|(_, v)| &**v);
        if kind == FamilyKind::StateSet && label(self.name()).is_none() {
            return Err(Reason::StateLabel);
        }
        if suffix == "_bucket" {
            let text = label("le").ok_or(Reason::Le)?;
            return canonical(text).map(Some).ok_or(Reason::Le);
        }
        if kind == FamilyKind::Summary && suffix.is_empty() {
            let quantile = label("quantile").and_then(canonical).ok_or(Reason::Quantile)?;
            if !(0.0..=1.0).contains(&quantile.value) {
                return Err(Reason::Quantile);
            }
        }
        Ok(None)
    }

    /// The rules of order among the samples of the family. `false` for one that was there already, for the same time.
    fn is_new(
        &mut self,
        kind: FamilyKind,
        suffix: &str,
        name: &str,
        labels: &[Label],
        time: Option<i128>,
    ) -> Result<bool, Reason> {
        let group = self.group_of(kind, suffix, labels);
        if self.group.as_ref() == Some(&group) {
            if time.is_some() != self.group_time.is_some() {
                return Err(Reason::SomeTimes);
            }
            if time < self.group_time && kind != FamilyKind::Info {
                return Err(Reason::TimeBackwards);
            }
        } else {
            if !self.groups.insert(group.clone()) {
                return Err(Reason::Grouping);
            }
            self.series.clear();
            self.group = Some(group);
        }
        let mut sorted = labels.to_vec();
        sorted.sort_unstable();
        let first = self.series.insert((name.into(), sorted));
        let later = time != self.group_time;
        self.group_time = time;
        Ok(first || later)
    }

    /// The labels that tell the metrics of a family apart, sorted.
    fn group_of(&self, kind: FamilyKind, suffix: &str, labels: &[Label]) -> Arc<[Label]> {
        let not_of_it = match (kind, suffix) {
            // Which labels of an info are those of its metric is not told.
            (FamilyKind::Info, _) => return Arc::new([]),
            (FamilyKind::Summary, "") => "quantile",
            (FamilyKind::StateSet, _) => self.name(),
            (FamilyKind::Histogram | FamilyKind::GaugeHistogram, "_bucket") => "le",
            _ => "",
        };
        let mut group: Vec<Label> = labels.iter().filter(|(k, _)| k != not_of_it).cloned().collect();
        group.sort_unstable();
        group.into()
    }

    /// What only the whole family shows.
    pub(super) fn finish(self) -> Result<Family, OpenMetricsError> {
        let mut family = self.family;
        family.kind = self.kind.unwrap_or_default();
        let broken = |reason| OpenMetricsError { line: family.line, reason };
        if !family.unit.is_empty() {
            if !family.name.strip_suffix(&*family.unit).is_some_and(|n| n.ends_with('_')) {
                return Err(broken(Reason::Unit));
            }
            if matches!(family.kind, FamilyKind::Info | FamilyKind::StateSet) {
                return Err(broken(Reason::UnitOfType));
            }
        }
        if let Some(points) = self.points {
            points.finish()?;
        }
        Ok(family)
    }
}

/// The values that a type allows.
fn check_value(kind: FamilyKind, suffix: &str, n: Number) -> Result<(), Reason> {
    if matches!(suffix, "_bucket" | "_count" | "_gcount") && !n.is_whole() {
        return Err(if n.value.is_nan() { Reason::CountNan } else { Reason::NotWhole });
    }
    match kind {
        FamilyKind::StateSet if n.value != 0.0 && n.value != 1.0 => return Err(Reason::State),
        FamilyKind::Info if n.value != 1.0 => return Err(Reason::Info),
        FamilyKind::Summary if suffix.is_empty() && n.value < 0.0 => return Err(Reason::QuantileNegative),
        _ => {}
    }
    let counts = matches!(suffix, "_total" | "_sum" | "_count" | "_bucket" | "_gcount");
    if (counts || suffix == "_gsum") && n.value.is_nan() {
        return Err(Reason::CountNan);
    }
    if counts && n.value < 0.0 {
        return Err(Reason::CountNegative);
    }
    Ok(())
}

/// The number of a label `le` or `quantile`. Only infinity must be written in one way: `+Inf`. "Not a number" bounds
/// nothing.
fn canonical(text: &str) -> Option<Number> {
    let n = Number::of(text).filter(|n| !n.value.is_nan())?;
    (n.value != f64::INFINITY || text == "+Inf").then_some(n)
}

/// Text of a HELP line: `\\`, `\n` and `\"`; other escapes stand as they are.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some(c @ ('\\' | '"')) => out.push(c),
                Some(c) => out.extend(['\\', c]),
                None => out.push('\\'),
            },
            c => out.push(c),
        }
    }
    out
}
