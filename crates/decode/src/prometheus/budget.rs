//! How much may be made of a message: labels stand once in protobuf and in each row, so that a small message could
//! become endless rows.

use super::line::Label;

/// Bytes that rows may take whatever the size of their message.
const LEAST: usize = 64 << 20;
/// And for each byte of it.
const TIMES: usize = 16;

/// What is left of it.
#[derive(Debug)]
pub(crate) struct Budget(usize);

impl Budget {
    /// Of a message of so many bytes.
    pub(crate) fn of(message: usize) -> Budget {
        Budget(LEAST.saturating_add(message.saturating_mul(TIMES)))
    }

    /// Takes what a row with this name and these labels costs.
    pub(crate) fn row(&mut self, name: &str, labels: &[Label]) -> Result<(), &'static str> {
        let cost = name.len() + labels.iter().map(|(k, v)| k.len() + v.len() + 48).sum::<usize>();
        self.0 = self.0.checked_sub(cost).ok_or("rows that are many times as large as their message")?;
        Ok(())
    }
}
