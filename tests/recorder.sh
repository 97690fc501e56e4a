#!/usr/bin/env bash
# Builds the recorder: the same command line without its reading half, as one static file, target/recorder/coldcase.
set -euo pipefail
cd "$(dirname "$0")/.."

# Whether a static program that opens an ELF file can be linked with what the system has.
libelf_links() {
	echo '#include <gelf.h>
	int main(void) { Elf *e; elf_version(EV_CURRENT); e = elf_begin(0, ELF_C_READ, 0); return elf_getdata(elf_getscn(e, 0), 0) || elf_end(e); }' |
		cc -x c -static - -lelf -lz -o /dev/null 2> /dev/null
}

target=$(rustc -vV | awk '/^host:/ {print $2}')
case $target in
	*-linux-gnu) ;;
	*) echo "recorder: builds on GNU/Linux only, this is $target" >&2; exit 1 ;;
esac
# Static libelf and zlib stand in the multiarch folder, where the linker looks by itself. Named as `--target`, so that the flags do not
# reach build scripts and procedural macros, which cannot be static.
export RUSTFLAGS="-C target-feature=+crt-static -C relocation-model=static -C force-frame-pointers=yes"
features=()
if ! libelf_links; then
	# Debian 13 ships a static libelf without parts of itself (eu_search_tree_init); others want a static zstd beside it.
	echo "recorder: this system's static libelf does not link by itself; building libelf from its sources"
	tests/setup.sh libelf
	features=(--features coldcase-record/vendored-libelf)
fi
cargo build --quiet --profile recorder --target "$target" -p coldcase --no-default-features "${features[@]}"
mkdir -p target/recorder
# Copied aside and renamed: a recorder that is running is not disturbed.
# Not every linker leaves the table of symbols out when the profile says so.
strip -o target/recorder/coldcase.new "target/$target/recorder/coldcase"
mv target/recorder/coldcase.new target/recorder/coldcase
size=$(stat -c %s target/recorder/coldcase)
echo "recorder: target/recorder/coldcase, $((size / 1024)) KiB, $(file -bL target/recorder/coldcase 2> /dev/null | grep -oE 'static(ally linked|-pie linked)' || echo 'linkage unknown')"
[ "$size" -lt $((15 * 1000 * 1000)) ] || { echo "recorder: larger than 15 MB" >&2; exit 1; }
