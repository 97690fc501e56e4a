//! pcapng: the packets of a bundle or a capture file, all or some, with what the analysis knows of them as comments.
//!
//! Packets are streamed: after the analysis, which knows connections and requests, they are read once to be written,
//! and once more before that where only some are wanted. What is held is an eighth of a byte for each packet, and a
//! few words for each connection and request.

mod comment;
mod each;
mod file;
mod frames;
mod selection;
mod source;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use coldcase_bundle::OpenError;
use coldcase_model::analysis::Analysis;
use coldcase_timeline::When;

pub use each::{Frame, each};

use file::{Output, Packet, Refused};
use selection::{Note, Plan};
use source::{Group, Numbered, Source};

/// Comments of a packet at most; how many more there are is told.
const COMMENTS: usize = 32;

/// Why an export failed.
#[derive(Debug, thiserror::Error)]
pub enum PcapngError {
    /// The bundle could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The file exists already.
    #[error("{} exists already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file could not be read or written.
    #[error("{}: {why}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// A connection or request was asked for that is not there.
    #[error("there is no {what} {number}: there are {have}, counted from 0")]
    Unknown {
        /// `connection` or `request`.
        what: &'static str,
        /// Which one was asked for.
        number: usize,
        /// How many there are.
        have: usize,
    },
    /// No request carries the id of a trace.
    #[error("no request in the packets carries the id of trace {trace}")]
    NoTrace {
        /// The trace.
        trace: String,
    },
    /// No request is all that was asked for.
    #[error("no request in the packets is all that was asked for")]
    NoRequest,
    /// The window ends before it begins.
    #[error("the window is empty")]
    Window,
    /// The packets are of more interfaces than a file may have.
    #[error("the packets are of more than 65,536 interfaces")]
    TooManyInterfaces,
}

/// Which packets are wanted. Empty lists leave nothing out; of several, all must hold.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// From this time on.
    pub from: Option<When>,
    /// Up to this time.
    pub to: Option<When>,
    /// Packets of these connections: indices into those of the analysis.
    pub connections: Vec<usize>,
    /// Packets of these requests: what their connections carried from their first to their last frame.
    pub requests: Vec<usize>,
    /// Packets of the requests that carry these trace ids (hex), likewise.
    pub traces: Vec<String>,
    /// Whether the analysis was narrowed to some processes: only the connections that it has are then written.
    pub narrow: bool,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Written {
    /// Packets.
    pub packets: u64,
    /// Packets that were read and left out.
    pub left_out: u64,
    /// Of `packets`, those without a time of their own.
    pub without_time: u64,
    /// Comments, on all packets.
    pub comments: u64,
    /// Connections with packets in the file.
    pub connections: u64,
    /// Requests among them.
    pub requests: u64,
    /// Names of the interfaces, in the order of their numbers; empty for one without a name.
    pub interfaces: Vec<String>,
    /// Bytes of the file.
    pub bytes: u64,
    /// What could not be read, in one line each.
    pub problems: Vec<String>,
}

/// Writes packets of a bundle or capture file to `to`. `analysis` is of the same file, with the same window and scope.
/// An existing file is refused without `force`. The file appears under its name when it is whole.
///
/// # Errors
/// When something is asked for that is not there, or a file cannot be read or written. What cannot be read of an opened
/// bundle is told in [`Written::problems`].
pub fn write(
    from: &Path,
    analysis: &Analysis,
    wanted: &Wanted,
    to: &Path,
    force: bool,
) -> Result<Written, PcapngError> {
    if to.exists() && !force {
        return Err(PcapngError::Exists { path: to.to_owned() });
    }
    let io = |e: std::io::Error| PcapngError::Io { path: to.to_owned(), why: e.to_string() };
    let source = Source::open(from)?;
    let plan = Plan::of(&source, analysis, wanted)?;
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let unfinished = to.with_file_name(format!(".{name}.part"));
    let out = BufWriter::new(File::create(&unfinished).map_err(io)?);
    let written = Writing::new(analysis, &plan, out, to)
        .and_then(|w| w.all(&source))
        .and_then(|written| std::fs::rename(&unfinished, to).map(|()| written).map_err(io));
    if written.is_err() {
        // What is half written is of no use; a file that cannot be removed either adds nothing to the first error.
        let _ = std::fs::remove_file(&unfinished);
    }
    let mut written = written?;
    written.bytes = std::fs::metadata(to).map_err(io)?.len();
    Ok(written)
}

/// A file while it is written.
struct Writing<'a, W: Write> {
    analysis: &'a Analysis,
    plan: &'a Plan,
    /// Findings by the message that they cite.
    findings: BTreeMap<u64, Vec<usize>>,
    /// Of the plan's notes: the next one.
    next: usize,
    output: Output<W>,
    path: &'a Path,
    written: Written,
}

impl<'a, W: Write> Writing<'a, W> {
    fn new(analysis: &'a Analysis, plan: &'a Plan, out: W, path: &'a Path) -> Result<Self, PcapngError> {
        let output =
            Output::begin(out, &about(analysis), &system(analysis)).map_err(|refused| refusal(refused, path))?;
        let mut findings = BTreeMap::<u64, Vec<usize>>::new();
        for (n, finding) in analysis.findings.iter().enumerate() {
            let cited = finding.evidence.iter().filter(|e| e.stream == "packets" && e.bundle == analysis.bundle.id);
            for e in cited.filter(|e| plan.cited.as_ref().is_none_or(|rows| rows.contains(&e.row))) {
                findings.entry(e.row).or_default().push(n);
            }
        }
        let (connections, requests) = (plan.connections as u64, plan.requests as u64);
        let written = Written { connections, requests, ..Written::default() };
        Ok(Writing { analysis, plan, findings, next: 0, output, path, written })
    }

    /// Writes the packets.
    fn all(mut self, source: &Source) -> Result<Written, PcapngError> {
        let path = self.path;
        self.written.problems =
            source.read::<PcapngError>(&mut |group| self.group(group).map_err(|refused| refusal(refused, path)))?;
        let (interfaces, mut out) = self.output.end();
        out.flush().map_err(|e| PcapngError::Io { path: path.to_owned(), why: e.to_string() })?;
        Ok(Written { interfaces, ..self.written })
    }

    fn group(&mut self, group: &Group<'_>) -> Result<(), Refused> {
        let mut numbers = vec![None; group.interfaces.len()];
        let mut findings = group.row.and_then(|row| Some((row, self.findings.remove(&row)?)));
        for p in &group.packets {
            let notes = self.notes(p.frame);
            if !self.plan.takes(p, group) {
                self.written.left_out += 1;
                continue;
            }
            let at = p.record.interface as usize;
            let (Some(about), Some(number)) = (group.interfaces.get(at), numbers.get_mut(at)) else { continue };
            let number = match *number {
                Some(known) => known,
                None => *number.insert(self.output.interface(about)?),
            };
            let comments = self.comments(p, notes, findings.take());
            // Times before 1970 cannot be written.
            let time = p.record.time.unwrap_or(group.received).max(0) as u64;
            self.written.packets += 1;
            self.written.comments += comments.len() as u64;
            self.output.packet(number, about, Packet { record: &p.record, time, comments })?;
        }
        Ok(())
    }

    /// What begins at a frame. Frames come in order.
    fn notes(&mut self, frame: u64) -> &'a [(u64, Note)] {
        let plan: &'a Plan = self.plan;
        let rest = plan.notes.get(self.next..).unwrap_or(&[]);
        let before = rest.iter().take_while(|n| n.0 < frame).count();
        let here = rest.iter().skip(before).take_while(|n| n.0 == frame).count();
        self.next += before + here;
        rest.get(before..before + here).unwrap_or(&[])
    }

    /// The comments of a packet: its own, then what begins with it.
    fn comments(
        &mut self,
        p: &Numbered<'_>,
        notes: &[(u64, Note)],
        findings: Option<(u64, Vec<usize>)>,
    ) -> Vec<String> {
        let flow = &self.analysis.flow;
        let mut out: Vec<String> = p.record.options.comments().iter().map(|c| comment::safe(c)).collect();
        if p.record.time.is_none_or(|time| time < 0) {
            self.written.without_time += 1;
            out.push(comment::NO_TIME.to_owned());
        }
        for &(_, note) in notes {
            out.extend(match note {
                Note::Connection(n) => flow.connections.get(n).map(|c| comment::connection(n, c)),
                Note::Request(n) => {
                    flow.requests.get(n).map(|r| comment::request(n, r, flow.connections.get(r.connection)))
                }
            });
        }
        if let Some((row, some)) = findings {
            let some = some.into_iter().filter_map(|n| self.analysis.findings.get(n));
            out.extend(some.map(|f| comment::finding(row, f)));
        }
        if out.len() > COMMENTS {
            let more = out.len() + 1 - COMMENTS;
            out.truncate(COMMENTS - 1);
            out.push(format!("and {more} more"));
        }
        out
    }
}

fn refusal(refused: Refused, path: &Path) -> PcapngError {
    match refused {
        Refused::Io(why) => PcapngError::Io { path: path.to_owned(), why },
        Refused::TooManyInterfaces => PcapngError::TooManyInterfaces,
    }
}

/// The comment of the section.
fn about(a: &Analysis) -> String {
    let b = &a.bundle;
    let known = |text: &str| if text.is_empty() { "unknown".to_owned() } else { text.to_owned() };
    let version = concat!("exported by coldcase ", env!("CARGO_PKG_VERSION"));
    comment::safe(&match b.id.is_empty() {
        true => format!("packets of {}, {version}", b.file),
        false => format!("packets of bundle {} ({}), host {}, {version}", b.id, b.file, known(&b.host)),
    })
}

/// The operating system of the recorded host, as its kernel calls it; empty where it is not known.
fn system(a: &Analysis) -> String {
    comment::safe(&a.bundle.kernel)
}
