//! TLS between a client and a server in Python, whose sizes are known.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use coldcase_model::Event;
use coldcase_model::events::{TcpState, TlsCall};
use coldcase_record::config::{KernelConfig, RecordConfig, Uprobe};
use object::{Object, ObjectSymbol};

use crate::captured::{Captured, capture, capture_watching, in_call, only, until};
use crate::recorded::recorded;

const CENSORED: u32 = 1;
const THREAD_ENDED: u32 = 2;
const HANDSHAKE: u32 = 5;
/// What `tls.py` sends.
const SIZES: [u64; 3] = [95, 11_000, 11];

fn script() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kernel/tls.py").to_owned()
}

/// Whether there is what the script needs.
fn there_is_python() -> bool {
    let python = Command::new("python3").args(["-c", "import ssl; ssl.MemoryBIO"]).status();
    let openssl = Command::new("openssl").arg("version").stdout(Stdio::null()).status();
    let both = [python, openssl].iter().all(|r| r.as_ref().is_ok_and(|s| s.success()));
    if !both {
        eprintln!("skipped: no python3 with ssl, or no openssl");
    }
    both
}

#[derive(Debug)]
struct Row {
    function: u32,
    pid: u32,
    duration: u64,
    bytes: u64,
    connection: u64,
    socket: u64,
    result: i32,
    flags: u32,
    ports: (u16, u16),
}

impl Row {
    fn of(c: &<TlsCall as Event>::Cols<'_>, i: usize) -> Row {
        Row {
            function: c.function[i],
            pid: c.pid[i],
            duration: c.duration[i],
            bytes: c.bytes[i],
            connection: c.connection[i],
            socket: c.socket[i],
            result: c.result[i],
            flags: c.flags[i],
            ports: (c.local_port[i], c.remote_port[i]),
        }
    }

    fn writes(&self) -> bool {
        matches!(self.function, 3 | 4)
    }

    fn reads(&self) -> bool {
        matches!(self.function, 1 | 2)
    }
}

fn rows(captured: &Captured, pid: u32) -> Vec<Row> {
    let mut all = Vec::new();
    captured.each::<TlsCall>(|c, rows| all.extend((0..rows).map(|i| Row::of(&c, i))));
    all.retain(|r: &Row| r.pid == pid);
    all
}

#[test]
fn sizes_and_sockets_of_an_exchange_are_told_and_its_plaintext_stands_nowhere_in_the_bundle() {
    if !there_is_python() {
        return;
    }
    let config = RecordConfig {
        without: vec!["log".into(), "metrics".into(), "otlp".into(), "kernel.sample".into()],
        kernel: KernelConfig { uprobe: vec![Uprobe::Libssl], ..Default::default() },
        require: vec!["kernel.libssl".into()],
        ..Default::default()
    };
    let Some(recorded) = recorded(config, &["python3", &script(), "exchange"]) else { return };
    let mut all: Vec<Row> = Vec::new();
    recorded.each::<TlsCall>(|c, rows| all.extend((0..rows).map(|i| Row::of(&c, i))));
    // That of the script: the only one with these sizes.
    let pid = all.iter().find(|r| r.writes() && r.bytes == SIZES[1]).map(|r| r.pid);
    all.retain(|r| Some(r.pid) == pid);
    let written: Vec<_> = all.iter().filter(|r| r.writes()).collect();
    assert_eq!(written.iter().map(|r| r.bytes).collect::<Vec<_>>(), SIZES, "{all:?}");
    let read: u64 = all.iter().filter(|r| r.reads()).map(|r| r.bytes).sum();
    assert_eq!(read, SIZES.iter().sum::<u64>(), "{all:?}");
    let shaken: Vec<_> = all.iter().filter(|r| r.function == HANDSHAKE).collect();
    assert!(shaken.len() == 2 && shaken.iter().all(|r| r.result == 1 && r.bytes == 0 && r.duration > 0), "{all:?}");
    // Two ends, each with a connection and a socket of its own; the script's end closes first.
    assert_eq!(all.iter().map(|r| r.connection).collect::<HashSet<_>>().len(), 2);
    let client = written[0];
    assert!(written.iter().all(|r| (r.socket, r.connection) == (client.socket, client.connection)), "{all:?}");
    let mut established = Vec::new();
    recorded.each::<TcpState>(|c, rows| {
        let socket = (0..rows).filter(|&i| c.socket[i] == client.socket && c.new_state[i] == 1);
        established.extend(socket.map(|i| (c.local_port[i], c.remote_port[i])));
    });
    assert_eq!(established, [client.ports], "{all:?}");
    // What comes out of a buffer touches no socket: 11,000 bytes are one record, read in pieces of 5,000.
    assert!(all.iter().any(|r| r.reads() && r.bytes == 1000 && r.socket == 0), "{all:?}");
    assert!(!recorded.holds("PLAINSECRET") && !recorded.holds("SECRETSECRET"));
}

/// Starts the script and waits until it says that it is ready.
fn start(command: &mut Command) -> (Child, ChildStdin) {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let stdin = child.stdin.take().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (child, stdin)
}

#[test]
fn a_read_that_goes_on_at_the_end_and_one_whose_process_is_killed_are_told_as_such() {
    if !there_is_python() {
        return;
    }
    let Some((captured, (mut open, killed, waited))) = capture(&only("libssl"), || {
        let [open, mut killed] = [(); 2].map(|()| start(Command::new("python3").args([&script(), "wait"])).0);
        for pid in [open.id(), killed.id()] {
            until("both ends read", || (in_call(pid, libc::SYS_read) == 2).then_some(()));
        }
        let both = Instant::now();
        std::thread::sleep(Duration::from_millis(50));
        let waited = both.elapsed().as_nanos() as u64;
        killed.kill().unwrap();
        killed.wait().unwrap();
        (open, killed.id(), waited)
    }) else {
        return;
    };
    open.kill().unwrap();
    open.wait().unwrap();
    assert!(captured.wrong.is_empty(), "{:?}", captured.wrong);
    // Both the client and the server wait for the other.
    for (pid, flag) in [(open.id(), CENSORED), (killed, THREAD_ENDED)] {
        let rows = rows(&captured, pid);
        let waits: Vec<_> = rows.iter().filter(|r| r.reads()).collect();
        assert!(waits.len() == 2 && waits.iter().all(|r| r.flags == flag && r.bytes == 0), "{rows:?}");
        assert!(waits.iter().all(|r| r.duration > waited), "{rows:?} in {waited}");
    }
}

/// A copy of the library that the script uses, in a folder of its own: a file that nothing else has.
fn copy_of_libssl() -> Option<tempfile::TempDir> {
    let find =
        "import ssl; print(*{l.split()[-1] for l in open('/proc/self/maps') if 'libssl' in l or 'libcrypto' in l})";
    let output = Command::new("python3").args(["-c", find]).output().ok()?;
    let folder = tempfile::tempdir().unwrap();
    let text = String::from_utf8(output.stdout).ok()?;
    let paths: Vec<PathBuf> = text.split_whitespace().map(PathBuf::from).collect();
    for path in &paths {
        std::fs::copy(path, folder.path().join(path.file_name()?)).unwrap();
    }
    if paths.len() < 2 {
        eprintln!("skipped: python3 has no libssl of its own as a file");
        return None;
    }
    Some(folder)
}

/// How many links of ours are on files of this folder, where the kernel tells.
fn links_on(folder: &Path) -> usize {
    let folder = folder.display().to_string();
    let entries = std::fs::read_dir("/proc/self/fdinfo").unwrap().flatten();
    entries.filter(|e| std::fs::read_to_string(e.path()).is_ok_and(|info| info.contains(&folder))).count()
}

#[test]
fn a_library_that_nobody_had_at_the_start_is_found_and_let_go_when_it_is_gone_and_calls_that_stay_in_memory_have_no_socket()
 {
    let Some(folder) = there_is_python().then(copy_of_libssl).flatten() else { return };
    let Some(later) = copy_of_libssl() else { return };
    let gone = later.path().to_owned();
    let with = |folder: &tempfile::TempDir| {
        start(Command::new("python3").args([&script(), "memory"]).env("LD_LIBRARY_PATH", folder.path()))
    };
    let (mut early, stdin) = with(&folder);
    let Some((captured, late)) = capture_watching(&only("libssl"), |arriving| {
        let (mut late, late_stdin) = with(&later);
        // A look for new files is due each ten seconds.
        for (pid, rows) in [(early.id(), 50), (late.id(), 1)] {
            until("calls of both", || (arriving.count::<TlsCall>(|c, i| c.pid[i] == pid) >= rows).then_some(()));
        }
        let shown = links_on(later.path()) > 0;
        drop(late_stdin);
        late.wait().unwrap();
        later.close().unwrap();
        match shown {
            true => until("the end of its links", || (links_on(&gone) == 0).then_some(())),
            false => eprintln!("skipped: this kernel does not show the file of a link"),
        }
        late.id()
    }) else {
        return;
    };
    drop(stdin);
    early.wait().unwrap();
    let [early, late] = [early.id(), late].map(|pid| rows(&captured, pid));
    for row in early.iter().chain(&late) {
        assert_eq!((row.function, row.socket, row.ports, row.bytes), (HANDSHAKE, 0, (0, 0), 0));
    }
}

/// Maps a file with executable pages, as a process has its libraries, for as long as the test runs.
fn map_executable(file: &std::fs::File) {
    use std::os::fd::AsRawFd;
    // SAFETY: a new mapping of our own, which nothing reads.
    let at = unsafe {
        let (protection, flags) = (libc::PROT_READ | libc::PROT_EXEC, libc::MAP_PRIVATE);
        libc::mmap(std::ptr::null_mut(), 4096, protection, flags, file.as_raw_fd(), 0)
    };
    assert_ne!(at, libc::MAP_FAILED);
}

#[test]
fn a_file_that_cannot_be_attached_to_does_not_take_the_others_out() {
    if !there_is_python() || capture(&only("libssl"), || ()).is_none() {
        return;
    }
    let Some(folder) = copy_of_libssl() else { return };
    let mut copies = std::fs::read_dir(folder.path()).unwrap().flatten().map(|e| e.path());
    let path = copies.find(|p| p.file_name().unwrap().to_string_lossy().starts_with("libssl")).unwrap();
    // It says of a function that it lies behind the end of the file: the kernel refuses to put a uprobe there.
    let mut odd = std::fs::read(&path).unwrap();
    let library = object::File::parse(&*odd).unwrap();
    let function = library.dynamic_symbols().find(|s| s.name() == Ok("SSL_read")).unwrap();
    let [address, size] = [function.address(), function.size()].map(u64::to_le_bytes);
    let symbol = [address, size].concat();
    let at = odd.windows(16).position(|w| w == symbol).unwrap();
    odd[at..at + 8].copy_from_slice(&0x7000_0000u64.to_le_bytes());
    std::fs::write(&path, &odd).unwrap();
    map_executable(&std::fs::File::open(&path).unwrap());
    let Some((captured, pid)) = capture(&only("libssl"), || {
        let (mut child, _stdin) = start(Command::new("python3").args([&script(), "wait"]));
        child.kill().unwrap();
        child.wait().unwrap();
        child.id()
    }) else {
        panic!("it took the source out");
    };
    assert!(!rows(&captured, pid).is_empty());
}
