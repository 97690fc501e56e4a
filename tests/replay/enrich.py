"""`coldcase replay --enrich`: what the kernel and the packets tell of a span goes out with it.

The demo's shop runs with a fault that syncs files, and is recorded with payload; the bundle is replayed into a second recorder with --enrich, whose
requests are read with OpenTelemetry's own classes. What was added is held against the rows of the first bundle, as `query` gives them.

usage: enrich.py (as root)
"""
import collections
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import shop  # noqa: E402
from case import COLDCASE, Verdicts, framed, run  # noqa: E402

try:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from otlp import Recorder
except ImportError as e:
    print(f"skipped: enriched replay: {e} (make setup-test installs it)")
    sys.exit(0)

# Of one trace in Jaeger's form.
JAEGER = """{"data":[{"traceID":"5b8efff798038103d269b633813fc60c","spans":[{"traceID":"5b8efff798038103d269b633813fc60c","spanID":"eee19b7ec3c1b174",
"operationName":"GET /cart","processID":"p1","startTime":1700000000000000,"duration":2500,"tags":[{"key":"span.kind","type":"string","value":"server"}]}],
"processes":{"p1":{"serviceName":"cart"}}}]}"""
ZIPKIN = """[{"traceId":"6b8efff798038103d269b633813fc60c","id":"fee19b7ec3c1b174","name":"get /stock","kind":"SERVER","timestamp":1700000000000000,
"duration":1200,"localEndpoint":{"serviceName":"stock"},"tags":{"http.path":"/stock"}}]"""


def replayed(folder, name, bundle, *argv):
    """Spans as a second recorder received them, by (trace, span), and the summary."""
    to = folder / f"{name}.case"
    recorder = Recorder(to)
    done = subprocess.run([COLDCASE, "replay", bundle, "--json", "--speed", "max", "--shift", "keep", "--no-mark", "--otlp", f"http://{recorder.http}", *argv],
                          capture_output=True, text=True)
    recorder.process.send_signal(signal.SIGINT)
    recorder.process.wait(30)
    if done.returncode:
        sys.exit(f"FAILED  replay {argv}: exit {done.returncode}: {done.stderr[-800:]}")
    run("export", to, "--otlp", folder / name, "--force", "--quiet")
    spans = {}
    for request in map(ExportTraceServiceRequest.FromString, framed(folder / name / "traces.pb")):
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    spans[span.trace_id.hex(), span.span_id.hex()] = span
    return spans, json.loads(done.stdout)


def query(case, sql):
    return json.loads(run("query", case, sql, "--format", "json", "--quiet"))


def value(any_value):
    return getattr(any_value, any_value.WhichOneof("value"))


def ours(attributes):
    return {a.key: value(a.value) for a in attributes if a.key.startswith("coldcase.")}


def plain(span):
    """Without what was added."""
    out = type(span)()
    out.CopyFrom(span)
    for field in ("attributes", "events"):
        kept = [x for x in getattr(out, field) if not (x.key.startswith("coldcase.") if field == "attributes" else ours(x.attributes))]
        del getattr(out, field)[:]
        getattr(out, field).extend(kept)
    return out.SerializeToString(deterministic=True)


def check(v, folder, bundle):
    before, _ = replayed(folder, "plain", bundle)
    after, summary = replayed(folder, "enriched", bundle, "--enrich")
    enriched = {key: span for key, span in after.items() if ours(span.attributes) or any(ours(e.attributes) for e in span.events)}
    v.check("the summary tells how many spans it added to", summary["outputs"][0]["enriched"] == len(enriched) > 100, f"{len(enriched)} of {len(after)}")
    v.check("without what was added the spans are the same", before.keys() == after.keys() and
            all(plain(after[k]) == before[k].SerializeToString(deterministic=True) for k in before), len(before))

    rows = {f"kernel.offcpu#{r['row']}": r for r in query(bundle, "SELECT row, utc, duration, tid FROM offcpu")}
    by_thread = collections.defaultdict(list)
    for r in rows.values():
        by_thread[r["tid"]].append((r["utc"], r["utc"] + r["duration"]))
    bound = {(s["trace"], s["span"]): s for s in query(bundle, "SELECT trace, span, tid, utc, \"end\", name, service FROM spans WHERE tid IS NOT NULL")}
    wrong, checked = [], 0
    for key, span in bound.items():
        off = sum(max(0, min(end, span["end"]) - max(start, span["utc"])) for start, end in by_thread[span["tid"]])
        told = sum(n for name, n in ours(after[key].attributes).items() if name.startswith("coldcase.wait."))
        checked += off > 0
        if off != told:
            wrong.append((span["name"], off, told))
    v.check("what a thread waited for sums to its time off the CPU within the span, to the nanosecond", checked > 100 and not wrong, f"{checked} spans with waits; {wrong[:3]}")

    events = [(key, span, e, ours(e.attributes)) for key, span in after.items() for e in span.events if ours(e.attributes)]
    kinds = collections.Counter(e.name for _, _, e, _ in events)
    v.check("each event lies within its span", events and all(s.start_time_unix_nano <= e.time_unix_nano <= s.end_time_unix_nano for _, s, e, _ in events), kinds)
    cited = collections.Counter(a["coldcase.row"] for *_, a in events)
    v.check("a row is the event of one span", max(cited.values()) == 1, len(cited))
    threads = [(rows[a["coldcase.row"]]["tid"], bound[key]["tid"]) for key, _, e, a in events if e.name == "kernel.offcpu"]
    v.check("and that of its thread", threads and all(x == y for x, y in threads), len(threads))
    syncs = {r["row"]: r["path"] for r in query(bundle, "SELECT row, path FROM kernel_file WHERE path LIKE '%audit%'")}
    named = [(key, a) for key, _, e, a in events if e.name == "kernel.file" and int(a["coldcase.row"].split("#")[1]) in syncs]
    # Calls above the threshold have a row: how many those are is the disk's.
    v.check("slow syncs of the fault are events of spans of orders, and tell the file", syncs and len(named) >= 0.8 * len(syncs) and
            all("audit" in a["coldcase.text"] for _, a in named) and {bound[key]["service"] for key, _ in named} == {"orders"}, f"{len(named)} of {len(syncs)}")

    clients = {key: ours(s.attributes) for key, s in after.items() if s.kind == s.SPAN_KIND_CLIENT}
    wire = {key: a for key, a in clients.items() if a.get("coldcase.request.joined_by") == "traceparent"}
    v.check("calls between the services have their request on the wire", len(wire) > 0.8 * len([k for k in clients if bound.get(k, {}).get("service") == "gateway"]) > 50,
            f"{len(wire)} of {len(clients)}")
    v.check("which took no longer than the span", all(a["coldcase.request.duration_ns"] <= after[k].end_time_unix_nano - after[k].start_time_unix_nano
                                                  for k, a in wire.items() if "coldcase.request.duration_ns" in a))


def check_documents(v, folder):
    """Jaeger's and Zipkin's documents go out as OTLP."""
    for name, text in (("jaeger", JAEGER), ("zipkin", ZIPKIN)):
        (folder / f"{name}.json").write_text(text)
    bundle = folder / "imported.case"
    run("import", folder / "jaeger.json", folder / "zipkin.json", "-o", bundle, "--quiet")
    spans, summary = replayed(folder, "documents", bundle)
    told = query(bundle, "SELECT trace, span, name, utc, duration FROM spans ORDER BY trace")
    got = [{"trace": t, "span": s, "name": x.name, "utc": x.start_time_unix_nano, "duration": x.end_time_unix_nano - x.start_time_unix_nano}
           for (t, s), x in sorted(spans.items())]
    v.check("documents of Jaeger and Zipkin go out as OTLP", len(told) == 2 and told == got and summary["outputs"][0]["unsupported"] == 0, got)


def main():
    v = Verdicts()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        check_documents(v, folder)
        if os.geteuid() == 0:
            check(v, folder, shop.recorded(folder, "--quiet", shop=("--fault", "fsync")))
        else:
            v.skip("enriched spans", "recording kernel and packets needs root")
    v.end()


if __name__ == "__main__":
    main()
