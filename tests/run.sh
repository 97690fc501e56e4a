#!/usr/bin/env bash
# `make test`: every part of the tests, each with its time and verdict, and one verdict at the end. A part that fails does not stop
# the others; a check that needs what this machine lacks prints `skipped:` and why. usage: run.sh [PART...]
set -uo pipefail
cd "$(dirname "$0")/.." || exit
# Python with the packages of tests/requirements.txt comes first, if it could be installed.
[ -x .venv/bin/python ] && export PATH="$PWD/.venv/bin:$PATH"
export COLDCASE="$PWD/target/debug/coldcase" RECORDER="$PWD/target/recorder/coldcase" DEMO="$PWD/target/debug/coldcase-demo"
wanted=("$@")
names=() verdicts=() times=() failed=0
said=$(mktemp) failures=$(mktemp)
trap 'rm -f "$said" "$failures"' EXIT

# part NAME COMMAND...: runs one part and notes how it ended.
part() {
	local name=$1 start=$SECONDS verdict=ok
	shift
	if [ ${#wanted[@]} != 0 ] && [[ " ${wanted[*]} " != *" $name "* ]]; then return; fi
	echo "=== $name"
	"$@" < /dev/null 2>&1 | tee "$said" || { verdict=FAILED; failed=$((failed + 1)); }
	grep -E '^FAILED |^test .* FAILED$' "$said" | sed "s/^/$name: /" >> "$failures"
	names+=("$name") verdicts+=("$verdict") times+=($((SECONDS - start)))
}

# part_as_root NAME COMMAND...: the same, where root is needed; sudo is used when it asks for no password.
part_as_root() {
	local name=$1
	shift
	if [ "$(id -u)" = 0 ]; then
		part "$name" "$@"
	elif sudo -n true 2> /dev/null; then
		part "$name" sudo -n -E "PATH=$PATH" "$@"
	else
		part "$name" echo "skipped: $name needs root, or sudo without a password"
	fi
}

# Kernel tests skip themselves without root; an ordinary user with sudo runs them again with only the test binaries elevated.
elevated_kernel_tests() {
	local host
	host=$(rustc -vV | awk '/^host:/ {print toupper($2)}' | tr - _)
	env "CARGO_TARGET_${host}_RUNNER=sudo -n -E" cargo test -p coldcase-record
}

# The recorder's link-time optimisation keeps one CPU busy for minutes: meanwhile the other builds the tests.
recorder_and_tests() {
	local log recorder tests=0
	log=$(mktemp)
	tests/recorder.sh > "$log" 2>&1 &
	recorder=$!
	cargo test --workspace --no-run || tests=1
	wait "$recorder" || tests=1
	cat "$log"
	rm -f "$log"
	return "$tests"
}

part build cargo build --workspace --bins
part "recorder and test binaries" recorder_and_tests
part rust cargo test --workspace --no-fail-fast
if [ "$(id -u)" != 0 ] && sudo -n true 2> /dev/null; then part kernel elevated_kernel_tests; fi
part_as_root recorder-chroot tests/recorder-chroot.sh
# Against other people's tools, one short round of kills, the notebook, the second kernel. More of each: make test-long.
part notebook tests/notebook.sh
part pages python3 tests/interop/prometheus_pages.py
part profiles python3 tests/interop/profiles.py
part exports python3 tests/interop/exports.py
part scrapes python3 tests/interop/prometheus_scrapes.py
part "remote write" python3 tests/interop/prometheus_remote_write.py
part readme python3 tests/readme.py --check
part_as_root privileges python3 tests/privileges.py
part_as_root hostile python3 tests/hostile/hostile.py
part_as_root symbols python3 tests/symbols/symbols.py
part_as_root who python3 tests/symbols/who.py
part_as_root truth python3 tests/truth/truth.py
part_as_root "truth of sockets" python3 tests/truth/sockets.py
part_as_root "truth of retransmits" python3 tests/truth/retransmits.py
part_as_root "truth of copies" python3 tests/truth/copies.py
part_as_root "truth of NAT" python3 tests/truth/nat.py
part_as_root requests python3 tests/requests/requests.py
part_as_root "requests on a lossy way" python3 tests/requests/lossy.py
part_as_root "servers on a lossy way" python3 tests/requests/lossy_servers.py
part_as_root "where requests vanish" python3 tests/requests/vanish.py
part "log rotation" python3 tests/logs/rotation.py
part journal python3 tests/logs/journal.py
part "standard input" python3 tests/logs/stdin.py
part syslog python3 tests/logs/syslog.py
part_as_root "traces and what is joined to them" python3 tests/requests/traces.py
part_as_root services python3 tests/services/services.py
part_as_root databases python3 tests/requests/databases.py
part_as_root tiers python3 tests/requests/tiers.py
part_as_root "requests sent again" python3 tests/replay/requests.py
part_as_root "load profiles" python3 tests/replay/load.py
part_as_root "packets sent again" python3 tests/replay/packets.py
part_as_root kills python3 tests/kills/kills.py 3
part "durable kills" python3 tests/kills/durable.py 3
part "OTLP storm" python3 tests/interop/otlp_sdk.py
part "OTLP doors" python3 tests/interop/otlp_guard.py
part "OTLP forwarding" python3 tests/interop/otlp_forward.py
part "OTLP files" python3 tests/interop/otlp_files.py
part "OTLP metrics" python3 tests/interop/otlp_metrics.py
part replay python3 tests/replay/selfcheck.py
part_as_root "enriched replay" python3 tests/replay/enrich.py
part "the replay in a terminal" python3 tests/replay/view.py
part_as_root "compare in CI" python3 tests/compare/ci.py
part vm tests/vm/run.sh "$RECORDER"

echo "=== verdict"
for i in "${!names[@]}"; do printf '%-18s %-7s %5d s\n' "${names[$i]}" "${verdicts[$i]}" "${times[$i]}"; done
echo "$((${#names[@]} - failed)) passed, $failed failed"
cat "$failures"
[ "$failed" = 0 ]
