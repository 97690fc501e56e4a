"""Time and memory of `coldcase compare`: bundles of many spans on each side, at two sizes, so that it shows whether cost grows with what is compared.
usage: compare.py [--spans N] [--runs N]   N spans a bundle, N bundles a side; a tenth of the spans first"""
import argparse
import json
import os
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
COLDCASE = os.environ.get("COLDCASE", str(ROOT / "target/debug/coldcase"))
BATCH = 1000
ROUTES = ("/order", "/cart/{user}", "/search", "/item/{id}", "/health")


def write(path, spans, seed):
    """A file of OTLP requests as the collector writes them: traces of four spans in three services."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    text = lambda key, value: KeyValue(key=key, value=AnyValue(string_value=value))  # noqa: E731
    dice, now = random.Random(seed), 1_790_000_000_000_000_000
    # What is the same in all runs of a host: this run's luck.
    luck = dice.lognormvariate(0, 0.03)
    with open(path, "wb") as out:
        for first in range(0, spans, BATCH):
            request, scopes = ExportTraceServiceRequest(), []
            for service in ("front", "shop", "store"):
                part = request.resource_spans.add()
                part.resource.attributes.append(text("service.name", service))
                scopes.append(part.scope_spans.add())
            for _ in range(0, min(BATCH, spans - first), 4):
                now += dice.randrange(200_000, 600_000)
                trace, ids, route = dice.randbytes(16), [dice.randbytes(8) for _ in range(4)], dice.choice(ROUTES)
                took = int(luck * dice.lognormvariate(15, 0.7))
                for n, (scope, name, kind) in enumerate(((0, f"GET {route}", 2), (1, f"shop {route}", 2), (2, "SELECT", 3), (2, "UPDATE", 3))):
                    span = scopes[scope].spans.add(trace_id=trace, span_id=ids[n], name=name, kind=kind, start_time_unix_nano=now + n * took // 8,
                                                   end_time_unix_nano=now + took - n * took // 8, parent_span_id=ids[n - 1] if n else b"")
                    span.attributes.append(text("http.route", route))
            body = request.SerializeToString()
            out.write(struct.pack(">I", len(body)) + body)


def measured(argv):
    """Its answer, seconds and the most memory in MiB."""
    begun = time.perf_counter()
    process = subprocess.Popen([str(a) for a in argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    said, told = process.communicate()
    # The largest of all children so far: sizes are measured from small to large.
    import resource
    took, peak = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    if process.returncode not in (0, 1, 3):
        sys.exit(f"{argv}: exit {process.returncode}: {told[-500:]}")
    return json.loads(said), took, peak


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="coldcase-bench-", dir=os.environ.get("WORK", "/var/tmp")) as made:
        folder = pathlib.Path(made)
        for spans in (args.spans // 10, args.spans):
            sides, bytes_ = ([], []), 0
            for n in range(2 * args.runs):
                file, bundle = folder / "requests.binpb", folder / f"{spans}-{n}.case"
                write(file, spans, n)
                subprocess.run([COLDCASE, "import", "--quiet", "--force", file, "-o", bundle], check=True, capture_output=True)
                bytes_ += bundle.stat().st_size
                sides[n % 2].append(bundle)
            told, took, peak = measured([COLDCASE, "compare", "--json", *sides[0], "--", *sides[1]])
            all_spans = spans * 2 * args.runs
            print(f"compare {args.runs} against {args.runs} bundles of {spans:,} spans, {bytes_ / 2**20:.0f} MiB: {took:.1f} s, {all_spans / took / 1e6:.2f} M spans/s, "
                  f"{peak:.0f} MiB at most; verdict {told['verdict']}", flush=True)


main()
