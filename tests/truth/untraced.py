"""Shows what this machine does not trace, with ftrace and /proc alone: coldcase is not involved.

On some machines nothing is traced at the context switches of a thread of process 1 (their controller): each such switch is in the
thread's /proc status, and none is in ftrace. The thread that runs next then seems to come out of nowhere, so its switch-in has no event.
Prints both counts, and how many switch-ins were not traced. Needs root and tracefs.
"""
import collections
import pathlib
import re
import subprocess
import time

TRACING = pathlib.Path("/sys/kernel/tracing")
SECONDS = 10


def switches():
    """Context switches of each thread of process 1, by its status."""
    out = {}
    for task in pathlib.Path("/proc/1/task").iterdir():
        told = re.findall(r"ctxt_switches:\s+(\d+)", (task / "status").read_text())
        out[task.name] = sum(map(int, told))
    return out


def traced(folder):
    """Switches by the thread that was left and by the thread that came, and breaks: a CPU left a thread that had not come."""
    left, came, breaks, on = collections.Counter(), collections.Counter(), 0, {}
    for line in (folder / "trace").read_text().splitlines():
        told = re.search(r"\[(\d+)\].* prev_pid=(\d+) .* next_pid=(\d+)", line)
        if told:
            cpu, previous, following = told.groups()
            left[previous] += 1
            came[following] += 1
            breaks += on.get(cpu, previous) != previous
            on[cpu] = following
    return left, came, breaks


def main():
    if not (TRACING / "instances").is_dir():
        subprocess.run(["mount", "-t", "tracefs", "none", str(TRACING)], check=True)
    folder = TRACING / "instances" / "untraced"
    folder.mkdir(exist_ok=True)
    (folder / "buffer_size_kb").write_text("40000")
    (folder / "trace").write_text("")
    (folder / "events/sched/sched_switch/enable").write_text("1")
    before, end = switches(), time.monotonic() + SECONDS
    while time.monotonic() < end:
        time.sleep(0.002)
    after = switches()
    (folder / "events/sched/sched_switch/enable").write_text("0")
    left, came, breaks = traced(folder)
    folder.rmdir()
    own = sum(after.values()) - sum(before.get(t, 0) for t in after)
    print(f"{sum(left.values())} switches traced in {SECONDS} s, {breaks} times the thread that was left had not been seen to come")
    print(f"process 1: {own} switches by /proc, traced as the thread that came {sum(came[t] for t in after)}, as the thread that was left {sum(left[t] for t in after)}")


main()
