"""Raw OTLP requests with ids of our own, senders for both protocols, a recorder of nothing else."""
import http.client
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import threading
import time

import grpc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from case import COLDCASE, ROOT, free_port

RECORDER = os.environ.get("RECORDER", str(ROOT / "target/recorder/coldcase"))
GRPC = {"traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        "profiles": "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export"}


def recorder_binary():
    """The recorder where it is built, else the whole tool: the same command line."""
    return RECORDER if pathlib.Path(RECORDER).exists() else COLDCASE


class Recorder:
    """`coldcase record` with the OTLP receiver alone, live."""

    def __init__(self, case, *argv, stdout=subprocess.DEVNULL, grpc_at=None, http_at=None):
        self.grpc = grpc_at or f"127.0.0.1:{free_port()}"
        self.http = http_at or f"127.0.0.1:{free_port()}"
        self.process = subprocess.Popen(
            [recorder_binary(), "record", "-o", str(case), "--only", "otlp", "--otlp-grpc", self.grpc, "--otlp-http", self.http, *map(str, argv)],
            stdout=stdout, stderr=subprocess.PIPE, text=True)
        self.said, self.live = [], threading.Event()
        self.listener = threading.Thread(target=self._listen, daemon=True)
        self.listener.start()
        if not self.live.wait(20):
            sys.exit(f"the recorder did not start: {''.join(self.said)[-800:]}")

    def _listen(self):
        for line in self.process.stderr:
            self.said.append(line)
            if line.startswith("recording ") or "; Ctrl-C ends it" in line:
                self.live.set()

    def kill(self):
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def end(self, patience=60):
        """Ends it with Ctrl-C; its exit code, and what it said."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(patience)
        self.listener.join(5)
        return code, "".join(self.said)


def traces(ids, name="storm", size=0):
    """A request of spans with these ids (8 bytes each)."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "sender"
    scope = resource.scope_spans.add()
    scope.scope.name = "raw"
    now = time.time_ns()
    for id in ids:
        span = scope.spans.add(trace_id=b"\x11" * 8 + id, span_id=id, name=name, kind=2,
                               start_time_unix_nano=now, end_time_unix_nano=now + 1_000_000)
        if size:
            span.attributes.add(key="padding").value.string_value = "x" * size
    return request.SerializeToString()


def logs(bodies):
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "sender"
    scope = resource.scope_logs.add()
    now = time.time_ns()
    for body in bodies:
        scope.log_records.add(time_unix_nano=now, severity_number=9).body.string_value = body
    return request.SerializeToString()


class Http:
    """A connection that is kept, over TCP or a Unix socket (`unix:/path`)."""

    def __init__(self, at, tls=None):
        self.at, self.tls, self.connection = at, tls, None

    def _connect(self):
        if self.at.startswith("unix:"):
            connection = http.client.HTTPConnection("localhost", timeout=30)
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(30)
            connection.sock.connect(self.at[5:])
            return connection
        host, port = self.at.rsplit(":", 1)
        if self.tls:
            return http.client.HTTPSConnection(host, int(port), timeout=30, context=self.tls)
        return http.client.HTTPConnection(host, int(port), timeout=30)

    def send(self, signal, body, headers=None, path=None):
        """Status, headers and body of the answer; OSError when there is none."""
        headers = {"Content-Type": "application/x-protobuf", **(headers or {})}
        try:
            self.connection = self.connection or self._connect()
            self.connection.request("POST", path or f"/v1/{signal}", body, headers)
            answer = self.connection.getresponse()
            return answer.status, answer.headers, answer.read()
        except (OSError, http.client.HTTPException) as e:
            self.connection = None
            raise OSError(str(e)) from e


class Grpc:
    """A channel of its own: gRPC shares connections otherwise."""

    def __init__(self, at, credentials=None, options=()):
        target = at if at.startswith("unix:") else f"dns:///{at}"
        # gRPC's C core names a Unix socket by its path otherwise, which is no name of a host, and refused by the receiver's HTTP/2
        options = [*options, ("grpc.default_authority", "localhost")] if at.startswith("unix:") else options
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0), *options]
        self.channel = grpc.secure_channel(target, credentials, options) if credentials else grpc.insecure_channel(target, options)
        self.calls = {signal: self.channel.unary_unary(path, lambda b: b, lambda b: b) for signal, path in GRPC.items()}

    def send(self, signal, body, metadata=None, compression=None):
        """The answer's bytes; grpc.RpcError when it was not taken."""
        return self.calls[signal](body, timeout=30, metadata=metadata, compression=compression)


def new_id(random=random.SystemRandom()):
    return (random.getrandbits(64) | 1).to_bytes(8, "big")

