//! Block devices, as the host names them.

crate::event! {
    /// A block device or a partition of one: at the start of the capture, and at its end those that came meanwhile.
    host Device: kind 22, stream "host.device", class Task {
        /// When it was read.
        time: u64 [BootNs],
        /// Its number: major << 20 | minor, as `dev` in `kernel.block`.
        dev: u32 [Id],
        /// Its name: `vda`, `nvme0n1p2`, `dm-0`.
        name: String [None],
        /// What it is: `disk`, `partition`, `loop`, `device-mapper`, `raid`, `memory`.
        what: String [None],
        /// The disk that a partition is of; empty otherwise.
        disk: String [None],
        /// What it stands on: the file of a loop device, the devices of a mapped one, separated by spaces.
        backing: String [None],
        /// Where it is mounted, a line each: mount point, a tab, the file system's type.
        mounts: String [None],
    }
}
