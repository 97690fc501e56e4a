//! The formats that can be imported. To add one: its file, and a line in each list here.

use std::fs::File;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hasher};
use std::io::Read;
use std::path::{Path, PathBuf};

use coldcase_bundle::Writer;
use coldcase_decode::capture::Unpack;
use coldcase_model::Utc;

use crate::{ImportError, Imported};
use crate::{capture, jaeger, journal, log, otlp, profile, prometheus, zipkin};

/// How much of a file is looked at to recognise it.
const HEAD: u64 = 64 << 10;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Packets: pcap of any kind.
    Pcap,
    /// Packets: pcapng.
    Pcapng,
    /// Spans, logs and metrics: OTLP in JSON, one request a line, or behind lengths.
    Otlp,
    /// Samples of the CPU: the text of `perf script`.
    PerfScript,
    /// Samples of the CPU: a pprof profile.
    Pprof,
    /// Samples of the CPU: folded stacks.
    Folded,
    /// Entries of systemd's journal, in its export format.
    JournalExport,
    /// A file of systemd's journal.
    JournalFile,
    /// Traces: JSON of Jaeger's query API.
    Jaeger,
    /// Spans: JSON of Zipkin's API, version 2.
    Zipkin,
    /// Metrics: a Prometheus page, or OpenMetrics samples with times.
    Prometheus,
    /// Lines of a log.
    Log,
}

/// Told the first and last time of what was just written.
pub(crate) type Times<'a> = dyn FnMut(Utc, Utc) + 'a;

impl Format {
    /// All of them; text of any kind is taken for a log last.
    pub const ALL: [Format; 12] = [
        Format::Pcap,
        Format::Pcapng,
        Format::Otlp,
        Format::Jaeger,
        Format::Zipkin,
        Format::Prometheus,
        Format::JournalExport,
        Format::JournalFile,
        Format::PerfScript,
        Format::Pprof,
        Format::Folded,
        Format::Log,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Format::Pcap => "pcap",
            Format::Pcapng => "pcapng",
            Format::Otlp => "otlp",
            Format::PerfScript => "perf-script",
            Format::Pprof => "pprof",
            Format::Folded => "folded",
            Format::JournalExport => "journal-export",
            Format::JournalFile => "journal",
            Format::Jaeger => "jaeger",
            Format::Zipkin => "zipkin",
            Format::Prometheus => "prometheus",
            Format::Log => "log",
        }
    }

    /// What it holds many of.
    pub fn items(self) -> &'static str {
        match self {
            Format::Pcap | Format::Pcapng => "packets",
            Format::Otlp => "spans, records and points",
            Format::PerfScript | Format::Pprof | Format::Folded => "samples",
            Format::JournalExport | Format::JournalFile => "entries",
            Format::Jaeger | Format::Zipkin => "spans",
            Format::Prometheus => "samples",
            Format::Log => "lines",
        }
    }

    /// The format of that name.
    pub fn named(name: &str) -> Option<Format> {
        Format::ALL.into_iter().find(|f| f.name() == name)
    }

    /// Whether a file that begins with `head` is of this format.
    fn recognises(self, head: &[u8]) -> bool {
        match self {
            Format::Pcap => capture::is_pcap(head),
            Format::Pcapng => capture::is_pcapng(head),
            Format::Otlp => otlp::is_otlp(head),
            Format::PerfScript => profile::is_perf_script(head),
            Format::Pprof => profile::is_pprof(head),
            Format::Folded => profile::is_folded(head),
            Format::JournalExport => journal::is_export(head),
            Format::JournalFile => journal::is_file(head),
            Format::Jaeger => jaeger::is_jaeger(head),
            Format::Zipkin => zipkin::is_zipkin(head),
            Format::Prometheus => prometheus::is_page(head),
            Format::Log => log::is_log(head),
        }
    }

    /// What the file at `path` is: `wanted`, if that is given and can be, or whatever it looks like.
    pub(crate) fn of(path: &Path, wanted: Option<Format>) -> Result<Format, ImportError> {
        let head = head(path).map_err(|source| ImportError::Io { path: path.to_owned(), source })?;
        match wanted {
            Some(format) if format.recognises(&head) => Ok(format),
            Some(format) => Err(ImportError::Other { path: path.to_owned(), wanted: format.name() }),
            None => Format::ALL
                .into_iter()
                .find(|f| f.recognises(&head))
                .ok_or_else(|| ImportError::Format(path.to_owned())),
        }
    }

    /// Writes the file's content to its stream.
    pub(crate) fn import(self, path: &Path, writer: &Writer, times: &mut Times<'_>) -> Result<Imported, ImportError> {
        match self {
            Format::Pcap | Format::Pcapng => capture::import(self, path, writer, times),
            Format::Otlp => otlp::import(path, writer, times),
            Format::PerfScript | Format::Pprof | Format::Folded => profile::import(self, path, writer, times),
            Format::JournalExport => journal::import_export(path, writer, times),
            Format::JournalFile => journal::import_file(path, writer, times),
            Format::Jaeger => jaeger::import(path, writer, times),
            Format::Zipkin => zipkin::import(path, writer, times),
            Format::Prometheus => prometheus::import(path, writer, times),
            Format::Log => log::import(path, writer, times),
        }
    }
}

/// The start of a file, unpacked.
pub(crate) fn head(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    Unpack::new(File::open(path)?)?.take(HEAD).read_to_end(&mut head)?;
    Ok(head)
}

/// An id that the same files give again: of how they begin and how long they are.
pub(crate) fn id(files: &[PathBuf]) -> String {
    let mut hasher = BuildHasherDefault::<DefaultHasher>::default().build_hasher();
    for path in files {
        hasher.write(&head(path).unwrap_or_default());
        hasher.write_u64(std::fs::metadata(path).map_or(0, |m| m.len()));
    }
    format!("{:016x}", hasher.finish())
}
