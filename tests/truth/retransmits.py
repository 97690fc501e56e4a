"""What `coldcase flow` says was sent again, against the sender's own count (TcpRetransSegs) and against tshark.

A sender, a router that drops at random (nft), a receiver, each in a network namespace; captured at both ends by tcpdump, headers only. The kernel counts per
namespace. At the sender the sum of `sent_again` must be within 2% (and 3 segments) of the kernel's, at the receiver no more and half of it at least;
tshark's is printed beside it. And the
SYNs that a host without a listener answers, or nobody does, are told as such.
"""
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "lib"))
from netns import Way, inside, netns, retransmitted, sh  # noqa: E402

COLDCASE = os.environ.get("COLDCASE", "target/debug/coldcase")
SENDER, RECEIVER = "cc-send", "cc-recv"
WAY = Way(SENDER, RECEIVER, "cc-route", 77)
BYTES = 24 << 20


def receive(ready):
    with socket.create_server(("10.77.2.2", 8000)) as server:
        ready.set()
        peer, _ = server.accept()
        with peer:
            while peer.recv(1 << 16):
                pass


def send(control):
    with socket.socket() as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, control.encode())
        s.connect(("10.77.2.2", 8000))
        s.sendall(bytes(BYTES))


def refused_and_unanswered():
    with socket.socket() as s:
        try:
            s.connect(("10.77.2.2", 8001))
        except ConnectionRefusedError:
            pass
    with socket.socket() as s:
        # The second SYN goes out after one second (RFC 6298 §2).
        s.settimeout(2)
        try:
            s.connect(("10.77.2.2", 8002))
        except OSError:
            pass


def setup(loss, joined):
    """What is dropped on the way is seen at the sender and not at the receiver."""
    rules = f"""
table ip lossy {{
  chain forward {{
    type filter hook forward priority 0;
    tcp dport 8002 drop
    tcp dport 8000 numgen random mod 1000 < {loss} drop
  }}
}}
"""
    why = WAY.setup(rules)
    if not joined:
        sh(*netns(SENDER, "ip", "link", "set", "eth0", "gso_max_segs", "1"), check=False)
    return not why, why


def tcpdump(name, path):
    child = subprocess.Popen(netns(name, "tcpdump", "-Z", "root", "-B", "65536", "-i", "eth0", "-s", "100", "-w", path, "tcp"),
                             stderr=subprocess.PIPE, text=True)
    while "listening" not in child.stderr.readline():
        pass
    return child


def sent_again(path):
    flow = json.loads(sh(COLDCASE, "flow", path, "--json", "--quiet"))
    tcp = [c["tcp"] for c in flow["connections"] if c["tcp"]]
    truth = sum(t["sent_again_ab"]["segments"] + t["sent_again_ba"]["segments"] for t in tcp)
    return truth, sum(t["retransmissions"] for t in tcp), tcp


def tshark(path):
    if not shutil.which("tshark"):
        return None
    return len(sh("tshark", "-r", path, "-Y", "tcp.analysis.retransmission", "-T", "fields", "-e", "frame.number").splitlines())


def one(folder, control, loss, joined):
    """One transfer; how many checks failed."""
    ok, why = setup(loss, joined)
    if not ok:
        print(f"skipped: {control}: nft cannot drop here: {why}")
        return 0
    paths = {name: str(folder / f"{control}-{name}.pcap") for name in (SENDER, RECEIVER)}
    taps = [tcpdump(SENDER, paths[SENDER]), tcpdump(RECEIVER, paths[RECEIVER])]
    before = retransmitted(SENDER)
    ready = threading.Event()
    receiver, _ = inside(RECEIVER, receive, ready)
    if not ready.wait(10):
        raise SystemExit("FAILED: the receiver did not start")
    for function, args in ((send, (control,)), (refused_and_unanswered, ())):
        thread, _ = inside(SENDER, function, *args)
        thread.join()
    receiver.join()
    # tcpdump takes packets from the kernel in blocks, which end after a second at the latest.
    time.sleep(1.5)
    kernel = retransmitted(SENDER) - before
    for tap in taps:
        tap.terminate()
        tap.wait()
    failed = 0
    for name in (SENDER, RECEIVER):
        truth, marks, tcp = sent_again(paths[name])
        # What was dropped, sent again and dropped again is not seen at the receiver.
        least = kernel * (0.98 if name == SENDER else 0.5) - 3
        close = least <= truth <= kernel * 1.02 + 3
        failed += not close
        verdict = "ok" if close else "FAILED"
        print(f"{verdict} {control}{'' if joined else ', apart'}, {loss / 10}% lost, at {name}: kernel {kernel}, sent again {truth}, by Wireshark's rules {marks}, tshark {tshark(paths[name])}")
    refused = sum(t["resets_refused"] for t in sent_again(paths[SENDER])[2])
    unanswered = sum(t["unanswered_syns"] for t in sent_again(paths[SENDER])[2])
    told = refused == 1 and unanswered >= 2
    print(f"{'ok' if told else 'FAILED'} {control}: {refused} refused, {unanswered} SYNs without an answer")
    return failed + (not told)


def main():
    for tool in ("ip", "nft", "tcpdump"):
        if not shutil.which(tool):
            print(f"skipped: what was sent again: no {tool}")
            return
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        try:
            # Segments joined by offload, as a sender's tap sees them, and apart.
            for control, joined in (("cubic", True), ("cubic", False), ("bbr", True), ("bbr", False), ("reno", False)):
                if control not in pathlib.Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text():
                    print(f"skipped: {control}: not in this kernel")
                    continue
                failed += one(pathlib.Path(folder), control, 10, joined)
        finally:
            WAY.teardown()
    sys.exit(failed > 0)


main()
