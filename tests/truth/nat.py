"""Both processes of a connection are named on both sides of an address translation, and it is counted once.

A client, a router that rewrites destination and source (nft dnat and masquerade), a server, each in a network namespace; the recorder runs in the
router's. Whose connection it is, is known by construction: the pids of the two programs.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "lib"))
from netns import Way, sh  # noqa: E402

COLDCASE = os.environ.get("COLDCASE", "target/debug/coldcase")
RECORDER = os.environ.get("RECORDER", "target/recorder/coldcase")
WAY = Way("cc-nat-a", "cc-nat-b", "cc-nat-r", 79)
BYTES = 1 << 20
SERVE = """
import socket
with socket.create_server(("10.79.2.2", 8000)) as server:
    print("ready", flush=True)
    peer, _ = server.accept()
    while peer.recv(1 << 16):
        pass
"""
SEND = f"""
import socket, time
with socket.create_connection(("10.79.1.9", 8080), timeout=10) as s:
    s.sendall(bytes({BYTES}))
time.sleep(0.5)
"""
RULES = """
table ip nat {
  chain prerouting { type nat hook prerouting priority -100; tcp dport 8080 dnat to 10.79.2.2:8000; }
  chain postrouting { type nat hook postrouting priority 100; oifname "r1" masquerade; }
}
"""


def record(case):
    """Records one transfer; gives the pids of client and server."""
    inside_router = ["nsenter", f"--net=/var/run/netns/{WAY.router}"]
    recorder = subprocess.Popen([*inside_router, RECORDER, "record", "-o", case, "--quiet", "--for", "60s"], stderr=subprocess.PIPE, text=True)
    time.sleep(2.5)
    # exec: the pid is that of the program.
    server = subprocess.Popen(["nsenter", f"--net=/var/run/netns/{WAY.right}", sys.executable, "-c", SERVE], stdout=subprocess.PIPE, text=True)
    server.stdout.readline()
    client = subprocess.Popen(["nsenter", f"--net=/var/run/netns/{WAY.left}", sys.executable, "-c", SEND])
    failed = client.wait() or server.wait()
    time.sleep(0.5)
    recorder.send_signal(2)
    said = recorder.communicate()[1]
    if failed:
        raise SystemExit(f"FAILED: the transfer failed: {said}")
    return client.pid, server.pid


def main():
    for tool in ("ip", "nft", "nsenter"):
        if not shutil.which(tool):
            print(f"skipped: address translation: no {tool}")
            return
    if not pathlib.Path("/proc/net/nf_conntrack").exists():
        print("skipped: address translation: this kernel shows no table of tracked connections")
        return
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        try:
            if why := WAY.setup(RULES):
                print(f"skipped: address translation: nft cannot translate here: {why}")
                return
            case = str(pathlib.Path(folder) / "nat.case")
            pids = record(case)
            flow = json.loads(sh(COLDCASE, "flow", case, "--json", "--quiet"))
        finally:
            WAY.teardown()
    sides = {c["b"]: c for c in flow["connections"] if c["b"] in ("10.79.1.9:8080", "10.79.2.2:8000")}
    for to, other in (("10.79.1.9:8080", "10.79.2.2:8000"), ("10.79.2.2:8000", "10.79.1.9:8080")):
        c = sides.get(to, {})
        named = [int((c.get(f"process_{end}") or "[0]").split("[")[-1].rstrip("]")) for end in "ab"]
        good = named == list(pids) and (c.get("translated") or {}).get("b") == other
        print(f"{'ok' if good else 'FAILED'} to {to}: processes {named}, which are {list(pids)}; on the other side {c.get('translated')}")
        failed += not good
    edges = [e for e in flow["edges"] if "8080" in e["to"] or "8000" in e["to"]]
    once = len(edges) == 1 and edges[0]["connections"] == 1
    print(f"{'ok' if once else 'FAILED'} counted once: {[(e['from'], e['to'], e['connections'], e['packets']) for e in edges]}")
    sys.exit(failed + (not once) > 0)


main()
