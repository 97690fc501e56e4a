#!/usr/bin/env bash
# The README's pictures, from the bundle of `make demo`: the three SVGs, and the page as a browser shows it.
set -euo pipefail
cd "$(dirname "$0")/.."
report=${DEMO_OUT:-demo-out}/report pictures=docs/pictures
mkdir -p "$pictures"
cp "$report"/{flame,latency,flow}.svg "$pictures/"
coldcase=${COLDCASE:-target/debug/coldcase}
capture=$(mktemp -d)/vanish.pcap
trap 'rm -rf "${capture%/*}"' EXIT
# A connection with trouble: nothing of the demo loses segments.
COLDCASE=$coldcase python3 tests/requests/vanish.py "$capture"
if [ -s "$capture" ]; then
	bulk=$("$coldcase" flow "$capture" --json | python3 -c '
import json, sys
connections = json.load(sys.stdin)["connections"]
print(max(range(len(connections)), key=lambda i: connections[i]["bytes_ab"]))')
	"$coldcase" flow "$capture" --conn "$bulk" --svg "$pictures/sequence.svg" --force > /dev/null
fi
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
if [ -z "$browser" ]; then
	echo "skipped: $pictures/report.png: no chromium (apt-get install chromium)"
	exit 0
fi
profile=$(mktemp -d)
trap 'rm -rf "$profile" "${capture%/*}"' EXIT
# Its sandbox refuses root; the page is our own.
"$browser" --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1280,1100 --user-data-dir="$profile" \
	--screenshot="$PWD/$pictures/report.png" "file://$PWD/$report/report.html" > /dev/null 2>&1
[ -s "$pictures/report.png" ] || { echo "no $pictures/report.png" >&2; exit 1; }
ls -l "$pictures"
