#!/usr/bin/env python3
"""Real databases, captured with tcpdump: the requests that come out of the capture against the servers' own
logs. Statements, commands and errors must be equal in number, rows too where the server tells them, and times must be the
server's to a millisecond, or lie between the server's and the client's. Needs root, tcpdump, and each of PostgreSQL,
MariaDB and Redis; what lacks is skipped with the reason.  usage: databases.py [FOLDER FOR THE CAPTURES]"""
import collections
import glob
import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tests/lib"))
from capture import HOST, Capture, at_server, build, free_port, wait_for  # noqa: E402
from case import Verdicts  # noqa: E402

PACKAGES = ["mysql-connector-python==26.10.0", "psycopg[binary]==3.3.9", "PyMySQL==1.2.4", "redis==8.1.0"]
MS = 1_000_000
verdicts = Verdicts()


def clients():
    """Runs this again with the clients' packages, in an environment of their own."""
    if os.environ.get("DATABASES_VENV"):
        return
    venv = ROOT / "target/databases-venv"
    stamp = venv / "installed"
    if not stamp.exists() or stamp.read_text() != "\n".join(PACKAGES):
        made = subprocess.run([sys.executable, "-m", "venv", venv], capture_output=True).returncode == 0 and subprocess.run(
            [venv / "bin/pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES], capture_output=True).returncode == 0
        if not made:
            print("skipped: databases: the clients could not be installed from PyPI")
            sys.exit(0)
        stamp.write_text("\n".join(PACKAGES))
    if "--install" in sys.argv:
        sys.exit(0)
    os.execve(venv / "bin/python", [venv / "bin/python", __file__, *sys.argv[1:]], {**os.environ, "DATABASES_VENV": "1"})


def equal(name, ours, theirs):
    """Two multisets are the same."""
    ours, theirs = collections.Counter(ours), collections.Counter(theirs)
    more, less = ours - theirs, theirs - ours
    note = f"{sum(ours.values())}" if ours == theirs else f"only ours {list(more.items())[:5]}, only theirs {list(less.items())[:5]}"
    verdicts.check(name, ours == theirs, note)


def times(name, pairs):
    """Each of ours is the server's to a millisecond, or lies between the server's and the client's. A server that is held up
    between its answer and its look at the clock says more than it took: one in twenty may, on a machine that is busy."""
    late = [(o, s, c) for o, s, c in pairs if o < s - MS and o <= c]
    wrong = [(o, s, c) for o, s, c in pairs if not s - MS <= o <= max(s, c) + MS]
    wrong = wrong if len(late) > len(pairs) / 20 else [pair for pair in wrong if pair not in late]
    off = sorted(abs(o - s) for o, s, _ in pairs)
    within = sum(1 for d in off if d <= MS)
    note = f"{len(pairs)} requests, {within} within 1 ms of the server's, median {off[len(off) // 2] / MS:.3f} ms, largest {off[-1] / MS:.3f} ms"
    verdicts.check(name, not wrong, note if not wrong else f"{note} {wrong[:3]}")


class Clock:
    """What the client measured of statements, by their text."""

    def __init__(self):
        self.took = {}

    def __call__(self, text, action, *args, **named):
        begun = time.perf_counter_ns()
        try:
            return action(*args, **named)
        finally:
            self.took[text] = time.perf_counter_ns() - begun


def capture(folder, name, port, snaplen=0):
    return Capture(folder / f"{name}.pcap", port, snaplen)


def sound(name, captured, requests):
    verdicts.check(f"{name}: tcpdump lost nothing, and nothing is missing", captured.dropped == 0 and not any(
        r["missing"] & ~16 for r in requests), f"{len(requests)} requests, {captured.dropped} packets dropped")


def worse(file, name, snaplen=None, drop=0.0):
    """The capture with packets cut or left out."""
    import random

    chance, raw = random.Random(7), file.read_bytes()
    out, at = [raw[:24]], 24
    while at < len(raw):
        seconds, fraction, have, size = struct.unpack_from("<IIII", raw, at)
        packet = raw[at + 16:at + 16 + have]
        at += 16 + have
        if chance.random() >= drop:
            packet = packet[:snaplen]
            out.append(struct.pack("<IIII", seconds, fraction, len(packet), size) + packet)
    made = file.with_name(f"{file.stem}-{name}.pcap")
    made.write_bytes(b"".join(out))
    return made


def inferred(name, captured, protocol):
    """With bytes missing, what is not marked as inferred has the answer that it has in the whole capture."""
    if "LOSSY" in os.environ:
        # Where packets are sent again, a capture that misses the first copy has the second's time.
        return
    facts = lambda r: (r["end"], r["code"], r["outcome"])  # noqa: E731
    whole = {(r["start"], r["detail"][:40], r["id"]): facts(r) for r in captured.requests(protocol)}
    for how, options in (("cut to 100 bytes", {"snaplen": 100}), ("cut to 200 bytes", {"snaplen": 200}), ("cut to 600 bytes", {"snaplen": 600}),
                         ("1% lost", {"drop": 0.01}), ("10% lost", {"drop": 0.1})):
        captured.file, before = worse(captured.file, how.split()[-2], **options), captured.file
        ours = captured.requests(protocol)
        captured.file = before
        sure = [r for r in ours if not r["missing"] & 8 and r["end"] and (r["start"], r["detail"][:40], r["id"]) in whole]
        # The end of an answer may itself be what is missing: then it was seen to end later or earlier, and says so.
        wrong = [(r["key"], r["missing"], facts(r), whole[(r["start"], r["detail"][:40], r["id"])]) for r in sure
                 if facts(r) != whole[(r["start"], r["detail"][:40], r["id"])] and not r["missing"] & 4]
        verdicts.check(f"{name}, {how}: no request is sure of a wrong answer", not wrong,
                       f"{len(ours)} of {len(whole)} requests, {len(sure)} sure, {sum(1 for r in ours if r['missing'] & 8)} inferred {wrong[:2] or ''}")


# --- PostgreSQL


def postgres(folder):
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    if not found or not shutil.which("runuser") or not shutil.which("openssl"):
        return verdicts.skip("postgres", "no initdb of PostgreSQL in /usr/lib/postgresql, or no runuser or openssl")
    where, port = pathlib.Path(found[-1]).parent, free_port()
    base = pathlib.Path(tempfile.mkdtemp(prefix="coldcase-postgres-"))
    shutil.chown(base, "postgres")
    (base / "password").write_text("secret-of-the-test\n")
    (base / "password").chmod(0o644)
    as_postgres = ["runuser", "-u", "postgres", "--"]
    subprocess.run([*as_postgres, where / "initdb", "-D", base / "data", "-U", "postgres", "--auth-host=scram-sha-256",
                    f"--pwfile={base}/password"], check=True, capture_output=True, cwd=base)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=db.test", "-keyout", base / "key.pem",
                    "-out", base / "cert.pem"], check=True, capture_output=True)
    for file in ("key.pem", "cert.pem"):
        shutil.chown(base / file, "postgres")
    options = {"ssl": "on", "ssl_cert_file": base / "cert.pem", "ssl_key_file": base / "key.pem", "port": port, "listen_addresses": HOST, "unix_socket_directories": base, "fsync": "off", "log_destination": "jsonlog",
               "logging_collector": "on", "log_directory": base / "log", "log_min_duration_statement": 0, "log_min_messages": "info"}
    with open(base / "data/pg_hba.conf", "a") as rules:
        rules.write(f"host all all {HOST.rsplit('.', 2)[0]}.0.0/16 scram-sha-256\n")
    server = subprocess.Popen(at_server(*as_postgres, where / "postgres", "-D", base / "data", *[x for k, v in options.items() for x in ("-c", f"{k}={v}")]),
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=base)
    try:
        wait_for(port)
        time.sleep(0.5)
        os.environ |= {"PGPASSWORD": "secret-of-the-test", "PGSSLMODE": "disable"}
        clock = Clock()
        with capture(folder, "postgres", port) as whole:
            postgres_client(port, clock)
        log = postgres_log(base)
        postgres_compare(whole, log, clock)
        with capture(folder, "postgres-tls", port) as secret:
            subprocess.run(["psql", "-h", HOST, "-p", str(port), "-U", "postgres", "-q", "-c", "select 1", "postgres"], check=True,
                           capture_output=True, env={**os.environ, "PGSSLMODE": "require"})
        asked, hello = secret.requests("postgres"), secret.requests("tls")
        verdicts.check("postgres: TLS is read from where it was agreed on", [r["code"] for r in asked if r["key"] == "ssl-request"] == ["S"] and len(
            hello) == 1 and hello[0]["outcome"] == "Ok", [r["key"] for r in asked + hello])
        log = postgres_log(base)
        with capture(folder, "pgbench", port) as load:
            for mode in ("simple", "extended", "prepared"):
                subprocess.run(["pgbench", "-h", HOST, "-p", str(port), "-U", "postgres", "-n", "-c4", "-j2", "-t100", "-M", mode,
                                "postgres"], check=True, capture_output=True)
        postgres_load(load, postgres_log(base)[len(log):])
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(base, ignore_errors=True)


def postgres_client(port, clock):
    import psycopg

    address = f"host={HOST} port={port} user=postgres dbname=postgres sslmode=disable"
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with psycopg.connect(address, autocommit=True) as c:
        run = lambda sql, *args, **named: clock(sql, c.execute, sql, *args, **named)  # noqa: E731
        run("create table t (id int primary key, s text)")
        for n in range(20):
            run(f"insert into t values ({n}, 'name {n}')")
            run(f"select * from t where id <= {n}").fetchall()
        run(f"select 'traced' /*traceparent='{parent}'*/").fetchall()
        run("select pg_sleep(0.25)").fetchall()
        for n in range(20):
            run(f"select %s::int + {n}", (n,)).fetchall()
        for n in range(20):
            c.execute("select s from t where id = %s", (n,), prepare=True).fetchall()
        run("select %s::text, pg_sleep(0.2)", ("x",)).fetchall()
        for wrong in ("selec 1", "select 1/0", "insert into t values (1, 'twice')", "select * from nowhere where a = %s"):
            try:
                c.execute(wrong, (5,) if "%s" in wrong else None)
            except psycopg.Error:
                pass
        with c.pipeline():
            for n in range(30):
                c.execute("update t set s = %s where id = %s", (f"n{n}", n))
        try:
            with c.pipeline():
                for n in range(6):
                    c.execute("select 1 / %s::int", (3 - n,))
        except psycopg.Error:
            pass
        with c.cursor().copy("copy t from stdin") as copy:
            for n in range(1000, 3000):
                copy.write_row((n, "row " * 20))
        with c.cursor().copy("copy t to stdout") as copy:
            for _ in copy:
                pass
        run("select repeat('x', 3000000)").fetchall()
        with c.transaction(), c.cursor(name="cursor") as cursor:
            cursor.itersize = 500
            cursor.execute("select * from t order by id")
            cursor.fetchall()
    psql = ["psql", "-h", HOST, "-p", str(port), "-U", "postgres", "-q", "-o", "/dev/null", "postgres"]
    subprocess.run([*psql, "-c", "select 1; select 2; update t set s = 'z' where id < 3"], check=True)
    subprocess.run(psql, input="\\copy (select * from t) to /dev/null\nbegin;\nselect 5 as five;\nrollback;\n", text=True, check=True)
    subprocess.run(["pgbench", "-h", HOST, "-p", str(port), "-U", "postgres", "-i", "-q", "postgres"], check=True, capture_output=True)
    try:
        psycopg.connect(address.replace("user=postgres", "user=nobody"), password="wrong-secret")
    except psycopg.Error:
        pass


def postgres_log(base):
    time.sleep(0.5)
    lines = []
    for file in sorted(base.glob("log/*.json")):
        lines += [json.loads(line) for line in file.read_text().splitlines()]
    return lines


DURATION = re.compile(r"duration: ([\d.]+) ms  (statement|parse|bind|execute) ?([^:]*): (.*)", re.S)


def postgres_told(log):
    """Statements that were executed: text, and the nanoseconds of their parse, bind and execute; and errors."""
    told, before = [], collections.Counter()
    for line in log:
        said = DURATION.match(line.get("message", ""))
        if said:
            ns, kind = float(said[1]) * MS, said[2]
            before[line["pid"]] = ns if kind == "parse" else before[line["pid"]] + ns
            if kind in ("statement", "execute"):
                told.append((said[4], before.pop(line["pid"])))
            elif kind == "parse":
                pass
    errors = [line["state_code"] for line in log if line["error_severity"] in ("ERROR", "FATAL") and line.get("backend_type") == "client backend"]
    return told, errors


def statements(requests):
    """Ours that the server executed with success."""
    special = ("startup", "sync", "ssl-request", "gss-request", "cancel", "close", "describe")
    return [r for r in requests if r["outcome"] == "Ok" and r["key"] not in special and not re.match("(prepare|bind|describe): ", r["key"])]


def postgres_compare(captured, log, clock):
    ours = captured.requests("postgres")
    sound("postgres", captured, ours)
    told, errors = postgres_told(log)
    executed = statements(ours)
    equal("postgres: statements are those of the server's log", [r["detail"][:500] for r in executed], [text[:500] for text, _ in told])
    equal("postgres: errors are those of the server's log", [r["code"] for r in ours if r["outcome"] == "Error" and r["code"] != "skipped"], errors)
    by_text = collections.defaultdict(list)
    for text, ns in told:
        by_text[text].append(ns)
    once = [(r, by_text[r["detail"]][0]) for r in executed if len(by_text[r["detail"]]) == 1 and r["detail"] in clock.took]
    times("postgres: times are those of the server's log", [(r["end"] - r["sent"], ns, clock.took[r["detail"]]) for r, ns in once])
    slow = [r for r in executed if "pg_sleep" in r["detail"]]
    verdicts.check("postgres: what was slow is slow", len(slow) == 2 and all(r["end"] - r["start"] >= 200 * MS for r in slow), len(slow))
    traced = [r for r in ours if r["traceparent"]]
    verdicts.check("postgres: a traceparent in a comment is found", [r["key"] for r in traced] == ["SELECT ?"], len(traced))
    copies = {r["key"]: r["rows"] for r in executed if r["key"].startswith("COPY t")}
    verdicts.check("postgres: copied rows are counted", list(copies.values()) == [2000, 2020], copies)
    selected = [r["rows"] for r in executed if r["detail"].startswith("select * from t where id <=")]
    verdicts.check("postgres: rows are counted", selected == list(range(1, 21)), selected)
    verdicts.check("postgres: no password is kept", "secret" not in json.dumps(ours))
    inferred("postgres", captured, "postgres")
    verdicts.check("postgres: a transaction that is open is told", any(r["transaction"] == "Open" for r in ours))


def postgres_load(captured, log):
    ours = captured.requests("postgres")
    sound("pgbench", captured, ours)
    told, errors = postgres_told(log)
    # Parameters stand in the log's text of simple statements: what is compared is their number by first words.
    words = lambda text: " ".join(text.split()[:2]).lower()  # noqa: E731
    equal("pgbench: statements are those of the server's log", [words(r["detail"]) for r in statements(ours)], [words(t) for t, _ in told])
    keys = {r["key"] for r in statements(ours) if r["key"].startswith("UPDATE pgbench_accounts")}
    verdicts.check("pgbench: simple, extended and prepared have one fingerprint", len(keys) == 1, keys)
    inferred("pgbench", captured, "postgres")
    verdicts.check("pgbench: no errors", not errors and all(r["outcome"] == "Ok" for r in ours))


# --- MariaDB


def mysql(folder):
    if not all(map(shutil.which, ("mariadbd", "mariadb-install-db", "mariadb"))):
        return verdicts.skip("mysql", "no MariaDB (apt-get install mariadb-server)")
    base = pathlib.Path(tempfile.mkdtemp(prefix="coldcase-mariadb-"))
    shutil.chown(base, "mysql")
    port, socket = free_port(), base / "socket"
    subprocess.run(["mariadb-install-db", "--no-defaults", f"--datadir={base}/data", "--user=mysql", "--skip-test-db",
                    "--auth-root-authentication-method=normal"], check=True, capture_output=True)
    server = subprocess.Popen(
        at_server("mariadbd", "--no-defaults", f"--datadir={base}/data", f"--socket={socket}", f"--port={port}", f"--bind-address={HOST}", "--user=mysql",
         "--log-output=TABLE", "--general-log=1", "--slow-query-log=1", "--long-query-time=0", "--local-infile=1", "--skip-name-resolve",
         f"--pid-file={base}/pid"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        admin = lambda sql: subprocess.run(["mariadb", "--no-defaults", f"--socket={socket}", "-N", "-B", "--raw", "-e", sql], check=True,  # noqa: E731
                                           capture_output=True, text=True).stdout
        admin("create database shop; create user tester identified by 'secret-of-the-test'; grant all on *.* to tester; flush privileges;"
              "truncate mysql.general_log; truncate mysql.slow_log")
        clock, errors = Clock(), []
        with capture(folder, "mysql", port) as whole:
            mysql_client(port, clock, errors, base)
        general = [line.split("\t", 1) for line in admin(
            "select command_type, replace(replace(convert(argument using utf8mb4), '\\n', ' '), '\\t', ' ') from mysql.general_log"
            " where user_host like '%tester%'").splitlines()]
        slow = [line.split("\t", 3) for line in admin(
            "select time_to_sec(query_time) * 1000000 + microsecond(query_time) * (time_to_sec(query_time) = floor(time_to_sec(query_time)))"
            ", rows_sent, rows_affected, replace(replace(convert(sql_text using utf8mb4), '\\n', ' '), '\\t', ' ') from mysql.slow_log"
            " where user_host like '%tester%'").splitlines()]
        mysql_compare(whole, general, slow, errors, clock)
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(base, ignore_errors=True)


def mysql_client(port, clock, errors, base):
    import mysql.connector
    import pymysql

    account = dict(host=HOST, port=port, user="tester", password="secret-of-the-test", database="shop")
    c = pymysql.connect(**account, local_infile=True, autocommit=True, ssl_disabled=True, client_flag=pymysql.constants.CLIENT.MULTI_STATEMENTS)
    cursor = c.cursor()

    def run(sql):
        try:
            clock(sql, cursor.execute, sql)
            return cursor.fetchall()
        except pymysql.Error as e:
            errors.append(e.args[0])

    run("create table t (id int primary key, s varchar(100))")
    for n in range(20):
        run(f"insert into t values ({n}, 'name {n}')")
        run(f"select * from t where id <= {n}")
    run("select sleep(0.25)")
    for wrong in ("selec 1", "select * from nowhere", "insert into t values (1, 'twice')"):
        run(wrong)
    run("select 11; update t set s = 'm' where id < 5; select 13")
    while cursor.nextset():
        pass
    rows = base / "rows"
    rows.write_text("".join(f"{n}\tname {n}\n" for n in range(1000, 2500)))
    run(f"load data local infile '{rows}' into table t")
    run("select repeat('x', 200000), id from t where id < 50")
    c.ping(reconnect=False)
    c.select_db("mysql")
    c.close()
    c = mysql.connector.connect(**account, ssl_disabled=True, use_pure=True, charset="utf8mb4", collation="utf8mb4_general_ci", autocommit=True)
    cursor = c.cursor(prepared=True)
    for n in range(20):
        cursor.execute("select s, id from t where id = ? or id = ?", (n, n + 1))
        cursor.fetchall()
    cursor.execute("select sleep(?)", (0.2,))
    cursor.fetchall()
    try:
        cursor.execute("insert into t values (?, ?)", (1, "twice"))
    except mysql.connector.Error as e:
        errors.append(e.errno)
    cursor.close()
    c.start_transaction()
    plain = c.cursor()
    plain.execute("delete from t where id > 2000")
    c.commit()
    c.close()
    subprocess.run(["mariadb", "--no-defaults", "-h", HOST, "-P", str(port), "-u", "tester", "-psecret-of-the-test", "--skip-ssl", "-N", "-e",
                    "select * from t where id < 10; select count(*) from t", "shop"], check=True, capture_output=True)
    try:
        pymysql.connect(**{**account, "password": "wrong-secret"}, ssl_disabled=True)
    except pymysql.Error as e:
        errors.append(e.args[0])


def mysql_compare(captured, general, slow, errors, clock):
    ours = captured.requests("mysql")
    sound("mysql", captured, ours)
    kinds = {"Connect": "connect", "Quit": "quit", "Prepare": "prepare", "Close stmt": "close", "Init DB": "init db", "Ping": "ping",
             "Reset stmt": "reset statement", "Long Data": "long data", "Statistics": "statistics", "Field List": "field list"}
    of = lambda r: next((k for k in kinds.values() if r["key"] == k or r["key"].startswith(k + ": ")), "statement")  # noqa: E731
    # The log has no pings, and two lines of a login that it refuses.
    equal("mysql: commands are those of the general log", [of(r) for r in ours if r["key"] != "ping"],
          [kinds.get(kind, "statement") for kind, what in general if not what.startswith("Access denied")])
    refused = [r for r in ours if r["key"] == "connect" and r["outcome"] == "Error"]
    verdicts.check("mysql: a refused login is an error", [r["code"] for r in refused] == ["1045 (28000)"], [r["code"] for r in refused])
    equal("mysql: errors are those of the clients", [int(r["code"].split()[0]) for r in ours if r["outcome"] == "Error"], errors)
    told = [(float(us) * 1000, int(sent), int(affected), text) for us, sent, affected, text in slow]
    answered = [r for r in ours if of(r) == "statement" and r["outcome"] == "Ok" and "; " not in r["detail"]]
    selects = [(r["detail"], r["rows"]) for r in answered if r["detail"].startswith("select") and "?" not in r["detail"]]
    texts = {text for text, _ in selects}
    equal("mysql: rows are those of the slow log", selects, [(text, sent) for _, sent, _, text in told if text in texts])
    by_text = collections.Counter(text for *_, text in told)
    pairs = [(r["end"] - r["sent"], next(us for us, _, _, text in told if text == r["detail"]), clock.took[r["detail"]])
             for r in answered if by_text[r["detail"]] == 1 and r["detail"] in clock.took]
    times("mysql: times are those of the slow log", pairs)
    prepared = [r for r in ours if r["key"] == "SELECT s, id FROM t WHERE id = ? OR id = ?" and r["outcome"] == "Ok"]
    verdicts.check("mysql: executes have the key and rows of their prepare", len(prepared) == 20 and sum(r["rows"] for r in prepared) == 39,
                   [r["rows"] for r in prepared])
    loaded = [r["rows"] for r in ours if r["detail"].startswith("load data")]
    verdicts.check("mysql: a file that was loaded is one request", loaded == [1500], loaded)
    verdicts.check("mysql: no password is kept", "secret" not in json.dumps(ours))
    inferred("mysql", captured, "mysql")


# --- Redis


def redis(folder):
    if not shutil.which("redis-server"):
        return verdicts.skip("redis", "no redis-server")
    import redis as client

    base, port = pathlib.Path(tempfile.mkdtemp(prefix="coldcase-redis-")), free_port()
    server = subprocess.Popen(at_server("redis-server", "--bind", HOST, "--protected-mode", "no", "--port", str(port), "--save", "", "--dir", base, "--slowlog-log-slower-than", "0", "--slowlog-max-len",
                               "100000", "--enable-debug-command", "yes"), stdout=subprocess.DEVNULL)
    try:
        wait_for(port)
        clock = Clock()
        with capture(folder, "redis", port) as whole:
            stats = redis_client(client, port, clock)
        redis_compare(whole, stats, clock)
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(base, ignore_errors=True)


def redis_client(client, port, clock):
    import socket

    for protocol in (2, 3):
        r = client.Redis(host=HOST, port=port, protocol=protocol, socket_timeout=20)
        for n in range(50):
            clock(f"SET key{protocol}-{n}", r.set, f"key{protocol}-{n}", "secret value " * n)
            clock(f"GET key{protocol}-{n}", r.get, f"key{protocol}-{n}")
        clock(f"GET none{protocol}", r.get, f"none{protocol}")
        r.hset("hash", mapping={f"f{n}": n for n in range(100)})
        r.hgetall("hash")
        r.rpush("list", *range(1000))
        r.lrange("list", 0, -1)
        r.zadd("sorted", {"a": 1.5, "b": 2})
        r.zrange("sorted", 0, -1, withscores=True)
        r.sadd("set", "a", "b")
        r.smembers("set")
        r.eval("return {1, {2, 3}, false}", 1, "key")
        r.config_get("max*")
        r.execute_command("DEBUG", "SLEEP", "0.2")
        r.blpop("nothing", timeout=1)
        r.set("big", "x" * 3_000_000)
        r.get("big")
        for wrong in (("INCR", "list"), ("NOSUCH", "x"), ("LPUSH", "hash", "1")):
            try:
                r.execute_command(*wrong)
            except client.ResponseError:
                pass
        pipe = r.pipeline(transaction=False)
        for n in range(2000):
            pipe.set(f"p{n}", n).get(f"p{n}")
        pipe.execute()
        pipe = r.pipeline(transaction=True)
        for n in range(20):
            pipe.incr("counter")
        pipe.execute()
        listener = client.Redis(host=HOST, port=port, protocol=protocol).pubsub()
        listener.subscribe("a", "b")
        listener.psubscribe("c*")
        for n in range(30):
            r.publish("a", f"m{n}")
            r.publish("cc", f"m{n}")
        heard = 0
        while heard < 63 and listener.get_message(timeout=2):
            heard += 1
        listener.unsubscribe()
        listener.punsubscribe()
        for _ in range(3):
            listener.get_message(timeout=2)
        listener.close()
    with socket.create_connection((HOST, port)) as s:
        s.sendall(b"PING\r\nSET inline 1\r\nGET inline\r\n")
        time.sleep(0.2)
        s.recv(1000)
    r = client.Redis(host=HOST, port=port)
    slow = r.slowlog_get(100_000)
    return r.info("commandstats"), r.info("errorstats"), slow


def redis_compare(captured, stats, clock):
    commands, errors, slow = stats
    ours = captured.requests("redis")
    sound("redis", captured, ours)
    # The INFO that tells the numbers does not count itself, nor what comes behind it.
    ours = ours[:next(i for i, r in enumerate(ours) if r["key"] == "INFO")]
    theirs = collections.Counter({name.removeprefix("cmdstat_").replace("|", " ").upper(): s["calls"] + s["rejected_calls"] for name, s in commands.items()})
    # What it does not know it does not count; DEBUG has no subcommands for it.
    unknown = lambda r: r["code"] == "ERR" and r["key"].split()[0] in ("NOSUCH", "CLIENT")  # noqa: E731
    counted = [r["key"].replace("DEBUG SLEEP", "DEBUG") for r in ours if not unknown(r)]
    equal("redis: commands are those that the server counted", counted, theirs.elements())
    equal("redis: errors are those that the server counted", [r["code"] for r in ours if r["outcome"] == "Error"],
          [name.removeprefix("errorstat_") for name, s in errors.items() for _ in range(s["count"])])
    logged = {}
    for entry in slow:
        words = entry["command"].decode(errors="replace").split(" ")
        logged[" ".join(words[:2])] = entry["duration"] * 1000
    pairs = [(r["end"] - r["sent"], logged[r["detail"]], clock.took[r["detail"]]) for r in ours if r["detail"] in logged and r["detail"] in clock.took]
    times("redis: times are those of the slow log", pairs)
    sleeps = [r["end"] - r["start"] for r in ours if r["key"] == "DEBUG SLEEP"]
    # Where packets are lost, the answer may come with the second or third sending.
    most = 260 if "LOSSY" not in os.environ else 2000
    verdicts.check("redis: what was slow is slow", len(sleeps) == 2 and all(200 * MS <= s <= most * MS for s in sleeps), sleeps)
    subscribed = [(r["key"], r["outcome"]) for r in ours if r["key"].endswith("SUBSCRIBE")]
    verdicts.check("redis: subscriptions are answered, and their messages are no answers", len(subscribed) == 8 and all(
        o == "Ok" for _, o in subscribed), subscribed)
    verdicts.check("redis: no value is kept", "secret" not in json.dumps(ours))
    inferred("redis", captured, "redis")


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("skipped: databases: capturing needs root")
        sys.exit(0)
    if not shutil.which("tcpdump"):
        print("skipped: databases: no tcpdump")
        sys.exit(0)
    clients()
    build()
    target = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="coldcase-databases-"))
    target.mkdir(parents=True, exist_ok=True)
    for part in (postgres, mysql, redis):
        part(target)
    verdicts.end()
