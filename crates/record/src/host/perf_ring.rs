//! The ring of a perf event: mapped, read record by record.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering, fence};

use libbpf_sys::perf_event_mmap_page;

/// A perf event's ring.
pub(crate) struct PerfRing {
    event: OwnedFd,
    base: *mut u8,
    page: usize,
    bytes: usize,
}

// SAFETY: the mapping belongs to this value alone, and is only touched through `&mut self`.
unsafe impl Send for PerfRing {}

impl PerfRing {
    /// Maps a ring of `pages` (a power of two) behind its control page.
    pub(crate) fn map(event: OwnedFd, pages: usize) -> io::Result<PerfRing> {
        let page = rustix::param::page_size();
        let bytes = pages.next_power_of_two() * page;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice; nothing else refers to it.
        let base = unsafe {
            libc::mmap(std::ptr::null_mut(), bytes + page, protection, libc::MAP_SHARED, event.as_raw_fd(), 0)
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(PerfRing { event, base: base.cast(), page, bytes })
    }

    /// Gives each record to `take`: its type, its misc bits and its body.
    pub(crate) fn drain(&mut self, mut take: impl FnMut(u32, u16, &[u8])) {
        // SAFETY: the control page is mapped and the kernel writes `data_head` atomically.
        let head = unsafe { AtomicU64::from_ptr(&raw mut (*self.control()).data_head) }.load(Ordering::Acquire);
        // SAFETY: as above; `data_tail` is ours.
        let tail_at = unsafe { AtomicU64::from_ptr(&raw mut (*self.control()).data_tail) };
        let mut tail = tail_at.load(Ordering::Relaxed);
        let mut record = Vec::new();
        while head.wrapping_sub(tail) >= 8 {
            let mut header = [0; 8];
            self.copy(tail, &mut header);
            let kind = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
            let misc = u16::from_le_bytes([header[4], header[5]]);
            let size = u16::from_le_bytes([header[6], header[7]]) as usize;
            if size < 8 || size as u64 > head.wrapping_sub(tail) {
                // Not what the kernel writes: skip what is there rather than run on in circles.
                tail = head;
                break;
            }
            record.resize(size - 8, 0);
            self.copy(tail + 8, &mut record);
            take(kind, misc, &record);
            tail += size as u64;
        }
        fence(Ordering::AcqRel);
        tail_at.store(tail, Ordering::Release);
    }

    fn control(&self) -> *mut perf_event_mmap_page {
        self.base.cast()
    }

    /// Copies from the ring, around its end.
    fn copy(&self, at: u64, to: &mut [u8]) {
        let start = (at % self.bytes as u64) as usize;
        let first = to.len().min(self.bytes - start);
        // SAFETY: both parts lie within the mapped ring behind the control page; records are smaller than the ring.
        unsafe {
            let ring = self.base.add(self.page);
            std::ptr::copy_nonoverlapping(ring.add(start), to.as_mut_ptr(), first);
            std::ptr::copy_nonoverlapping(ring, to.as_mut_ptr().add(first), to.len() - first);
        }
    }
}

impl AsFd for PerfRing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

impl Drop for PerfRing {
    fn drop(&mut self) {
        // SAFETY: mapped in `map` with this length, and not used after this.
        unsafe { libc::munmap(self.base.cast(), self.bytes + self.page) };
    }
}
