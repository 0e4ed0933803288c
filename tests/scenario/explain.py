"""--explain: which listener, route, policy and backend would serve a request, or why it is refused.

The result that it tells is the one that the daemon gives.
"""

import re

from harness import contains, equal
from wire import Listener, answer_101, connect, handshake_head, request_head

HOST = "app.example.com"


def ini(t, backend):
    folder = t.tmp / "files"
    folder.mkdir(exist_ok=True)
    (folder / "a.txt").write_text("a")
    return f"""
[listen main]
Address=127.0.0.1:0
ConnectionRate=1000
[listen public]
Address=unix:{t.tmp}/public.sock
[websocket]
MessageRate=50
[route chat]
Host={HOST}
Path=/chat
Action=forward
Backend=app
AllowedOrigins=https://{HOST}
RequireOrigin=with-cookie
ByteRate=64K
RateAction=close
[route pages]
Host={HOST}
Path=/pages/*
Action=proxy
Backend=app
[route echo]
Path=/echo
Action=echo
MessageRate=0
[route files]
Path=/files/*
Action=static
DocumentRoot={folder}
[backend app]
Address={backend.address}
"""


def explained(t, ini, *args):
    """What it says, as {key: value}; several listeners are one value each line."""
    done = t.call("--explain", *args, ini=ini)
    equal((done.returncode, done.stderr), (0, ""))
    found = {}
    for line in done.stdout.splitlines():
        key, _, value = line.partition(": ")
        found[key] = found[key] + "\n" + value if key in found else value
    return found


def test_explain_names_listener_route_policy_and_backend(t):
    backend = Listener(t)
    text = ini(t, backend)
    path = f"{t.tmp}/called.ini"
    number = {}
    for i, line in enumerate(text.split("\n"), 1):
        if line.startswith("["):
            number[line.strip("[]")] = i
    got = explained(t, text, f"GET ws://{HOST}/chat", f"https://{HOST}")
    equal(got["listener"], f"public ({path}:{number['listen public']}) unix:{t.tmp}/public.sock")
    equal(got["route"], f"chat ({path}:{number['route chat']}) Host={HOST} Path=/chat")
    equal((got["action"], got["origin"], got["result"]), ("forward", "allowed", "served"))
    equal(got["backend"], f"app ({path}:{number['backend app']}) {backend.address}")
    equal(got["limits"], "MessageRate=50 ByteRate=65536: past it the client is closed with 1008")
    got = explained(t, text, f"GET ws://{HOST}:0/echo")
    contains(got["listener"].split("\n")[0], "main (", "127.0.0.1:0 ConnectionRate=1000")
    assert "limits" not in got and "backend" not in got, got
    got = explained(t, text, f"GET wss://{HOST}/chat")
    contains(got["listener"], "none speaks TLS on port 443")
    contains(got["origin"], "without a Cookie")
    got = explained(t, text, "GET http://other.example/files/a.txt")
    equal((got["document root"], got["result"]), (f"{t.tmp}/files", "served"))


def test_explain_tells_what_the_daemon_does(t):
    backend = Listener(t)
    text = ini(t, backend)
    daemon = t.daemon(text)

    def asked(method, scheme, host, path, origin):
        """The status that the daemon gives."""
        conn = connect(t, daemon.port("main"))
        fields = [("Origin", origin)] if origin else []
        if scheme == "ws":
            head = handshake_head(path, fields, host).replace(b"GET", method.encode(), 1)
        else:
            # the target of CONNECT is an authority (RFC 9112, 3.2.3)
            head = request_head(method, f"{host}:80" if method == "CONNECT" else path, fields, host)
        conn.send(head)
        if host == HOST and path.startswith(("/chat", "/pages")):
            served = explained(t, text, f"{method} {scheme}://{host}{path}", *([origin] if origin else []))
            if served["result"] == "served":
                peer = backend.accept()
                peer.request_head = peer.read_head()
                if scheme == "ws":
                    answer_101(peer)
                else:
                    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        response = conn.read_response(head_only=method == "HEAD")
        conn.close()
        return response.status

    for method, scheme, host, path, origin in (
        ("GET", "ws", HOST, "/chat", f"https://{HOST}"),
        ("GET", "ws", HOST, "/chat", "https://evil.example"),
        ("GET", "ws", HOST, "/chat", None),
        ("POST", "ws", HOST, "/chat", f"https://{HOST}"),
        ("GET", "http", HOST, "/chat", None),
        ("CONNECT", "http", HOST, "/pages/x", None),
        ("CONNECT", "http", "other.example", "/chat", None),
        ("GET", "http", HOST, "/pages/x", None),
        ("GET", "ws", HOST, "/pages/x", None),
        ("GET", "ws", "other.example", "/chat", None),
        ("GET", "ws", "other.example", "/echo", "https://any.example"),
        ("GET", "http", "other.example", "/echo", None),
        ("GET", "http", "other.example", "/files/a.txt", None),
        ("HEAD", "http", "other.example", "/files/a.txt", None),
        ("POST", "http", "other.example", "/files/a.txt", None),
    ):
        got = explained(t, text, f"{method} {scheme}://{host}{path}", *([origin] if origin else []))
        said = re.match(r"refused with (\d+)", got["result"])
        wanted = int(said[1]) if said else 101 if scheme == "ws" else 200
        equal(asked(method, scheme, host, path, origin), wanted, f"{method} {scheme}://{host}{path} {origin}: {got}")


def test_explain_of_an_ordinary_request_tells_of_the_handshake_too(t):
    text = ini(t, Listener(t))
    got = explained(t, text, f"GET https://{HOST}/chat", f"https://{HOST}")
    contains(got["result"], "refused with 426")
    equal(got["as a WebSocket"], "served")
    got = explained(t, text, f"GET https://{HOST}/chat", "https://evil.example")
    equal(got["as a WebSocket"], "refused with 403")
    got = explained(t, text, f"GET https://{HOST}/pages/x")
    equal((got["result"], got["as a WebSocket"]), ("served", "served"))
    got = explained(t, text, "GET wss://other.example/files/a.txt")
    contains(got["result"], "no WebSocket is served")
    assert "as a WebSocket" not in explained(t, text, "GET https://other.example/files/a.txt")


def test_explain_takes_the_handshake_of_http2(t):
    text = ini(t, Listener(t))
    equal(explained(t, text, "CONNECT wss://other.example/echo")["result"], "served")
    got = explained(t, text, f"CONNECT wss://{HOST}/chat", "https://evil.example")
    equal(got["result"], "refused with 403")


def test_explain_refuses_what_is_no_request(t):
    text = ini(t, Listener(t))
    for bad in ("", "GET", "GET /chat", "https://x/", "GET ftp://x/", "G(T http://x/", "GET http://x:99999/", "GET http://a b/"):
        done = t.call("--explain", bad, ini=text)
        equal(done.returncode, 64, bad)
        contains(done.stderr, "--explain")
    equal(t.call("--explain", "GET ws://x/", ini="[nonsense]\n").returncode, 78)
