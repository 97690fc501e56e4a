"""What recording costs a workload: paired, order-randomised rounds, the ratio to no recorder with a 95% interval.

Columns: nothing, nothing again (the noise floor), empty programs on the same hooks, coldcase, and the peers that are installed
(`perf record -a -g -F 99`, `perf record -e sched:sched_switch -a`, `tcpdump`, bpftrace summing off-CPU time by kernel stack). A ratio
below 1 means the workload was slower. With `--until POINTS` rounds go on, up to --rounds, until the 95% interval of coldcase minus the
empty hooks is that narrow.
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
import statistics
import subprocess
import sys
import tempfile
import time

from workloads import WORKLOADS

# 97.5% quantiles of Student's t for 1..30 degrees of freedom
T975 = [12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13, 2.12, 2.11, 2.10, 2.09, 2.09,
        2.08, 2.07, 2.07, 2.06, 2.06, 2.06, 2.05, 2.05, 2.05, 2.04]


# Kernel stacks only: with user stacks bpftrace spends tens of seconds on symbols at its end.
OFFCPU = ("tracepoint:sched:sched_switch { if (args->prev_pid != 0) { @out[args->prev_pid] = nsecs; @stack[args->prev_pid] = kstack(16); } "
          "$s = @out[args->next_pid]; if ($s != 0) { @us[args->next_comm, @stack[args->next_pid]] = sum((nsecs - $s) / 1000); "
          "delete(@out[args->next_pid]); } } END { clear(@out); clear(@stack); }")


def recorders(coldcase):
    out = {"none": None, "none again": None,
           "empty hooks": [*coldcase, "record", "--empty-hooks", "-o", "{out}", "--quiet", "--for", "10m"],
           "coldcase": [*coldcase, "record", "-o", "{out}", "--quiet", "--for", "10m"],
           "coldcase without packets": [*coldcase, "record", "--without", "packets", "-o", "{out}", "--quiet", "--for", "10m"]}
    if shutil.which("perf"):
        out["perf -a -g -F 99"] = shlex.split("perf record -q -a -g -F 99 -o {out}")
        out["perf sched_switch"] = shlex.split("perf record -q -a -e sched:sched_switch -o {out}")
    if shutil.which("bpftrace"):
        out["bpftrace off-CPU"] = ["bpftrace", "-o", "{out}", "-e", OFFCPU]
    if shutil.which("tcpdump"):
        out["tcpdump -i any -s 96"] = shlex.split("tcpdump -Z root -i any -s 96 -w {out}")
    return out


def host_busy():
    """CPU seconds that the whole host has spent: user, nice, system, irq, softirq."""
    fields = [int(f) for f in pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:]]
    return sum(fields[i] for i in (0, 1, 2, 5, 6)) / os.sysconf("SC_CLK_TCK")


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
    busy = host_busy()
    rate, operations = workload.run()
    busy = (host_busy() - busy) / operations
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
    return rate, cpu, size, note, busy


def interval(ratios):
    logs = [math.log(r) for r in ratios]
    mean = statistics.fmean(logs)
    if len(logs) < 2:
        return math.exp(mean), None, None
    half = T975[min(len(logs) - 2, len(T975) - 1)] * statistics.stdev(logs) / math.sqrt(len(logs))
    return math.exp(mean), math.exp(mean - half), math.exp(mean + half)


def above_hooks(runs):
    """What coldcase costs beyond the empty hooks, in points of the unhindered rate: mean and half the 95% interval, over paired rounds."""
    points = [(hooks[0] - ours[0]) / base[0] * 100 for base, hooks, ours in zip(*(runs[r] for r in ("none", "empty hooks", "coldcase")))]
    if len(points) < 2:
        return None
    return statistics.fmean(points), T975[min(len(points) - 2, len(T975) - 1)] * statistics.stdev(points) / math.sqrt(len(points))


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--coldcase", default="target/release/coldcase", help="command, split as a shell would")
    p.add_argument("--workloads", default="redis,pingpong", help="of: " + ", ".join(WORKLOADS))
    p.add_argument("--until", type=float, metavar="POINTS", help="stop a workload once the interval is +- so many points")
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
    for kind, place in (("tracefs", "/sys/kernel/tracing"), ("debugfs", "/sys/kernel/debug")):  # where bpftrace and perf look for tracepoints
        if not os.listdir(place):
            subprocess.run(["mount", "-t", kind, kind, place], check=False)
    all_recorders = recorders(shlex.split(a.coldcase))
    if a.only:
        wanted = [w.strip() for w in a.only.split(",")]
        all_recorders = {k: v for k, v in all_recorders.items() if k == "none" or k in wanted}
    rng = random.Random(a.seed)
    rows, verdicts = [], []
    for name in a.workloads.split(","):
        make = WORKLOADS[name]
        if lacking := [t for t in make.tools if not shutil.which(t)]:
            print(f"skipped: {name} needs {', '.join(lacking)}", file=sys.stderr)
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
                    points = above_hooks(runs) if {"empty hooks", "coldcase"} <= runs.keys() else None
                    if a.until and points and n >= 5 and points[1] <= a.until:
                        break
            finally:
                workload.close()
            for r, got in runs.items():
                per_op = statistics.median(g[4] / base[4] for g, base in zip(got, runs["none"]) if base[4]) if r != "none" else 1
                ratio, low, high = interval([g[0] / base[0] for g, base in zip(got, runs["none"])]) if r != "none" else (1, None, None)
                rows.append({"workload": name, "recorder": r, "rounds": len(got), "rate": statistics.median(g[0] for g in got), "unit": workload.unit,
                             "ratio": ratio, "low": low, "high": high, "cpu_per_op": per_op,
                             "cpu_s": statistics.median(g[1] for g in got) if got[0][1] is not None else None,
                             "bytes": statistics.median(g[2] for g in got), "notes": sorted({g[3] for g in got if g[3]})[:2]})
            if points:
                verdicts.append({"workload": name, "points": points[0], "half": points[1]})
    print("| workload | recorder | rounds | median rate | ratio to none | 95% interval | host CPU per operation | recorder CPU s | file MB | it said |")
    print("|---|---|--:|--:|--:|--:|--:|--:|--:|---|")
    for r in rows:
        span = f"{r['low']:.3f}–{r['high']:.3f}" if r["low"] else "–"
        cpu = f"{r['cpu_s']:.2f}" if r["cpu_s"] is not None else "–"
        print(f"| {r['workload']} | {r['recorder']} | {r['rounds']} | {r['rate']:,.0f} {r['unit']} | {r['ratio']:.3f} | {span} | {r['cpu_per_op']:.3f} | {cpu} | {r['bytes'] / 1e6:.2f} | {' / '.join(r['notes'])} |")
    for v in verdicts:
        print(f"\n{v['workload']}: coldcase minus empty hooks: {v['points']:.1f} points, 95% interval {v['points'] - v['half']:.1f} to {v['points'] + v['half']:.1f}")
    if a.json:
        a.json.write_text(json.dumps({"kernel": os.uname().release, "cpus": os.cpu_count(), "rows": rows, "above_hooks": verdicts}, indent=1) + "\n")


if __name__ == "__main__":
    main()
