#!/usr/bin/env python3
"""The tests of requests and of databases once more, in a network namespace whose loopback loses one TCP packet in a hundred: servers, clients and the
capture see what was sent again. usage: lossy_servers.py"""
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))
from netns import delete, netns, sh  # noqa: E402

NAME = "cc-lossy-lo"
RULES = """
table ip lossy {
  chain input {
    type filter hook input priority 0;
    meta l4proto tcp numgen random mod 100 < 1 drop
  }
}
"""


def main():
    for tool in ("ip", "nft"):
        if not shutil.which(tool):
            print(f"skipped: servers on a lossy way: no {tool}")
            return
    delete(NAME)
    sh("ip", "netns", "add", NAME)
    try:
        sh(*netns(NAME, "ip", "link", "set", "lo", "up"))
        done = subprocess.run(netns(NAME, "nft", "-f", "-"), input=RULES, text=True, capture_output=True)
        if done.returncode:
            print(f"skipped: servers on a lossy way: nft cannot drop here: {done.stderr.strip()}")
            return
        failed = 0
        for test in ("requests.py", "databases.py"):
            print(f"--- {test}", flush=True)
            failed += subprocess.run(netns(NAME, sys.executable, str(HERE / test)), env={**os.environ, "LOSSY": "1"}).returncode != 0
        lines = sh(*netns(NAME, "cat", "/proc/net/snmp")).splitlines()
        names, values = [line.split() for line in lines if line.startswith("Tcp:")]
        again = int(values[names.index("RetransSegs")])
        print(f"{'ok     ' if again > 50 else 'FAILED '} the way lost packets: {again} segments were sent again")
        sys.exit(failed > 0 or again <= 50)
    finally:
        delete(NAME)


main()
