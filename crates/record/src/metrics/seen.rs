//! What a reading put out, for the tests of the readers.

use super::proc::Out;

/// Name, labels and value of each sample.
#[derive(Default)]
pub(super) struct Seen(pub(super) Vec<(String, String, f64)>);

impl Out for Seen {
    fn sample(&mut self, name: &str, labels: &str, value: f64) {
        self.0.push((name.into(), labels.into(), value));
    }
}

impl Seen {
    /// The first of this name and these labels.
    pub(super) fn value(&self, name: &str, labels: &str) -> Option<f64> {
        self.0.iter().find(|s| s.0 == name && s.1 == labels).map(|s| s.2)
    }
}
