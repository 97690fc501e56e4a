"""Where block requests ended, by ftrace in an instance of its own: which thread each completion interrupted.

Some machines run no BPF program and no perf event while a thread of their controlling process (process 1) is on the CPU, even for an
interrupt that has nothing to do with it; ftrace's block events are told there. So ftrace says which completions nobody else could see.
"""
import os
import pathlib
import re

TRACING = pathlib.Path("/sys/kernel/tracing")


class BlockEnds:
    """Completions of block requests while it is open."""

    def __init__(self):
        self.folder = None
        if not (TRACING / "instances").is_dir():
            os.system(f"mount -t tracefs none {TRACING} 2>/dev/null")
        folder = TRACING / "instances" / f"ends-{os.getpid()}"
        try:
            folder.mkdir()
        except OSError:
            return  # without tracefs nothing is known, and nothing is forgiven
        (folder / "trace_clock").write_text("boot")
        (folder / "buffer_size_kb").write_text("8000")
        (folder / "events/block/block_rq_complete/enable").write_text("1")
        self.folder = folder

    def of_process_1(self):
        """(time, bytes) of each completion in a thread of process 1, to the microsecond."""
        if self.folder is None:
            return []
        out = []
        for line in (self.folder / "trace").read_text().splitlines():
            told = re.match(r"\s*.+-(\d+)\s+\[\d+\]\s+\S+\s+(\d+)\.(\d+): block_rq_complete: .* \+ (\d+) ", line)
            if told and pathlib.Path(f"/proc/1/task/{told[1]}").exists():
                out.append((int(told[2]) * 10**9 + int(told[3]) * 1000, int(told[4]) * 512))
        return out

    def clear(self):
        if self.folder is not None:
            (self.folder / "trace").write_text("")

    def close(self):
        if self.folder is not None:
            self.folder.rmdir()
            self.folder = None
