"""Running wsdial: to its end, beside a test, or at a terminal."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import peers
from harness import FACTOR, SANITIZER_REPORT, equal
from wire import Listener, answer_101

RUN_S = 30
ECHO = "[listen main]\nAddress=127.0.0.1:0\n[route ws]\nPath=/ws\nAction=echo\n"


def program(t):
    path = t.program.parent / "wsdial"
    assert os.access(path, os.X_OK), f"{path} is not built"
    return str(path)


def environment(**more):
    return {**os.environ, "LC_ALL": "C.UTF-8", "TERM": "xterm", **more}


def echo_url(t, ini=ECHO, path="/ws"):
    return f"ws://127.0.0.1:{t.daemon(ini).port('main')}{path}"


def python_url(t, handler=peers.echo, **options):
    return f"ws://{peers.PythonServer(t, handler, 'tcp', **options).address}/"


def node_url(t, **options):
    return f"ws://{peers.node_server(t, **options)[0]}/some/path?a=b"


class Done:
    """How a run ended: .status, .out and .err (bytes, and text)."""

    def __init__(self, status, out, err):
        self.status = status
        self.out = out
        self.err = err.decode(errors="replace")
        assert not SANITIZER_REPORT.search(self.err), self.err

    def expect(self, status, out=None, err=None):
        equal(self.status, status, f"exit status ({self.err})")
        if out is not None:
            equal(self.out, out.encode() if isinstance(out, str) else out)
        if err is not None:
            assert re.search(err, self.err), f"{err!r} is not in {self.err!r}"
        return self


def dial(t, *args, stdin=b"", timeout=RUN_S):
    """Runs wsdial to its end. stdin is bytes, text, an open file, or None for none that can be read."""
    options = {"input": stdin.encode() if isinstance(stdin, str) else stdin}
    if hasattr(stdin, "fileno"):
        options = {"stdin": stdin}
    done = subprocess.run(
        [program(t), *map(str, args)],
        capture_output=True,
        timeout=timeout * FACTOR,
        env=environment(),
        cwd=t.tmp,
        check=False,
        **options,
    )
    return Done(done.returncode, done.stdout, done.stderr)


class Running:
    """A wsdial that runs beside the test, with pipes."""

    def __init__(self, t, *args):
        self._process = t.spawn(
            [program(t), *map(str, args)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
            cwd=t.tmp,
        )
        self.pid = self._process.pid

    def type(self, data):
        self._process.stdin.write(data.encode() if isinstance(data, str) else data)
        self._process.stdin.flush()

    def type_as_far_as_possible(self, data):
        """Types it again and again, until for a while nothing more is taken; how many bytes went."""
        fd = self._process.stdin.fileno()
        os.set_blocking(fd, False)
        sent = 0
        while select.select([], [fd], [], 1)[1]:
            sent += os.write(fd, data)
        os.set_blocking(fd, True)
        return sent

    def eof(self):
        self._process.stdin.close()
        self._process.stdin = None

    def line(self):
        return peers.read_line(self._process)

    def close_output(self):
        self._process.stdout.close()

    def signal(self, number):
        self._process.send_signal(number)

    def end(self, timeout=RUN_S):
        """Waits until it has ended; what it wrote that was not read."""
        process = self._process
        if process.stdout.closed:
            process.stdout = None
        stdin, process.stdin = process.stdin, None  # it stays open
        out, err = process.communicate(timeout=timeout * FACTOR)
        if stdin:
            stdin.close()
        return Done(process.returncode, out or b"", err)


def served(t, *args, fields=(), **answer):
    """A wsdial whose server the test is: returns both, after the handshake."""
    listener = Listener(t)
    running = Running(t, *args, f"ws://{listener.address}/ws")
    server = listener.accept_request()
    answer_101(server, fields, **answer)
    return running, server


class Terminal:
    """A wsdial at a terminal of its own, with what is on its screen."""

    def __init__(self, t, *args, columns=80, term="xterm"):
        self.columns = columns
        pid, self.fd = pty.fork()
        if pid == 0:
            try:
                os.chdir(t.tmp)
                os.execve(program(t), [program(t), *map(str, args)], environment(TERM=term))
            finally:
                os._exit(127)
        self.pid = pid
        self.raw = b""
        self.ended = None
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        t.at_end(self.kill)

    def kill(self):
        if self.ended is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.ended = "killed"
            os.close(self.fd)

    def type(self, data):
        os.write(self.fd, data.encode() if isinstance(data, str) else data)

    def fill(self, seconds):
        if not select.select([self.fd], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # EIO: the other side is closed
            return False
        self.raw += data
        return bool(data)

    @property
    def screen(self):
        """The rows as a person sees them: carriage returns and the erasing of a row's end are done."""
        rows, at = [""], 0
        for part in re.split(r"(\r|\n|\033\[K|\a)", self.raw.decode(errors="replace")):
            if part == "\r":
                at = 0
            elif part == "\n":
                rows.append("")
                at = 0
            elif part == "\033[K":
                rows[-1] = rows[-1][:at]
            elif part != "\a":
                rows[-1] = rows[-1][:at] + part + rows[-1][at + len(part) :]
                at += len(part)
        return rows

    def expect(self, *rows, timeout=10):
        """Waits until the screen ends with these rows."""
        end = time.monotonic() + timeout * FACTOR
        while self.screen[-len(rows) :] != list(rows):
            left = end - time.monotonic()
            if left <= 0 or not self.fill(left):
                raise AssertionError(f"the screen is {self.screen}, and does not end with {list(rows)}")
        return self

    def settings(self):
        return termios.tcgetattr(self.fd)[3] & (termios.ECHO | termios.ICANON | termios.IEXTEN | termios.ISIG)

    def end(self, timeout=RUN_S):
        """Waits until it has ended; the exit status, negative after a signal."""
        limit = time.monotonic() + timeout * FACTOR
        while time.monotonic() < limit:
            self.fill(0.02)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                while self.fill(0):
                    pass
                self.ended = os.waitstatus_to_exitcode(status)
                said = self.raw.decode(errors="replace")
                assert not SANITIZER_REPORT.search(said), said
                return self.ended
        raise AssertionError(f"wsdial did not end; the screen is {self.screen}")


def node_h2_server(t, certificate="plain", key="-", option="-"):
    """Starts node_h2_server.js; returns its port."""
    peers.need_node(t)
    process = t.spawn(["node", peers.HERE / "node_h2_server.js", certificate, key, option], stdout=subprocess.PIPE)
    return int(peers.read_line(process))
