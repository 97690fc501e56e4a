"""Requests to files and back, byte for byte: what was sent is what `export --otlp` writes, and what `import` of its files holds.

Also what the OpenTelemetry Collector's file exporter writes: protobuf behind lengths, and JSON lines. usage: otlp_files.py
"""
import collections
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from case import COLDCASE, ROOT, Verdicts, framed, run  # noqa: E402

SCHEMA = ROOT / "formats/export_otlp.schema.json"


def exported(folder):
    """By file: its requests."""
    out = {}
    for path in sorted(folder.iterdir()):
        out[path.name] = path.read_bytes().split(b"\n")[:-1] if path.suffix == ".jsonl" else framed(path)
    return out


def by_stream(files):
    """What the files hold, by signal and encoding; the order within a stream is that of receipt."""
    out = collections.defaultdict(list)
    for name, requests in files.items():
        out[name.split(".")[0], "json" in name] += requests
    return {k: sorted(v) for k, v in out.items()}


def repeats(folder, verdicts):
    """What a sender that saw no answer sends again is stored each time, and counted once."""
    from otlp import Http, Recorder, new_id, traces
    recorder = Recorder(folder / "again.case")
    line, ids = Http(recorder.http), [new_id() for _ in range(20)]
    once, other = traces(ids[:10]), traces(ids[10:])
    for body in (once, other, once, once):
        line.send("traces", body)
    recorder.end()
    spans = run("query", folder / "again.case", "SELECT span FROM spans", "--format", "csv", "--quiet").splitlines()[1:]
    verdicts.check("repeated requests: each span is counted once", sorted(spans) == sorted(id.hex() for id in ids), len(spans))
    text = run("analyze", folder / "again.case", "-o", folder / "again.report")
    quality = json.loads((folder / "again.report/findings.json").read_text())["quality"]
    verdicts.check("repeated requests: how many is told", quality["requests_repeated"] == 2 and "2 OTLP requests repeated" in text, quality.get("requests_repeated"))
    verdicts.check("repeated requests: in the page too", "2 OTLP requests repeated" in (folder / "again.report/report.html").read_text())
    run("export", "--otlp", folder / "again", folder / "again.case")
    verdicts.check("repeated requests: all of them are in the bundle", framed(folder / "again/traces.pb") == [once, other, once, once])


def examples(folder, verdicts):
    """The examples of the OTLP specification: what is in them is found, and they are exported as they are."""
    corpus = pathlib.Path(os.environ.get("COLDCASE_CORPUS", ROOT.parent / "shared/corpus")) / "otlp"
    if not corpus.is_dir():
        verdicts.skip("the examples of the specification", f"no {corpus} (set COLDCASE_CORPUS)")
        return
    found = 0
    for file in sorted(corpus.glob("*.json")):
        case, out = folder / f"example-{file.stem}.case", folder / f"example-{file.stem}"
        told = json.loads(run("import", file, "-o", case, "--json"))["files"][0]
        run("export", "--otlp", out, case)
        verdicts.check(f"{file.name}: exported unchanged", exported(out) == {f"{out_name(file)}.json.framed": [file.read_bytes()]}, told)
        tables = [json.loads(run("query", case, f"SELECT * FROM {table}", "--format", "json", "--quiet")) for table in ("spans", "logs", "metrics")]
        # Each holds text that must be found again in what is read of it: names, ids, values.
        read = json.dumps(tables).lower()
        names = [m["name"] for r in json.loads(file.read_text()).get("resourceMetrics", []) for s in r["scopeMetrics"] for m in s["metrics"]]
        names += [str(x[k]) for r in json.loads(file.read_text()).get("resourceSpans", []) for s in r["scopeSpans"] for x in s["spans"] for k in ("name", "traceId", "spanId")]
        records = [x for r in json.loads(file.read_text()).get("resourceLogs", []) for s in r["scopeLogs"] for x in s["logRecords"]]
        names += [name for x in records for name in (x.get("traceId"), x.get("body", {}).get("stringValue"), x.get("eventName"), x.get("severityText")) if name]
        lost = [name for name in names if name.lower() not in read]
        verdicts.check(f"{file.name}: names and ids are read", names and not lost and told["items"] == sum(map(len, tables)) and told["stream"] == f"otlp.{out_name(file)}.json", (told["stream"], names, lost))
        found += 1
    verdicts.check("examples were there", found == 4, found)


def out_name(file):
    return {"trace": "traces", "events": "logs"}.get(file.stem, file.stem)


def main():
    verdicts = Verdicts()
    try:
        import grpc  # noqa: F401
        from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
    except ImportError as e:
        verdicts.skip("requests in files", f"no {e.name} (tests/requirements.txt)")
        verdicts.end()
    from otlp import Grpc, Http, Recorder, logs, new_id, traces
    folder = pathlib.Path(tempfile.mkdtemp(prefix="files-", dir=os.environ.get("WORK", "/var/tmp")))
    metrics = ExportMetricsServiceRequest()
    point = metrics.resource_metrics.add().scope_metrics.add().metrics.add(name="m").gauge.data_points.add(time_unix_nano=1_700_000_000_000_000_000)
    point.as_double = 1.5
    metrics = metrics.SerializeToString()
    # what no decoder and encoder would leave as it is: an unknown field, a padded varint
    odd = b"\xc0\x3e\x87\x80\x00" + traces([new_id()])
    span = '{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"%s","spanId":"%s","name":"%s","startTimeUnixNano":"1700000000000000000","endTimeUnixNano":"1700000000000000009"}]}]}]}'
    line = (span % ("11" * 16, "22" * 8, "é \\n")).encode()
    spread = json.dumps(json.loads(span % ("11" * 16, "33" * 8, "x")), indent=2).encode() + b"\n"
    json_log = b' {"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"1700000000000000000","body":{"stringValue":"j"}}]}]}], "unknown": [1.50]}\t'
    profile = b"\x0a\x04\x12\x02\x12\x00\x12\x00"
    sent = {
        ("traces", False): [traces([new_id() for _ in range(n)], size=n) for n in (1, 10, 300)] + [odd, b""],
        ("logs", False): [logs([f"log {n}"]) for n in range(3)],
        ("metrics", False): [metrics],
        ("profiles", False): [profile],
        ("traces", True): [line, spread, line],
        ("logs", True): [json_log],
    }
    try:
        recorder = Recorder(folder / "sent.case")
        http, grpc_line = Http(recorder.http), Grpc(recorder.grpc)
        for (signal, is_json), bodies in sent.items():
            path = "/v1development/profiles" if signal == "profiles" else None
            for n, body in enumerate(bodies):
                if n % 2 and not is_json:
                    grpc_line.send(signal, body)
                    continue
                status = http.send(signal, body, {"Content-Type": "application/json"} if is_json else None, path)[0]
                if status != 200:
                    verdicts.check(f"{signal} is taken", False, status)
        recorder.end()
        expected = {k: sorted(v) for k, v in sent.items()}
        out = folder / "requests"
        told = json.loads(run("export", "--otlp", out, folder / "sent.case", "--json"))
        try:
            import jsonschema
            jsonschema.validate(told, json.loads(SCHEMA.read_text()))
        except ImportError:
            verdicts.skip("the schema of export --otlp --json", "no jsonschema")
        files = exported(out)
        verdicts.check("what was sent is what was exported, byte for byte", by_stream(files) == expected, {k: len(v) for k, v in files.items()})
        verdicts.check("in the order of receipt", files["traces.pb"] == sent["traces", False] and files["traces.jsonl"] == [line, line])
        verdicts.check("it says what it wrote", {pathlib.Path(f["file"]).name: f["requests"] for f in told["files"]} == {k: len(v) for k, v in files.items()})
        again = subprocess.run([COLDCASE, "export", "--otlp", str(out), str(folder / "sent.case")], capture_output=True, text=True)
        verdicts.check("files that exist are not replaced", again.returncode == 2 and "exists already" in again.stderr, again.stderr.strip())
        run("import", *sorted(out.iterdir()), "-o", folder / "back.case")
        run("export", "--otlp", folder / "back", folder / "back.case")
        verdicts.check("and what was imported from there, byte for byte", exported(folder / "back") == files, {k: len(v) for k, v in exported(folder / "back").items()})
        for name in files:
            one, case = folder / f"one-{name}", folder / f"one-{name}.case"
            run("import", out / name, "-o", case)
            run("export", "--otlp", one, case)
            verdicts.check(f"{name} by itself too", sorted(sum(exported(one).values(), [])) == sorted(files[name]))

        # as the Collector names its files: the signal is told by what is in them
        collector = folder / "otel-output.binpb"
        collector.write_bytes(b"".join(struct.pack(">I", len(b)) + b for b in sent["logs", False]))
        told = json.loads(run("import", collector, "-o", folder / "collector.case", "--json"))["files"][0]
        verdicts.check("the collector's file: recognised by its content", (told["format"], told["messages"], told["items"], told["problem"]) == ("otlp", 3, 3, None), told)
        whole = collector.read_bytes()
        cut = folder / "cut.binpb"
        cut.write_bytes(whole[:-5])
        done = subprocess.run([COLDCASE, "import", str(cut), "-o", str(folder / "cut.case"), "--json"], capture_output=True, text=True)
        told = json.loads(done.stdout)["files"][0]
        verdicts.check("a file that was cut: imported up to there, and said", done.returncode == 3 and told["messages"] == 2 and "ends within request 3" in told["problem"], told)
        cut.write_bytes(whole + struct.pack(">I", 1 << 30) + b"x")
        done = subprocess.run([COLDCASE, "import", str(cut), "-o", str(folder / "cut.case"), "--force", "--json"], capture_output=True, text=True)
        verdicts.check("a length beyond all bounds: said, not read", done.returncode == 3 and "no bundle takes" in json.loads(done.stdout)["files"][0]["problem"])
        repeats(folder, verdicts)
        examples(folder, verdicts)
    finally:
        shutil.rmtree(folder)
    verdicts.end()


if __name__ == "__main__":
    main()
