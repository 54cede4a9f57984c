#!/bin/bash
# Kernel tests on Debian 12's own kernel, which is older (6.1) than the one they usually run on: in a virtual machine that sees this machine's files, read only, and
# whose writes are thrown away. No part of CI: without KVM a processor of QEMU's is 10 to 20 times slower, so tests that judge times fail there, and one
# file takes minutes. Where a file has many tests, name some.
#
#   tools/vm-debian.sh test/netns/routed.test.ts udp           # with `udp` in their names
#   CPUS=2 SECONDS_AT_MOST=600 tools/vm-debian.sh src/kernel/shortcut/shortcut.netns.test.ts
#   tools/vm-debian.sh -- npm run -s demo                      # any command
#
# Needs: apt-get install --no-install-recommends qemu-system-x86 busybox-static kmod. Fetches the kernel into .cache/vm/ through this machine's apt;
# nothing is installed. Exit code: the command's, 124 when it took too long.
set -euo pipefail
root=$(dirname -- "$(dirname -- "$(readlink -f -- "$0")")")
vm=$root/.cache/vm
cpus=${CPUS:-1}
memory=${MEMORY_MIB:-3000}
limit=${SECONDS_AT_MOST:-300}
# Filled by a run on this machine, seen by the one in the VM: stripping types and compiling takes longest there.
export NODE_COMPILE_CACHE=$vm/compiled

fail() {
  echo "vm-debian: $*" >&2
  exit 1
}

# Without its kernel: package, release and files.
fetch() {
  local package
  package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1)
  [ -n "$package" ] || fail 'apt knows no linux-image-cloud-amd64'
  release=${package#linux-image-}
  tree=$vm/$package
  if [ ! -d "$tree" ]; then
    echo "vm-debian: $package: unpacked into .cache/vm, not installed" >&2
    rm -rf "$vm/fresh" && mkdir -p "$vm/fresh"
    (cd "$vm/fresh" && apt-get download -q -o APT::Sandbox::User=root "$package" >/dev/null && dpkg-deb -x ./*.deb tree)
    [ -e "$vm/fresh/tree/lib" ] || ln -s usr/lib "$vm/fresh/tree/lib"
    depmod -b "$vm/fresh/tree" "$release"
    mv "$vm/fresh/tree" "$tree"
    rm -r "$vm/fresh"
  fi
}

# What is there before the machine's files are: modules for them, and a program that mounts them.
initial() {
  mkdir -p "$1"/{bin,modules,proc,sys,dev,lower,upper,new}
  cp "$(command -v busybox)" "$1/bin/busybox"
  local count=100 file
  while read -r _ file _; do
    count=$((count + 1))
    cp "$file" "$1/modules/$count.ko"
  done < <(modprobe -d "$tree" -S "$release" -aD virtio_pci virtio_console virtiofs overlay | awk '$1 == "insmod" && !seen[$2]++')
  cat >"$1/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
for module in /modules/*; do insmod "$module"; done
mount -t virtiofs -o ro root /lower && mount -t tmpfs -o size=80% upper /upper && mkdir /upper/files /upper/work &&
  mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work root /new || poweroff -f
mkdir -p /dev/shm /dev/pts /dev/net
mount -t tmpfs -o mode=1777 shm /dev/shm; mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t cgroup2 cgroup2 /sys/fs/cgroup; mount -t bpf bpf /sys/fs/bpf
# Module tun is loaded by whoever opens it.
[ -e /dev/net/tun ] || mknod /dev/net/tun c 10 200
ln -s /proc/self/fd /dev/fd
for name in proc sys dev; do mount --move "/$name" "/new/$name"; done
mount -t tmpfs -o mode=755 run /new/run
cp /command /session /new/run/
exec switch_root /new /bin/bash /run/session
INIT
  # Process 1 of the VM. Its first port is what the command says, its second one the exit code.
  cat >"$1/session" <<SESSION
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mkdir -p /lib/modules/$release && mount --bind '$tree/lib/modules/$release' /lib/modules/$release
modprobe br_netfilter
# Containers have overlays of their own, whose upper layer cannot be on one.
case '$root' in /tmp/*) ;; *) mount -t tmpfs -o mode=1777 tmp /tmp ;; esac
ip link set lo up
hostname debian
bash /run/command </dev/null >/dev/vport*p1 2>&1
echo \$? >/dev/vport*p2
sync
sleep 0.5
busybox poweroff -f
SESSION
  {
    export -p
    printf 'cd %q && exec' "$root"
    printf ' %q' "${command[@]}"
    echo
  } >"$1/command"
  chmod 755 "$1/init"
}

if [ "${1:-}" = -- ]; then
  command=("${@:2}")
else
  test=${1:-}
  [ -f "$root/$test" ] || fail "usage: tools/vm-debian.sh TEST-FILE [NAME], or: tools/vm-debian.sh -- COMMAND..."
  command=(unshare --net --mount --pid --fork --mount-proc --kill-child tools/testing/isolate.sh
    node_modules/.bin/node --disable-warning=ExperimentalWarning --test-reporter=spec --test-name-pattern="${2:-.}" "$test")
fi
[ ${#command[@]} -gt 0 ] || fail 'no command'
[ "$(id -u)" -eq 0 ] || fail 'root is needed'
for program in qemu-system-x86_64 busybox modprobe depmod; do command -v "$program" >/dev/null || fail "there is no $program (see the first lines of this file)"; done
virtiofsd=/usr/lib/qemu/virtiofsd
[ -x $virtiofsd ] || fail "there is no $virtiofsd (package qemu-system-common)"

# All mounts, files and processes of the VM belong to namespaces, and go with them.
if [ -z "${VM_INNER:-}" ]; then
  mkdir -p "$NODE_COMPILE_CACHE"
  VM_INNER=1 exec setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc "$0" "$@"
fi
unset VM_INNER
fetch
mount -t tmpfs -o mode=755 vm /run
cd /run
mkdir root
mount --rbind / root
mount -o remount,bind,ro root
initial /run/initial
(cd initial && find . | busybox cpio -o -H newc 2>/dev/null) >initrd
ulimit -n 1000000 2>/dev/null || true # virtiofsd keeps open whatever was looked up
"$virtiofsd" --socket-path=files -o source=/run/root -o cache=always -o no_readdirplus -o sandbox=chroot -o log_level=err --thread-pool-size=0 2>log &
for _ in {1..500}; do
  [ ! -S files ] || break
  sleep 0.01
done
code=0
timeout -k 2 "$limit" qemu-system-x86_64 -M q35 -cpu max -accel tcg,tb-size=256 -smp "$cpus" -m "$memory" \
  -object memory-backend-memfd,id=memory,size="${memory}M",share=on -numa node,memdev=memory \
  -nodefaults -no-user-config -no-reboot -display none -serial file:console \
  -kernel "$tree/boot/vmlinuz-$release" -initrd initrd -append 'console=ttyS0 quiet panic=-1 oops=panic tsc=reliable mitigations=off' \
  -chardev socket,id=files,path=files -device vhost-user-fs-pci,chardev=files,tag=root -device virtio-serial-pci \
  -chardev file,id=said,path=/proc/self/fd/1,append=on -device virtserialport,chardev=said,nr=1 \
  -chardev file,id=code,path=/run/code -device virtserialport,chardev=code,nr=2 </dev/null 2>>log || code=$?
[ "$code" -ne 124 ] || { echo "vm-debian: not done after $limit s (SECONDS_AT_MOST)" >&2; exit 124; }
[ -s code ] || { cat log console >&2; fail 'the VM ended without an answer'; }
exit "$(cat code)"
