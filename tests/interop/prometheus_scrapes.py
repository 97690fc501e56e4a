"""Scrapes of real exporters in every exposition format, as `coldcase query` tells them, against other people's readers.

node_exporter serves protobuf and text, Prometheus itself protobuf, prometheus_client OpenMetrics with exemplars. What is stored is the page as it
came: it is read again by prometheus_client (text, OpenMetrics) and by Google's protobuf, and every sample must be the same.

usage: prometheus_scrapes.py   needs prometheus-node-exporter, prometheus (apt), prometheus_client, protobuf, mcap (PyPI)
"""
import contextlib
import csv
import http.server
import io
import json
import math
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from case import COLDCASE, Verdicts, run, rows as table  # noqa: E402

try:
    import prometheus_client
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    from mcap.reader import make_reader
    from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
    from prometheus_client.parser import text_string_to_metric_families as classic
except ImportError as e:
    print(f"skipped: scrapes of exporters: {e} (make setup-test installs it)")
    sys.exit(0)

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
# Every type that node_exporter's text files may have: what it serves as protobuf must be what it serves as text.
TEXTFILE = """# TYPE jobs_total counter
jobs_total{queue="a",odd="back\\\\slash \\"quoted\\" new\\nline"} 12345678
# TYPE temperature gauge
temperature -3.5e-07
# TYPE odd untyped
odd{kind="inf"} +Inf
odd{kind="nan"} NaN
# TYPE lat histogram
lat_bucket{le="1e-05"} 1
lat_bucket{le="0.005"} 3
lat_bucket{le="1e+06"} 5
lat_bucket{le="+Inf"} 6
lat_sum 17.25
lat_count 6
# TYPE took summary
took{quantile="0.5"} 0.25
took{quantile="0.99"} 4
took_sum 81
took_count 9
"""


def port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def wait(url):
    for _ in range(100):
        try:
            return urllib.request.urlopen(url, timeout=2).read()
        except OSError:
            time.sleep(0.1)
    sys.exit(f"{url} did not come up")


def wait_port(address):
    host, number = address.split(":")
    for _ in range(100):
        try:
            return socket.create_connection((host, int(number)), 1).close()
        except OSError:
            time.sleep(0.1)
    sys.exit(f"{address} did not come up")


def serve(page, content_type="text/plain; version=0.0.4"):
    """Serves what `page` returns; its URL."""

    class Pages(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = page()
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            # The recorder hangs up when it ends.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/metrics"


def as_text(url):
    """The same target, asked for text whatever the recorder asks for."""
    request = urllib.request.Request(url, headers={"Accept": "text/plain;version=0.0.4"})
    return serve(lambda: urllib.request.urlopen(request).read())


def families():
    """`io.prometheus.client.MetricFamily` as prometheus/client_model defines it, for Google's reader."""
    file = descriptor_pb2.FileDescriptorProto(name="metrics.proto", package="io.prometheus.client", syntax="proto2")
    kinds = {"double": 1, "int64": 3, "uint64": 4, "int32": 5, "string": 9, "uint32": 13, "sint32": 17, "sint64": 18}
    for name, fields in {
        "LabelPair": "name=1:string value=2:string",
        "Timestamp": "seconds=1:int64 nanos=2:int32",
        "Exemplar": "label=1:*LabelPair value=2:double timestamp=3:Timestamp",
        "Gauge": "value=1:double",
        "Counter": "value=1:double exemplar=2:Exemplar",
        "Quantile": "quantile=1:double value=2:double",
        "Summary": "sample_count=1:uint64 sample_sum=2:double quantile=3:*Quantile",
        "Untyped": "value=1:double",
        "Bucket": "cumulative_count=1:uint64 upper_bound=2:double exemplar=3:Exemplar",
        "BucketSpan": "offset=1:sint32 length=2:uint32",
        "Histogram": "sample_count=1:uint64 sample_sum=2:double bucket=3:*Bucket schema=5:sint32 zero_threshold=6:double zero_count=7:uint64"
        " positive_span=12:*BucketSpan positive_delta=13:*sint64",
        "Metric": "label=1:*LabelPair gauge=2:Gauge counter=3:Counter summary=4:Summary untyped=5:Untyped histogram=7:Histogram timestamp_ms=6:int64",
        "MetricFamily": "name=1:string help=2:string type=3:int32 metric=4:*Metric",
    }.items():
        message = file.message_type.add(name=name)
        for field in fields.split():
            key, kind = field.split(":")
            label = 3 if kind.startswith("*") else 1
            kind = kind.lstrip("*")
            known = {"type": kinds[kind]} if kind in kinds else {"type": 11, "type_name": f".io.prometheus.client.{kind}"}
            message.field.add(name=key.split("=")[0], number=int(key.split("=")[1]), label=label, **known)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("io.prometheus.client.MetricFamily"))


def number(v):
    """A label's number, however it is written."""
    return repr(float(v.replace("Inf", "inf")))


def protobuf_samples(page):
    """Name, labels, value of each sample of a protobuf page, as the text format would have them."""
    out, at, reader = [], 0, families()
    while at < len(page):
        length = shift = 0
        while True:
            byte = page[at]
            at += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        family = reader.FromString(page[at:at + length])
        at += length
        for m in family.metric:
            labels = {p.name: p.value for p in m.label}
            add = lambda suffix, value, **more: out.append((family.name + suffix, {**labels, **more}, float(value)))  # noqa: E731
            if m.HasField("histogram"):
                h = m.histogram
                for b in h.bucket:
                    add("_bucket", b.cumulative_count, le=repr(b.upper_bound))
                if h.bucket and h.bucket[-1].upper_bound != math.inf:
                    add("_bucket", h.sample_count, le="inf")
                add("_sum", h.sample_sum), add("_count", h.sample_count)
            elif m.HasField("summary"):
                for q in m.summary.quantile:
                    add("", q.value, quantile=repr(q.quantile))
                add("_sum", m.summary.sample_sum), add("_count", m.summary.sample_count)
            else:
                add("", next(getattr(m, k).value for k in ("counter", "gauge", "untyped") if m.HasField(k)))
    return out


def key(name, labels, value):
    labels = {k: number(v) if k in ("le", "quantile") else v for k, v in labels.items()}
    return name, tuple(sorted(labels.items())), "nan" if math.isnan(value) else repr(float(value))


def text_labels(text):
    """Labels of a row, by prometheus_client's reader."""
    return next(s.labels for f in classic("x{" + text + "} 1\n") for s in f.samples) if text else {}


def query(bundle, sql):
    return json.loads(run("query", bundle, "--format", "json", "--quiet", sql))


def main():
    lacking = [t for t in ("prometheus-node-exporter", "prometheus") if not shutil.which(t)]
    if lacking:
        print(f"skipped: scrapes of exporters: no {', '.join(lacking)}")
        return
    v = Verdicts()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="coldcase-scrapes-"))
    children = []
    try:
        check(v, folder, children)
    finally:
        for child in children:
            child.kill()
            child.wait()
        shutil.rmtree(folder)
    v.end()


def start(folder, children):
    """Starts the exporters; their URLs by name."""
    (folder / "text").mkdir()
    (folder / "text/all.prom").write_text(TEXTFILE)
    static, live, prometheus = (f"127.0.0.1:{port()}" for _ in range(3))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    only = ["--collector.disable-defaults", "--collector.textfile", f"--collector.textfile.directory={folder}/text"]
    children += [
        subprocess.Popen(["prometheus-node-exporter", f"--web.listen-address={static}", "--web.disable-exporter-metrics", *only], **quiet),
        subprocess.Popen(["prometheus-node-exporter", f"--web.listen-address={live}"], **quiet),
    ]
    (folder / "p.yml").write_text("global: {scrape_interval: 1s}\nscrape_configs:\n- job_name: self\n"
                                  f"  static_configs: [{{targets: ['{prometheus}']}}]\n")
    children.append(subprocess.Popen(["prometheus", f"--config.file={folder}/p.yml", f"--storage.tsdb.path={folder}/tsdb",
                                      f"--web.listen-address={prometheus}", "--enable-feature=native-histograms"], **quiet))
    registry = prometheus_client.CollectorRegistry()
    latency = prometheus_client.Histogram("request_seconds", "how long", ["path"], registry=registry, buckets=[0.01, 1])
    latency.labels("/slow").observe(0.7, exemplar={"trace_id": TRACE, "span_id": SPAN})
    prometheus_client.Counter("work", "done", registry=registry).inc(3, exemplar={"trace_id": TRACE})
    prometheus_client.Enum("state", "it is in", states=["on", "off"], registry=registry)
    prometheus_client.Info("build", "of it", registry=registry).info({"version": "1"})
    server, _ = prometheus_client.start_http_server(0, "127.0.0.1", registry=registry)
    urls = {"static": f"http://{static}/metrics", "live": f"http://{live}/metrics", "prometheus": f"http://{prometheus}/metrics",
            "client": f"http://127.0.0.1:{server.server_port}/metrics"}
    for url in urls.values():
        wait(url)
    bad = b"# TYPE a counter\na_total 1\na_total{x=\"y\"} -1\n# EOF\n"
    return {**urls, "static text": as_text(urls["static"]), "live text": as_text(urls["live"]),
            "bad": serve(lambda: bad, "application/openmetrics-text; version=1.0.0; charset=utf-8")}


def check(v, folder, children):
    urls = start(folder, children)
    bundle = folder / "scrapes.case"
    otlp = f"127.0.0.1:{port()}"
    flags = [f for u in urls.values() for f in ("--scrape", f"{u}@1")] + ["--otlp-http", otlp, "--otlp-grpc", f"127.0.0.1:{port()}"]
    recorder = subprocess.Popen([COLDCASE, "record", "-o", bundle, "--only", "metrics,otlp,host", "--for", "5s", *flags],
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_port(otlp)
    span = {"traceId": TRACE, "spanId": SPAN, "name": "GET /slow", "kind": 2, "startTimeUnixNano": str(time.time_ns() - 700_000_000),
            "endTimeUnixNano": str(time.time_ns())}
    shop = {"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}, "scopeSpans": [{"spans": [span]}]}
    urllib.request.urlopen(urllib.request.Request(f"http://{otlp}/v1/traces", json.dumps({"resourceSpans": [shop]}).encode(),
                                                  {"Content-Type": "application/json"}))
    _, said = recorder.communicate(timeout=60)
    v.check("the exporters are recorded", recorder.returncode == 0, said[-300:] if recorder.returncode else "")

    with open(bundle, "rb") as f:
        pages = {m.sequence: m.data for _, _, m in make_reader(f).iter_messages(topics=["metrics.pages"])}
    receipts = sorted(table(bundle, "metrics.pages.receipts"), key=lambda r: r["row"])
    rows = {}
    # As CSV: JSON has no infinities.
    told = run("query", bundle, "--format", "csv", "--quiet", "SELECT row, name, labels, value FROM metrics WHERE stream = 'metrics.pages'")
    for r in csv.DictReader(io.StringIO(told, newline="")):
        rows.setdefault(int(r["row"]), []).append(key(r["name"], text_labels(r["labels"]), float(r["value"])))
    types = {name: {r["content_type"].split(";")[0] for r in receipts if r["origin"] == url} for name, url in urls.items()}
    protobuf = {"application/vnd.google.protobuf"}
    for name in ("static", "live", "prometheus"):
        v.check(f"{name}: protobuf was agreed on", types[name] == protobuf, types[name])
    v.check("client: OpenMetrics was agreed on", types["client"] == {"application/openmetrics-text"}, types["client"])

    of = {name: [r["row"] for r in receipts if r["origin"] == url] for name, url in urls.items()}
    for name, read in [("live text", classic), ("static text", classic), ("client", openmetrics)]:
        differ, samples = [], 0
        for row in of[name]:
            theirs = sorted(key(s.name, s.labels, s.value) for f in read(pages[row].decode()) for s in f.samples)
            # prometheus_client names counters without _total twice; the page is what counts.
            samples += len(theirs)
            if theirs != sorted(rows.get(row, [])):
                differ.append((row, sorted(set(theirs) ^ set(rows.get(row, [])))[:4]))
        v.check(f"{name}: every sample is prometheus_client's", samples and not differ, f"{samples} samples of {len(of[name])} pages {differ or ''}")
    for name in ("static", "live", "prometheus"):
        differ, samples = [], 0
        for row in of[name]:
            theirs = sorted(key(*s) for s in protobuf_samples(pages[row]))
            samples += len(theirs)
            if theirs != sorted(rows.get(row, [])):
                differ.append((row, sorted(set(theirs) ^ set(rows.get(row, [])))[:4]))
        v.check(f"{name}: every sample is that of Google's protobuf", samples and not differ, f"{samples} samples of {len(of[name])} pages {differ or ''}")
    still = lambda name: sorted(r for r in rows[of[name][0]] if r[0] != "node_scrape_collector_duration_seconds")  # noqa: E731
    v.check("a target gives the same samples in protobuf and in text", still("static") == still("static text") and len(still("static")) >= 13,
            f"{len(still('static'))} samples {sorted(set(still('static')) ^ set(still('static text')))[:4]}")

    exemplars = query(bundle, "SELECT name, labels, value, trace, span, joined FROM exemplars ORDER BY row, index")
    named = {(e["name"], e["trace"], e["span"], e["value"], e["joined"]) for e in exemplars}
    v.check("exemplars are rows with their trace", named == {("request_seconds_bucket", TRACE, SPAN, 0.7, "span"),
                                                             ("work_total", TRACE, None, 3.0, "trace")}, named)
    latency = json.loads(run("latency", bundle, "--json", "--quiet"))
    shown = {(e["name"], e["joined"], e["service"], e["span_name"], (e["duration"] or 0) // 100_000_000) for e in latency["exemplars"]}
    v.check("latency joins them to the span", shown == {('request_seconds_bucket{le="1.0",path="/slow"}', "span", "shop", "GET /slow", 7),
                                                        ("work_total", "trace", "shop", "GET /slow", 7)}, shown)

    analysis = json.loads(run("analyze", bundle, "--json", "--quiet"))
    told = [p for p in analysis["quality"]["problems"] if "OpenMetrics" in p]
    stored = [pages[r] for r in of["bad"]]
    v.check("a page that breaks the rules is stored, refused and told", len(told) == len(stored) > 1 and not any(r in rows for r in of["bad"]), told[:1])
    unread = analysis["quality"].get("pages_unread")
    v.check("and counted as unread", unread == len(stored), unread)
    targets = {t["target"]: t for t in analysis["metric_targets"]}
    owners = {n: (targets[urls[n]]["process"].split("[")[0], targets[urls[n]]["how"]) for n in ("live", "prometheus")}
    v.check("a target is joined to the process that listens there", owners == {"live": ("prometheus-node", "socket"), "prometheus": ("prometheus", "socket")},
            owners)
    sums = {n: (t["scrapes"], t["missed"], t["unread"]) for n, t in ((n, targets[u]) for n, u in urls.items())}
    v.check("scrapes are counted", all(s[0] >= 3 and s[1] == 0 for s in sums.values()) and sums["bad"][2] == len(stored), sums)


if __name__ == "__main__":
    main()
