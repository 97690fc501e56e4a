"""A host that hurts its recorder: storms of threads, forks and connections, a recorder that is stopped or stuck, limits that are too low,
sources that are refused. The recorder ends well, its memory stays bounded, and the bundle says what happened.

usage: hostile.py [quick|long|clock]   `clock` sets the host's clock by an hour for some seconds: run it alone.
"""
import fcntl
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from case import COLDCASE, Verdicts, rows, run  # noqa: E402

# Resident memory of a recorder under any storm, bytes.
MEMORY = 512 << 20
HERE = pathlib.Path(__file__).parent
V = Verdicts()


class Recorder:
    """A recording that runs beside the test."""

    def __init__(self, folder, name, *args, stdout=subprocess.DEVNULL):
        self.bundle = folder / f"{name}.case"
        out = () if "-o" in args else ("-o", self.bundle)
        self.process = subprocess.Popen([COLDCASE, "record", *map(str, out), *map(str, args)], stdout=stdout, stderr=subprocess.PIPE, text=True)
        self.peak = 0

    def live(self):
        """Waits for the line that says so."""
        for line in self.process.stderr:
            if line.startswith("recording "):
                return self
        sys.exit(f"it did not start: exit {self.process.wait()}")

    def look(self):
        """Notes its memory."""
        try:
            status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return
        peak = next((line for line in status.splitlines() if line.startswith("VmHWM:")), None)
        self.peak = max(self.peak, int(peak.split()[1]) << 10 if peak else 0)

    def wait(self, seconds=60):
        """Its exit code; looks at its memory until then."""
        end = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < end:
            self.look()
            time.sleep(0.1)
        if self.process.poll() is None:
            self.process.kill()
        code = self.process.wait()
        self.said = self.process.stderr.read()
        return code

    def info(self):
        return json.loads(run("info", "--json", self.bundle))


def intact(name, recorder, code, codes=(0, 3)):
    V.check(f"{name}: the recorder ends well", code in codes, f"exit {code}, peak memory {recorder.peak >> 20} MiB")
    V.check(f"{name}: its memory stays below {MEMORY >> 20} MiB", 0 < recorder.peak < MEMORY)
    verified = subprocess.run([COLDCASE, "verify", str(recorder.bundle)], capture_output=True, text=True)
    return V.check(f"{name}: the bundle is sealed and intact", verified.returncode == 0, verified.stdout.strip()[-200:])


def told(info):
    """Losses and reductions, in short."""
    lost = sum(loss["count"] for loss in info["losses"])
    return f"{sum(s['events'] for s in info['streams'])} events, {lost} lost and counted, {len(info['reductions'])} steps"


def storm(folder, name, load, seconds=5, *args):
    """Records everything while a load runs; returns what the load did and the bundle's facts."""
    recorder = Recorder(folder, name, "--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0", *args).live()
    done = subprocess.run([folder / "storm", *map(str, load)], capture_output=True, text=True)
    recorder.process.send_signal(signal.SIGINT)
    code = recorder.wait(120)
    intact(name, recorder, code)
    count, took = done.stdout.split()
    info = recorder.info()
    V.check(f"{name}: the storm raged, and the bundle says what became of it", int(count) > 0 and info["losses"],
            f"{int(count)} in {float(took):.1f} s; {told(info)}")
    return recorder, info


def storms(folder, long):
    seconds = 20 if long else 5
    _, info = storm(folder, "20,000 threads", ("threads", 20000, 2))
    _, info = storm(folder, "forks", ("forks", 5000, seconds))
    _, info = storm(folder, "connections", ("connections", 100000 if long else 20000, seconds))


def ladder(folder):
    """A rate that is too high is met by reductions, and taken back when the storm is over."""
    recorder = Recorder(folder, "ladder", "--only", "kernel.sched,kernel.task", "--comm", "storm", "--max-rate", "500").live()
    subprocess.run([folder / "storm", "switches", "9"], capture_output=True)
    # longer than the patience before a step up
    time.sleep(14)
    recorder.process.send_signal(signal.SIGINT)
    code = recorder.wait()
    intact("ladder", recorder, code)
    steps = recorder.info()["reductions"]
    down = [s for s in steps if s["direction"] == "down" and s["why"] == "rate"]
    V.check("ladder: each step down is a row with value and limit", down and all(s["value"] > s["limit"] == 500 and s["unit"] == "events/s" for s in down),
            "; ".join(f"{s['direction']} {s['step']}" for s in steps))
    V.check("ladder: it goes up again when the pressure is gone", any(s["direction"] == "up" and s["why"] == "eased" for s in steps))
    stream = list(rows(recorder.bundle, "recorder.step"))
    V.check("ladder: the rows are in the stream recorder.step", len([r for r in stream if r["direction"] == "down"]) >= len(down))
    V.check("ladder: it is said while it happens", "stepped down" in recorder.said)


def costs(folder):
    """More CPU than allowed: everything is taken off, step by step, and said. Memory: the recording ends."""
    recorder = Recorder(folder, "cpu", "--max-cpu", "0.01", "--for", "12s", "--only", "kernel,host")
    code = recorder.wait()
    intact("cpu", recorder, code, (3,))
    steps = [s for s in recorder.info()["reductions"] if s["why"] == "cpu"]
    V.check("cpu: the ladder is gone down for the CPU's sake", len(steps) >= 3 and all(s["unit"] == "ns/s" for s in steps),
            "; ".join(s["step"] for s in steps))
    recorder = Recorder(folder, "memory", "--max-memory", "4MiB", "--for", "120s", "--only", "host")
    code = recorder.wait(90)
    intact("memory", recorder, code)
    V.check("memory: with nothing left to reduce the recording ends", recorder.info()["ended"] == "memory limit", recorder.info()["ended"])


def stopped(folder):
    """SIGSTOP, as a suspension is to the process: rings fill, losses are counted, the gap is a row."""
    recorder = Recorder(folder, "stopped").live()
    load = subprocess.Popen([folder / "storm", "switches", "8"], stdout=subprocess.DEVNULL)
    time.sleep(1.5)
    recorder.process.send_signal(signal.SIGSTOP)
    time.sleep(4)
    recorder.process.send_signal(signal.SIGCONT)
    time.sleep(2)
    recorder.process.send_signal(signal.SIGINT)
    code = recorder.wait()
    load.wait()
    intact("stopped", recorder, code)
    info = recorder.info()
    gaps = [r for r in info["reductions"] if r["direction"] == "pause" and r["why"] == "stopped"]
    V.check("stopped: the gap is a row as long as the stop", any(3.5e9 < g["duration"] < 8e9 for g in gaps),
            f"{[round(g['duration'] / 1e9, 2) for g in gaps]} s; {told(info)}")
    V.check("stopped: it is not taken for a stall", not any(r["direction"] == "detach" for r in info["reductions"]))


def links(pid):
    """Hooks that a process has programs on: its BPF links, iterators left out."""
    found = 0
    for fd in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            kinds = [line.split()[1] for line in fd.read_text().splitlines() if line.startswith("link_type:")]
        except OSError:
            continue
        found += any(kind != "iter" for kind in kinds)
    return found


def stuck(folder):
    """A reader that reads no more holds up the writer, and with it the recorder: the watchdog takes everything off."""
    config = folder / "watchdog.toml"
    config.write_text("watchdog = '2s'\n")
    reading, writing = os.pipe()
    recorder = Recorder(folder, "stuck", "--config", config, "-o", "-", stdout=writing)
    os.close(writing)
    recorder.live()
    before = links(recorder.process.pid)
    subprocess.run([folder / "storm", "switches", "3"], stdout=subprocess.DEVNULL)
    after = before
    for _ in range(400):
        after = links(recorder.process.pid)
        if after == 0:
            break
        time.sleep(0.1)
    V.check("stuck: the watchdog takes every program off the kernel", before > 0 and after == 0, f"{before} links before, {after} after")
    recorder.look()
    with open(recorder.bundle, "wb") as out, os.fdopen(reading, "rb") as pipe:
        while chunk := pipe.read(1 << 16):
            out.write(chunk)
    code = recorder.wait()
    intact("stuck", recorder, code, (3,))
    info = recorder.info()
    detached = [r for r in info["reductions"] if r["direction"] == "detach"]
    V.check("stuck: what was taken off is a row", any("kernel.sched" in r["step"] and r["why"] == "stalled" for r in detached),
            "; ".join(r["step"] for r in detached))
    V.check("stuck: the recording ended for it", info["ended"] == "stalled", info["ended"])


def switched_off(folder):
    switch = folder / "off"
    recorder = Recorder(folder, "switch", "--kill-switch", switch, "--only", "host,kernel.task").live()
    time.sleep(1)
    recorder.look()
    switch.touch()
    began = time.monotonic()
    code = recorder.wait()
    V.check("kill switch: the recording ends at once", time.monotonic() - began < 5, f"{time.monotonic() - began:.2f} s")
    intact("kill switch", recorder, code)
    V.check("kill switch: the bundle says why", recorder.info()["ended"] == "kill switch")
    again = Recorder(folder, "again", "--kill-switch", switch, "--only", "host")
    code = again.wait()
    V.check("kill switch: while it is there nothing is recorded", code == 1 and "kill switch" in again.said and not again.bundle.exists(), f"exit {code}")


def refused(folder):
    """Each source refused in turn: it is skipped with its reason, the others go on."""
    flags = ["--for", "1s", "--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0"]

    def states(name, *args):
        recorder = Recorder(folder, name, *flags, *args)
        recorder.wait()
        verified = subprocess.run([COLDCASE, "verify", str(recorder.bundle)], capture_output=True).returncode
        return verified, {s["name"]: (s["status"], s["reason"]) for s in recorder.info()["sources"]}

    verified, whole = states("all")
    names = [n for n, (status, _) in whole.items() if status == "recorded" and not n.startswith(("host.", "symbols"))]
    for name in names:
        verified, now = states(f"without-{name}", "--refuse", name)
        others = {n: s for n, (s, _) in now.items() if n != name}
        same = all(whole[n][0] == s for n, s in others.items())
        V.check(f"refused {name}: it is skipped with its reason, the others go on", verified == 0 and same and now[name][0] == "skipped"
                and "refused" in now[name][1], now[name][1])


def settings():
    """Every setting under /proc/sys, but for those that are counters or random."""
    out = {}
    moving = ("random/", "ns_last_pid", "file-nr", "inode-nr", "inode-state", "dentry-state", "aio-nr", "pty/nr", "drop_caches", "nf_conntrack_count",
              "sched_domain", "binfmt_misc")
    for path in pathlib.Path("/proc/sys").rglob("*"):
        if path.is_file() and not any(m in str(path) for m in moving):
            try:
                out[str(path)] = path.read_bytes()
            except OSError:
                pass
    return out


def leaves_no_trace(folder):
    """No setting of the system is changed while recording or after it, and the recorder is not in its own capture."""
    before = settings()
    recorder = Recorder(folder, "trace").live()
    load = subprocess.Popen([folder / "storm", "switches", "2"], stdout=subprocess.DEVNULL)
    during = settings()
    load.wait()
    recorder.process.send_signal(signal.SIGINT)
    code = recorder.wait()
    intact("settings", recorder, code)
    after = settings()
    changed = sorted({k for now in (during, after) for k in before if now.get(k) != before[k]})
    V.check("settings: none of the system's is changed", not changed, f"{len(before)} compared {changed[:5]}")
    own = seen = 0
    for row in rows(recorder.bundle, "kernel.offcpu"):
        seen += 1
        own += row["pid"] == recorder.process.pid
    V.check("settings: no scheduler row is the recorder's own", seen > 1000 and own == 0, f"{own} of {seen}")


def clock(folder):
    """The real-time clock goes back and forth by an hour while recording; it is right again after seconds."""
    with open("/tmp/coldcase-clock.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        recorder = Recorder(folder, "clock", "--only", "host,kernel.task").live()
        time.sleep(2)
        slack = time.clock_gettime_ns(time.CLOCK_REALTIME) - time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        try:
            time.clock_settime_ns(time.CLOCK_REALTIME, time.clock_gettime_ns(time.CLOCK_REALTIME) + 3_600_000_000_000)
            time.sleep(2.5)
        finally:
            time.clock_settime_ns(time.CLOCK_REALTIME, time.clock_gettime_ns(time.CLOCK_MONOTONIC) + slack)
        time.sleep(2)
        recorder.process.send_signal(signal.SIGINT)
        code = recorder.wait()
    intact("clock", recorder, code)
    info = recorder.info()
    steps = [round(s["by"] / 1e9) for s in info["clock"]["steps"]]
    V.check("clock: both steps of an hour are known", steps == [3600, -3600], steps)
    span = info["time"]["duration"] / 1e9
    V.check("clock: derived times go through them", info["complete"] and span < 3700, f"{span:.1f} s by UTC")


def main():
    mode = sys.argv[1] if len(sys.argv) > 1 else "quick"
    if os.geteuid() != 0:
        V.skip("hostile", "needs root for the kernel and packet sources")
        V.end()
    with tempfile.TemporaryDirectory(prefix="hostile-", dir=os.environ.get("WORK", "/var/tmp")) as folder:
        folder = pathlib.Path(folder)
        subprocess.run(["cc", "-O2", "-pthread", "-o", folder / "storm", HERE / "storm.c"], check=True)
        wanted = sys.argv[2:]
        parts = [clock] if mode == "clock" else [switched_off, leaves_no_trace, stopped, stuck, ladder, costs, refused, storms]
        for part in parts:
            if not wanted or part.__name__ in wanted:
                part(folder, mode == "long") if part is storms else part(folder)
    V.end()


if __name__ == "__main__":
    main()
