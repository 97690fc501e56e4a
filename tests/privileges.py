"""Recording without root: an ordinary user with CAP_BPF, CAP_PERFMON and CAP_NET_RAW records the kernel and the packets, and with CAP_SYSLOG and
CAP_SYS_PTRACE the names; each capability that is missing is named with the command that grants it. usage: privileges.py
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "lib"))
from case import COLDCASE, Verdicts, run  # noqa: E402

V = Verdicts()
USER = "65534"
PORTS = ["--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0"]
NEEDED = ["bpf", "perfmon", "net_raw"]
NAMES = ["syslog", "sys_ptrace"]


def as_user(folder, caps, *argv):
    """Runs coldcase as an ordinary user with these capabilities and no others."""
    listed = ",".join(["-all", *(f"+{c}" for c in caps)])
    setpriv = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", f"--inh-caps={listed}", f"--ambient-caps={listed}", f"--bounding-set={listed}"]
    return subprocess.run([*setpriv, folder / "coldcase", *map(str, argv)], capture_output=True, text=True, cwd=folder)


def record(folder, name, caps):
    bundle = folder / f"{name}.case"
    # somebody has to run, or there is nothing to sample
    load = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        done = as_user(folder, caps, "record", "-o", bundle, "--for", "2s", *PORTS)
    finally:
        load.kill()
        load.wait()
    if not V.check(f"{name}: it records", done.returncode in (0, 3), f"exit {done.returncode} {done.stderr.strip()[-300:] if done.returncode not in (0, 3) else ''}"):
        return None
    V.check(f"{name}: the bundle is intact", subprocess.run([COLDCASE, "verify", bundle], capture_output=True).returncode == 0)
    return json.loads(run("info", "--json", bundle))


def states(info):
    return {s["name"]: s for s in info["sources"]}


def root_states(folder):
    """What root records here: a source that this kernel does not allow is no fault of the capabilities'."""
    run("record", "-o", folder / "root.case", "--for", "1s", *PORTS, ok=(0, 3))
    return {n: s["status"] for n, s in states(json.loads(run("info", "--json", folder / "root.case"))).items()}


def events(info, stream):
    return next((s["events"] for s in info["streams"] if s["name"] == stream), 0)


def main():
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        V.skip("privileges", "needs root to give an ordinary user capabilities, and setpriv")
        V.end()
    with tempfile.TemporaryDirectory(prefix="privileges-", dir="/var/tmp") as folder:
        folder = pathlib.Path(folder)
        folder.chmod(0o777)
        shutil.copy(COLDCASE, folder / "coldcase")
        (folder / "coldcase").chmod(0o755)
        at_root = root_states(folder)
        # A file that only root may read, whatever the capabilities are.
        at_root.pop("host.nat", None)

        info = record(folder, "all five", NEEDED + NAMES)
        if info:
            now = states(info)
            worse = {n: now[n]["reason"] for n, status in at_root.items() if status == "recorded" and now[n]["status"] != "recorded"}
            V.check("all five: every source that root records is recorded", not worse, worse or ", ".join(sorted(now)))
            V.check("all five: scheduler rows, samples and a snapshot are there",
                    all(events(info, s) for s in ("kernel.offcpu", "kernel.cpu_sample", "host.process")))
            names = events(info, "symbols")
            V.check("all five: names are there, those of the kernel too", names > 0, f"{names} names")

        info = record(folder, "three", NEEDED)
        if info:
            now = states(info)
            worse = {n: s["reason"] for n, s in now.items() if s["status"] == "skipped" and at_root.get(n) == "recorded" and n.startswith(("kernel", "packets", "otlp", "host"))}
            V.check("three: kernel and packets are recorded without the capabilities for names", not worse, worse)
        doctor = json.loads(as_user(folder, NEEDED, "doctor", "--json", "--probe", "0s").stdout)
        missing = {s["name"]: s for s in doctor["sources"]}
        V.check("three: doctor names what the names lack, and how to grant it", "CAP_SYSLOG" in missing["symbols"]["missing"]
                and "CAP_SYS_PTRACE" in missing["host.snapshot"]["missing"] and "cap_syslog" in missing["symbols"]["hint"], missing["symbols"]["hint"])

        for without in NEEDED:
            caps = [c for c in NEEDED if c != without]
            info = record(folder, f"without {without}", caps)
            if not info:
                continue
            mine = [s for n, s in states(info).items() if (n == "packets") == (without == "net_raw") and n.startswith(("kernel.", "packets"))]
            word = f"CAP_{without.upper()}"
            V.check(f"without {without}: what needs it is skipped, {word} is named, with the command", mine and all(
                s["status"] == "skipped" and word in s["reason"] and word.lower() in s["hint"] and "setcap" in s["hint"] for s in mine), mine[0]["reason"] if mine else "")
            others = [s for n, s in states(info).items() if n.startswith("packets" if without != "net_raw" else "kernel.") and at_root[n] == "recorded"]
            V.check(f"without {without}: the others go on", others and all(s["status"] == "recorded" for s in others))
        done = as_user(folder, ["perfmon", "net_raw"], "doctor", "--require", "kernel", "--probe", "0s")
        V.check("doctor: exit 1 when something required is missing", done.returncode == 1 and "CAP_BPF" in done.stdout, f"exit {done.returncode}")
        done = as_user(folder, NEEDED, "doctor", "--require", "kernel,packets", "--json")
        probe = json.loads(done.stdout)["probe"]
        V.check("doctor: exit 0 when all that is required is there, with a probe", done.returncode == 0 and probe["events_per_second"] > 0 and probe["bytes_per_minute"] > 0,
                f"exit {done.returncode} {probe}")
    V.end()


if __name__ == "__main__":
    main()
