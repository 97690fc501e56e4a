//! Flame graphs in plain types: folded stacks with their weights, and how these changed.

use serde::{Deserialize, Serialize};

/// A flame graph.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Flame {
    /// `on-cpu`, `off-cpu` or `wakeup`.
    pub kind: String,
    /// What one unit of weight is: `samples` or `ns`.
    pub unit: String,
    /// What the first frames say: `process`, `thread` (process and thread) or `container` (container and process).
    #[serde(default = "process")]
    pub by: String,
    /// Folded stacks, root first, frames separated by `;`, sorted: what `by` says, then frames. With their weight.
    /// A kernel frame ends in `_[k]`; a frame without a name is `[unknown]` or `[file+0xoffset]`. Off the CPU, the class
    /// of the wait stands between: `[disk]`. In `wakeup`, `--` stands before each waker.
    pub stacks: Vec<(String, u64)>,
}

fn process() -> String {
    "process".to_owned()
}

impl Flame {
    /// How many frames at the root of each stack say whose it is.
    pub fn owners(by: &str) -> usize {
        if by == "process" { 1 } else { 2 }
    }
}

/// How a flame graph of a window differs from that of the rest of the recording.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct FlameDiff {
    /// As in [`Flame`].
    pub kind: String,
    /// As in [`Flame`].
    pub unit: String,
    /// As in [`Flame`].
    pub by: String,
    /// Length of the window, nanoseconds.
    pub window: u64,
    /// Length of the rest, nanoseconds.
    pub base: u64,
    /// Each stack with its weight in both, sorted.
    pub stacks: Vec<StackChange>,
    /// Functions by how much they changed, largest first.
    pub functions: Vec<FunctionChange>,
}

/// A stack in the window and in the rest of the recording.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct StackChange {
    /// As in [`Flame`].
    pub stack: String,
    /// Its weight in the rest of the recording.
    pub base: u64,
    /// Its weight in the window.
    pub window: u64,
    /// Weight per second of wall time: in the window less in the rest.
    pub change: f64,
}

/// A function of a process in the window and in the rest of the recording, with all that it calls.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct FunctionChange {
    /// The function, as its frame is written.
    pub function: String,
    /// The first frames of its stacks.
    pub owner: String,
    /// Weight per second of wall time in the rest of the recording.
    pub base: f64,
    /// The same in the window.
    pub window: f64,
    /// The window less the rest.
    pub change: f64,
    /// The same of what it does itself, without what it calls.
    pub own_change: f64,
}

impl FlameDiff {
    /// Weight per second of wall time.
    pub fn rate(weight: u64, length: u64) -> f64 {
        if length == 0 { 0.0 } else { weight as f64 * 1e9 / length as f64 }
    }

    /// What a weight of the rest would be, had the rest been as long as the window.
    pub fn scaled(&self, base: u64) -> u64 {
        let scaled = u128::from(base) * u128::from(self.window) + u128::from(self.base / 2);
        u64::try_from(scaled / u128::from(self.base.max(1))).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_scaled_to_the_length_of_the_window_and_rounded() {
        let diff = FlameDiff { window: 1_000, base: 9_000, ..FlameDiff::default() };
        assert_eq!([0, 4, 5, 90].map(|w| diff.scaled(w)), [0, 0, 1, 10]);
        let endless = FlameDiff { window: u64::MAX, base: 0, ..FlameDiff::default() };
        assert_eq!(endless.scaled(u64::MAX), u64::MAX, "nothing overflows");
        assert_eq!(FlameDiff::rate(5, 0), 0.0);
    }
}
