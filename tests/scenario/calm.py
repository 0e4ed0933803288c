"""What a burst has taken of memory goes back to the kernel once it is calm."""

import json

from dialer import ECHO, Running
from harness import flavours, limit, wait
from reload import anonymous_kib
from tls import Authority


@flavours("plain")
@limit(120)
def test_calm_gives_back_what_a_burst_took(t):
    ca = Authority(t)
    pem, key = ca.issue("localhost")
    ini = ECHO.replace(":0\n", f":0\nTLS=yes\nCertificate={pem}\nCertificateKey={key}\n") + "[server]\nWorkers=1\n"
    daemon = t.daemon(ini)
    url = f"wss://localhost:{daemon.port('main')}/ws"
    running = Running(t, "-b", "--load", "5,0,0", "--streams", 100, "--on-input", "--json", "--cacert", ca.pem, url)
    assert running.line() == "READY"
    running.type("1,1K,60s,1\n")
    assert json.loads(running.line())["messages"] == 500
    before = anonymous_kib(daemon.pid)
    running.type("1,64K,60s,8\n")
    assert json.loads(running.line())["messages"] == 4000
    # up to 32 MiB are on their way at once
    wait(lambda: anonymous_kib(daemon.pid) < before + 600, 30, "less memory")
    running.eof()
    running.end().expect(0)


@flavours("plain")
@limit(120)
def test_calm_gives_back_what_connections_took(t):
    daemon = t.daemon(ECHO + "[server]\nWorkers=1\n")

    def come_and_go(n):
        running = Running(t, "-b", "--load", f"{n},0,0", "--on-input", "--json", f"ws://127.0.0.1:{daemon.port('main')}/ws")
        assert running.line() == "READY"
        opened = anonymous_kib(daemon.pid)
        running.eof()
        running.end().expect(0)
        return opened

    come_and_go(10)
    before = anonymous_kib(daemon.pid)
    opened = come_and_go(4000)
    # the heap keeps what it took for handshakes, as nothing large was in it
    wait(lambda: anonymous_kib(daemon.pid) < before + (opened - before) / 3, 30, "less memory")
