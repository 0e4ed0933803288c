"""Several gateways behind a balancer: one of them drains, and its clients move."""

import contextlib
import signal
import threading
import time

from harness import equal, limit, waits
from wire import CLOSE, TEXT, WebSocket, check_101, connect, handshake_head

GATEWAY = """
[server]
DrainTimeout={drain}s
[listen main]
Address=127.0.0.1:0
ProxyProtocol=yes
[route ws]
Path=/ws
Action=echo
"""

# as docs/scaling.md has it, with shorter times
HAPROXY = """
defaults
 mode tcp
 option redispatch 1
 retries 3
 timeout connect 5s
 timeout client 30s
 timeout server 30s
 timeout tunnel 1h
listen websockets
 bind unix@{front}
 balance leastconn
 default-server check inter 200ms fall 2 rise 2 check-send-proxy send-proxy-v2
 server one 127.0.0.1:{one}
 server two 127.0.0.1:{two}
"""

DRAIN_S = 8


class Client(threading.Thread):
    """Talks all the time, and comes back as soon as it is closed."""

    def __init__(self, t, where):
        super().__init__(daemon=True)
        self.t, self.where = t, where
        self.over = threading.Event()
        self.moved, self.echoed, self.error = [], 0, None

    def open(self):
        ws = connect(self.t, self.where, kind=WebSocket)
        ws.send(handshake_head())
        check_101(ws.read_response())
        return ws

    def run(self):
        ws = None
        try:
            while not self.over.is_set():
                ws = ws or self.open()
                ws.text(f"message {self.echoed}")
                got = ws.recv_frame()
                if got.opcode == CLOSE:
                    equal(got.code, 1001)
                    ws.send_as_far_as_possible(ws.frame(CLOSE, got.payload))
                    ws.close()
                    self.moved.append(time.monotonic())
                    ws = None
                    continue
                equal((got.opcode, got.payload), (TEXT, f"message {self.echoed}".encode()))
                self.echoed += 1
                self.over.wait(0.05)
            ws.finish()
        except BaseException as error:
            self.error = error


@waits
@limit(120)
def test_scaling_haproxy_moves_the_websockets_of_a_gateway_that_drains(t):
    t.need("haproxy")
    gateways = {name: t.daemon(GATEWAY.format(drain=DRAIN_S), access=True) for name in ("one", "two")}
    front = t.tmp / "front.sock"
    config = t.tmp / "haproxy.cfg"
    config.write_text(HAPROXY.format(front=front, one=gateways["one"].port("main"), two=gateways["two"].port("main")))
    t.spawn(["haproxy", "-f", config])

    def up():
        with contextlib.suppress(OSError, AssertionError):
            Client(t, front).open().finish()
            return True

    t.wait(up, what="HAProxy")
    clients = [Client(t, front) for _ in range(60)]
    for client in clients:
        client.start()
    t.wait(lambda: all(c.echoed > 2 or c.error for c in clients), timeout=30, what="all clients talk")

    # others come and go all the while
    visits, trouble, over = [0], [], threading.Event()

    def visit():
        try:
            while not over.is_set():
                Client(t, front).open().finish()
                visits[0] += 1
        except BaseException as error:
            trouble.append(error)

    visitor = threading.Thread(target=visit, daemon=True)
    visitor.start()
    t.wait(lambda: visits[0] > 10 or trouble, what="visits")

    # one drains: nobody is refused, and who has to move does so one after the other
    began = time.monotonic()
    gateways["one"].signal(signal.SIGTERM)
    equal(gateways["one"].wait_end(DRAIN_S * 3), 0)
    seen = visits[0]
    t.wait(lambda: visits[0] > seen + 10 or trouble, what="visits after the drain")
    talked = [c.echoed for c in clients]
    t.wait(lambda: all(c.echoed > n or c.error for c, n in zip(clients, talked)), timeout=30, what="all talk again")
    over.set()
    for client in clients:
        client.over.set()
    for thread in [visitor, *clients]:
        thread.join(30)
    for error in [*trouble, *(c.error for c in clients if c.error)]:
        raise error
    moves = sorted(at - began for c in clients for at in c.moved)
    assert 20 <= len(moves) <= 40, moves  # half of them were there
    assert all(len(c.moved) <= 1 for c in clients), "a client was closed twice"
    spread = DRAIN_S * 0.75
    bins = [0] * 4
    for at in moves:
        bins[min(3, int(at / spread * 4))] += 1
    assert max(bins[:3]) <= len(moves) * 0.6 and min(bins) >= 1, f"a wave: {bins} of {moves}"
    equal({line["close_code"] for line in gateways["one"].access() if line["bytes_in"]}, {1001})
