"""`coldcase replay --packets-to`: what was recorded on one veth pair, sent over another, captured at its other end by tcpdump, and held against the
bundle's own pcapng frame by frame by tshark: bytes, order, times; other addresses with right checksums; cut frames; refusals.

usage: packets.py
"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from case import COLDCASE, ROOT, Verdicts  # noqa: E402
from netns import delete, netns, sh  # noqa: E402
from serving import Sleeper  # noqa: E402
from otlp import recorder_binary  # noqa: E402

LEFT, RIGHT = "cc-replay-l", "cc-replay-r"
A, B = "10.99.0.1", "10.99.0.2"
FRAME = ("frame.len", "eth.src", "eth.dst", "ip.src", "ip.dst", "ip.id", "ip.checksum", "tcp.seq_raw", "tcp.ack_raw", "tcp.flags", "tcp.checksum", "tcp.payload",
         "udp.length", "udp.checksum", "udp.payload", "icmp.checksum", "arp.opcode")
v = Verdicts()


def setup():
    teardown()
    for name in (LEFT, RIGHT):
        sh("ip", "netns", "add", name)
        sh(*netns(name, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1"))
        sh(*netns(name, "ip", "link", "set", "lo", "up"))
    # The pair that is recorded, and the pair that is sent over: nothing else is on it.
    for near, far in (("old0", "old1"), ("new0", "new1")):
        sh("ip", "link", "add", near, "netns", LEFT, "type", "veth", "peer", "name", far, "netns", RIGHT)
        for name, link in ((LEFT, near), (RIGHT, far)):
            sh(*netns(name, "ip", "link", "set", link, "gso_max_segs", "1"), check=False)
            sh(*netns(name, "ip", "link", "set", link, "up"))
    sh(*netns(LEFT, "ip", "addr", "add", f"{A}/24", "dev", "old0"))
    sh(*netns(RIGHT, "ip", "addr", "add", f"{B}/24", "dev", "old1"))


def teardown():
    delete(LEFT, RIGHT)


def record(case, folder, *argv):
    """Downloads, pings and questions over the recorded pair."""
    (folder / "www").mkdir(exist_ok=True)
    (folder / "www/file").write_bytes(os.urandom(40_000))
    server = subprocess.Popen(netns(RIGHT, sys.executable, "-m", "http.server", "80", "--bind", B, "-d", str(folder / "www")), stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    recorder = subprocess.Popen(netns(LEFT, recorder_binary(), "record", "-o", str(case), "--only", "packets", "--interface", "old0", *argv),
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    for line in recorder.stderr:
        if "; Ctrl-C ends it" in line or line.startswith("recording "):
            break
    time.sleep(0.7)
    for _ in range(12):
        sh(*netns(LEFT, "curl", "-s", "-o", "/dev/null", f"http://{B}/file"))
        time.sleep(0.03)
    sh(*netns(LEFT, "ping", "-c", "3", "-i", "0.1", B))
    sh(*netns(LEFT, sys.executable, "-c", f"import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); [s.sendto(b'q' * n, ('{B}', 53)) for n in range(1, 9)]"))
    time.sleep(0.5)
    recorder.send_signal(signal.SIGINT)
    recorder.communicate(timeout=60)
    server.terminate()
    server.wait()


def replay(case, *argv, prefix=()):
    return subprocess.run(netns(LEFT, *prefix, COLDCASE, "replay", str(case), *map(str, argv)), capture_output=True, text=True)


def received(file, case, *argv):
    """Replays with tcpdump at the other end; the report."""
    tap = subprocess.Popen(netns(RIGHT, "tcpdump", "-Z", "root", "-B", "65536", "-Q", "in", "-i", "new1", "-s", "0", "--time-stamp-precision=nano", "-U", "-w", str(file)),
                           stderr=subprocess.PIPE, text=True)
    while "listening" not in tap.stderr.readline():
        pass
    done = replay(case, "--packets-to", "new0", "--json", *argv)
    time.sleep(1.3)
    tap.send_signal(signal.SIGINT)
    tap.communicate()
    if not v.check(f"sent {' '.join(map(str, argv))}".strip(), done.returncode == 0, done.stderr.strip()[-300:]):
        v.end()
    import jsonschema
    report = json.loads(done.stdout)
    jsonschema.Draft202012Validator(json.loads((ROOT / "formats/replay-packets.schema.json").read_text())).validate(report)
    return report


def tshark(file, *fields, options=()):
    argv = ["tshark", "-r", str(file), *options, "-T", "fields", "-E", "separator=|"]
    for field in fields:
        argv += ["-e", field]
    return [line.split("|") for line in sh(*argv).splitlines()]


def p99(values):
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]


def as_captured(case, whole, folder):
    with Sleeper() as sleeper:
        report = received(folder / "same.pcap", case)
    theirs, ours = tshark(whole, *FRAME), tshark(folder / "same.pcap", *FRAME)
    differ = next(((n, a, b) for n, (a, b) in enumerate(zip(theirs, ours)) if a != b), "")
    v.check("tshark reads the same frames at the other end, in the same order", theirs == ours, f"{len(ours)} of {len(theirs)} {str(differ)[:300]}")
    v.check("as many as the report says", report["sent"] == report["packets"] == len(ours) and not report["skipped"] and report["kind"] == "veth", report["sent"])
    then, now = [[float(t) for [t] in tshark(f, "frame.time_epoch")] for f in (whole, folder / "same.pcap")]
    off = [abs((n - now[0]) - (t - then[0])) * 1e3 for n, t in zip(now, then)]
    v.check("times as recorded: error p99 at most 5 ms, and what a plain sleep is late", p99(off) <= 5 + sleeper.p99(),
            f"p50 {sorted(off)[len(off) // 2]:.3f} ms, p99 {p99(off):.3f} ms, max {max(off):.3f} ms; a sleep {sleeper.p99():.3f} ms")
    print(f"  said: late p50 {report['late']['p50'] / 1e3:.0f} µs, p99 {report['late']['p99'] / 1e3:.0f} µs, max {report['late']['max'] / 1e3:.0f} µs of {report['sent']} packets")
    report = received(folder / "fast.pcap", case, "--speed", "max")
    v.check("at --speed max in their order too", tshark(folder / "fast.pcap", *FRAME) == theirs, f"took {report['took'] / 1e6:.1f} ms")


def rewritten(case, whole, folder):
    mac = tshark(whole, "eth.src", options=("-Y", f"ip.src=={A}"))[0][0]
    argv = ("--rewrite-ip", f"{A}=192.0.2.1", "--rewrite-ip", f"{B}=192.0.2.2", "--rewrite-mac", f"{mac}=02:00:00:00:00:99", "--speed", "max")
    report = received(folder / "other.pcap", case, *argv)
    rows = tshark(folder / "other.pcap", "ip.src", "ip.dst", "eth.src", "eth.dst", "arp.src.proto_ipv4", "arp.src.hw_mac")
    flat = {field for row in rows for field in row}
    v.check("no old address is left, in ARP neither", not flat & {A, B, mac} and "192.0.2.1" in flat and "02:00:00:00:00:99" in flat, f"{report['rewritten']} rewritten")
    # 1: good, by Wireshark's own computation.
    sums = tshark(folder / "other.pcap", "ip.checksum.status", "tcp.checksum.status", "udp.checksum.status",
                  options=("-Y", "!icmp", "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"))
    good = all(s in ("", "1") for row in sums for s in row)
    counts = [sum(row[n] == "1" for row in sums) for n in range(3)]
    v.check("tshark finds all checksums of IPv4, TCP and UDP right", good and min(counts) > 0, dict(zip(("ip", "tcp", "udp"), counts)))
    payloads = [tshark(f, "tcp.seq_raw", "tcp.payload", "udp.payload") for f in (whole, folder / "other.pcap")]
    v.check("what they carry is what it was", payloads[0] == payloads[1], len(payloads[1]))


def cut(headers, folder):
    report = received(folder / "cut.pcap", headers, "--speed", "max")
    skipped = {s["what"]: s["count"] for s in report["skipped"]}
    sent = tshark(folder / "cut.pcap", "frame.len")
    v.check("cut frames are skipped and counted", report["sent"] == len(sent) and sum(skipped.values()) == report["packets"] - report["sent"] > 0, skipped)
    report = received(folder / "padded.pcap", headers, "--speed", "max", "--pad")
    coldcase_pcapng(headers, folder / "headers.pcapng")
    lengths = [tshark(f, "frame.len") for f in (folder / "headers.pcapng", folder / "padded.pcap")]
    v.check("--pad sends all at their length", lengths[0] == lengths[1] and not report["skipped"], f"{report['padded']} padded")


def coldcase_pcapng(case, file):
    sh(COLDCASE, "export", "--pcapng", str(file), str(case), "--quiet")


def long_ones(folder):
    """Frames that the host made for its card to cut: longer than the interface takes."""
    case = folder / "long.case"
    sh(*netns(LEFT, "ip", "link", "set", "old0", "gso_max_segs", "64"), check=False)
    sh(*netns(RIGHT, "ip", "link", "set", "old1", "gso_max_segs", "64"), check=False)
    record(case, folder, "--payload", "65535")
    report = received(folder / "long.pcap", case, "--speed", "max")
    skipped = {s["what"]: s["count"] for s in report["skipped"]}
    v.check("frames beyond the MTU are counted, the others sent", any("MTU" in what for what in skipped) and report["sent"] + sum(skipped.values()) == report["packets"],
            f"{report['sent']} sent, {skipped}")


def refusals(case, folder):
    sh(*netns(LEFT, "ip", "link", "add", "card0", "type", "bridge"))
    sh(*netns(LEFT, "ip", "link", "set", "card0", "up"))
    done = replay(case, "--packets-to", "card0")
    v.check("an interface that is neither loopback nor veth is refused", done.returncode == 2 and "--yes-send" in done.stderr, done.stderr.strip())
    done = replay(case, "--packets-to", "card0", "--yes-send", "--speed", "max", "--json")
    counted = sh(*netns(LEFT, "cat", "/sys/class/net/card0/statistics/tx_packets")).strip()
    v.check("--yes-send sends", done.returncode == 0 and int(counted) >= json.loads(done.stdout)["sent"] > 0, f"{counted} sent by its own count")
    done = replay(case, "--packets-to", "none0")
    v.check("an interface that is not there", done.returncode == 2 and "no interface" in done.stderr, done.stderr.splitlines()[0])
    done = replay(case, "--packets-to", "lo", "--packets-of", "eth7")
    v.check("packets of an interface that was not recorded", done.returncode == 2 and "old0" in done.stderr, done.stderr.strip())
    for file in (folder, case):
        file.chmod(0o755)
    done = replay(case, "--packets-to", "lo", prefix=("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"))
    v.check("without CAP_NET_RAW it says so", done.returncode == 1 and "CAP_NET_RAW" in done.stderr, done.stderr.strip())


def main():
    missing = [tool for tool in ("ip", "tcpdump", "tshark", "curl", "ping", "setpriv") if not shutil.which(tool)]
    if os.geteuid() != 0 or missing:
        v.skip("packets sent again", f"no {missing[0]}" if missing else "network namespaces need root")
        v.end()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        try:
            setup()
            case, headers, whole = folder / "whole.case", folder / "headers.case", folder / "whole.pcapng"
            record(case, folder, "--payload", "65535")
            record(headers, folder)
            coldcase_pcapng(case, whole)
            as_captured(case, whole, folder)
            rewritten(case, whole, folder)
            cut(headers, folder)
            refusals(case, folder)
            long_ones(folder)
        finally:
            teardown()
    v.end()


main()
