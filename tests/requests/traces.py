"""What `coldcase timeline --trace` and `coldcase trace` join to a trace, against a shop whose spans, threads, logs and request bytes are all known.

The demo's shop runs under load while it is recorded with payload: each call from gateway to orders carries its span in `traceparent`, the
spans tell pid and thread, and both services log with the id of the trace.

usage: traces.py (as root)
"""
import json
import os
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import shop  # noqa: E402
from case import Verdicts, run  # noqa: E402


def within_capture(bundle, slowest):
    """Of the slowest traces those that lie whole between the first and the last packet: id, and what `trace` and `timeline` tell of it."""
    seen = json.loads(run("query", bundle, "SELECT min(utc) AS first, max(utc) AS last, count(*) AS n FROM packets", "--json"))["rows"][0]
    lost = json.loads(run("query", bundle, "SELECT * FROM losses WHERE source = 'packets' AND count > 0", "--json"))["rows"]
    print(f"packets: {seen}, lost: {lost}")
    # Services are slow while the recorder begins: such a trace may have begun before the packets did.
    inside = [t["id"] for t in slowest if t["start"] >= seen["first"] and t["start"] + t["duration"] <= seen["last"]]
    return [(trace, json.loads(run("trace", bundle, "--trace", trace, "--json"))["traces"][0],
             [json.loads(line) for line in run("timeline", bundle, "--trace", trace, "--json").splitlines()]) for trace in inside]


def main():
    verdicts = Verdicts()
    if os.geteuid() != 0:
        verdicts.skip("traces", "recording kernel and packets needs root")
        verdicts.end()
    with tempfile.TemporaryDirectory() as folder:
        bundle = shop.recorded(pathlib.Path(folder), "--log", "{GATEWAY_LOG}", "--log", "{ORDERS_LOG}")
        traces = json.loads(run("trace", bundle, "--json"))
        posts = next(o for o in traces["operations"] if o["name"] == "POST /order")
        verdicts.check("there are traces of whole orders", posts["traces"] > 20 and posts["usual"] * 2 > posts["traces"], posts["traces"])
        verdicts.check("traces at the end of the recording, of which one service sent no more, are not called odd",
                       all(o["odd_count"] == 0 for o in traces["operations"]), [(o["name"], o["odd_count"], o["at_edge"]) for o in traces["operations"]])
        verdicts.check("the clocks of one host may be equal", all(c["offset"] == 0 and not c["contradictory"] for c in traces["clocks"]), traces["clocks"])

        slow = within_capture(bundle, posts["slowest"])
        verdicts.check("some of the slowest traces lie within the packets", slow, len(posts["slowest"]))
        trace, view, lines = slow[0]
        verdicts.check("the path sums to the root", sum(p["to"] - p["from"] for p in view["path"]) == view["duration"] ==
                       sum(s["on_path"] for s in view["spans"]))
        processes = json.loads(run("query", bundle, "SELECT pid FROM host_process WHERE exe LIKE '%coldcase-demo'", "--json"))
        names = {next(iter(r.values())) if isinstance(r, dict) else r[0] for r in processes["rows"]}
        verdicts.check("each span is bound to its thread", all(s["tier"] == "process.pid, thread.id" for s in view["spans"]), [s["tier"] for s in view["spans"]])
        verdicts.check("and that is one of the shop's", {s["pid"] for s in view["spans"]} <= names and len({s["pid"] for s in view["spans"]}) == 2, sorted(names))

        verdicts.check("all is in one order of time", [l["utc"] for l in lines] == sorted(l["utc"] for l in lines))
        verdicts.check("each line says how it was joined", all(l.get("how") for l in lines))
        of = {stream: [l for l in lines if l["stream"] == stream] for stream in {l["stream"] for l in lines}}
        both = [l for l in of.get("packets", []) if "request" in l["fields"]]
        requests = [r for r in both if r["how"] == "traceparent"]
        # The one from outside has no traceparent: where only the trace's first span fits it, it is joined as inferred.
        verdicts.check("the one request between the services is there, by its bytes", len(requests) == 1 and all(
            r["how"] == "inferred" and r["utc"] <= requests[0]["utc"] and r["end"] >= requests[0]["end"] for r in both if r not in requests),
                       [(r["how"], r["text"]) for r in both])
        call = next(s for s in view["spans"] if s["kind"] == "client" and s["service"] == "gateway")
        verdicts.check("it is that of the client's span", requests and requests[0]["fields"]["request"]["span"]["span"] == call["span"])
        packets = [l for l in of.get("packets", []) if "request" not in l["fields"]]
        request = requests[0]
        verdicts.check("so are its packets and no others", len(packets) >= 2 and all(any(r["utc"] <= p["utc"] <= r["end"] for r in both) for p in packets) and
                       len({frozenset([p["fields"]["src_port"], p["fields"]["dst_port"]]) for p in packets}) == len(both), len(packets))
        # A request that only ran has no wait above the threshold: not each of them waits, but some do.
        waits = [({w["fields"]["tid"] for w in lines if w["stream"] == "kernel.offcpu"}, {s["tid"] for s in view["spans"]}) for _, view, lines in slow]
        verdicts.check("the waits are those of the spans' threads", any(waiting for waiting, _ in waits) and all(waiting <= tids for waiting, tids in waits), waits)
        logs = of.get("log.lines", [])
        verdicts.check("no log line names another trace", all(trace in l["text"] or l["how"] != "trace id" for l in logs), len(logs))

        tiers = json.loads(run("query", bundle, "SELECT tier, count(*) AS n FROM spans GROUP BY tier", "--json"))
        verdicts.check("the table of spans has the tier", "process.pid, thread.id" in json.dumps(tiers["rows"]), tiers["rows"])
    verdicts.end()


if __name__ == "__main__":
    main()
