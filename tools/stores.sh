#!/bin/sh
# Fetches the servers that the cluster stores are tested with (besides etcd, which tools/peers.sh has) into .cache/stores/, without
# installing them: as services of the machine they would be started. Nothing runs and nothing outside the folder changes.
#
#   bin/consul   lib/jvm/bin/java   java/*.jar (ZooKeeper and what it loads)
#
# Debian 12 has no Consul. Debian 11 has, and is fetched from where this machine's own apt gets Debian from. A machine that cannot
# have it gets one loud line here, and another from each test that is skipped.
set -eu
root=$(dirname -- "$(dirname -- "$(readlink -f -- "$0")")")
stores=$root/.cache/stores

# ZooKeeper loads these although it uses little of them. The Java machine is unpacked, too: installed it is 200 MB for a test.
packages='libzookeeper-java libslf4j-java libdropwizard-metrics-java libnetty-java libsnappy-java libcommons-cli-java
  libcommons-io-java libjackson2-core-java libjackson2-databind-java libjackson2-annotations-java openjdk-17-jre-headless'
old_release=bullseye
old_packages=consul

wanted="$(echo $packages) $old_release: $old_packages"
if [ "$(cat "$stores/stamp" 2>/dev/null)" = "$wanted" ]; then exit 0; fi

echo "stores: $wanted: unpacked into .cache/stores for tests, not installed"
fresh=$root/.cache/stores.$$
mkdir -p "$fresh/deb"
trap 'rm -rf "$fresh"' EXIT
cd "$fresh/deb"
log=$fresh/log
failed() {
  cat "$log" >&2
  exit 1
}
# shellcheck disable=SC2086 # a list of words
download() { apt-get download -q -o APT::Sandbox::User=root $packages </dev/null; }
if ! download >"$log" 2>&1; then
  [ "$(id -u)" -eq 0 ] || failed
  { apt-get update -q && download; } >"$log" 2>&1 || failed
fi

# The older release: apt with lists of its own, and as its only source the place from which it has this one's `main`.
apt=$fresh/apt
mkdir -p "$apt/etc" "$apt/lists/partial" "$apt/cache/archives/partial"
old() {
  apt-get -q -o APT::Sandbox::User=root -o Dir::Etc::sourcelist="$apt/etc/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::State::lists="$apt/lists" -o Dir::Cache="$apt/cache" "$@" </dev/null
}
key=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e "$key" ] || key=
release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
# shellcheck disable=SC2016 # apt's own $(VARIABLES)
apt-get indextargets --format '$(SITE)|$(RELEASE)|$(COMPONENT)|$(CREATED_BY)' |
  while IFS='|' read -r site name component kind; do
    if [ "$name $component $kind" = "$release main Packages" ]; then
      echo "deb ${key:+[signed-by=$key] }$site $old_release main"
    fi
  done | sort -u >"$apt/etc/sources.list"
# shellcheck disable=SC2086
if ! { [ -s "$apt/etc/sources.list" ] && old update && old download $old_packages; } >"$log" 2>&1; then
  sed 's#[a-z]*://[^ /]*#...#g' "$log" >&2
  echo "stores: THERE IS NO CONSUL TO TEST WITH: $old_packages of Debian $old_release could not be fetched through this machine's apt" >&2
  wanted='without consul'
fi

for file in *.deb; do dpkg-deb -x "$file" "$fresh"; done
# What a package has in /etc it refers to by absolute links.
mkdir -p "$fresh/lib"
mv "$fresh"/usr/lib/jvm/java-17-* "$fresh/lib/jvm"
find "$fresh/lib/jvm" -type l | while read -r link; do
  target=$(readlink "$link")
  case $target in
    /etc/*) if [ -e "$fresh$target" ]; then rm "$link" && cp -r "$fresh$target" "$link"; fi ;;
  esac
done
mkdir "$fresh/bin"
# The jars without a version in their names are links to those with one, some of them into maven-repo beside.
cp -rL "$fresh/usr/share/java" "$fresh/java"
if [ -e "$fresh/usr/bin/consul" ]; then mv "$fresh/usr/bin/consul" "$fresh/bin/consul"; fi
cd "$root"
rm -rf "$fresh/deb" "$fresh/apt" "$fresh/usr" "$fresh/etc" "$fresh/var"

"$fresh/lib/jvm/bin/java" -version 2>&1 | head -n 1
[ -e "$fresh/java/zookeeper.jar" ]
[ ! -x "$fresh/bin/consul" ] || "$fresh/bin/consul" version | head -n 1

rm -f "$log"
printf '%s\n' "$wanted" >"$fresh/stamp"
rm -rf "$stores"
mv "$fresh" "$stores"
