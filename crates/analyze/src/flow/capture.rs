//! Capture files of other tools, pcap and pcapng, compressed or not, read piece by piece into a [`Sink`].

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use coldcase_decode::capture::{Next, Reader, Record, Unpack, Window};
use rayon::prelude::*;

use super::packets::Interfaces;
use super::{Packet, Sink};

/// How many bytes are read and decoded at a time.
const PIECE: usize = 1 << 20;

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
    File::open(path).and_then(Unpack::new).and_then(|mut f| f.read_exact(&mut head)).is_ok()
        && Reader::of(&head).is_some()
}

/// Reads a capture file. What was cut or damaged is said in the lines returned; what came before it counts.
pub fn read(path: &Path, tap: &mut impl Sink) -> Result<Vec<String>, CaptureError> {
    read_in_pieces(path, tap, PIECE)
}

/// The same, `piece` bytes at a time. The size changes nothing but time and memory.
pub fn read_in_pieces(path: &Path, tap: &mut impl Sink, piece: usize) -> Result<Vec<String>, CaptureError> {
    let io = |source| CaptureError::Io { path: path.to_owned(), source };
    let mut file = Window::new(File::open(path).and_then(Unpack::new).map_err(io)?, piece);
    file.fill(Reader::ENOUGH).map_err(io)?;
    let mut reader = Reader::of(file.left()).ok_or_else(|| CaptureError::Format(path.to_owned()))?;
    let problem = records(&mut file, &mut reader, tap).map_err(io)?;
    let problem = file.source().problem().or(problem);
    tap.end();
    Ok(problem.into_iter().map(|p| format!("{}: {p}", path.display())).collect())
}

/// Records until the file ends or breaks. Those of a window are decoded on all cores, and taken in in order.
fn records(
    file: &mut Window<Unpack<File>>,
    reader: &mut Reader,
    tap: &mut impl Sink,
) -> std::io::Result<Option<&'static str>> {
    let mut frames = 0;
    let mut interfaces = Interfaces::default();
    loop {
        let mut found: Vec<(u64, u64, Record<'_>)> = Vec::new();
        let mut at = 0;
        let left = file.left();
        let stop = loop {
            match reader.next(&left[at..]) {
                Next::Packet(record, length) => {
                    frames += 1;
                    found.push((frames, interfaces.id(reader, record.interface), record));
                    at += length;
                }
                Next::Frame(length) => {
                    frames += 1;
                    at += length;
                }
                Next::Skip(length) => at += length,
                Next::Need(n) => break Ok(n),
                Next::Bad(problem) => break Err(problem),
            }
        };
        let times = || found.iter().filter_map(|(_, _, record)| record.time);
        if let (Some(first), Some(last)) = (times().min(), times().max()) {
            tap.spans(first, last);
        }
        // A file that was read piece by piece has no rows.
        let packets = found.par_iter().with_min_len(1024);
        let packets = packets.map(|(frame, interface, record)| Packet::of(record, *interface, 0, *frame, 0));
        tap.take(packets.collect());
        file.pass(at);
        match stop {
            Err(problem) => return Ok(Some(problem)),
            Ok(need) => {
                if file.fill(need)? < need {
                    return Ok((!file.left().is_empty()).then_some("cut inside a packet"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::Tap;
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
