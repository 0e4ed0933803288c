#!/bin/sh
# From a source tree to a running gateway, or to every test passed, on a fresh Debian, Fedora or RHEL.
#
#	sh packaging/bootstrap.sh run	install what the build needs, build, and start the gateway with conf/demo.ini
#	sh packaging/bootstrap.sh check	install what the tests need as well, build, and run every test
#
# As root, or as a user who may use sudo. PORT=9000 in the environment chooses another port for run. Nothing is
# installed that is there already, and without anything missing no package manager is called.
set -eu
cd "$(dirname "$0")/.."

usage()
{
	sed -n '4,8s/^#[[:space:]]*//p' packaging/bootstrap.sh
}

say()
{
	printf 'bootstrap: %s\n' "$*" >&2
}

die()
{
	say "$*"
	exit 1
}

as_root()
{
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null 2>&1; then
		sudo "$@"
	else
		die "this needs root, and there is no sudo: $*"
	fi
}

# ---- what is needed: PACKAGE, or PACKAGE:COMMAND where any package that brings the command will do

debian_build="gcc:gcc libc6-dev make:make autoconf:autoconf pkgconf:pkg-config libevent-dev libssl-dev zlib1g-dev
	libinih-dev libnghttp2-dev libsystemd-dev"
debian_check="check python3:/usr/bin/python3 python3-websockets python3-h2 nodejs:node npm:npm chromium
	chromium-driver nghttp2-client:h2load openssl:openssl curl:curl procps:ps util-linux:setarch
	haproxy:haproxy nginx-light:nginx libnginx-mod-stream sqlite3:sqlite3 dpkg-dev:dpkg-buildpackage debhelper:dh lintian:lintian rpm:rpmbuild rpmlint:rpmlint
	systemd:systemd-analyze logrotate:logrotate apparmor:apparmor_parser"

fedora_build="gcc:gcc make:make autoconf:autoconf pkgconf-pkg-config:pkg-config libevent-devel openssl-devel zlib-devel
	inih-devel libnghttp2-devel systemd-devel"
fedora_check="check-devel libasan libubsan libtsan python3:/usr/bin/python3 python3-websockets python3-h2 nodejs:node
	npm:npm chromium chromedriver nghttp2:h2load openssl:openssl curl:curl procps-ng:ps util-linux:setarch
	diffutils:cmp findutils:find haproxy:haproxy nginx:nginx nginx-mod-stream sqlite:sqlite3"

have_package()
{
	case $family in
	debian) [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ] ;;
	fedora) rpm -q --quiet --whatprovides "$1" 2>/dev/null ;;
	esac
}

# Prints those of the needs in $@ that are not there, as package names.
missing_of()
{
	for need; do
		package=${need%%:*}
		case $need in
		*:*) command -v "${need#*:}" >/dev/null 2>&1 || echo "$package" ;;
		*) have_package "$package" || echo "$package" ;;
		esac
	done
}

find_family()
{
	if command -v apt-get >/dev/null 2>&1; then
		family=debian
		build_needs=$debian_build
		check_needs=$debian_check
	elif command -v dnf >/dev/null 2>&1; then
		family=fedora
		build_needs=$fedora_build
		check_needs=$fedora_check
	else
		die "this is neither Debian nor Fedora or RHEL: install what ./configure names, then make"
	fi
}

# Some of the libraries' headers are in repositories that RHEL and its kin know but do not switch on.
enable_rhel_repositories()
{
	# shellcheck disable=SC1091 # the system's own file
	id=$(. /etc/os-release && echo "$ID")
	[ "$id" != fedora ] || return 0
	say "switching on the repositories CRB and EPEL, where several of the libraries are"
	as_root dnf -y install dnf-plugins-core || true
	as_root dnf config-manager --set-enabled crb || true
	as_root dnf -y install epel-release || true
}

install_needs()
{
	# shellcheck disable=SC2086 # a list of words
	missing=$(missing_of $1)
	if [ -z "$missing" ]; then
		say "nothing to install: all packages that are needed are there"
		return
	fi
	# shellcheck disable=SC2086
	say "installing:" $missing
	# shellcheck disable=SC2086
	case $family in
	debian)
		as_root env DEBIAN_FRONTEND=noninteractive apt-get -q update
		as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install $missing
		;;
	fedora)
		enable_rhel_repositories
		as_root dnf -y --setopt=install_weak_deps=False install $missing
		;;
	esac || die "the installation failed: see above"
}

# The npm package that the scenarios use as a client and as a backend, as its lock file says.
install_node_modules()
{
	[ -f tests/scenario/package-lock.json ] || return 0
	# npm writes this file when it is done
	if [ -e tests/scenario/node_modules/.package-lock.json ] &&
	    [ -z "$(find tests/scenario/package-lock.json -newer tests/scenario/node_modules/.package-lock.json)" ]; then
		return 0
	fi
	say "installing the npm packages of tests/scenario/package-lock.json"
	(cd tests/scenario && npm ci --no-audit --no-fund --ignore-scripts) || die "npm ci failed: see above"
}

build()
{
	# a configure from before the libraries were there has nothing to say any more
	if [ -n "${missing:-}" ]; then
		rm -f config.mk config.status
	fi
	make -j "$(nproc 2>/dev/null || echo 1)" "$@"
}

case ${1-} in
run)
	[ $# -eq 1 ] || { usage >&2; exit 64; }
	find_family
	install_needs "$build_needs"
	build all
	exec sh packaging/demo.sh "${PORT:-8080}"
	;;
check)
	[ $# -eq 1 ] || { usage >&2; exit 64; }
	find_family
	install_needs "$build_needs $check_needs"
	install_node_modules
	# make check in two steps, so that the counts are the last line also when a test fails
	build check-build
	exec tests/run-all
	;;
help|-h|--help)
	usage
	;;
*)
	usage >&2
	exit 64
	;;
esac
