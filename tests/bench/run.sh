#!/usr/bin/env bash
# `make bench`: every benchmark in this folder, with the optimised build. Ratios are measured side by side in one run; the figures of
# record stand in RESULTS.md with machine, date and command. usage: run.sh [NAME...]
set -uo pipefail
cd "$(dirname "$0")/../.." || exit
[ -x .venv/bin/python ] && export PATH="$PWD/.venv/bin:$PATH"
tests/recorder.sh || exit
cargo build --workspace --bins || exit
export COLDCASE="$PWD/target/debug/coldcase" RECORDER="$PWD/target/recorder/coldcase"
echo "machine: $(nproc) CPUs, $(awk -F ': ' '/model name/ {print $2; exit}' /proc/cpuinfo), Linux $(uname -r), commit $(git rev-parse --short HEAD), $(date -u +%F)"
failed=0
for script in tests/bench/*.py; do
	name=$(basename "$script" .py)
	[ "$name" != workloads ] || continue # what overhead.py runs
	if [ $# != 0 ] && [[ " $* " != *" $name "* ]]; then continue; fi
	echo "=== $name"
	case $name in
		overhead) python3 "$script" --coldcase "$RECORDER" ${OVERHEAD:-} ;;
		*) python3 "$script" ;;
	esac || failed=$((failed + 1))
done
[ "$failed" = 0 ]
