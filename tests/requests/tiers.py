#!/usr/bin/env python3
"""A service of three tiers on loopback (nginx, a Python program, PostgreSQL), recorded with `--payload 512` while it is used: each
connection has both its processes, each request its span by the traceparent in its bytes, and the statement that was made slow on
purpose is the first of `coldcase latency --db`. Needs root, nginx and PostgreSQL; what lacks is skipped with the reason."""
import glob
import http.client
import http.server
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/lib"))
from capture import free_port, wait_for  # noqa: E402
from case import COLDCASE, Verdicts, run  # noqa: E402

REQUESTS, ITEMS = 40, 8
SLOW = "select count(*) from orders where pg_sleep(0.02) is not null and id = {}"
verdicts = Verdicts()


class App(http.server.BaseHTTPRequestHandler):
    """The middle tier: one connection to the database for each of its threads."""
    protocol_version = "HTTP/1.1"
    database = 0

    def do_GET(self):
        import psycopg
        number = int(self.path.rsplit("/", 1)[1])
        with psycopg.connect(f"host=127.0.0.1 port={self.database} user=postgres sslmode=disable", autocommit=True) as db:
            db.execute(SLOW.format(1))
            # a query for each of the items: what a careless mapper does
            for item in range(ITEMS):
                db.execute(f"select name from items where id = {item}")
        body = b"order %d\n" % number
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def app(port, database):
    """Runs the middle tier: a process of its own."""
    App.database = database
    http.server.ThreadingHTTPServer(("127.0.0.1", port), App).serve_forever()


def postgres(base):
    """Starts a server of its own; gives its process and port."""
    where, port = pathlib.Path(sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))[-1]).parent, free_port()
    shutil.chown(base, "postgres")
    as_postgres = ["runuser", "-u", "postgres", "--"]
    subprocess.run([*as_postgres, where / "initdb", "-D", base / "data", "-U", "postgres"], check=True, capture_output=True, cwd=base)
    server = subprocess.Popen([*as_postgres, where / "postgres", "-D", base / "data", "-c", f"port={port}", "-c", "listen_addresses=127.0.0.1",
                               "-c", f"unix_socket_directories={base}", "-c", "fsync=off"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=base)
    wait_for(port)
    time.sleep(0.5)
    subprocess.run(["psql", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-q", "-c",
                    "create table orders (id int primary key); insert into orders values (1); create table items (id int primary key, name text);"
                    f"insert into items select n, 'item ' || n from generate_series(0, {ITEMS}) n"], check=True)
    return server, port


def nginx(folder, port, behind):
    (folder / "nginx.conf").write_text(f"""daemon off; worker_processes 1; error_log {folder}/error.log; pid {folder}/nginx.pid; events {{}}
http {{ access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u;
scgi_temp_path {folder}/s; server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{behind}; proxy_http_version 1.1;
proxy_set_header Connection ""; }} }} }}""")
    server = subprocess.Popen(["nginx", "-c", folder / "nginx.conf"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(port)
    return server


def load(port):
    client = http.client.HTTPConnection("127.0.0.1", port)
    for n in range(REQUESTS):
        client.request("GET", f"/orders/{n}", headers={"traceparent": f"00-{n + 1:032x}-{n + 1:016x}-01"})
        answer = client.getresponse()
        answer.read()
        assert answer.status == 200, answer.status


def compare(case, front, middle, database):
    flow = json.loads(run("flow", case, "--json", ok=(0, 3)))
    connections = flow["connections"]
    port = lambda end: int(end.rsplit(":", 1)[1])  # noqa: E731
    ours = [c for c in connections if port(c["b"]) in (front, middle, database)]
    nameless = [(c["a"], c["process_a"], c["b"], c["process_b"]) for c in ours if not c["process_a"] or not c["process_b"]]
    verdicts.check("each connection has both its processes", len(ours) >= REQUESTS + 2 and not nameless, f"{len(ours)} connections {nameless[:3]}")
    tiers = {(c["process_a"].split("[")[0].split("@")[0], c["process_b"].split("[")[0].split("@")[0]) for c in ours if not nameless}
    names = {a for a, _ in tiers} | {b for _, b in tiers}
    verdicts.check("the tiers are told apart", any("nginx" in n for n in names) and any("postgres" in n for n in names), sorted(tiers))
    of = lambda p: [r for r in flow["requests"] if port(connections[r["connection"]]["b"]) == p]  # noqa: E731
    for name, tier in (("client to nginx", front), ("nginx to program", middle)):
        asked = of(tier)
        kinds = {(r["key"], r["code"], r["outcome"]) for r in asked}
        verdicts.check(f"{name}: each request is there, of one kind", len(asked) == REQUESTS and kinds == {("GET /orders/{n}", "200", "ok")},
                       f"{len(asked)} {sorted(kinds)[:3]}")
        spans = [r["span"] and r["span"]["span"] for r in asked]
        verdicts.check(f"{name}: each belongs to the span in its traceparent", spans == [f"{n + 1:016x}" for n in range(REQUESTS)], spans[:3])
        verdicts.check(f"{name}: each cites the message that holds it", all(r["evidence"] and "/packets#" in r["evidence"] for r in asked))
    statements = [r for r in of(database) if r["protocol"] == "postgres"]
    slow = [r for r in statements if "pg_sleep" in r["detail"]]
    verdicts.check("program to database: each slow statement took what it was told to", len(slow) == REQUESTS and
                   all(20e6 <= r["duration"] < 200e6 for r in slow), f"{len(slow)}, fastest {min((r['duration'] or 0 for r in slow), default=0) / 1e6:.1f} ms")
    deep = json.loads(run("latency", case, "--db", "--json", ok=(0, 3)))
    first = deep["statements"][0]
    verdicts.check("the statement made slow on purpose is the first of the report", "pg_sleep" in first["key"] and first["count"] == REQUESTS, first["key"])
    loops = [r for r in deep["repeated"] if "items" in r["key"]]
    # a program that is held up between two of them has left the loop, for all that can be seen
    verdicts.check("the loop around a query is told", len(loops) == 1 and loops[0]["runs"] >= 0.9 * REQUESTS and loops[0]["longest"] == ITEMS, loops)
    use = deep["databases"][0]
    verdicts.check("a connection was opened for each request", use["opened"] == use["connections"] == REQUESTS, f"{use['opened']} of {use['connections']}")


def main():
    if os.geteuid() != 0:
        return verdicts.skip("tiers", "needs root for the kernel and packet sources")
    lacking = [n for n, found in (("nginx", shutil.which("nginx")), ("PostgreSQL", glob.glob("/usr/lib/postgresql/*/bin/initdb"))) if not found]
    if lacking:
        return verdicts.skip("tiers", f"needs {' and '.join(lacking)}")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="coldcase-tiers-"))
    folder.chmod(0o755)
    (folder / "postgres").mkdir()
    running = []
    try:
        server, database = postgres(folder / "postgres")
        running.append(server)
        middle, front = free_port(), free_port()
        running.append(subprocess.Popen([sys.executable, __file__, "app", str(middle), str(database)]))
        wait_for(middle)
        running.append(nginx(folder, front, middle))
        case = folder / "tiers.case"
        recorder = subprocess.Popen([COLDCASE, "record", "-o", case, "--quiet", "--interface", "lo", "--payload", "512"], stderr=subprocess.PIPE, text=True)
        time.sleep(3)
        thread = threading.Thread(target=load, args=(front,))
        thread.start()
        thread.join()
        time.sleep(2)
        recorder.send_signal(signal.SIGINT)
        verdicts.check("the recording ends well", recorder.wait(60) in (0, 3), recorder.stderr.read()[-300:])
        compare(case, front, middle, database)
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait()
        if verdicts.failed:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["app"]:
        app(int(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
        verdicts.end()
