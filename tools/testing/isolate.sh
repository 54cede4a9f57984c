#!/bin/sh
# The first process of the namespaces (network, mount, pid) of one kernel test file: makes them look like a machine that has
# just started, then runs the command. Stays pid 1 and reaps what the test orphans, as init does: without that a daemon that
# has ended would look alive for ever.
set -e
resolv=$(readlink -f /etc/resolv.conf || true)
case $resolv in /run/*) text=$(cat "$resolv") ;; esac

mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock /run/netns /run/tmp /run/cgroup
if [ -n "${text+set}" ]; then
  mkdir -p "${resolv%/*}"
  printf '%s\n' "$text" >"$resolv"
fi

# As the first `ip netns add` would do, or it would count as left behind.
mount --bind /run/netns /run/netns
mount --make-shared /run/netns

# sysfs shows the network devices of the namespace in which it was mounted.
mount --rbind /sys/fs/cgroup /run/cgroup
mount -t sysfs sysfs /sys
mount --rbind /run/cgroup /sys/fs/cgroup
umount -l /run/cgroup
rmdir /run/cgroup

# The runner's own network namespace: some limits of the whole machine show only in its first one.
if [ -e /proc/self/fd/3 ]; then
  touch /run/outer-netns
  mount --bind /proc/self/fd/3 /run/outer-netns
  exec 3<&-
fi

# What test/support/isolated.ts looks for.
touch /run/moor-isolated

ip link set lo up
export TMPDIR=/run/tmp
"$@"
exit $?
