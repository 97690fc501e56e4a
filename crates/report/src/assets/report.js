// The report's page: theme, sorting, filters, and one time read-out across all charts.
(function () {
  "use strict";
  var root = document.documentElement, button = document.getElementById("theme");
  function dark() {
    return root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  }
  function name() { button.textContent = dark() ? "Light" : "Dark"; }
  button.addEventListener("click", function () {
    root.dataset.theme = dark() ? "light" : "dark";
    try { localStorage.setItem("coldcase-theme", root.dataset.theme); } catch (e) { /* not kept, then */ }
    name();
  });
  name();

  document.querySelectorAll("table.sortable").forEach(function (table) {
    var heads = table.querySelectorAll("th"), body = table.tBodies[0];
    heads.forEach(function (th, column) {
      th.querySelector("button").addEventListener("click", function () {
        var numeric = th.classList.contains("n");
        var up = th.getAttribute("aria-sort") ? th.getAttribute("aria-sort") === "descending" : !numeric;
        heads.forEach(function (h) { h.removeAttribute("aria-sort"); });
        th.setAttribute("aria-sort", up ? "ascending" : "descending");
        var rows = Array.prototype.map.call(body.rows, function (row, i) {
          var cell = row.cells[column];
          return { row: row, i: i, v: cell.dataset.v === undefined ? null : +cell.dataset.v, t: cell.textContent };
        });
        rows.sort(function (a, b) {
          var d = a.v !== null && b.v !== null ? a.v - b.v : a.t.localeCompare(b.t, "en", { numeric: true });
          return (up ? d : -d) || a.i - b.i;
        });
        rows.forEach(function (r) { body.appendChild(r.row); });
      });
    });
  });

  document.querySelectorAll("input[data-filter]").forEach(function (input) {
    var rows = document.getElementById(input.dataset.filter).querySelectorAll("tbody tr");
    var status = input.parentNode.querySelector("[role=status]");
    input.addEventListener("input", function () {
      var words = input.value.toLowerCase().split(/\s+/), shown = 0;
      rows.forEach(function (row) {
        var text = row.textContent.toLowerCase();
        var hit = words.every(function (w) { return text.indexOf(w) >= 0; });
        row.hidden = !hit;
        if (hit) shown++;
      });
      status.textContent = input.value ? shown + " of " + rows.length + " shown rows" : "";
    });
  });

  var values = JSON.parse(document.getElementById("values").textContent);
  var startMs = Number(BigInt(values.start) / 1000000n);
  function three(v) { return v >= 100 ? v.toFixed(0) : v >= 10 ? v.toFixed(1) : v.toFixed(2); }
  function duration(ns) {
    var units = ["ns", "µs", "ms", "s"], i = 0;
    while (ns >= 999.5 && i < 3) { ns /= 1000; i++; }
    return three(ns) + units[i];
  }
  function measured(v, unit) {
    if (unit === "ns") return duration(v);
    if (unit === "s" || unit === "seconds") return duration(v * 1e9);
    if (/^(bytes|B)(\/s)?$/.test(unit)) {
      var steps = ["B", "KiB", "MiB", "GiB", "TiB"], i = 0;
      while (v >= 1023.5 && i < 4) { v /= 1024; i++; }
      return (i ? three(v) : v.toFixed(0)) + " " + steps[i] + (/\/s$/.test(unit) ? "/s" : "");
    }
    if (unit === "%" || unit === "percent") return Number(v.toPrecision(4)) + "%";
    return Number(v.toPrecision(4)).toLocaleString("en", { maximumFractionDigits: 6 }) + (!unit || unit === "1" ? "" : unit[0] === "/" ? unit : " " + unit);
  }
  function heat(chart, at, up) {
    var column = chart.columns && chart.columns[Math.floor((at - chart.from) / chart.step)];
    if (!column) return "";
    var ns = chart.low * Math.pow(chart.high / chart.low, up), row = -1;
    chart.bounds.forEach(function (b, i) { if (b <= ns) row = i; });
    var all = 0, n = 0;
    column.forEach(function (c) { all += c[1]; if (c[0] === row) n = c[1]; });
    var next = chart.bounds[row + 1];
    var span = row < 0 ? "" : duration(chart.bounds[row]) + (next ? " to " + duration(next) : " and more");
    return span + ": " + n.toLocaleString("en") + " of " + all.toLocaleString("en");
  }
  function nearest(chart, at) {
    var best = null;
    chart.points.forEach(function (p) { if (!best || Math.abs(p[0] - at) < Math.abs(best[0] - at)) best = p; });
    return best ? measured(best[1], chart.unit) : "";
  }
  var charts = Array.prototype.map.call(document.querySelectorAll("figure.time"), function (figure) {
    var host = figure.querySelector(".chart"), line = document.createElement("div"), tip = document.createElement("div");
    line.className = "cross"; tip.className = "tip";
    host.appendChild(line); host.appendChild(tip);
    return { host: host, line: line, tip: tip, chart: values.charts[figure.dataset.chart] };
  });
  function clear() { charts.forEach(function (c) { c.line.style.display = c.tip.style.display = "none"; }); }
  charts.forEach(function (own) {
    own.host.addEventListener("pointermove", function (e) {
      var area = own.host.getBoundingClientRect(), box = own.chart.box;
      var x = (e.clientX - area.left) / area.width, y = (e.clientY - area.top) / area.height;
      if (x < box[0] || x > box[1]) return clear();
      var share = (x - box[0]) / (box[1] - box[0]), at = share * values.length;
      charts.forEach(function (c) {
        var b = c.chart.box;
        c.line.style.cssText = "display:block;left:" + 100 * x + "%;top:" + 100 * b[2] + "%;height:" + 100 * (b[3] - b[2]) + "%";
        var text = c.chart.points ? nearest(c.chart, at) : "";
        if (c === own) {
          if (!c.chart.points) text = heat(c.chart, at, (box[3] - y) / (box[3] - box[2]));
          text = "+" + (at / 1e9).toFixed(2) + "s  " + new Date(startMs + at / 1e6).toISOString().slice(11, 23) + " UTC  " + text;
        }
        c.tip.textContent = text;
        c.tip.style.cssText = text ? "display:block;" + (share > 0.6 ? "right:" + (100 - 100 * x) + "%;" : "left:" + 100 * x + "%;") + "top:" + 100 * b[2] + "%" : "display:none";
      });
    });
    own.host.addEventListener("pointerleave", clear);
  });
})();
