"""Truth against other people's tools, in the same run: each figure of a bundle beside an independent count.

Runs as root. Checks that need a tool that is not installed are skipped with the reason.
"""
import collections
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from case import COLDCASE, Verdicts, boottime, rows, run  # noqa: E402
import waits  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
NETNS = "coldcase-truth"


@contextlib.contextmanager
def recording(case, *args, prefix=()):
    """A recording around the body, live before the body begins."""
    err = open(f"{case}.err", "w+")
    p = subprocess.Popen([*prefix, COLDCASE, "record", "-o", case, "--force", "--without", "otlp", *map(str, args)], stdout=subprocess.DEVNULL, stderr=err)
    for _ in range(300):
        err.seek(0)
        if p.poll() is not None or "Ctrl-C ends it" in err.read():
            break
        time.sleep(0.1)
    time.sleep(0.5)
    try:
        if p.poll() is not None:
            err.seek(0)
            sys.exit(f"record ended early: {err.read()[-800:]}")
        yield p
    finally:
        p.send_signal(signal.SIGINT)
        if p.wait(60) not in (0, 3):
            err.seek(0)
            print(f"record exit {p.returncode}: {err.read()[-800:]}")


def peer(argv, out):
    return subprocess.Popen(argv, stdout=open(out, "w"), stderr=subprocess.STDOUT)


def stop(p, sig=signal.SIGINT):
    if p:
        p.send_signal(sig)
        with contextlib.suppress(subprocess.TimeoutExpired):
            p.wait(30)


def moved(pid):
    """Bytes that a process had devices read for it, and bytes that it dirtied, so that it or a worker of the kernel wrote them."""
    io = dict(line.split(": ") for line in pathlib.Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(io["read_bytes"]) + int(io["write_bytes"])


def near(a, b, share):
    return abs(a - b) <= share * max(abs(a), abs(b), 1e-9)


def schedstat(pid, tid):
    run_ns, wait_ns, _ = map(int, pathlib.Path(f"/proc/{pid}/task/{tid}/schedstat").read_text().split())
    return run_ns, wait_ns


def steal_ns():
    """Steal of all CPUs together since the boot; counted in ticks, so up to one more a CPU."""
    ticks = int(pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[8])
    return ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def diskstats():
    out = {}
    for line in pathlib.Path("/proc/diskstats").read_text().splitlines():
        f = line.split()
        out[f"{f[0]}:{f[1]}"] = (int(f[3]) + int(f[7]), (int(f[5]) + int(f[9])) * 512)
    return out


def histogram_count(text):
    return sum(int(m) for m in re.findall(r"^\s*\d+ -> \d+\s*: (\d+)", text, re.M))


def cpu_and_scheduler(folder, v):
    load = folder / "load"
    subprocess.run(["cc", "-O2", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", "-pthread", "-o", load, HERE / "load.c"], check=True)
    case = folder / "cpu.case"
    # room for a recorder that gets no CPU for a while: what is lost cannot be compared
    with recording(case, "--sample-hz", "499", "--ring-bytes", "32MiB"):
        p = subprocess.Popen([load, "9"], stdout=subprocess.PIPE, text=True)
        tids = dict(reversed(p.stdout.readline().split()) for _ in range(4))
        tids = {name: int(tid) for name, tid in tids.items()}
        time.sleep(0.5)
        perf = shutil.which("perf") and peer(["perf", "record", "-q", "-F", "499", "-g", "-p", str(p.pid), "-o", folder / "perf.data"], folder / "perf.err")
        offcpu = shutil.which("offcputime") and peer(["offcputime", "-p", str(p.pid), "--stack-storage-size", "16384", "6"], folder / "offcputime")
        runq = shutil.which("runqlat") and peer(["runqlat", "-p", str(p.pid), "6", "1"], folder / "runqlat")
        time.sleep(1)
        before, steal = (boottime(), {n: schedstat(p.pid, t) for n, t in tids.items()}), steal_ns()
        time.sleep(5)
        after, stolen = (boottime(), {n: schedstat(p.pid, t) for n, t in tids.items()}), steal_ns() - steal
        for q in (offcpu, runq):
            if q:
                q.wait(20)
        p.wait()
        stop(perf)
    lost = sum(r["count"] for r in rows(case, "recorder.loss") if r["source"] == "kernel.sched")
    v.check("no scheduler event is lost while it is compared", lost == 0, lost)
    off = [r for r in rows(case, "kernel.offcpu") if r["pid"] == p.pid]
    wall = after[0] - before[0]
    for name, tid in tids.items():
        on = after[1][name][0] - before[1][name][0]
        mine = [r for r in off if r["tid"] == tid]
        inside = sum(max(0, min(r["time"] + r["duration"], after[0]) - max(r["time"], before[0])) for r in mine)
        # the kernel leaves steal out of a thread's run time: it is neither on nor off, and no more than the machine's
        apart = wall - on - inside
        v.check(f"{name}: off-CPU within 1% of wall minus schedstat's run time, steal apart", -0.01 * wall <= apart <= stolen + 0.01 * wall,
                f"{inside / 1e6:.1f} ms against {(wall - on) / 1e6:.1f} ms of {wall / 1e6:.0f} ms, {stolen / 1e6:.0f} ms of steal on all CPUs")
        waited = after[1][name][1] - before[1][name][1]
        queue = sum(r["run_queue"] for r in mine if before[0] <= r["time"] + r["duration"] <= after[0])
        v.check(f"{name}: run-queue time within 1% of schedstat's", near(queue, waited, 0.01) or abs(queue - waited) < 0.01 * wall, f"{queue / 1e6:.1f} ms against {waited / 1e6:.1f} ms")
        # the kernel's own count in the rows, between the first and the last that tell it: the same time as ours
        told = sorted((r["time"], r["ran"], r["delayed"]) for r in mine if r["flags"] & 8192 and before[0] <= r["time"] <= after[0])
        if len(told) < 2:
            v.skip(f"{name}: the kernel's own CPU time", "it left the CPU for less than two rows that tell")
            continue
        between = [r for r in mine if told[0][0] <= r["time"] < told[-1][0]]
        span, away, queued = told[-1][0] - told[0][0], sum(r["duration"] for r in between), sum(r["run_queue"] for r in between)
        ran, delayed = sum(t[1] for t in told[1:]), sum(t[2] for t in told[1:])
        v.check(f"{name}: CPU time that rows tell and time off the CPU are all of the time within 1%, steal apart", -0.01 * span <= span - away - ran <= stolen + 0.01 * span,
                f"{ran / 1e6:.1f} + {away / 1e6:.1f} ms of {span / 1e6:.1f} ms")
        v.check(f"{name}: run-queue delay that rows tell within 1% of the time waited", near(delayed, queued, 0.01) or abs(delayed - queued) <= 0.01 * span, f"{delayed / 1e6:.1f} ms against {queued / 1e6:.1f} ms")
    if offcpu:
        text = (folder / "offcputime").read_text()
        theirs = collections.Counter()
        for comm, tid, us in re.findall(r"^\s+-\s+(\S+) \((\d+)\)\n\s+(\d+)$", text, re.M):
            theirs[int(tid)] += int(us)
        # the tool watched about 6 s of the 9; per second of its watch the shares must agree
        for name in ("truth-sleep", "truth-fight-a"):
            ours = sum(r["duration"] for r in off if r["tid"] == tids[name] and before[0] <= r["time"] <= after[0]) / wall
            v.check(f"{name}: off-CPU share as offcputime", near(ours, theirs[tids[name]] / 6e6, 0.08), f"{ours:.3f} against {theirs[tids[name]] / 6e6:.3f}")
    else:
        v.skip("off-CPU against offcputime", "libbpf-tools is not installed")
    if runq:
        theirs = histogram_count((folder / "runqlat").read_text()) / 6
        ours = sum(1 for r in off if before[0] <= r["time"] + r["duration"] <= after[0]) / (wall / 1e9)
        v.check("waits for a CPU per second as runqlat", near(ours, theirs, 0.1), f"{ours:.1f} against {theirs:.1f}")
    else:
        v.skip("run queue against runqlat", "libbpf-tools is not installed")
    if perf:
        script = subprocess.run(["perf", "script", "-i", folder / "perf.data", "-F", "ip,sym", "-G"], capture_output=True, text=True).stdout
        theirs = collections.Counter(m for m in re.findall(r"(work_[a-z]+)", script))
        ours = collections.Counter()
        folded = run("flame", case, "--folded", "on-cpu", "--pid", p.pid)
        for line in folded.splitlines():
            stack, _, weight = line.rpartition(" ")
            leaf = re.findall(r"work_[a-z]+", stack)
            if leaf:
                ours[leaf[-1]] += int(weight)
        total_o, total_t = sum(ours.values()) or 1, sum(theirs.values()) or 1
        for name in sorted(theirs, key=lambda n: -theirs[n])[:5]:
            a, b = 100 * ours[name] / total_o, 100 * theirs[name] / total_t
            v.check(f"share of {name} within 5 points of perf record", abs(a - b) <= 5, f"{a:.1f}% against {b:.1f}%")
    else:
        v.skip("CPU samples against perf record", "perf is not installed")


def block(folder, v):
    case, target = folder / "block.case", folder / "written"
    with recording(case) as p:
        own = moved(p.pid)
        issued = shutil.which("perf") and subprocess.Popen(["perf", "stat", "-x", ",", "-e", "block:block_rq_issue", "-p", str(p.pid), "-o", folder / "issued"])
        bio = shutil.which("biolatency") and peer(["biolatency", "-D", "8", "1"], folder / "biolatency")
        watched = boottime()
        time.sleep(1.5)
        before, t0 = diskstats(), boottime()
        subprocess.run(["dd", "if=/dev/zero", f"of={target}", "bs=64k", "count=400", "oflag=direct", "conv=fsync"], check=True, stderr=subprocess.DEVNULL)
        subprocess.run(["dd", f"if={target}", "of=/dev/null", "bs=32k", "iflag=direct"], check=True, stderr=subprocess.DEVNULL)
        subprocess.run(["dd", "if=/dev/zero", f"of={folder / 'dirty'}", "bs=1M", "count=16"], check=True, stderr=subprocess.DEVNULL)
        subprocess.run(["sync", "-f", folder / "dirty"], check=True)
        time.sleep(0.2)
        after, t1 = diskstats(), boottime()
        if bio:
            bio.wait(20)
        # what the recorder itself reads and writes is left out, and seen by the others
        own = moved(p.pid) - own
        stop(issued)
    requests = int(next(line for line in (folder / "issued").read_text().splitlines() if "block_rq_issue" in line).split(",")[0]) if issued else 0
    got = [r for r in rows(case, "kernel.block")]
    devs = collections.Counter(r["dev"] for r in got)
    if not devs:
        v.check("block I/O was recorded", False, "no row")
        return
    dev = devs.most_common(1)[0][0]
    key = f"{dev >> 20}:{dev & 0xFFFFF}"
    mine = [r for r in got if r["dev"] == dev and t0 <= r["time"] + r["duration"] <= t1 and r["op"] & 0xFF in (0, 1)]
    ios, size = after[key][0] - before[key][0], after[key][1] - before[key][1]
    # an fsync that has nothing to write counts there as a write of no bytes; here it is a flush
    flushes = sum(1 for r in got if r["dev"] == dev and t0 <= r["time"] + r["duration"] <= t1 and r["op"] & 0xFF == 2)
    v.check(f"block I/O count of {key} as /proc/diskstats", -1 - 0.002 * ios <= ios - len(mine) <= flushes + 1 + 0.002 * ios + requests,
            f"{len(mine)} and {flushes} flushes against {ios}, {requests} of the recorder's own")
    told = sum(r["bytes"] for r in mine)
    v.check(f"block I/O bytes of {key} as /proc/diskstats", -0.01 * size <= size - told <= 0.01 * size + own, f"{told} against {size}, {own} bytes of the recorder's own")
    back = sum(r["bytes"] for r in mine if r["origin"] == 3)
    v.check("what was only dirtied is writeback", back >= 16 << 20, f"{back} bytes of {16 << 20} and more")
    name = pathlib.Path(f"/sys/dev/block/{key}").resolve().name
    v.check("the device has the host's name", any(r["dev"] == dev and r["name"] == name for r in rows(case, "host.device")), name)
    if bio:
        theirs = histogram_count((folder / "biolatency").read_text())
        # it attaches within about half a second of its start, on a loaded machine within three, and its window is 8 s
        whole = [r["time"] + r["duration"] for r in got if r["op"] & 0xFF in (0, 1, 2, 3)]
        best = min((abs(sum(watched + s <= t <= watched + s + 8_000_000_000 for t in whole) - theirs) for s in range(0, 3_000_000_000, 50_000_000)))
        v.check("block I/O completions as biolatency", best <= max(2, 0.05 * theirs) + requests, f"off by {best} of {theirs}, {requests} of the recorder's own")
    else:
        v.skip("block I/O against biolatency", "libbpf-tools is not installed")


def locks(folder, v):
    waits.locks(folder, v, recording)


def stopped(folder, v):
    waits.stopped(folder, v, recording)


def losses(folder, v):
    waits.losses(folder, v, recording)


@contextlib.contextmanager
def cgroup(controller, **limits):
    """A cgroup of the v1 hierarchy with these limits, or None where there is none; gone afterwards."""
    top = pathlib.Path("/sys/fs/cgroup") / controller
    if not (top / "tasks").exists():
        yield None
        return
    group = top / f"coldcase-truth-{os.getpid()}"
    group.mkdir()
    try:
        for name, value in limits.items():
            (group / name.replace("__", ".")).write_text(value)
        yield group
    finally:
        for _ in range(50):
            with contextlib.suppress(OSError):
                group.rmdir()
                break
            time.sleep(0.05)


def inside(group, *argv):
    return subprocess.Popen(["sh", "-c", 'echo $$ > "$0"/tasks && exec "$@"', str(group), *map(str, argv)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def throttle(folder, v):
    device = os.stat(folder).st_dev
    with cgroup("blkio", blkio__throttle__write_bps_device=f"{os.major(device)}:{os.minor(device)} 1048576") as group:
        if not group:
            v.skip("throttled writes", "no cgroup v1 hierarchy blkio")
            return
        case = folder / "throttle.case"
        with recording(case):
            began = boottime()
            p = inside(group, "dd", "if=/dev/zero", f"of={folder / 'held'}", "bs=256k", "count=16", "oflag=direct")
            p.wait(30)
            wall = boottime() - began
            owner = group.stat().st_ino
    held = [r for r in rows(case, "kernel.block") if r["owner_cgroup"] == owner and r["op"] & 0xFF == 1]
    told = [r for r in held if r["origin"] == 7]
    v.check("throttled writes are told as such", len(told) >= 14, f"{len(told)} of {len(held)}")
    disk, off = sum(r["duration"] for r in held), sum(r["duration"] for r in rows(case, "kernel.offcpu", "--pid", p.pid) if r["pid"] == p.pid)
    v.check("the wait is off the CPU, and not the device's", off > 0.7 * wall and disk < 0.3 * wall, f"wall {wall / 1e6:.0f} ms, off-CPU {off / 1e6:.0f} ms, device {disk / 1e6:.0f} ms")
    text = run("analyze", case, "-o", folder / "throttle.report", ok=(0, 3))
    v.check("the report calls it throttling, inferred", "blkio throttling held back" in text and "(inferred), not the device" in text)


SYNCER = """
import os, sys, time
for name, n in (("one.log", 6), ("two words.log", 3)):
    f = os.open(os.path.join(sys.argv[1], name), os.O_CREAT | os.O_WRONLY)
    for _ in range(n):
        os.write(f, b"x" * 300000)
        os.fsync(f)
"""


def files(folder, v):
    if subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True, text=True).stdout.strip() != "ext2/ext3":
        v.skip("fsync by path", f"{folder} is not on ext4")
        return
    case, config = folder / "files.case", folder / "files.toml"
    config.write_text("[kernel]\nfile-threshold = '0s'\n")
    with recording(case, "--config", config):
        p = subprocess.Popen([sys.executable, "-c", SYNCER, folder])
        p.wait(60)
    count = collections.Counter((r["path"], r["what"]) for r in rows(case, "kernel.file") if r["pid"] == p.pid)
    want = {(f"{folder}/one.log", 1): 6, (f"{folder}/two words.log", 1): 3}
    v.check("each fsync with its path", count == want, dict(count))
    text = run("latency", case, "--top", "200")
    v.check("latency shows them by path", f"fsync {folder}/two words.log" in text)


def memory(folder, v):
    with cgroup("memory", memory__limit_in_bytes=str(24 << 20)) as group:
        if not group:
            v.skip("OOM kill", "no cgroup v1 hierarchy memory")
            return
        case = folder / "memory.case"
        vmstat = lambda: int(re.search(r"^oom_kill (\d+)", pathlib.Path("/proc/vmstat").read_text(), re.M)[1])
        with recording(case):
            before = vmstat()
            p = inside(group, "dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1")
            code = p.wait(60)
            after = vmstat()
    kills = [r["pid"] for r in rows(case, "kernel.oom_kill")]
    v.check("the OOM victim is the process that the kernel killed", code == -signal.SIGKILL and p.pid in kills, f"{kills}, {p.pid} ended with {code}")
    v.check("OOM kills as /proc/vmstat", len(kills) >= after - before > 0, f"{len(kills)} against {after - before}")
    text = run("analyze", case, "-o", folder / "memory.report", ok=(0, 3))
    v.check("the report names the victim first", f"dd[{p.pid}]" in text and "for want of memory" in text)


def signals(folder, v):
    case = folder / "signals.case"
    with recording(case):
        p = subprocess.Popen(["sleep", "60"])
        for _ in range(9):
            p.send_signal(signal.SIGSTOP)
            time.sleep(0.02)
            p.send_signal(signal.SIGCONT)
            time.sleep(0.02)
        p.kill()
        p.wait()
        failed = subprocess.Popen(["sh", "-c", "exit 3"])
        failed.wait()
    got = collections.Counter(r["signal"] for r in rows(case, "kernel.signal") if r["pid"] == p.pid and r["sender_pid"] == os.getpid() and r["what"] == 1)
    v.check("signals sent, by number", got == {signal.SIGSTOP: 9, signal.SIGCONT: 9, signal.SIGKILL: 1}, dict(got))
    lines = run("timeline", case, "--stream", "kernel.task", "--quiet")
    v.check("an exit code and a deadly signal are told", f"sh[{failed.pid}] exited 3" in lines and f"sleep[{p.pid}] killed by SIGKILL" in lines)


def in_netns(*argv):
    return ["ip", "netns", "exec", NETNS, *argv]


def network(folder, v):
    if not shutil.which("nft") or not shutil.which("ip"):
        v.skip("packets and retransmits", "nftables or iproute2 is not installed")
        return
    subprocess.run(["ip", "netns", "del", NETNS], stderr=subprocess.DEVNULL)
    subprocess.run(["ip", "netns", "add", NETNS], check=True)
    try:
        subprocess.run(in_netns("ip", "link", "set", "lo", "up"), check=True)
        rule = "add table ip t; add chain ip t c { type filter hook input priority 0; }; add rule ip t c tcp dport 9999 numgen random mod 100 < 3 drop; add rule ip t c tcp sport 9999 numgen random mod 100 < 3 drop"
        subprocess.run(in_netns("nft", rule), check=True)
        traffic = HERE / "traffic.py"
        case, pcap = folder / "net.case", folder / "net.pcap"
        snmp = lambda: int(re.findall(r"^Tcp: (?:\S+ ){11}(\d+)", subprocess.run(in_netns("cat", "/proc/net/snmp"), capture_output=True, text=True).stdout, re.M)[-1])
        inode = int(subprocess.run(in_netns("stat", "-Lc", "%i", "/proc/self/ns/net"), capture_output=True, text=True).stdout)
        with recording(case, "--interface", "lo", prefix=in_netns()):
            tcpdump = shutil.which("tcpdump") and peer(in_netns("tcpdump", "-Z", "root", "-i", "lo", "-Q", "in", "-s", "128", "-w", str(pcap), "-B", "16384"), folder / "tcpdump.err")
            time.sleep(1.5)
            before = snmp()
            subprocess.run(in_netns(sys.executable, str(traffic)), check=True)
            time.sleep(3)
            after = snmp()
            stop(tcpdump)
            time.sleep(1)
        segments = sum(r["segments"] for r in rows(case, "kernel.tcp_retransmit") if r["netns"] == inode and r["error"] == 0)
        synacks = sum(1 for r in rows(case, "kernel.tcp_retransmit") if r["netns"] == inode and r["synack"])
        # Some machines run no tracepoint now and then (untraced.py): one in twenty may be missing, none may be too many.
        missing = after - before - segments
        v.check("retransmitted segments equal the change of TcpRetransSegs", after - before > 0 and 0 <= missing <= max(1, (after - before) // 20),
                f"{segments} (of them {synacks} SYN-ACK) against {after - before}")
        if tcpdump:
            said = (folder / "tcpdump.err").read_text()
            dropped = int(re.findall(r"(\d+) packets? dropped by kernel", said)[-1])
            theirs = int(subprocess.run(["capinfos", "-c", "-M", "-T", "-r", pcap], capture_output=True, text=True).stdout.split()[-1]) if shutil.which("capinfos") else int(re.findall(r"(\d+) packets? captured", said)[-1])
            first = subprocess.run(["tcpdump", "-r", pcap, "-c", "1", "-tt", "-n"], capture_output=True, text=True).stdout.split()
            ours = sum(1 for r in rows(case, "packets") if first and r["utc"] / 1e9 >= float(first[0]) - 1e-6)
            v.check("packets as tcpdump beside it, nothing dropped", dropped == 0 and ours == theirs, f"{ours} against {theirs}, {dropped} dropped")
        else:
            v.skip("packets against tcpdump", "tcpdump is not installed")
    finally:
        subprocess.run(["ip", "netns", "del", NETNS])


def throttling(folder, v):
    """Inferred throttling against cpu.stat, which is no input of the inference."""
    root = pathlib.Path("/sys/fs/cgroup/cpu")
    if not (root / "cpu.cfs_quota_us").exists() and not (root / "cpu.shares").exists():
        v.skip("throttling against cpu.stat", "no v1 CPU controller is mounted at /sys/fs/cgroup/cpu")
        return
    # name: quota and period in microseconds, the CPUs of its busy threads
    plan = {"one": (20_000, 100_000, [0]), "each": (60_000, 100_000, [0, 1]), "same": (30_000, 100_000, [1, 1]), "short": (4_000, 20_000, [0])}
    if len(os.sched_getaffinity(0)) < 2:
        del plan["each"], plan["same"]
    case, counted = folder / "throttling.case", {}
    made = [root / f"coldcase-truth-{name}" for name in plan]
    try:
        for path, (quota, period, _) in zip(made, plan.values()):
            path.mkdir()
            (path / "cpu.cfs_period_us").write_text(str(period))
            (path / "cpu.cfs_quota_us").write_text(str(quota))
            # so that other programs leave them the CPU: the quota is what limits them
            (path / "cpu.shares").write_text("262144")
        with recording(case, "--only", "kernel.sched,kernel.task,host"):
            for path, (name, (_, _, cpus)) in zip(made, plan.items()):
                stat = lambda: int(re.search(r"throttled_time (\d+)", (path / "cpu.stat").read_text())[1])
                before = stat()
                busy = [subprocess.Popen([sys.executable, "-c", f"import os, pathlib\npathlib.Path('{path}/cgroup.procs').write_text(str(os.getpid()))\nos.sched_setaffinity(0, [{cpu}])\nwhile True: pass"]) for cpu in cpus]
                time.sleep(5)
                for p in busy:
                    p.kill()
                    p.wait()
                time.sleep(0.3)
                counted[name] = stat() - before
            # the next reading of the host's metrics holds all of it
            time.sleep(1.2)
    finally:
        for path in made:
            with contextlib.suppress(OSError):
                path.rmdir()
    told = {g["path"]: g for g in json.loads(run("latency", case, "--json"))["cpu_cgroups"]}
    for name, truth in counted.items():
        g = told.get(f"/coldcase-truth-{name}", {})
        ours = g.get("throttled_cpu", 0)
        v.check(f"{name}: inferred throttling within 5% of cpu.stat's", truth > 0 and near(ours, truth, 0.05), f"{ours / 1e6:.1f} ms against {truth / 1e6:.1f} ms")
        # steal and time lost to other programs aside, what was not throttled or queued was run
        v.check(f"{name}: throttled time is a part of the run queue's", g.get("throttled", 1) <= g.get("run_queue", 0), f"{g.get('throttled', 0) / 1e6:.1f} of {g.get('run_queue', 0) / 1e6:.1f} ms")


def syscalls(folder, v):
    """System calls against a program of a known number of them, and against perf trace in the same run."""
    case, sleeps = folder / "syscalls.case", 150
    with recording(case, "--only", "kernel.syscall,kernel.task", "--syscalls", "--syscall-threshold", "4ms"):
        program = f"import os, time\nfor i in range({sleeps}): time.sleep(0.005)\nfor i in range(5000): os.getppid()"
        p = subprocess.Popen([sys.executable, "-c", f"import sys; sys.stdin.read()\n{program}"], stdin=subprocess.PIPE)
        trace = shutil.which("perf") and peer(["perf", "trace", "-s", "-p", str(p.pid)], folder / "perf-trace")
        time.sleep(1.5)
        p.stdin.close()
        p.wait()
        if trace:
            trace.wait(20)
        dd = subprocess.Popen(["dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=100000"], stderr=subprocess.DEVNULL)
        dd.wait()
    got = collections.defaultdict(lambda: [0, 0])
    for r in rows(case, "kernel.syscall_histogram"):
        got[r["pid"], r["syscall"]][0] += r["count"]
        got[r["pid"], r["syscall"]][1] += r["total"]
    v.check("calls of getppid are as many as the program made", got[p.pid, 110][0] == 5000, f"{got[p.pid, 110][0]} of 5000")
    extra = got[dd.pid, 1][0] - 100_000
    v.check("calls of write are as many as dd made", 0 <= extra <= 10, f"{got[dd.pid, 1][0]} of 100000 and its last words")
    slow = [r for r in rows(case, "kernel.syscall") if r["pid"] == p.pid and r["syscall"] == 230]
    v.check("each slow call is a row", len(slow) == sleeps and all(r["duration"] >= 4_000_000 for r in slow), f"{len(slow)} of {sleeps}")
    if trace:
        seen = re.search(r"clock_nanosleep\s+(\d+)\s+\d+\s+([\d.]+)\s+([\d.]+)\s+([\d.]+)", (folder / "perf-trace").read_text())
        calls, theirs = (int(seen[1]), float(seen[2])) if seen else (0, 0.0)
        count, total = got[p.pid, 230]
        v.check("calls and time of clock_nanosleep as perf trace", count == calls and near(total / 1e6, theirs, 0.02), f"{count} in {total / 1e6:.1f} ms against {calls} in {theirs:.1f} ms")
    else:
        v.skip("system calls against perf trace", "perf is not installed")


def interrupts(folder, v):
    """Interrupts against /proc/softirqs, /proc/interrupts and softirqs of libbpf-tools in the same run."""
    case = folder / "irq.case"
    counted = lambda: {line.split(":")[0].strip().lower(): sum(map(int, line.split(":")[1].split())) for line in pathlib.Path("/proc/softirqs").read_text().splitlines()[1:]}
    hard = lambda: {m[1]: sum(map(int, m[2].split())) for m in re.finditer(r"^\s*(\d+):((?:\s+\d+)+)\s", pathlib.Path("/proc/interrupts").read_text(), re.M)}
    with recording(case, "--only", "kernel.irq", "--irq"):
        time.sleep(1)
        before, hard_before, t0 = counted(), hard(), boottime()
        tool = shutil.which("softirqs") and peer(["softirqs", "-N", "5", "1"], folder / "softirqs")
        time.sleep(1)
        subprocess.run(["ping", "-q", "-f", "-c", "20000", "127.0.0.1"], stdout=subprocess.DEVNULL, timeout=30)
        time.sleep(1)
        if tool:
            tool.wait(20)
        after, hard_after, t1 = counted(), hard(), boottime()
        time.sleep(1)
    # a sum reaches back to the flush before it, about 0.6 s: what was counted lies between two bounds
    soft = collections.Counter()
    edges = collections.Counter()
    devices, device_edges, spent = 0, 0, 0
    for r in rows(case, "kernel.irq"):
        inside, at_edge = t0 <= r["time"] <= t1, t0 - 10**9 <= r["time"] <= t1 + 10**9
        if r["what"] == 2:
            soft[r["name"]] += r["count"] * inside
            spent += r["total"] * (inside and r["name"] == "net_rx")
            edges[r["name"]] += r["count"] * (at_edge and not inside)
        else:
            devices += r["count"] * inside
            device_edges += r["count"] * (at_edge and not inside)
    truth = after["net_rx"] - before["net_rx"]
    v.check("soft interrupts net_rx as /proc/softirqs", truth > 1000 and abs(soft["net_rx"] - truth) <= 0.02 * truth + edges["net_rx"], f"{soft['net_rx']} (and {edges['net_rx']} about the edges) against {truth}")
    truth = sum(n - hard_before.get(k, 0) for k, n in hard_after.items())
    v.check("interrupts of devices as /proc/interrupts", abs(devices - truth) <= 0.02 * truth + device_edges + 5, f"{devices} (and {device_edges} about the edges) against {truth}")
    if tool:
        seen = re.search(r"net_rx\s+(\d+)", (folder / "softirqs").read_text())
        theirs = int(seen[1]) if seen else 0
        v.check("time in net_rx as softirqs of libbpf-tools", near(spent, theirs, 0.15), f"{spent / 1e6:.1f} ms against {theirs / 1e6:.1f} ms")
    else:
        v.skip("soft interrupts against softirqs", "libbpf-tools is not installed")


def main():
    v = Verdicts()
    if os.geteuid() != 0:
        v.skip("truth", "needs root for the kernel and packet sources")
        v.end()
    wanted = sys.argv[1:] or ["cpu_and_scheduler", "locks", "stopped", "losses", "throttling", "syscalls", "interrupts", "block", "throttle", "files", "memory", "signals", "network"]
    with tempfile.TemporaryDirectory(dir=os.environ.get("WORK", "/var/tmp")) as d:
        for name in wanted:
            globals()[name](pathlib.Path(d), v)
    v.end()


if __name__ == "__main__":
    main()
