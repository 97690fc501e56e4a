//! The formats that can be imported. To add one: its file, and its entries in the enumeration and the table here.

use std::fs::File;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hasher};
use std::io::Read;

use coldcase_bundle::Writer;
use coldcase_decode::capture::Unpack;
use coldcase_model::Utc;

use crate::input::Input;
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
    /// Traces: JSON of Jaeger's query API.
    Jaeger,
    /// Spans: JSON of Zipkin's API, version 2.
    Zipkin,
    /// Metrics: a Prometheus page, or OpenMetrics samples with times.
    Prometheus,
    /// Entries of systemd's journal, in its export format.
    JournalExport,
    /// A file of systemd's journal.
    JournalFile,
    /// Samples of the CPU: the text of `perf script`.
    PerfScript,
    /// Samples of the CPU: a pprof profile.
    Pprof,
    /// Samples of the CPU: folded stacks.
    Folded,
    /// Lines of a log.
    Log,
}

/// Told the first and last time of what was just written.
pub(crate) type Times<'a> = dyn FnMut(Utc, Utc) + 'a;

/// What there is to know of a format.
struct About {
    format: Format,
    /// Its name on the command line.
    name: &'static str,
    /// What it holds many of.
    items: &'static str,
    /// Whether a file that begins so is of it.
    recognises: fn(&[u8]) -> bool,
    /// Writes the file's content to its stream.
    import: fn(Format, &Input, &Writer, &mut Times<'_>) -> Result<Imported, ImportError>,
}

/// In the order in which they are tried: text of any kind is taken for a log last.
const TABLE: [About; 12] = [
    About {
        format: Format::Pcap,
        name: "pcap",
        items: "packets",
        recognises: capture::is_pcap,
        import: capture::import,
    },
    About {
        format: Format::Pcapng,
        name: "pcapng",
        items: "packets",
        recognises: capture::is_pcapng,
        import: capture::import,
    },
    About {
        format: Format::Otlp,
        name: "otlp",
        items: "spans, records and points",
        recognises: otlp::is_otlp,
        import: |_, input, writer, times| otlp::import(input, writer, times),
    },
    About {
        format: Format::Jaeger,
        name: "jaeger",
        items: "spans",
        recognises: jaeger::is_jaeger,
        import: |_, input, writer, times| jaeger::import(input, writer, times),
    },
    About {
        format: Format::Zipkin,
        name: "zipkin",
        items: "spans",
        recognises: zipkin::is_zipkin,
        import: |_, input, writer, times| zipkin::import(input, writer, times),
    },
    About {
        format: Format::Prometheus,
        name: "prometheus",
        items: "samples",
        recognises: prometheus::is_page,
        import: |_, input, writer, times| prometheus::import(input, writer, times),
    },
    About {
        format: Format::JournalExport,
        name: "journal-export",
        items: "entries",
        recognises: journal::is_export,
        import: |_, input, writer, times| journal::import_export(input, writer, times),
    },
    About {
        format: Format::JournalFile,
        name: "journal",
        items: "entries",
        recognises: journal::is_file,
        import: |_, input, writer, times| journal::import_file(input, writer, times),
    },
    About {
        format: Format::PerfScript,
        name: "perf-script",
        items: "samples",
        recognises: profile::is_perf_script,
        import: profile::import,
    },
    About {
        format: Format::Pprof,
        name: "pprof",
        items: "samples",
        recognises: profile::is_pprof,
        import: profile::import,
    },
    About {
        format: Format::Folded,
        name: "folded",
        items: "samples",
        recognises: profile::is_folded,
        import: profile::import,
    },
    About {
        format: Format::Log,
        name: "log",
        items: "lines",
        recognises: log::is_log,
        import: |_, input, writer, times| log::import(input, writer, times),
    },
];

impl Format {
    /// All of them, in the order in which they are tried.
    pub fn all() -> impl Iterator<Item = Format> {
        TABLE.iter().map(|about| about.format)
    }

    fn about(self) -> &'static About {
        // The table's order is the enumeration's, which a test holds it to.
        &TABLE[self as usize]
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        self.about().name
    }

    /// What it holds many of.
    pub fn items(self) -> &'static str {
        self.about().items
    }

    /// The format of that name.
    pub fn named(name: &str) -> Option<Format> {
        Format::all().find(|format| format.name() == name)
    }

    /// What the input is: `wanted`, if that is given and can be, or whatever it looks like.
    pub(crate) fn of(input: &Input, wanted: Option<Format>) -> Result<Format, ImportError> {
        let head = head(input).map_err(|source| ImportError::Io { path: input.name.clone(), source })?;
        match wanted {
            Some(format) if (format.about().recognises)(&head) => Ok(format),
            Some(format) => Err(ImportError::Other { path: input.name.clone(), wanted: format.name() }),
            None => TABLE
                .iter()
                .find(|about| (about.recognises)(&head))
                .map(|about| about.format)
                .ok_or_else(|| ImportError::Format(input.name.clone())),
        }
    }

    /// Writes the input's content to its stream.
    pub(crate) fn import(self, input: &Input, writer: &Writer, times: &mut Times<'_>) -> Result<Imported, ImportError> {
        (self.about().import)(self, input, writer, times)
    }
}

/// The start of a file, unpacked.
pub(crate) fn head(input: &Input) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    Unpack::new(File::open(input)?)?.take(HEAD).read_to_end(&mut head)?;
    Ok(head)
}

/// An id that the same files give again: of how they begin and how long they are.
pub(crate) fn id(inputs: &[Input]) -> String {
    let mut hasher = BuildHasherDefault::<DefaultHasher>::default().build_hasher();
    for input in inputs {
        hasher.write(&head(input).unwrap_or_default());
        hasher.write_u64(std::fs::metadata(input).map_or(0, |m| m.len()));
    }
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_is_found_by_its_place_and_by_its_name() {
        for format in Format::all() {
            assert_eq!(format.about().format, format);
            assert_eq!(Format::named(format.name()), Some(format));
        }
    }
}
