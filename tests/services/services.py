#!/usr/bin/env python3
"""A real application of three services (Python, Node.js, Rust) with PostgreSQL and Redis, recorded by all sources while it is used. Each service logs which
process and thread served each of its server spans; at least 99% of those spans must be bound to both, and none to another. Needs root, PostgreSQL, Redis,
Node.js with npm and the packages of tests/requirements.txt; what lacks is skipped with the reason.  usage: services.py [REQUESTS]"""
import collections
import glob
import http.client
import importlib.util
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tests/lib"))
from capture import free_port, wait_for  # noqa: E402
from case import Verdicts, run  # noqa: E402

RECORDER = os.environ.get("RECORDER", str(ROOT / "target/recorder/coldcase"))
DEMO = os.environ.get("DEMO", str(ROOT / "target/debug/coldcase-demo"))
REQUESTS = int(sys.argv[1]) if len(sys.argv) > 1 else 600
USERS = 6
verdicts = Verdicts()


def lacks():
    """What is not here, in words."""
    for tool in ("node", "npm", "redis-server", "runuser"):
        if not shutil.which(tool):
            return f"no {tool}"
    for module in ("opentelemetry.sdk", "psycopg"):
        if importlib.util.find_spec(module.split(".")[0]) is None:
            return f"no Python package {module} (tests/requirements.txt)"
    if not glob.glob("/usr/lib/postgresql/*/bin/initdb"):
        return "no PostgreSQL"
    return None if os.geteuid() == 0 else "recording needs root"


def modules():
    """The Node.js modules of the cart, installed under target/; nothing where npm cannot."""
    where = ROOT / "target/services"
    where.mkdir(parents=True, exist_ok=True)
    wanted = [(HERE / name).read_text() for name in ("package.json", "package-lock.json")]
    have = where / "installed"
    if not have.exists() or have.read_text() != "".join(wanted):
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, where / name)
        if subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=where, capture_output=True).returncode:
            return None
        have.write_text("".join(wanted))
    return where / "node_modules"


def postgres(base, port):
    where = pathlib.Path(sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))[-1]).parent
    shutil.chown(base, "postgres")
    as_postgres = ["runuser", "-u", "postgres", "--"]
    subprocess.run([*as_postgres, where / "initdb", "-D", base / "data", "-U", "postgres"], check=True, capture_output=True, cwd=base)
    server = subprocess.Popen([*as_postgres, where / "postgres", "-D", base / "data", "-c", f"port={port}", "-c", "listen_addresses=127.0.0.1",
                               "-c", f"unix_socket_directories={base}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=base)
    wait_for(port)
    time.sleep(0.5)
    subprocess.run(["psql", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-q", "-c", "create table visits (id serial primary key, path text)"], check=True)
    return server


def visitor(port, number, statuses):
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for n in range(REQUESTS // USERS):
        if n % 3:
            client.request("GET", f"/cart/{number}")
        else:
            client.request("POST", "/order", json.dumps({"product": n % 10 + 1, "quantity": 1}))
        answer = client.getresponse()
        answer.read()
        statuses[answer.status] += 1


def truth(folder, orders):
    """Process and thread that each service says served each span, by span id."""
    told = {}
    for name in ("gateway", "cart"):
        for line in (folder / f"{name}.log").read_text().splitlines():
            line = json.loads(line)
            told[line["span_id"]] = (name, line["pid"], line["tid"])
    # The Rust service logs the names of its threads, which are its own to choose; the kernel has their numbers.
    threads = {pathlib.Path(task, "comm").read_text().strip(): int(task.rsplit("/", 1)[1]) for task in glob.glob(f"/proc/{orders.pid}/task/*")}
    for line in (folder / "orders.log").read_text().splitlines():
        found = re.search(r" thread=(\S+) trace_id=\S+ span_id=(\w+)", line)
        if found and found[1][:15] in threads:
            told[found[2]] = ("orders", orders.pid, threads[found[1][:15]])
    return told


def compare(bundle, told, statuses):
    verdicts.check("all requests were answered", statuses[200] + statuses[201] == sum(statuses.values()) == REQUESTS // USERS * USERS, dict(statuses))
    spans = json.loads(run("query", bundle, "SELECT span, service, pid, tid, tier FROM spans WHERE kind = 'server'", "--format", "json", ok=(0, 3)))
    by = {s["span"]: s for s in spans}
    verdicts.check("each server span that a service logged was recorded", told.keys() <= by.keys() and len(told) > REQUESTS, f"{len(told)} logged, {len(by)} recorded")
    counts, wrong = collections.defaultdict(collections.Counter), []
    for span, (service, pid, tid) in told.items():
        row = by.get(span)
        if row is None:
            continue
        bound = bool(row["pid"]) and bool(row["tid"])
        counts[service]["bound" if bound else "not bound"] += 1
        counts[service][row["tier"]] += 1
        if (row["pid"] and row["pid"] != pid) or (row["tid"] and row["tid"] != tid):
            wrong.append((service, span, row["pid"], row["tid"], pid, tid, row["tier"]))
    bound = sum(c["bound"] for c in counts.values())
    verdicts.check("at least 99% of the server spans are bound to process and thread", bound >= 0.99 * len(told), f"{bound} of {len(told)}: {({k: dict(c) for k, c in counts.items()})}")
    verdicts.check("none is bound to another", not wrong, f"{len(wrong)} {wrong[:3] or ''}")
    logs = json.loads(run("query", bundle, "SELECT count(*) AS n FROM logs WHERE span IS NOT NULL", "--format", "json", ok=(0, 3)))
    verdicts.check("their log lines have the ids of their spans", logs[0]["n"] >= len(told), logs[0]["n"])


def main():
    missing = lacks()
    node = None if missing else modules()
    if missing or not node:
        print(f"skipped: services: {missing or 'npm could not install the modules of the cart'}")
        return
    folder = pathlib.Path(tempfile.mkdtemp(prefix="coldcase-services-"))
    folder.chmod(0o755)
    (folder / "db").mkdir()
    front, cart, rust, database, redis, grpc, otlp = (free_port() for _ in range(7))
    endpoint = f"http://127.0.0.1:{otlp}"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    running = []
    try:
        running.append(postgres(folder / "db", database))
        running.append(subprocess.Popen(["redis-server", "--port", str(redis), "--save", "", "--dir", folder], **quiet))
        wait_for(redis)
        bundle = folder / "services.case"
        logs = [str(folder / f"{name}.log") for name in ("gateway", "cart", "orders")]
        recorder = subprocess.Popen([RECORDER, "record", "-o", bundle, "--force", "--payload", "512", "--otlp-http", f"127.0.0.1:{otlp}", "--otlp-grpc", f"127.0.0.1:{grpc}",
                                     *[x for log in logs for x in ("--log", log)]], stdout=subprocess.DEVNULL, stderr=open(folder / "recorder.txt", "w"))
        wait_for(otlp)
        time.sleep(2)
        orders = subprocess.Popen([DEMO, "orders", "--port", str(rust), "--dir", folder, "--otlp", endpoint], **quiet)
        running.append(orders)
        running.append(subprocess.Popen(["node", HERE / "cart.js", str(cart), str(redis), endpoint, folder / "cart.log"], env={**os.environ, "NODE_PATH": str(node)}))
        running.append(subprocess.Popen([sys.executable, HERE / "gateway.py", *map(str, (front, cart, rust, database)), endpoint, folder / "gateway.log"]))
        for port in (rust, cart, front):
            wait_for(port)
        statuses = collections.Counter()
        users = [threading.Thread(target=visitor, args=(front, n, statuses)) for n in range(USERS)]
        for user in users:
            user.start()
        for user in users:
            user.join()
        time.sleep(1)
        told = truth(folder, orders)
        for service in running[2:]:
            service.terminate()
        for service in running[2:]:
            service.wait(10)
        recorder.send_signal(signal.SIGINT)
        recorder.wait(60)
        compare(bundle, told, statuses)
    finally:
        for service in running:
            service.kill()
    shutil.rmtree(folder, ignore_errors=True)
    verdicts.end()


main()
