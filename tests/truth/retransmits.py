"""What `coldcase flow` says was sent again, against the sender's own count (TcpRetransSegs) and against tshark.

A sender, a router that drops at random (nft), a receiver, each in a network namespace; captured at both ends by tcpdump, headers only. The kernel counts per
namespace. At the sender the sum of `sent_again` must be within 2% (and 3 segments) of the kernel's, at the receiver no more and half of it at least;
tshark's is printed beside it. And the
SYNs that a host without a listener answers, or nobody does, are told as such.
"""
import ctypes
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

COLDCASE = os.environ.get("COLDCASE", "target/debug/coldcase")
NAMESPACES = SENDER, RECEIVER, ROUTER = "cc-send", "cc-recv", "cc-route"
BYTES = 24 << 20


def sh(*argv, check=True):
    return subprocess.run(argv, check=check, capture_output=True, text=True).stdout


def netns(name, *argv):
    return ["ip", "netns", "exec", name, *argv]


def retransmitted(name):
    lines = sh(*netns(name, "cat", "/proc/net/snmp")).splitlines()
    names, values = [line.split() for line in lines if line.startswith("Tcp:")]
    return int(values[names.index("RetransSegs")])


def inside(name, function, *args):
    """Runs a function in a namespace: in a thread, which alone enters it."""
    out = {}

    def body():
        fd = os.open(f"/var/run/netns/{name}", os.O_RDONLY)
        if ctypes.CDLL(None, use_errno=True).setns(fd, 0x40000000):
            raise OSError(ctypes.get_errno(), f"cannot enter {name}")
        os.close(fd)
        out["is"] = function(*args)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    return thread, out


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
    """The sender, a router that drops, the receiver: what is dropped is seen at the sender and not at the receiver."""
    for name in NAMESPACES:
        sh("ip", "netns", "del", name, check=False)
        sh("ip", "netns", "add", name)
        sh(*netns(name, "ip", "link", "set", "lo", "up"))
    for name, link, ip, port, gateway in ((SENDER, "cc0", "10.77.1.1/24", "r0", "10.77.1.9"), (RECEIVER, "cc1", "10.77.2.2/24", "r1", "10.77.2.9")):
        sh("ip", "link", "add", link, "netns", name, "type", "veth", "peer", "name", port, "netns", ROUTER)
        sh(*netns(name, "ip", "addr", "add", ip, "dev", link))
        sh(*netns(ROUTER, "ip", "addr", "add", gateway + "/24", "dev", port))
        sh(*netns(name, "ip", "link", "set", link, "up"))
        sh(*netns(ROUTER, "ip", "link", "set", port, "up"))
        sh(*netns(name, "ip", "route", "add", "default", "via", gateway))
    sh(*netns(ROUTER, "sysctl", "-qw", "net.ipv4.ip_forward=1"))
    if not joined:
        sh(*netns(SENDER, "ip", "link", "set", "cc0", "gso_max_segs", "1"), check=False)
    rules = f"""
table ip lossy {{
  chain forward {{
    type filter hook forward priority 0;
    tcp dport 8002 drop
    tcp dport 8000 numgen random mod 1000 < {loss} drop
  }}
}}
"""
    done = subprocess.run(netns(ROUTER, "nft", "-f", "-"), input=rules, text=True, capture_output=True)
    return done.returncode == 0, done.stderr.strip()


def tcpdump(name, link, path):
    child = subprocess.Popen(netns(name, "tcpdump", "-Z", "root", "-B", "65536", "-i", link, "-s", "100", "-w", path, "tcp"),
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
    taps = [tcpdump(SENDER, "cc0", paths[SENDER]), tcpdump(RECEIVER, "cc1", paths[RECEIVER])]
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
            for name in NAMESPACES:
                sh("ip", "netns", "del", name, check=False)
    sys.exit(failed > 0)


main()
