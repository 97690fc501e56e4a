//! The rings of an object: one per group of CPUs, put into its map of maps.

use libbpf_rs::{MapCore, MapFlags, MapHandle, MapType};
use std::os::fd::{AsFd, AsRawFd};

/// How many groups of `group_size` CPUs there are.
pub(super) fn groups(cpus: usize, group_size: u32) -> u32 {
    (cpus as u32).div_ceil(group_size.max(1)).max(1)
}

/// The smallest ring that the kernel takes and that holds `bytes`: a power of two, at least a page.
pub(super) fn ring_size(bytes: u32) -> u32 {
    let page = rustix::param::page_size() as u32;
    bytes.clamp(page, 1 << 30).next_power_of_two()
}

/// Makes a ring for each group and puts it into `outer`.
pub(super) fn fill(name: &str, outer: &MapHandle, groups: u32, bytes: u32) -> Result<Vec<MapHandle>, libbpf_rs::Error> {
    let options = libbpf_sys_options();
    let mut rings = Vec::with_capacity(groups as usize);
    for group in 0..groups {
        let label = format!("cc_{name}_{group}");
        let ring = MapHandle::create(MapType::RingBuf, Some(label), 0, 0, bytes, &options)?;
        let fd = ring.as_fd().as_raw_fd() as u32;
        outer.update(&group.to_ne_bytes(), &fd.to_ne_bytes(), MapFlags::ANY)?;
        rings.push(ring);
    }
    Ok(rings)
}

fn libbpf_sys_options() -> libbpf_sys::bpf_map_create_opts {
    libbpf_sys::bpf_map_create_opts {
        sz: std::mem::size_of::<libbpf_sys::bpf_map_create_opts>() as libbpf_sys::size_t,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cpu_is_in_a_group() {
        assert_eq!((groups(2, 8), groups(8, 8), groups(9, 8), groups(128, 8), groups(3, 1)), (1, 1, 2, 16, 3));
    }

    #[test]
    fn a_ring_is_a_power_of_two_of_at_least_a_page() {
        assert_eq!(ring_size(1), rustix::param::page_size() as u32);
        assert_eq!(ring_size(5_000_000), 8 << 20);
    }
}
