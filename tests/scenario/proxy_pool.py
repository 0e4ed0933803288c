"""Action=proxy: kept connections, MaxConnections, Max-Forwards, and applications that end and come back under load."""

import collections
import socket
import subprocess
import threading
import time

import peers
from harness import contains, equal, in_threads, limit, tag, wait
from proxy import Front, begun, fronts, ini, node_app
from wire import Listener, WebSocket, answer_101, connect, handshake_head, request_head

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Slow(Listener):
    """Answers each request of each connection after a moment, and counts what is open."""

    def __init__(self, t):
        super().__init__(t, "unix")
        self.open = self.most = self.total = 0
        self.lock = threading.Lock()
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                sock, _ = self.sock.accept()
            except OSError:
                return
            with self.lock:
                self.open += 1
                self.total += 1
                self.most = max(self.most, self.open)
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        sock.settimeout(None)
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                try:
                    more = sock.recv(65536)
                except OSError:
                    more = b""
                if not more:
                    # before anybody can connect in its place
                    with self.lock:
                        self.open -= 1
                    sock.close()
                    return
                data += more
            head, _, data = data.partition(b"\r\n\r\n")
            time.sleep(0.002)
            try:
                if b"Sec-WebSocket-Key" in head:
                    ws = WebSocket(sock, client=False)
                    ws.request_head = type("H", (), {"get": staticmethod(lambda name, head=head: next(
                        line.split(": ", 1)[1] for line in head.decode().split("\r\n") if line.startswith(name)))})
                    answer_101(ws)
                else:
                    sock.sendall(OK)
            except OSError:
                pass


class AllAtOnce(Slow):
    """Answers when all of so many requests are there."""

    def __init__(self, t, n):
        self.all = threading.Barrier(n)
        super().__init__(t)

    def serve(self, sock):
        sock.settimeout(None)
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                more = sock.recv(65536)
                if not more:
                    sock.close()
                    return
                data += more
            data = b""
            self.all.wait(60)
            sock.sendall(OK.replace(b"\r\n\r\n", b"\r\nKeep-Alive: timeout=60\r\n\r\n", 1))


def test_pool_keeps_what_many_clients_need_at_once(t):
    n = 150
    backend = AllAtOnce(t, n)
    daemon = t.daemon(ini(backend.address, server="Workers=1"))
    port = daemon.port("main")
    clients = [connect(t, port) for _ in range(n)]
    for _ in range(4):
        for client in clients:
            client.send(request_head(target="/"))
        for client in clients:
            equal(client.read_response().body, b"ok")
    equal(backend.total, n)


def test_pool_counts_in_max_connections(t):
    backend = Slow(t)
    daemon = t.daemon(ini(backend.address, backend="MaxConnections=3", server="Workers=1"))
    port = daemon.port("main")

    def client():
        front = Front(t, port, False)
        for _ in range(30):
            assert front.ask().status in (200, 503)

    in_threads(*[client] * 8)
    equal(backend.most <= 3, True, f"{backend.most} connections at once")
    wait(lambda: backend.open >= 1)
    # WebSockets have the places of those that only wait
    for _ in range(3):
        ws = connect(t, port, kind=WebSocket)
        ws.send(handshake_head("/ws"))
        equal(ws.read_response().status, 101)
    wait(lambda: backend.open == 3, what="the kept ones gave way")
    equal(connect(t, port).request("GET", "/").status, 503)


@tag("tsan")
def test_pool_of_one_worker_gives_way_to_another(t):
    backend = Slow(t)
    daemon = t.daemon(ini(backend.address, backend="MaxConnections=4", server="Workers=4"))
    port = daemon.port("main")
    for round in range(4):
        pages = [Front(t, port, False) for _ in range(8)]  # two for each worker
        in_threads(*(lambda front=front: [front.ask() for _ in range(5)] for front in pages))
        wait(lambda: backend.open >= 1)
        began = time.monotonic()
        sockets = []
        for _ in range(4):
            sockets.append(ws := connect(t, port, kind=WebSocket))
            ws.send(handshake_head("/ws"))
            equal(ws.read_response().status, 101)
        wait(lambda: backend.open == 4, what="what waits in other workers gives way")
        assert time.monotonic() - began < 3.5 * t.factor, "they ended because they had waited long enough"
        for ws in sockets:
            ws.abort()
        for front in pages:
            front.conn.close()
        wait(lambda: backend.open == 0)


def test_pool_keeps_as_long_as_the_backend_says(t):
    listener = Listener(t, "unix")
    daemon = t.daemon(ini(listener.address, server="Workers=1"))
    for said, least, most in (("timeout=1", 0.6, 3), ("timeout=0", 0, 0.5), ("max=100, timeout=60", 6, None)):
        client, backend = begun(t, listener, daemon)
        backend.send(OK.replace(b"\r\n\r\n", f"\r\nKeep-Alive: {said}\r\n\r\n".encode()))
        equal(client.read_response().get("Keep-Alive"), None)
        began = time.monotonic()
        if most is None:
            backend.expect_silence(least)
            client.send(request_head("GET", "/again"))
            contains(backend.read_head().line, "/again")
        else:
            backend.expect_end()
            assert least <= time.monotonic() - began, said
            assert time.monotonic() - began < most * t.factor + 1, said


def test_pool_max_forwards(t):
    address, _ = node_app(t)
    daemon = t.daemon(ini(address), access=True)
    for front in fronts(t, daemon):
        for method in ("OPTIONS", "TRACE"):
            answer = front.ask(method, "/x", [("Max-Forwards", "0"), ("X-Secret", "s3cret")])
            equal(answer.status, 200 if method == "OPTIONS" else 501)
            assert b"s3cret" not in answer.body
            line = daemon.access()[0]
            equal((line["status"], line["backend"], line["reason"]), (answer.status, None, "Max-Forwards is 0"))
        for method, came, goes in (("OPTIONS", "1", "0"), ("OPTIONS", "10", "9"), ("OPTIONS", "x", "x"), ("GET", "0", "0")):
            found = front.ask(method, "/x", [("Max-Forwards", came), ("Via", "1.0 fred")]).body
            contains(bytes(found), f'"max-forwards":"{goes}"'.encode(), b'"via":"1.0 fred"')
            daemon.access()


@limit(120)
@tag("tsan")
def test_pool_backends_that_end_and_come_back_under_load(t):
    """Two applications are killed and started again in turns: no request that can be tried elsewhere is lost."""
    peers.need_node(t)
    paths = [t.tmp / "a.sock", t.tmp / "b.sock"]
    apps = {}

    def start(path):
        path.unlink(missing_ok=True)
        apps[path] = t.spawn(["node", peers.HERE / "node_app.js", path], stdout=subprocess.PIPE)
        peers.read_line(apps[path])

    for path in paths:
        start(path)
    daemon = t.daemon(ini(" ".join(f"unix:{path}" for path in paths), backend="FailTimeout=100ms\nMaxFails=1"))
    port = daemon.port("main")
    over = threading.Event()
    seen = collections.Counter()

    def client(http2, method):
        front = Front(t, port, http2)
        while not over.is_set():
            body = b"x" * 1000 if method == "POST" else None
            try:
                status = front.ask(method, "/", body=body).status
            except AssertionError:  # the response was cut short: it had begun
                seen["cut"] += 1
                front = Front(t, port, http2)
                continue
            seen[method, status] += 1

    def killer():
        for round in range(6):
            path = paths[round % 2]
            had = sum(seen.values())
            wait(lambda had=had: sum(seen.values()) > had + 50, what="requests go on")
            apps[path].kill()
            apps[path].wait()
            had = sum(seen.values())
            wait(lambda had=had: sum(seen.values()) > had + 50, what="requests go on with the other one")
            start(path)
        over.set()

    def checked_killer():
        try:
            killer()
        finally:
            over.set()

    in_threads(checked_killer, *(lambda h=h, m=m: client(h, m) for h in (False, True) for m in ("GET", "GET", "POST")))
    # what may be asked twice is answered, whatever happened to its first try
    equal({key: n for key, n in seen.items() if key != "cut" and key[0] == "GET" and key[1] != 200}, {}, str(seen))
    assert seen["GET", 200] > 300 and seen["POST", 200] > 100, seen
    # a POST whose application was killed may have been done: 502, once for each kill and connection at most
    assert sum(n for key, n in seen.items() if key == "cut" or key[1] != 200) <= 6 * 2 * 3, seen


def test_pool_a_backend_that_restarts_loses_no_request(t):
    """One address: what comes while nobody listens is refused at once, what comes after is served."""
    path = t.tmp / "app.sock"

    def serve(stop):
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(path))
            sock.listen(64)
            sock.settimeout(0.05)
            open_ones = []
            while not stop.is_set():
                try:
                    peer, _ = sock.accept()
                except TimeoutError:
                    continue
                open_ones.append(peer)
                threading.Thread(target=answer, args=(peer,), daemon=True).start()
            path.unlink()
            for peer in open_ones:  # as a process does that ends: what came is answered, idle ones are closed
                with peer:
                    peer.shutdown(socket.SHUT_RDWR)

    def answer(peer):
        data = b""
        while True:
            try:
                data += (more := peer.recv(65536))
                if not more:
                    return
                while b"\r\n\r\n" in data:
                    _, _, data = data.partition(b"\r\n\r\n")
                    peer.sendall(OK)
            except OSError:
                return

    stop = threading.Event()
    thread = threading.Thread(target=serve, args=(stop,), daemon=True)
    thread.start()
    wait(path.exists)
    daemon = t.daemon(ini(f"unix:{path}", backend="FailTimeout=100ms"))
    for _ in range(5):
        front, second = fronts(t, daemon)
        equal(front.ask().status, 200)
        equal(second.ask().status, 200)
        stop.set()
        thread.join()
        began = time.monotonic()
        equal((front.ask().status, second.ask().status), (502, 502))
        assert time.monotonic() - began < 2 * t.factor, "the refusal took long"
        stop = threading.Event()
        thread = threading.Thread(target=serve, args=(stop,), daemon=True)
        thread.start()
        wait(path.exists)
        wait(lambda f=front: f.ask().status == 200, what="the application is found again")
        equal(second.ask().status, 200)
    stop.set()
    thread.join()
