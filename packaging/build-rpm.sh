#!/bin/sh
# Make RPM packages of BUILD/NAME.tar.gz below BUILD/rpm: build-rpm.sh NAME BUILD [RPMBUILD-OPTION...]
# On a system whose libraries are not RPMs themselves (Debian's rpm package), RPMBUILD_OPTIONS=--nodeps makes it build all the same.
set -eu
name=$1 build=$2
top=$(cd "$build" && pwd)/rpm

command -v rpmbuild >/dev/null 2>&1 || {
	echo "make rpm needs rpmbuild (Fedora: dnf install rpm-build; Debian: apt-get install rpm)" >&2
	exit 1
}
rm -rf "$top"
mkdir -p "$top/SOURCES" "$top/SPECS"
cp "$build/$name.tar.gz" "$top/SOURCES"
cp packaging/rpm/wsrelayd.spec "$top/SPECS"
# shellcheck disable=SC2086 # a list of options
rpmbuild -ba --define "_topdir $top" ${RPMBUILD_OPTIONS:-} "$top/SPECS/wsrelayd.spec"
find "$top" -name '*.rpm'
