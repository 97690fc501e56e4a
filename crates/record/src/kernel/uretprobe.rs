//! Kernels on which a uretprobe can end the process that it is on.
//!
//! On x86_64 since Linux 6.11 a probed function returns through the system call `uretprobe` (335), which the process makes without
//! knowing. A seccomp filter that does not list it, as those of containers and of systemd units did not, refuses it, and the
//! process dies. Since "seccomp: passthrough uretprobe systemcall without filtering" (Linux 6.14-rc2, 6.13.3, 6.12.14; 6.11 had ended by
//! then) filters are not asked.

use crate::source::Skip;

/// Why nothing is probed on this kernel, if so.
pub(super) fn refusal() -> Option<Skip> {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    if !kills(&uname.machine().to_string_lossy(), &release) {
        return None;
    }
    let reason =
        format!("on Linux {release} uprobes end processes that a seccomp filter confines, such as containers'");
    Some(Skip::new(reason, "boot Linux 6.12.14, 6.13.3, 6.14 or later, or one before 6.11"))
}

/// Whether a process under a seccomp filter does not survive a uretprobe. A release that a distribution mended without
/// changing its number counts as one that was not.
fn kills(machine: &str, release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|n| n.parse::<u32>().ok());
    let mut next = || numbers.next().unwrap_or(0);
    let (version, patch) = ((next(), next()), next());
    machine == "x86_64"
        && match version {
            (6, 11) => true,
            (6, 12) => patch < 14,
            (6, 13) => patch < 3,
            // A first candidate is not mended yet.
            (6, 14) => release.split(['-', '_', '+']).any(|part| part == "rc1"),
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_whose_uretprobes_kill_are_known_by_their_release() {
        let bad = [
            "6.11.0-19-generic",
            "6.11.11",
            "6.12.0-rc3",
            "6.12.13-200.fc41.x86_64",
            "6.12.9+bpo-amd64",
            "6.13.2",
            "6.13-arch",
            "6.14.0-rc1",
        ];
        let good = [
            "6.10.14",
            "5.15.0-130-generic",
            "6.12.14",
            "6.12.48+deb13-amd64",
            "6.13.3",
            "6.14.0-rc2",
            "6.14.0",
            "6.18.44-x",
            "7.11.1",
            "16.11.0",
            "",
            "nonsense",
        ];
        for release in bad {
            assert!(kills("x86_64", release) && !kills("aarch64", release), "{release}");
        }
        for release in good {
            assert!(!kills("x86_64", release), "{release}");
        }
    }
}
