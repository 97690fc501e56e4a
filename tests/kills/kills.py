"""kill -9 at random moments: `recover` gives everything that was older than two seconds, for every source.

A generator per source numbers its events and writes down when each was done. After the kill, each event that ended more than two
seconds before it must be in the recovered bundle. usage: kills.py [COUNT]
"""
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from case import COLDCASE, Verdicts, boottime, rows, run  # noqa: E402
from ends import BlockEnds  # noqa: E402

BOUND = 2_000_000_000


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def journal(folder):
    out = {}
    for line in (folder / "journal").read_text().splitlines():
        parts = line.split()
        if len(parts) == 5:
            source, number, started, ended, tid = parts[0], *map(int, parts[1:])
            out.setdefault(source, []).append((number, started, ended, tid))
    return out


def spans_of(values, wanted):
    """The numbers of those events of `wanted` in which none of `values` falls."""
    values, missing, at = sorted(values), [], 0
    for number, started, ended, _ in wanted:
        while at < len(values) and values[at] < started:
            at += 1
        if at == len(values) or values[at] > ended:
            missing.append(number)
    return missing


def missing_in(bundle, made, live, killed, slack):
    """Per source: how many events had to be there, and which are not."""
    due = {s: [e for e in events if e[1] > live and e[2] < killed - BOUND] for s, events in made.items()}
    out = {}
    if "switch" in due:
        tid = made["switch"][0][3]
        ends = [r["time"] + r["duration"] for r in rows(bundle, "kernel.offcpu") if r["tid"] == tid]
        out["switch"] = len(due["switch"]), spans_of(ends, due["switch"])
    if "disk" in due:
        # told by its size: under load a kernel worker inserts the request, and the row says so
        sizes = [(r["bytes"], r["time"]) for r in rows(bundle, "kernel.block")]
        out["disk"] = len(due["disk"]), [e[0] for e in due["disk"] if not any(b == 4096 * (1 + e[0] % 16) and e[1] <= t <= e[2] for b, t in sizes)]
    if "span" in due:
        ids = {int(r["span"], 16) - 1 for r in rows(bundle, "otlp.traces")}
        out["span"] = len(due["span"]), [e[0] for e in due["span"] if e[0] not in ids]
    if "log" in due:
        numbers = {int(r["line"].split()[1]) for r in rows(bundle, "log.lines") if r["line"].startswith("line ")}
        out["log"] = len(due["log"]), [e[0] for e in due["log"] if e[0] not in numbers]
    if "metric" in due:
        # a page was served within its scrape; the page itself must be there too
        pages = {r["row"] for r in rows(bundle, "metrics.pages")}
        scrapes = [(r["time"], r["time"] + r["duration"]) for r in rows(bundle, "metrics.scrape") if r["page"] in pages]
        out["metric"] = len(due["metric"]), [e[0] for e in due["metric"] if not any(a <= e[2] and e[1] <= b for a, b in scrapes)]
    if "packet" in due:
        # the length tells the number modulo 1000, the packet's UTC minus `slack` its BOOTTIME
        seen = {(r["payload"] - 1, (r["utc"] - slack) // 10**9) for r in rows(bundle, "packets") if r["protocol"] == 17}
        out["packet"] = len(due["packet"]), [e[0] for e in due["packet"]
                                            if not any((e[0] % 1000, t // 10**9 + d) in seen for t in (e[1], e[2]) for d in (-1, 0, 1))]
    return out


def ended_unseen(number, made, unseen):
    """Whether this write ended where the machine lets nobody look (tests/lib/ends.py)."""
    return any(start <= time <= end and size == 4096 * (1 + number % 16)
               for n, start, end, _ in made["disk"] if n == number for time, size in unseen)


def once(folder, seed, verdicts, ends):
    rng = random.Random(seed)
    ports = free_port(), free_port(), free_port()
    case, fixed = folder / f"{seed}.case", folder / f"{seed}.recovered.case"
    work = folder / str(seed)
    work.mkdir()
    ends.clear()
    (work / "numbered.log").touch()
    generator = subprocess.Popen([sys.executable, pathlib.Path(__file__).with_name("generator.py"), work, str(ports[0]), str(ports[1])],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    generator.stdout.readline()
    recorder = subprocess.Popen([COLDCASE, "record", "-o", case, "--quiet", "--log", work / "numbered.log", "--otlp-http", f"127.0.0.1:{ports[0]}",
                                 "--otlp-grpc", f"127.0.0.1:{ports[2]}", "--scrape", f"http://127.0.0.1:{ports[1]}/metrics@1s", "--interface", "lo"],
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    # live once the first span was taken; two more seconds for the kernel sources
    for _ in range(200):
        time.sleep(0.1)
        if recorder.poll() is not None:
            sys.exit(f"recorder ended early: {recorder.stderr.read()[-800:]}")
        if (work / "journal").exists() and "span " in (work / "journal").read_text():
            break
    time.sleep(2)
    live = boottime()
    time.sleep(4.5 + rng.random() * 3)
    os.kill(recorder.pid, signal.SIGKILL)
    killed = boottime()
    recorder.wait()
    generator.stdin.close()
    generator.kill()
    generator.wait()
    run("recover", case, "-o", fixed, "--force", ok=(0, 3))
    slack = time.time_ns() - boottime()
    made = journal(work)
    unseen = ends.of_process_1()
    result = missing_in(fixed, made, live, killed, slack)
    for source, (due, missing) in sorted(result.items()):
        note = f"{len(missing)} of {due} missing"
        if source == "disk":
            untraced = [n for n in missing if ended_unseen(n, made, unseen)]
            missing = [n for n in missing if n not in untraced]
            if untraced:
                note += f", {len(untraced)} ended in an interrupt of a thread of process 1, where this machine runs no BPF"
        if missing:
            ended = {e[0]: e[2] for e in made[source]}
            note += ", done before the kill: " + ", ".join(f"{(killed - ended[n]) / 1e9:.2f} s" for n in missing[:4])
        verdicts.check(f"kill {seed}: {source}: nothing older than 2 s is missing", due > 0 and not missing, note)
    if not any(missing for _, missing in result.values()):
        for path in (case, fixed):
            path.unlink(missing_ok=True)


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    verdicts = Verdicts()
    if os.geteuid() != 0:
        verdicts.skip("kills", "needs root for the kernel and packet sources")
        verdicts.end()
    seed = int(os.environ.get("SEED", "1"))
    # what a failed round left is kept to be looked at
    folder = pathlib.Path(tempfile.mkdtemp(prefix="kills-", dir=os.environ.get("WORK", "/var/tmp")))
    ends = BlockEnds()
    for n in range(count):
        once(folder, seed + n, verdicts, ends)
    ends.close()
    if verdicts.failed:
        print(f"kept: {folder}")
    else:
        shutil.rmtree(folder)
    verdicts.end()


if __name__ == "__main__":
    main()
