#!/usr/bin/env bash
# The recorder build, alone in an empty chroot: as root with the kernel's files in reach and without them, and as an ordinary user.
# What it cannot record it skips with a reason that names what is missing; what it writes is intact.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
recorder=${RECORDER:-target/recorder/coldcase}
[ "$(id -u)" = 0 ] || { echo "skipped: chroot needs root"; exit 0; }
[ -x "$recorder" ] || { echo "FAILED no recorder at $recorder (make recorder)"; exit 1; }
box=$(mktemp -d "${TMPDIR:-/tmp}/coldcase-chroot.XXXXXX")
trap 'rm -rf --one-file-system "$box"' EXIT
passed=0 failed=0

check() {
	local name=$1
	shift
	if "$@" > "$box.log" 2>&1; then
		passed=$((passed + 1)); echo "ok      $name"
	else
		failed=$((failed + 1)); echo "FAILED  $name"; tail -20 "$box.log" | sed 's/^/        /'
	fi
	rm -f "$box.log"
}

# asks PYTHON BUNDLE: an expression over the answer `i` of `info --json`.
asks() { "$recorder" info --json "$2" | python3 -c "import json,sys; i=json.load(sys.stdin); s={x['name']: x for x in i['sources']}; sys.exit(not ($1))"; }
version() { chroot "$box" /coldcase --version | grep -q '^coldcase '; }
# Recording ends with 0, or with 3 when evidence was lost and counted.
record_in_box() { local code=0; "$@" /coldcase record -o "$out" --for 2s --force || code=$?; [ $code = 0 ] || [ $code = 3 ]; }
with_kernel() { unshare -m sh -c 'mount --bind /proc "$0/proc" && mount --rbind /sys "$0/sys" && exec chroot "$0" "$@"' "$box" "$@"; }

cp "$recorder" "$box/coldcase"
mkdir "$box/user"
chmod 755 "$box"
chown 65534:65534 "$box/user"

check "it starts in an empty chroot" version

out=/empty.case
check "root, empty chroot: it records what it may" record_in_box chroot "$box"
check "root, empty chroot: verify agrees, inside" chroot "$box" /coldcase verify /empty.case
check "root, empty chroot: each skipped source has a reason" asks "all(x.get('reason') for x in i['sources'] if x['status'] == 'skipped')" "$box/empty.case"

mkdir "$box/proc" "$box/sys"
out=/kernel.case
check "root, /proc and /sys in reach: it records" record_in_box with_kernel
check "root, /proc and /sys in reach: verify agrees" chroot "$box" /coldcase verify /kernel.case
if [ -e /sys/kernel/btf/vmlinux ]; then
	check "root, /proc and /sys in reach: off-CPU intervals are there" asks \
		"any(x['name'] == 'kernel.offcpu' and x['events'] > 0 for x in i['streams'])" "$box/kernel.case"
else
	echo "skipped: kernel sources in the chroot: this kernel has no BTF"
fi

out=/user/plain.case
plain() { unshare -m sh -c 'mount --bind /proc "$0/proc" && mount --rbind /sys "$0/sys" && exec chroot --userspec=65534:65534 "$0" "$@"' "$box" "$@"; }
check "ordinary user: it records what it may" record_in_box plain
check "ordinary user: verify agrees" plain /coldcase verify /user/plain.case
check "ordinary user: kernel sources are skipped, and the missing capability is named" asks \
	"all(x['status'] == 'skipped' and 'CAP_' in str(x) for n, x in s.items() if n.startswith('kernel.'))" "$box/user/plain.case"
check "ordinary user: packets are skipped, and the missing capability is named" asks \
	"s['packets']['status'] == 'skipped' and 'CAP_NET_RAW' in str(s['packets'])" "$box/user/plain.case"

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
