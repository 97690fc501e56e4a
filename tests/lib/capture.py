"""Packets of ports while a block runs, and the requests that the decoder reads from them. Servers listen on loopback, or where the environment says:
SERVER_HOST is their address, SERVER_NETNS the network namespace that they run in, INTERFACE the client's that is captured."""
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOST = os.environ.get("SERVER_HOST", "127.0.0.1")
INTERFACE = os.environ.get("INTERFACE", "lo")
READER = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug/examples/requests"


def build():
    """Builds the program that prints the requests of a capture."""
    subprocess.run(["cargo", "build", "--quiet", "--workspace", "--example", "requests"], cwd=ROOT, check=True)


def at_server(*argv):
    """The command, run where the servers run."""
    name = os.environ.get("SERVER_NETNS")
    return ["ip", "netns", "exec", name, *argv] if name else list(argv)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port):
    for _ in range(400):
        with socket.socket() as s:
            if s.connect_ex((HOST, port)) == 0:
                return
        time.sleep(0.05)
    sys.exit(f"nothing listens on port {port}")


class Capture:
    """Captures to a file while the block runs; `snaplen` cuts packets."""

    def __init__(self, file, port, snaplen=0):
        self.file, self.port, self.snaplen = file, port, snaplen

    def __enter__(self):
        self.tcpdump = subprocess.Popen(
            ["tcpdump", "-i", INTERFACE, "-s", str(self.snaplen), "-B", "65536", "-U", "--time-stamp-precision=nano", "-w", str(self.file),
             f"port {self.port}"], stderr=subprocess.PIPE, text=True)
        self.tcpdump.stderr.readline()
        time.sleep(0.3)
        return self

    def __exit__(self, *_):
        time.sleep(1.0)
        self.tcpdump.send_signal(signal.SIGINT)
        said = self.tcpdump.communicate()[1]
        self.dropped = int(next(line for line in said.splitlines() if "dropped by kernel" in line).split()[0])

    def requests(self, *protocols):
        done = subprocess.run([READER, self.file], capture_output=True, text=True, check=True)
        return [r for r in map(json.loads, done.stdout.splitlines()) if r["protocol"] in protocols]
