"""The demo's shop under load, recorded."""
import os
import subprocess
import time

from case import ROOT, free_port, run

DEMO = os.environ.get("DEMO", str(ROOT / "target/debug/coldcase-demo"))


def recorded(folder, *record, shop=()):
    """The bundle of six seconds of the shop with payload. `shop` are flags of the demo; `record` those of the recorder, after what the shop's environment tells (`{GATEWAY_LOG}`)."""
    otlp, bundle = f"127.0.0.1:{free_port()}", folder / "shop.case"
    process = subprocess.Popen([DEMO, "all", "--dir", str(folder / "shop"), "--for", "9s", *shop, "--otlp", f"http://{otlp}"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        # Threads that begin while the recorder does may be unknown to it.
        env = folder / "shop/shop.env"
        deadline = time.monotonic() + 10
        while not env.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        told = dict(line.split("=", 1) for line in env.read_text().split() if "=" in line)
        told = {key: value.strip("'\"") for key, value in told.items()}
        run("record", "-o", bundle, "--for", "6s", "--otlp-http", otlp, "--payload", "600", *(flag.format(**told) for flag in record), ok=(0, 3))
    finally:
        process.terminate()
        process.wait()
    return bundle
