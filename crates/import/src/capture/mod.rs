//! Packet captures: pcap and pcapng to the stream `packets`, a pcapng section a message.
//!
//! The blocks of a pcapng file are copied as they are, each run behind the section header and the interface
//! descriptions that it needs. Packets of a pcap file become the blocks that a pcapng file would have for them.

mod blocks;

use std::fs::File;

use coldcase_bundle::{RawMessage, Writer};
use coldcase_decode::capture::{Next, Reader, Record, Unpack, Window};
use coldcase_model::Utc;
use coldcase_model::events::Receipt;

use crate::clock::boot;
use crate::format::{Format, Times};
use crate::input::Input;
use crate::{ImportError, Imported};

/// The stream.
const STREAM: &str = "packets";
/// How many bytes are read at a time.
const PIECE: usize = 4 << 20;
/// A section is ended at so many packets, or bytes.
const SECTION_PACKETS: u64 = 4096;
const SECTION_BYTES: usize = 512 << 10;
/// Longest run of descriptions that is repeated in each section.
const PREAMBLE: usize = 4 << 20;

pub(crate) fn is_pcapng(head: &[u8]) -> bool {
    matches!(Reader::of(head), Some(Reader::Ng(_)))
}

pub(crate) fn is_pcap(head: &[u8]) -> bool {
    matches!(Reader::of(head), Some(Reader::Pcap(_)))
}

/// Writes a capture to its stream.
pub(crate) fn import(
    format: Format,
    input: &Input,
    writer: &Writer,
    times: &mut Times<'_>,
) -> Result<Imported, ImportError> {
    let io = |source| ImportError::Io { path: input.name.clone(), source };
    let size = std::fs::metadata(input).map_err(io)?.len();
    let mut file = Window::new(File::open(input).and_then(Unpack::new).map_err(io)?, PIECE);
    file.fill(Reader::ENOUGH).map_err(io)?;
    let other = || ImportError::Other { path: input.name.clone(), wanted: format.name() };
    let mut reader = Reader::of(file.left()).ok_or_else(other)?;
    let origin = input.origin();
    let mut section = Section { origin, ..Section::default() };
    let mut done = Imported::new(&input.name, format, STREAM);
    loop {
        let left = file.left();
        let (length, packet) = match reader.next(left) {
            Next::Packet(record, length) => (length, Some(record)),
            Next::Frame(length) | Next::Skip(length) => (length, None),
            Next::Need(n) => {
                if file.fill(n).map_err(io)? >= n {
                    continue;
                }
                if !file.left().is_empty() {
                    done.problem = Some("cut inside a packet".to_owned());
                }
                break;
            }
            Next::Bad(problem) => {
                done.problem = Some(problem.to_owned());
                break;
            }
        };
        let bytes = left.get(..length).unwrap_or(left);
        if format == Format::Pcapng && blocks::role(bytes, &section.preamble) == blocks::Role::Header {
            done.messages += section.write(writer, times)?;
        }
        let taken = match format {
            Format::Pcapng => section.block(bytes, packet.as_ref()),
            _ => section.record(packet.as_ref()),
        };
        if let Err(problem) = taken {
            done.problem = Some(problem.to_owned());
            break;
        }
        done.items += u64::from(packet.is_some());
        done.bytes += length as u64;
        file.pass(length);
        if section.packets >= SECTION_PACKETS || section.is_long() {
            done.messages += section.write(writer, times)?;
        }
    }
    done.messages += section.write(writer, times)?;
    done.dropped = reader.dropped();
    // How many a packed file would have had is not known.
    let packed = file.source().is_packed();
    done.bytes_lost = if packed { file.left().len() as u64 } else { size.saturating_sub(done.bytes) };
    done.problem = file.source().problem().map(str::to_owned).or(done.problem);
    Ok(done)
}

/// A section that is being collected.
#[derive(Default)]
struct Section {
    origin: String,
    /// What each section of the file so far begins with: header and interface descriptions.
    preamble: Vec<u8>,
    /// The blocks behind it.
    blocks: Vec<u8>,
    packets: u64,
    first: Option<Utc>,
    last: Option<Utc>,
    /// The newest time, for packets that have none.
    newest: Utc,
    /// The link type and snap length of a pcap file was described.
    described: bool,
}

impl Section {
    fn is_long(&self) -> bool {
        // Where much is repeated, it is repeated seldom.
        self.blocks.len() >= SECTION_BYTES.max(4 * self.preamble.len())
    }

    /// Takes a block of a pcapng file.
    fn block(&mut self, block: &[u8], packet: Option<&Record<'_>>) -> Result<(), &'static str> {
        match blocks::role(block, &self.preamble) {
            // Numbers of interfaces begin anew.
            blocks::Role::Header => self.preamble = blocks::without_length(block),
            blocks::Role::Interface => self.preamble.extend_from_slice(block),
            blocks::Role::Other => self.blocks.extend_from_slice(block),
        }
        if self.preamble.len() > PREAMBLE {
            return Err("too many interfaces; what follows was not read");
        }
        if let Some(record) = packet {
            self.time(record.time);
        }
        Ok(())
    }

    /// Takes a packet of a pcap file.
    fn record(&mut self, packet: Option<&Record<'_>>) -> Result<(), &'static str> {
        let Some(record) = packet else { return Ok(()) };
        if !self.described {
            self.described = true;
            self.preamble = blocks::preamble(record.link);
        }
        let time = record.time.unwrap_or(self.newest.0);
        blocks::packet(&mut self.blocks, time, record.original, record.bytes);
        self.time(Some(time));
        Ok(())
    }

    fn time(&mut self, time: Option<i64>) {
        let time = time.map_or(self.newest, Utc);
        self.newest = time;
        self.packets += 1;
        self.first = Some(self.first.map_or(time, |first| first.min(time)));
        self.last = Some(self.last.map_or(time, |last| last.max(time)));
    }

    /// Writes what was collected as a message. Gives how many were written.
    fn write(&mut self, writer: &Writer, times: &mut Times<'_>) -> Result<u64, ImportError> {
        if self.blocks.is_empty() {
            return Ok(0);
        }
        let first = self.first.take().unwrap_or(self.newest);
        let last = self.last.take().unwrap_or(self.newest);
        if self.packets > 0 {
            times(first, last);
        }
        let mut bytes = self.preamble.clone();
        bytes.append(&mut self.blocks);
        let receipt = Receipt {
            time: boot(last).0,
            read: last.0,
            bytes: bytes.len() as u64,
            items: std::mem::take(&mut self.packets),
            origin: self.origin.clone(),
            transport: "file".to_owned(),
            content_type: "application/x-pcapng".to_owned(),
            compression: String::new(),
        };
        let message = RawMessage { bytes, log_time: last, publish_time: first, first: boot(first), last: boot(last) };
        writer.append_raw(STREAM, message, receipt)?;
        Ok(1)
    }
}
