//! Capture files of other tools, pcap and pcapng, read piece by piece into a [`Tap`].

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use coldcase_decode::packet::{self, Decoded};
use coldcase_decode::pcapng;
use rayon::prelude::*;

use super::Tap;

/// How many bytes are read and decoded at a time.
const PIECE: usize = 8 << 20;
/// Longest record or block that is believed.
const LONGEST: usize = 64 << 20;

/// Why a capture file could not be read at all.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// It could not be opened or read.
    #[error("{path}: {source}")]
    #[allow(missing_docs)]
    Io { path: PathBuf, source: std::io::Error },
    /// It is of another format.
    #[error("{0}: neither pcap nor pcapng")]
    Format(PathBuf),
}

/// Whether a file begins like a capture file.
pub fn is_capture(path: &Path) -> bool {
    let mut head = [0; 4];
    File::open(path).and_then(|mut f| f.read_exact(&mut head)).is_ok() && Format::of(&head).is_some()
}

/// Reads a capture file. What was cut or damaged is said in the lines returned; what came before it counts.
pub fn read(path: &Path, tap: &mut Tap) -> Result<Vec<String>, CaptureError> {
    let io = |source| CaptureError::Io { path: path.to_owned(), source };
    let mut file = Pieces { file: File::open(path).map_err(io)?, rest: Vec::new(), at: 0, ended: false };
    file.fill(24).map_err(io)?;
    let format = Format::of(file.left()).ok_or_else(|| CaptureError::Format(path.to_owned()))?;
    let problem = match format {
        Format::Pcap(order) => read_pcap(&mut file, &order, tap),
        Format::Pcapng => read_pcapng(&mut file, tap),
    };
    let problem = problem.map_err(io)?;
    Ok(problem.into_iter().map(|p| format!("{}: {p}", path.display())).collect())
}

/// How numbers are written in a classic pcap file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Order {
    big: bool,
    /// Nanoseconds in a unit of the second timestamp field.
    unit: i64,
    /// Length of a record's head.
    head: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Pcap(Order),
    Pcapng,
}

impl Format {
    fn of(head: &[u8]) -> Option<Format> {
        let &[a, b, c, d] = head.get(..4)? else { return None };
        if [a, b, c, d] == [0x0a, 0x0d, 0x0d, 0x0a] {
            return Some(Format::Pcapng);
        }
        [true, false].into_iter().find_map(|big| {
            let magic = if big { u32::from_be_bytes([a, b, c, d]) } else { u32::from_le_bytes([a, b, c, d]) };
            match magic {
                0xa1b2_c3d4 => Some(Format::Pcap(Order { big, unit: 1_000, head: 16 })),
                0xa1b2_3c4d => Some(Format::Pcap(Order { big, unit: 1, head: 16 })),
                // Alexey Kuznetzov's patched format: the head is 8 bytes longer.
                0xa1b2_cd34 => Some(Format::Pcap(Order { big, unit: 1_000, head: 24 })),
                _ => None,
            }
        })
    }
}

impl Order {
    fn u32(&self, bytes: &[u8], at: usize) -> u32 {
        let Some(&[a, b, c, d]) = bytes.get(at..at + 4) else { return 0 };
        if self.big { u32::from_be_bytes([a, b, c, d]) } else { u32::from_le_bytes([a, b, c, d]) }
    }
}

/// A file, of which a window is in memory.
struct Pieces {
    file: File,
    rest: Vec<u8>,
    at: usize,
    ended: bool,
}

impl Pieces {
    fn left(&self) -> &[u8] {
        &self.rest[self.at..]
    }

    /// Reads on until at least `want` bytes are left, or the file ends. Gives how many are left.
    fn fill(&mut self, want: usize) -> std::io::Result<usize> {
        if self.left().len() < want && !self.ended {
            self.rest.drain(..self.at);
            self.at = 0;
            let missing = (want.max(PIECE) - self.rest.len()) as u64;
            let got = (&mut self.file).take(missing).read_to_end(&mut self.rest)?;
            self.ended = (got as u64) < missing;
        }
        Ok(self.left().len())
    }
}

fn read_pcap(file: &mut Pieces, order: &Order, tap: &mut Tap) -> std::io::Result<Option<&'static str>> {
    if file.left().len() < 24 {
        return Ok(Some("cut inside the file header"));
    }
    let link = order.u32(file.left(), 20) as u16;
    file.at += 24;
    loop {
        file.fill(PIECE)?;
        let left = file.left();
        let mut records = Vec::new();
        let mut at = 0;
        let mut longer = 0;
        while left.len() - at >= order.head {
            let captured = order.u32(left, at + 8) as usize;
            if captured > LONGEST {
                apply(tap, left, &records, link, order);
                return Ok(Some("an impossible packet length; what follows was not read"));
            }
            let end = at + order.head + captured;
            if end > left.len() {
                longer = end - at;
                break;
            }
            records.push((at, end));
            at = end;
        }
        apply(tap, left, &records, link, order);
        let over = left.len() - at;
        file.at += at;
        if over == 0 && file.ended {
            return Ok(None);
        }
        if records.is_empty() && file.fill(longer.max(order.head))? < longer.max(order.head) {
            return Ok(Some("cut inside a packet"));
        }
        if file.ended && longer > file.left().len() {
            return Ok(Some("cut inside a packet"));
        }
    }
}

fn apply(tap: &mut Tap, bytes: &[u8], records: &[(usize, usize)], link: u16, order: &Order) {
    let decoded: Vec<(i64, u32, Decoded)> = records
        .par_iter()
        .with_min_len(1024)
        .map(|&(start, end)| {
            let (seconds, part) = (order.u32(bytes, start), order.u32(bytes, start + 4));
            let original = order.u32(bytes, start + 12);
            let time = i64::from(seconds) * 1_000_000_000 + i64::from(part) * order.unit;
            (time, original, packet::decode(link, &bytes[start + order.head..end], original))
        })
        .collect();
    for (time, original, decoded) in decoded {
        tap.push(0, time, original, &decoded);
    }
}

/// Blocks are handed to the decoder in runs, each behind the section header and interface descriptions so far.
fn read_pcapng(file: &mut Pieces, tap: &mut Tap) -> std::io::Result<Option<&'static str>> {
    let mut order = Order { big: false, unit: 1, head: 12 };
    let mut preamble = Vec::new();
    let mut problem = None;
    loop {
        file.fill(PIECE)?;
        let left = file.left();
        let mut run = preamble.clone();
        let mut at = 0;
        let mut longer = 12;
        while left.len() - at >= 12 {
            let head = &left[at..];
            let section = head[..4] == [0x0a, 0x0d, 0x0d, 0x0a];
            if section {
                order.big = head[8..12] == [0x1a, 0x2b, 0x3c, 0x4d];
            }
            let total = order.u32(head, 4) as usize;
            if !(12..=LONGEST).contains(&total) || !total.is_multiple_of(4) {
                run_blocks(tap, &run, &mut problem);
                return Ok(Some("an impossible block length; what follows was not read"));
            }
            let Some(block) = head.get(..total) else {
                longer = total;
                break;
            };
            run.extend_from_slice(block);
            if section {
                preamble.clear();
            }
            if section || order.u32(head, 0) == 1 {
                preamble.extend_from_slice(block);
            }
            at += total;
        }
        run_blocks(tap, &run, &mut problem);
        let over = left.len() - at;
        file.at += at;
        if over == 0 && file.ended {
            return Ok(problem);
        }
        if file.fill(longer)? < longer {
            return Ok(Some("cut inside a block"));
        }
    }
}

fn run_blocks(tap: &mut Tap, run: &[u8], problem: &mut Option<&'static str>) {
    let section = pcapng::decode(run);
    *problem = problem.or(section.problem);
    for p in &section.packets {
        tap.push(0, p.time.unwrap_or(0), p.original, &p.decoded);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn pcap(packets: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for word in [0xa1b2_c3d4u32, 4 << 16 | 2, 0, 0, 65_535, 1] {
            out.extend(word.to_le_bytes());
        }
        for i in 0..packets as u32 {
            for word in [i, 5, 20, 1_000] {
                out.extend(word.to_le_bytes());
            }
            out.extend([7; 20]);
        }
        out
    }

    fn tapped(bytes: &[u8]) -> Result<(u64, u64, usize), CaptureError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let mut tap = Tap::default();
        let problems = read(file.path(), &mut tap)?;
        Ok((tap.packets, tap.bytes, problems.len()))
    }

    #[test]
    fn a_capture_cut_anywhere_gives_the_packets_before_the_cut_and_says_so() {
        let whole = pcap(5);
        assert_eq!(tapped(&whole).unwrap(), (5, 5_000, 0));
        for cut in 24..whole.len() {
            let (packets, _, problems) = tapped(&whole[..cut]).unwrap();
            assert_eq!(packets as usize, (cut - 24) / 36, "at {cut}");
            assert_eq!(problems, usize::from((cut - 24) % 36 != 0), "at {cut}");
        }
        assert!(matches!(tapped(b"coldcase"), Err(CaptureError::Format(_))));
        assert!(matches!(tapped(b""), Err(CaptureError::Format(_))));
    }

    #[test]
    fn a_capture_larger_than_a_piece_is_read_whole() {
        let many = PIECE / 36 + 1_000;
        assert_eq!(tapped(&pcap(many)).unwrap(), (many as u64, many as u64 * 1_000, 0));
    }

    #[test]
    fn an_absurd_length_ends_the_reading_and_keeps_what_came_before() {
        let mut bytes = pcap(3);
        let at = 24 + 36 + 8;
        bytes[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(tapped(&bytes).unwrap(), (1, 1_000, 1));
    }
}
