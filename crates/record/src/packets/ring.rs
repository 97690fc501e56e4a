//! A packet socket with its ring: AF_PACKET, TPACKET_V3, memory shared with the kernel.

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use super::filter::Program;
use super::links::LinkType;

/// Bytes of a block. A packet never spans blocks, so this bounds what can be copied of one.
pub(super) const BLOCK: usize = 128 << 10;
/// The kernel hands over a block that is not full after so many milliseconds.
pub(super) const RETIRE_MS: u32 = 50;

/// A packet in the ring, borrowed from it.
pub(super) struct Frame<'a> {
    /// Its first bytes, without a VLAN tag that the kernel took out.
    pub(super) bytes: &'a [u8],
    /// That tag: protocol and control information.
    pub(super) vlan: Option<(u16, u16)>,
    /// Its length when the socket saw it.
    pub(super) length: u32,
    /// When, ns of the real-time clock.
    pub(super) time: u64,
    /// `PACKET_HOST` … `PACKET_OUTGOING`.
    pub(super) kind: u8,
    /// Its ethertype, as the kernel found it.
    pub(super) protocol: u16,
}

/// An open ring on one interface.
pub(super) struct Ring {
    socket: OwnedFd,
    memory: Memory,
    blocks: usize,
    next: usize,
}

impl Ring {
    /// Opens a ring of about `bytes` on the interface. Nothing is captured before `program` is in place.
    pub(super) fn open(index: u32, link: LinkType, bytes: u64, program: &Program) -> io::Result<Ring> {
        let kind = match link {
            LinkType::Ethernet => libc::SOCK_RAW,
            LinkType::Raw => libc::SOCK_DGRAM,
        };
        // Protocol 0: deaf until it is bound.
        // SAFETY: socket(2) takes integers only.
        let fd = unsafe { libc::socket(libc::AF_PACKET, kind | libc::SOCK_CLOEXEC, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a descriptor that was just opened and that nobody else owns.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        let blocks = (bytes as usize / BLOCK).clamp(2, 4096);
        set(&socket, libc::SOL_PACKET, libc::PACKET_VERSION, &(libc::tpacket_versions::TPACKET_V3 as c_int))?;
        let request = libc::tpacket_req3 {
            tp_block_size: BLOCK as u32,
            tp_block_nr: blocks as u32,
            // Only its product with tp_frame_nr matters to version 3.
            tp_frame_size: 2048,
            tp_frame_nr: (BLOCK / 2048 * blocks) as u32,
            tp_retire_blk_tov: RETIRE_MS,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        set(&socket, libc::SOL_PACKET, libc::PACKET_RX_RING, &request)?;
        let memory = Memory::map(&socket, BLOCK * blocks)?;
        let ring = Ring { socket, memory, blocks, next: 0 };
        ring.attach(program)?;
        ring.bind(index)?;
        Ok(ring)
    }

    fn bind(&self, index: u32) -> io::Result<()> {
        // SAFETY: sockaddr_ll is plain integers, for which all zero is a value.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = index as c_int;
        let size = size_of::<libc::sockaddr_ll>() as u32;
        // SAFETY: the address is live, of the size given.
        let result = unsafe { libc::bind(self.socket.as_raw_fd(), (&raw const address).cast(), size) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Puts a filter in place of the one before, at once.
    pub(super) fn attach(&self, program: &Program) -> io::Result<()> {
        attach(&self.socket, program)
    }

    /// Whether packets that leave by the interface are left out.
    pub(super) fn ignore_outgoing(&self, ignore: bool) -> io::Result<()> {
        set(&self.socket, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &c_int::from(ignore))
    }

    /// Packets that the kernel dropped because the ring was full, since the last call.
    pub(super) fn drops(&self) -> io::Result<u64> {
        let mut stats = libc::tpacket_stats_v3 { tp_packets: 0, tp_drops: 0, tp_freeze_q_cnt: 0 };
        let mut size = size_of::<libc::tpacket_stats_v3>() as u32;
        // SAFETY: the struct is live and writable for the size given.
        let result = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut stats).cast(),
                &mut size,
            )
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(u64::from(stats.tp_drops)) }
    }

    /// Takes the pending error off the socket (the interface went down): poll would report it for ever.
    pub(super) fn clear_error(&self) {
        let (mut error, mut size): (c_int, u32) = (0, size_of::<c_int>() as u32);
        // SAFETY: the integer is live and writable for the size given. A failure leaves the error where it is.
        unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_ERROR,
                (&raw mut error).cast(),
                &mut size,
            );
        }
    }

    /// Gives every packet of the next block that the kernel handed over to `take`, and the block back.
    /// False when there is none.
    pub(super) fn next_block(&mut self, mut take: impl FnMut(Frame<'_>)) -> bool {
        let start = self.next * BLOCK;
        if self.memory.status(start).load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
            return false;
        }
        // SAFETY: the status says that the block is ours until the store below; no reference into it outlives that.
        walk(unsafe { self.memory.block(start) }, &mut take);
        self.memory.status(start).store(libc::TP_STATUS_KERNEL, Ordering::Release);
        self.next = (self.next + 1) % self.blocks;
        true
    }
}

/// Puts a filter on a packet socket, in place of the one before, at once.
pub(super) fn attach(socket: &OwnedFd, program: &Program) -> io::Result<()> {
    let len = u16::try_from(program.instructions.len())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "the filter has too many instructions"))?;
    // The kernel reads the instructions and does not write them.
    let program = libc::sock_fprog { len, filter: program.instructions.as_ptr().cast_mut() };
    set(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn set<T>(socket: &OwnedFd, level: c_int, name: c_int, value: &T) -> io::Result<()> {
    // SAFETY: the value is live for the size given, and of the type that the option takes.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, name, std::ptr::from_ref(value).cast(), size_of::<T>() as u32)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

// Offsets in struct tpacket_block_desc and struct tpacket3_hdr (linux/if_packet.h, stable ABI).
const BLOCK_STATUS: usize = 8;
const BLOCK_PACKETS: usize = 12;
const BLOCK_FIRST: usize = 16;
const HEADER: usize = size_of::<libc::tpacket3_hdr>().next_multiple_of(libc::TPACKET_ALIGNMENT);

fn walk(block: &[u8], take: &mut impl FnMut(Frame<'_>)) {
    let count = u32_at(block, BLOCK_PACKETS).unwrap_or(0);
    let mut at = u32_at(block, BLOCK_FIRST).unwrap_or(0) as usize;
    for _ in 0..count {
        let Some((frame, next)) = block.get(at..).and_then(frame) else { return };
        take(frame);
        at += next;
    }
}

/// The frame at the start of `bytes` and where the next begins.
fn frame(bytes: &[u8]) -> Option<(Frame<'_>, usize)> {
    let next = u32_at(bytes, 0)? as usize;
    let (seconds, nanos) = (u32_at(bytes, 4)?, u32_at(bytes, 8)?);
    let (captured, length, status) = (u32_at(bytes, 12)? as usize, u32_at(bytes, 16)?, u32_at(bytes, 20)?);
    let mac = usize::from(u16_at(bytes, 24)?);
    let (tci, tpid) = (u32_at(bytes, 32)? as u16, u16_at(bytes, 36)?);
    let tpid = if status & libc::TP_STATUS_VLAN_TPID_VALID != 0 { tpid } else { 0x8100 };
    // struct sockaddr_ll: family 2, protocol 2 (network order), ifindex 4, hatype 2, pkttype 1.
    let protocol = u16::from_be(u16_at(bytes, HEADER + 2)?);
    let kind = *bytes.get(HEADER + 10)?;
    let frame = Frame {
        bytes: bytes.get(mac..mac.checked_add(captured)?)?,
        vlan: (status & libc::TP_STATUS_VLAN_VALID != 0).then_some((tpid, tci)),
        length,
        time: u64::from(seconds) * 1_000_000_000 + u64::from(nanos),
        kind,
        protocol,
    };
    Some((frame, next))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

/// The ring's memory, mapped.
struct Memory {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the mapping belongs to this value alone and does not depend on the thread that made it.
unsafe impl Send for Memory {}

impl Memory {
    fn map(socket: &OwnedFd, length: usize) -> io::Result<Memory> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a fresh shared mapping of the ring that was just set up on this socket, with its length.
        let start =
            unsafe { libc::mmap(std::ptr::null_mut(), length, access, libc::MAP_SHARED, socket.as_raw_fd(), 0) };
        match NonNull::new(start.cast::<u8>()) {
            Some(start) if start.as_ptr().cast::<libc::c_void>() != libc::MAP_FAILED => Ok(Memory { start, length }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// The status word of the block at `start`.
    fn status(&self, start: usize) -> &AtomicU32 {
        debug_assert!(start + BLOCK <= self.length);
        // SAFETY: within the mapping, aligned (blocks are pages), and written through this atomic only, by us and the
        // kernel.
        unsafe { &*self.start.as_ptr().add(start + BLOCK_STATUS).cast::<AtomicU32>() }
    }

    /// The bytes of the block at `start`.
    ///
    /// # Safety
    /// The kernel must have handed the block over, and the slice must be gone before it is given back.
    unsafe fn block(&self, start: usize) -> &[u8] {
        debug_assert!(start + BLOCK <= self.length);
        // SAFETY: within the mapping; nobody writes to it meanwhile, as the caller promises.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().add(start), BLOCK) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping that was made, unmapped once.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}
