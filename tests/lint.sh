#!/usr/bin/env bash
# Everything that is checked without running the tests.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { echo "lint: $1"; shift; "$@" || { echo "lint: failed: $*" >&2; exit 1; }; }

step "formatting" cargo fmt --all --check
step "clippy, everything" cargo clippy --quiet --workspace --all-targets -- -D warnings
step "clippy, the recorder build" cargo clippy --quiet -p coldcase --no-default-features -- -D warnings
step "generated files, directions between crates" cargo run --quiet -p xtask -- check
if command -v shellcheck > /dev/null; then
	mapfile -t scripts < <(git ls-files '*.sh' .ci/run)
	step "shell scripts" shellcheck --severity=warning "${scripts[@]}"
else
	echo "skipped: shell scripts: no shellcheck (make setup-test installs it)"
fi
echo "lint: ok"
