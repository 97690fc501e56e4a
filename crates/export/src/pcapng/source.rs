//! Where packets come from: the messages of a bundle, or a capture file, in the order in which `flow` numbers them.

use std::fs::File;
use std::path::{Path, PathBuf};

use coldcase_analyze::flow::capture::is_capture;
use coldcase_analyze::flow::stored::{self, PACKETS};
use coldcase_bundle::{Batch, BatchBody, Bundle};
use coldcase_decode::capture::{Interface, Next, Reader, Record, Window};

use super::PcapngError;

/// How many bytes of a capture file are in memory at a time.
const PIECE: usize = 8 << 20;

/// A bundle or a capture file. It can be read several times.
pub(super) enum Source {
    Bundle(Box<Bundle>),
    Capture(PathBuf),
}

/// A packet and its number, from 1 as Wireshark numbers frames.
pub(super) struct Numbered<'a> {
    pub(super) frame: u64,
    pub(super) record: Record<'a>,
}

/// Packets that follow each other: of one message, or of a piece of a file.
pub(super) struct Group<'a> {
    /// The message; none in a file.
    pub(super) row: Option<u64>,
    /// When it was received, UTC nanoseconds: stands in for packets without a time.
    pub(super) received: i64,
    pub(super) packets: Vec<Numbered<'a>>,
    /// What [`Record::interface`] counts.
    pub(super) interfaces: &'a [Interface],
}

/// What is done with each group; an error ends the reading.
pub(super) type Each<'a, E> = dyn FnMut(&Group<'_>) -> Result<(), E> + 'a;

impl Source {
    pub(super) fn open(path: &Path) -> Result<Source, PcapngError> {
        if is_capture(path) {
            return Ok(Source::Capture(path.to_owned()));
        }
        Ok(Source::Bundle(Box::new(Bundle::open(path)?)))
    }

    /// Reads all packets. Gives what could not be read, in one line each.
    pub(super) fn read<E: From<PcapngError>>(&self, each: &mut Each<'_, E>) -> Result<Vec<String>, E> {
        match self {
            Source::Bundle(bundle) => of_bundle(bundle, each),
            Source::Capture(path) => of_capture(path, each),
        }
    }
}

fn of_bundle<E>(bundle: &Bundle, each: &mut Each<'_, E>) -> Result<Vec<String>, E> {
    let (mut frames, mut problems) = (0, Vec::new());
    stored::chunks::<E>(bundle, |chunks| {
        for chunk in chunks {
            match chunk {
                Ok(batches) => {
                    for batch in batches {
                        problems.extend(message(batch, &mut frames, each)?);
                    }
                }
                Err(e) => problems.push(e.to_string()),
            }
        }
        Ok(())
    })?;
    Ok(problems)
}

/// The packets of one message. Gives why not all could be read.
fn message<E>(batch: &Batch, frames: &mut u64, each: &mut Each<'_, E>) -> Result<Option<String>, E> {
    let BatchBody::Raw(bytes) = &batch.body else { return Ok(None) };
    let why = |problem| Some(format!("{PACKETS}#{}: {problem}", batch.first_row));
    let Some(mut reader) = Reader::of(bytes) else { return Ok(why("neither pcap nor pcapng")) };
    let mut found = Found { frames: *frames, counted: Counted::Packets, packets: Vec::new() };
    let (passed, stop) = found.scan(&mut reader, bytes);
    *frames = found.frames;
    let (row, received) = (Some(batch.first_row), batch.log_time.0);
    each(&Group { row, received, packets: found.packets, interfaces: reader.interfaces() })?;
    Ok(match stop {
        Err(problem) => why(problem),
        Ok(_) if passed < bytes.len() => why("cut inside a block"),
        Ok(_) => None,
    })
}

fn of_capture<E: From<PcapngError>>(path: &Path, each: &mut Each<'_, E>) -> Result<Vec<String>, E> {
    let io = |e: std::io::Error| PcapngError::Io { path: path.to_owned(), why: e.to_string() };
    let why = |problem| vec![format!("{}: {problem}", path.display())];
    let mut file = Window::new(File::open(path).map_err(io)?, PIECE);
    file.fill(Reader::ENOUGH).map_err(io)?;
    let Some(mut reader) = Reader::of(file.left()) else { return Ok(why("neither pcap nor pcapng")) };
    let mut frames = 0;
    loop {
        let mut found = Found { frames, counted: Counted::Records, packets: Vec::new() };
        let (passed, stop) = found.scan(&mut reader, file.left());
        frames = found.frames;
        each(&Group { row: None, received: 0, packets: found.packets, interfaces: reader.interfaces() })?;
        file.pass(passed);
        match stop {
            Err(problem) => return Ok(why(problem)),
            Ok(need) => {
                if file.fill(need).map_err(io)? < need {
                    return Ok(if file.left().is_empty() { Vec::new() } else { why("cut inside a packet") });
                }
            }
        }
    }
}

/// What has a frame number. Of a bundle only packets are written, so only they count; in a file that somebody opens in
/// Wireshark, journal entries and the like count as well.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counted {
    Packets,
    Records,
}

/// The packets of a stretch of bytes.
struct Found<'a> {
    /// Number of the newest frame.
    frames: u64,
    counted: Counted,
    packets: Vec<Numbered<'a>>,
}

impl<'a> Found<'a> {
    /// Reads as far as the bytes go. Gives how many were passed, and how many are needed to go on, or what is broken.
    fn scan(&mut self, reader: &mut Reader, bytes: &'a [u8]) -> (usize, Result<usize, &'static str>) {
        let mut at = 0;
        loop {
            match reader.next(bytes.get(at..).unwrap_or(&[])) {
                Next::Packet(record, length) => {
                    self.frames += 1;
                    self.packets.push(Numbered { frame: self.frames, record });
                    at += length;
                }
                Next::Frame(length) => {
                    self.frames += u64::from(self.counted == Counted::Records);
                    at += length;
                }
                Next::Skip(length) => at += length,
                Next::Need(n) => return (at, Ok(n)),
                Next::Bad(problem) => return (at, Err(problem)),
            }
        }
    }
}
