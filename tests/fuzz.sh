#!/usr/bin/env bash
# Fuzzes every decoder for a while. usage: fuzz.sh [SECONDS_EACH]; skipped, with the reason, without a nightly toolchain.
# The flags are those of cargo-fuzz, so that only the toolchain is needed; inputs found are kept under target/fuzz.
set -euo pipefail
cd "$(dirname "$0")/../crates/decode/fuzz"
seconds=${1:-30}
out=$PWD/../../../target/fuzz
cargo +nightly --version > /dev/null 2>&1 || { echo "skipped: fuzz: no nightly toolchain (rustup toolchain install nightly)"; exit 0; }
host=$(rustc +nightly -vV | awk '/^host:/ {print $2}')
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table -Zsanitizer=address --cfg fuzzing"
CARGO_TARGET_DIR=$out cargo +nightly build --quiet --release --target "$host"
for target in packet pcapng capture tcp otlp otlp_json spans prometheus openmetrics log log_formats template connection http1 http2 tls dns sql postgres mysql redis kafka mongo profile; do
	mkdir -p "$out/corpus/$target"
	seeds=(); [ -d "seeds/$target" ] && seeds=("seeds/$target")
	last=$("$out/$host/release/$target" "-max_total_time=$seconds" -rss_limit_mb=1024 -max_len=4096 \
		"-artifact_prefix=$out/$target-" "$out/corpus/$target" "${seeds[@]}" 2>&1 | tee "$out/$target.log" | tail -1) ||
		{ tail -20 "$out/$target.log" >&2; echo "fuzz: $target failed; the input is $out/$target-*" >&2; exit 1; }
	echo "fuzz: $target: $last"
done
