//! The host as the manifest describes it, and who records on it.

use coldcase_model::manifest::HostEntry;

/// Reads who this host is. What cannot be read stays empty.
pub fn read() -> HostEntry {
    let uname = rustix::system::uname();
    let text = |c: &std::ffi::CStr| c.to_string_lossy().into_owned();
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find(|l| l.starts_with("model name") || l.starts_with("CPU part"));
    HostEntry {
        name: text(uname.nodename()),
        boot_id: line("/proc/sys/kernel/random/boot_id"),
        kernel: format!("{} {}", text(uname.sysname()), text(uname.release())),
        arch: text(uname.machine()),
        cpus: online(&line("/sys/devices/system/cpu/online")).unwrap_or_else(|| cpuinfo_cpus(&cpuinfo)),
        cpu_model: model.and_then(|l| l.split_once(':')).map_or(String::new(), |(_, m)| m.trim().to_owned()),
        memory: memory(),
    }
}

/// Name and number of who runs this process: `root (0)`.
pub fn user() -> String {
    let uid = rustix::process::geteuid().as_raw();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = passwd.lines().find_map(|l| {
        let mut parts = l.split(':');
        let name = parts.next()?;
        (parts.nth(1)?.parse::<u32>().ok()? == uid).then(|| name.to_owned())
    });
    match name {
        Some(name) => format!("{name} ({uid})"),
        None => uid.to_string(),
    }
}

fn line(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// How many CPUs a list such as `0-3,6` names.
fn online(list: &str) -> Option<u32> {
    list.split(',').try_fold(0u32, |sum, part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let count = last.parse::<u32>().ok()?.checked_sub(first.parse().ok()?)?;
        sum.checked_add(count)?.checked_add(1)
    })
}

fn cpuinfo_cpus(cpuinfo: &str) -> u32 {
    cpuinfo.lines().filter(|l| l.starts_with("processor")).count() as u32
}

fn memory() -> u64 {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = meminfo.lines().find_map(|l| l.strip_prefix("MemTotal:"));
    total.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_cpus_is_counted() {
        assert_eq!(online("0-3,6"), Some(5));
        assert_eq!(online("0"), Some(1));
        assert_eq!(online(""), None);
        assert_eq!(online("3-1"), None);
    }

    #[test]
    fn this_host_has_a_name_a_kernel_and_memory() {
        let host = read();
        assert!(host.kernel.starts_with("Linux ") && host.cpus > 0 && host.memory > 1 << 20, "{host:?}");
        assert!(!user().is_empty());
    }
}
