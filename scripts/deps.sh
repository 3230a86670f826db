#!/bin/bash
# Installs the Debian packages that the tests need, if this is root on Debian and they are missing. Otherwise it says what
# cannot run without them. With CI=true nothing may be skipped, so that is an error there.
set -euo pipefail

# PROGRAM PACKAGE WHAT-NEEDS-IT, one a line.
needs='
make            make             everything
cc              gcc              the race detector and the guests of the client test
git             git              the client test
linux.uml       user-mode-linux  the client test
mount.nfs       nfs-common       the client test
ip              iproute2         the client test and the tests of faults
nft             nftables         the client test and the tests of faults
modprobe        kmod             the client test
unshare         util-linux       the client test and the tests of faults
mount           mount            the tests of faults
sqlite3         sqlite3          the client test
nfs-cp          libnfs-utils     the process and client tests
rpcbind         rpcbind          the tests of the port mapper, the client test and the conformance test
mkfs.ext4       e2fsprogs        the conformance test and the tests of faults
'
# gcc without the C library's headers compiles nothing.
headers=/usr/include/stdio.h

export PATH="$PATH:/usr/sbin:/sbin"

missing_lines() {
	while read -r program package what; do
		[ -n "$program" ] || continue
		command -v "$program" >/dev/null || echo "$program $package $what"
	done <<<"$needs"
	[ -e "$headers" ] || echo "$headers libc6-dev the race detector and the guests of the client test"
}

if ! command -v go >/dev/null; then
	echo "deps: go is missing: install Go 1.26 or newer and put it into PATH" >&2
	exit 1
fi

missing=$(missing_lines)
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	mapfile -t packages < <(awk '{ print $2 }' <<<"$missing" | sort -u)
	echo "deps: installing ${packages[*]}"
	export DEBIAN_FRONTEND=noninteractive
	# A failure is not the end: what is still missing is reported below.
	apt-get update -qq >/dev/null || true
	apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null || true
	hash -r
	missing=$(missing_lines)
	[ -n "$missing" ] || exit 0
fi

why="this is not root"
[ "$(id -u)" != 0 ] || why="they could not be installed"
while read -r program package what; do
	echo "deps: $program is missing and $why (Debian package $package); without it no run of $what" >&2
done <<<"$missing"
if [ "${CI-}" = true ]; then
	echo "deps: in CI nothing may be skipped" >&2
	exit 1
fi
