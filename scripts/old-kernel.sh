#!/usr/bin/env bash
# Boots a real Linux 5.10, the oldest that weft promises, in a virtual machine, and runs there what
# starts a server: the load harness, the transcripts, async-nats, the store's tests and, with nats-py,
# those of core and JetStream. The machine has a shell, Python and the project on a disk of its own,
# and no network but loopback; its paths below are the guest's.
#   scripts/old-kernel.sh
# Wants qemu-system-x86_64, cpio, mkfs.ext4, dpkg-deb and a static busybox (Debian: qemu-system-x86
# cpio e2fsprogs dpkg busybox-static) and curl. The machine's processors are emulated, at a twentieth of the speed.
#   WEFT_KERNEL_DEB           address of the kernel's package
#   WEFT_OLD_KERNEL_SECONDS   how long the machine may run; 1800
#   WEFT_OLD_KERNEL_MACHINE   qemu's words for another machine: -accel kvm -cpu host
set -euo pipefail
cd "$(dirname "$0")/.."

deb=${WEFT_KERNEL_DEB:-http://deb.debian.org/debian/pool/main/l/linux/linux-image-5.10.0-32-cloud-amd64-unsigned_5.10.223-1_amd64.deb}
for tool in curl qemu-system-x86_64 cpio mkfs.ext4 dpkg-deb busybox; do
  command -v "$tool" >/dev/null || PATH=$PATH:/usr/sbin:/sbin command -v "$tool" >/dev/null || {
    echo "old-kernel: $tool is not installed" >&2
    exit 1
  }
done
PATH=$PATH:/usr/sbin:/sbin

scripts/install-ci-tools.sh >/dev/null
cargo build --quiet --release --workspace --bins
tests=$(cargo test --quiet --release --no-run --message-format=json --test transcripts --test async_nats --test store |
  sed -n 's/.*"kind":\["test"\].*"executable":"\([^"]*\)".*/\1/p')

suites="test_core.py test_jetstream.py" # what starts many servers at once would take hours
work=target/old-kernel
rm -rf "$work"
mkdir -p "$work/root" "$work/init" .cache/kernel
package=.cache/kernel/$(basename "$deb")
if ! [ -e "$package" ]; then
  curl --fail --silent --show-error --output "$package.part" "$deb"
  mv "$package.part" "$package"
fi
dpkg-deb -x "$package" "$work/kernel"

libraries_of() { # FILE…
  { ldd "$@" 2>/dev/null || true; } | { grep -oE '(^|[[:space:]])/[^ :]+ ' || true; } | sort -u | tr -d ' \t'
}

copy() { # FILE…: with the libraries it needs, to where it lies here
  local file
  for file in "$@"; do
    cp --parents --dereference "$file" "$work/root"
    libraries_of "$file" | while read -r library; do cp --parents --dereference --update "$library" "$work/root"; done
  done
}

# The root file system: a shell, Python with nats-py, the project.
here=$PWD
root=$work/root
mkdir -p "$root"/{proc,sys,dev,tmp,root,bin,etc} "$root$here/target/release"
cp "$(command -v busybox)" "$root/bin/busybox"
for applet in sh mount ip poweroff cat uname sleep kill env grep sed; do ln -s busybox "$root/bin/$applet"; done
echo "root:x:0:0:root:/root:/bin/sh" >"$root/etc/passwd"
printf '127.0.0.1 localhost\n' >"$root/etc/hosts"
python=$(readlink -f .cache/venv/bin/python)
copy "$python" .cache/venv/bin/nats-server .cache/bin/nats
# shellcheck disable=SC2086 # one word per test
copy "$here/target/release/weft" "$here/target/release/bench-harness" $tests
prefix=$(dirname "$(dirname "$python")")
for name in python python3; do ln -s "$(basename "$python")" "$root$prefix/bin/$name"; done
tar -C / -c --exclude=__pycache__ --exclude='lib/python3*/test' --exclude='*.a' "${prefix#/}/lib" | tar -C "$root" -x
# shellcheck disable=SC2046 # one word per library
libraries_of $(find "$prefix/lib" -name '*.so*' -type f) |
  while read -r library; do cp --parents --dereference --update "$library" "$root"; done
tar -c .cache/venv | tar -C "$root$here" -x
git ls-files -z tests scripts Cargo.toml README.md | tar --null -T - -c | tar -C "$root$here" -x

cat >"$root/bin/check" <<CHECK
#!/bin/sh
cd $here
export PATH=$here/.cache/venv/bin:/bin HOME=/root PYTHONDONTWRITEBYTECODE=1
status=0
echo
uname -a
target/release/weft -a 127.0.0.1 -p 14222 -js -sd /root/store --shards 2 2>/tmp/log &
server=\$!
sleep 2
for shape in "pair --size 128,65536" "pairs --size 1024" "queue" "request" "js-publish"; do
  target/release/bench-harness \$shape --seconds 1 --server weft=@127.0.0.1:14222 2>/tmp/why || { cat /tmp/why; status=1; }
done
kill \$server
wait \$server
$(for test in $tests; do echo "$test --test-threads 2 || status=1"; done)
(cd tests/compat/python && python -m pytest -q --color=no -p no:cacheprovider $suites) || status=1
echo "on the old kernel: exit code \$status"
CHECK
chmod +x "$root/bin/check"
mkfs.ext4 -q -d "$root" "$work/disk" 6G 2>/dev/null

# What the kernel starts: the drivers of the disk, then the root file system.
mkdir -p "$work/init/bin" "$work/init/root" "$work/init/dev"
cp "$(command -v busybox)" "$work/init/bin/busybox"
modules=$(echo "$work"/kernel/lib/modules/*/kernel)
for module in virtio virtio_ring virtio_pci_modern_dev virtio_pci virtio_blk; do
  find "$modules" -name "$module.ko" -exec cp {} "$work/init/" \;
done
cat >"$work/init/init" <<'INIT'
#!/bin/busybox sh
for module in virtio virtio_ring virtio_pci_modern_dev virtio_pci virtio_blk; do
  [ -e /$module.ko ] && /bin/busybox insmod /$module.ko
done
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t ext4 /dev/vda /root
for each in proc sysfs:sys devtmpfs:dev tmpfs:tmp; do
  /bin/busybox mount -t ${each%:*} none /root/${each#*:}
done
/bin/busybox ip link set lo up
/bin/busybox chroot /root /bin/check
/bin/busybox sync
/bin/busybox poweroff -f
INIT
chmod +x "$work/init/init"
(cd "$work/init" && find . | cpio --quiet -o -H newc) | gzip >"$work/initrd"

read -ra machine <<<"${WEFT_OLD_KERNEL_MACHINE:--accel tcg,thread=multi -cpu max}"
timeout "${WEFT_OLD_KERNEL_SECONDS:-1800}" qemu-system-x86_64 "${machine[@]}" -smp 2 -m 4096 \
  -nographic -no-reboot -kernel "$work"/kernel/boot/vmlinuz-* -initrd "$work/initrd" \
  -append "console=ttyS0 quiet panic=-1" \
  -drive file="$work/disk",if=virtio,format=raw,cache=writeback </dev/null |
  tr -d '\r' | sed -n '/^Linux/,$p' | tee "$work/console"
grep -q '^on the old kernel: exit code 0$' "$work/console"
