//! What is on the host: snapshots of processes, sockets, mappings and cgroups, taken by the recorder.

use crate::Ip;

crate::event! {
    /// A process or thread as `/proc` showed it: at the start of the capture, and after each exec.
    host Process: kind 16, stream "host.process", class Task {
        /// When it was read.
        time: u64 [BootNs],
        /// The thread.
        tid: u32 [Id],
        /// Its process.
        pid: u32 [Id],
        /// Parent process.
        ppid: u32 [Id],
        /// Effective user id.
        uid: u32 [Id],
        /// Start time (`/proc/PID/stat` field 22, converted): with `pid` unique even when pids are reused.
        started: u64 [BootNs],
        /// Its name.
        comm: String [None],
        /// Path of its executable; empty for kernel threads or when not readable.
        exe: String [None],
        /// Its arguments, masked (`argv-mask/1`), separated by spaces. Only on the first thread.
        argv: String [None],
        /// Its cgroup paths, as in `/proc/PID/cgroup`, one line a hierarchy. Only on the first thread.
        cgroup: String [None],
        /// Its pid (for a thread, the pid of its process) as it knows itself, in its own PID namespace; 0 when not readable.
        inner_pid: u32 [Id],
        /// Inode number of that namespace; 0 when not readable.
        pid_namespace: u32 [Id],
    }
}

crate::event! {
    /// A container, as files of its runtime describe it, for the containers that processes of `host.process` are in.
    host Container: kind 66, stream "host.container", class Task {
        /// When it was read.
        time: u64 [BootNs],
        /// Its id.
        id: String [None],
        /// Its name.
        name: String [None],
        /// Its image.
        image: String [None],
        /// Name of its Kubernetes pod.
        pod: String [None],
        /// Namespace of that pod.
        pod_namespace: String [None],
        /// Uid of that pod.
        pod_uid: String [None],
        /// The file that says so.
        path: String [None],
    }
}

crate::event! {
    /// A socket as the snapshot at the start found it.
    host Socket: kind 17, stream "host.socket", class Task {
        /// When it was read.
        time: u64 [BootNs],
        /// Process that holds it; 0 when unknown.
        pid: u32 [Id],
        /// Network namespace inode number.
        netns: u32 [Id],
        /// Socket inode number.
        inode: u64 [Id],
        /// IP protocol: 6 TCP, 17 UDP.
        protocol: u8 [Flags],
        /// TCP state (10 is LISTEN).
        state: u8 [Flags],
        /// Local port.
        local_port: u16 [Id],
        /// Remote port.
        remote_port: u16 [Id],
        /// Local address.
        local_addr: Ip [Id],
        /// Remote address.
        remote_addr: Ip [Id],
    }
}

crate::event! {
    /// A connection whose ends the kernel rewrites on the way, as its table of tracked connections has it
    /// (`/proc/net/nf_conntrack`): read every 5 s, each told once.
    host Nat: kind 68, stream "host.nat", class Socket {
        /// When it was read.
        time: u64 [BootNs],
        /// IP protocol: 6 TCP, 17 UDP.
        protocol: u8 [Flags],
        /// Port of who opened it.
        src_port: u16 [Id],
        /// Port that it was opened to.
        dst_port: u16 [Id],
        /// Port that answers.
        reply_src_port: u16 [Id],
        /// Port that is answered.
        reply_dst_port: u16 [Id],
        /// Address of who opened it.
        src_addr: Ip [Id],
        /// Address that it was opened to.
        dst_addr: Ip [Id],
        /// Address that answers: the destination behind the translation.
        reply_src_addr: Ip [Id],
        /// Address that is answered: the source behind the translation.
        reply_dst_addr: Ip [Id],
    }
}

crate::event! {
    /// An executable mapping of a process: from perf's MMAP2 records while recording, from `/proc/PID/maps` at the start.
    host Mapping: kind 18, stream "host.mapping", class Task {
        /// When it was mapped; at the start of the capture for what was there before.
        time: u64 [BootNs],
        /// The process.
        pid: u32 [Id],
        /// First address.
        start: u64 [Id],
        /// One past the last address.
        end: u64 [Id],
        /// Offset in the file, in bytes.
        offset: u64 [Bytes],
        /// GNU build-id in hex; empty when the file has none.
        build_id: String [None],
        /// Path of the file, or a name in brackets such as `[vdso]`.
        path: String [None],
    }
}

crate::event! {
    /// A cgroup.
    host Cgroup: kind 19, stream "host.cgroup", class Task {
        /// When it was read.
        time: u64 [BootNs],
        /// Its id: inode number of its directory.
        id: u64 [Id],
        /// The hierarchy: empty for v2, else the v1 controllers.
        hierarchy: String [None],
        /// Path below the hierarchy's mount.
        path: String [None],
    }
}
