//! What a thread waited for in a futex call, and who held it: read from the facts of a row of `kernel.offcpu`.
//!
//! A futex is a word; what it stands for is the business of the program. It is told from what the C library left around the
//! word, from the form of the call, and from who woke the thread. What none of these tells stays unknown.

use coldcase_model::{Event, events::OffCpu, syscall};

/// The columns of `kernel.offcpu`.
type Cols<'a> = <OffCpu as Event>::Cols<'a>;

/// What the word stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Awaited {
    /// A mutex: somebody holds it.
    Mutex,
    /// A condition variable: whoever wakes is not a holder.
    Condition,
    /// A semaphore. Some languages build their locks of it (Python); then whoever posts it held it.
    Semaphore,
    /// The end of a thread (`pthread_join`).
    ThreadEnd,
    /// Not known.
    Unknown,
}

/// How a holder is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HolderHow {
    /// The lock named it when the wait began.
    Named,
    /// It released the lock and so ended the wait: inferred.
    Released,
}

/// One wait in a futex call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FutexWait {
    /// The word's address in the process.
    pub word: u64,
    /// What it stands for.
    pub awaited: Awaited,
    /// Who held it, as far as that is known. A named holder is numbered in the PID namespace of the process.
    pub holder: Option<(u32, HolderHow)>,
    /// Still waiting when the capture ended.
    pub endless: bool,
}

const CENSORED: u32 = 16;
const RELEASED: u32 = 1024;
const COMMAND: u64 = 0x7f;
const WAIT: u64 = 0;
const WAIT_BITSET: u64 = 9;
const LOCK_PI: [u64; 2] = [6, 13];
/// FUTEX_CLOCK_REALTIME without FUTEX_PRIVATE_FLAG: how glibc waits for a thread to end.
const JOIN: u64 = 256 | WAIT_BITSET;
const WAITERS: u64 = 0x8000_0000;

impl FutexWait {
    /// Of a row; `None` when it was not in a futex call, or is of a recorder that did not tell arguments.
    pub fn of(c: &Cols<'_>, i: usize, arch: &str) -> Option<FutexWait> {
        if c.state[i] == 0 || c.arg0[i] == 0 || syscall::name(arch, c.syscall[i]) != Some("futex") {
            return None;
        }
        let released = c.flags[i] & RELEASED != 0;
        let awaited = awaited(c, i, released);
        let holder = match (awaited, c.owner[i]) {
            (_, owner) if owner != 0 => Some((owner, HolderHow::Named)),
            (Awaited::Mutex | Awaited::Semaphore, _) if released => Some((c.waker_tid[i], HolderHow::Released)),
            _ => None,
        };
        Some(FutexWait { word: c.arg0[i], awaited, holder, endless: c.flags[i] & CENSORED != 0 })
    }
}

fn awaited(c: &Cols<'_>, i: usize, released: bool) -> Awaited {
    let (operation, command, expected) = (c.arg1[i], c.arg1[i] & COMMAND, c.arg2[i] & 0xffff_ffff);
    match c.flags[i] >> 11 & 3 {
        1 => return Awaited::Mutex,
        2 => return Awaited::Condition,
        3 => return Awaited::Semaphore,
        _ => {}
    }
    if LOCK_PI.contains(&command) || (command == WAIT && expected & WAITERS != 0) {
        return Awaited::Mutex;
    }
    // The kernel itself wakes those who wait for a thread's end, from within that thread.
    if operation & 0xffff_ffff == JOIN && expected != 0 && (u64::from(c.waker_tid[i]) == expected || !released) {
        return Awaited::ThreadEnd;
    }
    // 0 free, 1 held, 2 held and waited for: the mutex of glibc, Rust, Go and many more.
    if (command == WAIT || command == WAIT_BITSET) && expected == 2 {
        return Awaited::Mutex;
    }
    Awaited::Unknown
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use coldcase_model::Columns;

    fn of(row: OffCpu) -> Option<FutexWait> {
        let mut rows = Columns::new(&OffCpu::DEF);
        row.push(&mut rows);
        FutexWait::of(&OffCpu::cols(&rows).unwrap(), 0, "x86_64")
    }

    fn wait(operation: u64, expected: u64, flags: u32) -> OffCpu {
        OffCpu {
            state: 1,
            syscall: 202,
            arg0: 0x7000,
            arg1: operation,
            arg2: expected,
            waker_tid: 9,
            flags,
            ..OffCpu::default()
        }
    }

    #[test]
    fn a_holder_is_who_the_lock_names_else_who_released_it() {
        let named = of(OffCpu { owner: 7, ..wait(128, 2, 1 << 11 | RELEASED) }).unwrap();
        assert_eq!((named.awaited, named.holder), (Awaited::Mutex, Some((7, HolderHow::Named))));
        let released = of(wait(137, 2, RELEASED)).unwrap();
        assert_eq!((released.awaited, released.holder), (Awaited::Mutex, Some((9, HolderHow::Released))));
        let python = of(wait(393, 0, 3 << 11 | RELEASED)).unwrap();
        assert_eq!((python.awaited, python.holder), (Awaited::Semaphore, Some((9, HolderHow::Released))));
        let timed_out = of(wait(137, 2, 0)).unwrap();
        assert_eq!((timed_out.awaited, timed_out.holder), (Awaited::Mutex, None));
    }

    #[test]
    fn the_waker_of_a_condition_variable_or_of_an_unknown_word_is_no_holder() {
        let condition = of(wait(393, 0, 2 << 11 | RELEASED)).unwrap();
        assert_eq!((condition.awaited, condition.holder), (Awaited::Condition, None));
        let unknown = of(wait(137, 12, RELEASED)).unwrap();
        assert_eq!((unknown.awaited, unknown.holder), (Awaited::Unknown, None));
        let joined = of(wait(JOIN, 9, 0)).unwrap();
        assert_eq!((joined.awaited, joined.holder), (Awaited::ThreadEnd, None));
    }

    #[test]
    fn other_rows_are_no_futex_waits() {
        assert_eq!(of(OffCpu { syscall: 0, ..wait(0, 0, 0) }), None);
        assert_eq!(of(OffCpu { state: 0, ..wait(0, 2, 0) }), None);
        assert_eq!(of(OffCpu { arg0: 0, ..wait(0, 2, 0) }), None, "an older recorder");
    }
}
