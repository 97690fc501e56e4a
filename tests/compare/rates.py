#!/usr/bin/env python3
"""False alarms and power of `coldcase compare`: the demo's shop is recorded many times as it is, and with changes of known kind and size, in turns so
that all see the same hours; then sides are drawn from these runs, thousands of times. usage: rates.py [RUNS] [SECONDS] [--rate N] [--burst N] [--only CHANGE] [--side N] [--draws N] [--keep DIR]
Prints the rate of regressions among comparisons of the unchanged shop with itself (false alarms), of each change with the unchanged shop (power),
with 95% bounds (Clopper and Pearson), any alarm at all, what was inconclusive, and how often the cause is named among the first three."""
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
# What is changed: the demo's flags, and words (parted by |) of which one of the first three causes must have one to be named. `nothing` is the base.
CHANGES = {
    "nothing": ([], ""),
    "+20% p50": (["--fault", "slower", "--fault-amount", "20"], ""),
    "+10% p50": (["--fault", "slower", "--fault-amount", "10"], ""),
    "+20% p99": (["--fault", "tail", "--fault-amount", "20"], ""),
    "an error at 1%": (["--fault", "error", "--fault-amount", "1"], "refused the entry"),
    "one more query": (["--fault", "query", "--fault-amount", "1"], "calls SELECT orders (orders) 2 times"),
    # Contended where requests come at once (--burst 4): then most of the time is waited for the lock.
    "a lock": (["--fault", "mutex", "--fault-amount", "2"], "fault_take_mutex"),
    "an fsync": (["--fault", "fsync", "--fault-amount", "1"], "fsync|disk wait"),
}
# False alarms of all comparisons, at most.
MOST = 0.05


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def record(folder, change, number, args):
    name = "".join(c if c.isalnum() else "-" for c in change)
    bundle, http = folder / f"{name}-{number:03}.case", free_port()
    if bundle.exists():
        return bundle
    shop = ["--dir", folder / "shop", "--for", f"{args.seconds}s", "--rate", args.rate, "--burst", args.burst, "--otlp", f"http://127.0.0.1:{http}", *CHANGES[change][0]]
    done = subprocess.run([COLDCASE, "record", "-o", bundle, "--force", "--otlp-http", f"127.0.0.1:{http}", "--otlp-grpc", f"127.0.0.1:{free_port()}", "--quiet",
                           "--", DEMO, "all", *map(str, shop)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"recording {change}: exit {done.returncode}: {done.stderr[-500:]}")
    return bundle


def clopper_pearson(k, n, level=0.95):
    """The exact interval of a share of independent draws. Draws from one pool share runs, so that the truth may lie farther."""
    def tail(p, at_least):
        logs = [math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) + (i * math.log(p) if i else 0) + ((n - i) * math.log1p(-p) if i < n else 0)
                for i in (range(k, n + 1) if at_least else range(0, k + 1))]
        top = max(logs)
        return math.exp(top) * math.fsum(math.exp(x - top) for x in logs)

    def solve(at_least):
        low, high = 1e-12, 1 - 1e-12
        for _ in range(60):
            middle = (low + high) / 2
            # P(at least k) grows with p, P(at most k) falls.
            if (tail(middle, at_least) < (1 - level) / 2) == at_least:
                low = middle
            else:
                high = middle
        return low
    return (solve(True) if k else 0.0), (solve(False) if k < n else 1.0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="?", type=int, default=120, help="recordings of the unchanged shop; of each change a sixth of it, ten at least")
    parser.add_argument("seconds", nargs="?", type=int, default=6)
    parser.add_argument("--rate", type=int, default=120, help="requests a second")
    parser.add_argument("--burst", type=int, default=1, help="requests that are due at once")
    parser.add_argument("--each", type=int, help="recordings of each change")
    parser.add_argument("--only", action="append", choices=[c for c in CHANGES if c != "nothing"], help="only this change; may be repeated")
    parser.add_argument("--side", type=int, default=5)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--keep", help="folder for the bundles; those that are there are not recorded again")
    args = parser.parse_args()
    folder = pathlib.Path(args.keep or tempfile.mkdtemp(prefix="coldcase-rates-"))
    folder.mkdir(parents=True, exist_ok=True)
    built = subprocess.run(["cargo", "build", "--quiet", "--workspace", "--example", "compare_rates"], cwd=ROOT)
    if built.returncode:
        sys.exit("compare_rates could not be built")
    of_each = min(args.runs, args.each or max(2 * args.side, args.runs // 6))
    changes = ["nothing", *(args.only or [c for c in CHANGES if c != "nothing"])]
    args.side = min(args.side, args.runs // 2)
    pools, begun = {name: [] for name in changes}, time.time()
    for n in range(args.runs):
        for name in changes:
            # The changes are spread over the same time as the unchanged runs.
            if name == "nothing" or len(pools[name]) < of_each * (n + 1) // args.runs:
                pools[name].append(record(folder, name, n, args))
    print(f"{ {name: len(pool) for name, pool in pools.items()} } runs of {args.seconds} s in {time.time() - begun:.0f} s, in {folder}", flush=True)
    if args.side < 3:
        sys.exit("too few runs for three a side: at least 6")
    print(f"{'':20} {'regression':>26} {'any alarm':>10} {'inconclusive':>13} {'in first 3':>11}   comparisons of {args.side} runs a side: {args.draws}")
    failed = 0
    # Recorded in turns, as `compare --interleave` does; of what did not change, also runs of any hours against each other.
    for name, how in [("nothing", "any"), *((name, "turns") for name in changes)]:
        sides = pools["nothing"] + ([] if name == "nothing" else ["--", *pools[name]])
        done = subprocess.run([ROOT / "target/debug/examples/compare_rates", str(args.side), str(args.draws), "7", CHANGES[name][1], how, *map(str, sides)],
                              capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr[-500:])
        rates = json.loads(done.stdout)
        share = {key: rates[key] / rates["draws"] for key in ("regressions", "alarmed", "inconclusive", "named")}
        low, high = clopper_pearson(rates["regressions"], rates["draws"])
        named = f"{share['named']:.1%}" if CHANGES[name][1] else "-"
        label = f"{name}, any hours" if how == "any" else name
        print(f"{label:20} {share['regressions']:7.1%} ({low:6.1%} to {high:6.1%}) {share['alarmed']:10.1%} {share['inconclusive']:13.1%} {named:>11}   "
              f"{rates['causes'][:2] or rates['reasons'][:2]}", flush=True)
        failed += name == "nothing" and share["regressions"] > MOST
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
