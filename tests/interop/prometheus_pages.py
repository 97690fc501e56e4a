"""Compares what is read of exposition pages with what prometheus_client reads of them, sample by sample.

usage: prometheus_pages.py; it runs the example `pages` of the decode crate, which `cargo test` builds. The corpus is the folder
COLDCASE_CORPUS, or ../shared/corpus beside the repository; without it only the pages written here are compared.
"""

import json
import math
import os
import pathlib
import subprocess
import sys

try:
    from prometheus_client.openmetrics.parser import text_string_to_metric_families as strict
    from prometheus_client.parser import text_string_to_metric_families as classic
    from prometheus_client.samples import Timestamp
except ImportError:
    print("skipped: exposition pages: no prometheus_client (make setup-test installs it)")
    sys.exit(0)

# Where the reference is laxer than the grammar of OpenMetrics 1.0, or fails on what is good: whether ours takes the page.
# What is no longer different fails too, so that the list cannot grow old.
KNOWN = {
    'a{ a="1"} 1\n# EOF\n': False,  # blanks among labels
    'a{a= "1"} 1\n# EOF\n': False,
    'a{b:c="1"} 1\n# EOF\n': False,  # a colon is for names of metrics
    'a{a="1"}x1\n# EOF\n': False,  # any character for the space before the value
    "# HELP  a b\n# EOF\n": False,  # two spaces
    "#x TYPE a gauge\n# EOF\n": False,  # text behind the hash
    "inf\n# EOF\n": False,  # a value without a name, read as `in` with the value `inf`
    "a 1 1.123456789z\n# EOF\n": False,  # text behind the ninth digit
    "# TYPE a histogram\na {count:1,sum:1,schema:0,zero_threshold:1,zero_count:1}\n# EOF\n": False,  # of a later version
    '{"a.b"} 1\n# EOF\n': True,  # a quoted name without metadata
    "a 1 1.5\na 1 2e3\n# EOF\n": True,  # times in two notations, which it cannot compare
}

ROOT = pathlib.Path(__file__).resolve().parents[2]
READER = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug/examples/pages"
CORPUS = pathlib.Path(os.environ.get("COLDCASE_CORPUS", ROOT.parent / "shared/corpus")) / "openmetrics"

CLASSIC = """# HELP up Whether\\n it is.
# TYPE up gauge
up{a="\\\\ \\" \\n"} 1 1700000000123
# TYPE lat histogram
lat_bucket{le="0.1"} 1
lat_bucket{le="+Inf"} 2
lat_sum NaN
lat_count 2
free 1e-7
{"utf.8",a="b"} -Inf
"""

# Pages of rules that the corpus may lack: whether each is taken must be what the reference says.
STRICT = [
    "# EOF",
    "a 1",
    '# TYPE a.b gauge\n# EOF\n',
    '# TYPE "a.b" counter\n{"a.b_total"} 1 # {"x.y"="z"} 2 3.5\n# EOF\n',
    '# TYPE a stateset\na{a="x"} 1\na{a="y"} 0\n# EOF\n',
    '# TYPE a stateset\na{a="x",b="1"} 1\na{a="x",b="2"} 0\na{a="y",b="1"} 0\n# EOF\n',
    '# TYPE a info\na_info{v="1"} 1\na_info{v="2"} 1\n# EOF\n',
    '# TYPE a gaugehistogram\na_bucket{le="-1"} 1\na_bucket{le="+Inf"} 2\na_gcount 2\na_gsum -3\n# EOF\n',
    '# TYPE a histogram\na_bucket{le="+Inf"} 1 1\na_bucket{le="+Inf"} 2 2\n# EOF\n',
    '# TYPE a histogram\na_bucket{le="+Inf"} 1 2\na_bucket{le="+Inf"} 2 1\n# EOF\n',
    '# TYPE a summary\na{quantile="0"} 1\na{quantile="1"} NaN\na_sum 2\na_count 2.0\na_created 1\n# EOF\n',
    '# TYPE a summary\na{quantile="+Inf"} 1\n# EOF\n',
    "# TYPE a unknown\n# UNIT a \n# HELP a \\\\x\\n\na 1 1\na 2 1\na 3 2\n# EOF\n",
    "# TYPE a_b_seconds gauge\n# UNIT a_b_seconds b_seconds\na_b_seconds 1\n# EOF\n",
    "# TYPE a gauge\n# TYPE b gauge\na 1\n# EOF\n",
    "# TYPE a counter\na_total 1 123 # {} 1 -1.5\n# EOF\n",
    'a{a="1",a="1"} 1\n# EOF\n',
    'a{le="1",__x="1"} 1\n# EOF\n',
]


def number(value):
    """A number as the reader prints it, back to a float; all NaN are one."""
    if value is None:  # a native histogram
        return None
    value = float(value.replace("inf", "Infinity") if isinstance(value, str) else value)
    return "nan" if math.isnan(value) else value


def nanos(time):
    if time is None:
        return None
    if isinstance(time, Timestamp):
        return time.sec * 10**9 + time.nsec
    return round(time * 1e9)


def theirs(sample, nanos=nanos):
    exemplar = sample.exemplar and [sample.exemplar.labels, number(sample.exemplar.value), nanos(sample.exemplar.timestamp)]
    return [sample.name, sample.labels, number(sample.value), nanos(sample.timestamp), exemplar]


def ours(sample):
    name, labels, value, time, exemplar, _ = sample
    if exemplar:
        exemplar = [dict(exemplar[0]), number(exemplar[1]), exemplar[2]]
    return [name, dict(labels), number(value), time, exemplar]


def main():
    pages = [("classic page", False, CLASSIC)] + [(repr(p), True, p) for p in STRICT]
    if CORPUS.is_dir():
        pages += [(f.name, f.suffix == ".txt", f.read_bytes().decode()) for f in sorted(CORPUS.iterdir()) if f.suffix != ".json"]
    else:
        print(f"skipped: the pages of the corpus: no {CORPUS} (set COLDCASE_CORPUS)")
    if not READER.is_file():
        sys.exit(f"no {READER}: cargo build --workspace --example pages")
    pages += [(repr(page), True, page) for page in KNOWN]
    asked = "".join(json.dumps({"page": page, "strict": s}) + "\n" for _, s, page in pages)
    answers = subprocess.run([READER], input=asked, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(answers) == len(pages), f"{len(answers)} answers to {len(pages)} pages"
    samples = failed = 0
    for (name, is_strict, page), answer in zip(pages, map(json.loads, answers)):
        if is_strict:
            try:
                want = [[f.name, f.type, f.unit, f.documentation, [theirs(s) for s in f.samples]] for f in strict(page)]
            except (ValueError, KeyError, AttributeError, TypeError):
                want = None
            refused = isinstance(answer, dict)
            got = None if refused else [[f["name"], f["type"], f["unit"], f["help"], [ours(s) for s in f["samples"]]] for f in answer]
            samples += sum(len(f[4]) for f in got or [])
        else:
            # The client calls a counter's samples by OpenMetrics' names: `_total` is added where it is missing.
            counters = {s[0] for s in answer["samples"] if s[5] == "counter"}
            # Its times are seconds as a float: only the milliseconds of the page are left of them.
            millis = lambda time: None if time is None else round(time * 1e3) * 10**6  # noqa: E731
            want = sorted(([theirs(s, millis) for f in classic(page) for s in f.samples]), key=repr)
            got = [ours(s) for s in answer["samples"]]
            for s in got:
                if s[0] in counters and not s[0].endswith("_total"):
                    s[0] += "_total"
            got.sort(key=repr)
            samples += len(got)
            if answer["errors"]:
                got = f"{answer['errors']} errors"
        if page in KNOWN:
            if (want is None) == (got is None) or (got is not None) != KNOWN[page]:
                failed += 1
                print(f"FAILED {name}: stands among the known differences, but is none: {answer}"[:1000])
        elif want != got:
            failed += 1
            print(f"FAILED {name}: prometheus_client {want}, coldcase {got or answer}"[:1000])
    print(f"exposition pages: {len(pages)} pages and {samples} samples compared with prometheus_client, {failed} differ beyond the {len(KNOWN)} known")
    sys.exit(failed != 0)


main()
