//! Words for signals and for how a task ended.

use std::borrow::Cow;

/// Names of the signals from 1 on, as Linux numbers them on x86 and Arm.
const NAMES: [&str; 31] = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// The name of a signal: `SIGKILL`, `SIG34` for a real-time one.
pub fn name(signal: u32) -> Cow<'static, str> {
    let named = signal.checked_sub(1).and_then(|n| NAMES.get(n as usize));
    named.map_or_else(|| Cow::Owned(format!("SIG{signal}")), |n| Cow::Borrowed(*n))
}

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ending {
    /// It exited with this status.
    Exited(u8),
    /// A signal killed it.
    Killed {
        /// The signal.
        signal: u32,
        /// A core was dumped.
        core: bool,
    },
}

impl Ending {
    /// From an exit code as in wait(2): status << 8 | core-dump bit (128) | signal.
    pub fn of(exit_code: i32) -> Ending {
        match exit_code & 0x7f {
            0 => Ending::Exited((exit_code >> 8 & 0xff) as u8),
            signal => Ending::Killed { signal: signal as u32, core: exit_code & 0x80 != 0 },
        }
    }

    /// Whether it says that something went wrong. Termination on request (SIGTERM, SIGINT, SIGHUP, SIGPIPE) does not.
    pub fn is_failure(self) -> bool {
        match self {
            Ending::Exited(status) => status != 0,
            Ending::Killed { signal, .. } => !matches!(signal, 1 | 2 | 13 | 15),
        }
    }
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ending::Exited(status) => write!(f, "exited {status}"),
            Ending::Killed { signal, core } => {
                write!(f, "killed by {}{}", name(*signal), if *core { " (core dumped)" } else { "" })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_code_is_told_as_a_shell_user_would() {
        assert_eq!(Ending::of(3 << 8).to_string(), "exited 3");
        assert_eq!(Ending::of(9).to_string(), "killed by SIGKILL");
        assert_eq!(Ending::of(11 | 0x80).to_string(), "killed by SIGSEGV (core dumped)");
        assert!(Ending::of(1 << 8).is_failure() && !Ending::of(0).is_failure() && !Ending::of(15).is_failure());
    }

    #[test]
    fn signals_have_their_names_and_real_time_ones_their_numbers() {
        assert_eq!([name(1), name(19), name(31), name(34), name(0)], ["SIGHUP", "SIGSTOP", "SIGSYS", "SIG34", "SIG0"]);
    }
}
