#!/usr/bin/env python3
"""CPU profiles of other tools, imported: `perf script` of a real program, the same folded, and a profile that Node.js's own profiler wrote as pprof. What
`coldcase flame` draws must be the samples that the tool's own output has, stack by stack. usage: profiles.py"""
import collections
import gzip
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/lib"))
from case import Verdicts, run  # noqa: E402

verdicts = Verdicts()
BUSY = "import json\nfor n in range(60000): json.loads(json.dumps({'a': list(range(40))}))"


def folded(bundle):
    """Stacks without whose they are, outermost first, and their samples; the kernel's frames without their mark."""
    out = collections.Counter()
    for line in run("flame", bundle, "--folded").splitlines():
        stack, count = line.rsplit(" ", 1)
        out[";".join(frame.removesuffix("_[k]") for frame in stack.split(";")[1:])] += int(count)
    return out


def perf(folder):
    if not shutil.which("perf"):
        return verdicts.skip("perf script", "no perf")
    recorded = subprocess.run(["perf", "record", "-q", "-F", "499", "-g", "-o", folder / "perf.data", sys.executable, "-c", BUSY], capture_output=True, text=True)
    if recorded.returncode:
        return verdicts.skip("perf script", f"perf cannot record here: {recorded.stderr.strip()[-200:]}")
    text = subprocess.run(["perf", "script", "-F", "+pid", "-i", folder / "perf.data"], capture_output=True, text=True, errors="replace").stdout
    (folder / "perf.txt").write_text(text)
    theirs = collections.Counter()
    for block in text.split("\n\n"):
        if block.strip():
            names = [re.sub(r"\+0x[0-9a-f]+$", "", re.match(r"\s*[0-9a-f]+ (.*?)(?: \(([^()]*|\(deleted\)|.*)\))?$", line)[1]) for line in block.strip().splitlines()[1:]]
            theirs[";".join(n.replace(";", ":") for n in reversed(names))] += 1
    done = json.loads(run("import", folder / "perf.txt", "-o", folder / "perf.case", "--json"))
    verdicts.check("perf script is recognised, and all of it is read", done["files"][0]["format"] == "perf-script" and not done["lost"], done["files"][0]["items"])
    verdicts.check("perf script: no sample is missing", done["files"][0]["items"] == sum(theirs.values()), f"{sum(theirs.values())} samples")
    ours = folded(folder / "perf.case")
    verdicts.check("perf script: stacks are those of the text", ours == theirs,
                   f"{len(theirs)} stacks, only ours {list((ours - theirs).items())[:2]}, only theirs {list((theirs - ours).items())[:2]}")
    (folder / "stacks.folded").write_text("".join(f"python;{stack} {n}\n" for stack, n in theirs.items()))
    done = json.loads(run("import", folder / "stacks.folded", "-o", folder / "folded.case", "--json"))
    ours = folded(folder / "folded.case")
    same = collections.Counter({f"python;{stack}" if stack else "python": n for stack, n in theirs.items()})
    verdicts.check("folded stacks are recognised, and are the same again", done["files"][0]["format"] == "folded" and ours == same,
                   f"{len(same)} stacks, only ours {list((ours - same).items())[:2]}, only theirs {list((same - ours).items())[:2]}")


NODE = """
const inspector = require('inspector'), fs = require('fs'), { Profile, StringTable, ValueType, Function: F, Location, Line, Sample } = require('pprof-format')
const session = new inspector.Session(); session.connect()
function hash(n) { let h = 0; for (let i = 0; i < n; i++) h = (h * 31 + i) | 0; return h }
function work() { const end = Date.now() + 1500; let x = 0; while (Date.now() < end) x += hash(20000); return x }
session.post('Profiler.enable'); session.post('Profiler.setSamplingInterval', { interval: 2000 }); session.post('Profiler.start')
work()
session.post('Profiler.stop', (err, { profile }) => {
  const nodes = new Map(profile.nodes.map((n) => [n.id, n])), parent = new Map()
  for (const n of profile.nodes) for (const c of n.children || []) parent.set(c, n.id)
  const s = new StringTable(), count = new Map(), functions = [], locations = [], samples = []
  for (const id of profile.samples) count.set(id, (count.get(id) || 0) + 1)
  for (const n of profile.nodes) {
    functions.push(new F({ id: n.id, name: s.dedup(n.callFrame.functionName || '(anonymous)') }))
    locations.push(new Location({ id: n.id, line: [new Line({ functionId: n.id })] }))
  }
  const told = {}
  for (const [id, n] of count) {
    const stack = []; for (let at = id; at !== undefined; at = parent.get(at)) stack.push(at)
    samples.push(new Sample({ locationId: stack, value: [n, n * 2000000] }))
    const names = stack.map((i) => nodes.get(i).callFrame.functionName || '(anonymous)').reverse().join(';')
    told[names] = (told[names] || 0) + n
  }
  const type = (t, u) => new ValueType({ type: s.dedup(t), unit: s.dedup(u) })
  const out = new Profile({ sampleType: [type('samples', 'count'), type('cpu', 'nanoseconds')], sample: samples, location: locations, function: functions,
    stringTable: s, timeNanos: BigInt(Date.now() - 1500) * 1000000n, durationNanos: 1500000000n, periodType: type('cpu', 'nanoseconds'), period: 2000000 })
  fs.writeFileSync(process.argv[2], out.encode()); fs.writeFileSync(process.argv[3], JSON.stringify(told))
})
"""


def pprof(folder):
    if not shutil.which("npm") or not shutil.which("node"):
        return verdicts.skip("pprof", "no Node.js with npm")
    where = ROOT / "target/pprof-format"
    if not (where / "node_modules/pprof-format").exists():
        where.mkdir(parents=True, exist_ok=True)
        if subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", where, "pprof-format@2.3.2"], capture_output=True).returncode:
            return verdicts.skip("pprof", "npm could not install pprof-format")
    (where / "profile.js").write_text(NODE)
    subprocess.run(["node", where / "profile.js", folder / "node.pb", folder / "node.json"], check=True)
    (folder / "node.pb.gz").write_bytes(gzip.compress((folder / "node.pb").read_bytes()))
    theirs = collections.Counter(json.loads((folder / "node.json").read_text()))
    for name in ("node.pb", "node.pb.gz"):
        done = json.loads(run("import", folder / name, "-o", folder / "node.case", "--force", "--json"))
        ours = folded(folder / "node.case")
        verdicts.check(f"{name} is recognised, and its stacks are those of the profiler", done["files"][0]["format"] == "pprof" and ours == theirs and sum(ours.values()) > 100,
                       f"{sum(theirs.values())} samples, only ours {list((ours - theirs).items())[:2]}, only theirs {list((theirs - ours).items())[:2]}")


with tempfile.TemporaryDirectory(prefix="coldcase-profiles-") as made:
    perf(pathlib.Path(made))
    pprof(pathlib.Path(made))
verdicts.end()
