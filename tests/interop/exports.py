"""Files for other tools, held against the bundle: Perfetto by its own protos, pprof by Go's `pprof`, speedscope by its schema, and OTLP/JSON by
importing it again. Counts and sums of the foreign reader must be those of `coldcase query`. Of the fixture, and, as root, of a shop that is
recorded with all that OTLP has in it. usage: exports.py [BUNDLE...]
"""
import collections
import functools
import json
import math
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from case import COLDCASE, ROOT, Verdicts, run  # noqa: E402

verdicts = Verdicts()


def query(bundle, sql):
    """The rows of a query."""
    return json.loads(run("query", bundle, sql, "--format", "json", "--quiet"))


@functools.cache
def tables(bundle):
    """Names of its tables."""
    return {t["name"] for t in json.loads(run("query", bundle, "--json", "--quiet"))["tables"]}


def number(bundle, table, what="count(*)", where=""):
    """A number of a table; 0 where the bundle has no such table."""
    rows = query(bundle, f"SELECT {what} AS n FROM {table} {where}") if table in tables(bundle) else []
    return int(rows[0]["n"] or 0) if rows else 0


def export(bundle, kind, path, *more):
    """Exports, and gives what the tool tells of it."""
    return json.loads(run("export", f"--{kind}", path, bundle, "--force", "--json", *more))


class Trace:
    """A Perfetto trace, read with Perfetto's own protos by the rules of trace_processor: packets sorted by time, those of one time in the order of
    the file; an end ends the innermost slice of its track; of a flow the one end that names it first leads to the other."""

    def __init__(self, path):
        from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as protos
        trace = protos.Trace()
        trace.ParseFromString(path.read_bytes())
        self.packets = len(trace.packet)
        self.tracks, self.slices, self.instants, self.counters, self.samples, self.clocks, self.wrong = {}, [], [], [], [], [], []
        tables = {name: {} for name in ("event_names", "event_categories", "debug_annotation_names", "function_names", "frames", "callstacks", "mappings", "mapping_paths")}
        events = []
        for packet in trace.packet:
            for name, table in tables.items():
                for entry in getattr(packet.interned_data, name):
                    table[entry.iid] = entry
            if packet.HasField("track_descriptor"):
                self.tracks[packet.track_descriptor.uuid] = packet.track_descriptor
            elif packet.HasField("track_event"):
                events.append((packet.timestamp, packet.track_event))
            elif packet.HasField("perf_sample"):
                self.samples.append((packet.timestamp, packet.perf_sample))
            elif packet.HasField("clock_snapshot"):
                self.clocks.append({c.clock_id: c.timestamp for c in packet.clock_snapshot.clocks})
        self.tables = tables
        events.sort(key=lambda e: e[0])
        open_slices, flows, self.arrows, ended = collections.defaultdict(list), {}, [], set()
        for time, event in events:
            stack = open_slices[event.track_uuid]
            if event.track_uuid not in self.tracks:
                self.wrong.append(f"an event on no track at {time}")
            if event.type == event.TYPE_COUNTER:
                self.counters.append((event.track_uuid, time, event.double_counter_value))
                continue
            if event.type == event.TYPE_SLICE_END:
                if not stack:
                    self.wrong.append(f"an end of nothing at {time}")
                    continue
                stack.pop()["end"] = time
                continue
            what = {"name": tables["event_names"][event.name_iid].name if event.name_iid else event.name, "start": time, "end": time, "track": event.track_uuid,
                    "category": [tables["event_categories"][c].name for c in event.category_iids][0], "depth": len(stack), "above": stack[-1] if stack else None,
                    "said": {tables["debug_annotation_names"][a.name_iid].name: self.said(a) for a in event.debug_annotations}}
            if event.type == event.TYPE_SLICE_BEGIN:
                self.slices.append(what)
                stack.append(what)
            else:
                self.instants.append(what)
            for flow in event.flow_ids:
                flows[flow] = what
            for flow in event.terminating_flow_ids:
                if flow not in flows or flow in ended:
                    self.wrong.append(f"a flow from nothing to {what['name']} at {time}")
                    continue
                ended.add(flow)
                self.arrows.append((flows[flow], what))
        self.wrong += [f"{len(stack)} slices without an end on track {track}" for track, stack in open_slices.items() if stack]
        self.wrong += [f"{s['name']} ends after what it stands in" for s in self.slices if s["above"] and not s["above"]["start"] <= s["start"] <= s["end"] <= s["above"]["end"]]

    @staticmethod
    def said(annotation):
        return getattr(annotation, annotation.WhichOneof("value"))

    def of(self, category):
        return [s for s in self.slices if s["category"] == category]

    def instants_of(self, category):
        return [s for s in self.instants if s["category"] == category]

    def stack(self, sample):
        """Function names, outermost first."""
        frames = [self.tables["frames"][f] for f in self.tables["callstacks"][sample.callstack_iid].frame_ids] if sample.callstack_iid else []
        return [self.tables["function_names"][f.function_name_id].str.decode() for f in frames]


def perfetto(bundle, folder, what):
    try:
        import perfetto.protos  # noqa: F401
    except ImportError:
        return verdicts.skip("Perfetto", "the Python package perfetto is not installed")
    told = export(bundle, "perfetto", folder / "t.perfetto")
    trace = Trace(folder / "t.perfetto")
    verdicts.check(f"{what}: Perfetto: every slice ends, stands within the one around it, and every flow leads from something to something", not trace.wrong, trace.wrong[:3])
    verdicts.check(f"{what}: Perfetto: packets are those told", trace.packets == told["packets"], trace.packets)
    spans = query(bundle, "SELECT trace, span, parent, tid, utc, duration, name FROM spans")
    ours = sorted((s["trace"], s["span"], s["utc"], s["duration"], s["name"]) for s in spans)
    theirs = sorted((s["said"].get("trace"), s["said"].get("span"), s["start"], s["end"] - s["start"], s["name"]) for s in trace.of("span"))
    verdicts.check(f"{what}: Perfetto: each span is a slice of its name, start and duration", ours == theirs and ours, len(theirs))
    by_span = {s["said"].get("span"): s for s in trace.of("span")}
    bound = [s for s in spans if s["tid"]]
    right = [s for s in bound if trace.tracks[by_span[s["span"]]["track"]].thread.tid == s["tid"] or by_span[s["span"]]["depth"] >= 0 and trace.tracks.get(trace.tracks[by_span[s["span"]]["track"]].parent_uuid).thread.tid == s["tid"]]
    verdicts.check(f"{what}: Perfetto: spans stand on the thread that they are bound to", len(right) == len(bound) > 0, f"{len(bound)} of {len(spans)} are bound")
    arrows = {(a["said"].get("span"), b["said"].get("span")) for a, b in trace.arrows if a["category"] == b["category"] == "span"}
    tids = {s["span"]: s["tid"] for s in spans}
    across = {(s["parent"], s["span"]) for s in spans if s["parent"] in by_span and s["tid"] and tids[s["parent"]] and tids[s["parent"]] != s["tid"]}

    def around(s):
        while s := s["above"]:
            yield s["said"].get("span")
    apart = {(s["parent"], s["span"]) for s in spans if s["parent"] in by_span and s["parent"] not in around(by_span[s["span"]])}
    links = {(r["linked_span"], r["span"]) for r in query(bundle, "SELECT span, linked_span FROM span_links")} if number(bundle, "span_links") else set()
    verdicts.check(f"{what}: Perfetto: an arrow leads to each span from the parent that it does not stand in, as on another thread, and from what it links to, and no other",
                   across <= apart and arrows == apart | links and across, f"{len(across)} from other threads, {len(links)} links, {list(arrows ^ (apart | links))[:2]}")
    for stream in ("kernel_offcpu", "kernel_block", "kernel_file", "kernel_tcp_retransmit", "kernel_tcp_state", "kernel_lock", "kernel_signal", "kernel_drop"):
        name = stream.replace("_", ".", 1)
        rows, shown = number(bundle, stream), len(trace.of(name)) + len(trace.instants_of(name))
        if rows or shown:
            verdicts.check(f"{what}: Perfetto: all rows of {name}", rows == shown, rows)
    offcpu = {(r["row"], r["tid"], r["duration"]) for r in query(bundle, "SELECT row, tid, duration FROM kernel_offcpu")}
    theirs = {(s["said"]["row"], s["said"]["tid"], s["end"] - s["start"]) for s in trace.of("kernel.offcpu")}
    verdicts.check(f"{what}: Perfetto: waits have their thread and length", offcpu == theirs and offcpu, len(theirs))
    queued = [s for s in trace.of("run queue") if s["above"]["category"] == "kernel.offcpu" and s["above"]["end"] == s["end"]]
    verdicts.check(f"{what}: Perfetto: the run queue is the end of its wait", len(queued) == len(trace.of("run queue")), len(queued))
    woken = [(a, b) for a, b in trace.arrows if a["category"] == "wakeup"]
    waker = [(a, b) for a, b in woken if trace.tracks[trace.tracks[a["track"]].parent_uuid].thread.tid == b["above"]["said"]["waker_tid"] and a["start"] == b["start"]]
    verdicts.check(f"{what}: Perfetto: who was woken has an arrow from its waker at that moment", len(waker) == len(woken) == len(trace.instants_of("wakeup")), len(woken))
    samples = query(bundle, "SELECT utc, tid, cpu FROM kernel_cpu_sample") if number(bundle, "kernel_cpu_sample") else []
    theirs = sorted((t, s.tid, s.cpu) for t, s in trace.samples)
    verdicts.check(f"{what}: Perfetto: CPU samples have their time, thread and CPU", sorted((s["utc"], s["tid"], s["cpu"]) for s in samples) == theirs, len(theirs))
    named = sum(1 for _, s in trace.samples if trace.stack(s))
    verdicts.check(f"{what}: Perfetto: CPU samples have their stacks", named > 0.9 * len(samples), f"{named} of {len(samples)}")
    logs = sorted((r["utc"], r["body"].rstrip("\r\n")[:4000]) for r in query(bundle, "SELECT utc, body FROM logs")) if number(bundle, "logs") else []
    theirs = sorted((s["start"], s["said"]["message"].rstrip("\r\n")[:4000]) for s in trace.instants_of("log"))
    verdicts.check(f"{what}: Perfetto: each log line is an instant", logs == theirs, len(theirs))
    host = number(bundle, "host_metric")
    pages = number(bundle, "metrics", where="WHERE stream = 'metrics.pages' AND name NOT LIKE '%_bucket' AND NOT stale AND value IS NOT NULL")
    verdicts.check(f"{what}: Perfetto: counters have all samples but those of buckets", len(trace.counters) == host + pages + told["counters"].get("otlp.metrics", 0), len(trace.counters))
    host_and_pages = [c for c in trace.counters if trace.tracks[trace.tracks[c[0]].parent_uuid].name != "metrics sender"]
    total = sum(v for _, _, v in host_and_pages)
    ours = float(query(bundle, "SELECT sum(value) AS n FROM host_metric")[0]["n"]) if host else 0
    ours += float(query(bundle, "SELECT sum(value) AS n FROM metrics WHERE stream = 'metrics.pages' AND name NOT LIKE '%_bucket'")[0]["n"]) if pages else 0
    verdicts.check(f"{what}: Perfetto: counters have the values", abs(total - ours) <= 1e-9 * abs(ours), total)
    if what == "fresh":
        gauge = [v for track, _, v in trace.counters if trace.tracks[track].name == "gauge" and trace.tracks[track].counter.unit_name == "By"]
        verdicts.check(f"{what}: Perfetto: a gauge has its finite values", gauge == [0.1, -0.0, 1e300, 5e-324], gauge)
    requests = json.loads(run("flow", bundle, "--json"))["requests"]
    verdicts.check(f"{what}: Perfetto: each request in packets is shown", len(requests) == len(trace.of("request")) + len(trace.instants_of("request")), len(requests))
    info = json.loads(run("info", bundle, "--json"))
    anchors = next((s["events"] for s in info["streams"] if s["name"] == "recorder.anchor"), 0)
    verdicts.check(f"{what}: Perfetto: a clock snapshot for each anchor", len(trace.clocks) == anchors and all(set(c) == {1, 6} for c in trace.clocks), len(trace.clocks))


def go_pprof(path, *args):
    done = subprocess.run(["go", "tool", "pprof", *args, path], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"go tool pprof {' '.join(args)}: {done.stderr}")
    return done.stdout


def sums(bundle):
    """CPU samples, waits, and nanoseconds off the CPU."""
    short = [number(bundle, "kernel_offcpu_sum", what) for what in ("sum(count)", "sum(off_cpu)")]
    return number(bundle, "kernel_cpu_sample"), number(bundle, "kernel_offcpu") + short[0], number(bundle, "kernel_offcpu", "sum(duration)") + short[1]


def pprof(bundle, folder, what):
    told = export(bundle, "pprof", folder / "p.pb.gz")
    samples, waits, off_cpu = sums(bundle)
    verdicts.check(f"{what}: pprof: sums are those of the bundle", (told["cpu_samples"], told["waits"], told["off_cpu"]) == (samples, waits, off_cpu), f"{samples} samples, {waits} waits, {off_cpu} ns")
    if not shutil.which("go"):
        return verdicts.skip("pprof", "no Go")
    raw = go_pprof(folder / "p.pb.gz", "-raw")
    head, rest = raw.split("\nSamples:\n")
    types = rest.splitlines()[0].split()
    values = [list(map(int, m[1].split())) for m in re.finditer(r"^ +((?:\d+ +)*\d+):(?: \d+)+ *$", rest.split("\nLocations")[0], re.M)]
    total = dict(zip([t.removesuffix("[dflt]") for t in types], map(sum, zip(*values))))
    verdicts.check(f"{what}: pprof: Go reads the sums of the bundle", (total["samples/count"], total["waits/count"], total["delay/nanoseconds"]) == (samples, waits, off_cpu), total)
    period = re.search(r"^Period: (\d+)", head, re.M)
    if told["cpu"] is not None:
        verdicts.check(f"{what}: pprof: CPU time is samples by their period", period and total["cpu/nanoseconds"] == samples * int(period[1]) == told["cpu"], total.get("cpu/nanoseconds"))
    tags = go_pprof(folder / "p.pb.gz", "-sample_index=delay", "-tags")
    # Go prints the share of each value of a label; all of it has a process.
    verdicts.check(f"{what}: pprof: waits have their reason, thread and process", all(f" {tag}: Total" in tags for tag in ("reason", "thread", "pid", "comm")))
    ids = set(re.findall(r"trace_id:\[([0-9a-f]{32})\]", rest))
    traces = {r["trace"] for r in query(bundle, "SELECT DISTINCT trace FROM spans WHERE tid IS NOT NULL")}
    verdicts.check(f"{what}: pprof: samples name traces that there are", ids and ids <= traces, len(ids))
    builds = {r["build_id"] for r in query(bundle, "SELECT DISTINCT build_id FROM host_mapping")} if number(bundle, "host_mapping") else set()
    mapped = {m[1] for m in re.finditer(r"^\d+: 0x0/0xf+/0x0 \S+ ([0-9a-f]{20,})", raw, re.M)}
    verdicts.check(f"{what}: pprof: mappings have the build-ids of the bundle", mapped and mapped <= builds, len(mapped))
    top = go_pprof(folder / "p.pb.gz", "-sample_index=samples", "-top", "-nodecount=5")
    verdicts.check(f"{what}: pprof: Go's table counts the samples", f"of {samples} total" in top, top.splitlines()[-1:])
    verdicts.check(f"{what}: pprof: Go names the profile after the program", top.startswith("File: coldcase-demo"), top.splitlines()[0])


def speedscope(bundle, folder, what):
    told = export(bundle, "speedscope", folder / "s.json")
    document = json.loads((folder / "s.json").read_text())
    samples, _, off_cpu = sums(bundle)
    by_unit = collections.Counter()
    for profile in document["profiles"]:
        by_unit[profile["unit"]] += sum(profile["weights"])
    verdicts.check(f"{what}: speedscope: weights sum to the bundle's", (by_unit["none"], by_unit["nanoseconds"]) == (samples, off_cpu) == (told["cpu_samples"], told["off_cpu"]), dict(by_unit))
    frames = len(document["shared"]["frames"])
    sound = all(p["endValue"] == sum(p["weights"]) and len(p["samples"]) == len(p["weights"]) and all(0 <= f < frames for s in p["samples"] for f in s) for p in document["profiles"])
    verdicts.check(f"{what}: speedscope: each sample is of frames that there are", sound and frames, f"{len(document['profiles'])} profiles, {frames} frames")
    flame = {line.rsplit(" ", 1)[0].split(";")[-1].removesuffix("_[k]"): None for line in run("flame", bundle, "--folded").splitlines()}
    names = {f["name"].removeprefix("[").removesuffix("]") for f in document["shared"]["frames"]}
    verdicts.check(f"{what}: speedscope: functions are those of flame", all(name.strip("[]").removesuffix("_[i]") in names for name in flame), len(flame))
    schema = ROOT / "target/speedscope/node_modules/speedscope/dist/release/file-format-schema.json"
    if not schema.exists():
        if not shutil.which("npm") or subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", ROOT / "target/speedscope", "speedscope@1.25.0"], capture_output=True).returncode:
            return verdicts.skip("speedscope's schema", "npm could not install speedscope")
    import jsonschema
    errors = list(jsonschema.Draft7Validator(json.loads(schema.read_text())).iter_errors(document))
    verdicts.check(f"{what}: speedscope: the file fits speedscope's own schema", not errors, [e.message[:100] for e in errors[:2]])


def folded(bundle, folder, what):
    samples, _, off_cpu = sums(bundle)
    for kind, weight in (("on-cpu", samples), ("off-cpu", off_cpu)):
        told = export(bundle, "folded", folder / "f.txt", "--stacks", kind)
        total = sum(int(line.rsplit(" ", 1)[1]) for line in (folder / "f.txt").read_text().splitlines())
        verdicts.check(f"{what}: folded: {kind} sums to the bundle's", total == weight == told["weight"], total)


def ndjson(bundle, folder, what):
    told = export(bundle, "ndjson", folder / "t.ndjson")
    lines = [json.loads(line) for line in (folder / "t.ndjson").read_text().split("\n")[:-1]]
    verdicts.check(f"{what}: NDJSON: it is what timeline prints", (folder / "t.ndjson").read_text() == run("timeline", bundle, "--json", "--quiet") and len(lines) == told["entries"], len(lines))
    piped = subprocess.run([COLDCASE, "export", "--ndjson", "-", bundle, "--stream", "otlp.traces"], capture_output=True, check=True).stdout
    verdicts.check(f"{what}: NDJSON: to a pipe, spans are those of the table", piped.count(b"\n") == number(bundle, "spans"), piped.count(b"\n"))


TABLES = {
    "spans": "trace, span, parent, name, kind, status, message, service, utc, duration, attributes, scope, told_pid, told_tid",
    "span_events": "*",
    "logs": "utc, severity, body, trace, span",
    "metrics": "utc, name, unit, kind, labels, value, count",
}


def otlp_json(bundle, folder, what):
    told = export(bundle, "otlp-json", folder / "requests")
    files = sorted((folder / "requests").glob("*.jsonl"))
    texts = [json.loads(line) for f in files for line in f.read_text().split("\n")[:-1]]
    verdicts.check(f"{what}: OTLP/JSON: a request a line", len(texts) == sum(f["requests"] for f in told["files"]) > 0 and not told["unreadable"], f"{len(texts)} requests, {told['unknown_fields']} unknown fields")
    run("import", *files, "-o", folder / "again.case", "--force", "--quiet")
    for table, columns in TABLES.items():
        where = "WHERE stream LIKE 'otlp.%'" if table in ("logs", "metrics") else ""
        if table == "span_events" and number(bundle, table):
            columns = ", ".join(c for c in query(bundle, "SELECT * FROM span_events LIMIT 1")[0] if c not in ("row", "stream", "index"))
        if not number(bundle, table, where=where):
            continue
        both = [sorted(json.dumps(r, sort_keys=True) for r in query(b, f"SELECT {columns} FROM {table} {where}")) for b in (bundle, folder / "again.case")]
        verdicts.check(f"{what}: OTLP/JSON: {table} are the same when they are imported again", both[0] == both[1], f"{len(both[0])} and {len(both[1])}")
    # Protobuf's own reader takes it, but for ids, which OTLP/JSON has in hexadecimal and protobuf's JSON in base64.
    try:
        from google.protobuf import json_format
        from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
        from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
        from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
    except ImportError:
        return verdicts.skip("OTLP/JSON by protobuf", "the Python package opentelemetry-proto is not installed")
    kinds = {"resourceSpans": trace_service_pb2.ExportTraceServiceRequest, "resourceMetrics": metrics_service_pb2.ExportMetricsServiceRequest, "resourceLogs": logs_service_pb2.ExportLogsServiceRequest}
    run("export", "--otlp", folder / "raw", bundle, "--force", "--quiet")
    raw = collections.Counter()
    for path in (folder / "raw").glob("*.pb"):
        data, at = path.read_bytes(), 0
        while at < len(data):
            length = int.from_bytes(data[at:at + 4], "big")
            message = {"traces": kinds["resourceSpans"], "metrics": kinds["resourceMetrics"], "logs": kinds["resourceLogs"]}[path.stem]()
            message.ParseFromString(data[at + 4:at + 4 + length])
            raw[message.SerializeToString(deterministic=True)] += 1
            at += 4 + length

    def ids(value):
        if isinstance(value, list):
            return [ids(v) for v in value]
        if not isinstance(value, dict):
            return value
        import base64
        return {k: base64.b64encode(bytes.fromhex(v)).decode() if k in ("traceId", "spanId", "parentSpanId") else ids(v) for k, v in value.items()}
    parsed = collections.Counter(json_format.ParseDict(ids(t), kinds[next(iter(t))]()).SerializeToString(deterministic=True) for t in texts if t)
    missing = raw - parsed
    verdicts.check(f"{what}: OTLP/JSON: protobuf reads from it the messages that came", raw and not missing, f"{sum(raw.values())} messages, {sum(missing.values())} differ")


HOSTILE = "\x1b[31mred\x07 <script>alert(1)</script> \"quoted\" \\ \u2028 \U0001f512 é"


def everything():
    """Requests with every kind of value that OTLP has, by signal."""
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    now = time.time_ns()

    def attributes(of):
        of.add(key="text").value.string_value = HOSTILE
        of.add(key="flag").value.bool_value = False
        of.add(key="least").value.int_value = -2**63
        of.add(key="ratio").value.double_value = 0.1
        of.add(key="raw").value.bytes_value = bytes(range(256))
        of.add(key="list").value.array_value.values.add().string_value = "x"
        of.add(key="map").value.kvlist_value.values.add(key="k").value.int_value = 7
        of.add(key="empty").value.string_value = ""
        of.add(key="unset")

    traces = ExportTraceServiceRequest()
    resource = traces.resource_spans.add(schema_url="https://example.org/schema")
    resource.resource.attributes.add(key="service.name").value.string_value = "sender"
    scope = resource.scope_spans.add()
    scope.scope.name, scope.scope.version = "raw", "1"
    first = scope.spans.add(trace_id=b"\x21" * 16, span_id=b"\x01" * 8, name="produce", kind=4, start_time_unix_nano=now, end_time_unix_nano=now + 1_000_000, trace_state="a=b", flags=257)
    attributes(first.attributes)
    first.status.code, first.status.message = 2, HOSTILE
    event = first.events.add(time_unix_nano=now + 500, name="exception")
    attributes(event.attributes)
    # of another trace, caused by the first, at once and beside each other
    for n in (2, 3):
        other = scope.spans.add(trace_id=b"\x22" * 16, span_id=bytes([n]) * 8, name="consume", kind=5, start_time_unix_nano=now + 2_000_000, end_time_unix_nano=now + 2_000_000 + n)
        other.links.add(trace_id=first.trace_id, span_id=first.span_id, flags=1).attributes.add(key="a").value.int_value = 1
    # a parent and its child that begin at one time, the child first; two that overlap
    for n, parent, start, end in ((4, 5, 0, 10), (5, None, 0, 20), (6, None, 5, 30), (7, 5, 20, 20)):
        span = scope.spans.add(trace_id=b"\x23" * 16, span_id=bytes([n]) * 8, name=f"s{n}", kind=1, start_time_unix_nano=now + start * 1000, end_time_unix_nano=now + end * 1000)
        if parent:
            span.parent_span_id = bytes([parent]) * 8
    logs = ExportLogsServiceRequest()
    resource = logs.resource_logs.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "sender"
    scope = resource.scope_logs.add()
    for n, body in enumerate((HOSTILE, "two\nlines", "x" * 20_000)):
        record = scope.log_records.add(time_unix_nano=now + n, observed_time_unix_nano=now + 9, severity_number=17, severity_text="ERROR", trace_id=first.trace_id, span_id=first.span_id, flags=1)
        record.body.string_value = body
    attributes(scope.log_records.add(time_unix_nano=now + 5).body.kvlist_value.values)
    metrics = ExportMetricsServiceRequest()
    resource = metrics.resource_metrics.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "sender"
    scope = resource.scope_metrics.add()
    gauge = scope.metrics.add(name="gauge", unit="By", description=HOSTILE).gauge
    for n, value in enumerate((0.1, -0.0, 1e300, 5e-324, math.nan, math.inf, -math.inf)):
        gauge.data_points.add(time_unix_nano=now + n, as_double=value)
    total = scope.metrics.add(name="sum").sum
    total.aggregation_temporality, total.is_monotonic = 2, True
    total.data_points.add(start_time_unix_nano=now - 5, time_unix_nano=now, as_int=-2**62, flags=1)
    histogram = scope.metrics.add(name="histogram").histogram
    histogram.aggregation_temporality = 1
    point = histogram.data_points.add(time_unix_nano=now, count=2**63, sum=1.5, bucket_counts=[1, 2**63 - 1], explicit_bounds=[0.25], min=0.0, max=9.0)
    point.exemplars.add(time_unix_nano=now, as_double=1.0, span_id=first.span_id, trace_id=first.trace_id).filtered_attributes.add(key="k").value.string_value = "v"
    exponential = scope.metrics.add(name="exponential").exponential_histogram
    exponential.aggregation_temporality = 2
    point = exponential.data_points.add(time_unix_nano=now, count=6, sum=3.0, scale=-3, zero_count=1, zero_threshold=0.5)
    point.positive.offset, point.negative.offset = -2, 3
    point.positive.bucket_counts.extend([1, 2]), point.negative.bucket_counts.extend([2])
    scope.metrics.add(name="summary").summary.data_points.add(time_unix_nano=now, count=3, sum=4.5).quantile_values.add(quantile=0.5, value=1.5)
    return {"traces": traces.SerializeToString(), "logs": logs.SerializeToString(), "metrics": metrics.SerializeToString()}


def fresh(folder):
    """The shop under load for a few seconds, packets with payload, and all kinds of OTLP values from a sender elsewhere."""
    if os.geteuid() != 0:
        return verdicts.skip("a fresh recording", "recording kernel and packets needs root")
    try:
        from otlp import Http, free_port
        requests = everything()
    except ImportError as e:
        return verdicts.skip("a fresh recording", f"no {e.name} (tests/requirements.txt)")
    demo = os.environ.get("DEMO", str(ROOT / "target/debug/coldcase-demo"))
    otlp, bundle = f"127.0.0.1:{free_port()}", folder / "fresh.case"
    shop = subprocess.Popen([demo, "all", "--dir", folder / "shop", "--for", "7s", "--rate", "40", "--otlp", f"http://{otlp}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        env, deadline = folder / "shop/shop.env", time.monotonic() + 10
        while not env.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        told = {key: value.strip("'\"") for key, value in (line.split("=", 1) for line in env.read_text().split() if "=" in line)}
        pids = ",".join(told[f"{who}_PID"] for who in ("GATEWAY", "ORDERS", "LOAD"))
        recorder = subprocess.Popen([COLDCASE, "record", "-o", bundle, "--for", "4s", "--otlp-http", otlp, "--interface", "lo", "--payload", "600", "--pid", pids, "--sample-hz", "199",
                                     "--log", told["ORDERS_LOG"], "--scrape", f"http://{told['ORDERS_ADDR']}/metrics@1s"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 15
        sent = set()
        line = Http(otlp)
        while len(sent) < len(requests) and time.monotonic() < deadline:
            signal = next(s for s in requests if s not in sent)
            try:
                if line.send(signal, requests[signal])[0] == 200:
                    sent.add(signal)
            except OSError:
                time.sleep(0.1)
        code = recorder.wait(60)
    finally:
        shop.terminate()
        shop.wait()
    verdicts.check("fresh: recorded, with what was sent", code in (0, 3) and len(sent) == 3, code)
    return bundle


with tempfile.TemporaryDirectory(prefix="coldcase-exports-") as made:
    made = pathlib.Path(made)
    bundles = [pathlib.Path(a) for a in sys.argv[1:]] or [ROOT / "fixtures/shop-lock.case", fresh(made)]
    for bundle in filter(None, bundles):
        for part in (perfetto, pprof, speedscope, folded, ndjson, otlp_json):
            folder = made / bundle.stem / part.__name__
            folder.mkdir(parents=True)
            part(bundle, folder, bundle.stem)
verdicts.end()
