#!/bin/sh
# Make Debian packages of BUILD/NAME.tar.gz below BUILD/deb: build-deb.sh NAME BUILD
# NAME is wsrelayd-VERSION. Needs debhelper and dpkg-dev; the tests that need no network of their own run while it builds.
set -eu
name=$1 build=$2
version=${name#wsrelayd-}
work=$build/deb

if ! command -v dpkg-buildpackage >/dev/null 2>&1 || ! command -v dh >/dev/null 2>&1; then
	echo "make deb needs dpkg-buildpackage and dh (Debian: apt-get install dpkg-dev debhelper)" >&2
	exit 1
fi
rm -rf "$work"
mkdir -p "$work"
cp "$build/$name.tar.gz" "$work/wsrelayd_$version.orig.tar.gz"
tar -xzf "$build/$name.tar.gz" -C "$work"
cp -R packaging/deb "$work/$name/debian"
(cd "$work/$name" && dpkg-buildpackage -us -uc "-j$(nproc)")
if command -v lintian >/dev/null 2>&1; then
	lintian --fail-on error "$work"/*.changes
fi
ls "$work"/*.deb
