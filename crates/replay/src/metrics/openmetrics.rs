//! An OpenMetrics file with times, as `promtool tsdb create-blocks-from openmetrics` takes it.
//!
//! The format wants all samples of a metric together, and the recording has them by time. What does not fit in memory goes into a spool beside the
//! file, and is put in order at the end.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::family::{Family, is_plain, metric_key, write_seconds, write_series, write_value};
use super::samples::{Out, Pages, read};
use crate::sink::{Event, Item, Sink, SinkError, SinkReport, Wants};

/// Text that is held before it goes into the spool.
const HELD: usize = 16 << 20;

/// The text of one metric: what was spooled, and what was not yet.
#[derive(Default)]
struct Text {
    spooled: Vec<(u64, usize)>,
    held: String,
}

/// Writes the file.
pub struct OpenMetrics {
    path: PathBuf,
    spool_path: PathBuf,
    spool: Option<File>,
    spooled: u64,
    held: usize,
    limit: usize,
    metrics: BTreeMap<(Family, String), Text>,
    /// The type of each family, as it was told first.
    kinds: HashMap<String, &'static str>,
    pages: Pages,
    mark: Option<String>,
    report: SinkReport,
}

impl OpenMetrics {
    /// To a file, which appears when all of it is written. `mark` is the bundle's id, where series are to say that they were replayed.
    ///
    /// # Errors
    /// When it is there already and not to be replaced.
    pub fn create(path: &Path, force: bool, pages: Pages, mark: Option<&str>) -> Result<OpenMetrics, SinkError> {
        let to = path.display().to_string();
        if path.exists() && !force {
            let source = std::io::Error::new(std::io::ErrorKind::AlreadyExists, "exists already");
            return Err(SinkError::Io { to, source });
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let spool_path = path.with_file_name(format!(".{name}.part"));
        // Whether it can be written is known now, not in an hour.
        let sink = OpenMetrics {
            path: path.to_owned(),
            spool_path,
            spool: None,
            spooled: 0,
            held: 0,
            limit: HELD,
            metrics: BTreeMap::new(),
            kinds: HashMap::new(),
            pages,
            mark: mark.map(str::to_owned),
            report: SinkReport { sink: "openmetrics".into(), to, unit: "samples", ..SinkReport::default() },
        };
        let spool = File::options().read(true).write(true).create(true).truncate(true).open(&sink.spool_path);
        let spool = spool.map_err(|e| sink.io(e))?;
        // It has no name any more: nothing is left of it, however this ends.
        std::fs::remove_file(&sink.spool_path).map_err(|e| sink.io(e))?;
        Ok(OpenMetrics { spool: Some(spool), ..sink })
    }

    fn io(&self, source: std::io::Error) -> SinkError {
        SinkError::Io { to: self.path.display().to_string(), source }
    }

    fn put(&mut self, out: &Out) {
        if !is_plain(out) || out.sample.is_stale() {
            self.report.unsupported += 1;
            let why = if out.sample.is_stale() { "marks of staleness" } else { "names that need quotes" };
            return self.report.reason(format!("{why} have no form in OpenMetrics 1.0"));
        }
        let Some(family) = self.family(out) else {
            self.report.unsupported += 1;
            return self.report.reason(format!("{} is the name of families of several types", out.sample.name));
        };
        let key = metric_key(out, &family);
        let text = &mut self.metrics.entry((family, key)).or_default().held;
        let before = text.len();
        write_series(out, text);
        text.push(' ');
        write_value(out.sample.value, text);
        text.push(' ');
        write_seconds(out.ms, text);
        text.push('\n');
        self.held += text.len() - before;
        self.report.sent += 1;
    }

    /// Where a sample stands: a family has one type, that which was told first.
    fn family(&mut self, out: &Out) -> Option<Family> {
        let mut told = Family::of(&out.sample.name, &out.sample.kind);
        let mut first = *self.kinds.entry(told.name.clone()).or_insert(told.kind);
        if first != told.kind && told.name != *out.sample.name {
            told = Family::unknown(&out.sample.name);
            first = *self.kinds.entry(told.name.clone()).or_insert(told.kind);
        }
        let fits = first == told.kind || matches!(first, "gauge" | "unknown" | "stateset" | "summary");
        fits.then_some(Family { kind: first, ..told })
    }

    /// Empties the memory.
    fn spool(&mut self) -> Result<(), std::io::Error> {
        let Some(spool) = &mut self.spool else { return Ok(()) };
        let mut out = BufWriter::with_capacity(1 << 16, spool);
        for text in self.metrics.values_mut().filter(|t| !t.held.is_empty()) {
            let held = std::mem::take(&mut text.held);
            out.write_all(held.as_bytes())?;
            text.spooled.push((self.spooled, held.len()));
            self.spooled += held.len() as u64;
        }
        self.held = 0;
        out.flush()
    }

    /// Writes the file, and gives it its name when it is whole.
    fn place(&mut self) -> std::io::Result<u64> {
        let mut file = BufWriter::with_capacity(1 << 16, File::create(&self.spool_path)?);
        let written = self.write(&mut file)?;
        drop(file);
        std::fs::rename(&self.spool_path, &self.path)?;
        Ok(written)
    }

    /// Everything in order.
    fn write(&mut self, to: &mut impl Write) -> std::io::Result<u64> {
        let mut written = 0;
        let mut last: Option<&Family> = None;
        for ((family, _), text) in &self.metrics {
            if last != Some(family) {
                let head = format!("# TYPE {} {}\n", family.name, family.kind);
                to.write_all(head.as_bytes())?;
                written += head.len() as u64;
                last = Some(family);
            }
            for &(at, length) in &text.spooled {
                if let Some(spool) = &mut self.spool {
                    spool.seek(SeekFrom::Start(at))?;
                    let mut part = vec![0; length];
                    spool.read_exact(&mut part)?;
                    to.write_all(&part)?;
                    written += length as u64;
                }
            }
            to.write_all(text.held.as_bytes())?;
            written += text.held.len() as u64;
        }
        to.write_all(b"# EOF\n")?;
        to.flush()?;
        Ok(written + 6)
    }
}

impl Sink for OpenMetrics {
    fn wants(&self) -> Wants {
        super::wants()
    }

    fn event(&mut self, event: Event<'_>) -> Result<(), SinkError> {
        let Item::Message(message) = event.item else { return Ok(()) };
        self.report.taken += 1;
        let read = read(message, &self.pages, event.round, self.mark.as_deref()).into_text();
        self.report.unsupported += read.unsupported;
        read.why.into_iter().for_each(|why| self.report.reason(why));
        read.samples.iter().for_each(|out| self.put(out));
        if self.held >= self.limit {
            self.spool().map_err(|e| self.io(e))?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<SinkReport, SinkError> {
        self.report.bytes = self.place().map_err(|e| self.io(e))?;
        Ok(self.report)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use coldcase_decode::prometheus::Sample;

    fn out(name: &str, kind: &str, labels: &[(&str, &str)], value: f64, ms: i64) -> Out {
        let labels: Vec<(String, String)> = labels.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
        let sample = Sample {
            name: name.into(),
            labels: labels.clone(),
            value,
            time: None,
            kind: kind.into(),
            exemplar: None,
            histogram: None,
            line: 1,
        };
        Out { labels, ms, sample }
    }

    #[test]
    fn metrics_stand_together_whether_they_were_spooled_or_not() {
        let dir = tempfile::tempdir().unwrap();
        let text = |limit: usize, name: &str| {
            let path = dir.path().join(name);
            let mut sink = Box::new(OpenMetrics::create(&path, false, Pages::new(), None).unwrap());
            for ms in [1_000, 2_000, 3_000] {
                for le in ["1", "+Inf"] {
                    sink.put(&out("h_bucket", "histogram", &[("job", "a\"b\\"), ("le", le)], 1.0, ms));
                }
                sink.put(&out("h_count", "histogram", &[("job", "a\"b\\")], 1.0, ms));
                sink.put(&out("h_sum", "histogram", &[("job", "a\"b\\")], 1.0, ms));
                sink.put(&out("c_total", "counter", &[], ms as f64, ms));
                sink.put(&out("c", "gauge", &[], 5.0, ms));
                if sink.held >= limit {
                    sink.spool().unwrap();
                }
            }
            let report = sink.finish().unwrap();
            assert_eq!(
                (report.sent, report.unsupported),
                (15, 3),
                "a gauge named as the counter before it has no place"
            );
            std::fs::read_to_string(path).unwrap()
        };
        let (held, spooled) = (text(usize::MAX, "a"), text(1, "b"));
        assert_eq!(held, spooled);
        assert!(held.ends_with("# EOF\n"));
        let want = r#"# TYPE c counter
c_total 1000 1.000
c_total 2000 2.000
c_total 3000 3.000
# TYPE h histogram
h_bucket{job="a\"b\\",le="1"} 1 1.000
h_bucket{job="a\"b\\",le="+Inf"} 1 1.000
h_count{job="a\"b\\"} 1 1.000
h_sum{job="a\"b\\"} 1 1.000
h_bucket{job="a\"b\\",le="1"} 1 2.000
"#;
        assert!(held.starts_with(want), "{held}");
        assert!(OpenMetrics::create(&dir.path().join("a"), false, Pages::new(), None).is_err(), "it is there");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "no spool is left");
    }
}
