#!/bin/sh
# Start the gateway with conf/demo.ini on 127.0.0.1, in the foreground: demo.sh [PORT]
#
# `make run` and `packaging/bootstrap.sh run` end here. The daemon replaces this shell, so that signals and Ctrl-C reach it; a
# process beside it waits until the port answers and then prints the URL of the demo page.
set -u
cd "$(dirname "$0")/.." || exit 1

port=${1:-8080}
daemon=${WSRELAYD:-build/wsrelayd}

case $port in
*[!0-9]*|??????*) bad=yes ;;
*) if [ "$port" -ge 1 ] && [ "$port" -le 65535 ]; then bad=; else bad=yes; fi ;;
esac
if [ -n "$bad" ]; then
	echo "PORT=$port is not a port: 1 to 65535 is expected, as in PORT=9000" >&2
	exit 64
fi

# Is there a listening socket that serves 127.0.0.1:$1, or that stands in its way? The kernel's tables say so without a
# connection: addresses in hexadecimal, in the host's byte order; state 0A is LISTEN.
any4=00000000
any6=$any4$any4$any4$any4
loopback='(0100007F|7F000001)'
mapped="$any4$any4(FFFF0000|0000FFFF)$loopback"
listening()
{
	cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
		grep -qE "^ *[0-9]+: ($any4|$any6|$loopback|$mapped):$(printf '%04X' "$1") [0-9A-F]+:0000 0A "
}

if listening "$port"; then
	cat >&2 <<END
wsrelayd: port $port on 127.0.0.1 is taken by another program. Choose another one:

    PORT=9000 sh packaging/bootstrap.sh run      or, when it is built already:      make run PORT=9000

END
	exit 71
fi

# The watcher is nobody's child: the daemon will not find a process that it never started.
self=$$
(
	(
		tries=0
		while [ $tries -lt 100 ] && kill -0 $self 2>/dev/null; do
			if listening "$port"; then
				printf '\n    wsrelayd is up. Open the demo page:   http://127.0.0.1:%s/\n    Ctrl-C ends it.\n\n' "$port"
				exit 0
			fi
			sleep 0.1
			tries=$((tries + 1))
		done
	) &
)

exec "$daemon" -c conf/demo.ini --set "listen.demo.Address=127.0.0.1:$port"
