//! What tests against tshark's verdicts share: where the verdicts are, and which differences are listed with their reason.

#![allow(unreachable_pub, clippy::expect_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The folder of captures and verdicts: `$COLDCASE_CORPUS`, or `../shared/corpus` beside the repository.
pub fn corpus() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let folder = std::env::var_os("COLDCASE_CORPUS").map_or(beside, PathBuf::from);
    folder.is_dir().then_some(folder)
}

/// The verdicts, in order of their names.
pub fn verdicts(corpus: &Path) -> Vec<PathBuf> {
    let mut verdicts: Vec<_> = std::fs::read_dir(corpus.join("pcap-verdicts"))
        .expect("pcap-verdicts")
        .map(|e| e.expect("an entry").path())
        .filter(|p| p.extension().is_some_and(|e| e == "json"))
        .collect();
    verdicts.sort();
    verdicts
}

/// `file frame what`: the first three columns of the table in a section of `tests/interop/DIFFERENCES.md`.
pub fn listed(section: &str) -> BTreeSet<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/interop/DIFFERENCES.md");
    let page = std::fs::read_to_string(page).expect("tests/interop/DIFFERENCES.md");
    let begin = format!("{section}\n");
    let section = page.split("\n## ").find(|s| s.starts_with(&begin)).expect("the section");
    let rows = section.lines().filter(|l| l.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(|c| c.trim().trim_matches('`')).collect();
        cells[..3].join(" ")
    })
    .collect()
}

/// Fails unless what was found is what is listed.
#[track_caller]
pub fn hold(found: &BTreeSet<String>, section: &str) {
    let listed = listed(section);
    let unlisted: Vec<_> = found.difference(&listed).collect();
    let stale: Vec<_> = listed.difference(found).collect();
    assert!(unlisted.is_empty() && stale.is_empty(), "not listed: {unlisted:#?}\nlisted, but not there: {stale:#?}");
}

/// What a verdict has that the requests do not have, and the reverse, as `frame what`.
#[derive(Default)]
pub struct Differences {
    pub found: Vec<String>,
    pub compared: usize,
}

impl Differences {
    pub fn expect(&mut self, same: bool, frame: u64, what: &str) {
        self.compared += 1;
        if !same {
            self.found.push(format!("{frame} {what}"));
        }
    }
}
