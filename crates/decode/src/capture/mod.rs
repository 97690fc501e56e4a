//! Capture files, pcap and pcapng, read record by record from whatever part of them is in memory.
//!
//! No I/O: the caller holds a window of the file and hands over what is left of it.
//!
//! ```
//! use coldcase_decode::capture::{Next, Reader};
//!
//! fn packets(mut file: &[u8]) -> u64 {
//!     let Some(mut reader) = Reader::of(file) else { return 0 };
//!     let mut packets = 0;
//!     loop {
//!         match reader.next(file) {
//!             Next::Packet(_, length) => (packets, file) = (packets + 1, &file[length..]),
//!             Next::Frame(length) | Next::Skip(length) => file = &file[length..],
//!             // The file is all there is: it ends here, cut or not.
//!             Next::Need(_) | Next::Bad(_) => return packets,
//!         }
//!     }
//! }
//! # assert_eq!(packets(b"neither"), 0);
//! ```
//!
//! A file whose structure is broken is read up to there, as other tools do: what follows cannot be trusted to be
//! records.

pub(crate) mod ng;
mod pcap;
mod unpack;
mod window;

pub use ng::{Interface, Ng, Options};
pub use pcap::Pcap;
pub use unpack::Unpack;
pub use window::Window;

/// A packet as it stands in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// When: UTC nanoseconds as the capturing host's clock had it; `None` where the file holds no time.
    pub time: Option<i64>,
    /// Number of its interface among those of the file, from 0.
    pub interface: u32,
    /// Its link type.
    pub link: u16,
    /// Length on the wire.
    pub original: u32,
    /// 1 received, 2 sent, 0 unknown (option `epb_flags`).
    pub direction: u8,
    /// What was captured.
    pub bytes: &'a [u8],
    /// Options of its block; none in a pcap file.
    pub options: Options<'a>,
}

/// What comes next, and how many bytes of the file it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next<'a> {
    /// A packet.
    Packet(Record<'a>, usize),
    /// A record that is no packet but has a frame number in other tools: journal entries, system calls.
    Frame(usize),
    /// What describes packets.
    Skip(usize),
    /// It cannot be told from fewer than this many bytes. If none are left, the file ends well; if some are, it was
    /// cut.
    Need(usize),
    /// The file is broken here.
    Bad(&'static str),
}

/// Reads one file.
#[derive(Debug, Clone)]
pub enum Reader {
    /// A pcap file.
    Pcap(Pcap),
    /// A pcapng file.
    Ng(Ng),
}

impl Reader {
    /// How many bytes of the beginning tell a reader all that it wants to know.
    pub const ENOUGH: usize = 1 << 20;

    /// The reader of a file that begins like this; `None` if it is neither. 4 bytes tell, but variants of pcap that
    /// share a magic number are told apart by the first records: hand over [`Reader::ENOUGH`], or the whole file.
    pub fn of(head: &[u8]) -> Option<Reader> {
        if head.starts_with(&ng::MAGIC) {
            return Some(Reader::Ng(Ng::default()));
        }
        Pcap::of(head).map(Reader::Pcap)
    }

    /// What the next bytes of the file are.
    pub fn next<'a>(&mut self, bytes: &'a [u8]) -> Next<'a> {
        match self {
            Reader::Pcap(pcap) => pcap.next(bytes),
            Reader::Ng(ng) => ng.next(bytes),
        }
    }

    /// The interfaces so far: a pcap file has one, without a name.
    pub fn interfaces(&self) -> &[Interface] {
        match self {
            Reader::Pcap(pcap) => std::slice::from_ref(pcap.interface()),
            Reader::Ng(ng) => ng.interfaces(),
        }
    }

    /// Packets that the capture itself says it dropped.
    pub fn dropped(&self) -> u64 {
        match self {
            Reader::Pcap(_) => 0,
            Reader::Ng(ng) => ng.dropped(),
        }
    }
}

/// Longest packet that is believed, as in Wireshark: but for a few link types whose records are long.
fn longest(link: u16) -> usize {
    match link {
        // D-Bus and USB.
        231 | 189 | 220 | 249 => 128 << 20,
        _ => 262_144,
    }
}
