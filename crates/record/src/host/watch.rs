//! The watch for new mappings, programs and processes: perf's MMAP2, COMM, FORK and EXIT records of all CPUs.

use std::io;
use std::time::Duration;

use coldcase_model::events::Mapping;

use super::build_id::hex;
use super::perf_ring::PerfRing;
use crate::perf;

/// What a record says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Noticed {
    /// An executable mapping was made. Without a build-id from the kernel, device and inode say which file it is.
    Mapped { row: Mapping, file: Option<(u64, u64)> },
    /// A process became another program.
    Exec { pid: u32, time: u64 },
    /// A process began with the mappings of its parent.
    Forked { child: u32, parent: u32, time: u64 },
    /// A process ended (its first thread did).
    Ended { pid: u32, time: u64 },
    /// Records did not fit the ring.
    Lost { cpu: i32, count: u64 },
}

/// Pages of each CPU's ring: a thousand records and more between two looks.
const PAGES: usize = 64;
/// The first byte wakes us: what is mapped by a program that lives for milliseconds must be opened by then.
const WATERMARK: u32 = 1;

/// The rings of all CPUs.
pub(crate) struct Watch {
    rings: Vec<(u32, PerfRing)>,
}

impl Watch {
    /// Opens the watch. With build-ids by the kernel where it can (5.12).
    pub(crate) fn open() -> io::Result<Watch> {
        let (mut rings, mut build_ids) = (Vec::new(), true);
        for cpu in perf::online_cpus()? {
            let event = match perf::open(&perf::watcher(build_ids, WATERMARK), cpu) {
                Err(e) if e.raw_os_error() == Some(libc::EINVAL) && build_ids => {
                    build_ids = false;
                    perf::open(&perf::watcher(false, WATERMARK), cpu)?
                }
                other => other?,
            };
            rings.push((cpu, PerfRing::map(event, PAGES)?));
        }
        Ok(Watch { rings })
    }

    /// Waits until there is something, for `time` at most.
    pub(crate) fn wait(&self, time: Duration) {
        let on = rustix::event::PollFlags::IN;
        let mut fds: Vec<_> = self.rings.iter().map(|(_, ring)| rustix::event::PollFd::new(ring, on)).collect();
        let time = rustix::time::Timespec { tv_sec: 0, tv_nsec: time.subsec_nanos().into() };
        // What interrupts it is looked at like what it waits for.
        let _ = rustix::event::poll(&mut fds, Some(&time));
    }

    /// Takes what is there. In order on each CPU only.
    pub(crate) fn drain(&mut self, mut take: impl FnMut(Noticed)) {
        for (cpu, ring) in &mut self.rings {
            ring.drain(|kind, misc, body| {
                if let Some(noticed) = parse(kind, misc, body, *cpu) {
                    take(noticed);
                }
            });
        }
    }
}

/// PERF_RECORD_* and PERF_RECORD_MISC_COMM_EXEC.
const LOST: u32 = libbpf_sys::PERF_RECORD_LOST;
const COMM: u32 = 3;
const EXIT: u32 = 4;
const FORK: u32 = 7;
const MMAP2: u32 = libbpf_sys::PERF_RECORD_MMAP2;
const COMM_EXEC: u16 = 1 << 13;
const HAS_BUILD_ID: u16 = libbpf_sys::PERF_RECORD_MISC_MMAP_BUILD_ID as u16;
/// PERF_RECORD_MISC_CPUMODE_MASK and its value for the kernel.
const MODE: u16 = 7;
const KERNEL: u16 = 1;

fn parse(kind: u32, misc: u16, body: &[u8], cpu: u32) -> Option<Noticed> {
    match kind {
        MMAP2 if misc & MODE != KERNEL => mapped(misc, body),
        COMM if misc & COMM_EXEC != 0 => Some(Noticed::Exec { pid: u32_at(body, 0)?, time: time(body)? }),
        FORK => {
            let (child, parent, time) = (u32_at(body, 0)?, u32_at(body, 4)?, time(body)?);
            (child != parent).then_some(Noticed::Forked { child, parent, time })
        }
        EXIT => {
            let (pid, tid, time) = (u32_at(body, 0)?, u32_at(body, 8)?, time(body)?);
            (pid == tid).then_some(Noticed::Ended { pid, time })
        }
        LOST => Some(Noticed::Lost { cpu: cpu as i32, count: u64_at(body, 8)? }),
        _ => None,
    }
}

/// pid, tid, address, length, offset; build-id or device and inode; protection, flags; path; then tid and time.
fn mapped(misc: u16, body: &[u8]) -> Option<Noticed> {
    let (start, length) = (u64_at(body, 8)?, u64_at(body, 16)?);
    let (build_id, file) = if misc & HAS_BUILD_ID != 0 {
        let size = usize::from(*body.get(32)?).min(20);
        (hex(body.get(36..36 + size)?), None)
    } else {
        let device = u64::from(u32_at(body, 32)?) << 32 | u64::from(u32_at(body, 36)?);
        (String::new(), Some((device, u64_at(body, 40)?)))
    };
    let tail = body.len().checked_sub(16)?;
    let path = body.get(64..tail)?.split(|&b| b == 0).next()?;
    let path = String::from_utf8_lossy(path);
    Some(Noticed::Mapped {
        row: Mapping {
            time: time(body)?,
            pid: u32_at(body, 0)?,
            start,
            end: start.saturating_add(length),
            offset: u64_at(body, 24)?,
            build_id,
            path: if path == "//anon" { String::new() } else { path.into_owned() },
        },
        file,
    })
}

/// The time stands at the end of every record.
fn time(body: &[u8]) -> Option<u64> {
    u64_at(body, body.len().checked_sub(8)?)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_new_program_is_noticed_with_its_mappings_and_build_ids() {
        let mut watch = match Watch::open() {
            Ok(watch) => watch,
            Err(e) => {
                eprintln!("skipped: {e} (CAP_PERFMON)");
                return;
            }
        };
        let before = crate::clock::boottime().0;
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        let after = crate::clock::boottime().0;
        let (mut mapped, mut exec, mut forked, mut ended) = (Vec::new(), false, false, false);
        watch.wait(Duration::from_millis(100));
        watch.drain(|noticed| match noticed {
            Noticed::Mapped { row, file } if row.pid == pid => mapped.push((row, file)),
            Noticed::Exec { pid: p, time } => exec |= p == pid && time > before && time < after,
            Noticed::Ended { pid: p, .. } => ended |= p == pid,
            Noticed::Forked { child, parent, .. } => forked |= child == pid && parent == std::process::id(),
            _ => {}
        });
        assert!(exec && forked && ended);
        let (row, file) = mapped.iter().find(|(r, _)| r.path.ends_with("/true")).unwrap();
        assert!(row.time > before && row.time < after && row.end > row.start, "{row:?}");
        if file.is_none() {
            let expected = super::super::build_id::read(std::path::Path::new(&row.path)).unwrap_or_default();
            assert_eq!(row.build_id, expected);
        }
        assert!(mapped.iter().any(|(r, _)| r.path.contains("libc")));
    }

    #[test]
    fn what_is_cut_is_no_record() {
        for size in 0..80 {
            assert_eq!(parse(MMAP2, 0, &vec![0; size], 0), None, "{size} bytes");
        }
        assert!(parse(MMAP2, 0, &[0; 88], 0).is_some());
        assert_eq!(parse(COMM, COMM_EXEC, &[], 0), None);
    }
}
