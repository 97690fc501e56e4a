"""Sizes and speeds of bundles: bytes per event beside perf.data, events per second to typed columns, and memory as a bundle grows.

Records a ping-pong of two processes (some 200,000 context switches a second), the hardest case of the scheduler source.
Needs root, and the PyPI package mcap (make setup-test) for bytes per stream.
"""
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from case import COLDCASE, ROOT  # noqa: E402
from workloads import PingPong  # noqa: E402

RECORDER = os.environ.get("RECORDER", COLDCASE)


def record(argv, out, load):
    p = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(2)
    rate = load.run()[0]
    p.send_signal(signal.SIGINT)
    p.wait()
    return rate, pathlib.Path(out).stat().st_size


def per_stream(case):
    """Rows, and compressed bytes by each stream's share of its chunks."""
    from mcap.reader import make_reader

    import json
    rows = {s["name"]: s["events"] for s in json.loads(subprocess.run([COLDCASE, "info", "--json", case], capture_output=True, text=True, check=True).stdout)["streams"]}
    compressed = {}
    with open(case, "rb") as f:
        reader = make_reader(f)
        summary = reader.get_summary()
        names = {c.id: c.topic for c in summary.channels.values()}
        plain = {}
        for _, channel, message in reader.iter_messages(log_time_order=False):
            plain[channel.topic] = plain.get(channel.topic, 0) + len(message.data)
        for chunk in summary.chunk_indexes:
            topics = [names[c] for c in chunk.message_index_offsets]
            total = sum(plain[t] for t in topics) or 1
            for t in topics:
                compressed[t] = compressed.get(t, 0) + chunk.compressed_size * plain[t] / total
    return {n: (rows.get(n, 0), compressed.get(n, 0)) for n in rows}


def peak(argv):
    p = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    start = time.monotonic()
    _, status, usage = os.wait4(p.pid, 0)
    p.returncode = os.waitstatus_to_exitcode(status)
    return time.monotonic() - start, usage.ru_maxrss / 1024, p.returncode


def main():
    if os.geteuid() != 0:
        print("skipped: needs root to load eBPF")
        return
    with tempfile.TemporaryDirectory(dir="/var/tmp") as d:
        folder = pathlib.Path(d)
        load = PingPong(folder, 4)
        cases = {}
        print("| recorded for 4 s of ping-pong | switches/s | file MB | bytes per scheduler event |")
        print("|---|--:|--:|--:|")
        for name, flags in (("coldcase, kernel.sched only", "--only kernel.sched"), ("coldcase, kernel.sched without stacks", "--only kernel.sched --stack-threshold 1h"), ("coldcase, defaults", "")):
            case = folder / f"{len(cases)}.case"
            rate, size = record([RECORDER, "record", "-o", str(case), "--quiet", *shlex.split(flags)], case, load)
            rows, bytes_ = per_stream(case)["kernel.offcpu"]
            cases[name] = case
            print(f"| {name} | {rate:,.0f} | {size / 1e6:.2f} | {bytes_ / max(rows, 1):.2f} ({rows:,} rows) |")
        if shutil.which("perf"):
            out = folder / "perf.data"
            rate, size = record(["perf", "record", "-q", "-a", "-e", "sched:sched_switch", "-o", str(out)], out, load)
            script = subprocess.run(["perf", "report", "-i", out, "--stats"], capture_output=True, text=True).stdout
            samples = max([int(n) for n in re.findall(r"SAMPLE events:\s+(\d+)", script)] or [0])
            print(f"| perf record -e sched:sched_switch | {rate:,.0f} | {size / 1e6:.2f} | {size / max(samples, 1):.2f} ({samples:,} samples) |")
        print("\nBytes per event by stream, defaults (compressed, by the stream's share of its chunks):\n")
        print("| stream | events | bytes/event |\n|---|--:|--:|")
        for name, (rows, bytes_) in sorted(per_stream(cases["coldcase, defaults"]).items()):
            if rows:
                print(f"| {name} | {rows:,} | {bytes_ / rows:.2f} |")
        example = ROOT / "target/debug/examples/columns"
        subprocess.run(["cargo", "build", "--quiet", "--workspace", "--example", "columns"], cwd=ROOT, check=True)
        print("\nFrom the bundle to typed columns (bundle, model and timeline at opt-level 3, the profile of the tests):\n")
        print(subprocess.run([example, cases["coldcase, kernel.sched without stacks"]], capture_output=True, text=True, check=True).stdout)
        print("| verb | bundle | seconds | peak MiB | exit |\n|---|---|--:|--:|--:|")
        for seconds in (1, 4, 16):
            case = folder / f"grow{seconds}.case"
            load.seconds = seconds
            record([RECORDER, "record", "-o", str(case), "--quiet"], case, load)
            for verb in (["info"], ["verify"], ["timeline"], ["analyze", "-o", str(folder / "report"), "--force"]):
                took, mib, code = peak([COLDCASE, verb[0], str(case), *verb[1:]])
                print(f"| {verb[0]} | {seconds} s, {case.stat().st_size / 1e6:.1f} MB | {took:.2f} | {mib:.0f} | {code} |")


if __name__ == "__main__":
    main()
