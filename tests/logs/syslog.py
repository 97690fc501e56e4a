"""`record --syslog`, against logger(1) in all its modes, and against senders that misbehave. usage: syslog.py"""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import case

RECORDER = os.environ.get("RECORDER", str(case.ROOT / "target/recorder/coldcase"))
LIMIT = 1 << 20


def free(kind):
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Recording:
    def __init__(self, folder, name):
        self.udp, self.tcp = free(socket.SOCK_DGRAM), free(socket.SOCK_STREAM)
        self.unix, self.bundle = folder / f"{name}.sock", folder / f"{name}.case"
        at = f"udp://127.0.0.1:{self.udp},tcp://127.0.0.1:{self.tcp},unix:{self.unix}"
        self.process = subprocess.Popen([RECORDER, "record", "-o", self.bundle, "--only", "syslog", "--syslog", at], stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if "unix:" in line:
                break
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        time.sleep(0.3)

    def end(self):
        time.sleep(0.5)
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)
        rows = case.run("query", self.bundle, "SELECT row, origin, body, severity, utc FROM logs ORDER BY row", "--format", "json", ok=(0, 3))
        self.info = json.loads(case.run("info", self.bundle, "--json", ok=(0, 3)))
        return json.loads(rows)

    def lost(self, reason):
        return sum(loss["count"] for loss in self.info["losses"] if loss["source"] == "syslog" and loss["reason"] == reason)


def modes(verdicts, folder):
    r = Recording(folder, "modes")
    udp, tcp = ["-n", "127.0.0.1", "-P", str(r.udp), "-d"], ["-n", "127.0.0.1", "-P", str(r.tcp), "-T"]
    unix = ["-u", str(r.unix), "-d"]
    sent = []
    for way, where in [("udp", udp), ("tcp", tcp), ("unix", unix)]:
        for form in (["--rfc5424"], ["--rfc3164"], *([["--rfc5424", "--octet-count"]] if way == "tcp" else [])):
            text = f"{way} {' '.join(form)} says hello"
            done = subprocess.run(["logger", "-t", "tester", "-p", "user.err", *form, *where, "--", text], capture_output=True, text=True)
            if done.returncode:
                verdicts.check(f"logger {way} {form}", False, done.stderr)
            sent.append((way, text))
            time.sleep(0.1)
    rows = r.end()
    for way, text in sent:
        mine = [row for row in rows if row["body"].rstrip().endswith(text)]
        verdicts.check(f"logger: {text}", len(mine) == 1 and mine[0]["severity"] == "error" and mine[0]["body"].startswith("<11>")
                       and way in mine[0]["origin"], [(m["origin"], m["severity"]) for m in mine])
    verdicts.check("logger: nothing else came", len(rows) == len(sent), len(rows))
    verdicts.check("logger: the Unix socket is removed at the end", not r.unix.exists())


def frames(verdicts, folder):
    """Messages in pieces, in both framings, too long, and cut off by the end of the connection."""
    r = Recording(folder, "frames")
    with socket.create_connection(("127.0.0.1", r.tcp)) as s:
        for byte in b"<13>by bytes\n21 <13>counted\nin two li5 <13>a":
            s.send(bytes([byte]))
        s.sendall(b"<13>" + b"y" * (LIMIT + 1000) + b"\n<13>behind\n<13>cut off")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.connect(str(r.unix))
        s.send(b"<13>of several\nlines\n")
    rows = r.end()
    found = [row["body"] for row in rows]
    want = ["<13>by bytes", "<13>counted\nin two li", "<13>a", "<13>" + "y" * (LIMIT - 4), "<13>behind", "<13>cut off", "<13>of several\nlines"]
    verdicts.check("frames: all are told apart", sorted(found) == sorted(want), [f[:30] for f in found])
    verdicts.check("frames: what was too long is counted", r.lost("truncated") == 1, r.lost("truncated"))


def flood(verdicts, folder):
    """More datagrams than a stopped recorder's socket holds: what the kernel drops is counted, to the message."""
    r = Recording(folder, "flood")
    r.process.send_signal(signal.SIGSTOP)
    sent = 40_000
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect(("127.0.0.1", r.udp))
        for number in range(sent):
            s.send(b"<13>flood %d" % number)
        r.process.send_signal(signal.SIGCONT)
        time.sleep(1)
        # The kernel tells of drops with the next datagram.
        s.send(b"<13>after")
    rows = r.end()
    lost = r.lost("log-gap")
    verdicts.check("flood: some were dropped", lost > 0, lost)
    verdicts.check("flood: received and dropped are all that were sent", len(rows) + lost == sent + 1, f"{len(rows)} + {lost} of {sent + 1}")


def main():
    verdicts = case.Verdicts()
    with tempfile.TemporaryDirectory() as top:
        folder = pathlib.Path(top)
        if shutil.which("logger"):
            modes(verdicts, folder)
        else:
            verdicts.skip("logger", "no logger here")
        frames(verdicts, folder)
        flood(verdicts, folder)
    verdicts.end()


main()
