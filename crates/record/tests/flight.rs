//! Flight recordings: what a dump holds, what makes one, what survives a kill, and what the folder takes.
//!
//! Each recorder is a process of its own: this test program, started again as `the_recorder`.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod flight_support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use coldcase_bundle::verify;
use coldcase_model::events::{CpuSample, Mapping, Process, Symbol, Trigger};
use coldcase_model::{Column, Event};
use coldcase_record::flight::{Wanted, dump_here, dump_of};
use flight_support::{Recorder, Rows, boottime, du, root, scratch, wait_for};

/// Not a test: the recorder's process.
#[test]
fn the_recorder() {
    flight_support::recorder_process();
}

/// Not a test: a process that burns CPU in a function of a known name.
#[test]
fn the_burner() {
    flight_support::burner_process();
}

#[test]
fn a_dump_on_a_signal_holds_every_event_of_its_window_once() {
    let dir = scratch();
    let recorder = Recorder::start(&dir, "[flight]\nwindow = '8s'\npre = '4s'\npost = '1s'\n", "");
    std::thread::sleep(Duration::from_secs(8));
    let asked = boottime();
    recorder.signal("-USR1");
    let dump = recorder.wait_for_dump(0);
    let v = verify(&dump).unwrap();
    assert!(v.ok && v.sealed, "{v:?}");
    let rows = Rows::read(std::slice::from_ref(&dump));
    let entry = rows.manifest.flight.clone().unwrap().dump.unwrap();
    assert_eq!((entry.kind.as_str(), entry.left_out.len()), ("signal", 0), "{entry:?}");
    assert!(entry.fired.abs_diff(asked) < 1_000_000_000);
    assert_eq!((entry.fired - entry.from, entry.to - entry.fired), (4_000_000_000, 1_000_000_000));
    assert_eq!(entry.held_from, entry.from);
    for stream in ["host.metric", "log.lines", "otlp.traces"] {
        let numbered = rows.numbered(stream);
        let (first, last) = (numbered.first().unwrap(), numbered.last().unwrap());
        // A chunk is 0.7 s of a class; so much may stand around the window.
        assert!(
            first.time + 2_000_000_000 > entry.from && last.time < entry.to + 3_000_000_000,
            "{stream}: and little more"
        );
        for (a, b) in numbered.iter().zip(&numbered[1..]) {
            assert_eq!((b.number, b.row), (a.number + 1, a.row + 1), "{stream}: nothing is missing or told twice");
        }
        assert!(numbered.len() > 300, "{stream}: {}", numbered.len());
    }
    // The segments hold each event once, too, over all the files that there were.
    let segments = recorder.end();
    let (of_dump, rows) = (rows, Rows::read(&segments));
    for stream in ["host.metric", "log.lines", "otlp.traces"] {
        let numbered = rows.numbered(stream);
        let dumped = of_dump.numbered(stream);
        let within = numbered.iter().filter(|n| n.time >= entry.from && n.time <= entry.to).map(|n| n.number);
        let dumped: Vec<u64> = dumped.iter().map(|n| n.number).collect();
        let missing: Vec<u64> = within.filter(|n| !dumped.contains(n)).collect();
        assert_eq!(missing, [0; 0], "{stream}: the window is whole");
        let whole = numbered.iter().zip(&numbered[1..]).all(|(a, b)| b.number == a.number + 1 && b.row == a.row + 1);
        assert!(whole && segments.len() > 5, "{stream} in {} segments", segments.len());
    }
    let fired = rows.rows(Trigger::DEF.stream, |c, i| {
        let c = Trigger::cols(c).unwrap();
        (c.kind.text(i).into_owned(), c.outcome.text(i).into_owned())
    });
    assert_eq!(fired, [("signal".to_owned(), "dump".to_owned())]);
}

#[test]
fn a_kill_loses_nothing_that_was_kept_and_the_next_run_dumps_it() {
    let dir = scratch();
    let config = "[flight]\nwindow = '20s'\npost = '0s'\n";
    let first = Recorder::start(&dir, config, "");
    std::thread::sleep(Duration::from_secs(4));
    let killed = boottime();
    first.signal("-KILL");
    first.wait();
    std::fs::write(dir.path().join("flight/notes.txt"), "mine").unwrap();
    std::fs::write(dir.path().join("flight/segments/notes.txt"), "mine").unwrap();
    let second = Recorder::start(&dir, config, "");
    std::thread::sleep(Duration::from_secs(3));
    let wanted = Wanted { reason: "after the kill".into(), ..Wanted::default() };
    let made = dump_of(Some(second.pid()), &wanted).unwrap_or_else(|e| panic!("{e}: {:?}", second.said()));
    let v = verify(&made.path).unwrap();
    assert!(v.ok && v.sealed, "{v:?}");
    let rows = Rows::read(std::slice::from_ref(&made.path));
    for stream in ["host.metric", "log.lines", "otlp.traces"] {
        let numbered = rows.numbered(stream);
        let before: Vec<_> = numbered.iter().filter(|n| n.run == first.pid()).collect();
        let after: Vec<_> = numbered.iter().filter(|n| n.run == second.pid()).collect();
        assert!(before.first().unwrap().number == 0, "{stream}: from the first run's first event");
        // The bound of a kill is two seconds.
        assert!(before.last().unwrap().time + 2_000_000_000 > killed, "{stream}: up to the kill");
        assert!(before.iter().zip(&before[1..]).all(|(a, b)| b.number == a.number + 1), "{stream}");
        assert!(after.first().unwrap().number == 0 && after.len() > 100, "{stream}");
        assert!(numbered.iter().zip(&numbered[1..]).all(|(a, b)| b.row == a.row + 1), "{stream}: rows are numbered on");
    }
    assert_eq!(rows.manifest.flight.unwrap().dump.unwrap().text, "after the kill");
    second.signal("-KILL");
    second.wait();
    // Nobody records any more: the folder is enough.
    let made = dump_here(&dir.path().join("flight"), &Wanted::default()).unwrap();
    assert!(verify(&made.path).unwrap().ok);
    let runs: BTreeMap<u32, usize> =
        Rows::read(&[made.path]).numbered("log.lines").iter().fold(BTreeMap::new(), |mut m, n| {
            *m.entry(n.run).or_default() += 1;
            m
        });
    assert_eq!(runs.len(), 2, "{runs:?}");
    for notes in ["flight/notes.txt", "flight/segments/notes.txt"] {
        assert_eq!(std::fs::read(dir.path().join(notes)).unwrap(), b"mine");
    }
}

#[test]
fn the_folder_never_takes_more_than_its_limit() {
    let dir = scratch();
    let cap: u64 = 8 << 20;
    // A MiB of noise a second, which nothing compresses: the window never fits.
    let config = format!("max-size = '{cap}'\n[flight]\nwindow = '60s'\npost = '0s'\ndisk-floor = '1MiB'\n");
    let recorder = Recorder::start(&dir, &config, "noise");
    let end = Instant::now() + Duration::from_secs(14);
    let (mut most, mut looks, mut asked) = (0, 0, Instant::now() + Duration::from_secs(3));
    while Instant::now() < end {
        most = most.max(du(&dir.path().join("flight")));
        looks += 1;
        if Instant::now() >= asked {
            recorder.signal("-USR1");
            asked += Duration::from_secs(3);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let dumps = recorder.dumps();
    assert!(most <= cap, "{most} of {cap} bytes");
    assert!(most > cap / 4 && looks > 100, "it was used: {most}");
    assert!(dumps.len() >= 2, "{dumps:?}");
    for dump in &dumps {
        let v = verify(dump).unwrap();
        assert!(v.ok && v.sealed, "{v:?}");
        let entry = Rows::read(std::slice::from_ref(dump)).manifest.flight.unwrap().dump.unwrap();
        assert!(
            !entry.left_out.is_empty() && entry.held_from > entry.from,
            "it says that the window is short: {entry:?}"
        );
    }
    let segments = recorder.end();
    let numbered = Rows::read(&segments).numbered("otlp.traces");
    assert!(numbered.iter().zip(&numbered[1..]).all(|(a, b)| b.number == a.number + 1), "what is held has no hole");
    assert!(du(&dir.path().join("flight")) <= cap);
}

#[test]
fn each_kind_of_trigger_fires_for_its_cause_and_for_nothing_else() {
    let dir = scratch();
    let log = dir.path().join("app.log");
    std::fs::write(&log, "").unwrap();
    let (page, port) = flight_support::page("errors_total{code=\"500\"} 1\n");
    let mut config = format!(
        "[logs]\npaths = ['{}']\n[metrics]\ntargets = ['http://127.0.0.1:{port}/metrics@0.5']\n\
         [otlp]\ngrpc = '127.0.0.1:0'\nhttp = '127.0.0.1:{}'\n[flight]\nwindow = '20s'\npost = '0s'\ncooldown = '0s'\n",
        log.display(),
        flight_support::OTLP_PORT,
    );
    let rules = [
        ("a-line", "kind = 'log'\npattern = 'ERROR.*timeout'"),
        ("too-many", "kind = 'metric'\npattern = 'errors_total{code=\"500\"}'\nthreshold = 100"),
        ("rising", "kind = 'metric'\npattern = 'errors_total{code=\"503\"}'\nrise = 10"),
        ("slow", "kind = 'span'\npattern = 'POST /order'\nthreshold = '500ms'"),
        ("failed", "kind = 'span'\npattern = 'GET /'\nerror = true"),
        ("never", "kind = 'psi'\npattern = 'cpu:full:avg10'\nthreshold = 0"),
        ("killed", "kind = 'oom'"),
    ];
    let is_root = root("exits in each_kind_of_trigger_fires");
    for (name, rule) in
        rules.iter().chain(is_root.then_some(&("died", "kind = 'exit'\npattern = 'cc-worker'\ncode = '!0'")))
    {
        config.push_str(&format!("[[flight.trigger]]\nname = '{name}'\n{rule}\n"));
    }
    let recorder = Recorder::start(&dir, &config, "sources");
    let say = |line: &str| {
        use std::io::Write;
        writeln!(std::fs::OpenOptions::new().append(true).open(&log).unwrap(), "{line}").unwrap();
    };
    // What comes close.
    let near = || {
        say("timeout: no ERROR");
        *page.lock().unwrap() =
            "errors_total{code=\"500\"} 99\nerrors_total{code=\"404\"} 9999\nerrors_total{code=\"503\"} 3\n".into();
        flight_support::send_span("POST /order", 499, 0);
        flight_support::send_span("GET /other", 9000, 2);
        flight_support::exit_as(&dir, "cc-worker", 0);
        flight_support::exit_as(&dir, "cc-other", 3);
    };
    near();
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(recorder.dumps(), Vec::<std::path::PathBuf>::new(), "{:?}", recorder.said());
    let mut made = 0;
    let mut expect = |name: &str, kind: &str, text: &str, value: std::ops::Range<f64>| {
        let dump = recorder.wait_for_dump(made);
        made += 1;
        assert_eq!(recorder.dumps().len(), made, "one cause, one dump");
        let entry = Rows::read(&[dump]).manifest.flight.unwrap().dump.unwrap();
        assert_eq!((entry.trigger.as_str(), entry.kind.as_str()), (name, kind));
        assert!(entry.text.contains(text) && value.contains(&entry.value), "{entry:?}");
    };
    say("12:00 ERROR: connect: timeout");
    expect("a-line", "log", "12:00 ERROR: connect: timeout", 0.0..2.0);
    *page.lock().unwrap() = "errors_total{code=\"500\"} 101\nerrors_total{code=\"503\"} 3\n".into();
    expect("too-many", "metric", "errors_total{code=\"500\"}", 100.5..101.5);
    *page.lock().unwrap() = "errors_total{code=\"500\"} 101\nerrors_total{code=\"503\"} 30\n".into();
    expect("rising", "metric", "503", 10.0..60.0);
    flight_support::send_span("POST /order", 501, 0);
    expect("slow", "span", "POST /order", 5.0e8..5.1e8);
    flight_support::send_span("GET /", 1, 2);
    expect("failed", "span", "GET /", 0.9e6..1.1e6);
    if is_root {
        flight_support::exit_as(&dir, "cc-worker", 7);
        expect("died", "exit", "cc-worker", 6.5..7.5);
        if flight_support::make_oom_kill() {
            expect("killed", "oom", "OOM", 0.5..100.0);
        }
    }
    near();
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(recorder.dumps().len(), made);
    drop(recorder);
}

#[test]
fn a_trigger_keeps_to_its_cooldown_and_its_number_of_dumps_and_one_dump_is_made_at_a_time() {
    let dir = scratch();
    let log = dir.path().join("app.log");
    std::fs::write(&log, "").unwrap();
    let config = format!(
        "[logs]\npaths = ['{}']\n[flight]\nwindow = '60s'\npost = '1s'\n[[flight.trigger]]\nkind = 'log'\n\
         pattern = 'boom'\ncooldown = '6s'\nmax-dumps = 2\n[[flight.trigger]]\nname = 'pressed'\nkind = 'psi'\n\
         pattern = 'cpu:some:avg10'\nthreshold = -1\nfor = '20s'\n",
        log.display()
    );
    let recorder = Recorder::start(&dir, &config, "sources");
    let begun = Instant::now();
    let say = || {
        use std::io::Write;
        writeln!(std::fs::OpenOptions::new().append(true).open(&log).unwrap(), "boom").unwrap();
    };
    say();
    std::thread::sleep(Duration::from_millis(700));
    recorder.signal("-USR1");
    let busy = dump_of(Some(recorder.pid()), &Wanted::default()).unwrap_err();
    assert!(busy.to_string().contains("another dump"), "{busy}");
    recorder.wait_for_dump(0);
    say();
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(recorder.dumps().len(), 1, "within the cooldown");
    std::thread::sleep(Duration::from_secs(7).saturating_sub(begun.elapsed()));
    say();
    recorder.wait_for_dump(1);
    std::thread::sleep(Duration::from_secs(15).saturating_sub(begun.elapsed()));
    say();
    // Pressure above nothing for so long: that fires by itself, once.
    let third = recorder.wait_for_dump(2);
    assert!(third.to_string_lossy().contains("-pressed."), "{}", third.display());
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(recorder.dumps().len(), 3, "two of the line, and one of the pressure");
    let segments = recorder.end();
    let outcomes = Rows::read(&segments).rows(Trigger::DEF.stream, |c, i| {
        let c = Trigger::cols(c).unwrap();
        format!("{} {}", c.name.text(i), c.outcome.text(i))
    });
    for outcome in ["log dump", "signal busy", "command busy", "log cooldown", "pressed dump"] {
        assert!(outcomes.iter().any(|o| o == outcome), "{outcome} is missing: {outcomes:?}");
    }
    // A later run knows how many there were.
    let recorder = Recorder::start(&dir, &config.replace("for = '20s'", "for = '1h'"), "sources");
    say();
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(recorder.dumps().len(), 3);
}

#[test]
fn under_the_disk_floor_there_is_no_dump_and_the_ledger_says_what_went() {
    let dir = scratch();
    let config = "[flight]\nwindow = '20s'\npost = '0s'\ndisk-floor = '900TiB'\n";
    let recorder = Recorder::start(&dir, config, "");
    std::thread::sleep(Duration::from_secs(5));
    let refused = dump_of(Some(recorder.pid()), &Wanted::default()).unwrap_err();
    assert!(refused.to_string().contains("free"), "{refused}");
    let segments = recorder.end();
    assert!(segments.len() <= 2, "{segments:?}");
    let losses = Rows::read(&segments).manifest.losses;
    assert!(losses.iter().any(|l| l.reason == "disk-full" && l.count > 0 && l.bytes > 0), "{losses:?}");
}

#[test]
fn a_process_that_ended_within_the_window_keeps_its_name_its_arguments_and_its_functions() {
    if !root("a_process_that_ended_within_the_window") {
        return;
    }
    let dir = scratch();
    let mut burner = flight_support::burn();
    let config = "[flight]\nwindow = '6s'\npre = '3s'\npost = '0s'\n";
    let recorder = Recorder::start(&dir, config, "sources");
    std::thread::sleep(Duration::from_secs(9));
    burner.kill().unwrap();
    burner.wait().unwrap();
    std::thread::sleep(Duration::from_millis(800));
    let made = dump_of(Some(recorder.pid()), &Wanted::default()).unwrap();
    let rows = Rows::read(&[made.path]);
    let pid = burner.id();
    let named = rows.rows(Process::DEF.stream, |c, i| {
        let c = Process::cols(c).unwrap();
        (c.pid[i], c.comm.text(i).into_owned(), c.argv.text(i).into_owned(), c.time[i])
    });
    let mine: Vec<_> = named.iter().filter(|n| n.0 == pid).collect();
    assert!(mine.iter().any(|n| n.2.contains("the_burner")), "{mine:?}");
    assert!(
        mine.iter().all(|n| n.3 > made.entry.segments[0].first - 3_000_000_000),
        "told again, not kept from the start"
    );
    let maps = rows.rows(Mapping::DEF.stream, |c, i| {
        let c = Mapping::cols(c).unwrap();
        (c.pid[i], c.start[i], c.end[i], c.offset[i], c.build_id.text(i).into_owned(), c.path.text(i).into_owned())
    });
    let symbols = rows.rows(Symbol::DEF.stream, |c, i| {
        let c = Symbol::cols(c).unwrap();
        (c.module.text(i).into_owned(), c.start[i], c.size[i], c.name.text(i).into_owned())
    });
    let stacks = rows.rows(CpuSample::DEF.stream, |c, i| match (c.get("pid"), c.get("user_stack")) {
        (Some(Column::U32(pids)), Some(Column::Stack(stacks))) => (pids[i], stacks.get(i).to_vec()),
        _ => (0, Vec::new()),
    });
    let leaves: Vec<u64> = stacks.iter().filter(|s| s.0 == pid).filter_map(|s| s.1.first().copied()).collect();
    assert!(leaves.len() > 20, "{} samples", leaves.len());
    let name = |address: u64| {
        let map = maps.iter().find(|m| m.0 == pid && m.1 <= address && address < m.2)?;
        let offset = address - map.1 + map.3;
        let module = if map.4.is_empty() { format!("path:{}", map.5) } else { format!("build-id:{}", map.4) };
        let found = symbols.iter().find(|s| s.0 == module && s.1 <= offset && offset < s.1 + s.2.max(1))?;
        Some(found.3.clone())
    };
    let hot = leaves.iter().filter(|&&a| name(a).is_some_and(|n| n.contains("burn_for_the_flight"))).count();
    let all = leaves.iter().filter(|&&a| name(a).is_some()).count();
    assert!(
        all * 100 >= leaves.len() * 95 && hot * 2 > leaves.len(),
        "{all} named, {hot} of the function, of {}",
        leaves.len()
    );
}

#[test]
fn a_folder_has_one_recorder_and_a_limit_that_is_too_small_is_refused() {
    let dir = scratch();
    let recorder = Recorder::start(&dir, "[flight]\nwindow = '5s'\n", "");
    let said = flight_support::refused(&dir, "[flight]\nwindow = '5s'\n");
    assert!(said.contains(&format!("process {} records into it", recorder.pid())), "{said}");
    drop(recorder);
    let said = flight_support::refused(&dir, "max-size = '1MiB'\n[flight]\nwindow = '5s'\n");
    assert!(said.contains("at least 8 MiB"), "{said}");
    wait_for("nothing to be left running", || true);
}
