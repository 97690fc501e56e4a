//! Receipts: when and from whom each message of a raw stream came.

crate::event! {
    /// The receipt of one message of a raw stream: row n belongs to message n (its MCAP `sequence`).
    host Receipt: kind 35, stream "receipts", class Recorder {
        /// When the last byte was received.
        time: u64 [BootNs],
        /// The same moment on the host's real-time clock.
        read: i64 [RealNs],
        /// Bytes of the message as stored.
        bytes: u64 [Bytes],
        /// Things in it, where the recorder counts them without decoding: packets. Else 0.
        items: u64 [Count],
        /// From where: `ip:port` of the sender, a target's URL, interface names.
        origin: String [None],
        /// How it came: `grpc`, `http`, `af_packet`, `scrape`.
        transport: String [None],
        /// MIME content type as it was declared, where there was one.
        content_type: String [None],
        /// Transport compression that was removed: empty or `gzip`.
        compression: String [None],
    }
}
