"""kill -9 of the OTLP receiver at random moments: what was acknowledged is in the bundle.

Many connections (HTTP and gRPC) send spans with ids of their own, in batches of several sizes; each id is written down, with fsync, when its request was
acknowledged. `--ack durable`: every one of them must be in the recovered bundle. Else: every one that was acknowledged more than two
seconds before the kill. usage: durable.py [COUNT]
"""
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from case import COLDCASE, Verdicts, boottime, run  # noqa: E402

BOUND = 2_000_000_000
CONNECTIONS = 10


def sender(folder, http_at, grpc_at):
    """Sends until stdin ends. Its own process: it must not share a fate with the test."""
    import grpc
    from otlp import Grpc, Http, new_id, traces

    def connection(number):
        journal = os.open(folder / f"acked.{number}", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        rng = random.Random(number)
        line = Http(http_at) if number % 2 else Grpc(grpc_at)
        while True:
            ids = [new_id() for _ in range(rng.choice((1, 1, 10, 100)))]
            body = traces(ids, size=rng.choice((0, 200)))
            try:
                answer = line.send("traces", body)
                acked = answer[0] == 200 if number % 2 else True
            except (OSError, grpc.RpcError):
                acked = False
                time.sleep(0.05)
            if acked:
                at = boottime()
                os.write(journal, "".join(f"{id.hex()} {at}\n" for id in ids).encode())
                os.fsync(journal)

    for n in range(CONNECTIONS):
        threading.Thread(target=connection, args=(n,), daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()
    os._exit(0)


def stored(bundle):
    out = subprocess.run([COLDCASE, "query", str(bundle), "SELECT span FROM spans", "--format", "csv", "--quiet"], capture_output=True, text=True)
    if out.returncode not in (0, 3):
        sys.exit(f"coldcase query: exit {out.returncode}: {out.stderr[-800:]}")
    return out.stdout.splitlines()[1:]


def once(folder, seed, ack, verdicts):
    from otlp import Recorder
    rng = random.Random(seed)
    work = folder / f"{ack}-{seed}"
    work.mkdir()
    case, fixed = work / "killed.case", work / "recovered.case"
    recorder = Recorder(case, "--ack", ack)
    load = subprocess.Popen([sys.executable, __file__, "--send", work, recorder.http, recorder.grpc], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    load.stdout.readline()
    time.sleep((2.5 if ack == "received" else 0.5) + rng.random() * 2)
    killed = boottime()
    recorder.kill()
    time.sleep(0.2)
    load.kill()
    load.wait()
    run("recover", case, "-o", fixed, "--force", ok=(0, 3))
    acked = [line.split() for path in work.glob("acked.*") for line in path.read_text().splitlines()]
    due = {id for id, at in acked if ack == "durable" or int(at) < killed - BOUND}
    there = stored(fixed)
    missing = due - set(there)
    chunks = json.loads(run("verify", fixed, "--json", ok=(0, 3)))["chunks"]
    requests = len({(at) for _, at in acked})
    verdicts.check(f"kill {seed}: {ack}: all that was acknowledged{'' if ack == 'durable' else ' two seconds before'} is there",
                   due and not missing, f"{len(missing)} of {len(due)} missing, {requests} requests in {chunks} chunks")
    verdicts.check(f"kill {seed}: {ack}: nothing is there twice", len(there) == len(set(there)))
    if ack == "durable":
        verdicts.check(f"kill {seed}: requests share chunks and syncs", requests > 2 * chunks, f"{requests} requests, {chunks} chunks")
    if not missing:
        shutil.rmtree(work)


def main():
    if sys.argv[1:2] == ["--send"]:
        sender(pathlib.Path(sys.argv[2]), sys.argv[3], sys.argv[4])
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    verdicts = Verdicts()
    try:
        import grpc  # noqa: F401
        import opentelemetry.proto  # noqa: F401
    except ImportError as e:
        verdicts.skip("durable kills", f"no {e.name} (tests/requirements.txt)")
        verdicts.end()
    seed = int(os.environ.get("SEED", "1"))
    # what a failed round left is kept to be looked at
    folder = pathlib.Path(tempfile.mkdtemp(prefix="durable-", dir=os.environ.get("WORK", "/var/tmp")))
    for n in range(count):
        once(folder, seed + n, "durable", verdicts)
        # the bound of the other mode is tests/kills/kills.py's; here it stands under many connections
        if n % 3 == 0:
            once(folder, seed + n, "received", verdicts)
    if verdicts.failed:
        print(f"kept: {folder}")
    else:
        shutil.rmtree(folder)
    verdicts.end()


if __name__ == "__main__":
    main()
