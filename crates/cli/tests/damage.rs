//! What damaged, foreign and absent files get: one clear error or a counted gap, and the exit code of the contract.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::path::Path;

use common::{folder, run_in, schema};

/// A small sealed bundle, written without a recorder.
fn bundle(folder: &Path) -> Vec<u8> {
    use coldcase_model::events::HostMetric;
    use coldcase_model::manifest::Manifest;
    use coldcase_model::{Columns, Event};
    let path = folder.join("whole.case");
    let options = coldcase_bundle::WriterOptions { chunk_bytes: 4 << 10, ..Default::default() };
    let writer = coldcase_bundle::Writer::create(&path, true, options).unwrap();
    for batch in 0..20u64 {
        let mut columns = Columns::new(&HostMetric::DEF);
        for i in 0..100u64 {
            let time = 1_000_000_000 * (batch + 1) + i * 7_919;
            let labels = format!("cpu=\"{}\"", i * 31 + batch);
            HostMetric { time, name: "node_cpu_seconds_total".into(), labels, value: i as f64 }.push(&mut columns);
        }
        writer.append(HostMetric::DEF.stream, columns).unwrap();
        writer.flush().unwrap();
    }
    writer.seal(Manifest { tool: "test".into(), ..Manifest::default() }).unwrap();
    std::fs::read(path).unwrap()
}

#[test]
fn what_is_no_bundle_is_2_and_one_line() {
    let dir = folder();
    std::fs::write(dir.path().join("empty.case"), b"").unwrap();
    std::fs::write(dir.path().join("text.case"), b"hello, world\n".repeat(100)).unwrap();
    std::fs::create_dir(dir.path().join("folder.case")).unwrap();
    for verb in ["info", "verify"] {
        for file in ["empty.case", "text.case", "folder.case", "absent.case"] {
            let run = run_in(dir.path(), &[verb, file]).code(2);
            let first = run.stderr.lines().next().unwrap();
            assert!(first.starts_with("error: ") && first.contains(file), "{verb} {file}: {}", run.stderr);
            assert!(run.stdout.is_empty());
        }
    }
    run_in(dir.path(), &["recover", "text.case", "-o", "out.case"]).code(2);
    assert!(!dir.path().join("out.case").exists());
}

#[test]
fn a_flipped_byte_is_found_named_and_recovered_from() {
    let dir = folder();
    let mut bytes = bundle(dir.path());
    run_in(dir.path(), &["verify", "whole.case"]).code(0);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    std::fs::write(dir.path().join("flipped.case"), &bytes).unwrap();
    let json = run_in(dir.path(), &["verify", "--json", "flipped.case"]).code(1).json();
    schema::check("verify", &json);
    assert_eq!(json["ok"], false);
    let bad = |end: &str| json["first_bad"][end].as_u64().unwrap() as usize;
    assert!(bad("start") <= middle && middle < bad("end"), "{json}");
    assert!(!json["reasons"].as_array().unwrap().is_empty());
    let recovered = run_in(dir.path(), &["recover", "flipped.case", "-o", "out.case", "--json"]).code(3).json();
    schema::check("recover", &recovered);
    assert!(recovered["rows"]["host.metric"].as_u64().unwrap() >= 1800, "{recovered}");
    run_in(dir.path(), &["verify", "out.case"]).code(0);
    run_in(dir.path(), &["recover", "whole.case", "-o", "out.case"]).code(2);
    run_in(dir.path(), &["recover", "whole.case", "-o", "again.case"]).code(0);
}

#[test]
fn a_file_cut_anywhere_never_panics_and_its_rest_is_read() {
    let dir = folder();
    let bytes = bundle(dir.path());
    let step = (bytes.len() / 40).max(1);
    for end in (0..bytes.len()).step_by(step) {
        std::fs::write(dir.path().join("cut.case"), &bytes[..end]).unwrap();
        let verify = run_in(dir.path(), &["verify", "cut.case"]);
        assert!([1, 2, 3].contains(&verify.code), "cut at {end}: {} {}", verify.code, verify.stderr);
        let info = run_in(dir.path(), &["info", "cut.case"]);
        assert!([0, 2].contains(&info.code), "cut at {end}: {} {}", info.code, info.stderr);
        assert!(!info.stderr.contains("panicked") && !verify.stderr.contains("panicked"), "cut at {end}");
        if info.code == 0 {
            assert!(info.stdout.contains("INCOMPLETE"), "cut at {end}: {}", info.stdout);
        }
    }
}

#[test]
fn several_bundles_are_shown_one_after_the_other() {
    let dir = folder();
    let bytes = bundle(dir.path());
    std::fs::write(dir.path().join("other.case"), bytes).unwrap();
    let json = run_in(dir.path(), &["info", "--json", "whole.case", "other.case"]).code(0).json();
    assert_eq!(json.as_array().unwrap().len(), 2);
    assert_eq!(json[1]["streams"][0]["events"], 2000);
    run_in(dir.path(), &["info", "whole.case", "absent.case"]).code(2);
}

#[test]
fn no_verb_hides_that_a_bundle_was_cut() {
    let dir = folder();
    let bytes = bundle(dir.path());
    std::fs::write(dir.path().join("cut.case"), &bytes[..bytes.len() / 2]).unwrap();
    for verb in ["flame", "latency", "flow", "timeline"] {
        let run = run_in(dir.path(), &[verb, "cut.case"]).code(0);
        assert!(run.stderr.contains("warning:") && run.stderr.contains("cut short"), "{verb}: {}", run.stderr);
    }
    let run = run_in(dir.path(), &["analyze", "cut.case", "-o", "report", "--strict"]).code(3);
    assert!(run.stdout.contains("could not be read") && !run.stdout.contains("Nothing was lost"), "{}", run.stdout);
    let run = run_in(dir.path(), &["info", "cut.case"]).code(0);
    assert!(!run.stdout.contains("nothing lost"), "{}", run.stdout);
}
