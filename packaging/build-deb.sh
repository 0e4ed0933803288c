#!/bin/sh
# Make Debian packages of BUILD/NAME.tar.gz below BUILD/deb: build-deb.sh NAME BUILD
# NAME is wsrelayd-VERSION. Needs debhelper and dpkg-dev, and no root; DEB_BUILD_OPTIONS=nocheck builds without the tests.
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
date=$(LC_ALL=C date -u -R -d "@$(stat -c %Y "$work/$name/configure.ac")")
sed -e "s/@VERSION@/$version/g" -e "s/@DATE@/$date/" packaging/deb/changelog.in >"$work/$name/debian/changelog"
rm "$work/$name/debian/changelog.in"
(cd "$work/$name" && env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS dpkg-buildpackage -us -uc "-j$(nproc)")
ls "$work"/*.deb
