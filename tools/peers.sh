#!/bin/sh
# Fetches the programs that Moorline is tested with and measured beside into .cache/peers/, without installing them: Debian's
# docker.io would start a daemon that changes the firewall of the machine. Nothing runs and nothing outside the folder changes.
#
#   PATH=$PWD/.cache/peers/usr/bin:$PWD/.cache/peers/usr/sbin:$PATH
#   LD_LIBRARY_PATH=$PWD/.cache/peers/usr/lib/x86_64-linux-gnu:$PWD/.cache/peers/lib/x86_64-linux-gnu
#   PYTHONPATH=$PWD/.cache/peers/usr/lib/python3/dist-packages:$PWD/.cache/peers/usr/lib/python3.11 /usr/bin/python3 .cache/peers/usr/bin/docker-compose
#   usr/bin/docker usr/sbin/dockerd usr/bin/containerd usr/sbin/runc   usr/lib/cni/bridge   usr/lib/podman/netavark   usr/bin/etcd
set -eu
root=$(dirname -- "$(dirname -- "$(readlink -f -- "$0")")")
peers=$root/.cache/peers

# The libraries are those that a bare Debian lacks.
packages='docker.io containerd runc tini containernetworking-plugins netavark aardvark-dns libdevmapper1.02.1 libseccomp2'
# docker-compose and Docker's Python SDK, with all that they import; Debian's python3 itself is installed.
packages="$packages docker-compose python3-docker python3-attr python3-cached-property python3-certifi python3-chardet
  python3-charset-normalizer python3-distro python3-distutils python3-dockerpty python3-docopt python3-dotenv python3-idna
  python3-jsonschema python3-lib2to3 python3-packaging python3-pkg-resources python3-pyrsistent python3-requests python3-six
  python3-texttable python3-urllib3 python3-websocket python3-yaml"
# The cluster store. Installed, it would be started as a service of the machine.
packages="$packages etcd-server"
# Tunnels that the one of ours is measured beside (test/bench/tunnels.ts), and what WireGuard's is configured with. Installed, tinc and
# Nebula would be services of the machine.
packages="$packages socat libwrap0 tinc liblzo2-2 nebula wireguard-go wireguard-tools"
# Firewalls, beside which published ports are tested (test/support/firewalls.ts), with what a bare Debian lacks of theirs.
packages="$packages ufw firewalld python3-firewall python3-nftables python3-gi gir1.2-glib-2.0 libgirepository-1.0-1 python3-dbus
  python3-cap-ng dbus-daemon libdbus-1-3 libglib2.0-0 libcap-ng0 libapparmor1"

if [ "$(cat "$peers/stamp" 2>/dev/null)" = "$packages" ]; then exit 0; fi

echo "peers: $(echo $packages): unpacked into .cache/peers for tests and benchmarks, not installed"
fresh=$root/.cache/peers.$$
mkdir -p "$fresh/deb"
trap 'rm -rf "$fresh"' EXIT
cd "$fresh/deb"
log=$fresh/log
# shellcheck disable=SC2086 # a list of words
download() { apt-get download -q -o APT::Sandbox::User=root $packages </dev/null; }
if ! download >"$log" 2>&1; then
  if [ "$(id -u)" -ne 0 ]; then
    cat "$log" >&2
    exit 1
  fi
  if ! { apt-get update -q && download; } >"$log" 2>&1; then
    cat "$log" >&2
    exit 1
  fi
fi
for file in *.deb; do dpkg-deb -x "$file" "$fresh"; done
cd "$root"
mv "$fresh/usr/share/ufw" "$fresh/ufw.share"
rm -rf "$fresh/deb" "$fresh/usr/share"
mkdir "$fresh/usr/share"
mv "$fresh/ufw.share" "$fresh/usr/share/ufw"

export LD_LIBRARY_PATH="$fresh/usr/lib/x86_64-linux-gnu:$fresh/lib/x86_64-linux-gnu"
for program in usr/bin/docker usr/sbin/dockerd usr/bin/containerd usr/sbin/runc usr/sbin/docker-proxy usr/lib/podman/netavark usr/lib/podman/aardvark-dns usr/bin/etcd \
  usr/bin/socat usr/sbin/tincd usr/bin/nebula usr/bin/nebula-cert usr/bin/wireguard-go usr/bin/wg usr/sbin/ufw usr/sbin/firewalld \
  usr/bin/firewall-cmd usr/bin/dbus-daemon; do
  [ -x "$fresh/$program" ] || { echo "peers: $program is not in the packages" >&2; exit 1; }
done
"$fresh/usr/bin/docker" --version
"$fresh/usr/sbin/dockerd" --version
"$fresh/usr/sbin/runc" --version | head -n 1
"$fresh/usr/lib/podman/netavark" --version
"$fresh/usr/bin/etcd" --version | head -n 1
"$fresh/usr/sbin/tincd" --version | head -n 1
echo "Nebula $("$fresh/usr/bin/nebula" -version)"
"$fresh/usr/bin/wireguard-go" --version | head -n 1
"$fresh/usr/bin/wg" --version
[ -x "$fresh/usr/lib/cni/bridge" ]
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$fresh/usr/lib/python3/dist-packages:$fresh/usr/lib/python3.11" \
  /usr/bin/python3 "$fresh/usr/bin/docker-compose" --version

rm -f "$log"
printf '%s\n' "$packages" >"$fresh/stamp"
rm -rf "$peers"
mv "$fresh" "$peers"
