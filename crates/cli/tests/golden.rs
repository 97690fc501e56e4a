//! What the verbs print of the bundle in `fixtures/`, against the files in `tests/golden/`. After a change that is meant:
//! `COLDCASE_BLESS=1 cargo test -p coldcase --test golden`, and read the difference before it is committed.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{COLDCASE, Run, folder, is_root, public_copy, schema};

/// The bundle of the demo with its fault `lock`, and packets of the same run by tcpdump.
const CASE: &str = "shop-lock.case";
const PCAP: &str = "shop-lock.pcap";

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

/// A folder of this test's own with the fixtures in it: what is printed holds no path of this machine.
fn bench() -> tempfile::TempDir {
    let dir = folder();
    for file in [CASE, PCAP] {
        std::fs::copy(fixtures().join(file), dir.path().join(file)).unwrap();
    }
    dir
}

/// Runs the verb without any environment: neither terminal, language nor width decides what is printed.
fn run(dir: &Path, args: &[&str]) -> Run {
    let output = Command::new(COLDCASE).args(args).current_dir(dir).env_clear().stdin(Stdio::null()).output();
    output.unwrap().into()
}

/// Fails unless the text is that of the golden file, and says where they part.
#[track_caller]
fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("COLDCASE_BLESS").is_some_and(|v| v == "1") {
        std::fs::write(&path, text).unwrap();
        eprintln!("blessed: {}", path.display());
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    if expected == text {
        return;
    }
    let (mut old, mut new) = (expected.lines(), text.lines());
    for line in 1.. {
        let (o, n) = (old.next(), new.next());
        if o != n || o.is_none() {
            let show = |l: Option<&str>| l.map_or("the end".to_owned(), |l| format!("{l:?}"));
            panic!(
                "{name}, line {line}\n  golden: {}\n  now:    {}\nCOLDCASE_BLESS=1 takes the new one",
                show(o),
                show(n)
            );
        }
    }
}

/// The first lines, and how many there are.
#[cfg(feature = "full")]
fn head(text: &str, lines: usize) -> String {
    let mut head: String = text.lines().take(lines).map(|l| format!("{l}\n")).collect();
    head.push_str(&format!("({} lines)\n", text.lines().count()));
    head
}

#[test]
fn info_tells_what_is_in_the_fixture() {
    let dir = bench();
    golden("info.txt", &run(dir.path(), &["info", CASE]).code(0).stdout);
    let json = run(dir.path(), &["info", CASE, "--json"]).code(0);
    schema::check("info", &json.json());
    golden("info.json", &json.stdout);
}

#[test]
fn verify_finds_the_fixture_as_it_was_sealed() {
    let dir = bench();
    golden("verify.txt", &run(dir.path(), &["verify", CASE]).code(0).stdout);
    let json = run(dir.path(), &["verify", CASE, "--json"]).code(0);
    schema::check("verify", &json.json());
    golden("verify.json", &json.stdout);
}

/// A window in which a request waits for the lock: every kind of event that a reader looks at.
#[cfg(feature = "full")]
const WINDOW: [&str; 4] = ["--from", "+5s", "--to", "+5040ms"];

#[cfg(feature = "full")]
#[test]
fn timeline_prints_a_window_in_order() {
    let dir = bench();
    let window = |more: &[&str]| run(dir.path(), &[&["timeline", CASE], &WINDOW[..], more].concat()).code(0);
    let text = window(&[]).stdout;
    for stream in ["kernel.offcpu", "log.lines", "otlp.traces", "packets"] {
        assert!(text.contains(stream), "{stream} is not in the window");
    }
    golden("timeline.txt", &text);
    golden("timeline-orders.txt", &window(&["--comm", "orders", "--stream", "kernel.offcpu,log,otlp"]).stdout);
    let json = window(&["--json"]).stdout;
    assert_eq!(json.lines().count(), text.lines().count());
    for line in json.lines() {
        schema::check("timeline", &serde_json::from_str(line).unwrap());
    }
    golden("timeline.jsonl", &head(&json, 60));
}

#[cfg(feature = "full")]
#[test]
fn analyze_sums_the_incident_up() {
    let dir = bench();
    let summary = run(dir.path(), &["analyze", CASE, "-o", "report"]).code(0).stdout;
    golden("analyze.txt", &summary);
    let findings = std::fs::read_to_string(dir.path().join("report/findings.json")).unwrap();
    golden("findings.json", &findings);
}

#[cfg(feature = "full")]
#[test]
fn flame_names_functions_and_folds_stacks_of_one_kind() {
    let dir = bench();
    let flame = |more: &[&str]| run(dir.path(), &[&["flame", CASE], more].concat()).code(0).stdout;
    golden("flame.txt", &flame(&[]));
    let (on, off) = (flame(&["--folded"]), flame(&["--folded", "off-cpu"]));
    assert_eq!(on, flame(&["--folded", "on-cpu"]));
    golden("flame-on-cpu.folded", &on);
    let wakeup = flame(&["--folded", "wakeup"]);
    golden("flame-off-cpu.folded", &head(&off, 60));
    golden("flame-wakeup.folded", &head(&wakeup, 60));
    let weight = |t: &str| t.lines().map(|l| l.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum::<u64>();
    let json = run(dir.path(), &["flame", CASE, "--json"]).code(0).json();
    schema::check("flame", &json);
    for (kind, text) in [("on-cpu", &on), ("off-cpu", &off), ("wakeup", &wakeup)] {
        let one = json["flames"].as_array().unwrap().iter().find(|f| f["kind"] == kind).unwrap();
        let stacks = one["stacks"].as_array().unwrap();
        assert_eq!(stacks.len(), text.lines().count(), "{kind}");
        assert_eq!(stacks.iter().map(|s| s[1].as_u64().unwrap()).sum::<u64>(), weight(text), "{kind}");
    }
    run(dir.path(), &["flame", CASE, "--folded", "sideways"]).code(2);
    run(dir.path(), &["flame", CASE, "--by", "moon"]).code(2);
    golden("flame-by-thread.txt", &flame(&["--by", "thread", "--top", "6"]));
}

#[cfg(feature = "full")]
#[test]
fn flame_holds_a_window_against_the_rest_of_the_recording() {
    let dir = bench();
    let window = ["--diff", "--from", "+4s", "--to", "+6s"];
    let flame = |more: &[&str]| run(dir.path(), &[&["flame", CASE], &window[..], more].concat()).code(0);
    golden("flame-diff.txt", &flame(&["--top", "8"]).stdout);
    let folded = flame(&["--folded", "off-cpu"]).stdout;
    golden("flame-diff.folded", &head(&folded, 30));
    let json = flame(&["--json"]).json();
    schema::check("flame", &json);
    // Both sides sum to the graph of the whole, to the nanosecond.
    let whole = run(dir.path(), &["flame", CASE, "--json"]).code(0).json();
    let sum = |of: &serde_json::Value, weights: &dyn Fn(&serde_json::Value) -> u64| {
        of["stacks"].as_array().unwrap().iter().map(weights).sum::<u64>()
    };
    for (diff, one) in json["diffs"].as_array().unwrap().iter().zip(whole["flames"].as_array().unwrap()) {
        assert_eq!(diff["kind"], one["kind"]);
        let both = |s: &serde_json::Value| s["base"].as_u64().unwrap() + s["window"].as_u64().unwrap();
        assert_eq!(sum(diff, &both), sum(one, &|s| s[1].as_u64().unwrap()), "{}", one["kind"]);
        assert!(diff["functions"].as_array().unwrap().len() > 3);
    }
    flame(&["--svg", "diff.svg"]);
    let svg = std::fs::read_to_string(dir.path().join("diff.svg")).unwrap();
    assert!(svg.contains("against the other") && svg.contains("rgb(255,"), "red is what there is more of");
    for threads in ["1", "2"] {
        assert_eq!(flame(&["--folded", "off-cpu", "--threads", threads]).stdout, folded);
    }
    let refused: [(&[&str], &str); 3] = [
        (&[], "no window was given"),
        (&["--from", "+0s", "--to", "+1h"], "covers the whole recording"),
        (&["--from", "+1h"], "holds nothing of the recording"),
    ];
    for (window, why) in refused {
        let said = run(dir.path(), &[&["flame", CASE, "--diff"], window].concat()).code(2).stderr;
        assert!(said.contains(why) && said.contains("hint: --from and --to"), "{said}");
        assert_eq!(said.lines().count(), 2, "{said}");
    }
}

#[cfg(feature = "full")]
#[test]
fn latency_and_flow_print_their_tables() {
    let dir = bench();
    golden("latency.txt", &run(dir.path(), &["latency", CASE]).code(0).stdout);
    for (name, file) in [("flow", CASE), ("flow-pcap", PCAP)] {
        golden(&format!("{name}.txt"), &run(dir.path(), &["flow", file]).code(0).stdout);
        let json = run(dir.path(), &["flow", file, "--json"]).code(0);
        schema::check("flow", &json.json());
        golden(&format!("{name}.json"), &json.stdout);
    }
}

#[cfg(feature = "full")]
#[test]
fn one_connection_is_told_in_words_as_json_and_as_a_picture() {
    let dir = bench();
    for (name, file) in [("flow-conn", CASE), ("flow-conn-pcap", PCAP)] {
        let conn = |more: &[&str]| run(dir.path(), &[&["flow", file, "--conn", "1"], more].concat());
        golden(&format!("{name}.txt"), &conn(&[]).code(0).stdout);
        let json = conn(&["--json"]).code(0);
        let told = json.json();
        schema::check("flow_connection", &told);
        let all = run(dir.path(), &["flow", file, "--json"]).code(0).json();
        assert_eq!(told["connection"], all["connections"][1]);
        // What is drawn sums to what was counted.
        for (way, payload) in ["payload_ab", "payload_ba"].into_iter().enumerate() {
            let segments = told["sequence"]["ways"][way]["segments"].as_array().unwrap();
            let bytes: u64 = segments.iter().map(|s| s["bytes"].as_u64().unwrap()).sum();
            assert_eq!(told["connection"]["tcp"][payload], bytes, "{file} {payload}");
            assert!(segments.len() > 10, "{file} {payload}");
        }
        for threads in ["1", "2"] {
            assert_eq!(conn(&["--json", "--threads", threads]).code(0).stdout, json.stdout);
        }
        let svg = format!("{name}.svg");
        conn(&["--svg", &svg]).code(0);
        let drawn = std::fs::read_to_string(dir.path().join(&svg)).unwrap();
        assert!(drawn.starts_with("<?xml") && drawn.contains("Segments over time"), "{svg}");
        conn(&["--svg", &svg]).code(2);
    }
    let said = run(dir.path(), &["flow", PCAP, "--conn", "99"]).code(2).stderr;
    assert!(said.contains("--conn 99") && said.contains("the last is 5") && said.contains("hint: "), "{said}");
    run(dir.path(), &["flow", CASE, PCAP, "--conn", "0"]).code(2);
}

#[cfg(feature = "full")]
#[test]
fn every_verb_that_reads_takes_the_same_scope() {
    let dir = bench();
    let scopes: [&[&str]; 6] = [
        &["--comm", "orders"],
        &["--service", "orders"],
        &["--cgroup", "/nowhere"],
        &["--container", "0123456789ab"],
        &["--pid", "1"],
        &["--from", "+5s", "--to", "+6s"],
    ];
    for verb in ["timeline", "flame", "latency", "flow", "analyze"] {
        let all = run(dir.path(), &[verb, CASE, "--json"]).code(0).stdout.len();
        for scope in scopes {
            let narrow = run(dir.path(), &[&[verb, CASE, "--json"], scope].concat()).code(0).stdout.len();
            assert!(narrow < all, "{verb} {scope:?}: {narrow} of {all}");
        }
    }
    let of = |verb: &str, scope: &[&str]| run(dir.path(), &[&[verb, CASE, "--json"], scope].concat()).code(0).json();
    let flames = of("flame", &["--service", "orders"]);
    let stacks = || flames["flames"].as_array().unwrap().iter().flat_map(|f| f["stacks"].as_array().unwrap());
    assert!(stacks().count() > 10 && stacks().all(|s| s[0].as_str().unwrap().starts_with("orders[")));
    // One trace: its spans, and what their threads did meanwhile.
    let traced =
        run(dir.path(), &["timeline", CASE, "--stream", "otlp.traces", "--json", "--from", "+6s"]).code(0).stdout;
    let span: serde_json::Value = serde_json::from_str(traced.lines().next().unwrap()).unwrap();
    let trace = span["fields"]["trace"].as_str().unwrap();
    let lines = run(dir.path(), &["timeline", CASE, "--trace", trace, "--json"]).code(0).stdout;
    let streams: Vec<String> = lines
        .lines()
        .map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap()["stream"].as_str().unwrap().to_owned())
        .collect();
    for stream in ["otlp.traces", "kernel.offcpu"] {
        assert!(streams.iter().any(|s| s == stream), "{stream}: {lines}");
    }
    let one = of("latency", &["--trace", trace]);
    let count = |group: &str| -> u64 {
        let of = one["latencies"].as_array().unwrap().iter().filter(|l| l["group"] == group);
        of.map(|l| l["count"].as_u64().unwrap()).sum()
    };
    assert_eq!(count("span"), streams.iter().filter(|s| *s == "otlp.traces").count() as u64);
    assert!(count("off_cpu") > 0);
}

#[cfg(feature = "full")]
#[test]
fn several_bundles_are_each_told_by_name() {
    let dir = bench();
    std::fs::copy(dir.path().join(CASE), dir.path().join("other.case")).unwrap();
    for verb in ["info", "verify", "analyze", "flame", "latency", "flow"] {
        let both = run(dir.path(), &[verb, CASE, "other.case", "--json"]).code(0).json();
        let both = both.as_array().unwrap();
        assert_eq!(both.len(), 2, "{verb}");
        if !matches!(verb, "info" | "verify" | "analyze") {
            assert_eq!((&both[0]["bundle"]["file"], &both[1]["bundle"]["file"]), (&CASE.into(), &"other.case".into()));
        }
    }
    let text = run(dir.path(), &["latency", CASE, "other.case"]).code(0).stdout;
    assert!(text.starts_with(&format!("== {CASE}\n")) && text.contains("\n== other.case\n"), "{text}");
    let folded = run(dir.path(), &["flame", CASE, "other.case", "--folded"]).code(0).stdout;
    assert!(folded.lines().all(|l| l.starts_with(&format!("{CASE};")) || l.starts_with("other.case;")));
    run(dir.path(), &["flame", CASE, "other.case", "--svg", "flame.svg"]).code(2);
    run(dir.path(), &["analyze", CASE, "other.case", "-o", "reports"]).code(0);
    for file in [CASE, "other.case"] {
        assert!(dir.path().join(format!("reports/{file}.report/report.html")).exists(), "{file}");
    }
    run(dir.path(), &["analyze", CASE, CASE, "-o", "again"]).code(2);
    let (flow, capture) = (run(dir.path(), &["flow", CASE, PCAP]).code(0), run(dir.path(), &["flow", PCAP]).code(0));
    assert!(flow.stdout.ends_with(&capture.stdout));

    // One of them is damaged, one is no bundle: the others are told all the same, and the worst decides.
    let mut bytes = std::fs::read(dir.path().join(CASE)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(dir.path().join("bad.case"), bytes).unwrap();
    std::fs::write(dir.path().join("note.txt"), "not a bundle").unwrap();
    let said = run(dir.path(), &["verify", "bad.case", CASE]).code(1).stdout;
    assert!(said.contains("bad.case: damaged") && said.contains(&format!("{CASE}: sealed and intact")), "{said}");
    let said = run(dir.path(), &["verify", "note.txt", CASE]).code(2);
    assert!(said.stdout.contains("sealed and intact") && said.stderr.contains("note.txt"), "{}", said.stderr);
    let said = run(dir.path(), &["info", "note.txt", CASE]).code(2);
    assert!(said.stdout.contains(CASE) && said.stderr.contains("note.txt"), "{}", said.stderr);
}

/// Name and bytes of each file of a report.
#[cfg(feature = "full")]
fn report(dir: &Path, threads: &str) -> Vec<(std::ffi::OsString, Vec<u8>)> {
    let to = tempfile::tempdir_in(dir).unwrap();
    let to = to.path().join("report");
    run(dir, &["analyze", CASE, "--threads", threads, "-o", to.to_str().unwrap()]).code(0);
    let mut files: Vec<_> = std::fs::read_dir(&to).unwrap().map(|e| e.unwrap()).collect();
    files.sort_by_key(std::fs::DirEntry::file_name);
    files.iter().map(|f| (f.file_name(), std::fs::read(f.path()).unwrap())).collect()
}

#[cfg(feature = "full")]
#[test]
fn the_report_does_not_depend_on_the_threads_nor_on_the_run() {
    let dir = bench();
    let one = report(dir.path(), "1");
    let names: Vec<_> = one.iter().map(|(name, _)| name.to_str().unwrap()).collect();
    assert_eq!(names, ["findings.json", "flame.svg", "flow.svg", "latency.svg", "report.html"]);
    assert!(one.iter().all(|(_, bytes)| bytes.len() > 1000));
    for threads in ["1", "2", "2", "7"] {
        for ((name, expected), (_, found)) in one.iter().zip(report(dir.path(), threads)) {
            assert!(*expected == found, "{name:?} differs with {threads} threads");
        }
    }
}

#[test]
fn a_bundle_reads_the_same_for_another_user_in_an_empty_folder() {
    let name = "a_bundle_reads_the_same_for_another_user_in_an_empty_folder";
    if !is_root(name) {
        return;
    }
    let (mine, theirs) = (bench(), folder());
    public_copy(theirs.path());
    std::fs::copy(fixtures().join(CASE), theirs.path().join(CASE)).unwrap();
    let nobody = |args: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs", "./coldcase"]).args(args);
        let output = command.current_dir(theirs.path()).env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
        Run::from(output.output().unwrap())
    };
    let mut verbs: Vec<Vec<&str>> = vec![vec!["info", CASE], vec!["verify", CASE]];
    if cfg!(feature = "full") {
        verbs.extend([vec!["timeline", CASE, "--limit", "2000"], vec!["latency", CASE], vec!["flow", CASE]]);
        verbs.extend([vec!["flame", CASE], vec!["analyze", CASE, "--json"]]);
    }
    for args in verbs {
        let (ours, other) = (run(mine.path(), &args).code(0), nobody(&args).code(0));
        assert!(!ours.stdout.is_empty() && ours.stdout == other.stdout, "{args:?}");
    }
    #[cfg(feature = "full")]
    {
        nobody(&["analyze", CASE, "-o", "report"]).code(0);
        let page = std::fs::read(theirs.path().join("report/report.html")).unwrap();
        let ours = report(mine.path(), "2");
        assert!(ours.iter().any(|(name, bytes)| name == "report.html" && *bytes == page));
    }
}

/// Python that can import the module: that of `.venv`, or that of the system.
fn python(module: &str) -> Option<PathBuf> {
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin/python");
    [venv, PathBuf::from("python3")].into_iter().find(|python| {
        let import = Command::new(python).args(["-c", &format!("import {module}")]).stderr(Stdio::null()).status();
        import.is_ok_and(|s| s.success())
    })
}

#[cfg(feature = "full")]
#[test]
fn polars_reads_as_many_rows_from_the_exported_tables_as_info_counts() {
    let Some(python) = python("polars") else {
        eprintln!("skipped: no Python with polars (`make setup` installs it)");
        return;
    };
    let dir = bench();
    let told = run(dir.path(), &["export", "--parquet", "tables", CASE, "--json"]).code(0).json();
    let count = "import polars, pathlib, json; print(json.dumps({f.stem: polars.read_parquet(f).height \
                 for f in pathlib.Path('tables').glob('*.parquet')}))";
    let counted = Run::from(Command::new(python).args(["-c", count]).current_dir(dir.path()).output().unwrap());
    let counted = counted.code(0).json();
    let info = run(dir.path(), &["info", "--json", CASE]).code(0).json();
    let mut compared = 0;
    for stream in info["streams"].as_array().unwrap() {
        let table = stream["name"].as_str().unwrap().replace('.', "_");
        // Raw messages have no table of their own but those of what is decoded from them.
        if stream["kind"] != 0 {
            assert_eq!(counted[&table], stream["events"], "{table}");
            compared += 1;
        }
    }
    assert!(compared >= 15, "{compared}");
    for table in told["tables"].as_array().unwrap() {
        assert_eq!(counted[table["name"].as_str().unwrap()], table["rows"], "{table}");
    }
    for table in ["spans", "logs", "metrics", "packets"] {
        assert!(counted[table].as_u64().unwrap() > 100, "{table}");
    }
    assert_eq!(counted["logs"], counted["log_lines"]);
}

#[test]
fn the_schemas_are_schemas_and_python_agrees_that_the_outputs_follow_them() {
    let Some(python) = python("jsonschema") else {
        eprintln!("skipped: no Python with jsonschema");
        return;
    };
    let dir = bench();
    let mut pairs = vec![("info", vec!["info", "--json", CASE]), ("verify", vec!["verify", "--json", CASE])];
    if cfg!(feature = "full") {
        pairs.push(("flow", vec!["flow", "--json", CASE]));
        pairs.push(("timeline", vec!["timeline", "--json", "--limit", "1", CASE]));
    }
    for (name, args) in pairs {
        std::fs::write(dir.path().join(format!("{name}.json")), run(dir.path(), &args).code(0).stdout).unwrap();
    }
    let check = "import sys, json, pathlib, jsonschema
for path in sorted(pathlib.Path(sys.argv[1]).glob('*.schema.json')):
    schema = json.loads(path.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    output = pathlib.Path(path.name.replace('.schema', ''))
    if output.exists():
        jsonschema.Draft202012Validator(schema).validate(json.loads(output.read_text()))
        print(path.name)";
    let formats = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../formats");
    let mut command = Command::new(python);
    let judged: Run = command.args(["-c", check]).arg(formats).current_dir(dir.path()).output().unwrap().into();
    let judged = judged.code(0).stdout;
    let expected = if cfg!(feature = "full") { 4 } else { 2 };
    assert_eq!(judged.lines().count(), expected, "{judged}");
}
