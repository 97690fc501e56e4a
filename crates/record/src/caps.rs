//! Capabilities: which this process has, and how the missing ones are granted.

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

/// The command that grants these to this program.
pub fn grant(caps: &[Cap]) -> String {
    let program = std::env::current_exe().map_or("coldcase".into(), |p| p.display().to_string());
    let names: Vec<String> = caps.iter().map(|c| c.name().to_ascii_lowercase()).collect();
    format!("run as root, or once: sudo setcap {}+ep {program}", names.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grant_names_each_capability() {
        let text = grant(&[Cap::Bpf, Cap::NetRaw]);
        assert!(text.contains("setcap cap_bpf,cap_net_raw+ep "), "{text}");
        assert_eq!(names(&[Cap::Bpf, Cap::NetRaw]), "CAP_BPF, CAP_NET_RAW");
    }
}
