#!/usr/bin/env bash
# Installs the binary, its man pages and shell completions under PREFIX (and DESTDIR, for packagers).
set -euo pipefail
cd "$(dirname "$0")/.."
prefix=${PREFIX:-/usr/local} dest=${DESTDIR:-} profile=${PROFILE:-release}
folder=$profile
[ "$profile" = dev ] && folder=debug
cargo build --profile "$profile" -p coldcase
binary=target/$folder/coldcase
install -Dm755 "$binary" "$dest$prefix/bin/coldcase"
"$binary" manual "$dest$prefix"
echo "installed $dest$prefix/bin/coldcase, its man pages (man coldcase) and completions for bash, zsh and fish"
