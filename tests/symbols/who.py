"""Who was who: containers by cgroup path, PID namespaces both ways, arguments of programs that live for milliseconds, and two
programs that had one pid. Each against what the test itself made. usage: who.py  Runs as root.
"""
import os
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from case import COLDCASE, Verdicts, rows  # noqa: E402
from symbols import CC, HERE, flame_here, recording  # noqa: E402

CONTAINER = "7be92808767a667f35c8505cbf40d14e931ef6db5b0210329cf193b15ba9d605"
TASK = {"fork": 1, "exec": 2, "exit": 3, "rename": 4}


def cgroup_folder():
    """A cgroup named as docker names them, in the first hierarchy that lets us."""
    for mount in ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpuacct", "/sys/fs/cgroup/pids", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"]:
        folder = pathlib.Path(mount, "docker", CONTAINER)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if (folder / "cgroup.procs").exists():
                return folder
        except OSError:
            continue
    return None


def inside(folder, program):
    """Runs a program in a cgroup; it and its children are short."""
    def enter():
        (folder / "cgroup.procs").write_text(str(os.getpid()))
    return subprocess.run(["sh", "-c", f"{program} 300; true"], preexec_fn=enter, check=True)


def in_namespace():
    """A process in a PID namespace of its own: its pid here, its pid there, the namespace's inode."""
    p = subprocess.Popen(["unshare", "--pid", "--fork", "sh", "-c", "sleep 1.2 & sleep 1; true"])
    time.sleep(0.4)
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            status = dict(line.split(":\t", 1) for line in (entry / "status").read_text().splitlines() if ":\t" in line)
            ns = status["NSpid"].split()
            if status["Name"].strip() == "sleep" and len(ns) > 1 and (entry / "cmdline").read_bytes().startswith(b"sleep\x001"):
                found.append((int(entry.name), int(ns[-1]), int(os.readlink(entry / "ns/pid")[5:-1])))
        except (OSError, KeyError):
            continue
    p.wait()
    return found


def reused_pid(first, second):
    """Two programs, one after the other, with the same pid; None when others were always faster."""
    last = pathlib.Path("/proc/sys/kernel/ns_last_pid")
    a = subprocess.Popen([first, "500"])
    a.wait()
    for _ in range(400):
        try:
            last.write_text(str(a.pid - 1))
        except OSError:
            return None
        pid = os.fork()
        if pid == 0:
            if os.getpid() == a.pid:
                os.execv(second, [str(second), "500"])
            os._exit(0)
        os.waitpid(pid, 0)
        if pid == a.pid:
            return a.pid
    return None


def main():
    v = Verdicts()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="coldcase-who-"))
    for name in ["first", "second", "boxed"]:
        subprocess.run([*CC, f"-DHOT=spin_in_{name}", "-o", folder / name, HERE / "work.c"], check=True)
    case = folder / "who.case"
    cgroup = cgroup_folder()
    with recording(case):
        if cgroup:
            inside(cgroup, folder / "boxed")
        spaces = in_namespace()
        pid = reused_pid(folder / "first", folder / "second")
        secret = [subprocess.Popen(["true", "--token=hunter2", f"--n={n}"]) for n in range(20)]
        [p.wait() for p in secret]
        time.sleep(1)
    if cgroup:
        cgroup.rmdir()
    document = flame_here(case)
    stacks = [(s, w) for g in document["flames"] if g["kind"] == "on-cpu" for s, w in g["stacks"]]
    boxed = {s.split(";")[0] for s, _ in stacks if "spin_in_boxed" in s}
    if cgroup:
        v.check("a process in a container's cgroup is told with the container", boxed and all(b.endswith("@" + CONTAINER[:12]) for b in boxed), boxed)
        others = {s.split(";")[0] for s, _ in stacks if "spin_in_first" in s}
        v.check("and others are not", others and not any("@" + CONTAINER[:12] in o for o in others), others)
    else:
        v.skip("containers", "no cgroup can be made here")
    tasks = list(rows(case, "kernel.task"))
    if spaces:
        for outer, inner, namespace in spaces:
            told = {(t["inner_pid"], t["pid_namespace"]) for t in tasks if t["pid"] == outer and t["what"] == TASK["exec"]}
            v.check("a pid inside a PID namespace is told as /proc tells it", told == {(inner, namespace)}, f"{outer}: {told}, /proc: {inner} {namespace}")
    else:
        v.skip("PID namespaces", "unshare --pid is refused here")
    if pid:
        hot = {name: sum(w for s, w in stacks if s.startswith(f"{name}[{pid}]") and f";spin_in_{name}" in s) for name in ["first", "second"]}
        wrong = [s for s, _ in stacks if f"[{pid}]" in s.split(";")[0] and (s.startswith("first") and "spin_in_second" in s or s.startswith("second") and "spin_in_first" in s)]
        v.check("two programs that had one pid keep their own names and functions", min(hot.values()) > 1 and not wrong, f"{hot} {wrong}")
    else:
        v.skip("a pid that is used again", "no pid could be had twice (ns_last_pid, or others were faster)")
    execs = [e for e in rows(case, "kernel.exec") if "--n=" in e["argv"]]
    v.check("programs that live for milliseconds keep their arguments, masked", len(execs) == 20 and all("--token=***" in e["argv"] for e in execs),
            f"{len(execs)} of 20: {execs[:1]}")
    said = [t for stream in ["host.process", "kernel.exec", "recorder"] for t in rows(case, stream) if "hunter2" in str(t)]
    v.check("no row tells a secret of a command line", not said, said[:1])
    v.end()


if __name__ == "__main__":
    main()
