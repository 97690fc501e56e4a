const TARGET = (__ENV.TARGET || '').replace(/\/+$/, '');
const TOTAL = OPERATIONS.reduce((sum, o) => sum + o.requests, 0);

export function setup() {
  if (!/^https?:\/\//.test(TARGET)) {
    throw new Error('where to? k6 run -e TARGET=http://127.0.0.1:8080 load.js');
  }
}

// What stands at a place of all weights in a row. Places are spread by the golden ratio: whatever part of the load was
// made, its mix is near the whole one, and the same in each run.
function place(n, step) {
  return (n * step + 0.5) % 1;
}

function at(place, all, weight) {
  let left = place * all.reduce((sum, x) => sum + weight(x), 0);
  for (const x of all) {
    left -= weight(x);
    if (left < 0) {
      return x;
    }
  }
  return all[all.length - 1];
}

export default function () {
  const n = exec.scenario.iterationInTest;
  const operation = at(place(n, 0.6180339887498949), OPERATIONS, (o) => o.requests);
  // Those of one operation are numbered by how many of all there were: their paths and sizes are spread as well.
  const own = Math.floor((n * operation.requests) / TOTAL);
  const paths = operation.paths.length > 0 ? operation.paths : [[__ENV.PATH_ASKED || '/', 1]];
  const path = at(place(own, 0.4142135623730951), paths, (p) => p[1])[0];
  const bodies = operation.bodies;
  const size = bodies.length > 0 ? bodies[Math.floor(place(own, 0.7320508075688772) * bodies.length)] : 0;
  const method = operation.method || __ENV.METHOD || 'GET';
  http.request(method, TARGET + path, size > 0 ? 'x'.repeat(size) : null, {
    headers: { 'coldcase-replay': BUNDLE },
    tags: { name: operation.name },
  });
}
