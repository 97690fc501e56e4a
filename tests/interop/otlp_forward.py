"""`record --otlp-forward`: the collector that was there before gets what the recorder got, and its troubles are its own.

The collector is a second recorder (the same ids in both bundles), a collector that is down for a while, one that hangs, one that refuses or asks
for time, by HTTP, gRPC and TLS. usage: otlp_forward.py
"""
import collections
import concurrent.futures
import http.server
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from case import COLDCASE, Verdicts, rows  # noqa: E402


def spans(case):
    done = subprocess.run([COLDCASE, "query", str(case), "SELECT span FROM spans", "--format", "csv", "--quiet"], capture_output=True, text=True)
    return sorted(done.stdout.splitlines()[1:])


def counted(case):
    """The sums of `recorder.forward`."""
    out = collections.Counter()
    for row in rows(case, "recorder.forward"):
        out.update({k: row[k] for k in ("forwarded", "retries", "refused", "given_up", "no_room")})
    return out


class Collector(http.server.ThreadingHTTPServer):
    """An HTTP collector that keeps what it gets, and answers as it is told."""
    daemon_threads = True

    def __init__(self, port=0, statuses=(), hang=None):
        self.got, self.statuses, self.hang = [], collections.deque(statuses), hang or threading.Event()
        if hang is None:
            self.hang.set()
        super().__init__(("127.0.0.1", port), Collector.Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.server.hang.wait()
            status = self.server.statuses.popleft() if self.server.statuses else 200
            self.server.got.append((status, self.path, self.headers["Content-Type"], self.headers.get("X-Tenant"), self.headers.get("Authorization"), body))
            self.send_response(status)
            if status == 503:
                self.send_header("Retry-After", "1")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass


def to_a_second_recorder(folder, verdicts):
    from otlp import Grpc, Http, Recorder, logs, new_id, traces
    second = Recorder(folder / "second.case")
    first = Recorder(folder / "first.case", "--otlp-forward", f"grpc://{second.grpc}", "--otlp-forward", f"http://{second.http}")
    ids = [new_id() for _ in range(300)]
    by_http, by_grpc = Http(first.http), Grpc(first.grpc)
    for at in range(0, 300, 10):
        line = by_http if at % 20 else by_grpc
        line.send("traces", traces(ids[at:at + 10]))
    by_grpc.send("logs", logs(["hello"]))
    by_http.send("traces", b'{"resourceSpans":[ ]}', {"Content-Type": "application/json"})
    code, said = first.end()
    second_code, _ = second.end()
    verdicts.check("forward: both recorders end well", (code, second_code) == (0, 0), (code, second_code))
    verdicts.check("forward: it is told at the end", "passed on 32 of 32 requests" in said, said.strip()[-300:])
    a, b = spans(folder / "first.case"), spans(folder / "second.case")
    verdicts.check("forward: the same ids in both, each once", a == b == sorted(id.hex() for id in ids), (len(a), len(b)))
    kinds = [collections.Counter((r["transport"], r["content_type"].split(";")[0]) for s in ("otlp.traces.receipts", "otlp.traces.json.receipts", "otlp.logs.receipts")
                                 for r in rows(folder / case, s)) for case in ("first.case", "second.case")]
    verdicts.check("forward: by the same protocol, in the same encoding", kinds[0] == kinds[1] and len(kinds[0]) == 3, kinds)
    verdicts.check("forward: it is counted", counted(folder / "first.case") == collections.Counter(forwarded=32), counted(folder / "first.case"))


def through_trouble(folder, verdicts):
    from otlp import Http, Recorder, free_port, new_id, traces
    port = free_port()
    case = folder / "down.case"
    recorder = Recorder(case, "--otlp-forward", f"http://127.0.0.1:{port}/otlp")
    line, bodies = Http(recorder.http), [traces([new_id()]) + b"\x7a\x01x" for _ in range(40)]
    longest = 0
    for body in bodies[:20]:
        start = time.monotonic()
        status = line.send("traces", body, {"X-Tenant": "me", "Authorization": "Bearer theirs"})[0]
        longest = max(longest, time.monotonic() - start)
        if status != 200:
            verdicts.check("forward: taken while the collector is down", False, status)
    verdicts.check("forward: a collector that is down costs the sender no time", longest < 1, f"{longest * 1000:.0f} ms at most")
    time.sleep(2)
    collector = Collector(port, statuses=[503, 429, 200, 400])
    for body in bodies[20:]:
        line.send("traces", body)
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline and len({g[5] for g in collector.got if g[0] != 503 and g[0] != 429}) < 40:
        time.sleep(0.1)
    code, said = recorder.end()
    got = [g for g in collector.got if g[0] in (200, 400)]
    verdicts.check("forward: all came once it was back, each unchanged and once", sorted(g[5] for g in got) == sorted(bodies), f"{len(got)} of 40")
    verdicts.check("forward: path, type and the sender's headers are passed on",
                   {g[1:3] for g in got} == {("/otlp/v1/traces", "application/x-protobuf")} and ("me", "Bearer theirs") in {g[3:5] for g in got}, {g[1:5] for g in got})
    sums = counted(case)
    verdicts.check("forward: one was refused for good, the others were sent again", (sums["forwarded"], sums["refused"]) == (39, 1) and sums["retries"] >= 3, sums)
    verdicts.check("forward: no evidence was lost, and what was not passed on is told", code == 0 and "passed on 39 of 40 requests" in said and "1 were refused" in said, said.strip()[-300:])
    verdicts.check("forward: all are in the bundle", len(spans(case)) == 40)


def to_one_that_hangs(folder, verdicts):
    from otlp import Http, Recorder, new_id, traces
    released = threading.Event()
    collector = Collector(hang=released)
    case = folder / "hangs.case"
    recorder = Recorder(case, "--otlp-forward", f"http://127.0.0.1:{collector.server_port}")
    line, count, longest = Http(recorder.http), 0, 0
    padding = b"\x7a\x80\x80\x40" + bytes(1 << 20)
    # more than may wait
    for _ in range(60):
        start = time.monotonic()
        count += line.send("traces", traces([new_id()]) + padding)[0] == 200
        longest = max(longest, time.monotonic() - start)
    verdicts.check("forward: a collector that hangs holds up no sender", count == 60 and longest < 3, f"{count} of 60 taken, {longest * 1000:.0f} ms at most")
    start = time.monotonic()
    code, said = recorder.end()
    verdicts.check("forward: and not the end either", time.monotonic() - start < 10, f"{time.monotonic() - start:.1f} s")
    released.set()
    sums = counted(case)
    verdicts.check("forward: each is in the bundle, and counted as not passed on",
                   code == 0 and len(spans(case)) == 60 and sums["no_room"] > 0 and sums["no_room"] + sums["given_up"] == 60, sums)
    verdicts.check("forward: it is told at the end", "passed on 0 of 60 requests" in said and "found no room" in said, said.strip()[-300:])


def by_grpc_and_tls(folder, verdicts):
    """A real gRPC server, with TLS, that is busy at first: with RetryInfo, then unavailable, then well."""
    import grpc
    from otlp import Grpc, Recorder, free_port, new_id, traces
    if not shutil.which("openssl"):
        verdicts.skip("forward by TLS", "no openssl")
        return
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    got, lock = [], threading.Lock()
    answers = collections.deque(["busy", "unavailable", "invalid"])
    # google.rpc.Status { code: 8, details: [Any { RetryInfo { retry_delay: 1 s } }] }
    url = b"type.googleapis.com/google.rpc.RetryInfo"
    any_ = b"\x0a" + bytes([len(url)]) + url + b"\x12\x04\x0a\x02\x08\x01"
    details = b"\x08\x08\x1a" + bytes([len(any_)]) + any_

    def export(body, context):
        with lock:
            what = answers.popleft() if answers else "ok"
            if what == "busy":
                context.set_trailing_metadata((("grpc-status-details-bin", details),))
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "busy")
            if what == "unavailable":
                context.abort(grpc.StatusCode.UNAVAILABLE, "away")
            got.append(body)
            if what == "invalid":
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not for me")
        return b""

    class Handler(grpc.GenericRpcHandler):
        def service(self, call):
            return grpc.unary_unary_rpc_method_handler(export) if call.method.endswith("TraceService/Export") else None

    server = grpc.server(concurrent.futures.ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((Handler(),))
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key.read_bytes(), cert.read_bytes())]))
    server.start()
    case = folder / "tls.case"
    os.environ["SSL_CERT_FILE"] = str(cert)
    recorder = Recorder(case, "--otlp-forward", f"grpcs://localhost:{port}")
    del os.environ["SSL_CERT_FILE"]
    channel, bodies = Grpc(recorder.grpc), [traces([new_id()]) for _ in range(30)]
    for body in bodies:
        channel.send("traces", body)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and len(got) < 30:
        time.sleep(0.1)
    code, said = recorder.end()
    server.stop(0)
    sums = counted(case)
    verdicts.check("forward: gRPC over TLS, each unchanged and once", code == 0 and sorted(got) == sorted(bodies), f"{len(got)} of 30; {said.strip()[-200:]}")
    verdicts.check("forward: busy and away are tried again, invalid is not", (sums["forwarded"], sums["refused"], sums["retries"]) == (29, 1, 2), sums)
    # a collector that the host does not trust gets nothing
    stranger = Recorder(folder / "stranger.case", "--otlp-forward", f"grpcs://localhost:{free_port()}")
    Grpc(stranger.grpc).send("traces", bodies[0])
    code, said = stranger.end()
    verdicts.check("forward: what was not passed on at the end is told", code == 0 and "passed on 0 of 1 requests" in said and "given up" in said, said.strip()[-300:])


def main():
    verdicts = Verdicts()
    try:
        import grpc  # noqa: F401
        import opentelemetry.proto  # noqa: F401
    except ImportError as e:
        verdicts.skip("forwarding", f"no {e.name} (tests/requirements.txt)")
        verdicts.end()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="forward-", dir=os.environ.get("WORK", "/var/tmp")))
    try:
        for part in (to_a_second_recorder, through_trouble, to_one_that_hangs, by_grpc_and_tls):
            part(folder, verdicts)
    finally:
        shutil.rmtree(folder)
    verdicts.end()


if __name__ == "__main__":
    main()
