//! What must hold in the repository: generated files equal the committed ones, dependencies point one way.
#![allow(clippy::unwrap_used)]

#[test]
fn generated_files_equal_the_committed_ones() {
    let stale = xtask::generate::stale(&xtask::root()).unwrap();
    assert!(stale.is_empty(), "run `cargo run -p xtask -- generate`: {stale:?}");
}

#[test]
fn crates_depend_only_on_what_the_architecture_allows() {
    let wrong = xtask::directions::violations(&xtask::root()).unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_dependency_outside_the_table_is_named() {
    let table =
        "| crate | one line | may depend on |\n|---|---|---|\n| a | x | b, c |\n| b | y | – |\n\nrest | of | it";
    let allowed = xtask::directions::table(table).unwrap();
    assert_eq!(allowed.len(), 2);
    assert!(allowed["a"].contains("c") && allowed["b"].is_empty());
}
