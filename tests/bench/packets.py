"""How fast packets become connections: `coldcase flow` and `coldcase import` beside tshark, tcptrace, tcpdump and capinfos on one capture.

A capture is made of connections that come and go, 200 alive at a time, with requests, answers, acknowledgments, and a loss now and then.
Each tool reads it in turn, in every round, in another order; the fastest run of each counts (the file is in the page cache for all). Then
the same with 4 and 16 times the packets and no more connections alive: peak memory must not follow. A tool that is not installed is left out.

usage: packets.py [--packets N] [--rounds N] [--times 1,4,16] [--keep FILE]
"""
import argparse
import os
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time

ALIVE = 200
REQUEST, ANSWER = 180, 1448
# Segments of a connection: handshake, exchanges of a request and five segments, end.
EXCHANGES = 40


def segment(client, server, sport, dport, seq, ack, flags, length):
    tcp = struct.pack(">HHIIBBHHH", sport, dport, seq & 0xffffffff, ack & 0xffffffff, 0x50, flags, 502, 0, 0)
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 40 + length, 0, 0x4000, 64, 6, 0, client, server)
    frame = b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\0" + ip + tcp
    return frame, len(frame) + length


def connection(number, dice):
    """The segments of one connection, cut behind their headers."""
    client, server = struct.pack(">I", 0x0a000000 + number % 60000), b"\x0a\x63\0\x01"
    sport, dport = 20000 + number // 60000 + number % 40000, 80
    a, b = dice.getrandbits(32), dice.getrandbits(32)
    c = lambda seq, ack, flags, n=0: segment(client, server, sport, dport, seq, ack, flags, n)
    s = lambda seq, ack, flags, n=0: segment(server, client, dport, sport, seq, ack, flags, n)
    yield c(a, 0, 2)
    yield s(b, a + 1, 0x12)
    a, b = a + 1, b + 1
    yield c(a, b, 0x10)
    for _ in range(EXCHANGES):
        yield c(a, b, 0x18, REQUEST)
        a += REQUEST
        lost = dice.random() < 0.02
        first = b
        for i in range(5):
            if not (lost and i == 1):
                yield s(b, a, 0x10, ANSWER)
            b += ANSWER
            if i % 2 and not lost:
                yield c(a, b, 0x10)
        if lost:
            for _ in range(3):
                yield c(a, first + ANSWER, 0x10)
            yield s(first + ANSWER, a, 0x10, ANSWER)
        yield c(a, b, 0x10)
    yield c(a, b, 0x11)
    yield s(b, a + 1, 0x11)
    yield c(a + 1, b + 1, 0x10)


def capture(path, packets):
    """Writes a capture of at least so many packets; gives how many."""
    dice = random.Random(7)
    written, number, nanos = 0, 0, 1_700_000_000_000_000_000
    alive = []
    with open(path, "wb", buffering=1 << 20) as out:
        out.write(struct.pack("<IHHiIII", 0xa1b23c4d, 2, 4, 0, 0, 262144, 1))
        while written < packets or alive:
            while len(alive) < ALIVE and written < packets:
                alive.append(connection(number, dice))
                number += 1
            place = dice.randrange(len(alive))
            for _ in range(4):
                frame, wire = next(alive[place], (None, 0))
                if frame is None:
                    alive[place] = alive[-1]
                    alive.pop()
                    break
                nanos += 3000
                out.write(struct.pack("<IIII", nanos // 10**9, nanos % 10**9, len(frame), wire) + frame)
                written += 1
    return written, number


def run(argv, env):
    """Wall seconds and peak memory in MiB; None where it fails."""
    begin = time.perf_counter()
    child = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **env})
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - begin
    return (wall, usage.ru_maxrss / 1024) if child.returncode == 0 else None


def tools(coldcase, path, case):
    one, all_cores = {"RAYON_NUM_THREADS": "1"}, {}
    flow, imported = [coldcase, "flow", path, "--json", "--quiet"], [coldcase, "import", path, "-o", case, "--force", "--quiet"]
    out = {
        "coldcase flow, 1 core": (flow, one),
        "coldcase flow": (flow, all_cores),
        "coldcase import": (imported, all_cores),
        "coldcase flow of the import": ([coldcase, "flow", case, "--json", "--quiet"], all_cores),
        "tshark -q -z conv,tcp": (["tshark", "-r", path, "-q", "-z", "conv,tcp"], {}),
        "tcptrace": (["tcptrace", "-n", path], {}),
        "tcpdump to nothing": (["tcpdump", "-r", path, "-w", "/dev/null"], {}),
        "capinfos": (["capinfos", "-TmQ", path], {}),
    }
    return {name: how for name, how in out.items() if name.startswith("coldcase") or shutil.which(how[0][0])}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packets", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--times", default="1,4,16")
    parser.add_argument("--keep", help="write the capture here and keep it")
    args = parser.parse_args()
    coldcase = os.environ.get("COLDCASE", "target/debug/coldcase")
    times = [int(t) for t in args.times.split(",")]
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as folder:
        path = args.keep or str(pathlib.Path(folder) / "x1.pcap")
        case = str(pathlib.Path(folder) / "x.case")
        packets, connections = capture(path, args.packets)
        print(f"{packets} packets, {connections} connections, {ALIVE} alive, {os.path.getsize(path) / 2**20:.0f} MiB, {os.cpu_count()} CPUs")
        how = tools(coldcase, path, case)
        best = {}
        for turn in range(args.rounds):
            # The import comes before what reads it; the others change places.
            names = list(how)
            random.Random(turn).shuffle(names)
            names.sort(key=lambda n: n == "coldcase flow of the import")
            for name in names:
                if name.startswith("tshark") and turn > 0:
                    continue  # minutes each
                got = run(*how[name])
                if got is None:
                    print(f"{name}: failed", file=sys.stderr)
                    sys.exit(1)
                best[name] = min(best.get(name, got), got)
        base = best["coldcase flow"][0]
        print(f"{'':30} {'s':>8} {'M packets/s':>12} {'MiB':>8} {'× of flow':>10}")
        for name in how:
            wall, memory = best[name]
            print(f"{name:30} {wall:8.2f} {packets / wall / 1e6:12.2f} {memory:8.0f} {wall / base:10.2f}")
        print("\npeak memory of coldcase flow as the capture grows, connections alive the same")
        for factor in times:
            grown = str(pathlib.Path(folder) / f"x{factor}.pcap")
            packets, connections = (packets, connections) if factor == 1 else capture(grown, args.packets * factor)
            got = run([coldcase, "flow", path if factor == 1 else grown, "--json", "--quiet"], {})
            print(f"{factor:3}×: {packets} packets, {connections} connections, {got[0]:.2f} s, {got[1]:.0f} MiB")
            if factor != 1:
                os.unlink(grown)


main()
