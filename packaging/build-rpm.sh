#!/bin/sh
# Make RPM packages of BUILD/NAME.tar.gz below BUILD/rpm: build-rpm.sh NAME BUILD
# NAME is wsrelayd-VERSION. On a system whose libraries are not RPMs themselves (Debian's rpm package), RPMBUILD_OPTIONS=--nodeps
# makes it build all the same; RPMBUILD_OPTIONS=--nocheck builds without the tests.
set -eu
name=$1 build=$2
version=${name#wsrelayd-}
top=$(cd "$build" && pwd)/rpm

command -v rpmbuild >/dev/null 2>&1 || {
	echo "make rpm needs rpmbuild (Fedora: dnf install rpm-build; Debian: apt-get install rpm)" >&2
	exit 1
}
rm -rf "$top"
mkdir -p "$top/SOURCES" "$top/SPECS"
cp "$build/$name.tar.gz" "$top/SOURCES"
tar -xzf "$build/$name.tar.gz" -C "$top" "$name/configure.ac"
date=$(LC_ALL=C date -u -d "@$(stat -c %Y "$top/$name/configure.ac")" '+%a %b %d %Y')
rm -r "${top:?}/$name"
sed -e "s/@VERSION@/$version/g" -e "s/@DATE@/$date/" packaging/rpm/wsrelayd.spec.in >"$top/SPECS/wsrelayd.spec"
# Fedora's rpm brings these macros
elsewhere=
[ "$(rpm --eval '%{?_unitdir}')" ] || elsewhere="--load=packaging/rpm/macros.elsewhere"
# shellcheck disable=SC2086 # lists of options
env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS rpmbuild -ba --define "_topdir $top" $elsewhere ${RPMBUILD_OPTIONS:-} "$top/SPECS/wsrelayd.spec"
find "$top" -name '*.rpm'
