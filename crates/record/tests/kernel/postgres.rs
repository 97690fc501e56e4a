//! Statements of a Postgres of the test's own.

use std::collections::HashSet;
use std::fs::Permissions;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use coldcase_model::Event;
use coldcase_model::events::Statement;
use coldcase_record::config::{RecordConfig, Uprobe};

use crate::captured::{Captured, capture, only, until};
use crate::recorded::recorded;

const CENSORED: u32 = 1;
const THREAD_ENDED: u32 = 2;
const RAN_BEFORE: u32 = 4;
const NO_PORTAL: u32 = 8;
const FAILED: u32 = 16;
const WORKER: u32 = 128;

/// A server that listens on a socket in a folder of its own; stopped when dropped.
struct Server {
    folder: tempfile::TempDir,
    programs: PathBuf,
}

impl Server {
    /// `None`, with the reason printed, where there is no Postgres.
    fn start() -> Option<Server> {
        let programs = glob("/usr/lib/postgresql/*/bin").or_else(|| glob("/usr/pgsql-*/bin"));
        let Some(programs) = programs.filter(|p| p.join("initdb").exists()) else {
            eprintln!("skipped: no Postgres is installed (apt install postgresql)");
            return None;
        };
        let server = Server { folder: tempfile::tempdir().unwrap(), programs };
        // It refuses to run as root.
        std::fs::set_permissions(server.folder.path(), Permissions::from_mode(0o777)).unwrap();
        let data = server.path("data");
        let log = server.path("log");
        let options = format!("-k {} -h ''", server.folder.path().display());
        let made = server.run("initdb", &["-D", &data, "-A", "trust", "-N"])
            && server.run("pg_ctl", &["-D", &data, "-o", &options, "-l", &log, "-w", "start"]);
        if !made {
            eprintln!("skipped: Postgres does not start here as user postgres");
            return None;
        }
        Some(server)
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn run(&self, program: &str, args: &[&str]) -> bool {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(self.programs.join(program)).args(args);
        command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|s| s.success())
    }

    /// A file with this SQL, so that it stands on no command line.
    fn file(&self, name: &str, sql: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, sql).unwrap();
        path
    }

    /// The processes of its connections that there are now. Others may run a Postgres of their own meanwhile.
    fn backends(&self) -> HashSet<u32> {
        let file = std::fs::read_to_string(self.path("data/postmaster.pid")).unwrap();
        let children = format!("/proc/{0}/task/{0}/children", file.lines().next().unwrap());
        let children = std::fs::read_to_string(children).unwrap();
        children.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
    }

    fn psql(&self, sql: &str) -> Command {
        let mut command = Command::new("psql");
        command.args(["-X", "-q", "-A", "-t", "-U", "postgres", "-h"]).arg(self.folder.path()).args(["-c", sql]);
        command
    }

    fn client(&self, sql: &str) -> Child {
        self.psql(sql).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Starts a client with a statement that ends in this word, and waits until the server waits in it.
    fn waiting(&self, sql: &str) -> (Child, u32) {
        let client = self.client(sql);
        let word = sql.rsplit(' ').next().unwrap();
        let find = format!(
            "select pid from pg_stat_activity where query like '% {word}' and pid <> pg_backend_pid()
             and (wait_event = 'PgSleep' or wait_event_type = 'Lock')"
        );
        let pid = until(sql, || {
            let output = self.psql(&find).output().unwrap();
            String::from_utf8_lossy(&output.stdout).trim().parse().ok()
        });
        (client, pid)
    }

    /// A connection that is at rest, and its process. `psql` sends no messages but statements.
    fn at_rest(&self) -> (UnixStream, u32) {
        let mut stream = UnixStream::connect(self.folder.path().join(".s.PGSQL.5432")).unwrap();
        stream.write_all(b"\0\0\0\x17\0\x03\0\0user\0postgres\0\0").unwrap();
        let pid = ready(&mut stream).unwrap();
        (stream, pid)
    }

    /// Calls a function of the server about a process of it: `pg_cancel_backend`, `pg_terminate_backend`.
    fn signal(&self, function: &str, pid: u32) {
        assert!(self.client(&format!("select {function}({pid})")).wait().unwrap().success());
    }
}

/// Reads what the server sends until it waits for more: the process, where it tells.
fn ready(stream: &mut UnixStream) -> Option<u32> {
    let mut pid = None;
    loop {
        let mut head = [0; 5];
        stream.read_exact(&mut head).unwrap();
        let number = |b: &[u8]| u32::from_be_bytes(b[..4].try_into().unwrap());
        let mut body = vec![0; number(&head[1..]) as usize - 4];
        stream.read_exact(&mut body).unwrap();
        match head[0] {
            b'K' => pid = Some(number(&body)),
            b'E' => panic!("{}", String::from_utf8_lossy(&body)),
            b'Z' => return pid,
            _ => {}
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.run("pg_ctl", &["-D", &self.path("data"), "-m", "immediate", "stop"]);
    }
}

fn glob(pattern: &str) -> Option<PathBuf> {
    let (before, after) = pattern.split_once('*')?;
    let (folder, prefix) = before.rsplit_once('/')?;
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let named = entries.filter(|e| e.file_name().to_string_lossy().starts_with(prefix));
    named.map(|e| PathBuf::from(format!("{}{after}", e.path().display()))).max()
}

#[derive(Debug)]
struct Row {
    pid: u32,
    duration: u64,
    executing: u64,
    flags: u32,
    query: String,
}

impl Row {
    fn of(c: &<Statement as Event>::Cols<'_>, i: usize) -> Row {
        let query = c.query.text(i).into_owned();
        Row { pid: c.pid[i], duration: c.duration[i], executing: c.executing[i], flags: c.flags[i], query }
    }
}

fn rows(captured: &Captured) -> Vec<Row> {
    let mut all = Vec::new();
    captured.each::<Statement>(|c, rows| all.extend((0..rows).map(|i| Row::of(&c, i))));
    all
}

#[test]
fn a_statement_has_its_time_and_masked_text_and_its_literals_stand_nowhere_in_the_bundle() {
    let Some(server) = Server::start() else { return };
    let sql = server.file(
        "work.sql",
        "select pg_sleep(0.2);
         create table t(a int, b text);
         insert into t select 1, 'SECRETstring';
         select a from t where b = $$SECRETdollar$$ /* SECRETcomment */ or a = 731234567;
         select SECRETless from t where b = E'SECRET\\'escaped';
         begin; select count(*) from t; commit;",
    );
    let folder = server.folder.path().display().to_string();
    let config = RecordConfig {
        without: vec!["log".into(), "metrics".into(), "otlp".into(), "kernel.sample".into()],
        kernel: coldcase_record::config::KernelConfig { uprobe: vec![Uprobe::Postgres], ..Default::default() },
        require: vec!["kernel.postgres".into()],
        ..Default::default()
    };
    let command = ["psql", "-X", "-q", "-U", "postgres", "-h", &folder, "-o", "/dev/null", "-f", &sql];
    let began = Instant::now();
    let Some(recorded) = recorded(config, &command) else { return };
    let took = began.elapsed();
    let mut got: Vec<Row> = Vec::new();
    recorded.each::<Statement>(|c, rows| got.extend((0..rows).map(|i| Row::of(&c, i))));
    let ours = got.iter().find(|r| r.query.contains("SECRETless")).map(|r| r.pid);
    got.retain(|r| Some(r.pid) == ours);
    let texts: Vec<_> = got.iter().map(|r| r.query.trim_end_matches(';').trim_end()).collect();
    let expected = [
        "select pg_sleep(?)",
        "create table t(a int, b text)",
        "insert into t select ?, ?",
        "select a from t where b = ? or a = ?",
        "select SECRETless from t where b = ?",
        "begin",
        "select count(*) from t",
        "commit",
    ];
    assert_eq!(texts, expected);
    let (duration, executing) = (got[0].duration, got[0].executing);
    assert!(executing >= 200_000_000 && duration >= executing && Duration::from_nanos(duration) < took, "{got:?}");
    let flags: Vec<_> = got.iter().map(|r| r.flags).collect();
    assert_eq!(flags, [0, 0, 0, 0, NO_PORTAL | FAILED, 0, 0, 0], "{got:?}");
    for secret in ["SECRETstring", "SECRETdollar", "SECRETcomment", "SECRET\\'escaped", "escaped'", "731234567"] {
        assert!(!recorded.holds(secret), "{secret}");
    }
    // What is looked for is looked for where it would be.
    assert!(recorded.holds("SECRETless"));
}

#[test]
fn the_phases_of_the_extended_protocol_are_rows_and_executions_are_told_from_them() {
    const RUNS: usize = 7;
    let Some(server) = Server::start() else { return };
    let script = server.file("script.sql", "\\set x 4711\nselect abs(:x) as runs;\n");
    let bench = server.programs.join("pgbench");
    let Some((captured, fine)) = capture(&only("postgres"), || {
        let mut command = Command::new(bench);
        command.args(["-n", "-M", "extended", "-t", &RUNS.to_string(), "-f", &script, "-U", "postgres", "-h"]);
        command.arg(server.folder.path()).arg("postgres").stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|s| s.success())
    }) else {
        return;
    };
    if !fine {
        eprintln!("skipped: pgbench cannot be run");
        return;
    }
    assert!(captured.wrong.is_empty(), "{:?}", captured.wrong);
    let rows = rows(&captured);
    let ours: Vec<_> = rows.iter().filter(|r| r.query.starts_with("select abs($1) as runs")).collect();
    let executed = ours.iter().filter(|r| r.flags == 0 && r.executing > 0 && r.executing <= r.duration).count();
    let phases = ours.iter().filter(|r| r.flags == NO_PORTAL && r.executing == 0).count();
    assert_eq!((executed, phases, ours.len()), (RUNS, 2 * RUNS, 3 * RUNS), "{ours:?}");
}

#[test]
fn a_parallel_worker_is_told_from_the_process_that_it_helps() {
    let Some(server) = Server::start() else { return };
    let sql = "create table many as select n from generate_series(1, 300000) n; analyze many;
         set debug_parallel_query = on; set force_parallel_mode = on; select count(*) as shared from many";
    let script = server.file("parallel.sql", sql);
    let Some((captured, fine)) = capture(&only("postgres"), || {
        let mut command = Command::new("psql");
        command.args(["-X", "-q", "-U", "postgres", "-f", &script, "-h"]).arg(server.folder.path());
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
    }) else {
        return;
    };
    assert!(fine);
    let rows = rows(&captured);
    let shared: Vec<_> = rows.iter().filter(|r| r.query.contains("count(*) as shared")).collect();
    let (workers, leaders): (Vec<&Row>, Vec<&Row>) = shared.iter().copied().partition(|r| r.flags & WORKER != 0);
    let [leader] = leaders[..] else { panic!("{shared:?}") };
    assert!(leader.flags == 0 && !workers.is_empty(), "{shared:?}");
    for worker in workers {
        assert!(worker.pid != leader.pid && worker.flags == WORKER, "{worker:?}");
        assert!(worker.executing == worker.duration && worker.duration < leader.duration, "{shared:?}");
    }
}

#[test]
fn statements_that_outlast_the_capture_on_either_side_and_those_that_are_killed_are_told_as_such() {
    let Some(server) = Server::start() else { return };
    let (mut before, before_pid) = server.waiting("select pg_sleep(600) as before");
    let attaching = Instant::now();
    let Some((captured, (mut behind, pids, took, waited))) = capture(&only("postgres"), || {
        let attached = Instant::now();
        let (behind, behind_pid) = server.waiting("select pg_sleep(600) as behind");
        let sleeps = Instant::now();
        let (mut killed, killed_pid) = server.waiting("select pg_sleep(600) as killed");
        let early = attached.elapsed();
        server.signal("pg_cancel_backend", before_pid);
        before.wait().unwrap();
        server.signal("pg_terminate_backend", killed_pid);
        killed.wait().unwrap();
        // Its process ends after the client knows of it.
        until("the end", || (!server.backends().contains(&killed_pid)).then_some(()));
        let took = early.as_nanos() as u64..attaching.elapsed().as_nanos() as u64;
        (behind, [before_pid, behind_pid, killed_pid], took, sleeps.elapsed().as_nanos() as u64)
    }) else {
        return;
    };
    behind.kill().unwrap();
    behind.wait().unwrap();
    let mut rows = rows(&captured);
    rows.retain(|r| pids.contains(&r.pid));
    let of = |bit: u32| {
        let mut of = rows.iter().filter(|r| r.flags & bit != 0);
        (of.next().unwrap_or_else(|| panic!("none with {bit}: {rows:?}")), of.next())
    };
    // Only the one that slept already: its text is not known, and no longer than the capture.
    let (early, another) = of(RAN_BEFORE);
    assert!(another.is_none() && early.query.is_empty() && early.pid == before_pid, "{rows:?}");
    assert_eq!(early.flags, RAN_BEFORE | FAILED, "{early:?}");
    assert!(took.contains(&early.duration), "{early:?} in {took:?}");
    let (open, another) = of(CENSORED);
    assert!(another.is_none() && open.query.ends_with(" as behind"), "{rows:?}");
    assert!(open.duration > waited && open.executing > waited, "{open:?}, waited {waited}");
    let (ended, another) = of(THREAD_ENDED);
    assert!(
        another.is_none() && ended.query.starts_with("select pg_sleep(") && ended.query.ends_with(" as killed"),
        "{rows:?}"
    );
}

#[test]
fn a_report_of_a_process_at_rest_is_no_statement_and_the_end_of_one_that_ran_already_is() {
    let Some(server) = Server::start() else { return };
    let (mut stream, at_rest) = server.at_rest();
    let (mut holder, holding) = server.waiting("select pg_advisory_lock(7), pg_sleep(600) as holder");
    let (mut waiter, waits) = server.waiting("select pg_advisory_lock(7) as waiter");
    let Some((captured, ())) = capture(&only("postgres"), || {
        // A Sync that nothing came before: the server says that it is ready, and reports once more that it is idle.
        for message in [&b"S\0\0\0\x04"[..], b"S\0\0\0\x04", b"Q\0\0\0\x15select 1 as rest\0"] {
            stream.write_all(message).unwrap();
            ready(&mut stream);
        }
        server.signal("pg_terminate_backend", holding);
        holder.wait().unwrap();
        assert!(waiter.wait().unwrap().success());
    }) else {
        return;
    };
    let rows = rows(&captured);
    let of = |pid: u32| rows.iter().filter(|r| r.pid == pid).map(|r| (r.query.as_str(), r.flags)).collect::<Vec<_>>();
    assert_eq!(of(at_rest), [("select 1 as rest", 0)], "{rows:?}");
    assert_eq!(of(waits), [("", RAN_BEFORE)], "{rows:?}");
    assert_eq!(of(holding), [], "{rows:?}");
}
