#!/usr/bin/env python3
"""Real servers and clients, captured with tcpdump: the requests that come out of the capture against the
servers' own logs. Counts and statuses must be equal, times must lie between those of the server and of the client, or be
the server's to a millisecond. Needs root, tcpdump, nginx, curl, wrk, openssl and the packages of tests/requirements.txt;
what lacks is skipped with the reason.  usage: requests.py [FOLDER FOR THE CAPTURES]"""
import collections
import importlib.util
import json
import os
import pathlib
import random
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tests/lib"))
from capture import HOST, READER, Capture, at_server, build, free_port, wait_for  # noqa: E402
from case import Verdicts  # noqa: E402

MS = 1_000_000
# Of `missing` in crates/decode/src/request/mod.rs: the answer was found by its order.
INFERRED = 1 << 3
verdicts = Verdicts()
folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="coldcase-requests-"))
# nginx's workers are nobody, and keep the bodies that they receive in it.
folder.mkdir(parents=True, exist_ok=True)
folder.chmod(0o755)


def lacks(*needed):
    """The first of the programs and Python modules that is not here."""
    for name in needed:
        if name.startswith("py:"):
            if importlib.util.find_spec(name[3:]) is None:
                return f"no Python package {name[3:]} (tests/requirements.txt)"
        elif shutil.which(name) is None:
            return f"no {name}"
    return None


def captured(name, port):
    """Packets of a port, while the block runs; then their requests."""
    return Capture(folder / f"{name}.pcap", port)


def equal(name, ours, theirs):
    """Two multisets are the same."""
    ours, theirs = collections.Counter(ours), collections.Counter(theirs)
    more, less = ours - theirs, theirs - ours
    note = f"{sum(ours.values())}" if ours == theirs else f"only ours {list(more.items())[:4]}, only theirs {list(less.items())[:4]}"
    verdicts.check(name, ours == theirs, note)


def times(name, pairs):
    """Each of ours lies between the server's and the client's, to a millisecond. A server that looks at its clock late says more than even
    the client waited: one in twenty may, on a machine that is busy."""
    late = [(o, s, c) for o, s, c in pairs if s > c and o <= c]
    wrong = [(o, s, c) for o, s, c in pairs if not s - MS <= o <= c + MS]
    wrong = wrong if len(late) > len(pairs) / 20 else [pair for pair in wrong if pair not in late]
    worst = max((max(s - o, o - c) for o, s, c in pairs), default=0)
    verdicts.check(name, pairs and not wrong, f"{len(pairs)} requests, farthest outside {worst / MS:.3f} ms {wrong[:2] or ''}")


def curl(*options, url):
    """Runs curl; the nanoseconds from when it was connected until it had the whole answer."""
    said = subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{time_connect} %{time_total}", *options, url],
                          check=True, capture_output=True, text=True)
    before, total = map(float, said.stdout.split())
    return (total - before) * 1e9


def served(script, name, port):
    """Runs a server and then its client; what both noted."""
    logs = [folder / f"{name}-{side}.log" for side in ("serve", "ask")]
    server = subprocess.Popen(at_server(sys.executable, HERE / script, "serve", HOST, str(port), logs[0]), stdin=subprocess.PIPE)
    try:
        wait_for(port)
        with captured(name, port) as capture:
            subprocess.run([sys.executable, HERE / script, "ask", HOST, str(port), logs[1]], check=True)
    finally:
        # The end of its input tells the server to write its log and end.
        server.stdin.close()
        server.wait()
    return capture, [json.loads(line) for log in logs for line in log.read_text().splitlines()]


def duration(r):
    return r["end"] - r["start"]


NGINX = """
daemon off; worker_processes 2; pid {dir}/pid; error_log {dir}/error.log; worker_rlimit_nofile 4096;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/f;
  uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s; keepalive_requests 100000;
  log_format json escape=json '{{"method":"$request_method","uri":"$request_uri","status":"$status","time":"$request_time",'
    '"in":$request_length,"out":$bytes_sent,"protocol":"$ssl_protocol","name":"$ssl_server_name",'
    '"resumed":"$ssl_session_reused","alpn":"$ssl_alpn_protocol"}}';
  server {{
    listen {host}:{port}; access_log {dir}/access.log json; root {dir}/www;
    location /slow {{ limit_rate 400k; alias {dir}/www/big; }}
    location /put {{ client_max_body_size 10m; dav_methods PUT; root {dir}/www; create_full_put_path on; }}
    location /moved {{ return 301 /; }}
    location /none {{ return 204; }}
    location /n/ {{ return 200 "ok\\n"; }}
  }}
  server {{
    listen {host}:{tls} ssl; access_log {dir}/tls.log json; root {dir}/www;
    ssl_certificate {dir}/cert.pem; ssl_certificate_key {dir}/key.pem; ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:s:1m; ssl_session_tickets on;
  }}
}}
"""

WRK = """
local thread = 0
function setup(t) t:set("id", thread); thread = thread + 1 end
function init() n = 0 end
function request()
  local all = {}
  for i = 1, PIPELINE do n = n + 1; all[i] = wrk.format("GET", "/n/" .. NAME .. id .. "/" .. n) end
  return table.concat(all)
end
"""


def nginx():
    missing = lacks("nginx", "curl", "wrk", "openssl")
    if missing:
        return verdicts.skip("nginx", missing)
    work = folder / "nginx"
    shutil.rmtree(work, ignore_errors=True)
    (work / "www").mkdir(parents=True)
    work.chmod(0o777)
    (work / "www").chmod(0o777)
    (work / "www/small").write_bytes(b"x" * 100)
    (work / "www/big").write_bytes(b"x" * 100_000)
    (work / "blob").write_bytes(b"y" * 50_000)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=shop.test", "-keyout",
                    work / "key.pem", "-out", work / "cert.pem"], check=True, capture_output=True)
    port, tls = free_port(), free_port()
    (work / "nginx.conf").write_text(NGINX.format(dir=work, host=HOST, port=port, tls=tls))
    server = subprocess.Popen(at_server("nginx", "-c", work / "nginx.conf", "-p", work), stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        plain(work, port)
        handshakes(work, tls)
    finally:
        server.terminate()
        server.wait()


def plain(work, port):
    url = f"http://{HOST}:{port}"
    with captured("http", port) as capture:
        shapes = [["/small"], ["/big"], ["-I", "/big"], ["/missing"], ["/moved"], ["/none"], ["/slow"],
                  ["-r", "10-90", "/big"], ["-z", "Fri, 01 Jan 2100 00:00:00 GMT", "/small"],
                  ["-T", str(work / "blob"), "/put/a"], ["-T", str(work / "blob"), "-H", "Transfer-Encoding: chunked", "/put/b"],
                  ["-H", "Expect: 100-continue", "-T", str(work / "blob"), "/put/c"], ["-0", "/small"]]
        client = {}
        for n in range(10):
            for k, (*options, path) in enumerate(shapes):
                client[f"{path}?n={n}x{k}"] = curl(*options, url=f"{url}{path}?n={n}x{k}")
        # One connection for many.
        subprocess.run(["curl", "-s", *[x for n in range(50) for x in ("-o", "/dev/null", f"{url}/small?kept={n}")]], check=True)
        for name, pipeline in (("single", 1), ("piped", 8)):
            script = work / f"{name}.lua"
            script.write_text(WRK.replace("PIPELINE", str(pipeline)).replace("NAME", f'"{name}"'))
            subprocess.run(["wrk", "-t2", "-c8", "-d2", "-s", script, url], check=True, capture_output=True)
        time.sleep(0.3)
    log = [json.loads(line) for line in (work / "access.log").read_text().splitlines()]
    ours = capture.requests("http")
    verdicts.check("http: tcpdump lost nothing", capture.dropped == 0, capture.dropped)
    if capture.dropped:
        return
    # What wrk gave up when its time was over was never answered, or not to its end.
    gone = [r for r in ours if r["outcome"] in ("Closed", "Reset", "Unfinished")]
    verdicts.check("http: only what wrk gave up was not answered", all("/n/" in r["detail"] for r in gone), len(gone))
    given_up = {r["detail"] for r in gone}
    answered = [r for r in ours if r["detail"] not in given_up]
    listed = [line for line in log if f"{line['method']} {line['uri']}" not in given_up]
    equal("http: requests and statuses are those of the access log", [(r["detail"], r["code"]) for r in answered],
          [(f"{line['method']} {line['uri']}", line["status"]) for line in listed])
    logged = {(f"{line['method']} {line['uri']}"): line for line in listed}
    pairs = [(r, logged[r["detail"]]) for r in answered if r["detail"] in logged]
    sizes = [(r["detail"], r["request_bytes"], line["in"], r["response_bytes"], line["out"]) for r, line in pairs
             if (r["request_bytes"], r["response_bytes"]) != (line["in"], line["out"])]
    verdicts.check("http: sizes are those of the access log", not sizes, f"{len(pairs)} requests {sizes[:3]}")
    # Of what wrk gave up, a packet that was lost on the way may never have been sent again.
    # Where it was an answer with others behind it in the pipeline, those are matched by their order, and say so: at most seven for each.
    lossy = "LOSSY" in os.environ
    by_order = [r for r in answered if lossy and r["missing"] == INFERRED]
    holes = sum(1 for r in gone if r["missing"])
    verdicts.check("http: only behind an answer that is missing is one matched by its order", len(by_order) <= 7 * holes, f"{len(by_order)}, {holes} are missing")
    gaps = [r for r in (answered if lossy else ours) if r["missing"] and r not in by_order]
    verdicts.check("http: nothing is missing", not gaps, f"{len(gaps)} of {len(ours)} {gaps[:2] or ''}")
    # nginx counts whole milliseconds, from when it reads the request to when it hands the last byte to the kernel.
    times("http: times lie between nginx's and the client's", [
        (duration(r), max(float(line["time"]) * 1e9 - MS, 0), client[line["uri"]]) for r, line in pairs if line["uri"] in client])


def handshakes(work, port):
    with captured("tls", port) as capture:
        for n in range(10):
            for version in ("1.2", "1.3"):
                subprocess.run(["curl", "-sk", "-o", "/dev/null", f"--tlsv{version}", "--tls-max", version, "--resolve",
                                f"shop{n}.test:{port}:{HOST}", f"https://shop{n}.test:{port}/small?{n}"], check=True)
        for version in ("-tls1_2", "-tls1_3"):
            session = work / f"session{version}"
            for use in ("-sess_out", "-sess_in"):
                subprocess.run(["openssl", "s_client", "-connect", f"{HOST}:{port}", "-servername", "again.test", version, use,
                                session, "-ign_eof"], input=b"GET /small?again HTTP/1.0\r\n\r\n", capture_output=True, check=True)
        # Refused: no common version, and a certificate that the client does not trust.
        subprocess.run(["openssl", "s_client", "-connect", f"{HOST}:{port}", "-servername", "old.test", "-tls1_1", "-cipher",
                        "ALL:@SECLEVEL=0"], input=b"", capture_output=True)
        subprocess.run(["curl", "-s", "--resolve", f"shop.test:{port}:{HOST}", f"https://shop.test:{port}/"], capture_output=True)
    log = [json.loads(line) for line in (work / "tls.log").read_text().splitlines()]
    ours = capture.requests("tls")
    done = [r for r in ours if r["outcome"] == "Ok"]
    equal("tls: versions, names and resumptions are those of nginx",
          [(r["key"], r["target"], "resumed" in r["detail"]) for r in done],
          [(line["protocol"].replace("TLSv", "TLS "), line["name"], line["resumed"] == "r") for line in log])
    failed = [(r["target"], r["code"], r["outcome"]) for r in ours if r["outcome"] != "Ok"]
    verdicts.check("tls: refused handshakes name the alert", sorted(n for n, _, _ in failed) == ["old.test", "shop.test"] and
                   all(o == "Error" and c for _, c, o in failed), failed)
    alpn = [r["detail"] for r in done if r["key"] == "TLS 1.2" and r["target"].startswith("shop")]
    verdicts.check("tls: the ALPN that was chosen is told where it is in the clear", all("ALPN http/1.1" in d for d in alpn), alpn[:1])
    verdicts.check("tls: handshakes have an end and first application data",
                   all(r["end"] and r["first_row"] and r["first_row"] >= r["end"] for r in done), len(done))


def grpc():
    missing = lacks("py:grpc")
    if missing:
        return verdicts.skip("grpc", missing)
    capture, calls = served("serve_grpc.py", "grpc", free_port())
    server = {c["method"]: c for c in calls if c["side"] == "server"}
    client = {c["method"]: c for c in calls if c["side"] == "client"}
    ours = capture.requests("grpc", "http2")
    late = [r for r in ours if "late" in r["detail"]]
    rest = [r for r in ours if "late" not in r["detail"]]
    equal("grpc: methods, statuses and messages are those of the client", [(r["key"], r["code"], r["rows"]) for r in rest],
          [(f"POST {m}", str(c["status"]), c["answers"]) for m, c in client.items()])
    verdicts.check("grpc: what the client gave up was reset", len(late) == 3 and all(
        (r["outcome"], r["code"]) == ("Reset", "CANCEL") for r in late), [(r["outcome"], r["code"]) for r in late])
    verdicts.check("grpc: traceparent is read", all(r["traceparent"] for r in rest if "Stream" not in r["key"]))
    span = lambda c: c["end"] - c["begin"]
    times("grpc: times lie between the handler's and the client's",
          [(duration(r), span(server[m]), span(client[m])) for r in rest for m in [r["detail"].split(" ")[1]] if m in server])


def many_streams(port):
    """A hundred streams of one connection, open together; the time that each took."""
    import h2.connection
    import h2.events
    paths = [f"/{('fast', 'slow', 'missing', 'big')[n % 4]}/many{n}" for n in range(100)]
    took, begun = {}, {}
    with socket.create_connection((HOST, port)) as s:
        http = h2.connection.H2Connection()
        http.initiate_connection()
        s.sendall(http.data_to_send())
        while len(took) < len(paths):
            while paths[len(begun):] and len(begun) - len(took) < 20:
                stream, path = http.get_next_available_stream_id(), paths[len(begun)]
                begun[stream] = (path, time.time_ns())
                http.send_headers(stream, [(":method", "GET"), (":path", path), (":authority", "h"), (":scheme", "http")], True)
            s.sendall(http.data_to_send())
            for event in http.receive_data(s.recv(65536)):
                if isinstance(event, h2.events.DataReceived):
                    http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    path, begin = begun[event.stream_id]
                    took[path] = time.time_ns() - begin
    return took


def http2():
    missing = lacks("curl", "py:hypercorn", "py:h2")
    if missing:
        return verdicts.skip("http2", missing)
    port, log = free_port(), folder / "http2.log"
    log.unlink(missing_ok=True)
    server = subprocess.Popen(at_server(sys.executable, "-m", "hypercorn", "-b", f"{HOST}:{port}", "serve_http2:app"), cwd=HERE,
                              env={**os.environ, "LOG": str(log)}, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    url = f"http://{HOST}:{port}"
    client = {}
    try:
        wait_for(port)
        with captured("http2", port) as capture:
            for n in range(10):
                for flag, way in (("--http2", "up"), ("--http2-prior-knowledge", "prior")):
                    # curl 7.88 fails at times where much follows an upgrade at once.
                    for path in ("/fast", "/slow", "/missing", "/big")[:3 if way == "up" else 4]:
                        target = f"{path}/{way}{n}"
                        client[target] = curl(flag, url=url + target)
            client.update(many_streams(port))
    finally:
        server.terminate()
        server.wait()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    ours = capture.requests("http2")
    verdicts.check("http2: all of it was HTTP/2", len(lines) == 170 and all(line["version"] == "2" for line in lines), len(lines))
    equal("http2: requests and statuses are those of the server", [(r["detail"], r["code"]) for r in ours],
          [(f"{line['method']} {line['path']}", str(line["status"])) for line in lines])
    logged = {line["path"]: line["end"] - line["begin"] for line in lines}
    times("http2: times lie between the server's and the client's",
          [(duration(r), logged[p], client[p]) for r in ours for p in [r["detail"].split(" ")[1]] if p in client])


def dns():
    missing = lacks("py:dns", "py:dnslib")
    if missing:
        return verdicts.skip("dns", missing)
    capture, lines = served("serve_dns.py", "dns", free_port())
    client = {f"A {line['name']}": line["asked"] for line in lines if "asked" in line}
    server = [line for line in lines if "asked" not in line]
    ours = capture.requests("dns")
    equal("dns: questions, rcodes and answers are those of the server", [(r["key"], r["code"], r["rows"]) for r in ours],
          [(f"{line['type']} {line['name']}", line["rcode"], line["answers"]) for line in server])
    logged = {f"{line['type']} {line['name']}": line["end"] - line["begin"] for line in server}
    times("dns: times lie between the server's and the client's",
          [(duration(r), logged[r["key"]], client[r["key"]]) for r in ours if r["key"] in client])


def packets(file):
    """The header of a capture file of tcpdump, and its packets: head and bytes."""
    data = file.read_bytes()
    at, out = 24, []
    while at < len(data):
        head = struct.unpack("<IIII", data[at:at + 16])
        out.append((head, data[at + 16:at + 16 + head[2]]))
        at += 16 + head[2]
    return data[:24], out


def spoiled():
    """The captures again with packets lost, cut, in another order and from the midst: what is not labelled is right."""
    said = lambda r: tuple(r[k] for k in ("protocol", "detail", "id", "code", "rows", "outcome", "request_bytes", "response_bytes"))
    exact = lambda r: said(r) + tuple(r[k] for k in ("start", "sent", "first", "end"))
    dice = random.Random(7)

    def swap(them):
        """Neighbours of one direction change places; the times stay."""
        them = list(them)
        for i in range(len(them) - 1):
            (a, x), (b, y) = them[i], them[i + 1]
            if dice.random() < 0.1 and x[26:38] == y[26:38]:
                them[i], them[i + 1] = ((*a[:2], *b[2:]), y), ((*b[:2], *a[2:]), x)
        return them

    ways = {"1% lost": lambda them: [p for p in them if dice.random() >= 0.01],
            "10% lost": lambda them: [p for p in them if dice.random() >= 0.1],
            "cut to 128": lambda them: [((*h[:2], min(h[2], 128), h[3]), d[:128]) for h, d in them],
            "cut to 512": lambda them: [((*h[:2], min(h[2], 512), h[3]), d[:512]) for h, d in them],
            "from its midst": lambda them: them[len(them) // 3:],
            "in another order": swap}
    for capture in sorted(folder.glob("*.pcap")):
        if capture.stem.startswith("spoiled"):
            continue
        head, all_of_it = packets(capture)
        all_of_it = all_of_it[:25_000]
        file = folder / "spoiled.pcap"

        def read(them):
            file.write_bytes(head + b"".join(struct.pack("<IIII", *h) + d for h, d in them))
            done = subprocess.run([READER, file], capture_output=True, text=True, check=True)
            return [json.loads(line) for line in done.stdout.splitlines()]

        truth = read(all_of_it)
        for name, spoil in ways.items():
            same = said if name == "in another order" else exact
            right = collections.Counter(map(same, truth))
            ours = read(spoil(all_of_it))
            claimed = [r for r in ours if not r["missing"] and r["outcome"] in ("Ok", "Error", "Reset")]
            wrong = collections.Counter(map(same, claimed)) - right
            verdicts.check(f"{capture.stem}, {name}: what is not labelled is right", not wrong,
                           f"{len(ours)} of {len(truth)} requests, {len(claimed)} without a label {list(wrong)[:2] or ''}")
            if name == "in another order":
                verdicts.check(f"{capture.stem}, {name}: nothing is lost", collections.Counter(map(same, ours)) == right, len(ours))
        file.unlink()


if os.geteuid() != 0:
    print("skipped: requests: capturing needs root")
    sys.exit(0)
if lacks("tcpdump"):
    print("skipped: requests: no tcpdump")
    sys.exit(0)
build()
# Where packets are sent again, a capture that misses the first copy has the second's time: nothing to hold it against.
for part in (nginx, http2, grpc, dns, *(() if "LOSSY" in os.environ else (spoiled,))):
    part()
verdicts.end()
