"""Sends spans, log records and metrics with the OpenTelemetry SDK, and prints the span ids and log numbers it sent.

Usage: otlp_sdk.py grpc|http ENDPOINT SPANS
"""
import logging
import sys

protocol, endpoint, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
if protocol == "grpc":
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from grpc import Compression
    options = dict(insecure=True, compression=Compression.Gzip)
    to = lambda signal: dict(endpoint=endpoint, **options)
else:
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    to = lambda signal: dict(endpoint=f"{endpoint}/v1/{signal}", compression=Compression.Gzip)

from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

# Queues hold everything: the SDK drops what does not fit, and that would not be the receiver's fault.
queue = dict(max_queue_size=2 * count, max_export_batch_size=512)
traces = TracerProvider()
traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(**to("traces")), **queue))
logs = LoggerProvider()
logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(**to("logs")), **queue))
metrics = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter(**to("metrics")), export_interval_millis=200)])

tracer = traces.get_tracer("test")
logger = logging.getLogger("test")
logger.setLevel(logging.INFO)
logger.propagate = False
logger.addHandler(LoggingHandler(logger_provider=logs))
counter = metrics.get_meter("test").create_counter("sent")
ids = []
for n in range(count):
    with tracer.start_as_current_span("work") as span:
        ids.append(format(span.get_span_context().span_id, "016x"))
        logger.info("record %s %08d", protocol, n)
    counter.add(1)
for provider in (traces, logs, metrics):
    provider.force_flush(60_000)
    provider.shutdown()
print("\n".join(ids))
