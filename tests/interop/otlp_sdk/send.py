"""Sends spans and log records with the OpenTelemetry SDK for Python at a pace, and writes the span ids and log bodies it sent.

usage: send.py grpc|proto ENDPOINT none|gzip BATCH SECONDS PER_SECOND TAG FILE
"""
import json
import pathlib
import sys
import time

protocol, endpoint, packing, batch, seconds, rate, tag, file = sys.argv[1:]
if protocol == "grpc":
    from grpc import Compression
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    to = lambda signal: dict(endpoint=endpoint, insecure=True, compression=Compression.Gzip if packing == "gzip" else Compression.NoCompression)
else:
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    to = lambda signal: dict(endpoint=f"http://{endpoint}/v1/{signal}", compression=Compression.Gzip if packing == "gzip" else Compression.NoCompression)

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

# Queues hold everything: the SDK drops what does not fit, and that would not be the receiver's fault.
queue = dict(max_queue_size=10_000_000, max_export_batch_size=int(batch), schedule_delay_millis=100)
resource = Resource({"service.name": f"python-{protocol}"})
traces = TracerProvider(resource=resource)
traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(**to("traces")), **queue))
logs = LoggerProvider(resource=resource)
logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(**to("logs")), **queue))
tracer, logger = traces.get_tracer("storm"), logs.get_logger("storm")
spans, bodies = [], []
start = time.monotonic()
while True:
    elapsed = time.monotonic() - start
    due = min(elapsed, float(seconds)) * float(rate)
    while len(spans) < due:
        span = tracer.start_span("work")
        spans.append(format(span.get_span_context().span_id, "016x"))
        bodies.append(f"{tag}-{len(spans)}")
        logger.emit(LogRecord(timestamp=time.time_ns(), severity_number=SeverityNumber.INFO, body=bodies[-1]))
        span.end()
    if elapsed >= float(seconds):
        break
    time.sleep(0.02)
made = time.monotonic() - start
for provider in (traces, logs):
    provider.force_flush(120_000)
    provider.shutdown()
pathlib.Path(file + ".spans").write_text("".join(id + "\n" for id in spans))
pathlib.Path(file + ".logs").write_text("".join(body + "\n" for body in bodies))
print(json.dumps({"spans": len(spans), "logs": len(bodies), "made": made, "sent": time.monotonic() - start}))
