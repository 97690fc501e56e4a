"""A host that forwards between two namespaces sees each packet on several interfaces: it is counted once.

Two namespaces, each with a veth pair into a bridge of the host. A transfer between them is recorded by coldcase on all interfaces, and captured by
`tcpdump -i any` and by dumpcap on both ports. Each must come to one connection with the payload that was sent, nothing sent again (which is what the
kernel's own count in the sender's namespace says), and in the captures of others as many copies as there are packets on further interfaces.
"""
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "lib"))
from netns import delete, inside, netns, retransmitted, sh  # noqa: E402

COLDCASE = os.environ.get("COLDCASE", "target/debug/coldcase")
RECORDER = os.environ.get("RECORDER", "target/recorder/coldcase")
NAMES = CLIENT, SERVER = "cc-left", "cc-right"
BRIDGE, PORTS = "cc-bridge", ("cc-port0", "cc-port1")
BYTES = 4 << 20


def setup():
    teardown()
    sh("ip", "link", "add", BRIDGE, "type", "bridge")
    sh("ip", "link", "set", BRIDGE, "up")
    for name, port, ip in zip(NAMES, PORTS, ("10.78.0.1/24", "10.78.0.2/24")):
        sh("ip", "netns", "add", name)
        sh("ip", "link", "add", "eth0", "netns", name, "type", "veth", "peer", "name", port)
        sh("ip", "link", "set", port, "master", BRIDGE, "up")
        sh(*netns(name, "ip", "addr", "add", ip, "dev", "eth0"))
        sh(*netns(name, "ip", "link", "set", "eth0", "up"))
        sh(*netns(name, "ip", "link", "set", "lo", "up"))


def teardown():
    delete(*NAMES)
    sh("ip", "link", "del", BRIDGE, check=False)


def serve():
    with socket.create_server(("10.78.0.2", 8000)) as server:
        server.settimeout(20)
        peer, _ = server.accept()
        with peer:
            while peer.recv(1 << 16):
                pass


def send():
    # Until the bridge has learned the way.
    for attempt in range(50):
        try:
            with socket.create_connection(("10.78.0.2", 8000), timeout=5) as s:
                s.sendall(bytes(BYTES))
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("FAILED: no connection")


def check(what, path, kernel, seen_twice=True):
    """How many checks failed for one capture; `kernel`: what it says it sent again, which is nothing unless the machine is busy."""
    flow = json.loads(sh(COLDCASE, "flow", path, "--json", "--quiet"))
    ours = [c for c in flow["connections"] if c["b"] == "10.78.0.2:8000"]
    failed = len(ours) != 1
    for c in ours:
        tcp, packets = c["tcp"], c["packets_ab"] + c["packets_ba"]
        again = tcp["sent_again_ab"]["segments"] + tcp["sent_again_ba"]["segments"]
        good = (again == 0 and tcp["payload_ab"] == BYTES if kernel == 0 else again <= kernel * 1.02 + 3) and (packets * 0.9 <= c["copies"] <= packets * 2.1 or not seen_twice and c["copies"] == 0)
        print(f"{'ok' if good else 'FAILED'} {what}: {packets} packets and {c['copies']} copies, {tcp['payload_ab']} bytes of payload, {again} sent again, {kernel} by the kernel")
        failed += not good
    if len(ours) != 1:
        print(f"FAILED {what}: {len(ours)} connections")
    return failed


def main():
    for tool in ("ip", "tcpdump"):
        if not shutil.which(tool):
            print(f"skipped: packets on several interfaces: no {tool}")
            return
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        try:
            setup()
            captures = {"tcpdump -i any": (folder / "any.pcap", ["tcpdump", "-Z", "root", "-B", "65536", "-i", "any", "-s", "128", "-w"])}
            if shutil.which("dumpcap"):
                captures["dumpcap on both ports"] = (folder / "ports.pcapng", ["dumpcap", "-q", "-s", "128", "-i", PORTS[0], "-i", PORTS[1], "-w"])
            case = folder / "b.case"
            taps = [subprocess.Popen([*argv, str(path)], stderr=subprocess.DEVNULL) for path, argv in captures.values()]
            taps.append(subprocess.Popen([RECORDER, "record", "-o", str(case), "--quiet", "--for", "60s"], stderr=subprocess.DEVNULL))
            time.sleep(2.5)
            before = retransmitted(CLIENT)
            server, _ = inside(SERVER, serve)
            client, _ = inside(CLIENT, send)
            client.join()
            server.join()
            time.sleep(1.5)
            kernel = retransmitted(CLIENT) - before
            for tap in taps:
                tap.send_signal(2)
                tap.wait()
            for what, (path, _) in captures.items():
                failed += check(what, str(path), kernel)
            # It leaves out what it sees on another interface as well.
            failed += check("coldcase record", str(case), kernel, seen_twice=False)
        finally:
            teardown()
    sys.exit(failed > 0)


main()
