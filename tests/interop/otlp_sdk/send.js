// Sends spans and log records with the OpenTelemetry SDK for Node at a pace, and writes the span ids and log bodies it sent.
// usage: send.js grpc|proto|json ENDPOINT none|gzip BATCH SECONDS PER_SECOND TAG FILE   (modules from NODE_PATH)
'use strict';
const fs = require('fs');
const { BasicTracerProvider, BatchSpanProcessor } = require('@opentelemetry/sdk-trace-base');
const { LoggerProvider, BatchLogRecordProcessor } = require('@opentelemetry/sdk-logs');
const { resourceFromAttributes } = require('@opentelemetry/resources');
const { CompressionAlgorithm } = require('@opentelemetry/otlp-exporter-base');

const [protocol, endpoint, packing, batch, seconds, rate, tag, file] = process.argv.slice(2);
const kind = { grpc: 'grpc', proto: 'proto', json: 'http' }[protocol];
const { OTLPTraceExporter } = require(`@opentelemetry/exporter-trace-otlp-${kind}`);
const { OTLPLogExporter } = require(`@opentelemetry/exporter-logs-otlp-${kind}`);
const compression = packing === 'gzip' ? CompressionAlgorithm.GZIP : CompressionAlgorithm.NONE;
const to = (signal) => ({ url: protocol === 'grpc' ? `http://${endpoint}` : `http://${endpoint}/v1/${signal}`, compression });
// Queues hold everything: the SDK drops what does not fit, and that would not be the receiver's fault.
const queue = { maxQueueSize: 10_000_000, maxExportBatchSize: Number(batch), scheduledDelayMillis: 100 };
const resource = resourceFromAttributes({ 'service.name': `node-${protocol}` });
const traces = new BasicTracerProvider({ resource, spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter(to('traces')), queue)] });
const records = new LoggerProvider({ resource, processors: [new BatchLogRecordProcessor({ exporter: new OTLPLogExporter(to('logs')), ...queue })] });
const tracer = traces.getTracer('storm');
const logger = records.getLogger('storm');
const spans = [];
const bodies = [];
const start = Date.now();

function more() {
  const elapsed = (Date.now() - start) / 1000;
  const due = Math.min(elapsed, Number(seconds)) * Number(rate);
  while (spans.length < due) {
    const span = tracer.startSpan('work');
    spans.push(span.spanContext().spanId);
    bodies.push(`${tag}-${spans.length}`);
    logger.emit({ severityNumber: 9, body: bodies[bodies.length - 1] });
    span.end();
  }
  if (elapsed < Number(seconds)) setTimeout(more, 20);
  else end();
}

async function end() {
  const made = (Date.now() - start) / 1000;
  await traces.forceFlush();
  await records.forceFlush();
  await traces.shutdown();
  await records.shutdown();
  fs.writeFileSync(`${file}.spans`, spans.map((id) => id + '\n').join(''));
  fs.writeFileSync(`${file}.logs`, bodies.map((body) => body + '\n').join(''));
  console.log(JSON.stringify({ spans: spans.length, logs: bodies.length, made, sent: (Date.now() - start) / 1000 }));
}
more();
