//! The class of a wait: disk, lock, network… From the system call and the task state; where these do not tell, from the
//! functions of the kernel that it waited in. What none of them tells is unknown.

use coldcase_model::syscall;
use coldcase_timeline::{Awaited, FutexWait};

/// Task state: no signal wakes it.
const UNINTERRUPTIBLE: u32 = 2;
/// Task states: stopped by a signal, or by a tracer.
const STOPPED: u32 = 4 | 8;

/// What a thread waited for, roughly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum WaitClass {
    RunQueue,
    Throttled,
    Disk,
    Lock,
    Condition,
    ThreadEnd,
    Futex,
    Network,
    Poll,
    Pipe,
    PageFault,
    Sleep,
    Child,
    Signal,
    Stopped,
    KernelThread,
    Unknown,
}

impl WaitClass {
    /// As its frame is written.
    pub(crate) fn frame(self) -> &'static str {
        match self {
            WaitClass::RunQueue => "[run queue]",
            WaitClass::Throttled => "[throttled (inferred)]",
            WaitClass::Disk => "[disk]",
            WaitClass::Lock => "[lock]",
            WaitClass::Condition => "[condition]",
            WaitClass::ThreadEnd => "[thread end]",
            WaitClass::Futex => "[futex]",
            WaitClass::Network => "[network]",
            WaitClass::Poll => "[poll]",
            WaitClass::Pipe => "[pipe]",
            WaitClass::PageFault => "[page fault]",
            WaitClass::Sleep => "[sleep]",
            WaitClass::Child => "[child process]",
            WaitClass::Signal => "[signal]",
            WaitClass::Stopped => "[stopped]",
            WaitClass::KernelThread => "[kernel thread]",
            WaitClass::Unknown => "[unknown wait]",
        }
    }
}

/// How a thread was off the CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum OffCpuPart {
    /// It could have run, and had no CPU.
    RunQueue,
    /// Its cgroup's quota was used up.
    Throttled,
    /// It waited: in this system call (or in none), what could have woken it, and in a futex call what its word stands for.
    Waited(i32, Sleeping, Option<Awaited>),
}

/// What wakes a thread in its task state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Sleeping {
    /// Signals, too.
    Interruptible,
    /// Only what it waits for.
    Uninterruptible,
    /// Whoever stopped it.
    Stopped,
}

impl OffCpuPart {
    /// The wait of a row with this system call and task state.
    pub(crate) fn waited(syscall: i32, state: u32) -> OffCpuPart {
        let sleeping = match state {
            s if s & STOPPED != 0 => Sleeping::Stopped,
            s if s & UNINTERRUPTIBLE != 0 => Sleeping::Uninterruptible,
            _ => Sleeping::Interruptible,
        };
        OffCpuPart::Waited(syscall, sleeping, None)
    }

    /// The same of a wait in a futex call.
    pub(crate) fn on_futex(self, wait: Option<FutexWait>) -> OffCpuPart {
        match (self, wait) {
            (OffCpuPart::Waited(syscall, sleeping, _), Some(wait)) => {
                OffCpuPart::Waited(syscall, sleeping, Some(wait.awaited))
            }
            (part, _) => part,
        }
    }

    /// Its class. `kernel`: the names of the kernel's functions that it waited in, innermost first.
    pub(crate) fn class<'a>(self, arch: &str, kernel: impl Iterator<Item = &'a str> + Clone) -> WaitClass {
        let (number, sleeping, awaited) = match self {
            OffCpuPart::RunQueue => return WaitClass::RunQueue,
            OffCpuPart::Throttled => return WaitClass::Throttled,
            OffCpuPart::Waited(_, Sleeping::Stopped, _) => return WaitClass::Stopped,
            OffCpuPart::Waited(syscall::none::KERNEL_THREAD, ..) => return WaitClass::KernelThread,
            OffCpuPart::Waited(number, sleeping, awaited) => (number, sleeping, awaited),
        };
        // A page that a system call touched is waited for as any other: the call says nothing of it.
        if kernel.clone().any(is_fault) {
            return WaitClass::PageFault;
        }
        if number < 0 {
            // Outside of a system call a fault is what makes a thread wait for something that must come; one that was frozen or
            // sent to sleep by a signal waits otherwise.
            let unseen = kernel.clone().next().is_none() && sleeping == Sleeping::Uninterruptible;
            return if unseen {
                WaitClass::PageFault
            } else {
                kernel.clone().find_map(of_function).unwrap_or(WaitClass::Unknown)
            };
        }
        let of_call = syscall::name(arch, number).map_or(WaitClass::Unknown, of_call);
        match of_call {
            WaitClass::Unknown => match kernel.clone().find_map(of_function) {
                Some(class) => class,
                None if sleeping == Sleeping::Uninterruptible && reads_or_writes(arch, number) => WaitClass::Disk,
                None => WaitClass::Unknown,
            },
            WaitClass::Futex => of_futex(awaited),
            class => class,
        }
    }
}

/// What is waited for in a futex call. Of a word that is not known to be a lock nobody can say that one was waited for:
/// an idle pool waits in the same call.
fn of_futex(awaited: Option<Awaited>) -> WaitClass {
    match awaited {
        Some(Awaited::Mutex | Awaited::Semaphore) => WaitClass::Lock,
        Some(Awaited::Condition) => WaitClass::Condition,
        Some(Awaited::ThreadEnd) => WaitClass::ThreadEnd,
        Some(Awaited::Unknown) | None => WaitClass::Futex,
    }
}

/// Whether a function of the kernel serves page faults.
fn is_fault(function: &str) -> bool {
    matches!(
        function,
        "handle_mm_fault" | "__handle_mm_fault" | "filemap_fault" | "do_swap_page" | "asm_exc_page_fault"
    )
}

fn reads_or_writes(arch: &str, number: i32) -> bool {
    let name = syscall::name(arch, number);
    name.is_some_and(|n| matches!(n, "read" | "write" | "readv" | "writev" | "sendfile" | "splice" | "close"))
}

/// What a system call waits for, where its name tells.
fn of_call(name: &str) -> WaitClass {
    match name {
        "fsync" | "fdatasync" | "sync" | "syncfs" | "sync_file_range" | "msync" | "pread64" | "pwrite64" | "preadv"
        | "pwritev" | "preadv2" | "pwritev2" | "truncate" | "ftruncate" | "fallocate" | "getdents" | "getdents64"
        | "unlink" | "unlinkat" | "rename" | "renameat" | "renameat2" | "mkdir" | "mkdirat" | "rmdir" | "stat"
        | "lstat" | "fstat" | "newfstatat" | "statx" | "link" | "linkat" | "symlink" | "symlinkat" | "readlink"
        | "readlinkat" | "io_getevents" | "io_pgetevents" | "readahead" => WaitClass::Disk,
        "flock" | "semop" | "semtimedop" => WaitClass::Lock,
        "connect" | "shutdown" => WaitClass::Network,
        "nanosleep" | "clock_nanosleep" => WaitClass::Sleep,
        "poll" | "ppoll" | "select" | "pselect6" | "io_uring_enter" => WaitClass::Poll,
        "wait4" | "waitid" => WaitClass::Child,
        "pause" | "rt_sigsuspend" | "rt_sigtimedwait" => WaitClass::Signal,
        _ if name.starts_with("futex") => WaitClass::Futex,
        _ if name.starts_with("epoll") => WaitClass::Poll,
        _ if ["recv", "send", "accept"].iter().any(|p| name.starts_with(p)) && name != "sendfile" => WaitClass::Network,
        _ => WaitClass::Unknown,
    }
}

/// Functions of the kernel, by how their names begin, and what is waited for in them.
const FUNCTIONS: [(&str, WaitClass); 27] = [
    ("futex_", WaitClass::Futex),
    ("__mutex_lock", WaitClass::Lock),
    ("mutex_lock", WaitClass::Lock),
    ("rwsem_down_", WaitClass::Lock),
    ("down_read", WaitClass::Lock),
    ("down_write", WaitClass::Lock),
    ("posix_lock_inode_wait", WaitClass::Lock),
    ("io_schedule", WaitClass::Disk),
    ("folio_wait_", WaitClass::Disk),
    ("submit_bio_wait", WaitClass::Disk),
    ("jbd2_", WaitClass::Disk),
    ("wait_on_page_bit", WaitClass::Disk),
    ("balance_dirty_pages", WaitClass::Disk),
    ("sk_wait_data", WaitClass::Network),
    ("sk_stream_wait", WaitClass::Network),
    ("tcp_", WaitClass::Network),
    ("unix_stream_", WaitClass::Network),
    ("inet_", WaitClass::Network),
    ("__skb_wait_", WaitClass::Network),
    ("pipe_read", WaitClass::Pipe),
    ("pipe_write", WaitClass::Pipe),
    ("anon_pipe_", WaitClass::Pipe),
    ("poll_schedule_timeout", WaitClass::Poll),
    ("ep_poll", WaitClass::Poll),
    ("eventfd_read", WaitClass::Poll),
    ("hrtimer_nanosleep", WaitClass::Sleep),
    ("do_wait", WaitClass::Child),
];

fn of_function(name: &str) -> Option<WaitClass> {
    FUNCTIONS.iter().find(|(begins, _)| name.starts_with(begins)).map(|f| f.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(syscall: i32, state: u32, kernel: &[&str]) -> WaitClass {
        OffCpuPart::waited(syscall, state).class("x86_64", kernel.iter().copied())
    }

    #[test]
    fn the_system_call_tells_what_is_waited_for() {
        for (number, expected) in [
            (74, WaitClass::Disk),
            (202, WaitClass::Futex),
            (45, WaitClass::Network),
            (230, WaitClass::Sleep),
            (232, WaitClass::Poll),
            (61, WaitClass::Child),
            (9_999, WaitClass::Unknown),
        ] {
            assert_eq!(class(number, 1, &[]), expected, "{number}");
        }
        assert_eq!(class(-1, 2, &[]), WaitClass::PageFault);
        assert_eq!(class(-2, 1, &[]), WaitClass::KernelThread);
        assert_eq!(class(202, 4, &[]), WaitClass::Stopped, "whatever it was in");
    }

    #[test]
    fn a_futex_is_a_lock_only_where_that_is_known() {
        let of = |awaited| {
            let wait = FutexWait { word: 7, awaited, holder: None, endless: false };
            OffCpuPart::waited(202, 1).on_futex(Some(wait)).class("x86_64", ["futex_do_wait"].into_iter())
        };
        assert_eq!((of(Awaited::Mutex), of(Awaited::Semaphore)), (WaitClass::Lock, WaitClass::Lock));
        assert_eq!((of(Awaited::Condition), of(Awaited::Unknown)), (WaitClass::Condition, WaitClass::Futex));
        assert_eq!(OffCpuPart::RunQueue.on_futex(None), OffCpuPart::RunQueue);
    }

    #[test]
    fn a_read_may_be_of_anything_and_the_kernels_functions_tell_of_what() {
        assert_eq!(class(0, 1, &[]), WaitClass::Unknown);
        assert_eq!(class(0, 2, &[]), WaitClass::Disk, "nothing else is read without heeding signals");
        assert_eq!(class(0, 1, &["wait_woken", "sk_wait_data", "tcp_recvmsg"]), WaitClass::Network);
        assert_eq!(class(0, 1, &["anon_pipe_read", "vfs_read"]), WaitClass::Pipe);
        assert_eq!(class(1, 2, &["io_schedule", "filemap_fault", "handle_mm_fault"]), WaitClass::PageFault);
        assert_eq!(class(16, 2, &["rwsem_down_read_slowpath"]), WaitClass::Lock);
    }
}
