// Zoom, search and read-out of flame graphs; the same in flame.svg and in the report's page.
(function () {
  "use strict";
  var graphs = Array.prototype.map.call(document.querySelectorAll(".flame"), function (root) {
    var frames = root.querySelector(".frames");
    var items = Array.prototype.map.call(frames.querySelectorAll("g > g"), function (g) {
      var rect = g.querySelector("rect"), title = g.querySelector("title").textContent;
      return {
        g: g, rect: rect, text: g.querySelector("text"), title: title,
        name: title.replace(/ \([^()]*\)$/, ""),
        x: +rect.getAttribute("fg:x"), w: +rect.getAttribute("fg:w"), y: +rect.getAttribute("y")
      };
    });
    return {
      root: root, frames: frames, items: items, total: +frames.dataset.total, unit: frames.dataset.unit, scale: Math.pow(2, +frames.dataset.scale),
      details: root.querySelector(".details"), zoomed: null
    };
  });
  var search = document.querySelector(".search"), matched = document.querySelector(".matched");
  var reset = document.querySelector(".reset"), term = "";

  function amount(n, unit) {
    if (unit !== "ns") return n.toLocaleString("en") + " " + unit;
    var units = ["ns", "µs", "ms", "s"], i = 0;
    while (n >= 1000 && i < 3) { n /= 1000; i++; }
    return n.toPrecision(3) + " " + units[i];
  }
  function label(graph, item, x0, w0) {
    var share = Math.max(0, Math.min(item.x + item.w, x0 + w0) - Math.max(item.x, x0)) / w0;
    var room = Math.floor((share * graph.wide - 6) / 7.25);
    var text = item.name;
    item.text.textContent = room < 3 ? "" : text.length <= room ? text : text.slice(0, room - 1) + "…";
  }
  function paint(graph) {
    if (graph.root.classList.contains("off")) return;
    var z = graph.zoomed, x0 = z ? z.x : 0, w0 = z ? z.w : graph.total;
    graph.wide = graph.frames.getBoundingClientRect().width;
    var own = graph.frames.ownerSVGElement;
    if (own && own.viewBox && own.viewBox.baseVal && own.viewBox.baseVal.width) graph.wide = own.viewBox.baseVal.width;
    if (document.documentElement.nodeName === "svg") graph.wide = 1152;
    graph.items.forEach(function (i) {
      // Pruned frames leave gaps only above: an ancestor spans the zoomed frame and is drawn below it.
      var above = z && i.y > z.y, spans = z && i.x <= z.x && i.x + i.w >= z.x + z.w;
      var gone = z && (above ? !spans : i.x + i.w <= z.x || i.x >= z.x + z.w || i.y === z.y && i !== z);
      i.g.classList.toggle("off", !!gone);
      i.g.classList.toggle("up", !!(z && above && spans));
      if (gone) return;
      var left = Math.max(i.x, x0), right = Math.min(i.x + i.w, x0 + w0);
      i.rect.setAttribute("x", (100 * (left - x0) / w0).toFixed(4) + "%");
      i.rect.setAttribute("width", (100 * (right - left) / w0).toFixed(4) + "%");
      i.text.setAttribute("x", (100 * ((left - x0) / w0 + 3 / graph.wide)).toFixed(4) + "%");
      label(graph, i, x0, w0);
    });
    update();
  }
  function update() { reset.classList.toggle("off", !graphs.some(function (g) { return g.zoomed; })); }
  function find(graph, target) {
    var node = target;
    while (node && node !== graph.frames) {
      for (var k = 0; k < graph.items.length; k++) if (graph.items[k].g === node) return graph.items[k];
      node = node.parentNode;
    }
    return null;
  }
  function mark() {
    var re = null;
    if (term) try { re = new RegExp(term, "i"); } catch (e) { matched.textContent = "not a pattern"; return; }
    var out = graphs.map(function (graph) {
      var hits = graph.items.filter(function (i) {
        var hit = !!re && re.test(i.name);
        i.g.classList.toggle("hit", hit);
        return hit;
      }).sort(function (a, b) { return a.x - b.x || b.w - a.w; });
      var sum = 0, end = -1;
      hits.forEach(function (i) { if (i.x >= end) { sum += i.w; end = i.x + i.w; } });
      return (100 * sum / graph.total).toFixed(1) + "% of " + graph.frames.dataset.kind;
    });
    matched.textContent = re ? out.join(", ") : " ";
  }
  function unzoom() { graphs.forEach(function (g) { g.zoomed = null; paint(g); }); update(); }
  graphs.forEach(function (graph) {
    graph.frames.addEventListener("click", function (e) {
      var item = find(graph, e.target);
      if (!item) return;
      graph.zoomed = item.w >= graph.total ? null : item;
      paint(graph);
    });
    graph.frames.addEventListener("mouseover", function (e) {
      var item = find(graph, e.target);
      if (item) graph.details.textContent = item.name + " — " + amount(item.w * graph.scale, graph.unit) + ", " + (100 * item.w / graph.total).toFixed(2) + "%";
    });
    graph.frames.addEventListener("mouseleave", function () { graph.details.textContent = " "; });
  });
  if (!graphs.length) return;
  if (search.nodeName.toLowerCase() === "input") {
    search.addEventListener("input", function () { term = search.value; mark(); });
  } else {
    var ask = function () { var t = prompt("Search frames (a regular expression):", term); if (t !== null) { term = t; mark(); } };
    search.addEventListener("click", ask);
    search.addEventListener("keydown", function (e) { if (e.key === "Enter") ask(); });
    window.addEventListener("keydown", function (e) { if ((e.ctrlKey || e.metaKey) && e.key === "f") { e.preventDefault(); ask(); } });
  }
  reset.addEventListener("click", unzoom);
  reset.addEventListener("keydown", function (e) { if (e.key === "Enter") unzoom(); });
  window.addEventListener("keydown", function (e) { if (e.key === "Escape") unzoom(); });
  var wait = 0;
  window.addEventListener("resize", function () { clearTimeout(wait); wait = setTimeout(function () { graphs.forEach(paint); }, 80); });
  // One at a time where the page has buttons to choose: a graph that is not shown has no width to be painted to.
  var kinds = Array.prototype.slice.call(document.querySelectorAll(".kinds button"));
  function choose(at) {
    kinds.forEach(function (b, k) { b.setAttribute("aria-pressed", k === at ? "true" : "false"); });
    graphs.forEach(function (g, k) { g.root.classList.toggle("off", k !== at); });
    paint(graphs[at]);
  }
  kinds.forEach(function (b, k) { b.addEventListener("click", function () { choose(k); }); });
  graphs.forEach(paint);
  if (kinds.length) choose(0);
})();
