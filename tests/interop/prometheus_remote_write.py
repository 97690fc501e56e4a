"""Prometheus writes to `coldcase record --remote-write`: what `coldcase query` tells must be what Prometheus itself answers.

A real Prometheus scrapes a real node_exporter and itself, and pushes to the recorder. Afterwards every series of the recorded time is asked of its
HTTP API: the same timestamps, the same values. node_exporter is stopped meanwhile: its series end with staleness markers.

usage: prometheus_remote_write.py   needs prometheus and prometheus-node-exporter (apt)
"""
import json
import math
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from case import COLDCASE, Verdicts, run  # noqa: E402

try:
    from prometheus_client.parser import text_string_to_metric_families as classic
except ImportError as e:
    print(f"skipped: remote write of Prometheus: {e} (make setup-test installs it)")
    sys.exit(0)

SECONDS = 12


def port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def get(url):
    return json.load(urllib.request.urlopen(url, timeout=10))


def wait(url):
    for _ in range(100):
        try:
            return urllib.request.urlopen(url, timeout=2).read()
        except OSError:
            time.sleep(0.1)
    sys.exit(f"{url} did not come up")


def value(v):
    return "nan" if math.isnan(float(v)) else repr(float(v))


def theirs(api, start, end):
    """Every sample of Prometheus from `start` to `end` (seconds): series to time in ms to value."""
    q = urllib.parse.urlencode({"query": f'{{__name__=~".+"}}[{math.ceil(end - start)}s]', "time": f"{end:.3f}"})
    answer = get(f"http://{api}/api/v1/query?{q}")
    out = {}
    for s in answer["data"]["result"]:
        out[tuple(sorted(s["metric"].items()))] = {round(t * 1000): value(v) for t, v in s.get("values", [])}
    return out


def ours(bundle):
    """The same of the bundle, and the series that end in a staleness marker."""
    rows = json.loads(run("query", bundle, "--format", "json", "--quiet", "SELECT name, labels, utc, value, stale FROM metrics"
                          " WHERE stream = 'prometheus.remote_write' ORDER BY utc"))
    out, stale, labels = {}, {}, {}
    for r in rows:
        if r["labels"] not in labels:
            labels[r["labels"]] = next(s.labels for f in classic("x{" + r["labels"] + "} 1\n") for s in f.samples)
        key = tuple(sorted({**labels[r["labels"]], "__name__": r["name"]}.items()))
        if r["stale"]:
            stale.setdefault(key, []).append(r["utc"] // 1_000_000)
        else:
            v = r["value"]
            out.setdefault(key, {})[r["utc"] // 1_000_000] = value(v) if v is not None else "nan"
    return out, stale


def main():
    lacking = [t for t in ("prometheus-node-exporter", "prometheus") if not shutil.which(t)]
    if lacking:
        print(f"skipped: remote write of Prometheus: no {', '.join(lacking)}")
        return
    v = Verdicts()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="coldcase-remote-write-"))
    children = []
    try:
        check(v, folder, children)
    finally:
        for child in children:
            # Prometheus would try for a minute to send the rest.
            child.kill()
            child.wait()
        shutil.rmtree(folder)
    v.end()


def check(v, folder, children):
    exporter, api, us = (f"127.0.0.1:{port()}" for _ in range(3))
    bundle = folder / "pushed.case"
    (folder / "p.yml").write_text(f"""global: {{scrape_interval: 1s}}
scrape_configs:
- {{job_name: node, static_configs: [{{targets: ['{exporter}']}}]}}
- {{job_name: self, static_configs: [{{targets: ['{api}']}}]}}
remote_write:
- url: http://{us}/api/v1/write
  metadata_config: {{send: true, send_interval: 2s}}
  queue_config: {{batch_send_deadline: 500ms}}
""")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    recorder = subprocess.Popen([COLDCASE, "record", "-o", bundle, "--only", "remote-write", "--remote-write", us, "--for", f"{SECONDS}s"],
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    node = subprocess.Popen(["prometheus-node-exporter", f"--web.listen-address={exporter}"], **quiet)
    wait(f"http://{exporter}/metrics")
    prometheus = subprocess.Popen(["prometheus", f"--config.file={folder}/p.yml", f"--storage.tsdb.path={folder}/tsdb", f"--web.listen-address={api}"], **quiet)
    children += [node, prometheus]
    wait(f"http://{api}/-/ready")
    time.sleep(SECONDS / 2)
    node.terminate()
    node.wait()
    _, said = recorder.communicate(timeout=60)
    v.check("Prometheus writes to the recorder", recorder.returncode == 0, said[-300:] if recorder.returncode else "")

    mine, stale = ours(bundle)
    # The queue runs behind: what it had not sent yet when the recorder ended is not ours. Up to the last second that was.
    end = max((max(times) for times in mine.values()), default=0) / 1000 - 2
    whole = theirs(api, end - 60, end)
    differ = samples = 0
    example = None
    for key, times in whole.items():
        own = {t: x for t, x in mine.get(key, {}).items() if t / 1000 <= end}
        samples += len(times)
        if own != times:
            differ += 1
            example = example or (key, sorted(set(own.items()) ^ set(times.items()))[:3])
    v.check("every sample of Prometheus is in the bundle, to the millisecond and the bit", samples > 2000 and not differ,
            f"{samples} samples of {len(whole)} series {example or ''}")
    extra = [k for k in mine if k not in whole and min(mine[k]) / 1000 <= end]
    v.check("and no series that it does not know", not extra, extra[:2])
    nodes = [k for k in whole if ("job", "node") in k and ("__name__", "up") not in k and not dict(k)["__name__"].startswith("scrape_")]
    ended = [k for k in nodes if k in stale]
    v.check("the series of the stopped exporter end in staleness markers", len(nodes) > 100 and len(ended) == len(nodes),
            f"{len(ended)} of {len(nodes)}")
    kinds = {r["kind"]: r["n"] for r in json.loads(run("query", bundle, "--format", "json", "--quiet", "SELECT kind, count(*) AS n FROM metrics GROUP BY kind"))}
    v.check("types come from the metadata requests", {"counter", "gauge", "summary"} <= set(kinds), kinds)
    analysis = json.loads(run("analyze", bundle, "--json", "--quiet"))
    up = [m for m in analysis["metrics"] if m["name"].startswith("up{") and 'job="node"' in m["name"]]
    v.check("analyze shows the exporter go down", up and [p[1] for p in up[0]["points"]][0] == 1 and up[0]["points"][-1][1] == 0)
    v.check("nothing was left unread", not analysis["quality"]["problems"], analysis["quality"]["problems"][:2])
    lost = [x for x in analysis["quality"]["losses"] if x["count"]]
    v.check("nothing was refused", not lost, lost)


if __name__ == "__main__":
    main()
