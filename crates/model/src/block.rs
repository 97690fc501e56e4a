//! Words for block requests: operations and on whose behalf they were made.

use std::borrow::Cow;

/// What the low 8 bits of a request's `op` ask for (REQ_OP_*).
pub fn operation(op: u32) -> Cow<'static, str> {
    Cow::Borrowed(match op & 0xff {
        0 => "read",
        1 => "write",
        2 => "flush",
        3 => "discard",
        5 => "secure erase",
        9 => "write zeroes",
        34 | 35 => "driver command",
        other => return Cow::Owned(format!("operation {other}")),
    })
}

/// A request released by blkio throttling (`origin` of `kernel.block`).
pub const THROTTLED: u32 = 7;

/// `origin` of `kernel.block` in words; `None` where it is unknown or the thread itself.
pub fn origin(origin: u32) -> Option<&'static str> {
    Some(match origin {
        2 => "readahead",
        3 => "writeback",
        4 => "journal",
        5 => "swap",
        6 => "kernel",
        THROTTLED => "after blkio throttling",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_above_the_operation_do_not_change_its_name() {
        assert_eq!(operation(1 | 1 << 11), "write");
        assert_eq!(operation(77), "operation 77");
        assert_eq!((origin(0), origin(1), origin(3)), (None, None, Some("writeback")));
    }
}
