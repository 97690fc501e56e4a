//! systemd's journal: its export format, and its own files through its own tool.
//!
//! An entry goes to `log.lines` as it came, marked as one. Its time of reading is when journald took it.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::process::{Child, Command, Stdio};

use coldcase_bundle::Writer;
use coldcase_decode::capture::Unpack;
use coldcase_decode::log::journal;
use coldcase_model::events::LogLine;
use coldcase_model::journal_export::{Cutter, Entry};
use coldcase_model::{Columns, Event, Utc};

use crate::clock::boot;
use crate::format::{Format, Times};
use crate::input::Input;
use crate::{ImportError, Imported};

/// The stream.
const STREAM: &str = "log.lines";
/// Entries of a batch.
const ROWS: usize = 4096;
/// Bytes of a batch at most, about.
const BYTES: usize = 4 << 20;
/// Bit 0 of [`LogLine::flags`].
const CUT: u32 = 1;
/// How a journal's own file begins (systemd, "Journal File Format").
const SIGNATURE: &[u8] = b"LPKSHHRH";

/// Whether a file begins like an export: `journalctl` writes its addressing fields first.
pub(crate) fn is_export(head: &[u8]) -> bool {
    let first = head.split(|&b| b == b'\n').take(4);
    head.starts_with(b"__") && first.into_iter().any(|line| line.starts_with(b"__REALTIME_TIMESTAMP="))
}

/// Whether it begins like a journal's own file.
pub(crate) fn is_file(head: &[u8]) -> bool {
    head.starts_with(SIGNATURE)
}

/// Writes the entries of an export.
pub(crate) fn import_export(input: &Input, writer: &Writer, times: &mut Times<'_>) -> Result<Imported, ImportError> {
    let io = |source| ImportError::Io { path: input.name.clone(), source };
    let mut file = File::open(input).and_then(Unpack::new).map_err(io)?;
    let mut entries = Entries::new(input, Format::JournalExport);
    entries.read(&mut file, writer, times)?;
    let problem = file.problem().map(str::to_owned);
    entries.finish(writer, times, problem)
}

/// Writes the entries of a journal's own file, as `journalctl` reads them.
pub(crate) fn import_file(input: &Input, writer: &Writer, times: &mut Times<'_>) -> Result<Imported, ImportError> {
    let tool = |why: String| ImportError::Journalctl { path: input.name.clone(), why };
    let missing = |e: io::Error| match e.kind() {
        io::ErrorKind::NotFound => tool("it is not installed here".to_owned()),
        _ => tool(e.to_string()),
    };
    let mut child = Command::new("journalctl")
        .args(["--quiet", "--no-pager", "--output=export", "--file"])
        .arg(input.as_ref())
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(missing)?;
    let mut entries = Entries::new(input, Format::JournalFile);
    let done = match child.stdout.take() {
        Some(out) => entries.read(&mut BufReader::with_capacity(1 << 18, out), writer, times),
        None => Ok(()),
    };
    let problem = end(child).map_err(|e| tool(e.to_string()))?;
    done?;
    if entries.done.items == 0
        && let Some(why) = problem
    {
        return Err(tool(why));
    }
    entries.finish(writer, times, problem)
}

/// Why the tool failed, if it did.
fn end(mut child: Child) -> io::Result<Option<String>> {
    let mut told = String::new();
    if let Some(stderr) = child.stderr.take() {
        stderr.take(4096).read_to_string(&mut told)?;
    }
    let status = child.wait()?;
    let last = told.trim().lines().next_back().unwrap_or_default().to_owned();
    Ok((!status.success()).then(|| if last.is_empty() { status.to_string() } else { last }))
}

struct Entries {
    path: String,
    done: Imported,
    rows: Columns,
    bytes: usize,
    ends: Option<(i64, i64)>,
    /// Of the last entry that told one.
    newest: i64,
    /// Bytes that were cut from entries.
    cut: u64,
}

impl Entries {
    fn new(input: &Input, format: Format) -> Entries {
        Entries {
            path: input.name.display().to_string(),
            done: Imported::new(&input.name, format, STREAM),
            rows: Columns::new(&LogLine::DEF),
            bytes: 0,
            ends: None,
            newest: 0,
            cut: 0,
        }
    }

    fn read(&mut self, from: &mut impl Read, writer: &Writer, times: &mut Times<'_>) -> Result<(), ImportError> {
        let mut cutter = Cutter::default();
        let mut piece = vec![0; 256 << 10];
        loop {
            let read = match from.read(&mut piece) {
                Ok(0) => break,
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(ImportError::Io { path: (&self.path).into(), source }),
            };
            self.done.bytes += read as u64;
            let mut entries = Vec::new();
            cutter.feed(&piece[..read], |entry| entries.push(entry));
            for entry in entries {
                self.push(entry);
                if self.rows.len() >= ROWS || self.bytes >= BYTES {
                    self.write(writer, times)?;
                }
            }
        }
        // The last may lack the empty line behind it.
        cutter.feed(b"\n\n", |entry| self.push(entry));
        Ok(())
    }

    fn push(&mut self, entry: Entry) {
        let Entry { bytes, left_out, .. } = entry;
        let time = journal::entries(&bytes).next().and_then(Result::ok).and_then(|e| e.taken());
        let read = time.unwrap_or(self.newest);
        self.newest = read;
        let (first, last) = self.ends.unwrap_or((read, read));
        self.ends = Some((first.min(read), last.max(read)));
        self.cut += left_out;
        self.bytes += bytes.len();
        let flags = LogLine::JOURNAL | if left_out > 0 { CUT } else { 0 };
        let (time, offset) = (boot(Utc(read)).0, self.done.items);
        LogLine { time, read, offset, inode: 0, flags, path: self.path.clone(), line: bytes }.push(&mut self.rows);
        self.done.items += 1;
    }

    fn write(&mut self, writer: &Writer, times: &mut Times<'_>) -> Result<(), ImportError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        if let Some((first, last)) = self.ends.take() {
            times(Utc(first), Utc(last));
        }
        self.bytes = 0;
        self.done.messages += 1;
        writer.append(STREAM, self.rows.take())?;
        Ok(())
    }

    fn finish(
        mut self,
        writer: &Writer,
        times: &mut Times<'_>,
        problem: Option<String>,
    ) -> Result<Imported, ImportError> {
        self.write(writer, times)?;
        self.done.bytes_lost = self.cut;
        let cut = (self.cut > 0).then(|| format!("fields beyond 1 MiB of an entry were left out: {} bytes", self.cut));
        self.done.problem = problem.or(cut);
        Ok(self.done)
    }
}
