"""Reads bundles for the whole-tool tests, through the tool's own command line, and counts verdicts."""
import json
import os
import pathlib
import socket
import struct
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
COLDCASE = os.environ.get("COLDCASE", str(ROOT / "target/debug/coldcase"))


def boottime():
    """CLOCK_BOOTTIME in nanoseconds, the clock of every row."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def run(*argv, ok=(0,)):
    """Runs coldcase and returns its stdout; stops the test when the exit code is not one of `ok`."""
    done = subprocess.run([COLDCASE, *map(str, argv)], capture_output=True, text=True)
    if done.returncode not in ok:
        sys.exit(f"coldcase {' '.join(map(str, argv))}: exit {done.returncode}: {done.stderr.strip()[-800:]}")
    return done.stdout


def free_port():
    """A port of the loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def framed(path):
    """The requests of a file of the collector's format `proto`, read by its own rule."""
    data, at, out = path.read_bytes(), 0, []
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        out.append(data[at + 4:at + 4 + length])
        at += 4 + length
    return out


def rows(bundle, stream, *args):
    """The rows of one stream: their fields, with `utc` and `row`."""
    process = subprocess.Popen([COLDCASE, "timeline", str(bundle), "--stream", stream, "--json", "--quiet", *map(str, args)],
                               stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        row = json.loads(line)
        if row["stream"] == stream or row["stream"].startswith(stream + "."):
            yield {**row["fields"], "utc": row["utc"], "row": row["row"]}
    if process.wait() not in (0, 3):
        sys.exit(f"coldcase timeline {bundle} --stream {stream}: exit {process.returncode}")


class Verdicts:
    """Counts checks, prints each as it falls, and ends in the line that a CI reads."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def check(self, name, ok, note=""):
        self.passed += bool(ok)
        self.failed += not ok
        print(f"{'ok     ' if ok else 'FAILED '} {name}{f': {note}' if note != '' else ''}", flush=True)
        return ok

    def skip(self, name, reason):
        self.skipped += 1
        print(f"skipped: {name}: {reason}", flush=True)

    def end(self):
        print(f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped")
        sys.exit(1 if self.failed else 0)
