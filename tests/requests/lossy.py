#!/usr/bin/env python3
"""Requests on a way that loses one packet in a hundred and queues the others: nginx in one network namespace, its clients in another, captured at both
ends. What `coldcase flow` reads must be what nginx logged: each request once, with its status and its bytes; no time may lie outside those of server
and client; what was sent again is the kernel's own count. Then a client that does not read, and one that hangs up in the midst."""
import collections
import http.client
import json
import pathlib
import random
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "lib"))
from case import Verdicts, run  # noqa: E402
from netns import Way, inside, netns, retransmitted, sh  # noqa: E402

WAY = Way("cc-lossy-a", "cc-lossy-b", "cc-lossy-r", 76)
SERVER, PORT = "10.76.2.2", 8000
MS = 1_000_000
RULES = """
table ip lossy {
  chain forward {
    type filter hook forward priority 0;
    tcp dport 8000 numgen random mod 100 < 1 drop
    tcp sport 8000 numgen random mod 100 < 1 drop
  }
}
"""
NGINX = """
daemon off; worker_processes 1; error_log {dir}/error.log; pid {dir}/pid;
events {{ worker_connections 256; }}
http {{
  log_format facts '$request_method $request_uri $status $bytes_sent $request_length $request_time';
  access_log {dir}/access.log facts;
  client_body_temp_path {dir}/body; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  keepalive_requests 100000;
  server {{ listen {ip}:{port}; root {dir}/www; location /none {{ return 404 "no\\n"; }} location /post {{ client_max_body_size 1m; proxy_pass http://127.0.0.1:{sink}; }} }}
  server {{ listen 127.0.0.1:{sink}; access_log off; location / {{ return 200 "taken\\n"; }} }}
}}
"""
verdicts = Verdicts()


def client(seed, times):
    dice = random.Random(seed)
    connection = http.client.HTTPConnection(SERVER, PORT, timeout=30)
    for n in range(150):
        kind = dice.choice(("small", "middle", "large", "none", "post"))
        method, path = ("POST", f"/post?{seed}-{n}") if kind == "post" else ("GET", f"/{kind}?{seed}-{n}")
        begin = time.monotonic_ns()
        connection.request(method, path, b"z" * dice.randrange(1, 20_000) if kind == "post" else None)
        connection.getresponse().read()
        times[path] = time.monotonic_ns() - begin
    connection.close()


def idle_reader():
    """Asks for more than its buffer takes, and reads after a second and a half."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        s.connect((SERVER, PORT))
        s.sendall(b"GET /huge?idle HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        time.sleep(1.5)
        while s.recv(1 << 16):
            pass


def hang_up():
    with socket.socket() as s:
        s.connect((SERVER, PORT))
        s.sendall(b"GET /huge?gone HTTP/1.1\r\nhost: a\r\n\r\n")
        s.recv(1000)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def tap(name, path):
    child = subprocess.Popen(netns(name, "tcpdump", "-Z", "root", "-B", "65536", "-i", "eth0", "-s", "0", "-w", str(path), "tcp"), stderr=subprocess.PIPE, text=True)
    while "listening" not in child.stderr.readline():
        pass
    return child


def serve(folder):
    (folder / "www").mkdir()
    for name, size in (("small", 100), ("middle", 5_000), ("large", 60_000), ("huge", 4 << 20)):
        (folder / "www" / name).write_bytes(b"x" * size)
    for path in (folder, folder / "www"):
        path.chmod(0o777)
    (folder / "nginx.conf").write_text(NGINX.format(dir=folder, ip=SERVER, port=PORT, sink=8001))
    server = subprocess.Popen(netns(WAY.right, "nginx", "-c", str(folder / "nginx.conf"), "-p", str(folder)), stderr=subprocess.DEVNULL)
    for _ in range(100):
        if (folder / "pid").exists() and (folder / "pid").read_text().strip():
            return server
        time.sleep(0.05)
    sys.exit("nginx did not start: " + (folder / "error.log").read_text()[-500:])


def requests(path):
    flow = json.loads(run("flow", path, "--json", "--quiet"))
    return flow, [r for r in flow["requests"] if r["protocol"] == "http" and ("?" in r["detail"])]


def record(folder):
    """Runs it all; gives the captures of both ends, what the clients waited, and what nginx's kernel sent again."""
    paths = [folder / "client.pcap", folder / "server.pcap"]
    taps = [tap(WAY.left, paths[0]), tap(WAY.right, paths[1])]
    sh(*netns(WAY.router, "tc", "qdisc", "add", "dev", "r0", "root", "tbf", "rate", "40mbit", "burst", "32kb", "latency", "30ms"), check=False)
    before = retransmitted(WAY.right)
    waited = {}
    threads = [inside(WAY.left, client, seed, waited)[0] for seed in range(4)]
    for t in threads:
        t.join()
    inside(WAY.left, idle_reader)[0].join()
    inside(WAY.left, hang_up)[0].join()
    time.sleep(1.5)
    again = retransmitted(WAY.right) - before
    for t in taps:
        t.terminate()
        t.wait()
    return paths, waited, again


def compare(folder, paths, waited, again):
    logged = [line.split() for line in (folder / "access.log").read_text().splitlines()]
    logged = [(f"{m} {uri}", status, int(sent), int(length), float(took)) for m, uri, status, sent, length, took in logged]
    whole = collections.Counter((what, status, sent, length) for what, status, sent, length, _ in logged if "gone" not in what)
    for side, path in zip(("client's", "server's"), paths):
        _, found = requests(path)
        ours = collections.Counter((" ".join(r["detail"].split()[:2]), r["code"], r["response_bytes"], r["request_bytes"]) for r in found if r["outcome"] in ("ok", "error"))
        verdicts.check(f"at the {side} end each request is there once, with status and bytes", ours == whole,
                       f"{sum(ours.values())} of {sum(whole.values())}, only ours {list((ours - whole))[:3]}, only nginx's {list((whole - ours))[:3]}")
    flow, found = requests(paths[1])
    took = {what: seconds for what, _, _, _, seconds in logged}
    wrong = []
    for r in found:
        what = " ".join(r["detail"].split()[:2])
        if r["duration"] is None or "idle" in what or "gone" in what:
            continue
        # nginx rounds down to milliseconds, and is done when the kernel has the last byte. Where it looks at its clock late, it says more: one in fifty may.
        if not took[what] * 1e9 - MS <= r["duration"] <= waited[what.split()[1]] + MS:
            wrong.append((what, took[what], r["duration"] / 1e9, waited[what.split()[1]] / 1e9))
    verdicts.check("each took no less than nginx says and no more than its client waited", len(wrong) <= len(found) // 50 and len(found) > 500, f"{len(found)} requests, {len(wrong)} outside: {wrong[:3]}")
    sent_again = sum(c["tcp"]["sent_again_ba"]["segments"] for c in flow["connections"] if c["tcp"])
    verdicts.check("what nginx's kernel sent again is what was seen again", again * 0.98 - 3 <= sent_again <= again * 1.02 + 3, f"kernel {again}, seen {sent_again}")
    connection = {r["detail"].split("?")[1].split()[0]: (r, flow["connections"][r["connection"]]) for r in found}
    idle, tcp = connection["idle"][0], connection["idle"][1]["tcp"]
    longest = max((s["length"] for s in tcp["stalls"] if s["cause"] == "zero_window"), default=0)
    verdicts.check("a client that does not read closes its window", tcp["zero_windows"] > 0 and longest > 1000 * MS and idle["outcome"] == "ok",
                   f"{tcp['zero_windows']} zero windows, {longest / 1e9:.2f} s, {idle['outcome']}")
    gone, tcp = connection["gone"][0], connection["gone"][1]["tcp"]
    verdicts.check("one that hangs up resets its request in the midst", gone["outcome"] == "reset" and tcp["resets_mid_stream"] > 0, f"{gone['outcome']}, {tcp['resets_mid_stream']} resets")


def main():
    for tool in ("ip", "nft", "tc", "tcpdump", "nginx"):
        if not shutil.which(tool):
            return verdicts.skip("requests on a lossy way", f"no {tool}")
    with tempfile.TemporaryDirectory(prefix="coldcase-lossy-") as folder:
        folder = pathlib.Path(folder)
        server = None
        try:
            if why := WAY.setup(RULES):
                return verdicts.skip("requests on a lossy way", f"nft cannot drop here: {why}")
            server = serve(folder)
            compare(folder, *record(folder))
        finally:
            if server:
                server.terminate()
                server.wait()
            WAY.teardown()


main()
verdicts.end()
