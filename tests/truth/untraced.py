"""Counts the context switches that this kernel does not trace, with ftrace alone: coldcase is not involved.

A thread sleeps for 2 ms again and again while others are born and end. Each of its switch-ins must follow a switch-out; where two
switch-outs follow each other, a switch-in was not traced. Needs root and tracefs. Prints the counts.
"""
import pathlib
import re
import subprocess
import threading
import time

TRACING = pathlib.Path("/sys/kernel/tracing")
if not (TRACING / "trace").exists():
    subprocess.run(["mount", "-t", "tracefs", "none", str(TRACING)], check=True)
(TRACING / "buffer_size_kb").write_text("40000")
(TRACING / "trace").write_text("")
(TRACING / "tracing_on").write_text("1")
(TRACING / "events/sched/sched_switch/enable").write_text("1")
stop, tid = threading.Event(), []


def sleeper():
    tid.append(threading.get_native_id())
    while not stop.is_set():
        time.sleep(0.002)


threading.Thread(target=sleeper).start()
for _ in range(500):
    time.sleep(0.005)
    other = threading.Thread(target=lambda: None)
    other.start()
    other.join()
stop.set()
(TRACING / "events/sched/sched_switch/enable").write_text("0")
outs = ins = unseen = 0
away = False
for line in (TRACING / "trace").read_text(errors="replace").splitlines():
    m = re.search(r"sched_switch: .*prev_pid=(\d+) .*next_pid=(\d+)", line)
    if m and int(m[2]) == tid[0]:
        ins, away = ins + 1, False
    elif m and int(m[1]) == tid[0]:
        outs, unseen, away = outs + 1, unseen + away, True
print(f"{outs} switch-outs, {ins} switch-ins traced, {unseen} times a switch-in was not traced")
