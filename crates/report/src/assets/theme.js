(function () {
  "use strict";
  try {
    var kept = localStorage.getItem("coldcase-theme");
    if (kept === "dark" || kept === "light") document.documentElement.dataset.theme = kept;
  } catch (e) { /* a browser may refuse storage to a file */ }
})();
