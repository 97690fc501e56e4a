"""systemd's journal, against systemd's own tools: entries that systemd-journal-remote wrote come back whole by `import` of an export, by
`import` of the journal's file, and by `record` while they are written, also when journalctl is killed in between. usage: journal.py"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import case

RECORDER = os.environ.get("RECORDER", str(case.ROOT / "target/recorder/coldcase"))
REMOTE = "/lib/systemd/systemd-journal-remote"
BOOT = "0af7651916cd43dd8448eb211c80319c"
START = 1_704_164_645_000_000
# What entries say: plain, several lines, bytes that are no text, long, empty, other scripts.
MESSAGES = [b"plain", b"first line\n\n  second line\n", b"\x00\x01\xff\xfe binary \x1b[31m", b"x" * 100_000, b"", "größer 大きい".encode()]
IDS = {"TRACE_ID": b"0af7651916cd43dd8448eb211c80319c", "SPAN_ID": b"b7ad6b7169203331"}


def entry(number, message, **fields):
    """One entry in the export format."""
    out = b"__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=%d\n_BOOT_ID=%s\n" % (START + number, 1_000 + number, BOOT.encode())
    named = {"PRIORITY": b"3", "SYSLOG_IDENTIFIER": b"app", "_PID": b"42", **fields, "MESSAGE": message}
    for name, value in named.items():
        if all(b == 9 or 32 <= b < 127 for b in value):
            out += name.encode() + b"=" + value + b"\n"
        else:
            out += name.encode() + b"\n" + len(value).to_bytes(8, "little") + value + b"\n"
    return out + b"\n"


def to_journal(path, export):
    done = subprocess.run([REMOTE, "-o", path, "-"], input=export, capture_output=True)
    if done.returncode:
        sys.exit(f"systemd-journal-remote: {done.stderr.decode()}")


def shown(message):
    return (b"app[42]: " + message).decode(errors="replace")


def lines(bundle):
    """What the reader shows of each entry, in the order in which they were stored."""
    out = case.run("query", bundle, "SELECT row, body, severity, trace, span FROM logs ORDER BY row", "--format", "json", ok=(0, 3))
    return json.loads(out)


def imports(verdicts, folder):
    export = folder / "in.export"
    export.write_bytes(b"".join(entry(n, m, **IDS) for n, m in enumerate(MESSAGES)))
    journal = folder / "in.journal"
    to_journal(journal, export.read_bytes())
    out = folder / "out.export"
    out.write_bytes(subprocess.run(["journalctl", "--file", journal, "-o", "export"], capture_output=True, check=True).stdout)
    want = [shown(m) for m in MESSAGES]
    for name, file in [("an export", out), ("a journal's file", journal)]:
        bundle = folder / f"{file.name}.case"
        told = json.loads(case.run("import", file, "-o", bundle, "--json"))
        rows = lines(bundle)
        verdicts.check(f"{name} is recognised", told["files"][0]["format"] in ("journal", "journal-export"), told["files"][0]["format"])
        verdicts.check(f"{name}: every message is as it was", [r["body"] for r in rows] == want, len(rows))
        verdicts.check(f"{name}: severity, trace and span are those of the fields",
                       {(r["severity"], r["trace"], r["span"]) for r in rows} == {("error", IDS["TRACE_ID"].decode(), IDS["SPAN_ID"].decode())})
    same = [r["body"] for r in lines(folder / "out.export.case")] == [r["body"] for r in lines(folder / "in.journal.case")]
    verdicts.check("both ways give the same", same)
    # Without the tool it says what to do.
    done = subprocess.run([case.COLDCASE, "import", journal, "-o", folder / "no.case"], capture_output=True, text=True, env={"PATH": "/nonexistent"})
    verdicts.check("without journalctl there is an error with a hint", done.returncode == 2 and "hint:" in done.stderr and "journalctl" in done.stderr,
                   done.stderr.strip().splitlines()[:1])


def live(verdicts, folder):
    """A journal grows while it is recorded; journalctl is killed in the middle."""
    source = folder / "journal"
    source.mkdir()
    path = source / "remote.journal"
    remote = subprocess.Popen([REMOTE, "-o", path, "-"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def say(number, message):
        remote.stdin.write(entry(number, message))
        remote.stdin.flush()

    say(0, b"before the recording")
    time.sleep(1)
    bundle = folder / "live.case"
    recorder = subprocess.Popen([RECORDER, "record", "-o", bundle, "--only", "journal", "--journal-dir", source], stderr=subprocess.PIPE, text=True,
                                env={**os.environ, "COLDCASE_LOG": "warn"})
    for line in recorder.stderr:
        if "followed" in line:
            break
    said = []
    threading.Thread(target=lambda: said.extend(recorder.stderr), daemon=True).start()
    time.sleep(0.5)
    messages = []
    for number in range(1, 301):
        message = MESSAGES[number % len(MESSAGES)] + b" %d" % number
        messages.append(message)
        say(number, message)
        if number == 100:
            time.sleep(1)
            children = subprocess.run(["pgrep", "-P", str(recorder.pid), "-x", "journalctl"], capture_output=True, text=True).stdout.split()
            verdicts.check("live: journalctl runs below the recorder", len(children) == 1, children)
            for child in children:
                os.kill(int(child), signal.SIGKILL)
    time.sleep(3)
    recorder.send_signal(signal.SIGINT)
    recorder.wait(30)
    remote.stdin.close()
    remote.wait(10)
    found = [row["body"] for row in lines(bundle)]
    verdicts.check("live: each entry once, in order, through the death of journalctl", found == [shown(m) for m in messages], f"{len(found)} of {len(messages)}")
    verdicts.check("live: its death is said", any("journalctl ended" in line for line in said))
    left = subprocess.run(["pgrep", "-f", f"journalctl.*{source}"], capture_output=True, text=True).stdout.split()
    verdicts.check("live: no journalctl is left", not left, left or "")


def main():
    verdicts = case.Verdicts()
    if not shutil.which("journalctl") or not os.path.exists(REMOTE):
        verdicts.skip("journal", "no journalctl or no systemd-journal-remote here")
        verdicts.end()
    with tempfile.TemporaryDirectory() as top:
        imports(verdicts, pathlib.Path(top))
        live(verdicts, pathlib.Path(top))
    verdicts.end()


main()
