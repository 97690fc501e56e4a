#!/usr/bin/env bash
# Installs what is missing, and only that. usage: setup.sh build|test|libelf
# Quiet when nothing is missing. Without root and sudo it prints the command to run.
set -euo pipefail
cd "$(dirname "$0")/.."

build=(build-essential pkg-config libelf-dev zlib1g-dev libpcap-dev clang llvm)
# What building libelf from its sources takes; see recorder.sh.
libelf=(autoconf automake autopoint libtool flex bison gawk)
# What the tests hold us against; a distribution that lacks one only loses the checks that need it.
test=(python3 python3-venv python3-pip tcpdump tshark tmux linux-perf bpftrace libbpf-tools nftables iproute2 iputils-ping util-linux
	libcap2-bin libc6-dbg nodejs redis-server redis-tools nginx wrk curl openssl prometheus prometheus-node-exporter postgresql postgresql-contrib mariadb-server mariadb-client stress-ng file procps debuginfod shellcheck qemu-system-x86 busybox-static cpio e2fsprogs kmod systemd-journal-remote bsdutils)

say() { echo "setup: $*"; }

installed() { dpkg-query -W -f='${Status}' "$1" 2> /dev/null | grep -q '^install ok installed'; }

# Prints those of the arguments that are not installed.
missing() { local p; for p in "$@"; do installed "$p" || echo "$p"; done; }

# The command that may install packages, or nothing.
elevated() {
	if [ "$(id -u)" = 0 ]; then echo env; elif sudo -n true 2> /dev/null; then echo "sudo -n"; elif [ -t 0 ] && command -v sudo > /dev/null; then echo sudo; fi
}

apt_install() {
	local as; as=$(elevated)
	if [ -z "$as" ]; then
		say "not root, and no sudo. To install what is missing: apt-get install -y --no-install-recommends $*" >&2
		return 1
	fi
	# shellcheck disable=SC2086 # "sudo -n" is two words
	$as env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" > /tmp/coldcase-apt.$$ 2>&1 || {
		tail -5 /tmp/coldcase-apt.$$ >&2
		rm -f /tmp/coldcase-apt.$$
		return 1
	}
	rm -f /tmp/coldcase-apt.$$
}

apt_update() {
	local as; as=$(elevated)
	[ -n "$as" ] || return 0
	# shellcheck disable=SC2086
	$as apt-get update -qq > /dev/null 2>&1 || say "apt-get update failed; trying with the package index that is here" >&2
}

need_cargo() {
	command -v cargo > /dev/null || { say "cargo is missing: install Rust 1.88 or newer, see https://rustup.rs" >&2; exit 1; }
	local want=1.88 have
	have=$(rustc --version | awk '{print $2}')
	[ "$(printf '%s\n%s\n' "$want" "$have" | sort -V | head -1)" = "$want" ] ||
		{ say "Rust $want or newer is needed, this is $have: rustup update" >&2; exit 1; }
}

need_build() {
	need_cargo
	if ! command -v dpkg-query > /dev/null; then
		for tool in cc pkg-config clang; do
			command -v "$tool" > /dev/null || { say "$tool is missing; the packages are called on Debian: ${build[*]}" >&2; exit 1; }
		done
		return
	fi
	install_all "${build[@]}"
}

# Installs what is missing of the arguments; it is an error when that cannot be done.
install_all() {
	local lacking; mapfile -t lacking < <(missing "$@")
	[ ${#lacking[@]} = 0 ] && return
	[ -z "$(elevated)" ] || say "installing ${lacking[*]}"
	apt_update
	apt_install "${lacking[@]}" || exit 1
}

need_test() {
	command -v dpkg-query > /dev/null || { say "no dpkg here: tests that need other tools say so and are skipped"; return; }
	local lacking known=() unknown=() p
	mapfile -t lacking < <(missing "${test[@]}")
	# What this distribution does not have is asked for once, not at each run.
	local asked=target/setup-test.unknown
	[ -f "$asked" ] && mapfile -t lacking < <(printf '%s\n' "${lacking[@]}" | grep -vxFf "$asked" || true)
	[ ${#lacking[@]} = 0 ] && return
	[ -n "${lacking[0]}" ] || return 0
	apt_update
	for p in "${lacking[@]}"; do
		if apt-cache show "$p" > /dev/null 2>&1; then known+=("$p"); else unknown+=("$p"); fi
	done
	if [ ${#unknown[@]} != 0 ]; then
		say "not among this distribution's packages: ${unknown[*]} (checks that need them are skipped)"
		mkdir -p target
		printf '%s\n' "${unknown[@]}" >> "$asked"
	fi
	[ ${#known[@]} = 0 ] && return
	say "installing ${known[*]}"
	# One at a time when all together does not work, so that one broken package costs only itself.
	apt_install "${known[@]}" && return
	for p in "${known[@]}"; do apt_install "$p" || say "could not install $p (checks that need it are skipped)" >&2; done
}

need_python() {
	local stamp=.venv/.installed-for wanted=tests/requirements.txt
	cmp -s "$wanted" "$stamp" && return
	say "installing Python packages into .venv"
	if ! { python3 -m venv .venv && .venv/bin/pip install --quiet --disable-pip-version-check -r "$wanted"; }; then
		say "could not install $wanted (checks that need it are skipped)" >&2
		return
	fi
	cp "$wanted" "$stamp"
}

case ${1:-} in
	build) need_build ;;
	test) need_test; need_python ;;
	libelf) if command -v dpkg-query > /dev/null; then install_all "${libelf[@]}"; fi ;;
	*) echo "usage: setup.sh build|test|libelf" >&2; exit 2 ;;
esac
