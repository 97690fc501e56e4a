"""The gateway: asks the cart and the orders service, and keeps a visit in PostgreSQL. Its spans come from the OpenTelemetry SDK for Python, with the
kernel's number of the thread on each; a line of its log says which process and thread served it.
usage: gateway.py PORT CART_PORT ORDERS_PORT POSTGRES_PORT OTLP_ENDPOINT LOG"""
import http.client
import http.server
import json
import os
import signal
import sys
import threading
import time

import psycopg
from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

PORT, CART, ORDERS, POSTGRES = map(int, sys.argv[1:5])
ENDPOINT, LOG = sys.argv[5:7]


class Threads(SpanProcessor):
    """What the semantic conventions call thread.id, as the kernel numbers threads."""

    def on_start(self, span, parent_context=None):
        span.set_attribute("thread.id", threading.get_native_id())


provider = TracerProvider(resource=Resource.create({"service.name": "gateway", "process.pid": os.getpid(), "host.name": os.uname().nodename}))
provider.add_span_processor(Threads())
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{ENDPOINT}/v1/traces"), schedule_delay_millis=200))
tracer = provider.get_tracer("gateway")
log, kept = open(LOG, "a", buffering=1), threading.local()


def ask(port, method, path, body=None):
    """Asks another service over this thread's own connection to it."""
    with tracer.start_as_current_span(f"{method} {path.split('?')[0].rsplit('/', 1)[0] or path}", kind=trace.SpanKind.CLIENT):
        headers = {}
        propagate.inject(headers)
        known = kept.__dict__.setdefault("http", {})
        client = known.setdefault(port, http.client.HTTPConnection("127.0.0.1", port))
        client.request(method, path, body, headers)
        answer = client.getresponse()
        return answer.status, answer.read()


def note_visit(path):
    if not hasattr(kept, "db"):
        kept.db = psycopg.connect(f"host=127.0.0.1 port={POSTGRES} user=postgres dbname=postgres sslmode=disable", autocommit=True)
    with tracer.start_as_current_span("INSERT visits", kind=trace.SpanKind.CLIENT, attributes={"db.system.name": "postgresql"}):
        kept.db.execute("insert into visits (path) values (%s)", (path,))


class Gateway(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def serve(self, method):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with tracer.start_as_current_span(f"{method} {self.path.split('?')[0].split('/')[1]}", context=propagate.extract(dict(self.headers.items())),
                                          kind=trace.SpanKind.SERVER) as span:
            ids = span.get_span_context()
            log.write(json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "msg": "gateway", "trace_id": f"{ids.trace_id:032x}",
                                  "span_id": f"{ids.span_id:016x}", "pid": os.getpid(), "tid": threading.get_native_id()}) + "\n")
            note_visit(self.path)
            if self.path.startswith("/cart/"):
                status, answer = ask(CART, "GET", self.path)
            else:
                status, answer = ask(ORDERS, "POST", "/order", body)
            span.set_attribute("http.response.status_code", status)
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def do_GET(self):
        self.serve("GET")

    def do_POST(self):
        self.serve("POST")

    def log_message(self, *_):
        pass


def stop(*_):
    provider.shutdown()
    os._exit(0)


signal.signal(signal.SIGTERM, stop)
http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Gateway).serve_forever()
