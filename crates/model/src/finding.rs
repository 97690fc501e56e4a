//! Findings, and the evidence that they point at.

use serde::{Deserialize, Serialize};

/// A pointer to one row: `bundle-id/stream#n`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Evidence {
    /// The bundle's id.
    pub bundle: String,
    /// The stream.
    pub stream: String,
    /// The row's number in its stream, never renumbered.
    pub row: u64,
}

impl std::fmt::Display for Evidence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}#{}", self.bundle, self.stream, self.row)
    }
}

impl From<Evidence> for String {
    fn from(e: Evidence) -> String {
        e.to_string()
    }
}

impl TryFrom<String> for Evidence {
    type Error = String;
    fn try_from(s: String) -> Result<Evidence, String> {
        s.split_once('/')
            .and_then(|(bundle, rest)| {
                let (stream, row) = rest.rsplit_once('#')?;
                Some(Evidence { bundle: bundle.into(), stream: stream.into(), row: row.parse().ok()? })
            })
            .ok_or_else(|| format!("not evidence (bundle-id/stream#n): {s}"))
    }
}

/// Something that a detector claims, with what it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The detector.
    pub detector: String,
    /// One sentence.
    pub claim: String,
    /// How much, in nanoseconds or as a count, by `unit`.
    pub size: f64,
    /// Unit of `size`: `ns`, `count`, `bytes`, `ratio`.
    pub unit: String,
    /// 0 to 1.
    pub confidence: f64,
    /// Rows it rests on; the first are the strongest.
    pub evidence: Vec<Evidence>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_written_and_read_back() {
        let e = Evidence { bundle: "a1b2".into(), stream: "kernel.offcpu".into(), row: 42 };
        assert_eq!(e.to_string(), "a1b2/kernel.offcpu#42");
        assert_eq!(Evidence::try_from(e.to_string()), Ok(e));
        assert!(Evidence::try_from("nonsense".to_string()).is_err());
    }
}
