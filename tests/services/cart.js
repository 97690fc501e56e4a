// The cart: keeps a basket in Redis. Its spans come from the OpenTelemetry SDK as a Node.js user sets it up; a line of its log says which process and
// thread served each. usage: cart.js PORT REDIS_PORT OTLP_ENDPOINT LOG   (modules from NODE_PATH)
'use strict'
const fs = require('fs')
const http = require('http')
const { context, propagation, trace, SpanKind } = require('@opentelemetry/api')
const { OTLPTraceExporter } = require('@opentelemetry/exporter-trace-otlp-http')
const { detectResources, hostDetector, processDetector, resourceFromAttributes } = require('@opentelemetry/resources')
const { BatchSpanProcessor, NodeTracerProvider } = require('@opentelemetry/sdk-trace-node')
const redis = require('redis')

const [port, redisPort, endpoint, path] = process.argv.slice(2)
const resource = resourceFromAttributes({ 'service.name': 'cart' }).merge(detectResources({ detectors: [hostDetector, processDetector] }))
const exporter = new OTLPTraceExporter({ url: `${endpoint}/v1/traces` })
const provider = new NodeTracerProvider({ resource, spanProcessors: [new BatchSpanProcessor(exporter, { scheduledDelayMillis: 200 })] })
provider.register()
const tracer = provider.getTracer('cart')
const log = fs.openSync(path, 'a')
const client = redis.createClient({ url: `redis://127.0.0.1:${redisPort}` })

async function basket (span, user) {
  const under = trace.setSpan(context.active(), span)
  const call = tracer.startSpan('HINCRBY', { kind: SpanKind.CLIENT, attributes: { 'db.system.name': 'redis' } }, under)
  const items = await client.hIncrBy(`cart:${user}`, 'items', 1)
  call.end()
  return items
}

http.createServer((request, response) => {
  const parent = propagation.extract(context.active(), request.headers)
  const span = tracer.startSpan('GET /cart/{user}', { kind: SpanKind.SERVER, attributes: { 'url.path': request.url } }, parent)
  // JavaScript runs on the first thread of its process.
  const { traceId, spanId } = span.spanContext()
  fs.writeSync(log, JSON.stringify({ time: new Date().toISOString(), msg: 'cart', trace_id: traceId, span_id: spanId, pid: process.pid, tid: process.pid }) + '\n')
  basket(span, request.url.split('/').pop()).then((items) => {
    span.setAttribute('http.response.status_code', 200)
    span.end()
    response.end(JSON.stringify({ items }))
  })
}).listen(Number(port), '127.0.0.1')
client.connect()
process.on('SIGTERM', () => provider.shutdown().then(() => process.exit(0)))
