"""Where requests vanish, as `coldcase flow` tells it, against what the client and the server count themselves.

A client and a server, each in a network namespace, nft between them: a transfer that loses segments and meets a reader that stops, a shop that resets
some requests and fails others and a client that sends those again, questions to a name server that never answers, a port that
drops SYNs. Captured at the client by tcpdump.

usage: vanish.py [FILE]   with FILE: the capture is kept there
"""
import ctypes
import json
import os
import random
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

COLDCASE = os.environ.get("COLDCASE", "target/debug/coldcase")
NAMESPACES = CLIENT, SERVER = "cc-client", "cc-server"
HOST = "10.88.0.2"
RULES = """
table ip lossy {
  chain in {
    type filter hook input priority 0;
    tcp dport 8002 drop
    udp dport 53 drop
    tcp dport 8000 numgen random mod 1000 < 15 drop
  }
}
"""
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 100
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"
# What both sides count.
told = {"resets": 0, "errors": 0, "retries": 0, "requests": 0}


def sh(*argv, check=True):
    return subprocess.run(argv, check=check, capture_output=True, text=True).stdout


def netns(name, *argv):
    return ["ip", "netns", "exec", name, *argv]


def inside(name, function, *args):
    """Runs a function in a namespace: in a thread, which alone enters it."""

    def body():
        fd = os.open(f"/var/run/netns/{name}", os.O_RDONLY)
        if ctypes.CDLL(None, use_errno=True).setns(fd, 0x40000000):
            raise OSError(ctypes.get_errno(), f"cannot enter {name}")
        os.close(fd)
        function(*args)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    return thread


def setup():
    for name in NAMESPACES:
        sh("ip", "netns", "del", name, check=False)
        sh("ip", "netns", "add", name)
        sh(*netns(name, "ip", "link", "set", "lo", "up"))
    sh("ip", "link", "add", "cc0", "netns", CLIENT, "type", "veth", "peer", "name", "cc1", "netns", SERVER)
    for name, link, ip in ((CLIENT, "cc0", "10.88.0.1/24"), (SERVER, "cc1", HOST + "/24")):
        sh(*netns(name, "ip", "addr", "add", ip, "dev", link))
        sh(*netns(name, "ip", "link", "set", link, "gso_max_segs", "1"), check=False)
        sh(*netns(name, "ip", "link", "set", link, "up"))
    done = subprocess.run(netns(SERVER, "nft", "-f", "-"), input=RULES, text=True, capture_output=True)
    return done.returncode == 0, done.stderr.strip()


def sink(ready):
    """Reads, and stops for a while after a megabyte: its window closes."""
    with socket.create_server((HOST, 8000)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 60_000)
        ready.release()
        peer, _ = server.accept()
        with peer:
            got, slept = 0, False
            while part := peer.recv(1 << 14):
                got += len(part)
                if got > 1_000_000 and not slept:
                    slept = True
                    time.sleep(1.5)


def shop(ready):
    noise = random.Random(4)
    with socket.create_server((HOST, 80)) as server:
        ready.release()
        while True:
            peer, _ = server.accept()
            with peer:
                while peer.recv(4096):
                    what = noise.random()
                    if what < 0.06:
                        told["resets"] += 1
                        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        break
                    if what < 0.12:
                        told["errors"] += 1
                    time.sleep(0.001 + noise.random() * 0.01)
                    peer.sendall(BUSY if what < 0.12 else OK)


def ask(items):
    """Asks for each item until it is answered."""
    line = None
    for item in range(items):
        for attempt in range(20):
            line = line or socket.create_connection((HOST, 80))
            told["requests"] += 1
            told["retries"] += attempt > 0
            try:
                line.sendall(f"GET /stock?item={item} HTTP/1.1\r\nHost: shop\r\n\r\n".encode())
                answer = line.recv(4096)
                if answer.startswith(b"HTTP/1.1 200"):
                    break
            except ConnectionResetError:
                line.close()
                line = None
            time.sleep(0.05)
    line.close()


def send():
    with socket.create_connection((HOST, 8000)) as s:
        s.sendall(bytes(3_000_000))


def knock():
    with socket.socket() as s:
        s.settimeout(4)
        try:
            s.connect((HOST, 8002))
        except OSError:
            pass


def resolve():
    for number in (7, 8):
        question = struct.pack(">HHHHHH", number, 0x100, 1, 0, 0, 0) + b"\x06orders\x08internal\x00" + struct.pack(">HH", 1, 1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.connect((HOST, 53))
            s.send(question)
            time.sleep(1)


def capture(path):
    tap = subprocess.Popen(netns(CLIENT, "tcpdump", "-Z", "root", "-B", "65536", "-i", "cc0", "-s", "300", "-w", path, "ip"),
                           stderr=subprocess.PIPE, text=True)
    while "listening" not in tap.stderr.readline():
        pass
    ready = threading.Semaphore(0)
    inside(SERVER, sink, ready)
    inside(SERVER, shop, ready)
    if not all(ready.acquire(timeout=10) for _ in range(2)):
        raise SystemExit("FAILED: the servers did not start")
    clients = [inside(CLIENT, send), inside(CLIENT, ask, 150), inside(CLIENT, knock), inside(CLIENT, resolve)]
    for client in clients:
        client.join(120)
    # tcpdump takes packets from the kernel in blocks, which end after a second at the latest.
    time.sleep(1.5)
    tap.terminate()
    tap.wait()


def check(path):
    flow = json.loads(sh(COLDCASE, "flow", path, "--json", "--quiet"))
    http = [r for r in flow["retried"] if r["protocol"] == "http"]
    vanished = {v["protocol"]: v["count"] for v in flow["vanished"]}
    edge = next(e for e in flow["edges"] if e["to"] == HOST + ":80")
    bulk = next(i for i, c in enumerate(flow["connections"]) if c["b"] == HOST + ":8000")
    one = json.loads(sh(COLDCASE, "flow", path, "--conn", str(bulk), "--json", "--quiet"))
    segments = one["sequence"]["ways"][0]["segments"]
    causes = {s["cause"] for s in one["connection"]["tcp"]["stalls"]}
    again = one["connection"]["tcp"]["sent_again_ab"]["segments"]
    checks = [
        ("requests", edge["requests"], told["requests"]),
        ("answered with an error", edge["request_errors"], told["errors"]),
        ("reset before the answer", vanished.get("http", 0), told["resets"]),
        ("sent again by the client", sum(r["retries"] for r in http), told["retries"]),
        ("questions without an answer", vanished.get("dns", 0), 2),
        ("questions asked again", sum(r["retries"] for r in flow["retried"] if r["protocol"] == "dns"), 1),
        ("SYNs without an answer, three at least", sum(e["unanswered_syns"] for e in flow["edges"]) >= 3, True),
        ("bytes of the drawn segments", sum(s["bytes"] for s in segments), one["connection"]["tcp"]["payload_ab"]),
        ("drawn as sent again, as counted", sum(s["again"] for s in segments) >= again > 5, True),
        ("the reader that stopped is told", "zero_window" in causes, True),
    ]
    for what, found, expected in checks:
        print(f"{'ok' if found == expected else 'FAILED'} {what}: {found}, counted {expected}")
    return sum(found != expected for _, found, expected in checks)


def tshark(path, stream, fields, where):
    argv = ["tshark", "-r", path, "-Y", f"tcp.stream=={stream} && {where}", "-T", "fields"]
    for field in fields:
        argv += ["-e", field]
    return [tuple(map(int, line.split())) for line in sh(*argv).splitlines()]


def same_as_tshark(path):
    """The segments, acknowledgments and windows of the transfer, against tshark's."""
    if not shutil.which("tshark"):
        print("skipped: the segments against tshark's: no tshark")
        return 0
    connections = json.loads(sh(COLDCASE, "flow", path, "--json", "--quiet"))["connections"]
    bulk = next(i for i, c in enumerate(connections) if c["b"] == HOST + ":8000")
    stream = connections[bulk]["stream"]
    way = json.loads(sh(COLDCASE, "flow", path, "--conn", str(bulk), "--json", "--quiet"))["sequence"]["ways"][0]
    sent = "tcp.dstport==8000 && (tcp.len>0 || tcp.flags.syn==1 || tcp.flags.fin==1)"
    theirs = tshark(path, stream, ("frame.number", "tcp.seq", "tcp.len"), sent)
    ours = [(s["frame"], s["seq"], s["bytes"]) for s in way["segments"]]
    answers = tshark(path, stream, ("tcp.ack", "tcp.window_size"), "tcp.srcport==8000")

    def changes(numbers):
        return [n for i, n in enumerate(numbers) if i == 0 or n != numbers[i - 1]]

    checks = [
        ("segments", ours == theirs, len(theirs)),
        ("acknowledgments", [a for _, a in way["acked"]] == changes([ack for ack, _ in answers]), len(answers)),
        ("ends of windows", [a for _, a in way["allowed"]] == changes([ack + window for ack, window in answers]), len(answers)),
    ]
    for what, same, count in checks:
        print(f"{'ok' if same else 'FAILED'} {what} as tshark has them, of {count} frames")
    return sum(not same for _, same, _ in checks)


def main():
    if os.geteuid() != 0:
        print("skipped: where requests vanish: network namespaces need root")
        return
    for tool in ("ip", "nft", "tcpdump"):
        if not shutil.which(tool):
            print(f"skipped: where requests vanish: no {tool}")
            return
    with tempfile.TemporaryDirectory() as folder:
        path = sys.argv[1] if len(sys.argv) > 1 else os.path.join(folder, "vanish.pcap")
        try:
            able, why = setup()
            if not able:
                print(f"skipped: where requests vanish: nft cannot drop here: {why}")
                return
            capture(path)
            failed = check(path) + same_as_tshark(path)
        finally:
            for name in NAMESPACES:
                sh("ip", "netns", "del", name, check=False)
    sys.exit(failed > 0)


main()
