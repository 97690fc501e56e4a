//! `perf_event_open(2)`: the attributes and events that the sampler and the mapping watch need.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use libbpf_sys::perf_event_attr;

/// Attributes of an event that samples so many times a second: hardware cycles, or the CPU clock of the kernel.
pub(crate) fn sampler(hardware: bool, hertz: u64) -> perf_event_attr {
    let (kind, config) = match hardware {
        true => (libbpf_sys::PERF_TYPE_HARDWARE, libbpf_sys::PERF_COUNT_HW_CPU_CYCLES),
        false => (libbpf_sys::PERF_TYPE_SOFTWARE, libbpf_sys::PERF_COUNT_SW_CPU_CLOCK),
    };
    let mut attr = perf_event_attr { type_: kind, config: u64::from(config), ..Default::default() };
    attr.__bindgen_anon_1.sample_freq = hertz;
    attr.set_freq(1);
    attr
}

/// Attributes of an event that fires at each major fault.
pub(crate) fn major_faults() -> perf_event_attr {
    let mut attr = perf_event_attr {
        type_: libbpf_sys::PERF_TYPE_SOFTWARE,
        config: u64::from(libbpf_sys::PERF_COUNT_SW_PAGE_FAULTS_MAJ),
        ..Default::default()
    };
    attr.__bindgen_anon_1.sample_period = 1;
    attr
}

/// Attributes of an event that counts nothing, but in whose ring the kernel writes executable mappings (with build-id
/// where this kernel can), new names of tasks, forks and exits, stamped with BOOTTIME.
pub(crate) fn watcher(build_id: bool, watermark: u32) -> perf_event_attr {
    let mut attr = perf_event_attr {
        type_: libbpf_sys::PERF_TYPE_SOFTWARE,
        config: u64::from(libbpf_sys::PERF_COUNT_SW_DUMMY),
        sample_type: u64::from(libbpf_sys::PERF_SAMPLE_TID | libbpf_sys::PERF_SAMPLE_TIME),
        clockid: libc::CLOCK_BOOTTIME,
        ..Default::default()
    };
    attr.__bindgen_anon_1.sample_period = 1;
    attr.__bindgen_anon_2.wakeup_watermark = watermark;
    attr.set_watermark(1);
    attr.set_mmap(1);
    attr.set_mmap2(1);
    attr.set_comm(1);
    attr.set_comm_exec(1);
    attr.set_task(1);
    attr.set_sample_id_all(1);
    attr.set_use_clockid(1);
    attr.set_build_id(u64::from(build_id));
    attr
}

/// Opens an event for all processes on a CPU.
pub(crate) fn open(attr: &perf_event_attr, cpu: u32) -> io::Result<OwnedFd> {
    let attr = perf_event_attr { size: std::mem::size_of::<perf_event_attr>() as u32, ..*attr };
    const CLOEXEC: libc::c_ulong = 8;
    // SAFETY: the attributes outlive the call and say their own size; all other arguments are numbers.
    let fd = unsafe { libc::syscall(libc::SYS_perf_event_open, &raw const attr, -1, cpu, -1, CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just gave us this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// The CPUs that are online: `/sys/devices/system/cpu/online`.
pub(crate) fn online_cpus() -> io::Result<Vec<u32>> {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/online")?;
    Ok(cpu_list(&text))
}

/// `0-3,8` → 0, 1, 2, 3, 8.
fn cpu_list(text: &str) -> Vec<u32> {
    let mut cpus = Vec::new();
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>()) {
            cpus.extend(first..=last);
        }
    }
    cpus
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_lists_are_read() {
        assert_eq!(cpu_list("0-3,8\n"), [0, 1, 2, 3, 8]);
        assert_eq!(cpu_list("0\n"), [0]);
    }
}
