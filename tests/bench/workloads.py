"""Workloads whose throughput a recorder may cost: each a class with `unit`, `tools`, `run() -> (rate, operations)` and `close()`."""
import concurrent.futures
import os
import pathlib
import re
import shutil
import socket
import subprocess
import time

# Two processes hand a byte through pipes; between two switches each spins for v[2] turns.
PINGPONG = r"""
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec / 1e9; }
static void spin(long turns) { for (volatile long i = 0; i < turns; i++); }
int main(int c, char **v) {
  int a[2], b[2]; long n = 0, turns = atol(v[2]); char x = 0; double run = atof(v[1]), t0, t;
  if (pipe(a) || pipe(b)) return 1;
  if (!fork()) { close(a[1]); close(b[0]); while (read(a[0], &x, 1) == 1) { spin(turns); if (write(b[1], &x, 1) != 1) break; } _exit(0); }
  close(a[0]); close(b[1]); t0 = now();
  do for (int i = 0; i < 64; i++, n++) { spin(turns); if (write(a[1], &x, 1) != 1 || read(b[0], &x, 1) != 1) return 1; }
  while ((t = now() - t0) < run);
  printf("%ld %f\n", 2 * n, t); return 0; }
"""
NGINX = """daemon off; worker_processes 1; pid nginx.pid; user root root;
events {{ worker_connections 1024; }}
http {{ access_log off; sendfile on; keepalive_requests 1000000000; client_body_temp_path t1; proxy_temp_path t2;
  fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5; server {{ listen 127.0.0.1:{port}; root .; }} }}
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def output(argv, **kw):
    return subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, **kw).stdout


def number(pattern, text):
    found = re.search(pattern, text)
    if not found:
        raise SystemExit(f"no {pattern!r} in: {text[-300:]}")
    return float(found[1])


def serve(argv, port, **kw):
    """Starts a server and waits until it listens."""
    server = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **kw)
    for _ in range(200):
        time.sleep(0.05)
        with socket.socket() as s:
            if not s.connect_ex(("127.0.0.1", port)):
                return server
        if server.poll() is not None:
            break
    raise SystemExit(f"{argv[0]} does not listen on {port}")


class Server:
    server = None

    def close(self):
        if self.server:
            self.server.terminate()
            self.server.wait()


class Redis(Server):
    """redis-benchmark SET then GET, 50 clients, a fixed number of requests; the harmonic mean of both rates."""
    unit, tools = "req/s", ("redis-server", "redis-benchmark")

    def __init__(self, folder, seconds):
        self.port = free_port()
        self.server = serve(["redis-server", "--port", self.port, "--bind", "127.0.0.1", "--save", "", "--dir", folder], self.port)
        self.n = max(2000, int(self.bench(20000)[0] * seconds / 2))

    def bench(self, n):
        out = output(["redis-benchmark", "-p", self.port, "-c", 50, "-n", n, "-r", 100000, "-d", 64, "-t", "set,get", "--csv"])
        return 2 / sum(1 / number(rf'"{op}","([\d.]+)"', out) for op in ("SET", "GET")), 2 * n

    def run(self):
        return self.bench(self.n)


class Pgbench(Server):
    """`pgbench -S`, 4 clients over TCP, scale 5, checkpoints and autovacuum out of the way."""
    unit, tools, mode = "tps", ("pgbench",), ("-S",)

    def __init__(self, folder, seconds):
        self.seconds = max(1, round(seconds))
        # Debian keeps initdb and postgres out of PATH.
        bins = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda b: float(b.parent.name))
        exe = (lambda n: bins[-1] / n) if bins else (lambda n: n)
        who = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
        place = folder / "pg"
        place.mkdir()
        folder.chmod(0o755)
        if who:
            shutil.chown(place, "postgres", "postgres")
        output([exe("initdb"), "-D", place / "data", "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale", "C"], cwd=place, **who)
        port = free_port()
        settings = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "shared_buffers=256MB", "max_wal_size=8GB", "checkpoint_timeout=1h",
                    "autovacuum=off"]
        self.server = serve([exe("postgres"), "-D", place / "data", "-p", port, *(x for s in settings for x in ("-c", s))], port, cwd=place, **who)
        self.to = ["-h", "127.0.0.1", "-p", port, "-U", "postgres", "postgres"]
        for _ in range(100):  # it listens before it lets clients in
            if subprocess.run([exe("pg_isready"), *map(str, self.to[:-1])], stdout=subprocess.DEVNULL).returncode == 0:
                break
            time.sleep(0.1)
        output([exe("pgbench"), "-i", "-q", "-s", 5, *self.to])
        self.exe = exe("pgbench")

    def run(self):
        out = output([self.exe, "-n", *self.mode, "-c", 4, "-j", 2, "-T", self.seconds, *self.to])
        return number(r"tps = ([\d.]+)", out), number(r"actually processed: (\d+)", out)


class PgbenchWrite(Pgbench):
    """pgbench's tpcb-like transactions, fsync on."""
    mode = ()


class Nginx(Server):
    """wrk, 32 connections, one file of 1 KiB, one worker, no access log."""
    unit, tools = "req/s", ("nginx", "wrk")

    def __init__(self, folder, seconds):
        self.port, self.seconds = free_port(), max(1, round(seconds))
        (folder / "f").write_text("x" * 1024)
        (folder / "nginx.conf").write_text(NGINX.format(port=self.port))
        self.server = serve(["nginx", "-p", f"{folder}/", "-c", "nginx.conf", "-e", "error.log"], self.port)

    def run(self):
        out = output(["wrk", "-t1", "-c32", f"-d{self.seconds}s", f"http://127.0.0.1:{self.port}/f"])
        if "Non-2xx" in out or "Socket errors" in out:
            raise SystemExit(f"wrk: {out[-300:]}")
        return number(r"Requests/sec:\s+([\d.]+)", out), number(r"(\d+) requests in", out)


class PingPong:
    """Two processes on the last CPU hand a byte through pipes, as fast as they can."""
    unit, tools = "switches/s", ("cc", "taskset")
    wanted = None

    def __init__(self, folder, seconds):
        self.exe, self.seconds, self.turns = folder / "pingpong", seconds, 0
        (folder / "pingpong.c").write_text(PINGPONG)
        output(["cc", "-O2", "-o", self.exe, folder / "pingpong.c"])
        # so much work between two switches that there are about as many as wanted
        while self.wanted and self.turns < 10**6 and self.once(0.3)[0] > self.wanted * 1.1:
            self.turns = self.turns * 5 // 4 + 250

    def once(self, seconds):
        cpu = str(max(os.sched_getaffinity(0)))
        n, t = map(float, output(["taskset", "-c", cpu, self.exe, seconds, self.turns]).split())
        return n / t, n

    def run(self):
        return self.once(self.seconds)

    def close(self):
        pass


class PingPong100k(PingPong):
    """The same with work between the switches: about 100,000 a second."""
    wanted = 100_000


class Build:
    """`gcc -O2 -c` of a generated file, one loop per CPU."""
    unit, tools = "compiles/s", ("gcc",)

    def __init__(self, folder, seconds):
        self.folder, self.seconds = folder, seconds
        (folder / "build.c").write_text("".join(
            f"int f{k}(int *p, int n) {{ int s = {k}; for (int i = 0; i < n; i++) {{ switch ((p[i] + {k}) % 7) {{ case 0: s += p[i]; break; "
            f"case 1: s ^= p[i] << 3; break; case 4: s -= n / (i + 1); break; default: s = s * 31 + p[(i * {k + 3}) % n]; }} p[i] = s; }} return s; }}\n"
            for k in range(12)))

    def loop(self, i):
        n, t, began = 0, 0, time.monotonic()
        while t < self.seconds:
            output(["gcc", "-O2", "-c", "build.c", "-o", f"build{i}.o"], cwd=self.folder)
            n, t = n + 1, time.monotonic() - began
        return n / t, n

    def run(self):
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            return tuple(map(sum, zip(*pool.map(self.loop, range(os.cpu_count())))))

    def close(self):
        pass


WORKLOADS = {"redis": Redis, "pgbench": Pgbench, "pgbench-rw": PgbenchWrite, "nginx": Nginx, "pingpong": PingPong, "pingpong-100k": PingPong100k,
             "build": Build}
