"""`coldcase replay --requests-to`: a client's requests to one nginx, recorded with payload, sent again to a second one. The second one's log must
hold what the first one's holds: method, URI, body, order on each connection, gaps; and the report names what differs.

usage: requests.py
"""
import collections
import json
import pathlib
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from serving import Client, Nginx, Recording, Sleeper, enter_own_network

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from case import COLDCASE, ROOT, Verdicts  # noqa: E402

OLD, NEW = 8101, 8102
v = Verdicts()


def coldcase(*argv):
    return subprocess.run([COLDCASE, *map(str, argv)], capture_output=True, text=True)


def plans():
    """What each connection sends: pause, method, path, headers, body, chunked."""
    noise = random.Random(11)
    out = []
    for _ in range(6):
        plan = []
        for _ in range(30):
            pause = noise.choice([0.002, 0.01, 0.03, 0.08])
            what = noise.random()
            body = noise.randbytes(noise.randrange(1, 9000)).hex().encode()[: noise.randrange(20, 9000)]
            if what < 0.5:
                plan.append((pause, "GET", f"/item-{noise.randrange(40)}.html?page={noise.randrange(5)}", {}, b"", False))
            elif what < 0.6:
                plan.append((pause, "GET", "/big.bin", {"Cookie": "session=secret"}, b"", False))
            elif what < 0.7:
                plan.append((pause, "GET", f"/nothing/{noise.randrange(1000)}", {}, b"", False))
            elif what < 0.75:
                plan.append((pause, "HEAD", "/small.txt", {}, b"", False))
            elif what < 0.8:
                plan.append((pause, "GET", "/flaky", {"Authorization": "Bearer secret"}, b"", False))
            elif what < 0.95:
                plan.append((pause, "POST", "/orders", {"Content-Type": "text/plain"}, body, False))
            else:
                plan.append((pause, "PUT", f"/orders/{noise.randrange(100)}", {}, body, True))
        out.append(plan)
    return out


def by_connection(log):
    """Requests of each connection in their order, by the number of the first."""
    of = collections.defaultdict(list)
    for r in log:
        of[r["connection"]].append(r)
    return {rs[0]["run"]: rs for rs in of.values() if rs[0]["run"]}


def gaps(log):
    """From each request's arrival to that of the next on its connection, milliseconds."""
    out = {}
    for run, rs in by_connection(log).items():
        arrivals = [(r["at"] - r["took"]) * 1000 for r in rs]
        out[run] = [b - a for a, b in zip(arrivals, arrivals[1:])]
    return out


def p99(values):
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]


def same(old, new, what):
    a, b = by_connection(old), by_connection(new)
    if not v.check(f"{what}: as many connections, with the same first requests", sorted(a) == sorted(b), f"{len(a)} and {len(b)}"):
        return
    for field in ("run", "method", "uri", "length", "coding", "body", "accept"):
        differ = [(x[field][:60], y[field][:60]) for run in a for x, y in zip(a[run], b[run]) if x[field] != y[field]]
        v.check(f"{what}: {field} of each request in its order", not differ and all(len(a[r]) == len(b[r]) for r in a), differ[:2] or sum(map(len, b.values())))


def validate(document, schema):
    import jsonschema
    jsonschema.Draft202012Validator(json.loads((ROOT / f"formats/{schema}.schema.json").read_text())).validate(document)


def in_time(case, old, folder):
    new = Nginx(folder / "new", NEW, flaky="return 500 broken;")
    with Sleeper() as sleeper:
        done = coldcase("replay", case, "--requests-to", f"http://127.0.0.1:{NEW}", "-Y", f"tcp port {OLD}", "--json")
    time.sleep(0.2)
    new.stop()
    if not v.check("the replay ends well", done.returncode == 0, done.stderr.strip()[-400:]):
        return
    report = json.loads(done.stdout)
    validate(report, "replay-requests")
    log = [r for r in new.log() if r["run"]]
    same(old, log, "at recorded speed")
    off = [abs(x - y) for run, a in gaps(old).items() for x, y in zip(a, gaps(log).get(run, []))]
    noise = sleeper.p99()
    v.check("gaps between requests of a connection: difference p99 at most 5 ms, and what plain sleeps are late", off and p99(off) <= 5 + 2 * noise,
            f"p50 {sorted(off)[len(off) // 2]:.1f} ms, p99 {p99(off):.1f} ms, max {max(off):.1f} ms of {len(off)}, logged to the millisecond; a sleep {noise:.1f} ms")
    late = report["timing"]["late"]
    v.check("sent late by at most 5 ms at p99, likewise", late["p99"] / 1e6 <= 5 + noise, f"p50 {late['p50'] / 1e3:.0f} µs, p99 {late['p99'] / 1e3:.0f} µs")
    v.check("each carries the bundle's id", {r["mark"] for r in log} == {report["bundle"]["id"]}, report["bundle"]["id"])
    v.check("Host is the target's", {r["host"] for r in log} == {f"127.0.0.1:{NEW}"})
    v.check("no credentials were sent", not any(r["auth"] or r["cookie"] for r in log) and any(r["auth"] for r in old) and any(r["cookie"] for r in old),
            f"{report['credentials_left_out']} left out")
    flaky = next(o for o in report["operations"] if o["operation"] == "GET /flaky")
    v.check("the status that differs is named", flaky["status_changes"] == [{"recorded": "200", "now": "500", "count": flaky["sent"]}], flaky["status_changes"])
    rest = [o for o in report["operations"] if o["operation"] != "GET /flaky"]
    v.check("and no other differs", all(o["same_status"] == o["sent"] and not o["errors"] for o in rest), f"{report['same_status']} of {report['sent']} the same")
    missing = [o for o in rest if o["operation"].startswith("GET /nothing/")]
    v.check("404 then is 404 now", sum(o["same_status"] for o in missing) == sum(r["status"] == 404 for r in old), len(missing))
    v.check("latencies then and now stand beside each other", all(o["latency_recorded"] and o["latency_now"] for o in report["operations"]))


def fast_and_kept(case, old, folder):
    new = Nginx(folder / "fast", NEW)
    argv = ("--speed", "max", "--keep-credentials", "--keep-host")
    done = coldcase("replay", case, "--requests-to", f"http://127.0.0.1:{NEW}", "-Y", f"tcp port {OLD}", *argv)
    time.sleep(0.2)
    new.stop()
    log = new.log()
    same(old, [r for r in log if r["run"]], "at --speed max")
    v.check("--keep-credentials and --keep-host send them", {r["host"] for r in log if r["run"]} == {"recorded.example"}
            and sum(bool(r["cookie"]) for r in log) == sum(bool(r["cookie"]) for r in old))
    print(done.stdout)


def cut(case, old, folder):
    """Of packets that were cut, what is there is sent."""
    whole, some, heads = folder / "whole.pcapng", folder / "some.pcapng", folder / "heads.pcapng"
    coldcase("export", "--pcapng", whole, case)
    subprocess.run(["editcap", "-s", "400", whole, some], check=True)
    subprocess.run(["editcap", "-s", "66", whole, heads], check=True)
    new = Nginx(folder / "cut", NEW)
    long = [r for r in old if r["length"] and int(r["length"]) > 400]
    chunked = [r for r in old if r["coding"] and len(r["body"]) > 400]
    argv = ("-Y", f"tcp port {OLD}", "--requests-to", f"http://127.0.0.1:{NEW}", "--speed", "max", "--json")
    report = json.loads(coldcase("replay", some, *argv).stdout)
    skipped = {s["what"].split(" (")[0]: s["count"] for s in report["skipped"]}
    v.check("requests without their bodies are skipped and counted", sum(skipped.values()) >= len(long) + len(chunked) > 0
            and report["sent"] + sum(skipped.values()) == report["recorded"] == len(old), skipped)
    first = min(r["at"] for r in old)
    part = sum(1.0 <= r["at"] - r["took"] - first < 2.0 for r in old)
    report = json.loads(coldcase("replay", whole, *argv, "--from", "+1s", "--to", "+2s").stdout)
    v.check("--from and --to choose a part of a capture file", 0 < report["sent"] == report["recorded"] and abs(report["sent"] - part) <= 0.4 * part,
            f"{report['sent']} sent, about {part} logged then")
    before = len(new.log())
    report = json.loads(coldcase("replay", some, *argv, "--fill-bodies").stdout)
    time.sleep(0.2)
    new.stop()
    now = {r["run"]: r for r in new.log()[before:]}
    filled = [now.get(r["run"]) for r in long]
    v.check("--fill-bodies sends as many bytes of filler", all(n and n["length"] == r["length"] and set(n["body"]) == {"x"} for n, r in zip(filled, long)),
            f"{report['filled_bodies']} filled")
    done = coldcase("replay", heads, *argv)
    v.check("of headers alone nothing can be sent, and it says what to do", done.returncode == 2 and "--load-profile" in done.stderr, done.stderr.strip())


def refusals(case):
    done = coldcase("replay", case, "--requests-to", "http://192.0.2.1:80", "-Y", f"tcp port {OLD}")
    v.check("requests that change something are not sent to another machine", done.returncode == 2 and "POST (" in done.stderr and "--yes-send" in done.stderr,
            done.stderr.strip())
    done = coldcase("replay", case, "--requests-to", f"http://127.0.0.1:{NEW}", "-Y", f"tcp port {OLD}")
    v.check("a server that is not there: exit 1, counted", done.returncode == 1 and "connection refused" in done.stdout, done.stdout.splitlines()[0])
    done = coldcase("replay", case, "--requests-to", f"https://127.0.0.1:{NEW}")
    v.check("TLS is refused with a way out", done.returncode == 2 and "hint:" in done.stderr, done.stderr.strip())


def flood(folder):
    """Thousands of requests of a load generator, over keep-alive connections."""
    old = Nginx(folder / "flood-old", OLD)
    case = folder / "flood.case"
    with Recording(case, "--payload", "2000"):
        subprocess.run(["wrk", "-t", "1", "-c", "8", "-d", "1s", f"http://127.0.0.1:{OLD}/small.txt"], stdout=subprocess.DEVNULL, check=True)
    old.stop()
    new = Nginx(folder / "flood-new", NEW)
    report = json.loads(coldcase("replay", case, "--requests-to", f"http://127.0.0.1:{NEW}", "-Y", f"tcp port {OLD}", "--json").stdout)
    time.sleep(0.2)
    new.stop()
    logged, known = len(new.log()), report["sent"]
    v.check("of wrk's requests each that was recorded is sent again", logged == known == report["answered"] and known > 1000,
            f"{len(old.log())} logged then, {report['recorded']} recorded, {known} sent, {logged} logged now; {report['timing']['held_back']} waited for an answer")
    v.check("over as many connections", report["connections_opened"] == report["connections"] == 8, report["connections_opened"])


def odd_ones(folder):
    """Connections of one request each, requests that were pipelined, one in HTTP/1.0, one that asks for another protocol."""
    old = Nginx(folder / "odd-old", OLD)
    case = folder / "odd.case"
    with Recording(case, "--payload", "65535"):
        for item in range(10):
            subprocess.run(["curl", "-s", "-o", "/dev/null", f"http://127.0.0.1:{OLD}/item-{item}.html"], check=True)
        for raw in (b"".join(b"GET /item-%d.html HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(20, 25)), b"GET /small.txt HTTP/1.0\r\n\r\n",
                    b"GET /small.txt HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", OLD)) as s:
                s.sendall(raw)
                time.sleep(0.2)
    old.stop()
    new = Nginx(folder / "odd-new", NEW)
    # A name with two addresses, of which the server may have one alone.
    report = json.loads(coldcase("replay", case, "--requests-to", f"http://localhost:{NEW}", "--json").stdout)
    time.sleep(0.2)
    new.stop()
    asked = [sorted(r["uri"] for r in server.log()) for server in (old, new)]
    v.check("single, pipelined and HTTP/1.0 requests are sent again", report["sent"] == report["answered"] == 16 == len(asked[1]) and report["connections_opened"] == 12,
            f"{report['sent']} over {report['connections_opened']} connections")
    v.check("what was pipelined is sent one after another, and counted", report["pipelined"] == 4 and report["timing"]["held_back"] >= 3, report["pipelined"])
    v.check("what asks for another protocol is not sent", [s["count"] for s in report["skipped"]] == [1] and asked[0] == sorted([*asked[1], "/small.txt"]), report["skipped"])


def main():
    missing = [tool for tool in ("nginx", "wrk", "editcap", "curl", "ip") if not shutil.which(tool)]
    if missing or not enter_own_network():
        v.skip("requests sent again", f"no {missing[0]}" if missing else "a network of its own needs root")
        v.end()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        server = Nginx(folder / "old", OLD)
        case = folder / "requests.case"
        with Recording(case, "--payload", "65535"):
            clients = [Client(OLD, f"c{n}", plan) for n, plan in enumerate(plans())]
            for n, client in enumerate(clients):
                client.start()
                time.sleep(0.05 * (n % 3))
            for client in clients:
                client.join(60)
        server.stop()
        old = [r for r in server.log() if r["run"]]
        v.check("the client was answered", len(old) == sum(len(c.statuses) for c in clients) == 180, len(old))
        in_time(case, old, folder)
        fast_and_kept(case, old, folder)
        cut(case, old, folder)
        refusals(case)
        odd_ones(folder)
        flood(folder)
    v.end()


main()
