#!/usr/bin/env bash
# `make demo`: a shop under load falls sick half-way; coldcase records it, analyzes the bundle, and says where the reports are.
# FAULT, DEMO_OUT, SECONDS_RECORDED change what is shown. Exits with 0 only when there is a bundle, intact, with its reports.
set -euo pipefail
cd "$(dirname "$0")/.."
fault=${FAULT:-lock} out=${DEMO_OUT:-demo-out} recorded=${SECONDS_RECORDED:-20}
coldcase=${COLDCASE:-target/debug/coldcase} demo=${DEMO:-target/debug/coldcase-demo}

say() { printf '\n%s\n' "$*"; }
die() { echo "demo: $*" >&2; exit 1; }
free() { ! (: < "/dev/tcp/127.0.0.1/$1") 2> /dev/null; }

# The usual port if nobody listens there, else another one.
pick() {
	local port=$1
	until free "$port"; do port=$((20000 + RANDOM % 12000)); done
	echo "$port"
}

shop=
stop_shop() {
	[ -n "$shop" ] || return 0
	kill -TERM "$shop" 2> /dev/null || true
	wait "$shop" 2> /dev/null || true
	shop=
}
trap stop_shop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

mkdir -p "$out" 2> /dev/null || true
[ -w "$out" ] || die "cannot write to $out (hint: DEMO_OUT=/some/where make demo)"
rm -rf "$out/shop" "$out/report" "$out/incident.case"
grpc=$(pick 4317)
http=$(pick 4318)

say "1. The shop: gateway → orders → SQLite, under load. The fault '$fault' sets in half-way."
half=$(((recorded + 3) / 2))
"$demo" all --dir "$out/shop" --for "$((recorded + 4))s" --fault "$fault" --fault-after "${half}s" \
	--otlp "http://127.0.0.1:$http" > "$out/shop.txt" 2>&1 &
shop=$!
for _ in $(seq 100); do
	[ -f "$out/shop/shop.env" ] && break
	kill -0 "$shop" 2> /dev/null || { cat "$out/shop.txt" >&2; die "the shop did not start"; }
	sleep 0.1
done
[ -f "$out/shop/shop.env" ] || die "the shop did not start within ten seconds"
# shellcheck disable=SC1091
. "$out/shop/shop.env"
head -1 "$out/shop.txt"

record=("$coldcase" record -o "$out/incident.case" --for "${recorded}s"
	--otlp-grpc "127.0.0.1:$grpc" --otlp-http "127.0.0.1:$http"
	--log "$GATEWAY_LOG" --log "$ORDERS_LOG"
	--scrape "http://$GATEWAY_ADDR/metrics@1s" --scrape "http://$ORDERS_ADDR/metrics@1s")
say "2. ${record[*]}"
code=0
"${record[@]}" || code=$?
case $code in
	0) ;;
	3) echo "demo: some evidence was lost while recording; it is counted in the bundle and shown in the report" ;;
	*) die "record ended with $code" ;;
esac
if [ "$(id -u)" != 0 ]; then
	say "Not root. What this user may record here, and how to get the rest:"
	"$coldcase" doctor || true
fi

say "3. What the shop's own load generator saw"
wait "$shop" || { cat "$out/shop.txt" >&2; shop=; die "the shop failed"; }
shop=
grep '^load' "$out/shop.txt" || true

say "4. $coldcase analyze $out/incident.case -o $out/report"
"$coldcase" verify --quiet "$out/incident.case" > /dev/null || die "the bundle is not intact"
"$coldcase" analyze "$out/incident.case" -o "$out/report" || die "analyze ended with $?"

say "5. Look at"
here=$(cd "$out" && pwd)
for file in report.html flame.svg latency.svg flow.svg; do
	[ -s "$out/report/$file" ] || die "there is no $file"
	printf '   %-12s %s\n' "${file%.*}" "$here/report/$file"
done
printf '   %-12s %s\n' bundle "$here/incident.case"
