//! Sends recorded packets onto an interface, at the pace at which they were captured.
//!
//! Frames go out as they were captured, byte for byte: a TCP checksum that the recorded host left to its card is not
//! made good. Where addresses are rewritten, or a cut frame is padded, the checksums of that frame are made anew.

#[cfg(target_os = "linux")]
mod interface;
mod rewrite;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use coldcase_export::pcapng::{self, Frame, PcapngError, Wanted};
use coldcase_model::analysis::Analysis;
use serde::Serialize;

use crate::quantiles::Quantiles;
use crate::requests::send::{Count, Pace};
use crate::requests::server::most_first;

#[cfg(target_os = "linux")]
pub use interface::{Interface, InterfaceError, Kind, Socket};
pub use rewrite::{Mac, Rewrite, mac, pair};

/// Ethernet, the link type of frames that can be sent (LINKTYPE_ETHERNET).
const ETHERNET: u16 = 1;

/// Longest frame that a cut one is padded to: beyond this its length is no Ethernet frame's.
const LONGEST: u32 = 65_535 + 18;

/// Where frames go.
pub trait Sink {
    /// Sends a frame.
    ///
    /// # Errors
    /// As the system says. `EMSGSIZE` is of the one frame; others end the sending.
    fn send(&mut self, frame: &[u8]) -> std::io::Result<()>;
}

/// What is sent, and how.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Which packets.
    pub wanted: Wanted,
    /// Only those that were captured on this interface.
    pub of: Option<String>,
    /// Addresses.
    pub rewrite: Rewrite,
    /// Frames that were cut are padded with zeros to their length on the wire.
    pub pad: bool,
    /// How fast.
    pub pace: Pace,
}

/// Why sending ended.
#[derive(Debug, thiserror::Error)]
pub enum PacketsError {
    /// The packets cannot be read.
    #[error(transparent)]
    Read(#[from] PcapngError),
    /// The system refused a frame.
    #[error("frame {frame} could not be sent: {why}")]
    Send {
        /// Its number.
        frame: u64,
        /// What the system said.
        why: std::io::Error,
    },
}

/// What was sent.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct Report {
    /// Packets that were asked for.
    pub packets: u64,
    /// Packets that were sent.
    pub sent: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those that were not, by why.
    pub skipped: Vec<Count>,
    /// Of those sent: with addresses that were rewritten.
    pub rewritten: u64,
    /// Of those sent: padded.
    pub padded: u64,
    /// `--speed`; none for max.
    pub speed: Option<f64>,
    /// How long it took, nanoseconds.
    pub took: u64,
    /// How much later than planned they were sent, nanoseconds.
    pub late: Option<Quantiles>,
    /// What could not be read, in one line each.
    pub problems: Vec<String>,
}

/// The interfaces that packets were captured on, with how many there are of each, most first.
///
/// # Errors
/// When the packets cannot be read.
pub fn interfaces(file: &Path, analysis: &Analysis, wanted: &Wanted) -> Result<Vec<(String, u64)>, PcapngError> {
    let mut counts = BTreeMap::<String, u64>::new();
    pcapng::each::<PcapngError>(file, analysis, wanted, &mut |frame| {
        match counts.get_mut(frame.interface) {
            Some(count) => *count += 1,
            None => {
                counts.insert(frame.interface.to_owned(), 1);
            }
        }
        Ok(())
    })?;
    Ok(most_first(counts.into_iter().collect()))
}

/// Sends packets in the order in which they were captured. They are streamed: what is held is a few chunks, and eight
/// bytes for each packet.
///
/// # Errors
/// When the packets cannot be read, or the system refuses a frame for another reason than its length.
pub fn send(file: &Path, analysis: &Analysis, ask: &Ask, sink: &mut dyn Sink) -> Result<Report, PacketsError> {
    crate::urgency::raise();
    let mut sending =
        Sending { ask, sink, report: Report::default(), late: Vec::new(), start: None, skipped: BTreeMap::new() };
    let problems = pcapng::each(file, analysis, &ask.wanted, &mut |frame| sending.frame(&frame))?;
    Ok(sending.finish(problems))
}

/// Why a frame is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Skip {
    Cut,
    Link,
    TooLong,
    Unreadable,
    Fragment,
}

impl Skip {
    fn words(self) -> &'static str {
        match self {
            Skip::Cut => "cut by the capture (--pad sends them with zeros)",
            Skip::Link => "not of an Ethernet link",
            Skip::TooLong => "longer than the interface's MTU allows",
            Skip::Unreadable => "headers that cannot be read, so that addresses could not be rewritten",
            Skip::Fragment => "fragments, whose checksum cannot be made anew for other addresses",
        }
    }
}

struct Sending<'a> {
    ask: &'a Ask,
    sink: &'a mut dyn Sink,
    report: Report,
    late: Vec<u64>,
    /// When the first packet was sent, and its time.
    start: Option<(Instant, i64)>,
    skipped: BTreeMap<Skip, u64>,
}

impl Sending<'_> {
    fn frame(&mut self, f: &Frame<'_>) -> Result<(), PacketsError> {
        if self.ask.of.as_ref().is_some_and(|of| of != f.interface) {
            return Ok(());
        }
        self.report.packets += 1;
        let made = self.made(f);
        let (bytes, rewritten, padded) = match made {
            Ok(made) => made,
            Err(why) => {
                *self.skipped.entry(why).or_default() += 1;
                return Ok(());
            }
        };
        let (start, first) = *self.start.get_or_insert_with(|| (Instant::now(), f.time));
        // A packet that was stamped before the one in front of it follows that at once.
        let after = u64::try_from(f.time.saturating_sub(first)).unwrap_or(0);
        let moment = start + self.ask.pace.after(after);
        std::thread::sleep(moment.saturating_duration_since(Instant::now()));
        let late = Instant::now().saturating_duration_since(moment);
        match self.sink.send(&bytes) {
            Ok(()) => {}
            Err(e) if e.raw_os_error() == Some(EMSGSIZE) => {
                *self.skipped.entry(Skip::TooLong).or_default() += 1;
                return Ok(());
            }
            Err(why) => return Err(PacketsError::Send { frame: f.number, why }),
        }
        self.late.push(nanos(late));
        self.report.sent += 1;
        self.report.bytes += bytes.len() as u64;
        self.report.rewritten += u64::from(rewritten);
        self.report.padded += u64::from(padded);
        Ok(())
    }

    /// The bytes to send, whether addresses in them were rewritten, and whether they were padded.
    fn made<'f>(&self, f: &Frame<'f>) -> Result<(std::borrow::Cow<'f, [u8]>, bool, bool), Skip> {
        if f.link != ETHERNET {
            return Err(Skip::Link);
        }
        let cut = (f.bytes.len() as u64) < u64::from(f.original);
        if cut && (!self.ask.pad || f.original > LONGEST) {
            return Err(Skip::Cut);
        }
        if !cut && self.ask.rewrite.is_empty() {
            return Ok((f.bytes.into(), false, false));
        }
        let mut bytes = f.bytes.to_vec();
        bytes.resize(bytes.len().max(f.original as usize), 0);
        let rewritten = self.ask.rewrite.apply(&mut bytes)?;
        if cut && !rewritten {
            // What is not readable has no checksum that could be made.
            let _ = rewrite::checksums(&mut bytes);
        }
        Ok((bytes.into(), rewritten, cut))
    }

    fn finish(mut self, problems: Vec<String>) -> Report {
        self.report.problems = problems;
        self.report.took = self.start.map_or(0, |(start, _)| nanos(start.elapsed()));
        self.report.speed = match self.ask.pace {
            Pace::Speed(speed) => Some(speed),
            Pace::Max => None,
        };
        self.report.late = match self.ask.pace {
            Pace::Speed(_) => Quantiles::of(self.late),
            Pace::Max => None,
        };
        let skipped = self.skipped.iter();
        self.report.skipped = skipped.map(|(why, &count)| Count { what: why.words().to_owned(), count }).collect();
        self.report
    }
}

/// "Message too long".
const EMSGSIZE: i32 = 90;

fn nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}
