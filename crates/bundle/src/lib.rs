//! The container: writes, reads, verifies and recovers bundles. The only place that knows bytes, zstd and CRC.
