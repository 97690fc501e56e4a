"""A storm of OTLP: what real SDKs sent is what is stored, each span and log record exactly once; and a disk that is too slow.

The SDKs for Python (gRPC, HTTP/protobuf) and Node (gRPC, HTTP/protobuf, HTTP/JSON), with gzip and without, in batches of several sizes, send
spans and log records and write down what they sent. Where they cannot make the rate on this machine, a raw sender of protobuf
batches adds what is missing. Then the recorder writes to a pipe that is read slowly: senders are told to come again, with a hint when, and what was
acknowledged is in the bundle. usage: otlp_sdk.py [--seconds N] [--rate PER_SECOND]
"""
import argparse
import collections
import itertools
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from case import COLDCASE, ROOT, Verdicts  # noqa: E402

HERE = pathlib.Path(__file__).with_name("otlp_sdk")
NODE = ROOT / "target/otlp_sdk"


def node_modules(verdicts):
    """The SDK for Node, installed as locked; None where it cannot be."""
    if not shutil.which("node") or not shutil.which("npm"):
        verdicts.skip("the SDK for Node", "no node with npm")
        return None
    NODE.mkdir(parents=True, exist_ok=True)
    lock = HERE / "package-lock.json"
    if not (NODE / "installed").exists() or (NODE / "installed").read_text() != lock.read_text():
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, NODE / name)
        done = subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=NODE, capture_output=True, text=True)
        if done.returncode != 0:
            verdicts.skip("the SDK for Node", f"npm ci: {done.stderr.strip()[-200:]}")
            return None
        (NODE / "installed").write_text(lock.read_text())
    return NODE / "node_modules"


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def column(bundle, sql):
    """The one column of a query, as text."""
    done = subprocess.run([COLDCASE, "query", str(bundle), sql, "--format", "csv", "--quiet"], capture_output=True, text=True)
    if done.returncode not in (0, 3):
        sys.exit(f"coldcase query: exit {done.returncode}: {done.stderr[-800:]}")
    return done.stdout.splitlines()[1:]


def same(verdicts, name, sent, there):
    sent, there = collections.Counter(sent), collections.Counter(there)
    missing, more = sent - there, there - sent
    verdicts.check(name, sent and sent == there, f"{sum(sent.values())} sent, {sum(missing.values())} missing, {sum(more.values())} too many")


def raw_sender(recorder, seconds, rate, folder):
    """Batches made beforehand, so that the sender costs little: own ids, patched into a template."""
    from otlp import Grpc, Http, logs, traces
    size = 500
    marks = [b"\xf0" + n.to_bytes(7, "big") for n in range(1, size + 1)]
    template = traces(marks)
    places = [template.index(b"\x12\x08" + mark) + 2 for mark in marks]
    line = {"traces": Http(recorder.http), "logs": Grpc(recorder.grpc)}
    numbers = itertools.count()
    spans, bodies = [], []
    start, n = time.monotonic(), 0
    while (elapsed := time.monotonic() - start) < seconds:
        if n >= elapsed * rate:
            time.sleep(0.005)
            continue
        body = bytearray(template)
        for place in places:
            id = b"\xf1" + next(numbers).to_bytes(7, "big")
            body[place:place + 8] = id
            spans.append(id.hex())
        if line["traces"].send("traces", bytes(body))[0] != 200:
            sys.exit("the raw sender was refused")
        told = [f"raw-{n + i}" for i in range(size)]
        line["logs"].send("logs", logs(told))
        bodies += told
        n += size
    (folder / "raw.spans").write_text("".join(id + "\n" for id in spans))
    (folder / "raw.logs").write_text("".join(body + "\n" for body in bodies))
    return n / (time.monotonic() - start)


def storm(folder, seconds, rate, verdicts):
    from otlp import Recorder
    modules = node_modules(verdicts)
    case = folder / "storm.case"
    recorder = Recorder(case)
    senders = []

    def start(name, argv, protocol, packing, batch, share):
        at = recorder.grpc if protocol == "grpc" else recorder.http
        argv = [*argv, protocol, at, packing, str(batch), str(seconds), str(rate * share), name, str(folder / name)]
        env = {**os.environ, "NODE_PATH": str(modules or "")}
        senders.append((name, subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)))

    python = [sys.executable, HERE / "send.py"]
    start("python-grpc", python, "grpc", "gzip", 512, 0.05)
    start("python-proto", python, "proto", "none", 64, 0.05)
    if modules:
        node = ["node", HERE / "send.js"]
        start("node-grpc", node, "grpc", "gzip", 512, 0.1)
        start("node-grpc-plain", node, "grpc", "none", 64, 0.05)
        start("node-proto", node, "proto", "gzip", 200, 0.1)
        start("node-json", node, "json", "gzip", 512, 0.05)
        start("node-json-plain", node, "json", "none", 17, 0.02)
    reached = raw_sender(recorder, seconds, rate * (0.58 if modules else 0.9), folder)
    total = reached
    for name, sender in senders:
        out, err = sender.communicate(timeout=seconds * 10 + 120)
        if not verdicts.check(f"{name} sent all it made", sender.returncode == 0, err.strip()[-400:]):
            continue
        told = json.loads(out)
        total += told["spans"] / told["made"]
        print(f"        {name}: {told['spans']} spans and as many log records, made in {told['made']:.1f} s, sent after {told['sent']:.1f} s")
    print(f"        asked for {rate} spans/s and as many log records; reached {total:.0f}, {reached:.0f} of them by the raw sender")
    code, said = recorder.end()
    verdicts.check("the recorder lost nothing", code == 0 and "lost" not in said, said.strip()[-300:] if code else "")
    sent = {what: [line for f in sorted(folder.glob(f"*.{what}")) for line in f.read_text().splitlines()] for what in ("spans", "logs")}
    same(verdicts, "spans, each stored once", sent["spans"], column(case, "SELECT span FROM spans"))
    same(verdicts, "log records, each stored once", sent["logs"], column(case, "SELECT body FROM logs"))
    print(f"        {case.stat().st_size / 1e6:.1f} MB in the bundle")


def slow_disk(folder, seconds, verdicts):
    """The bundle goes through a pipe that is read at a trickle: nothing that is written can be got rid of."""
    import grpc
    from otlp import Grpc, Http, Recorder, new_id, traces
    case = folder / "slow.case"
    end_of_trickle = threading.Event()
    # little may wait: what is tried is who is told so
    settings = folder / "slow.toml"
    settings.write_text("[otlp]\nmax-request = 1048576\n")
    recorder = Recorder("-", "--config", settings, stdout=subprocess.PIPE)
    pipe = recorder.process.stdout.buffer

    def trickle():
        with open(case, "wb") as out:
            while part := pipe.read1(1 << 16):
                out.write(part)
                if not end_of_trickle.is_set():
                    time.sleep(0.2)

    reader = threading.Thread(target=trickle)
    reader.start()
    lock, acked, told = threading.Lock(), [], collections.Counter()
    until = time.monotonic() + seconds

    def send(number):
        line = Http(recorder.http) if number % 2 else Grpc(recorder.grpc)
        while time.monotonic() < until:
            ids = [new_id() for _ in range(50)]
            # an unknown field that cannot be compressed, so that it fills the pipe
            body = traces(ids) + b"\x7a" + varint(300_000) + os.urandom(300_000)
            if number % 2:
                status, headers, _ = line.send("traces", body)
                what = f"http {status}"
                if status in (429, 503):
                    what += " with Retry-After" if headers.get("Retry-After") else " without a hint"
            else:
                try:
                    line.send("traces", body)
                    what = "grpc 0"
                except grpc.RpcError as e:
                    what = f"grpc {e.code().value[0]}"
                    details = dict(e.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
                    if e.code() == grpc.StatusCode.RESOURCE_EXHAUSTED:
                        what += " with RetryInfo" if b"google.rpc.RetryInfo" in details else " without a hint"
            with lock:
                told[what] += 1
                if what in ("http 200", "grpc 0"):
                    acked.extend(id.hex() for id in ids)
            if what not in ("http 200", "grpc 0"):
                time.sleep(0.05)

    threads = [threading.Thread(target=send, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    end_of_trickle.set()
    code, _ = recorder.end()
    reader.join(60)
    print(f"        answers: {dict(told)}")
    verdicts.check("slow disk: HTTP senders are told to come again, and when", told["http 429 with Retry-After"] > 0)
    verdicts.check("slow disk: gRPC senders are told to come again, and when", told["grpc 8 with RetryInfo"] > 0)
    verdicts.check("slow disk: no other answers", set(told) <= {"http 200", "grpc 0", "http 429 with Retry-After", "grpc 8 with RetryInfo"}, sorted(told))
    verdicts.check("slow disk: the recorder says that it took in less than was sent", code == 3)
    same(verdicts, "slow disk: what was acknowledged is in the bundle, once", acked, column(case, "SELECT span FROM spans"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rate", type=float, default=4000)
    args = parser.parse_args()
    verdicts = Verdicts()
    try:
        import opentelemetry.exporter.otlp.proto.grpc  # noqa: F401
        import opentelemetry.sdk  # noqa: F401
    except ImportError as e:
        verdicts.skip("storm", f"no {e.name} (tests/requirements.txt)")
        verdicts.end()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="storm-", dir=os.environ.get("WORK", "/var/tmp")))
    try:
        storm(folder, args.seconds, args.rate, verdicts)
        slow_disk(folder, min(args.seconds, 10), verdicts)
    finally:
        shutil.rmtree(folder)
    verdicts.end()


if __name__ == "__main__":
    main()
