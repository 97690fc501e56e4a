#!/usr/bin/env bash
# The second kernel: boots Debian's 6.1 cloud kernel under emulation with the static recorder in an initramfs, records load of
# every kind, and checks that each kernel source attached, fired and counted. Prints a verdict per check.
set -euo pipefail
cd "$(dirname "$0")/../.."
recorder=${1:-target/recorder/coldcase}
work=target/vm
timeout_s=${VM_TIMEOUT:-300}

skip() { echo "skipped: $*"; echo "0 passed, 0 failed, 1 skipped"; exit 0; }
for tool in qemu-system-x86_64 busybox cpio mkfs.ext4 debugfs depmod tc python3; do
	command -v "$tool" > /dev/null || [ -x "/usr/sbin/$tool" ] || skip "test-vm needs $tool (make setup-test installs it)"
done
[ -x "$recorder" ] || skip "test-vm needs the recorder build at $recorder (make recorder)"
export PATH=$PATH:/usr/sbin:/sbin

mkdir -p "$work"
if ! compgen -G "$work/root/boot/vmlinuz-*" > /dev/null; then
	package=$(apt-cache depends linux-image-cloud-amd64 2> /dev/null | awk '/Depends: linux-image-/ {print $2; exit}') || true
	[ -n "${package:-}" ] || skip "linux-image-cloud-amd64 is not in the package index (apt-get update)"
	(cd "$work" && apt-get download "$package" > /dev/null 2>&1) || skip "cannot download $package"
	dpkg-deb -x "$work/$package"_*.deb "$work/root"
	rm -f "$work/$package"_*.deb
fi
kernel=$(ls "$work"/root/boot/vmlinuz-* | head -1)
release=${kernel##*/vmlinuz-}

fs=$work/initramfs
rm -rf "$fs"
mkdir -p "$fs"/{bin,sbin,etc,proc,sys,dev,tmp,lib/modules}
cp "$(command -v busybox)" "$fs/bin/busybox"
file -b "$fs/bin/busybox" | grep -q static || skip "busybox is not static (busybox-static)"
cp "$recorder" "$fs/bin/coldcase"
cp tests/vm/init "$fs/init"
for m in virtio_pci virtio_blk ext4 sch_netem; do
	modprobe -d "$PWD/$work/root" -S "$release" --show-depends "$m" 2> /dev/null || true
done > "$work/modules" || true
if [ ! -s "$work/modules" ]; then
	depmod -b "$work/root" "$release"
	for m in virtio_pci virtio_blk sch_netem; do
		modprobe -d "$PWD/$work/root" -S "$release" --show-depends "$m" 2> /dev/null || true
	done > "$work/modules"
fi
awk '/^insmod/ {print $2}' "$work/modules" | sort -u | while read -r ko; do
	target=$fs/lib/modules/$release/${ko##*"/lib/modules/$release/"}
	mkdir -p "$(dirname "$target")"
	cp "$ko" "$target"
done
cp "$work/root/lib/modules/$release"/modules.{builtin,builtin.modinfo,order} "$fs/lib/modules/$release/" 2> /dev/null || true
depmod -b "$fs" "$release" 2> /dev/null
tc_path=$(command -v tc)
cp "$tc_path" "$fs/sbin/tc"
ldd "$tc_path" | grep -o '/[^ )]*' | sort -u | while read -r lib; do
	mkdir -p "$fs$(dirname "$lib")"
	cp -L "$lib" "$fs$lib"
done
(cd "$fs" && find . | cpio -o -H newc --quiet | gzip -1) > "$work/initramfs.gz"

rm -f "$work/data.img"
truncate -s 256M "$work/data.img"
mkfs.ext4 -q "$work/data.img"
echo "booting $release (emulated, up to ${timeout_s}s)"
timeout "$timeout_s" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 1024 -nographic -no-reboot \
	-kernel "$kernel" -initrd "$work/initramfs.gz" -append "console=ttyS0 panic=-1 quiet" \
	-drive "file=$work/data.img,format=raw,if=virtio" -nic none < /dev/null > "$work/console.log" 2>&1 || true
grep -aE '^vm:|Kernel panic' "$work/console.log" || true

for f in kernel counts record.out record.err verify.out doctor.out vm.case; do
	rm -f "$work/$f"
	debugfs -R "dump /$f $work/$f" "$work/data.img" > /dev/null 2>&1 || true
done
python3 tests/vm/check.py "$work" "$recorder"
