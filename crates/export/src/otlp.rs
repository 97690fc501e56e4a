//! OTLP: the requests as they were received, byte for byte, in the two formats of the OpenTelemetry Collector's file exporter.
//!
//! One file a stream, in the order of receipt: `traces.pb` (requests in protobuf, each behind its length as four bytes, big-endian: the exporter's
//! format `proto`), `traces.jsonl` (requests in JSON, one a line). A JSON request that holds a line break itself cannot stand on a line; those of a
//! stream go into `traces.json.framed`, framed like protobuf.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use coldcase_bundle::{BatchBody, Bundle, OpenError};
use coldcase_model::Class;

/// Why an export failed.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// The bundle cannot be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A file exists already.
    #[error("{} exists already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file could not be written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The stream.
    pub stream: String,
    /// The file.
    pub path: PathBuf,
    /// `json-lines` or `length-prefixed`.
    pub framing: &'static str,
    /// Requests in it.
    pub requests: u64,
    /// Bytes of them, without framing.
    pub bytes: u64,
}

/// What came of an export.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exported {
    /// The files, by the name of their stream.
    pub files: Vec<Written>,
    /// What could not be read of the bundle, in one line each.
    pub problems: Vec<String>,
}

/// Streams of OTLP, and their files: in protobuf, or JSON.
const STREAMS: [(&str, &str); 8] = [
    ("otlp.logs", "logs.pb"),
    ("otlp.logs.json", "logs.jsonl"),
    ("otlp.metrics", "metrics.pb"),
    ("otlp.metrics.json", "metrics.jsonl"),
    ("otlp.profiles", "profiles.pb"),
    ("otlp.profiles.json", "profiles.jsonl"),
    ("otlp.traces", "traces.pb"),
    ("otlp.traces.json", "traces.jsonl"),
];

/// Writes the requests of a bundle into a folder, which is there. A file appears under its name when it is whole; one that exists is refused without
/// `force`. Reads one chunk at a time.
pub fn write(bundle: &Bundle, dir: &Path, force: bool) -> Result<Exported, OtlpError> {
    let there = bundle.streams();
    let mut outputs: Vec<Output> = Vec::new();
    for (stream, name) in STREAMS.into_iter().filter(|(s, _)| there.iter().any(|t| &*t.name == *s && t.events > 0)) {
        let framed = name.strip_suffix(".jsonl").map(|signal| format!("{signal}.json.framed"));
        outputs.push(Output { stream, main: Sheet::new(dir, name), framed: framed.map(|name| Sheet::new(dir, &name)) });
    }
    let sheets = || outputs.iter().flat_map(|o| [Some(&o.main), o.framed.as_ref()]).flatten();
    if let Some(sheet) = sheets().find(|s| s.path.exists() && !force) {
        return Err(OtlpError::Exists { path: sheet.path.clone() });
    }
    let mut problems: Vec<String> = bundle.problems().iter().map(|p| p.what.clone()).collect();
    for chunk in bundle.chunks().iter().filter(|c| c.class == Class::Otlp) {
        let batches = match bundle.read_chunk(chunk.index, &|s| STREAMS.iter().any(|(stream, _)| *stream == s)) {
            Ok(batches) => batches,
            Err(e) => {
                problems.push(format!("chunk {}: {e}", chunk.index));
                continue;
            }
        };
        for batch in batches {
            let output = outputs.iter_mut().find(|o| *o.stream == *batch.stream);
            if let (Some(output), BatchBody::Raw(request)) = (output, &batch.body) {
                output.put(request)?;
            }
        }
    }
    let mut files = Vec::new();
    for output in outputs {
        for sheet in [Some(output.main), output.framed].into_iter().flatten() {
            files.extend(sheet.finish(output.stream)?);
        }
    }
    Ok(Exported { files, problems })
}

/// The files of a stream.
struct Output {
    stream: &'static str,
    main: Sheet,
    /// For JSON: what cannot stand on a line.
    framed: Option<Sheet>,
}

impl Output {
    fn put(&mut self, request: &[u8]) -> Result<(), OtlpError> {
        match &mut self.framed {
            None => self.main.put_framed(request),
            Some(framed) if request.contains(&b'\n') => framed.put_framed(request),
            Some(_) => self.main.put(&[request, b"\n"], request.len()),
        }
    }
}

/// A file, begun with its first request.
struct Sheet {
    path: PathBuf,
    unfinished: PathBuf,
    file: Option<BufWriter<File>>,
    requests: u64,
    bytes: u64,
}

impl Sheet {
    fn new(dir: &Path, name: &str) -> Sheet {
        Sheet { path: dir.join(name), unfinished: dir.join(format!(".{name}.part")), file: None, requests: 0, bytes: 0 }
    }

    fn put_framed(&mut self, request: &[u8]) -> Result<(), OtlpError> {
        // A bundle takes no message near that limit.
        let length = u32::try_from(request.len()).unwrap_or(u32::MAX).to_be_bytes();
        self.put(&[&length, request], request.len())
    }

    fn put(&mut self, parts: &[&[u8]], bytes: usize) -> Result<(), OtlpError> {
        let path = &self.path;
        let io = |source| OtlpError::Io { path: path.clone(), source };
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(BufWriter::new(File::create(&self.unfinished).map_err(io)?)),
        };
        parts.iter().try_for_each(|part| file.write_all(part)).map_err(io)?;
        self.requests += 1;
        self.bytes += bytes as u64;
        Ok(())
    }

    fn finish(mut self, stream: &str) -> Result<Option<Written>, OtlpError> {
        let Some(mut file) = self.file.take() else { return Ok(None) };
        let named = file.flush().and_then(|()| std::fs::rename(&self.unfinished, &self.path));
        named.map_err(|source| OtlpError::Io { path: self.path.clone(), source })?;
        let lines = self.path.extension().is_some_and(|e| e == "jsonl");
        Ok(Some(Written {
            stream: stream.to_owned(),
            path: self.path.clone(),
            framing: if lines { "json-lines" } else { "length-prefixed" },
            requests: self.requests,
            bytes: self.bytes,
        }))
    }
}

impl Drop for Sheet {
    fn drop(&mut self) {
        // What is half written is of no use; renamed already where it is whole.
        if self.file.is_some() || !self.path.exists() {
            let _ = std::fs::remove_file(&self.unfinished);
        }
    }
}
