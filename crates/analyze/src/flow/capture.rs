//! Capture files of other tools, pcap and pcapng, compressed or not, read piece by piece into a [`Sink`].

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use coldcase_decode::capture::{Next, Reader, Unpack};
use rayon::prelude::*;

use super::packets::Interfaces;
use super::{Frame, Packet, Sink};

/// How many bytes are read and decoded at a time for each thread: their packets fit into a core's cache.
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
pub fn read(path: &Path, tap: &mut (impl Sink + Send)) -> Result<Vec<String>, CaptureError> {
    read_in_pieces(path, tap, PIECE * rayon::current_num_threads().clamp(1, 16))
}

/// The same, `piece` bytes at a time. The size changes nothing but time and memory.
pub fn read_in_pieces(path: &Path, tap: &mut (impl Sink + Send), piece: usize) -> Result<Vec<String>, CaptureError> {
    let io = |source| CaptureError::Io { path: path.to_owned(), source };
    let file = File::open(path).and_then(Unpack::new).map_err(io)?;
    let mut source = Source { file, piece, frames: 0, interfaces: Interfaces::default(), ended: false };
    let mut head = Vec::new();
    source.read(Reader::ENOUGH, &mut head).map_err(io)?;
    let mut reader = Reader::of(&head).ok_or_else(|| CaptureError::Format(path.to_owned()))?;
    let mut now = source.scan(head, &mut reader);
    let mut spare = Vec::new();
    // While packets are taken in, those after them are read.
    let problem = loop {
        let bytes = std::mem::take(&mut spare);
        let (_, next) = rayon::join(|| now.hand_over(tap), || source.next(&now, &mut reader, bytes));
        match next.map_err(io)? {
            Ok(next) => spare = std::mem::replace(&mut now, next).bytes,
            Err(problem) => break problem,
        }
    };
    let problem = source.file.problem().or(problem);
    tap.end();
    Ok(problem.into_iter().map(|p| format!("{}: {p}", path.display())).collect())
}

/// A file that is being read.
struct Source {
    file: Unpack<File>,
    piece: usize,
    frames: u64,
    interfaces: Interfaces,
    ended: bool,
}

/// A part of a file, and the records in it.
struct Piece {
    bytes: Vec<u8>,
    found: Vec<Found>,
    /// Behind the last record.
    end: usize,
    /// How many bytes the next record needs, or why there can be none.
    stop: Result<usize, &'static str>,
}

/// A record, and where its bytes stand.
struct Found {
    frame: u64,
    interface: u64,
    time: Option<i64>,
    link: u16,
    original: u32,
    bytes: Range<usize>,
}

impl Source {
    /// Reads on until there are `want` bytes at least, or no more.
    fn read(&mut self, want: usize, bytes: &mut Vec<u8>) -> std::io::Result<()> {
        if bytes.len() < want && !self.ended {
            let missing = want.max(self.piece).saturating_sub(bytes.len()) as u64;
            let got = (&mut self.file).take(missing).read_to_end(bytes)? as u64;
            self.ended = got < missing;
        }
        Ok(())
    }

    /// The records of what was read.
    fn scan(&mut self, bytes: Vec<u8>, reader: &mut Reader) -> Piece {
        let (mut found, mut end) = (Vec::new(), 0);
        let stop = loop {
            match reader.next(&bytes[end..]) {
                Next::Packet(record, length) => {
                    self.frames += 1;
                    // Only what stands somewhere has a place.
                    let place = record.bytes.as_ptr() as usize;
                    let start = place.saturating_sub(bytes.as_ptr() as usize);
                    found.push(Found {
                        frame: self.frames,
                        interface: self.interfaces.id(reader, record.interface),
                        bytes: start..start.saturating_add(record.bytes.len()),
                        time: record.time,
                        link: record.link,
                        original: record.original,
                    });
                    end += length;
                }
                Next::Frame(length) => {
                    self.frames += 1;
                    end += length;
                }
                Next::Skip(length) => end += length,
                Next::Need(n) => break Ok(n),
                Next::Bad(problem) => break Err(problem),
            }
        };
        Piece { bytes, found, end, stop }
    }

    /// What follows a piece; or why nothing does, where the file does not end well. `bytes` is room that can be used.
    fn next(
        &mut self,
        piece: &Piece,
        reader: &mut Reader,
        mut bytes: Vec<u8>,
    ) -> std::io::Result<Result<Piece, Option<&'static str>>> {
        let need = match piece.stop {
            Ok(need) => need,
            Err(problem) => return Ok(Err(Some(problem))),
        };
        bytes.clear();
        bytes.extend_from_slice(&piece.bytes[piece.end..]);
        self.read(need, &mut bytes)?;
        if bytes.len() < need {
            return Ok(Err((!bytes.is_empty()).then_some("cut inside a packet")));
        }
        Ok(Ok(self.scan(bytes, reader)))
    }
}

impl Piece {
    /// Decodes the packets on all cores, and hands them over in order.
    fn hand_over(&self, tap: &mut (impl Sink + Send)) {
        let times = || self.found.iter().filter_map(|f| f.time);
        if let (Some(first), Some(last)) = (times().min(), times().max()) {
            tap.spans(first, last);
        }
        let packet = |f: &Found| {
            let bytes = self.bytes.get(f.bytes.clone()).unwrap_or(&[]);
            let frame = Frame { time: f.time, link: f.link, original: f.original, bytes };
            // A file that was read piece by piece has no rows.
            Packet::of(&frame, f.interface, 0, f.frame, 0)
        };
        tap.take(self.found.par_iter().with_min_len(1024).map(packet).collect());
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
