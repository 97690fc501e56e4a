"""Reads what the test machine left behind and prints a verdict per check; exit 1 when one failed."""
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from case import COLDCASE, rows  # noqa: E402

work, recorder = pathlib.Path(sys.argv[1]), sys.argv[2]
passed, failed = [], []


def check(name, ok, note=""):
    (passed if ok else failed).append(name)
    print(f"{'ok    ' if ok else 'FAILED'} {name}{': ' + str(note) if note != '' else ''}")


def text(name):
    path = work / name
    return path.read_text(errors="replace") if path.exists() else ""


counts = dict(line.split(" ", 1) for line in text("counts").splitlines() if " " in line)
check("the machine ran to its end", "record" in counts, text("console.log")[-600:] if "record" not in counts else text("kernel").strip())
check("record ended with the command's code", counts.get("record") == "exit 0", counts.get("record", "") + " " + text("record.err")[-800:])
check("verify says sealed and intact", counts.get("verify") == "exit 0", counts.get("verify"))

case = work / "vm.case"
info = {}
if case.exists() and case.stat().st_size:
    run = subprocess.run([recorder, "info", "--json", str(case)], capture_output=True, text=True)
    check("info reads the bundle here", run.returncode == 0, run.stderr.strip())
    if run.returncode == 0:
        info = json.loads(run.stdout)
streams = {s["name"]: s for s in info.get("streams", [])}
for source in info.get("sources", []):
    if source.get("hint", "").startswith("--uprobe"):
        print(f"skipped: {source['name']}: the machine has no libraries to probe")
    elif source["name"].startswith("kernel."):
        check(f"{source['name']} attached", source["status"] == "recorded", source.get("reason", ""))
for stream in ("kernel.offcpu", "kernel.cpu_sample", "kernel.block", "kernel.file", "kernel.writeback", "kernel.signal", "kernel.tcp_state", "kernel.tcp_retransmit", "kernel.task", "kernel.irq", "kernel.syscall_histogram", "packets"):
    events = streams.get(stream, {}).get("events", 0)
    check(f"{stream} fired", events > 0, events)
if os.access(COLDCASE, os.X_OK) and info:
    segments = sum(r["segments"] for r in rows(case, "kernel.tcp_retransmit") if r["error"] == 0)
    check("retransmitted segments equal the machine's TcpRetransSegs", segments == int(counts.get("retrans", -1)), f"{segments} against {counts.get('retrans')}")
else:
    print("skipped: retransmits against TcpRetransSegs: needs the full build (make build)")
lost = sum(entry["count"] for entry in info.get("losses", []))
check("losses are counted", "losses" in info, lost)
print(f"{len(passed)} passed, {len(failed)} failed")
sys.exit(1 if failed else 0)
