"""The doors of the OTLP receiver: a Unix socket, a bearer token, TLS with a certificate that the client verifies; and profiles, kept raw.

usage: otlp_guard.py
"""
import json
import os
import pathlib
import shutil
import ssl
import stat
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from case import COLDCASE, Verdicts, run  # noqa: E402

TOKEN = "a-token-of-the-test"


def spans(case):
    done = subprocess.run([COLDCASE, "query", str(case), "SELECT span FROM spans", "--format", "csv", "--quiet"], capture_output=True, text=True)
    return sorted(done.stdout.splitlines()[1:])


def refused(call):
    """The name of the gRPC status that a call ends with."""
    import grpc
    try:
        call()
        return "OK"
    except grpc.RpcError as e:
        return e.code().name


def by_socket(folder, verdicts):
    from otlp import Grpc, Http, Recorder, new_id, recorder_binary, traces
    case, grpc_at, http_at = folder / "unix.case", folder / "grpc.sock", folder / "http.sock"
    recorder = Recorder(case, grpc_at=f"unix:{grpc_at}", http_at=f"unix:{http_at}")
    ids = [new_id() for _ in range(20)]
    verdicts.check("unix: it is a socket", stat.S_ISSOCK(http_at.stat().st_mode))
    status = Http(f"unix:{http_at}").send("traces", traces(ids[:10]))[0]
    verdicts.check("unix: HTTP is taken", status == 200, status)
    Grpc(f"unix:{grpc_at}").send("traces", traces(ids[10:]))
    # kept as it comes, whatever is in it: the signal is in development
    profile = b"\x0a\x04\x12\x02\x12\x00\x12\x00"
    status = Http(f"unix:{http_at}").send("profiles", profile, path="/v1development/profiles")[0]
    verdicts.check("profiles: HTTP is taken", status == 200, status)
    Grpc(f"unix:{grpc_at}").send("profiles", profile)
    other = subprocess.run([recorder_binary(), "record", "-o", str(folder / "other.case"), "--only", "otlp", "--require", "otlp", "--otlp-http", f"unix:{http_at}",
                            "--otlp-grpc", f"unix:{folder}/other.sock", "--for", "1s"], capture_output=True, text=True)
    verdicts.check("unix: a socket in use is said so", other.returncode != 0 and "in use by another program" in other.stderr, other.stderr.strip()[-200:])
    code, _ = recorder.end()
    verdicts.check("unix: the sockets are gone after it", code == 0 and not http_at.exists() and not grpc_at.exists(), code)
    verdicts.check("unix: all spans are there", spans(case) == sorted(id.hex() for id in ids))
    streams = {s["name"]: s["events"] for s in json.loads(run("info", case, "--json"))["streams"]}
    verdicts.check("profiles: both requests are in the bundle", streams.get("otlp.profiles") == 2, streams)
    # a recorder that is killed leaves its sockets: the next one takes them over
    left = Recorder(folder / "left.case", grpc_at=f"unix:{grpc_at}", http_at=f"unix:{http_at}")
    left.kill()
    next_one = Recorder(folder / "next.case", grpc_at=f"unix:{grpc_at}", http_at=f"unix:{http_at}")
    verdicts.check("unix: a socket that was left is taken over", Http(f"unix:{http_at}").send("traces", traces(ids))[0] == 200)
    next_one.end()


def by_token(folder, verdicts):
    from otlp import Grpc, Http, Recorder, new_id, traces
    case, secret = folder / "token.case", folder / "token"
    secret.write_text(TOKEN + "\n")
    recorder = Recorder(case, "--otlp-token", secret)
    ids = [new_id() for _ in range(20)]
    http = Http(recorder.http)
    for name, headers in (("none", {}), ("another", {"Authorization": f"Bearer {TOKEN}x"}), ("no bearer's", {"Authorization": f"Basic {TOKEN}"})):
        status, told, body = http.send("traces", traces([new_id()]), headers)
        verdicts.check(f"token: {name}: 401", (status, told.get("WWW-Authenticate")) == (401, "Bearer"), (status, body))
    status, _, body = http.send("traces", b"{}", {"Content-Type": "application/json"})
    verdicts.check("token: the answer is in the request's encoding", status == 401 and "bearer token" in json.loads(body)["message"], body)
    status = http.send("traces", traces(ids[:10]), {"Authorization": f"Bearer {TOKEN}"})[0]
    verdicts.check("token: the right one by HTTP", status == 200, status)
    grpc = Grpc(recorder.grpc)
    verdicts.check("token: gRPC without one", refused(lambda: grpc.send("traces", traces([new_id()]))) == "UNAUTHENTICATED")
    verdicts.check("token: gRPC with another", refused(lambda: grpc.send("traces", traces([new_id()]), [("authorization", "Bearer x")])) == "UNAUTHENTICATED")
    grpc.send("traces", traces(ids[10:]), [("authorization", f"Bearer {TOKEN}")])
    code, said = recorder.end()
    verdicts.check("token: what was refused is counted", code == 3 and "6 otlp" in said, said.strip()[-300:])
    verdicts.check("token: what brought it is there, and nothing else", spans(case) == sorted(id.hex() for id in ids))
    verdicts.check("token: it is not in the bundle", TOKEN.encode() not in case.read_bytes())


def by_tls(folder, verdicts):
    import grpc as g
    from otlp import Grpc, Http, Recorder, new_id, recorder_binary, traces
    if not shutil.which("openssl"):
        verdicts.skip("TLS", "no openssl")
        return
    case, cert, key = folder / "tls.case", folder / "cert.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    recorder = Recorder(case, "--otlp-tls-cert", cert, "--otlp-tls-key", key)
    ids = [new_id() for _ in range(20)]
    trusting = ssl.create_default_context(cafile=str(cert))
    line = Http(recorder.http, tls=trusting)
    status = line.send("traces", traces(ids[:10]))[0]
    version = line.connection.sock.version()
    verdicts.check("TLS: HTTP by a client that verifies the certificate", status == 200, f"{status}, {version}")
    try:
        Http(recorder.http, tls=ssl.create_default_context()).send("traces", traces([new_id()]))
        verdicts.check("TLS: a client that does not know the certificate leaves", False)
    except OSError as e:
        verdicts.check("TLS: a client that does not know the certificate leaves", "CERTIFICATE_VERIFY_FAILED" in str(e))
    try:
        answer = Http(recorder.http).send("traces", traces([new_id()]))
        verdicts.check("TLS: who does not speak it is not served", False, answer)
    except OSError:
        verdicts.check("TLS: who does not speak it is not served", True)
    channel = Grpc(recorder.grpc, g.ssl_channel_credentials(cert.read_bytes()))
    channel.send("traces", traces(ids[10:]))
    code, _ = recorder.end()
    verdicts.check("TLS: all spans are there", code == 0 and spans(case) == sorted(id.hex() for id in ids), code)
    for flags, what in (((cert, cert), "no private key"), ((key, key), "no certificate")):
        done = subprocess.run([recorder_binary(), "record", "-o", str(folder / "bad.case"), "--only", "otlp", "--require", "otlp", "--otlp-tls-cert", str(flags[0]),
                               "--otlp-tls-key", str(flags[1]), "--otlp-http", "127.0.0.1:0", "--otlp-grpc", "127.0.0.1:0", "--for", "1s"], capture_output=True, text=True)
        verdicts.check(f"TLS: a file with {what} is named", done.returncode != 0 and str(flags[0]) in done.stderr, done.stderr.strip()[-200:])


def what_cannot_be(folder, verdicts):
    from otlp import recorder_binary
    for argv, said in ((["-o", "-", "--ack", "durable"], "stdout cannot be synced"), (["-o", str(folder / "x.case"), "--ack", "soon"], "neither received nor durable"),
                       (["-o", str(folder / "x.case"), "--otlp-forward", "collector:4317"], "grpc://"), (["-o", str(folder / "x.case"), "--otlp-tls-cert", "c"], "--otlp-tls-key"),
                       (["-o", str(folder / "x.case"), "--otlp-http", "unix:here"], "begins with /")):
        done = subprocess.run([recorder_binary(), "record", "--only", "otlp", "--for", "1s", *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        verdicts.check(f"{' '.join(argv[-2:])}: refused before anything is recorded", done.returncode == 2 and said in done.stderr and not (folder / "x.case").exists(),
                       done.stderr.strip()[-200:])


def main():
    verdicts = Verdicts()
    try:
        import grpc  # noqa: F401
        import opentelemetry.proto  # noqa: F401
    except ImportError as e:
        verdicts.skip("OTLP's doors", f"no {e.name} (tests/requirements.txt)")
        verdicts.end()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="guard-", dir=os.environ.get("WORK", "/var/tmp")))
    try:
        for part in (by_socket, by_token, by_tls, what_cannot_be):
            part(folder, verdicts)
    finally:
        shutil.rmtree(folder)
    verdicts.end()


if __name__ == "__main__":
    main()
