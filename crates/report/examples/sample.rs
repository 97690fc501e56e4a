//! Writes the reports of the tests' sample analyses, to look at: `cargo run -p coldcase-report --example sample -- DIR`.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

#[path = "../tests/sample/mod.rs"]
mod sample;

fn main() {
    let dir = std::path::PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "/tmp/coldcase-sample".into()));
    let empty = coldcase_model::analysis::Analysis::default();
    for (name, analysis) in [
        ("incident", sample::incident()),
        ("empty", empty),
        ("hostile", sample::hostile()),
        ("crowded", sample::crowded()),
    ] {
        let written = coldcase_report::render_all(&analysis, &dir.join(name)).unwrap();
        println!("{}", coldcase_report::terminal::summary(&analysis, 100, false));
        println!("{}", coldcase_report::terminal::files(&written, false));
    }
}
