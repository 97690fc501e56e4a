#!/usr/bin/env python3
"""False alarms and power of `coldcase compare`: the demo's shop is recorded many times as it is, and with changes of known kind and size, in turns so
that all see the same hours; then sides are drawn from these runs, thousands of times. usage: rates.py [RUNS] [SECONDS] [--side N] [--draws N] [--keep DIR]
Prints the rate of regressions among comparisons of the unchanged shop with itself (false alarms), of each change with the unchanged shop (power),
with 95% bounds, and what was inconclusive."""
import argparse
import json
import math
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
COLDCASE = os.environ.get("COLDCASE", str(ROOT / "target/debug/coldcase"))
DEMO = os.environ.get("DEMO", str(ROOT / "target/debug/coldcase-demo"))
# What is changed: name, and the demo's flags. `nothing` is the base.
CHANGES = {
    "nothing": [],
    "slow-query": ["--fault", "slow-query", "--fault-amount", "2"],
    "fsync": ["--fault", "fsync", "--fault-amount", "1"],
    "lock": ["--fault", "lock", "--fault-amount", "20"],
    "reset of 1%": ["--fault", "reset", "--fault-amount", "1"],
}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def record(folder, change, number, seconds):
    bundle, http = folder / f"{change.replace(' ', '-')}-{number:03}.case", free_port()
    shop = ["--dir", folder / "shop", "--for", f"{seconds}s", "--otlp", f"http://127.0.0.1:{http}", *CHANGES[change]]
    done = subprocess.run([COLDCASE, "record", "-o", bundle, "--force", "--otlp-http", f"127.0.0.1:{http}", "--otlp-grpc", f"127.0.0.1:{free_port()}", "--quiet",
                           "--", DEMO, "all", *map(str, shop)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"recording {change}: exit {done.returncode}: {done.stderr[-500:]}")
    return bundle


def wilson(k, n):
    """The 95% interval of a share of independent draws. Draws from one pool share runs, so that the truth may lie farther."""
    z, p = 1.96, k / n
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (centre - half) / (1 + z * z / n), (centre + half) / (1 + z * z / n)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="?", type=int, default=120, help="recordings of the unchanged shop; of each change a sixth of it, ten at least")
    parser.add_argument("seconds", nargs="?", type=int, default=6)
    parser.add_argument("--side", type=int, default=5)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--keep")
    args = parser.parse_args()
    folder = pathlib.Path(args.keep or tempfile.mkdtemp(prefix="coldcase-rates-"))
    folder.mkdir(parents=True, exist_ok=True)
    built = subprocess.run(["cargo", "build", "--quiet", "--workspace", "--example", "compare_rates"], cwd=ROOT)
    if built.returncode:
        sys.exit("compare_rates could not be built")
    of_each = min(args.runs, max(2 * args.side, args.runs // 6))
    pools, begun = {name: [] for name in CHANGES}, time.time()
    for n in range(args.runs):
        for name in CHANGES:
            # The changes are spread over the same time as the unchanged runs.
            if name == "nothing" or len(pools[name]) < of_each * (n + 1) // args.runs:
                pools[name].append(record(folder, name, n, args.seconds))
    print(f"{ {name: len(pool) for name, pool in pools.items()} } runs of {args.seconds} s in {time.time() - begun:.0f} s")
    failed = 0
    for name, pool in pools.items():
        sides = pools["nothing"] + ([] if name == "nothing" else ["--", *pool])
        done = subprocess.run([ROOT / "target/debug/examples/compare_rates", str(args.side), str(args.draws), "7", *map(str, sides)], capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr[-500:])
        rates = json.loads(done.stdout)
        low, high = wilson(rates["regressions"], rates["draws"])
        share = rates["regressions"] / rates["draws"]
        print(f"{'false alarms' if name == 'nothing' else 'power: ' + name}: {share:.1%} ({low:.1%} to {high:.1%}) of {rates['draws']} comparisons of {args.side} runs a side, "
              f"{rates['inconclusive'] / rates['draws']:.1%} inconclusive; {rates['reasons'][:3]}", flush=True)
        failed += name == "nothing" and share > 0.05
    sys.exit(failed > 0)


main()
