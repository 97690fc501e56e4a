"""How fast spans, logs and rows are taken and read: the OTLP receiver beside a Python one, sizes beside OTLP/JSON, log lines, templates, SQL.

Spans are made once, by the Python SDK's own classes, as they come in practice (operation, kind, route, status, peer, ids), and sent over HTTP by
senders that only write bytes. What counts is the CPU that a receiver used by itself (its own /proc/PID/stat), so that the senders' share of the machine
does not matter. The Python receiver is an http.server that decodes each request with the classes of opentelemetry-proto, and keeps nothing.

usage: telemetry.py [--spans N] [--rounds N] [--rows N] [--lines N] [PART...]   parts: ingest, size, logs, templates, sql
"""
import argparse
import gzip
import http.client
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
COLDCASE = os.environ.get("COLDCASE", str(ROOT / "target/debug/coldcase"))
RECORDER = os.environ.get("RECORDER", str(ROOT / "target/recorder/coldcase"))
TICK = os.sysconf("SC_CLK_TCK")
BATCH = 512
# The clock of a process's CPU ticks in 10 ms: the same requests are sent several times.
REPEATED = 5

SINK = """
import http.server, sys
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
spans = 0
class Sink(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        global spans
        request = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
        spans += sum(len(s.spans) for r in request.resource_spans for s in r.scope_spans)
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200); self.send_header("Content-Type", "application/x-protobuf"); self.send_header("Content-Length", str(len(answer))); self.end_headers()
        self.wfile.write(answer)
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Sink).serve_forever()
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port):
    for _ in range(200):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit(f"nothing listens on port {port}")


def cpu(pid):
    """Seconds of CPU that a process used."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def requests(spans):
    """Export requests of BATCH spans, as messages."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    dice, out, now = random.Random(7), [], 1_790_000_000_000_000_000
    text = lambda key, value: KeyValue(key=key, value=AnyValue(string_value=value))  # noqa: E731
    number = lambda key, value: KeyValue(key=key, value=AnyValue(int_value=value))  # noqa: E731
    for first in range(0, spans, BATCH):
        request = ExportTraceServiceRequest()
        resource = request.resource_spans.add()
        resource.resource.attributes.extend([text("service.name", f"service-{first // BATCH % 5}"), text("host.name", "web-1"), number("process.pid", 4711),
                                             text("telemetry.sdk.language", "python")])
        scope = resource.scope_spans.add()
        scope.scope.name = "opentelemetry.instrumentation.wsgi"
        for n in range(min(BATCH, spans - first)):
            now += dice.randrange(20_000, 60_000)
            route = dice.choice(("/order", "/cart/{user}", "/search", "/item/{id}", "/health"))
            span = scope.spans.add(trace_id=dice.randbytes(16), span_id=dice.randbytes(8), parent_span_id=dice.randbytes(8), name=f"GET {route}", kind=2,
                                   start_time_unix_nano=now, end_time_unix_nano=now + int(dice.lognormvariate(15, 1)))
            span.attributes.extend([text("http.request.method", "GET"), text("http.route", route), number("http.response.status_code", dice.choice((200, 200, 200, 404))),
                                    text("url.path", f"/item/{dice.randrange(100_000)}"), text("client.address", f"10.0.{dice.randrange(256)}.{dice.randrange(256)}"),
                                    number("server.port", 8080)])
        out.append(request)
    return out


def send(port, bodies):
    """Sends the bodies over four connections."""
    def one(mine):
        client = http.client.HTTPConnection("127.0.0.1", port)
        for body in mine:
            while True:
                client.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
                answer = client.getresponse()
                answer.read()
                if answer.status == 200:
                    break
                if answer.status not in (429, 503):
                    sys.exit(f"the receiver answered {answer.status}")
                time.sleep(0.05)
    threads = [threading.Thread(target=one, args=(bodies[n::4],)) for n in range(4)]
    begun = time.perf_counter()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return time.perf_counter() - begun


def record(bundle, port):
    """A recorder that receives OTLP and does nothing else."""
    return subprocess.Popen([RECORDER, "record", "-o", bundle, "--force", "--only", "otlp", "--otlp-http", f"127.0.0.1:{port}", "--otlp-grpc",
                             f"127.0.0.1:{free_port()}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def ingest(args, folder):
    bodies = [r.SerializeToString() for r in requests(args.spans)] * REPEATED
    spans = args.spans * REPEATED
    rates = {"coldcase": [], "Python": []}
    for n in range(args.rounds):
        for name in sorted(rates, reverse=n % 2):
            port = free_port()
            process = record(folder / "ingest.case", port) if name == "coldcase" else subprocess.Popen([sys.executable, "-c", SINK, str(port)], stderr=subprocess.DEVNULL)
            wait_for(port)
            time.sleep(1.5)
            before = cpu(process.pid)
            took = send(port, bodies)
            # What is written behind the acknowledgment counts too.
            time.sleep(1.5)
            used = cpu(process.pid) - before
            rates[name].append((spans / used, spans / took))
            process.send_signal(signal.SIGINT)
            process.wait(60)
    for name, of in rates.items():
        per_core, at = max(of)
        print(f"ingest  {name:9} {per_core:10,.0f} spans per second of its CPU, at {at:,.0f} spans/s on the wire, {spans:,} spans, best of {args.rounds}")
    print(f"ingest  ratio     {max(rates['coldcase'])[0] / max(rates['Python'])[0]:.1f}")


def size(args, folder):
    from google.protobuf.json_format import MessageToJson
    made = requests(args.spans)
    port = free_port()
    process = record(folder / "size.case", port)
    wait_for(port)
    send(port, [r.SerializeToString() for r in made])
    process.send_signal(signal.SIGINT)
    process.wait(60)
    lines = "".join(MessageToJson(r, indent=None) + "\n" for r in made).encode()
    packed, raw = len(gzip.compress(lines, 6)), sum(r.ByteSize() for r in made)
    ours = (folder / "size.case").stat().st_size
    print(f"size    bundle {ours / args.spans:.1f} bytes a span, OTLP/JSON with gzip -6 {packed / args.spans:.1f}, protobuf {raw / args.spans:.1f}: {packed / ours:.2f} times smaller than gzip'd JSON")


def lines(path, count):
    dice = random.Random(7)
    with open(path, "w") as out:
        for n in range(count):
            kind = dice.randrange(4)
            at = f"2026-11-28T10:{n // 60_000_000 % 60:02d}:{n // 1_000_000 % 60:02d}.{n % 1_000_000:06d}Z"
            out.write((f"{at} INFO request {dice.getrandbits(32):08x} GET /item/{dice.randrange(99999)} 200 in {dice.randrange(900)} ms\n",
                       f"{at} WARN pool is at {dice.randrange(100)}% of 64 connections\n",
                       f"{at} ERROR worker-{dice.randrange(16)} could not reach 10.0.0.{dice.randrange(256)}:5432: connection refused\n",
                       f"{at} INFO user {dice.randrange(5000)} signed in from 192.168.{dice.randrange(256)}.{dice.randrange(256)}\n")[kind])


def best(command, rounds):
    took = []
    for _ in range(rounds):
        begun = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        took.append(time.perf_counter() - begun)
    return min(took)


def logs(args, folder):
    lines(folder / "app.log", args.lines)
    took = best([COLDCASE, "import", folder / "app.log", "-o", folder / "log.case", "--force", "--quiet"], args.rounds)
    whole, packed = (folder / "app.log").stat().st_size, (folder / "log.case").stat().st_size
    print(f"logs    imported at {args.lines / took:,.0f} lines/s, {packed / args.lines:.1f} bytes a line in the bundle of {whole / args.lines:.1f}")


def templates(args, folder):
    if not (folder / "log.case").exists():
        lines(folder / "app.log", args.lines)
        subprocess.run([COLDCASE, "import", folder / "app.log", "-o", folder / "log.case", "--quiet"], check=True, stdout=subprocess.DEVNULL)
    query = lambda sql: best([COLDCASE, "query", folder / "log.case", sql, "--quiet"], args.rounds)  # noqa: E731
    with_them, without = query("SELECT count(*) FROM log_templates"), query("SELECT count(*) FROM recorder_anchor")
    print(f"templates  mined at {args.lines / (with_them - without):,.0f} lines/s (reading included)")


def sql(args, folder):
    (folder / "rows.folded").write_text("".join(f"main;work;f{n} {args.rows // 100}\n" for n in range(100)))
    subprocess.run([COLDCASE, "import", folder / "rows.folded", "-o", folder / "rows.case", "--quiet"], check=True, stdout=subprocess.DEVNULL)
    for name, text in (("count", "SELECT count(*) FROM cpu_samples"), ("group by", "SELECT cpu, count(*) AS n, max(time) FROM cpu_samples GROUP BY cpu"),
                       ("filter", "SELECT count(*) FROM cpu_samples WHERE pid = 1 AND time > 0")):
        took = best([COLDCASE, "query", folder / "rows.case", text, "--quiet"], args.rounds)
        print(f"sql     {name:8} {took:6.2f} s over {args.rows:,} rows, {args.rows / took / 1e6:.1f} M rows/s (polars as the profile builds it: opt-level 0 in `dev`)")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spans", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("parts", nargs="*", default=["ingest", "size", "logs", "templates", "sql"])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="coldcase-bench-") as made:
        for part in args.parts:
            {"ingest": ingest, "size": size, "logs": logs, "templates": templates, "sql": sql}[part](args, pathlib.Path(made))


main()
