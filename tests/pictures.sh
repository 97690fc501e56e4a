#!/usr/bin/env bash
# The README's pictures, from the bundle of `make demo`: the three SVGs, and the page as a browser shows it.
set -euo pipefail
cd "$(dirname "$0")/.."
report=${DEMO_OUT:-demo-out}/report pictures=docs/pictures
mkdir -p "$pictures"
cp "$report"/{flame,latency,flow}.svg "$pictures/"
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
if [ -z "$browser" ]; then
	echo "skipped: $pictures/report.png: no chromium (apt-get install chromium)"
	exit 0
fi
profile=$(mktemp -d)
trap 'rm -rf "$profile"' EXIT
# Its sandbox refuses root; the page is our own.
"$browser" --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1280,1100 --user-data-dir="$profile" \
	--screenshot="$PWD/$pictures/report.png" "file://$PWD/$report/report.html" > /dev/null 2>&1
[ -s "$pictures/report.png" ] || { echo "no $pictures/report.png" >&2; exit 1; }
ls -l "$pictures"
