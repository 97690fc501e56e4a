#!/usr/bin/env bash
# Everything that is checked without running the tests.
set -euo pipefail
cd "$(dirname "$0")/.."

failed=0
# Goes on after a failure, so that one run tells all.
step() { echo "lint: $1"; shift; "$@" || { echo "lint: failed: $*" >&2; failed=1; }; }

step "formatting" cargo fmt --all -- --check -l
step "clippy, everything" cargo clippy --quiet --keep-going --workspace --all-targets -- -D warnings
step "clippy, the recorder build" cargo clippy --quiet -p coldcase --no-default-features -- -D warnings
step "generated files, directions between crates" cargo run --quiet -p xtask -- check
if command -v shellcheck > /dev/null; then
	mapfile -t scripts < <(git ls-files '*.sh' .ci/run)
	step "shell scripts" shellcheck --severity=warning "${scripts[@]}"
else
	echo "skipped: shell scripts: no shellcheck (make setup-test installs it)"
fi
[ "$failed" = 0 ] && echo "lint: ok"
exit "$failed"
