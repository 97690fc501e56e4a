// Busy in a function whose name is known. usage: node --perf-basic-prof work.js SECONDS
function spinInJs(n) {
  let x = n | 1;
  for (let i = 0; i < 200000; i++) x = (Math.imul(x, 1103515245) + (x >>> 3)) | 0;
  return x;
}
function outerOfJs(end) {
  let x = 1;
  while (Date.now() < end) x = spinInJs(x);
  return x;
}
outerOfJs(Date.now() + 1000 * Number(process.argv[2] || 1));
