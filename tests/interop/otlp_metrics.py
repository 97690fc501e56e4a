"""Every kind of metric, from the SDK for Python to the reader: sums, gauges, histograms, exponential histograms, exemplars; and a summary by hand.

usage: otlp_metrics.py
"""
import bisect
import os
import pathlib
import random
import shutil
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from case import Verdicts, rows  # noqa: E402


def send(endpoint):
    """All instruments of the SDK; what was measured."""
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider, TraceBasedExemplarFilter
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
    from opentelemetry.sdk.trace import TracerProvider
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=endpoint, insecure=True), export_interval_millis=3_600_000)
    views = [View(instrument_name="latency.*", aggregation=ExponentialBucketHistogramAggregation())]
    provider = MeterProvider([reader], exemplar_filter=TraceBasedExemplarFilter(), views=views)
    meter, tracer = provider.get_meter("kinds"), TracerProvider().get_tracer("kinds")
    rng = random.Random(7)
    told = {"latency.wide": [rng.lognormvariate(0, 3) for _ in range(2000)], "latency.zero": [0.0] * 5 + [1.0, 2.0, 4.0, 4.0, 1000.0], "latency.one": [0.25]}
    with tracer.start_as_current_span("measured") as span:
        context = span.get_span_context()
        counter, level, plain = meter.create_counter("requests", "1"), meter.create_up_down_counter("level"), meter.create_histogram("plain", "ms")
        gauge = meter.create_gauge("gauge")
        counter.add(3, {"route": "/a"})
        counter.add(4, {"route": "/a"})
        level.add(-2)
        gauge.set(12.5)
        for value in (1, 7, 7, 300):
            plain.record(value)
        for name, values in told.items():
            histogram = meter.create_histogram(name, "s")
            for value in values:
                histogram.record(value)
    provider.force_flush()
    provider.shutdown()
    return told, f"{context.trace_id:032x}", f"{context.span_id:016x}"


def summary(line):
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="summary")
    point = metric.summary.data_points.add(time_unix_nano=time.time_ns(), count=10, sum=55.0)
    for quantile, value in ((0.5, 5.0), (0.99, 10.0)):
        point.quantile_values.add(quantile=quantile, value=value)
    line.send("metrics", request.SerializeToString())


def main():
    verdicts = Verdicts()
    try:
        import opentelemetry.exporter.otlp.proto.grpc  # noqa: F401
        import opentelemetry.sdk  # noqa: F401
    except ImportError as e:
        verdicts.skip("kinds of metrics", f"no {e.name} (tests/requirements.txt)")
        verdicts.end()
    from otlp import Http, Recorder
    folder = pathlib.Path(tempfile.mkdtemp(prefix="metrics-", dir=os.environ.get("WORK", "/var/tmp")))
    try:
        case = folder / "metrics.case"
        recorder = Recorder(case)
        told, trace, span = send(recorder.grpc)
        summary(Http(recorder.http))
        recorder.end()
        # exported once by the flush and once by the shutdown: exemplars are told with the first
        points = {r["name"]: r for r in sorted(rows(case, "otlp.metrics"), key=lambda r: -r["row"]) if not r["name"].startswith("otel.sdk")}
    finally:
        shutil.rmtree(folder)
    kinds = {name: p["kind"] for name, p in points.items()}
    verdicts.check("all kinds are read", kinds == {"requests": "sum", "level": "sum", "gauge": "gauge", "plain": "histogram", "summary": "summary",
                                                   **{name: "exponential_histogram" for name in told}}, kinds)
    verdicts.check("sums and gauges", (points["requests"]["value"], points["level"]["value"], points["gauge"]["value"]) == (7, -2, 12.5))
    plain = points["plain"]
    verdicts.check("a histogram", (plain["value"]["count"], plain["value"]["sum"], plain["min"], plain["max"], sum(plain["value"]["counts"])) == (4, 315, 1, 300, 4), plain["value"])
    verdicts.check("a summary", points["summary"]["value"] == {"count": 10, "sum": 55.0, "quantiles": [[0.5, 5.0], [0.99, 10.0]]}, points["summary"]["value"])
    for name, values in told.items():
        point, v = points[name], points[name]["value"]
        bounds, counts = v["bounds"], v["counts"]
        verdicts.check(f"{name}: bounds ascend, one bucket more than bounds", bounds == sorted(set(bounds)) and len(counts) == len(bounds) + 1, len(bounds))
        expected = [0] * len(counts)
        for value in values:
            # a bucket holds what is above its lower bound, up to its upper one; powers of two fall exactly on bounds, where doubles may err
            expected[bisect.bisect_left(bounds, value * (1 - 1e-12))] += 1
        verdicts.check(f"{name}: each value is counted in its bucket", counts == expected, f"{len(values)} values in {len(counts)} buckets")
        verdicts.check(f"{name}: count, sum, least and most", v["count"] == len(values) and abs(v["sum"] - sum(values)) < 1e-6 * max(1, sum(values))
                       and (point["min"], point["max"]) == (min(values), max(values)))
    exemplars = [e for p in points.values() for e in p["exemplars"]]
    verdicts.check("exemplars name the trace and span that they were measured in", exemplars and all((e["trace"], e["span"]) == (trace, span) for e in exemplars), len(exemplars))
    values = {e["value"] for e in points["latency.wide"]["exemplars"]}
    verdicts.check("and a value that was measured", values <= set(told["latency.wide"]) and {e["value"] for e in plain["exemplars"]} <= {1, 7, 300}, len(values))
    verdicts.end()


if __name__ == "__main__":
    main()
