"""Real WebSocket software to talk to: Debian's python3-websockets (10 to 15 and later) and npm's ws."""

import asyncio
import contextlib
import fcntl
import inspect
import json
import os
import pathlib
import select
import shutil
import socket
import subprocess
import threading
import time

from harness import FACTOR

HERE = pathlib.Path(__file__).resolve().parent
READY_S = 20
NPM_S = 120
TALK_S = 30

try:
    import websockets
except ImportError:
    websockets = None


def need_websockets(t):
    if websockets is None:
        t.skip("python3-websockets is not installed")


# ---- python3-websockets


def _keywords(function, headers, options):
    """Says the options in the words of the version that is installed."""
    names = inspect.signature(function.__init__ if inspect.isclass(function) else function).parameters
    if headers:
        options["additional_headers" if "additional_headers" in names else "extra_headers"] = headers
    if "proxy" in names:  # since 15: not what the environment says
        options.setdefault("proxy", None)
    options.setdefault("ping_interval", None)
    options.setdefault("open_timeout", TALK_S * FACTOR)
    return options


def connect(url, headers=None, unix=None, **options):
    """`async with connect(...) as ws`, over TCP or the Unix socket at a path."""
    options = _keywords(websockets.connect, headers, options)
    if unix is not None:
        options.pop("proxy", None)
        return websockets.unix_connect(str(unix), url, **options)
    return websockets.connect(url, **options)


def refusal_status(error):
    """The HTTP status in the exception of a refused handshake."""
    return error.response.status_code if hasattr(error, "response") else error.status_code


def close_of(ws):
    """(code, reason) with which a connection was closed."""
    return ws.close_code, ws.close_reason


def talk(coroutine):
    """Runs a client to its end, with a deadline."""

    async def bounded():
        return await asyncio.wait_for(coroutine, TALK_S * FACTOR)

    return asyncio.run(bounded())


async def echo(ws):
    async for message in ws:
        await ws.send(message)


class PythonServer:
    """A server of python3-websockets in a thread of the test's process. kind is tcp, unix or abstract."""

    def __init__(self, t, handler=echo, kind="unix", **options):
        need_websockets(t)
        if kind == "tcp":
            self._sock = socket.socket()
            self._sock.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{self._sock.getsockname()[1]}"
        else:
            self._sock = socket.socket(socket.AF_UNIX)
            name = f"py-{os.urandom(4).hex()}"
            self.address = f"unix:{t.tmp / name}" if kind == "unix" else f"unix:@wsr-{name}"
            self._sock.bind(str(t.tmp / name) if kind == "unix" else f"\0wsr-{name}")
        self._handler = handler
        self._serve = websockets.serve if kind == "tcp" else websockets.unix_serve
        self._options = options
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(READY_S * FACTOR), "the Python server did not start"
        t.at_end(self.stop, late=True)

    def _run(self):
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._main())

    async def _main(self):
        self._end = asyncio.Event()
        options = {"ping_interval": None, **self._options}
        async with self._serve(self._handler, sock=self._sock, **options):
            self._ready.set()
            await self._end.wait()

    def stop(self):
        if self._thread.is_alive():
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._end.set)
            self._thread.join(10)


# ---- npm's ws


def need_node(t):
    """Has tests/scenario/node_modules, which npm makes by the lock file when it is not there."""
    t.need("node")
    if (HERE / "node_modules/.package-lock.json").exists():
        return
    t.need("npm")
    with open(HERE / "package-lock.json", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another test may be doing it
        if (HERE / "node_modules/.package-lock.json").exists():
            return
        subprocess.run(
            [shutil.which("npm"), "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
            cwd=HERE,
            check=True,
            stdin=subprocess.DEVNULL,
            timeout=NPM_S,
        )


def read_line(process, timeout=READY_S):
    """One line of a helper's standard output."""
    end = time.monotonic() + timeout * FACTOR
    line = b""
    while not line.endswith(b"\n"):
        readable, _, _ = select.select([process.stdout], [], [], max(0, end - time.monotonic()))
        assert readable, f"the helper {process.args} said only {line!r}"
        byte = os.read(process.stdout.fileno(), 1)
        assert byte, f"the helper {process.args} ended"
        line += byte
    return line.decode().strip()


def node_server(t, where="tcp", deflate=False):
    """Starts node_server.js; returns the address that [backend] needs, and the process."""
    need_node(t)
    path = t.tmp / f"node-{os.urandom(4).hex()}.sock"
    argv = ["node", HERE / "node_server.js", "0" if where == "tcp" else path, "deflate" if deflate else "plain"]
    process = t.spawn(argv, stdout=subprocess.PIPE)
    listening = read_line(process)
    return (f"127.0.0.1:{listening}" if where == "tcp" else f"unix:{path}"), process


def node_client(t, url, *protocols):
    """Runs node_client.js against a URL; returns what it found, a dict."""
    need_node(t)
    done = subprocess.run(
        ["node", str(HERE / "node_client.js"), url, *protocols],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=TALK_S * FACTOR,
        check=False,
    )
    assert done.returncode == 0, f"node_client.js failed: {done.stderr.decode(errors='replace')}"
    return json.loads(done.stdout)
