#!/usr/bin/env bash
# Runs notebooks/first-look.ipynb headless on the demo's bundle: export to Parquet, execute every cell, check the answer.
# usage: notebook.sh [BUNDLE]; without one, that of `make demo`, or else a short demo is recorded.
# Skipped, with the reason, without the Python packages of tests/requirements.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
coldcase=${COLDCASE:-target/debug/coldcase}
bundle=${1:-demo-out/incident.case}
python=python3
[ -x .venv/bin/python ] && python=.venv/bin/python

skip() { echo "skipped: notebook: $*"; exit 0; }
[ -x "$coldcase" ] || skip "no $coldcase (make build)"
"$python" -c 'import ipykernel, nbclient, nbformat, polars' 2> /dev/null ||
	skip "ipykernel, nbclient, nbformat or polars is missing from PyPI (make setup-test)"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ ! -f "$bundle" ]; then
	bundle=$work/demo/incident.case
	DEMO_OUT=$work/demo SECONDS_RECORDED=10 COLDCASE=$coldcase tests/demo.sh > "$work/demo.log" 2>&1 ||
		{ tail -5 "$work/demo.log" >&2; echo "notebook: the demo failed" >&2; exit 1; }
fi
"$coldcase" export --quiet --parquet "$work/tables" "$bundle"
[ -f "$work/tables/spans.parquet" ] || { echo "notebook: the bundle gave no spans" >&2; exit 1; }

COLDCASE_TABLES="$work/tables" "$python" - notebooks/first-look.ipynb << 'PYTHON'
import sys

import nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
nbformat.validate(notebook)
if any(cell.get("outputs") for cell in notebook.cells):
    sys.exit("notebook: outputs are committed: clear them")
NotebookClient(notebook, timeout=300, resources={"metadata": {"path": "notebooks"}}).execute()
printed = "".join(
    output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []) if output.output_type == "stream"
)
print(printed, end="")
if "the 99th percentile of a request goes from" not in printed:
    sys.exit("notebook: it did not find when the shop became slow")
if "no kernel events" not in printed and "waits in" not in printed:
    sys.exit("notebook: it did not find which wait grew")
PYTHON
echo "notebook: ok"
