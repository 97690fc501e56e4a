#!/usr/bin/env bash
# `make test-long`: what takes an hour or more. Prints the same kind of verdict as `make test`; usage: long.sh [PART...]
# KILLS (50) and DURABLE_KILLS (100) are the numbers of kill -9 runs, FUZZ_SECONDS (600) the time of each fuzz target.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
[ -x .venv/bin/python ] && export PATH="$PWD/.venv/bin:$PATH"
export COLDCASE="$PWD/target/debug/coldcase" RECORDER="$PWD/target/recorder/coldcase"
passed=0 failed=0
wanted=" $* "
part() {
	local name=$1 start=$SECONDS
	shift
	[[ $wanted == "  " || $wanted == *" $name "* ]] || return 0
	echo "=== $name"
	if "$@" < /dev/null; then passed=$((passed + 1)); verdict=ok; else failed=$((failed + 1)); verdict=FAILED; fi
	echo "=== $name: $verdict after $((SECONDS - start)) s"
}
echo "commit $(git rev-parse --short HEAD), $(nproc) CPUs, Linux $(uname -r), $(date -u +%FT%TZ)"
part kills python3 tests/kills/kills.py "${KILLS:-50}"
part durable-kills python3 tests/kills/durable.py "${DURABLE_KILLS:-100}"
part otlp-storm python3 tests/interop/otlp_sdk.py --seconds 60 --rate 20000
part truth python3 tests/truth/truth.py
part untraced python3 tests/truth/untraced.py
part hostile python3 tests/hostile/hostile.py long storms
part log-rotation env RECORDER="$PWD/target/recorder/coldcase" python3 tests/logs/rotation.py 50
# Sets the clock of this host by an hour for some seconds.
part clock-step python3 tests/hostile/hostile.py clock
part otlp-sdk env COLDCASE_OTLP_SPANS=50000 cargo test --workspace --test otlp
# RUNS recordings of the unchanged shop, and a sixth as many of each change.
part compare-rates python3 tests/compare/rates.py "${RUNS:-120}"
# Locks are contended where requests come in bursts.
part compare-rates-bursts python3 tests/compare/rates.py 12 6 --burst 4 --each 12 --only "a lock" --only "an fsync"
part fuzz tests/fuzz.sh "${FUZZ_SECONDS:-600}"
part flips env COLDCASE_FLIPS=10000 cargo test --workspace --test damage
for fault in cpu lock fsync slow-query downstream-sleep reset; do
	part "demo-$fault" env FAULT="$fault" DEMO_OUT="target/long/$fault" tests/demo.sh
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
