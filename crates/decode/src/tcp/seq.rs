//! Sequence numbers: 32 bits that wrap, compared by their signed distance (RFC 9293, section 3.4).

/// Whether `a` comes before `b`.
pub(super) fn before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// Whether `a` comes after `b`.
pub(super) fn after(a: u32, b: u32) -> bool {
    before(b, a)
}

/// Whether `a` is `b` or comes before it.
pub(super) fn not_after(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) <= 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_wrapped_come_after_those_that_did_not() {
        assert!(before(u32::MAX - 3, 5) && after(5, u32::MAX - 3));
        assert!(!before(7, 7) && !after(7, 7) && not_after(7, 7));
    }
}
