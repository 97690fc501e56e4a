#!/usr/bin/env python3
"""Standard input as a log: `app | coldcase record --log -`, and `… | coldcase import -`. usage: stdin.py"""
import gzip
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import case

RECORDER = os.environ.get("RECORDER", str(case.ROOT / "target/recorder/coldcase"))
NUMBERED = "import sys\nfor n in range({0}): sys.stdout.write(f'2026-11-01T00:00:00Z INFO line {{n}}\\n')\nsys.stdout.write('cut off')"


def lines(bundle):
    rows = json.loads(case.run("query", bundle, "SELECT row, origin, body FROM logs ORDER BY row", "--format", "json", ok=(0, 3)))
    return [r["body"] for r in rows], {r["origin"] for r in rows}


def record(bundle, *options, **streams):
    argv = [RECORDER, "record", "--json", "-o", bundle, "--only", "stdin", "--log", "-", *options]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **streams)


def ended(process):
    out, err = process.communicate(timeout=60)
    return json.loads(out)["ended"] if out.startswith("{") else err


def pipe(verdicts, folder):
    """All that a program printed is there, and its end is the recording's."""
    count, bundle = 200_000, folder / "pipe.case"
    app = subprocess.Popen([sys.executable, "-c", NUMBERED.format(count)], stdout=subprocess.PIPE)
    recording = record(bundle, stdin=app.stdout)
    app.stdout.close()
    verdicts.check("stdin: the end of the input ends the recording", (end := ended(recording)) == "input ended", end)
    got, origins = lines(bundle)
    wanted = [f"line {n}" for n in range(count)] + ["cut off"]
    bodies = [b.rsplit("INFO ", 1)[-1] for b in got]
    verdicts.check("stdin: each line is there once, in order", bodies == wanted, f"{len(got)} lines, {bodies[-2:]}")
    verdicts.check("stdin: the lines are named after it", origins == {"stdin"}, origins)


def interrupted(verdicts, folder):
    """What was written before Ctrl-C is there, though the writer lives on."""
    bundle = folder / "interrupted.case"
    recording = record(bundle, stdin=subprocess.PIPE)
    time.sleep(1.5)
    recording.stdin.write("first\nsecond\nthe third is not ended")
    recording.stdin.flush()
    time.sleep(0.2)
    recording.send_signal(signal.SIGINT)
    writer, recording.stdin = recording.stdin, None
    end = ended(recording)
    writer.close()
    verdicts.check("stdin: Ctrl-C ends it while the writer lives", end == "interrupted", end)
    verdicts.check("stdin: what stood in the pipe is there", lines(bundle)[0] == ["first", "second", "the third is not ended"], lines(bundle)[0])


def joined(verdicts, folder):
    """Several lines become one entry, also where the last one waits for more."""
    bundle = folder / "joined.case"
    text = "ERROR broken\n  at a.py:1\n  at b.py:2\nINFO fine\n"
    recording = record(bundle, "--log-multiline", "^[A-Z]", stdin=subprocess.PIPE)
    recording.stdin.write(text)
    end = ended(recording)
    got = lines(bundle)[0]
    verdicts.check("stdin: lines are joined by a pattern", end == "input ended" and got == ["ERROR broken\n  at a.py:1\n  at b.py:2", "INFO fine"], (end, got))


def beside(verdicts, folder):
    """A command beside it does not read the lines away, and ends the recording."""
    bundle = folder / "beside.case"
    recording = record(bundle, "--", "sh", "-c", "cat; sleep 1", stdin=subprocess.PIPE)
    recording.stdin.write("mine\n")
    end = ended(recording)
    verdicts.check("stdin: a command gets no line of it", end == "command ended" and lines(bundle)[0] == ["mine"], (end, lines(bundle)[0]))


def imported(verdicts, folder):
    """Standard input is recognised as a file is."""
    text = "".join(f"2026-11-01T00:00:{n % 60:02} WARN odd {n}\n" for n in range(5000)).encode()
    file = folder / "app.log.gz"
    file.write_bytes(gzip.compress(text))
    for name, argv in (("stdin", ["-"]), ("file", [file])):
        done = subprocess.run([case.COLDCASE, "--json", "import", *argv, "-o", folder / f"{name}.case"], input=file.read_bytes(), capture_output=True)
        told = json.loads(done.stdout)["files"][0]
        verdicts.check(f"import: {name} is a log of 5000 lines", (done.returncode, told["format"], told["items"]) == (0, "log", 5000), told)
    verdicts.check("import: both hold the same lines", lines(folder / "stdin.case")[0] == lines(folder / "file.case")[0])
    done = subprocess.run([case.COLDCASE, "import", "-", "-o", folder / "none.case"], input=b"", capture_output=True)
    verdicts.check("import: empty input is of no known format", done.returncode == 2 and b"stdin" in done.stderr, done.stderr.decode())


def main():
    verdicts = case.Verdicts()
    with tempfile.TemporaryDirectory(prefix="coldcase-stdin-") as folder:
        for part in (pipe, interrupted, joined, beside, imported):
            part(verdicts, pathlib.Path(folder))
    verdicts.end()


main()
