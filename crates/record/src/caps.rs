//! Capabilities: which this process has, and how the missing ones are granted.

use std::collections::BTreeSet;
use std::fmt;

/// The capabilities that sources need. Numbers as in `linux/capability.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // the names are the kernel's
#[repr(u8)]
pub enum Cap {
    DacReadSearch = 2,
    NetRaw = 13,
    SysPtrace = 19,
    SysAdmin = 21,
    Syslog = 34,
    Perfmon = 38,
    Bpf = 39,
}

impl Cap {
    /// All of them.
    const ALL: [Cap; 7] =
        [Cap::DacReadSearch, Cap::NetRaw, Cap::SysPtrace, Cap::SysAdmin, Cap::Syslog, Cap::Perfmon, Cap::Bpf];

    /// The name as the kernel and `setcap` write it.
    pub const fn name(self) -> &'static str {
        match self {
            Cap::DacReadSearch => "CAP_DAC_READ_SEARCH",
            Cap::NetRaw => "CAP_NET_RAW",
            Cap::SysPtrace => "CAP_SYS_PTRACE",
            Cap::SysAdmin => "CAP_SYS_ADMIN",
            Cap::Syslog => "CAP_SYSLOG",
            Cap::Perfmon => "CAP_PERFMON",
            Cap::Bpf => "CAP_BPF",
        }
    }
}

impl fmt::Display for Cap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The effective capabilities of this process as bits; 0 when `/proc` does not say.
fn effective() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("CapEff:"));
    line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0)
}

/// Which of these this process lacks. CAP_SYS_ADMIN stands in for CAP_BPF and CAP_PERFMON, as in the kernel.
pub fn missing(wanted: &[Cap]) -> Vec<Cap> {
    let have = effective();
    let has = |cap: Cap| have & (1 << cap as u8) != 0;
    let stands_in = |cap: Cap| matches!(cap, Cap::Bpf | Cap::Perfmon | Cap::Syslog) && has(Cap::SysAdmin);
    wanted.iter().copied().filter(|&cap| !has(cap) && !stands_in(cap)).collect()
}

/// The names, joined: `CAP_BPF, CAP_PERFMON`.
pub fn names(caps: &[Cap]) -> String {
    caps.iter().map(|c| c.name()).collect::<Vec<_>>().join(", ")
}

/// What a whole recording needs. `setcap` replaces what a file had, so each command names these too: whoever follows
/// the hint of one source after that of another must not take away what the first one gave.
const USUAL: [Cap; 3] = [Cap::NetRaw, Cap::Perfmon, Cap::Bpf];

/// The command that grants these to this program, beside what it has already and what the other sources need.
pub fn grant(caps: &[Cap]) -> String {
    let have = effective();
    let held = Cap::ALL.into_iter().filter(|&c| have & (1 << c as u8) != 0 && c != Cap::SysAdmin);
    let wanted: BTreeSet<Cap> = caps.iter().copied().chain(USUAL).chain(held).collect();
    let names: Vec<String> = wanted.iter().map(|c| c.name().to_ascii_lowercase()).collect();
    let program = std::env::current_exe().map_or("coldcase".into(), |p| p.display().to_string());
    format!("run as root, or once: sudo setcap {}+ep {program}", names.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_takes_nothing_away_that_another_source_was_granted() {
        for asked in [Cap::Bpf, Cap::NetRaw, Cap::SysPtrace, Cap::Syslog] {
            let text = grant(&[asked]);
            for cap in [asked, Cap::NetRaw, Cap::Perfmon, Cap::Bpf] {
                assert!(text.contains(&cap.name().to_ascii_lowercase()), "{cap} is not in {text}");
            }
            assert_eq!(text.matches("cap_bpf").count(), 1, "{text}");
        }
        assert_eq!(names(&[Cap::Bpf, Cap::NetRaw]), "CAP_BPF, CAP_NET_RAW");
    }
}
