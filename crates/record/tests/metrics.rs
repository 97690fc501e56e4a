//! Metrics: a real HTTP server scraped, a dead one missed, `/proc` read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod support;

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use coldcase_model::Event;
use coldcase_model::events::{HostMetric, Receipt, Scrape};
use coldcase_record::config::HostConfig;
use coldcase_record::metrics::{HostMetrics, Metrics, MetricsConfig};
use support::{Recorded, record, record_with};

fn scrape(targets: &[String]) -> Metrics {
    Metrics::new(config(targets))
}

fn config(targets: &[String]) -> MetricsConfig {
    MetricsConfig { targets: targets.iter().map(|t| t.parse().unwrap()).collect(), ..MetricsConfig::default() }
}

/// `python3 -m http.server` in a folder with a page.
struct Server {
    child: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Server {
    fn start(page: &[u8]) -> Server {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("metrics"), page).unwrap();
        let mut child = Command::new("python3")
            .args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1"])
            .current_dir(dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.split("port ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        Server { child, port, _dir: dir }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Status, bytes, page and error of each scrape of a target.
fn scrapes(recorded: &Recorded, target: &str) -> Vec<(u32, u32, u64, String)> {
    let mut out = Vec::new();
    for columns in recorded.columns("metrics.scrape") {
        let c = Scrape::cols(&columns).unwrap();
        for i in 0..columns.len() {
            assert!(c.duration[i] > 0);
            if c.target.text(i).contains(target) {
                out.push((c.status[i], c.bytes[i], c.page[i], c.error.text(i).into_owned()));
            }
        }
    }
    out
}

#[test]
fn pages_are_stored_as_received_and_misses_are_counted() {
    let page = b"# HELP up it is\n# TYPE up gauge\nup{a=\"\xc3\xa9\"} 1\r\n\n\xff garbage";
    let server = Server::start(page);
    let live = format!("http://127.0.0.1:{}/metrics@0.2", server.port);
    let lost = format!("http://127.0.0.1:{}/nothing@0.2", server.port);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dead = format!("http://{closed}/metrics@0.2");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mute = format!("http://{}/metrics@0.3", silent.local_addr().unwrap());
    let recording = record(scrape(&[live.clone(), lost.clone(), dead.clone(), mute.clone()]));
    std::thread::sleep(Duration::from_millis(1500));
    let recorded = recording.finish();

    let target = |t: &str| t["http://".len()..].rsplit_once('@').unwrap().0.to_owned();
    let good = scrapes(&recorded, &target(&live));
    assert!((4..=9).contains(&good.len()), "{} scrapes in 1.5 s at 0.2 s", good.len());
    let pages = recorded.raw("metrics.pages");
    assert_eq!(pages.len(), good.len());
    for (n, (status, bytes, number, error)) in good.into_iter().enumerate() {
        assert_eq!((status, bytes as usize, number, error.as_str()), (200, page.len(), n as u64, ""));
        assert_eq!(pages[n], page);
    }
    let mut misses = 0;
    for (url, status, word) in [(&lost, 404, "status 404"), (&dead, 0, "refused"), (&mute, 0, "no answer within")] {
        let bad = scrapes(&recorded, &target(url));
        assert!(bad.len() >= 3, "{url}: {bad:?}");
        for (got, bytes, number, error) in &bad {
            assert_eq!((*got, *bytes, *number), (status, 0, u64::MAX));
            assert!(error.contains(word), "{error}");
        }
        misses += bad.len() as u64;
    }
    assert_eq!(recorded.lost("scrape-miss"), Some(misses));
    let receipts = recorded.columns("metrics.pages.receipts");
    let c = Receipt::cols(&receipts[0]).unwrap();
    assert_eq!((c.transport.text(0).as_ref(), c.bytes[0] as usize), ("scrape", page.len()));
}

#[test]
fn a_target_that_answers_in_pieces_and_gzip_is_read_whole() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = server.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let (mut peer, from) = server.accept().unwrap();
        let mut request = vec![0; 4096];
        let n = peer.read(&mut request).unwrap();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(b"a_total 1\n# EOF\n").unwrap();
        let body = gzip.finish().unwrap();
        peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0\r\n").unwrap();
        peer.write_all(b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        for byte in body {
            peer.write_all(&[b'1', b'\r', b'\n', byte, b'\r', b'\n']).unwrap();
        }
        peer.write_all(b"0\r\n\r\n").unwrap();
        (String::from_utf8(request[..n].to_vec()).unwrap(), from)
    });
    let recording = record(scrape(&[format!("http://me:pw@{at}/m?x=1@60")]));
    recording.wait_for(1);
    let own = recording.context.own.clone();
    let (request, from) = thread.join().unwrap();
    assert!(own.is_own(from, at), "its connection is known as the recorder's own");
    assert!(request.starts_with("GET /m?x=1 HTTP/1.1\r\n"), "{request}");
    assert!(request.to_lowercase().contains("authorization: basic bwu6chc="), "{request}");
    let accept = "accept: application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,\
                  application/openmetrics-text;version=1.0.0;q=0.8,";
    assert!(request.contains(accept), "{request}");
    let recorded = recording.finish();
    assert_eq!(recorded.raw("metrics.pages"), [b"a_total 1\n# EOF\n"]);
    let receipts = recorded.columns("metrics.pages.receipts");
    let c = Receipt::cols(&receipts[0]).unwrap();
    assert_eq!(c.content_type.text(0), "application/openmetrics-text; version=1.0.0");
    assert_eq!(c.compression.text(0), "gzip");
    assert_eq!(c.origin.text(0), format!("http://{at}/m?x=1"), "without credentials");
}

/// Answers `n` requests with a page, each when it comes; the requests as they came.
fn answer(n: usize) -> (std::net::SocketAddr, std::thread::JoinHandle<Vec<String>>) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = server.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let mut requests = Vec::new();
        for _ in 0..n {
            let (mut peer, _) = server.accept().unwrap();
            let mut request = vec![0; 4096];
            let n = peer.read(&mut request).unwrap();
            requests.push(String::from_utf8(request[..n].to_vec()).unwrap());
            peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nup 1\n").unwrap();
        }
        requests
    });
    (at, thread)
}

#[test]
fn pages_that_conditions_are_judged_on_are_asked_for_as_text() {
    let (at, server) = answer(1);
    let recording = record(scrape(&[format!("http://{at}@60")]).judged(true));
    recording.wait_for(1);
    let request = server.join().unwrap().remove(0);
    assert!(request.contains("accept: application/openmetrics-text;version=1.0.0,"), "{request}");
    let recorded = recording.finish();
    let rows = recorded.columns("metrics.scrape");
    assert_eq!(Scrape::cols(&rows[0]).unwrap().peer.text(0), at.to_string());
}

#[test]
fn credentials_come_from_files_and_are_read_again_at_each_scrape() {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, "first\n").unwrap();
    let (at, server) = answer(2);
    let config = MetricsConfig { bearer_file: Some(token.clone()), ..config(&[format!("http://{at}@0.5")]) };
    let recording = record(Metrics::new(config.clone()));
    recording.wait_for(1);
    std::fs::write(&token, "second\n").unwrap();
    let requests = server.join().unwrap();
    recording.finish();
    assert!(requests[0].contains("authorization: Bearer first\r\n"), "{}", requests[0]);
    assert!(requests[1].contains("authorization: Bearer second\r\n"), "{}", requests[1]);
    std::fs::remove_file(&token).unwrap();
    let skip = record_with(Metrics::new(config), |_| {}).err().unwrap();
    assert!(!skip.unasked && skip.reason.contains("token: No such file"), "{skip:?}");
}

#[test]
fn files_that_list_targets_are_followed_when_they_change() {
    let dir = tempfile::tempdir().unwrap();
    let list = dir.path().join("targets.json");
    let (first, one) = answer(1);
    let (second, two) = answer(1);
    let labels = r#""labels": {"env": "test", "__scrape_interval__": "60s"}"#;
    std::fs::write(&list, format!(r#"[{{"targets": ["{first}"], {labels}}}]"#)).unwrap();
    let files = vec![dir.path().join("*.json").display().to_string()];
    let recording = record(Metrics::new(MetricsConfig { files, ..MetricsConfig::default() }));
    recording.wait_for(1);
    std::fs::write(&list, format!(r#"[{{"targets": ["{second}"], {labels}}}]"#)).unwrap();
    recording.wait_for(2);
    one.join().unwrap();
    two.join().unwrap();
    let recorded = recording.finish();
    assert_eq!(scrapes(&recorded, &first.to_string()).len(), 1);
    assert_eq!(scrapes(&recorded, &second.to_string()).len(), 1);
    let rows = recorded.columns("metrics.scrape");
    assert_eq!(Scrape::cols(&rows[0]).unwrap().labels.text(0), "env=\"test\"");
}

/// `openssl s_server -WWW` with a certificate of its own for 127.0.0.1.
struct TlsServer(Child, tempfile::TempDir, u16);

impl TlsServer {
    fn start() -> Option<TlsServer> {
        let dir = tempfile::tempdir().unwrap();
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem"])
            .args(["-days", "2", "-subj", "/CN=coldcase test", "-addext", "subjectAltName=IP:127.0.0.1"])
            .current_dir(dir.path())
            .stderr(Stdio::null())
            .status();
        if !made.is_ok_and(|s| s.success()) {
            eprintln!("skipped: TLS targets: no openssl");
            return None;
        }
        let page = "HTTP/1.0 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n\r\nup 1\n";
        std::fs::write(dir.path().join("metrics"), page).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new("openssl")
            .args(["s_server", "-key", "key.pem", "-cert", "cert.pem", "-HTTP", "-quiet", "-accept"])
            .arg(format!("127.0.0.1:{port}"))
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        support::wait_until("openssl s_server", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        Some(TlsServer(child, dir, port))
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_tls_target_is_scraped_only_where_its_certificate_is_trusted_or_asked_not_to_matter() {
    let Some(server) = TlsServer::start() else { return };
    let url = format!("https://127.0.0.1:{}/metrics@0.5", server.2);
    let ca = server.1.path().join("cert.pem");
    let plain = config(std::slice::from_ref(&url));
    let trusted = MetricsConfig { ca: Some(ca.clone()), ..plain.clone() };
    let careless = MetricsConfig { insecure: true, ..plain.clone() };
    // The right certificate, but not for this name.
    let misnamed =
        MetricsConfig { targets: vec![url.replace("127.0.0.1", "localhost").parse().unwrap()], ..trusted.clone() };
    for (config, reaches) in [(trusted, true), (careless, true), (plain.clone(), false), (misnamed, false)] {
        let recording = record(Metrics::new(config));
        std::thread::sleep(Duration::from_millis(900));
        let recorded = recording.finish();
        let got = scrapes(&recorded, "https://");
        assert!(!got.is_empty());
        match reaches {
            true => assert!(got.iter().any(|g| g.0 == 200) && recorded.raw("metrics.pages")[0] == b"up 1\n", "{got:?}"),
            false => {
                assert!(
                    got.iter().all(|g| g.0 == 0 && (g.3.contains("no TLS") || g.3.contains("no connection"))),
                    "{got:?}"
                );
                assert!(got.iter().any(|g| g.3.contains("no TLS")), "{got:?}");
                assert_eq!(recorded.lost("scrape-miss"), Some(got.len() as u64));
            }
        }
    }
    std::fs::write(&ca, "nothing").unwrap();
    let skip = record_with(Metrics::new(MetricsConfig { ca: Some(ca), ..plain }), |_| {}).err().unwrap();
    assert!(skip.reason.contains("no certificate in it"), "{skip:?}");
}

#[test]
fn nothing_is_scraped_unasked() {
    let skip = record_with(scrape(&[]), |_| {}).err().unwrap();
    assert!(skip.unasked && skip.reason.contains("no scrape targets"), "{skip:?}");
}

#[test]
fn host_metrics_agree_with_proc() {
    let recording = record(HostMetrics::new(HostConfig { interval: Duration::from_millis(200) }));
    std::thread::sleep(Duration::from_millis(900));
    let recorded = recording.finish();
    let batches = recorded.columns("host.metric");
    let (mut names, mut idle, mut times) = (HashSet::new(), Vec::new(), HashSet::new());
    for columns in &batches {
        let c = HostMetric::cols(columns).unwrap();
        for i in 0..columns.len() {
            names.insert(c.name.text(i).into_owned());
            if c.name.text(i) == "node_memory_MemTotal_bytes" {
                times.insert(c.time[i]);
                idle.push(c.value[i]);
            }
        }
    }
    assert!((4..=7).contains(&times.len()), "{} readings in 0.9 s at 0.2 s and at the stop", times.len());
    let total = std::fs::read_to_string("/proc/meminfo").unwrap();
    let kib: f64 = total.lines().next().unwrap().split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(idle.iter().all(|&v| v == kib * 1024.0));
    for name in ["node_cpu_seconds_total", "node_network_receive_bytes_total", "node_vmstat_pgfault", "node_load1"] {
        assert!(names.contains(name), "{name}");
    }
    if std::path::Path::new("/proc/pressure/cpu").exists() {
        assert!(names.contains("node_pressure_cpu_waiting_seconds_total"));
    }
}
