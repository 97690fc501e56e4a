//! Calls into libraries and databases, seen by uprobes. Only with `--uprobe`.

use crate::{Comm, Ip, TextLen};

crate::event! {
    /// One call into a TLS library (uprobes on `SSL_read`, `SSL_read_ex`, `SSL_write`, `SSL_write_ex`, `SSL_do_handshake` of libssl).
    /// Only with `--uprobe libssl`. Nothing of what is encrypted is read, only how many bytes. A handshake that a library makes
    /// inside its first read or write is part of that call. A call that began before the capture is not in it: it was
    /// not seen to begin.
    kernel TlsCall: kind 37, stream "kernel.tls", class Libssl {
        /// When it began.
        time: u64 [BootNs],
        /// How long it took; until the end of the capture or of the thread where flags bit 0 or 1 is set.
        duration: u64 [DurNs],
        /// Bytes of plaintext that the call read or wrote; 0 for a handshake, and when it failed.
        bytes: u64 [Bytes],
        /// Identity of the TLS connection (`SSL *`): the same for the same object throughout the capture, not its address.
        connection: u64 [Id],
        /// Identity of the socket that the thread sent to or received from during the call, the first of them, as in
        /// `kernel.tcp_state` and `kernel.socket`; 0 when it touched none: the call was served from a buffer, or the program moves
        /// the bytes to and from the socket itself (tracepoints `sock/sock_send_length` and `sock_recv_length`, Linux 6.3; 0 before).
        socket: u64 [Id],
        /// The thread.
        tid: u32 [Id],
        /// Its process.
        pid: u32 [Id],
        /// The function: 1 `SSL_read`, 2 `SSL_read_ex`, 3 `SSL_write`, 4 `SSL_write_ex`, 5 `SSL_do_handshake`.
        function: u32 [Flags],
        /// What it returned: bytes, or 0 or less when it failed (1 and 3); 1 when fine (2, 4, 5). -1 of a socket that does not
        /// block mostly means that it has to be called again. 0 where flags bit 0 or 1 is set.
        result: i32 [None],
        /// Bit 0: it still ran when the capture ended. Bit 1: its thread ended in it.
        flags: u32 [Flags],
        /// Network namespace inode number of the socket; 0 without one.
        netns: u32 [Id],
        /// Local port of the socket.
        local_port: u16 [Id],
        /// Remote port of the socket.
        remote_port: u16 [Id],
        /// Address family of the socket: 1 Unix, 2 IPv4, 10 IPv6; 0 without one.
        family: u16 [Flags],
        /// Zero.
        reserved: u16 [None],
        /// Local address of the socket, where it is IP.
        local_addr: Ip [Id],
        /// Remote address of the socket, where it is IP.
        remote_addr: Ip [Id],
        /// Name of the thread.
        comm: Comm [None],
    }
}

crate::event! {
    /// One statement of a Postgres server process: from the report of its text to the report of the next, or that the
    /// process is idle (uprobe on `pgstat_report_activity`, what `pg_stat_activity` shows; `PortalRun`, `CommitTransactionCommand`,
    /// `AbortCurrentTransaction`). Its commit is part of it. Only with `--uprobe postgres`. In the extended protocol each of parse, bind and execute is a
    /// row, the first two with flags bit 3. A parallel worker has a row of its own with flags bit 7, which ends with it. Of a
    /// statement that ran already when the capture began the text is not known, and it is seen only when it ends in the capture.
    kernel Statement: kind 38, stream "kernel.statement", class Postgres {
        /// When it began; when the capture began where flags bit 2 is set.
        time: u64 [BootNs],
        /// How long it took; until the end of the capture or of the process where flags bit 0 or 1 is set.
        duration: u64 [DurNs],
        /// The part of it spent in running portals: without the parser and planner, nor the commit.
        executing: u64 [DurNs],
        /// The thread.
        tid: u32 [Id],
        /// The server process.
        pid: u32 [Id],
        /// Bit 0: it still ran when the capture ended. Bit 1: its process ended in it. Bit 2: it ran already when the capture began
        /// (known by its commit or abort; a prepared statement that was only described looks the same). Bit 3: no portal was run: a parse, a bind, or it failed before. Bit 4: it failed, the
        /// transaction was aborted. Bit 5: the text was longer than what is read of it (1 KiB). Bit 6: the text could not be read.
        /// Bit 7: the process is a parallel worker: it ran a part of another's statement, all of the time.
        flags: u32 [Flags],
        /// Its text, literals masked by the recorder before it is written (`sql-mask/1`): strings and numbers are `?`, comments
        /// are left out; at most 256 bytes.
        query: TextLen [None],
        /// Name of the process.
        comm: Comm [None],
    }
}

crate::event! {
    /// One `getaddrinfo(3)`: the look-up of a host name through whatever the system uses, mostly DNS (uprobe on the
    /// C library). Only with `--uprobe libc`. Programs that resolve by themselves (Go's own resolver, static binaries) are not seen. A call
    /// that began before the capture is not in it: it was not seen to begin.
    kernel NameLookup: kind 39, stream "kernel.name_lookup", class Libc {
        /// When it began.
        time: u64 [BootNs],
        /// How long it took; until the end of the capture or of the thread where flags bit 0 or 1 is set.
        duration: u64 [DurNs],
        /// The thread.
        tid: u32 [Id],
        /// Its process.
        pid: u32 [Id],
        /// What it returned: 0 when fine, else EAI_* of `netdb.h` (-2 no such name, -3 try again, -4 failure); 0 where flags bit 0 or 1 is set.
        result: i32 [None],
        /// Bit 0: it still ran when the capture ended. Bit 1: its thread ended in it. Bit 2: the name was longer than 255 bytes and is
        /// cut. Bit 3: the name could not be read.
        flags: u32 [Flags],
        /// Name of the thread.
        comm: Comm [None],
        /// The name that was asked for, as the program gave it; empty for none (the host itself). Host names are written as they are: not
        /// payload but what DNS and TLS (SNI) tell on the wire as well.
        name: TextLen [None],
        /// Zero.
        reserved: u32 [None],
    }
}
