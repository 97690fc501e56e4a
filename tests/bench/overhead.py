"""What recording costs a workload: paired, order-randomised rounds, the ratio to no recorder with a 95% interval.

Columns: nothing, nothing again (the noise floor), empty programs on the same hooks, coldcase, and the peers that are installed
(`perf record -a -g -F 99`, `perf record -e sched:sched_switch -a`, `tcpdump`). A ratio below 1 means the workload was slower.
"""
import argparse
import json
import math
import os
import pathlib
import random
import re
import shlex
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

PINGPONG = r"""
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec / 1e9; }
int main(int c, char **v) {
  int a[2], b[2]; long n = 0; char x = 0; double run = atof(v[1]), t0, t;
  if (pipe(a) || pipe(b)) return 1;
  if (!fork()) { close(a[1]); close(b[0]); while (read(a[0], &x, 1) == 1 && write(b[1], &x, 1) == 1); _exit(0); }
  close(a[0]); close(b[1]); t0 = now();
  do for (int i = 0; i < 64; i++, n++) if (write(a[1], &x, 1) != 1 || read(b[0], &x, 1) != 1) return 1;
  while ((t = now() - t0) < run);
  printf("%f\n", 2 * n / t); return 0; }
"""
# 97.5% quantiles of Student's t for 1..30 degrees of freedom
T975 = [12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13, 2.12, 2.11, 2.10, 2.09, 2.09,
        2.08, 2.07, 2.07, 2.06, 2.06, 2.06, 2.05, 2.05, 2.05, 2.04]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


class Redis:
    """redis-benchmark SET then GET, 50 clients, a fixed number of requests; harmonic mean of both, requests/s."""
    unit = "req/s"

    def __init__(self, folder, seconds):
        self.port = free_port()
        self.server = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)],
            stdout=subprocess.DEVNULL)
        for _ in range(100):
            time.sleep(0.05)
            with socket.socket() as s:
                if not s.connect_ex(("127.0.0.1", self.port)):
                    break
        self.n = max(2000, int(self.bench(20000) * seconds / 2))

    def bench(self, n):
        out = subprocess.run(
            ["redis-benchmark", "-p", str(self.port), "-c", "50", "-n", str(n), "-r", "100000", "-d", "64", "-t", "set,get", "--csv"],
            capture_output=True, text=True, check=True).stdout
        rates = [float(re.search(rf'"{op}","([\d.]+)"', out)[1]) for op in ("SET", "GET")]
        return 2 / sum(1 / r for r in rates)

    def run(self):
        return self.bench(self.n)

    def close(self):
        self.server.terminate()
        self.server.wait()


class PingPong:
    """Two processes on the last CPU hand a byte through pipes; context switches/s."""
    unit = "switches/s"

    def __init__(self, folder, seconds):
        self.exe, self.seconds = folder / "pingpong", seconds
        (folder / "pingpong.c").write_text(PINGPONG)
        subprocess.run(["cc", "-O2", "-o", self.exe, folder / "pingpong.c"], check=True)

    def run(self):
        cpu = str(max(os.sched_getaffinity(0)))
        return float(subprocess.run(["taskset", "-c", cpu, self.exe, str(self.seconds)], capture_output=True, text=True, check=True).stdout)

    def close(self):
        pass


def recorders(coldcase):
    out = {"none": None, "none again": None,
           "empty hooks": [*coldcase, "record", "--empty-hooks", "-o", "{out}", "--quiet", "--for", "10m"],
           "coldcase": [*coldcase, "record", "-o", "{out}", "--quiet", "--for", "10m"],
           "coldcase without packets": [*coldcase, "record", "--without", "packets", "-o", "{out}", "--quiet", "--for", "10m"]}
    if shutil.which("perf"):
        out["perf -a -g -F 99"] = shlex.split("perf record -q -a -g -F 99 -o {out}")
        out["perf sched_switch"] = shlex.split("perf record -q -a -e sched:sched_switch -o {out}")
    if shutil.which("tcpdump"):
        out["tcpdump -i any -s 96"] = shlex.split("tcpdump -Z root -i any -s 96 -w {out}")
    return out


def measure(argv, workload, folder, attach):
    out, note, cpu = folder / "out", "", None
    err = folder / "err"
    process = None
    if argv:
        with open(err, "wb") as e:
            process = subprocess.Popen([a.replace("{out}", str(out)) for a in argv], stdout=subprocess.DEVNULL, stderr=e)
    time.sleep(attach)
    if process and process.poll() is not None:
        raise SystemExit(f"recorder ended early ({process.returncode}): {shlex.join(argv)}: {err.read_text()[-500:]}")
    rate = workload.run()
    size = 0
    if process:
        process.send_signal(signal.SIGINT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        cpu = usage.ru_utime + usage.ru_stime
        size = out.stat().st_size if out.exists() else 0
        lost = re.findall(r"(?im)^.*\b[1-9]\d*\b[^\n]*(?:lost|dropped).*$|^.*(?:lost|dropped)\D*[1-9].*$", err.read_text(errors="replace"))
        note = "; ".join(lost)[:200]
        out.unlink(missing_ok=True)
    return rate, cpu, size, note


def interval(ratios):
    logs = [math.log(r) for r in ratios]
    mean = statistics.fmean(logs)
    if len(logs) < 2:
        return math.exp(mean), None, None
    half = T975[min(len(logs) - 2, len(T975) - 1)] * statistics.stdev(logs) / math.sqrt(len(logs))
    return math.exp(mean), math.exp(mean - half), math.exp(mean + half)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--coldcase", default="target/release/coldcase", help="command, split as a shell would")
    p.add_argument("--workloads", default="redis,pingpong")
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--seconds", type=float, default=3)
    p.add_argument("--attach", type=float, default=1.5)
    p.add_argument("--only", help="comma-separated recorders")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--json", type=pathlib.Path)
    a = p.parse_args()
    if os.geteuid() != 0:
        print("skipped: overhead needs root to load eBPF")
        return
    all_recorders = recorders(shlex.split(a.coldcase))
    if a.only:
        wanted = [w.strip() for w in a.only.split(",")]
        all_recorders = {k: v for k, v in all_recorders.items() if k == "none" or k in wanted}
    rng = random.Random(a.seed)
    kinds = {"redis": (Redis, "redis-server"), "pingpong": (PingPong, "cc")}
    rows = []
    for name in a.workloads.split(","):
        make, tool = kinds[name]
        if not shutil.which(tool):
            print(f"skipped: {name} needs {tool}", file=sys.stderr)
            continue
        with tempfile.TemporaryDirectory() as d:
            folder = pathlib.Path(d)
            workload = make(folder, a.seconds)
            runs = {r: [] for r in all_recorders}
            try:
                workload.run()
                for n in range(a.rounds):
                    order = list(all_recorders)
                    rng.shuffle(order)
                    for r in order:
                        runs[r].append(measure(all_recorders[r], workload, folder, a.attach))
                        print(f"{n + 1}/{a.rounds} {name} x {r}: {runs[r][-1][0]:,.0f} {workload.unit} {runs[r][-1][3]}", file=sys.stderr)
            finally:
                workload.close()
            for r, got in runs.items():
                ratio, low, high = interval([g[0] / base[0] for g, base in zip(got, runs["none"])]) if r != "none" else (1, None, None)
                rows.append({"workload": name, "recorder": r, "rounds": len(got), "rate": statistics.median(g[0] for g in got), "unit": workload.unit,
                             "ratio": ratio, "low": low, "high": high,
                             "cpu_s": statistics.median(g[1] for g in got) if got[0][1] is not None else None,
                             "bytes": statistics.median(g[2] for g in got), "notes": sorted({g[3] for g in got if g[3]})[:2]})
    print("| workload | recorder | rounds | median rate | ratio to none | 95% interval | recorder CPU s | file MB | it said |")
    print("|---|---|--:|--:|--:|--:|--:|--:|---|")
    for r in rows:
        span = f"{r['low']:.3f}–{r['high']:.3f}" if r["low"] else "–"
        cpu = f"{r['cpu_s']:.2f}" if r["cpu_s"] is not None else "–"
        print(f"| {r['workload']} | {r['recorder']} | {r['rounds']} | {r['rate']:,.0f} {r['unit']} | {r['ratio']:.3f} | {span} | {cpu} | {r['bytes'] / 1e6:.2f} | {' / '.join(r['notes'])} |")
    if a.json:
        a.json.write_text(json.dumps({"kernel": os.uname().release, "cpus": os.cpu_count(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
