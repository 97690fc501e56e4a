"""Truth of waits: who held a lock in programs whose holder is known, how long a stopped process stood still, and what was lost
when the recorder itself was stopped. Part of truth.py."""
import collections
import json
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

from case import COLDCASE, boottime, rows, run

HERE = pathlib.Path(__file__).resolve().parent


def start(argv):
    """Starts a program of locks.*; returns it and who is who, once it is done or can say nothing more."""
    p = subprocess.Popen(list(map(str, argv)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    who = {}
    while "done" not in who or len(who) < 3:
        line = p.stdout.readline()
        if not line:
            break
        name, tid = line.split()
        who[name] = int(tid)
    return p, who


def lock_programs(folder, v):
    """Each program with its name, and what the line of its wait must say."""
    c = folder / "locks-c"
    subprocess.run(["cc", "-O2", "-pthread", "-o", c, HERE / "locks.c"], check=True)
    out = [
        ("C, mutex", [c, "mutex"], "waiter", "mutex", "held by", "holder"),
        ("C, priority-inheriting mutex", [c, "pi"], "waiter", "mutex", "held by", "holder"),
        ("C, condition variable", [c, "condition"], "waiter", "condition variable", None, None),
        ("C, deadlock", [c, "deadlock"], "first", "mutex", "held by", "second"),
        ("C, deadlock, the other", None, "second", "mutex", "held by", "first"),
        ("Python, threading.Lock", [sys.executable, HERE / "locks.py"], "waiter", "semaphore", "released by", "holder"),
    ]
    if shutil.which("rustc"):
        r = folder / "locks-rust"
        subprocess.run(["rustc", "--edition", "2021", "-O", "-o", r, HERE / "locks.rs"], check=True)
        out += [
            ("Rust, std Mutex", [r, "mutex"], "waiter", "mutex", "released by", "holder"),
            ("Rust, std Condvar", [r, "condition"], "waiter", "word", None, None),
        ]
    else:
        v.skip("lock holders in Rust", "rustc is not installed")
    return out


def locks(folder, v, recording):
    case = folder / "locks.case"
    programs, children, seen = lock_programs(folder, v), [], {}
    with recording(case, "--only", "kernel", "--only", "host"):
        for name, argv, *_ in programs:
            p, who = start(argv) if argv else (children[-1], seen[programs[len(seen) - 1][0]])
            seen[name] = who
            if argv:
                children.append(p)
        time.sleep(0.5)
    for p in children:
        p.kill()
        p.wait()
    text = subprocess.run([COLDCASE, "timeline", str(case), "--stream", "kernel.offcpu", "--json", "--quiet"],
                          capture_output=True, text=True).stdout
    waits = collections.defaultdict(list)
    for line in text.splitlines():
        row = json.loads(line)
        f = row["fields"]
        if f["syscall"] == 202 and f["duration"] > 20_000_000:
            waits[f["tid"]].append(row["text"])
    for name, _, waiter, what, how, holder in programs:
        who = seen[name]
        said = waits[who[waiter]][-1] if waits[who[waiter]] else "no wait"
        # up to who woke it, which is another matter
        said = re.split(r", woken by|, run queue|, not back|, CPU time", said)[0]
        # in which container a thread runs is another matter, too
        said = re.sub(r"@[\w./-]+", "", said)
        right = f"for the {what} " in said
        if how:
            right = right and f" {how} " in said and said.endswith(f"[{who[holder]}]")
        else:
            right = right and "held by" not in said and "released by" not in said
        v.check(f"futex wait in {name}: {what}, {f'{how} the {holder}' if how else 'nobody held it'}", right, said[-100:])
    out = folder / "locks.report"
    run("analyze", case, "-o", out, ok=(0, 3))
    findings = json.loads((out / "findings.json").read_text())
    claims = [f["claim"] for f in findings["findings"] if f["detector"] == "deadlock"]
    both = seen["C, deadlock"]
    mine = [c for c in claims if f"[{both['first']}]" in c and f"[{both['second']}]" in c]
    v.check("the deadlock is found, and no other", len(claims) == 1 and len(mine) == 1, claims)


def stopped(folder, v, recording):
    case = folder / "stopped.case"
    with recording(case, "--only", "kernel"):
        # of a real-time class, so that it stops when it is told to, however busy the machine is
        p = subprocess.Popen(["chrt", "-f", "10", "sleep", "60"]) if shutil.which("chrt") else subprocess.Popen(["sleep", "60"])
        time.sleep(0.5)
        times = []
        for pause in (0.05, 0.3, 0.7):
            a = boottime()
            p.send_signal(signal.SIGSTOP)
            b = boottime()
            time.sleep(pause)
            c = boottime()
            p.send_signal(signal.SIGCONT)
            times.append((a, b, c, boottime()))
            time.sleep(0.1)
        p.kill()
        p.wait()
    mine = sorted((r["time"], r["time"] + r["duration"] - r["run_queue"]) for r in rows(case, "kernel.offcpu") if r["tid"] == p.pid and r["state"] & 4)
    v.check("each SIGSTOP is one interval in state T", len(mine) == len(times), f"{len(mine)} of {len(times)}")
    for (a, b, c, d), (began, ended) in zip(times, mine):
        ms = 1_000_000
        v.check("SIGSTOP to SIGCONT within 1 ms", a - ms <= began <= b + ms and c - ms <= ended <= d + ms,
                f"{(ended - began) / 1e6:.3f} ms against {(c - b) / 1e6:.3f} to {(d - a) / 1e6:.3f} ms")


def losses(folder, v, recording):
    case = folder / "losses.case"
    with recording(case, "--only", "kernel.sched", "--ring-bytes", "4096") as p:
        p.send_signal(signal.SIGSTOP)
        subprocess.run("i=0; while [ $i -lt 1500 ]; do /bin/true & i=$((i + 1)); done; wait", shell=True, check=True)
        time.sleep(0.2)
        p.send_signal(signal.SIGCONT)
        time.sleep(1.2)
    rings = list(rows(case, "recorder.ring"))
    for r in rings:
        v.check(f"{r['source']} on CPU {r['cpu']}: emitted = received + refused, and as many numbers are missing",
                r["emitted"] == r["received"] + r["refused"] and r["missing"] == r["refused"],
                f"{r['emitted']} = {r['received']} + {r['refused']}, {r['missing']} missing")
    info = json.loads(run("info", case, "--json", ok=(0, 3)))
    stored = sum(s["events"] for s in info["streams"] if s["name"] in ("kernel.offcpu", "kernel.offcpu_sum", "kernel.thread_cgroup"))
    lost = sum(r["count"] for r in rows(case, "recorder.loss") if r["source"] == "kernel.sched" and r["reason"] == "ring-full")
    emitted, refused = sum(r["emitted"] for r in rings), sum(r["refused"] for r in rings)
    v.check("a stopped recorder with a ring of a page lost something", refused > 0, f"{refused} of {emitted}")
    v.check("emitted = stored in the bundle + lost in its ledger", emitted == stored + lost and lost == refused, f"{emitted} = {stored} + {lost}")
