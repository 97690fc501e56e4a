//! Words for file calls.

/// `what` of `kernel.file` in words.
pub fn call(what: u32) -> &'static str {
    match what {
        1 => "fsync",
        2 => "fdatasync",
        3 => "unlink",
        _ => "file call",
    }
}
