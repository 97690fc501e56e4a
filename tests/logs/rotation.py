"""A log that takes 100,000 lines a second is rotated again and again, in each way that a log is rotated; every line must be in the bundle
once, whole, and behind the one before it. usage: rotation.py [ROTATIONS [KIND...]]

What cannot be had is known to the writer: lines between copy and truncation, and what stands unread in a file that is truncated without
a copy. They may be missing, and then the ledger must say so.
"""
import gzip
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import polars

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import case

RECORDER = os.environ.get("RECORDER", str(case.ROOT / "target/recorder/coldcase"))
RATE = 100_000
TICK = 0.01
# Time between two rotations.
PERIOD = 0.25
CUT, OPEN, AFTER_GAP = 1, 2, 4
LONG = 64 << 20
LIMIT = 1 << 20


class Log:
    """A log and who writes it: numbered lines, many in a call."""

    def __init__(self, folder):
        self.path = folder / "app.log"
        self.file = self.open()
        self.number = 0
        self.half = b""
        # Numbers of lines that may be missing.
        self.at_risk = set()

    def open(self):
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def lines(self, count):
        first, self.number = self.number, self.number + count
        return b"".join(b"%09d the quick brown fox jumps over the lazy dog\n" % n for n in range(first, first + count))

    def write(self, count, file=None):
        text = self.half + self.lines(count)
        self.half = b""
        put(self.file if file is None else file, text)

    def write_half(self):
        """Half a line; its other half comes with the next write."""
        line = self.lines(1)
        put(self.file, line[:20])
        self.half = line[20:]

    def risk(self, count):
        self.at_risk.update(range(self.number, self.number + count))
        self.write(count)

    def shift(self):
        """`app.log` becomes `app.log.1`, that `.2`, and so on."""
        names = sorted((p for p in self.path.parent.glob("app.log.*") if p.suffix[1:].isdigit()), key=lambda p: int(p.suffix[1:]))
        for old in reversed(names):
            number = int(old.suffix[1:])
            if number >= 5:
                old.unlink()
            else:
                old.rename(self.path.with_name(f"app.log.{number + 1}"))

    def reopen(self):
        os.close(self.file)
        self.file = self.open()


def put(file, text):
    while text:
        text = text[os.write(file, text):]


def rename(log, _turn):
    """The writer goes on in the renamed file for a moment, in the middle of a line, then opens the new one."""
    log.shift()
    log.write_half()
    log.path.rename(log.path.with_name("app.log.1"))
    for _ in range(3):
        log.write(1000)
        time.sleep(TICK)
    log.reopen()


def two_writers(log, _turn):
    """Old workers finish what they do while new ones write to the new file already."""
    log.shift()
    log.path.rename(log.path.with_name("app.log.1"))
    new = log.open()
    for _ in range(3):
        log.write(500, new)
        log.write(500)
        time.sleep(TICK)
    os.close(log.file)
    log.file = new


def delete(log, _turn):
    log.write_half()
    log.path.unlink()
    log.write(1000)
    log.reopen()


def compress(log, _turn):
    """The renamed file is compressed beside and removed, as logrotate's `compress` does."""
    rotated = log.path.with_name(f"app.log.{time.time_ns()}")
    log.path.rename(rotated)
    log.write(1000)
    log.reopen()

    def pack():
        with rotated.open("rb") as plain, gzip.open(f"{rotated}.gz", "wb", compresslevel=1) as packed:
            shutil.copyfileobj(plain, packed)
        rotated.unlink()

    threading.Thread(target=pack).start()


def copytruncate(log, turn):
    """Every other time lines come between copy and truncation: only who read them at once has them."""
    log.shift()
    shutil.copyfile(log.path, log.path.with_name("app.log.1"))
    if turn % 2:
        log.risk(1000)
        time.sleep(0.07 * (turn % 4 == 3))
    os.ftruncate(log.file, 0)


def truncate(log, _turn):
    """In place, without a copy; the writer had a rest before, so nothing stands unread."""
    time.sleep(0.3)
    os.ftruncate(log.file, 0)


KINDS = [rename, two_writers, delete, compress, copytruncate, truncate]


def storm(folder, kind, rotations):
    """Records while the log is rotated; the bundle, the log, and how many lines a second were written."""
    log = Log(folder)
    bundle = folder.parent / f"{kind.__name__}.case"
    recorder = start(bundle, f"{log.path}*")
    begun = time.monotonic()
    spent = 0.0
    for turn in range(rotations):
        end = time.monotonic() + PERIOD
        due = time.monotonic()
        while due < end:
            log.write(int(RATE * TICK))
            due += TICK
            time.sleep(max(0.0, due - time.monotonic()))
        before = time.monotonic()
        kind(log, turn)
        spent += time.monotonic() - before
    rate = rotations * PERIOD * RATE / (time.monotonic() - begun - spent)
    log.write(10)
    time.sleep(0.7)
    stop(recorder)
    return bundle, log, rate


def start(bundle, *patterns):
    named = [argument for pattern in patterns for argument in ("--log", str(pattern))]
    recorder = subprocess.Popen([RECORDER, "record", "-o", bundle, "--force", "--only", "log", *named], stderr=subprocess.PIPE, text=True)
    for line in recorder.stderr:
        if "followed" in line:
            break
    time.sleep(0.2)
    # What it says later is read, so that it never waits for room in the pipe.
    threading.Thread(target=recorder.stderr.read, daemon=True).start()
    return recorder


def stop(recorder):
    recorder.send_signal(signal.SIGINT)
    recorder.wait(60)


def table(bundle):
    """The rows of log.lines, in their order: path, inode, offset, flags, line."""
    folder = bundle.with_suffix(".parquet.d")
    case.run("export", "--parquet", folder, bundle, "--table", "log_lines", "--force", ok=(0, 3))
    return polars.read_parquet(folder / "log_lines.parquet").sort("row").to_dict(as_series=False)


def lost(bundle, reason):
    import json
    info = json.loads(case.run("info", bundle, "--json", ok=(0, 3)))
    return sum(loss["count"] for loss in info["losses"] if loss["source"] == "log" and loss["reason"] == reason)


def as_bytes(line):
    return line if isinstance(line, bytes) else line.encode("utf-8", "surrogateescape")


def judge(verdicts, kind, bundle, log, rotations):
    name = kind.__name__
    rows = table(bundle)
    lines = [as_bytes(line) for line in rows["line"]]
    want = b" the quick brown fox jumps over the lazy dog"
    # One that was being written when the file was truncated may be cut there, and says so.
    cut = {line for line, flags in zip(lines, rows["flags"]) if flags & OPEN and line[:9].isdigit() and int(line[:9]) in log.at_risk}
    lines = [line for line in lines if line not in cut]
    broken = [line for line in lines if len(line) != 9 + len(want) or not line.endswith(want)]
    verdicts.check(f"{name}: every line is whole", not broken, f"{len(broken)} of {len(lines)} are not, first {broken[:1]}" if broken else f"{len(lines)} lines")
    numbers = [int(line[:9]) for line in lines if line[:9].isdigit()]
    inodes = [inode for line, inode in zip(map(as_bytes, rows["line"]), rows["inode"]) if line not in cut]
    seen = set(numbers)
    missing = set(range(log.number)) - seen - log.at_risk
    verdicts.check(f"{name}: none is missing", not missing, f"{len(missing)}, from {min(missing)}" if missing else "")
    verdicts.check(f"{name}: none is there twice", len(numbers) == len(seen), len(numbers) - len(seen) or "")
    # Two files that are written at the same time have no order between them.
    by_file, disorder = {}, 0
    for number, inode in zip(numbers, inodes if kind is two_writers else [0] * len(numbers)):
        disorder += number < by_file.get(inode, -1)
        by_file[inode] = number
    verdicts.check(f"{name}: they are in order", disorder == 0, disorder or "")
    gaps = lost(bundle, "log-gap")
    if kind is truncate:
        verdicts.check(f"{name}: each truncation is a gap", gaps == rotations, gaps)
    elif log.at_risk:
        gone = log.at_risk - seen
        # A copy that lacks what was read already is no copy of all: the ledger says that more may be gone.
        verdicts.check(f"{name}: a gap is claimed at most where lines were at risk", gaps <= rotations // 2,
                       f"{len(gone)} of {len(log.at_risk)} lines at risk are gone, {gaps} gaps")
    else:
        verdicts.check(f"{name}: no gap is claimed", gaps == 0, gaps or "")


def odd_lines(verdicts, folder):
    """A line of 64 MiB, one of every byte, one without an end; and numbered lines around them."""
    log = Log(folder)
    bundle = folder.parent / "odd.case"
    recorder = start(bundle, log.path)
    log.write(10)
    every = bytes(b for b in range(256) if b != 10)
    put(log.file, every + b"\n")
    for _ in range(64):
        put(log.file, b"x" * (LONG // 64))
    put(log.file, b"\n")
    log.write(10)
    put(log.file, b"no end")
    time.sleep(1.5)
    alive = recorder.poll() is None
    stop(recorder)
    rows = table(bundle)
    lines = [as_bytes(line) for line in rows["line"]]
    verdicts.check("odd lines: the recorder lives", alive)
    verdicts.check("odd lines: all rows are there", len(lines) == 23, len(lines))
    if len(lines) == 23:
        verdicts.check("odd lines: a line of every byte is one line", lines[10].decode() == every.decode(errors="replace"))
        verdicts.check("odd lines: 64 MiB are cut at 1 MiB", lines[11] == b"x" * LIMIT and rows["flags"][11] == CUT)
        verdicts.check("odd lines: the line behind stands where it stood", rows["offset"][12] - rows["offset"][11] == LONG + 1)
        verdicts.check("odd lines: one without a newline says so", lines[22] == b"no end" and rows["flags"][22] == OPEN)
    verdicts.check("odd lines: the cut is counted", lost(bundle, "truncated") == 1)


def main():
    rotations = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    verdicts = case.Verdicts()
    if not os.path.exists(RECORDER):
        verdicts.skip("log rotation", "no recorder was built: tests/recorder.sh")
        verdicts.end()
    with tempfile.TemporaryDirectory() as top:
        for kind in [k for k in KINDS if not sys.argv[2:] or k.__name__ in sys.argv[2:]]:
            folder = pathlib.Path(top) / kind.__name__
            folder.mkdir()
            bundle, log, rate = storm(folder, kind, rotations)
            print(f"        {kind.__name__}: {rotations} rotations, {log.number} lines, {rate:,.0f} lines/s between them", flush=True)
            judge(verdicts, kind, bundle, log, rotations)
            shutil.rmtree(folder)
        folder = pathlib.Path(top) / "odd"
        folder.mkdir()
        odd_lines(verdicts, folder)
    verdicts.end()


main()
