"""Names of frames after the programs are gone: programs whose hot functions are known by construction are recorded, deleted, and
the bundle is read in a chroot that has neither them nor their libraries. usage: symbols.py

A stripped C program, a Rust program, Node with --perf-basic-prof, Python with -X perf, and a storm of processes of 50 ms whose
binaries are deleted as soon as they run. At least 95% of the frames of each must have a name, and the function that most samples
fall in must be the one that is busy. Runs as root.
"""
import collections
import contextlib
import glob
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from case import COLDCASE, Verdicts, run  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
SECONDS = 3
STORM, VARIANTS = 300, 6
NAMED = 0.95
CC = ["cc", "-O1", "-g", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", "-Wl,--build-id"]
WITHOUT = ["--without", "otlp,packets,metrics,log"]


@contextlib.contextmanager
def recording(case, *args, kill=False):
    p = subprocess.Popen([COLDCASE, "record", "-o", case, "--sample-hz", "199", *WITHOUT, *args], stderr=subprocess.PIPE, text=True)
    for line in p.stderr:
        if line.startswith("recording "):
            break
    try:
        yield p
    finally:
        p.send_signal(signal.SIGKILL if kill else signal.SIGINT)
        said = p.stderr.read()
        if p.wait(60) not in (0, 3, -9):
            sys.exit(f"record: exit {p.returncode}: {said[-800:]}")


def build(folder):
    """The programs, and for the stripped one the file that its names are in, in a folder apart."""
    debug = folder / "debug"
    debug.mkdir()
    programs = {}
    subprocess.run([*CC, "-o", debug / "work-c-full", HERE / "work.c"], check=True)
    programs["c"] = folder / "cc-stripped"
    subprocess.run(["strip", "-o", programs["c"], debug / "work-c-full"], check=True)
    if shutil.which("rustc"):
        programs["rust"] = folder / "cc-rust"
        subprocess.run(["rustc", "-g", "-O", "-C", "force-frame-pointers=yes", "-o", programs["rust"], HERE / "work.rs"], check=True)
        shutil.copy(programs["rust"], debug / "work-rust-full")
    programs["made"] = folder / "cc-made"
    subprocess.run([*CC, "-o", programs["made"], HERE / "made.c"], check=True)
    for n in range(VARIANTS):
        programs[f"storm{n}"] = folder / f"storm{n}"
        subprocess.run([*CC, f"-DHOT=spin_in_storm_{n}", "-o", programs[f"storm{n}"], HERE / "work.c"], check=True)
    return programs, debug


def python_with_perf():
    for candidate in [shutil.which("python3.13"), shutil.which("python3.12"), *sorted(glob.glob("/root/.pyenv/versions/3.1[2-9]*/bin/python3"))]:
        if candidate and subprocess.run([candidate, "-X", "perf", "-c", "import sys; assert sys.is_stack_trampoline_active()"],
                                        capture_output=True).returncode == 0:
            return candidate
    return None


def has_frame_pointers(python):
    flags = subprocess.run([python, "-c", "import sysconfig; print(sysconfig.get_config_var('CFLAGS'))"], capture_output=True, text=True).stdout
    return "-fno-omit-frame-pointer" in flags


def storm(folder, programs):
    """Processes whose binary is deleted while they run. Returns their pids."""
    running, pids = [], []
    for n in range(STORM):
        path = folder / f"tmp-{n}"
        shutil.copy(programs[f"storm{n % VARIANTS}"], path)
        p = subprocess.Popen([path, "50"])
        path.unlink()
        pids.append(p.pid)
        running.append(p)
        if len(running) >= 3:
            running.pop(0).wait()
    for p in running:
        p.wait()
    return pids


def chroot_of(folder):
    """coldcase and what it is linked with, and nothing else."""
    root = folder / "root"
    linked = subprocess.run(["ldd", COLDCASE], capture_output=True, text=True).stdout
    for path in re.findall(r"(/\S+)", linked):
        to = root / path.lstrip("/")
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, to)
    shutil.copy(COLDCASE, root / "coldcase")
    (root / "proc").mkdir()
    return root


def separate_debug_file(root, full):
    """What distributions ship: the debug information alone, at the place that its build-id names."""
    notes = subprocess.run(["readelf", "-n", full], capture_output=True, text=True).stdout
    build_id = re.search(r"Build ID: ([0-9a-f]+)", notes).group(1)
    path = root / "apart/.build-id" / build_id[:2] / f"{build_id[2:]}.debug"
    path.parent.mkdir(parents=True)
    subprocess.run(["objcopy", "--only-keep-debug", full, path], check=True)
    return path.relative_to(root)


def flame(root, case, *args):
    shutil.copy(case, root / "b.case")
    done = subprocess.run(["chroot", root, "/coldcase", "flame", "/b.case", "--json", *args], capture_output=True, text=True)
    if done.returncode not in (0, 3):
        sys.exit(f"flame: exit {done.returncode}: {done.stderr[-800:]}")
    return json.loads(done.stdout)


def flame_here(case, *args):
    return json.loads(run("flame", case, "--json", *args, ok=(0, 3)))


def is_named(frame):
    return not re.fullmatch(r"\[.*\+0x[0-9a-f]+\](_\[k\])?|\[unknown\]", frame)


def tally(document, wanted):
    """Of the processes that are wanted: frames, those with a name, samples by innermost user function, all functions, unnamed."""
    frames = named = samples = 0
    tops, within, missing = collections.Counter(), collections.Counter(), collections.Counter()
    for graph in document["flames"]:
        if graph["kind"] != "on-cpu":
            continue
        for stack, weight in graph["stacks"]:
            process, *rest = stack.split(";")
            if not wanted(process):
                continue
            samples += weight
            frames += weight * len(rest)
            named += weight * sum(map(is_named, rest))
            for f in rest:
                if not is_named(f):
                    missing[f] += weight
            users = [f for f in rest if not f.endswith("_[k]")]
            if users:
                tops[users[-1]] += weight
            for f in set(rest):
                within[f] += weight
    return frames, named, samples, tops, within, missing


def judge(v, program, document, wanted, hot, within=None, least=NAMED):
    frames, named, samples, tops, inside, missing = tally(document, wanted)
    share = named / max(frames, 1)
    note = f"{share:.1%} of {frames} frames in {samples} samples"
    v.check(f"{program}: at least {least:.0%} of the frames have a name", frames > 20 and share >= least,
            note + (f"; unnamed: {missing.most_common(4)}" if missing else ""))
    if hot is None:
        return
    if within:
        share = sum(n for f, n in inside.items() if re.search(hot, f)) / max(samples, 1)
        v.check(f"{program}: {hot} is in most stacks", share > within, f"{share:.0%}")
    else:
        share = sum(n for f, n in tops.items() if re.search(hot, f)) / max(samples, 1)
        top = tops.most_common(1)
        v.check(f"{program}: most samples are in {hot}", share > 0.5 and re.search(hot, top[0][0]), f"{share:.0%}: {tops.most_common(3)}")


def pid_of(process):
    m = re.search(r"(\d+)\]?(@.*)?$", process)
    return int(m.group(1)) if m else 0


def main():
    v = Verdicts()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="coldcase-symbols-"))
    programs, debug = build(folder)
    root = chroot_of(folder)
    case = folder / "b.case"
    python, node = python_with_perf(), shutil.which("node")
    pids = {}
    with recording(case):
        started = {"c": subprocess.Popen([programs["c"], str(SECONDS * 1000)])}
        if "rust" in programs:
            started["rust"] = subprocess.Popen([programs["rust"], str(SECONDS)])
        if node:
            started["node"] = subprocess.Popen([node, "--perf-basic-prof", "--no-turbo-inlining", HERE / "work.js", str(SECONDS)], cwd=folder)
        started["made"] = subprocess.Popen([programs["made"], str(SECONDS)])
        if python:
            started["python"] = subprocess.Popen([python, "-X", "perf", HERE / "work.py", str(SECONDS)])
        for name, p in started.items():
            p.wait()
            pids[name] = p.pid
            # A runtime in a container takes its map along when it ends.
            pathlib.Path(f"/tmp/perf-{p.pid}.map").unlink(missing_ok=True)
        pids["storm"] = storm(folder, programs)
        time.sleep(1)
    for path in programs.values():
        path.unlink()
    document = flame(root, case)
    of = lambda name: lambda process: pid_of(process) == pids[name]  # noqa: E731
    print(f"addresses outside of executable mappings, left out: {document['frames_bogus']}")
    storm_pids = set(pids["storm"])
    judge(v, f"storm of {STORM} processes", document, lambda p: pid_of(p) in storm_pids, r"^spin_in_storm_\d$")
    if "rust" in pids:
        judge(v, "rust", document, of("rust"), r"spin_in_rust$")
    if node:
        judge(v, "node", document, of("node"), r"spinInJs")
    else:
        v.skip("node", "node is not installed")
    if python:
        if has_frame_pointers(python):
            judge(v, "python", document, of("python"), r"py::spin_in_python", within=0.5)
        else:
            v.skip("python: its functions in the stacks", f"{python} is built without frame pointers: stacks end in the interpreter")
            judge(v, "python, the interpreter", document, of("python"), None)
    else:
        v.skip("python", "no Python with -X perf (3.12) is installed")
    judge(v, "made code with a map, as Python's", document, of("made"), r"^py::spin_in_made_code:/app/work.py$")
    # Of a stripped program the bundle cannot have the names: they come from the file with the same build-id.
    before = tally(document, of("c"))
    v.check("stripped: without its file the hot function has no name", not any("spin_in_c" in f for f in before[4]), before[3].most_common(2))
    shutil.copytree(debug, root / "debug")
    with_files = flame(root, case, "--debug-dir", "/debug")
    judge(v, "stripped, its file offered with --debug-dir", with_files, of("c"), r"^spin_in_c$")
    if "rust" in pids:
        inside = tally(with_files, of("rust"))[4]
        v.check("rust, with its file: what was inlined is shown, and as inlined", any(re.search(r"mix_inlined_\[i\]$", f) for f in inside), list(inside)[:6])
    apart = separate_debug_file(root, debug / "work-c-full")
    judge(v, f"stripped, its separate debug file at {apart}", flame(root, case, "--debug-dir", "/apart"), of("c"), r"^spin_in_c$")
    from_servers(v, folder, root, case, of("c"))
    killed(v, folder, root)
    shutil.rmtree(folder)
    v.end()


@contextlib.contextmanager
def debuginfod(folder, served):
    """A server of the debug files in a folder. Yields its URL."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    log = open(folder / "debuginfod.log", "w")
    server = subprocess.Popen(["debuginfod", "-d", ":memory:", "-p", str(port), "-F", served], stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def from_servers(v, folder, root, case, which):
    """--debuginfod, against a real server of the one debug file."""
    what = "stripped, its debug file from a debuginfod server"
    absent = [p for p in ("debuginfod", "debuginfod-find") if not shutil.which(p)]
    if absent:
        v.skip(what, f"{absent[0]} is not installed")
        return
    command = [COLDCASE, "flame", case, "--json", "--debuginfod"]
    unset = {k: value for k, value in os.environ.items() if k != "DEBUGINFOD_URLS"}
    no_servers = subprocess.run(command, capture_output=True, text=True, env=unset)
    v.check("no debuginfod server is named: refused, with a hint", no_servers.returncode == 2 and "DEBUGINFOD_URLS=" in no_servers.stderr, no_servers.stderr)
    with debuginfod(folder, root / "apart") as url:
        env = {**os.environ, "DEBUGINFOD_URLS": url, "DEBUGINFOD_CACHE_PATH": str(folder / "cache")}
        build_id = "".join((root / "apart").rglob("*.debug").__next__().parts[-2:]).removesuffix(".debug")
        for _ in range(100):
            # It scans its folder meanwhile. What it did not have is remembered in the cache.
            shutil.rmtree(folder / "cache", ignore_errors=True)
            if subprocess.run(["debuginfod-find", "debuginfo", build_id], env=env, capture_output=True).returncode == 0:
                break
            time.sleep(0.2)
        done = subprocess.run(command, capture_output=True, text=True, env=env)
    judge(v, what, json.loads(done.stdout), which, r"^spin_in_c$")
    v.check("modules that no server has are named", "no debug file of " in done.stderr, done.stderr[-300:])


def killed(v, folder, root):
    """kill -9 while the programs run: what is recovered has names but for the last seconds."""
    program = folder / "killed-work"
    subprocess.run([*CC, "-DHOT=spin_until_killed", "-o", program, HERE / "work.c"], check=True)
    case, fixed = folder / "killed.case", folder / "recovered.case"
    p = None
    with recording(case, kill=True):
        p = subprocess.Popen([program, "6000"])
        time.sleep(5)
    p.kill()
    p.wait()
    program.unlink()
    run("recover", case, "-o", fixed, ok=(0, 3))
    document = flame(root, fixed)
    judge(v, "killed after 5 s and recovered", document, lambda q: pid_of(q) == p.pid, r"^spin_until_killed$")


if __name__ == "__main__":
    main()
