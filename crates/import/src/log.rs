//! Log files: each line to the stream `log.lines`, raw, with its place in the file.
//!
//! A line's time is its own where it tells one; else that of the line before, and of the first lines that of the first
//! that tells one, or when the file was last written.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::time::UNIX_EPOCH;

use coldcase_bundle::Writer;
use coldcase_decode::capture::Unpack;
use coldcase_decode::log;
use coldcase_model::events::LogLine;
use coldcase_model::{Columns, Event, Utc};

use crate::clock::boot;
use crate::format::{Format, Times};
use crate::input::Input;
use crate::{ImportError, Imported};

/// The stream.
const STREAM: &str = "log.lines";
/// Longest line; a longer one is cut there and its rest is counted.
const LONGEST: u64 = 1 << 20;
/// Lines of a batch.
const ROWS: usize = 4096;
/// Bits of [`LogLine::flags`].
const CUT: u32 = 1;
const NO_NEWLINE: u32 = 2;

/// Whether a file begins like text in lines: of one byte a character or more, or UTF-16 with its mark.
pub(crate) fn is_log(head: &[u8]) -> bool {
    let odd = head.iter().filter(|b| b.is_ascii_control() && !matches!(b, b'\t' | b'\n' | b'\r' | 0x1b)).count();
    if let [0xff, 0xfe, rest @ ..] | [0xfe, 0xff, rest @ ..] = head {
        // UTF-16: its newline is one of 16 bits.
        return rest.chunks_exact(2).any(|unit| unit == [b'\n', 0] || unit == [0, b'\n']);
    }
    !head.is_empty() && !head.contains(&0) && odd * 50 <= head.len() && head.contains(&b'\n')
}

/// Writes the lines of a file.
pub(crate) fn import(input: &Input, writer: &Writer, times: &mut Times<'_>) -> Result<Imported, ImportError> {
    let io = |source| ImportError::Io { path: input.name.clone(), source };
    let about = std::fs::metadata(input).map_err(io)?;
    let written = about.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
    let written = written.and_then(|d| i64::try_from(d.as_nanos()).ok()).unwrap_or(0);
    let mut file = BufReader::with_capacity(1 << 20, File::open(input).and_then(Unpack::new).map_err(io)?);
    let mut done = Imported::new(&input.name, Format::Log, STREAM);
    let mut lines = Lines { path: input.name.display().to_string(), inode: about.ino(), written, ..Lines::default() };
    let mut offset = 0;
    loop {
        let mut line = Vec::new();
        let read = (&mut file).take(LONGEST).read_until(b'\n', &mut line).map_err(io)? as u64;
        if read == 0 {
            break;
        }
        let mut flags = 0;
        let mut passed = read;
        if line.last() == Some(&b'\n') {
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
        } else if read == LONGEST {
            flags |= CUT;
            let rest = skip_line(&mut file).map_err(io)?;
            done.bytes_lost += rest;
            passed += rest;
        } else {
            flags |= NO_NEWLINE;
        }
        lines.push(offset, flags, line);
        done.bytes += read;
        done.items += 1;
        offset += passed;
        if lines.waiting.len() >= ROWS {
            done.messages += lines.write(writer, times)?;
        }
    }
    done.messages += lines.write(writer, times)?;
    done.problem = match (file.get_ref().problem(), done.bytes_lost) {
        (Some(problem), _) => Some(problem.to_owned()),
        (None, 0) => None,
        (None, n) => Some(format!("lines beyond {LONGEST} bytes were cut: {n} bytes")),
    };
    Ok(done)
}

/// Passes the rest of a line; gives how many bytes that were.
fn skip_line(file: &mut impl BufRead) -> std::io::Result<u64> {
    let mut passed = 0;
    loop {
        let bytes = file.fill_buf()?;
        let end = bytes.iter().position(|&b| b == b'\n');
        let n = end.map_or(bytes.len(), |at| at + 1);
        file.consume(n);
        passed += n as u64;
        if end.is_some() || n == 0 {
            return Ok(passed);
        }
    }
}

/// Lines that wait to be written.
#[derive(Default)]
struct Lines {
    path: String,
    inode: u64,
    /// When the file was last written.
    written: i64,
    /// Time of the newest line that told one.
    newest: Option<i64>,
    waiting: Vec<(u64, u32, Option<i64>, Vec<u8>)>,
}

impl Lines {
    fn push(&mut self, offset: u64, flags: u32, line: Vec<u8>) {
        let time = log::parse_at(&line, Some(self.newest.unwrap_or(self.written))).time;
        self.newest = time.or(self.newest);
        self.waiting.push((offset, flags, self.newest, line));
    }

    fn write(&mut self, writer: &Writer, times: &mut Times<'_>) -> Result<u64, ImportError> {
        if self.waiting.is_empty() {
            return Ok(0);
        }
        let first_told = self.waiting.iter().find_map(|l| l.2).unwrap_or(self.written);
        let mut rows = Columns::new(&LogLine::DEF);
        let mut ends: Option<(i64, i64)> = None;
        for (offset, flags, time, line) in self.waiting.drain(..) {
            let read = time.unwrap_or(first_told);
            let (first, last) = ends.unwrap_or((read, read));
            ends = Some((first.min(read), last.max(read)));
            LogLine { time: boot(Utc(read)).0, read, offset, inode: self.inode, flags, path: self.path.clone(), line }
                .push(&mut rows);
        }
        if let Some((first, last)) = ends {
            times(Utc(first), Utc(last));
        }
        writer.append(STREAM, rows)?;
        Ok(1)
    }
}
