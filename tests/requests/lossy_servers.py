#!/usr/bin/env python3
"""The tests of requests and of databases once more, with the servers in one network namespace and their clients in another, over a router that loses one
TCP packet in a hundred each way and queues the others: what the client's interface shows is held against the servers' own logs. usage: lossy_servers.py"""
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))
from netns import Way, netns, retransmitted, sh  # noqa: E402

WAY = Way("cc-servers-a", "cc-servers-b", "cc-servers-r", 77)
RULES = """
table ip lossy {
  chain forward {
    type filter hook forward priority 0;
    meta l4proto tcp numgen random mod 100 < 1 drop
  }
}
"""


def main():
    for tool in ("ip", "nft", "tc"):
        if not shutil.which(tool):
            print(f"skipped: servers on a lossy way: no {tool}")
            return
    try:
        refused = WAY.setup(RULES)
        if refused:
            print(f"skipped: servers on a lossy way: nft cannot drop here: {refused}")
            return
        for port in ("r0", "r1"):
            sh(*netns(WAY.router, "tc", "qdisc", "add", "dev", port, "root", "tbf", "rate", "200mbit", "burst", "64kb", "latency", "30ms"), check=False)
        queued = "tbf" in sh(*netns(WAY.router, "tc", "qdisc", "show"))
        print(f"the way queues by {'tbf, 200 Mbit/s' if queued else 'nothing: this kernel has no tbf'}", flush=True)
        where = {"LOSSY": "1", "SERVER_HOST": f"{WAY.net}.2.2", "SERVER_NETNS": WAY.right, "INTERFACE": "eth0"}
        failed = 0
        # Out here, as no way leads from the namespaces to PyPI.
        subprocess.run([sys.executable, str(HERE / "databases.py"), "--install"], check=True)
        for test in ("requests.py", "databases.py"):
            print(f"--- {test}", flush=True)
            failed += subprocess.run(netns(WAY.left, sys.executable, str(HERE / test)), env={**os.environ, **where}).returncode != 0
        again = retransmitted(WAY.left) + retransmitted(WAY.right)
        print(f"{'ok     ' if again > 50 else 'FAILED '} the way lost packets: {again} segments were sent again")
        sys.exit(failed > 0 or again <= 50)
    finally:
        WAY.teardown()


main()
