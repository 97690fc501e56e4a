"""Makes numbered events for every source at once, and writes down each with the BOOTTIME at which it was done.

usage: generator.py FOLDER OTLP_HTTP_PORT METRICS_PORT
Journal lines in FOLDER/journal: `source number started ended tid` (nanoseconds). A line is written after the event.
"""
import http.client
import http.server
import mmap
import os
import pathlib
import socket
import sys
import threading
import time

folder, otlp_port, metrics_port = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
journal = open(folder / "journal", "a", buffering=1)
lock = threading.Lock()


def boottime():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def note(source, number, started):
    ended = boottime()
    with lock:
        journal.write(f"{source} {number} {started} {ended} {threading.get_native_id()}\n")


def switches():
    for n in range(10**9):
        started = boottime()
        time.sleep(0.02)
        note("switch", n, started)


def writes():
    fd = os.open(folder / "disk", os.O_CREAT | os.O_RDWR | os.O_DIRECT)
    page = mmap.mmap(-1, 4096 * 16)
    for n in range(10**9):
        started = boottime()
        os.pwritev(fd, [memoryview(page)[: 4096 * (1 + n % 16)]], 4096 * 16 * (n % 16))
        note("disk", n, started)
        time.sleep(0.05)


def packets():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sink.bind(("127.0.0.1", 0))
    for n in range(10**9):
        started = boottime()
        s.sendto(b"x" * (n % 1000 + 1), sink.getsockname())
        note("packet", n, started)
        sink.recv(2000)
        time.sleep(0.01)


def field(number, payload):
    return bytes([number << 3 | 2]) + varint(len(payload)) + payload


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def spans():
    """ExportTraceServiceRequest by hand: the number is the span id."""
    connection = None
    for n in range(10**9):
        started = boottime()
        span = field(1, b"\x11" * 16) + field(2, (n + 1).to_bytes(8, "big")) + field(5, b"numbered")
        span += bytes([7 << 3 | 1]) + time.time_ns().to_bytes(8, "little") + bytes([8 << 3 | 1]) + time.time_ns().to_bytes(8, "little")
        body = field(1, field(2, field(2, span)))
        try:
            connection = connection or http.client.HTTPConnection("127.0.0.1", otlp_port, timeout=2)
            connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                note("span", n, started)
        except OSError:
            connection = None
            time.sleep(0.05)
        time.sleep(0.02)


def lines():
    log = open(folder / "numbered.log", "a", buffering=1)
    for n in range(10**9):
        started = boottime()
        log.write(f"line {n}\n")
        note("log", n, started)
        time.sleep(0.01)


class Page(http.server.BaseHTTPRequestHandler):
    served = 0

    def do_GET(self):
        started, n = boottime(), Page.served
        Page.served += 1
        body = f"# TYPE numbered counter\nnumbered_total {n}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
        note("metric", n, started)

    def log_message(self, *_):
        pass


threading.Thread(target=http.server.ThreadingHTTPServer(("127.0.0.1", metrics_port), Page).serve_forever, daemon=True).start()
for make in (switches, writes, packets, spans, lines):
    threading.Thread(target=make, daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
