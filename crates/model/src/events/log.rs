//! Log lines.

crate::event! {
    /// One line of a log, raw.
    host LogLine: kind 32, stream "log.lines", class Log {
        /// When the recorder read it.
        time: u64 [BootNs],
        /// The same moment on the host's real-time clock.
        read: i64 [RealNs],
        /// Offset of its first byte in the file. Of what is no file (journal, syslog): how many came before it.
        offset: u64 [Bytes],
        /// Inode number of the file: tells rotated files of one path apart.
        inode: u64 [Id],
        /// Bit 0: cut at the line limit. Bit 1: no newline at its end (the file ended or was rotated).
        /// Bit 2: first line after a gap. Bit 3: an entry of systemd's journal, in its export format.
        /// Bit 4: several lines that belong together, with the newlines between them.
        flags: u32 [Flags],
        /// Path of the file; `stdin`, `journal:`, or `syslog:` and the socket and the sender, where it came from one.
        path: String [None],
        /// The line without its newline; any bytes.
        line: Vec<u8> [None],
    }
}

impl LogLine {
    /// The flag of an entry of systemd's journal in its export format.
    pub const JOURNAL: u32 = 8;
}
