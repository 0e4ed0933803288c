"""nginx and HAProxy as applications' servers behind the gateway, and as proxies in front of it."""

import contextlib
import gzip
import json
import os
import socket

import wire2
from harness import contains, equal, tag
from proxy import fronts, ini, node_app
from tls import Authority
from wire import BINARY, READ_S, TEXT, Conn, WebSocket, check_101, handshake_head, request_head

CLIENT = "127.0.0.2"  # another address of the loopback than the proxies' own
STREAM_MODULES = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/share/nginx/modules")


def listening(t):
    """A listening socket for a server that inherits it, so that nobody else has its port."""
    sock = socket.socket()
    t.at_end(sock.close, late=True)
    sock.bind(("127.0.0.1", 0))
    sock.listen(64)
    sock.set_inheritable(True)
    sock.setblocking(False)
    return sock, sock.getsockname()[1]


def nginx(t, http="", stream="", inherit=None):
    """Starts nginx with these blocks; it takes the socket over by what it has for its own upgrades."""
    t.need("nginx")
    module = ""
    if stream:
        found = [f"{d}/ngx_stream_module.so" for d in STREAM_MODULES if os.path.exists(f"{d}/ngx_stream_module.so")]
        if not found:
            t.skip("nginx's stream module is not installed")
        module = f"load_module {found[0]};"
        stream = f"stream {{ {stream} }}"
    if http:
        temp = "".join(f"{n}_temp_path {t.tmp}/{n};" for n in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        http = f"http {{ access_log off; {temp} {http} }}"
    user = "user root;" if os.geteuid() == 0 else ""
    config = t.tmp / f"nginx-{os.urandom(4).hex()}.conf"
    config.write_text(f"{module} {user} daemon off; worker_processes 1; pid {config}.pid; error_log {config}.log;"
                      f"events {{ worker_connections 256; }} {http} {stream}")
    env = dict(os.environ, NGINX=f"{inherit.fileno()};") if inherit else None
    process = t.spawn(["nginx", "-c", config], env=env, pass_fds=[inherit.fileno()] if inherit else [])

    def end():  # its worker too; a process without one takes no sockets over
        process.terminate()
        process.wait(10 * t.factor)

    t.at_end(end, late=True)


def haproxy(t, config, inherit=None):
    t.need("haproxy")
    path = t.tmp / f"haproxy-{os.urandom(4).hex()}.cfg"
    path.write_text("defaults\n mode http\n timeout connect 10s\n timeout client 60s\n timeout server 60s\n"
                    " timeout tunnel 60s\n" + config)
    t.spawn(["haproxy", "-f", path], pass_fds=[inherit.fileno()] if inherit else [])


def by(t, port, tls=None, kind=Conn):
    """A connection from CLIENT."""
    sock = socket.create_connection(("127.0.0.1", port), READ_S * t.factor, source_address=(CLIENT, 0))
    t.at_end(sock.close)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if tls:
        sock = tls.wrap_socket(sock, server_hostname="localhost", suppress_ragged_eofs=False)
        t.at_end(sock.close)
    return kind(sock)


def handshake(ws):
    ws.send(handshake_head("/ws"))
    check_101(ws.read_response())
    return ws


def talk(ws):
    """With an application that echoes, behind whatever."""
    ws.text("hello")
    ws.expect_message(TEXT, b"hello")
    large = os.urandom(300_000)
    ws.binary(large)
    ws.expect_message(BINARY, large)
    ws.finish(1000)


# ---- behind the gateway


@tag("tsan")
def test_peers_nginx_behind_with_pages_and_websockets(t):
    """Files that nginx has itself, and what it passes on to an application."""
    app, _ = node_app(t)
    root = t.tmp / "root"
    root.mkdir()
    big = os.urandom(1 << 20)
    (root / "big.bin").write_bytes(big)
    (root / "page.html").write_text("<p>page</p>" * 100)
    path = t.tmp / "nginx.sock"
    nginx(t, f"""
        gzip on; gzip_types text/html; gzip_min_length 100;
        map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
        server {{
            listen unix:{path}; root {root};
            location /app/ {{
                proxy_pass http://{app}:/; proxy_http_version 1.1; proxy_set_header Host $host;
                proxy_set_header X-Seen $http_x_forwarded_for; client_max_body_size 0;
            }}
            location /ws {{
                proxy_pass http://{app}:/ws; proxy_http_version 1.1;
                proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;
            }}
        }}""")
    t.wait(path.exists)
    daemon = t.daemon(ini(f"unix:{path}"), access=True)
    for front in fronts(t, daemon):
        answer = front.ask("GET", "/big.bin")
        equal((answer.status, answer.field("content-length"), bytes(answer.body)), (200, str(len(big)), big))
        etag = answer.field("etag")
        equal(front.ask("GET", "/big.bin", [("If-None-Match", etag)]).status, 304)
        answer = front.ask("GET", "/big.bin", [("Range", "bytes=1000-1999")])
        equal((answer.status, answer.field("content-range"), bytes(answer.body)),
              (206, f"bytes 1000-1999/{len(big)}", big[1000:2000]))
        answer = front.ask("HEAD", "/big.bin")
        equal((answer.status, answer.field("content-length"), bytes(answer.body)), (200, str(len(big)), b""))
        answer = front.ask("GET", "/page.html", [("Accept-Encoding", "gzip")])  # chunked, as its length is not known
        equal((answer.field("content-encoding"), gzip.decompress(answer.body)), ("gzip", b"<p>page</p>" * 100))
        equal(front.ask("GET", "/nothing").status, 404)
        for chunked in (False, True):
            found = json.loads(front.ask("POST", "/app/x?y", body=big, chunked=chunked).body)
            equal((found["url"], found["size"], found["headers"]["x-seen"]), ("/x?y", len(big), "127.0.0.1"))
    port = daemon.port("main")
    talk(handshake(by(t, port, kind=WebSocket)))
    talk(wire2.H2(t, port).open_ws("/ws"))
    contains([line["status"] for line in daemon.access(18)], 101)


def test_peers_haproxy_behind_is_told_the_client(t):
    """Pages and WebSockets through HAProxy, which gets the client's address by the PROXY protocol."""
    app, _ = node_app(t)
    for version in ("off", "v1", "v2"):
        path = t.tmp / f"{version}.sock"
        accept = "" if version == "off" else " accept-proxy"
        haproxy(t, f"listen behind\n bind unix@{path}{accept}\n http-request set-header X-Source %[src]\n"
                   f" server app {app.replace('unix:', 'unix@')}\n")
        t.wait(path.exists)
        daemon = t.daemon(ini(f"unix:{path}", backend=f"SendProxyProtocol={version}"))
        port = daemon.port("main")
        client = by(t, port)
        for size in (0, 100_000):
            client.send(request_head("POST", "/x", [("Content-Length", str(size))]) + bytes(size))
            found = json.loads(client.read_response().body)
            equal((found["size"], found["headers"]["x-forwarded-for"]), (size, CLIENT))
            if version != "off":
                equal(found["headers"]["x-source"], CLIENT)
        talk(handshake(by(t, port, kind=WebSocket)))
        talk(wire2.H2(t, port).open_ws("/ws"))


# ---- in front of it


def gateway_for(t, app, listen, keys=""):
    daemon = t.daemon(ini(app, listen=f"{listen}\n{keys}"), access=True)
    return daemon, daemon.port("main")


def secure(t):
    authority = Authority(t)
    pem, key = authority.issue("localhost")
    return authority.context(), f"TLS=yes\nCertificate={pem}\nCertificateKey={key}"


@tag("tsan")
def test_peers_nginx_in_front_with_the_proxy_protocol(t):
    """nginx's stream module passes connections on, TLS too, and says whose they are."""
    app, _ = node_app(t)
    context, keys = secure(t)
    for tls in (None, context):
        daemon, port = gateway_for(t, app, "ProxyProtocol=yes\nTrustedProxies=127.0.0.1", keys if tls else "")
        sock, where = listening(t)
        nginx(t, stream=f"server {{ listen 127.0.0.1:{where}; proxy_pass 127.0.0.1:{port}; proxy_protocol on; }}",
              inherit=sock)
        talk(handshake(by(t, where, tls, WebSocket)))
        client = by(t, where, tls)
        client.send(request_head("POST", "/x", [("Content-Length", "3"), ("X-Forwarded-For", "6.6.6.6")]) + b"abc")
        found = json.loads(client.read_response().body)
        equal((found["size"], found["headers"]["x-real-ip"]), (3, CLIENT))
        equal(found["headers"]["x-forwarded-for"], CLIENT)  # what CLIENT itself said is not believed
        for line in daemon.access(2):
            equal((line["client"], line["tls"] is not None), (CLIENT, tls is not None))
        if tls:
            context.set_alpn_protocols(["h2"])
            with contextlib.ExitStack() as stack:
                stack.callback(setattr, wire2, "open_socket", wire2.open_socket)
                wire2.open_socket = lambda t, at, *_: by(t, at, context).sock
                h2 = wire2.H2(t, where)
                h2.scheme = "https"
                talk(h2.open_ws("/ws"))
            line = daemon.access()[0]
            equal((line["client"], line["http"]), (CLIENT, "2"))


def test_peers_nginx_in_front_over_http(t):
    """As it is configured everywhere: X-Forwarded-For, and upgrades passed on."""
    app, _ = node_app(t)
    daemon, port = gateway_for(t, app, "TrustedProxies=127.0.0.1")
    sock, where = listening(t)
    nginx(t, f"""
        map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
        server {{
            listen 127.0.0.1:{where};
            location / {{
                proxy_pass http://127.0.0.1:{port}; proxy_http_version 1.1; proxy_buffering off;
                proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
                proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;
            }}
        }}""", inherit=sock)
    talk(handshake(by(t, where, kind=WebSocket)))
    client = by(t, where)
    client.send(request_head("POST", "/x", [("Content-Length", "3"), ("X-Forwarded-For", "6.6.6.6")]) + b"abc")
    found = json.loads(client.read_response().body)
    equal((found["size"], found["headers"]["x-real-ip"]), (3, CLIENT))
    equal(found["headers"]["x-forwarded-for"], f"6.6.6.6, {CLIENT}, 127.0.0.1")
    equal([line["client"] for line in daemon.access(2)], [CLIENT, CLIENT])


def test_peers_haproxy_in_front_over_http2(t):
    """A browser's HTTP/1.1 WebSocket becomes an extended CONNECT on HAProxy's way to the gateway, and 1.1 behind."""
    app, _ = node_app(t)
    daemon, port = gateway_for(t, app, "TrustedProxies=127.0.0.1")
    sock, where = listening(t)
    haproxy(t, f"listen front\n bind fd@{sock.fileno()}\n option forwardfor\n"
               f" server gateway 127.0.0.1:{port} proto h2 ws h2\n", sock)
    talk(handshake(by(t, where, kind=WebSocket)))
    client = by(t, where)
    for size in (3, 300_000):
        client.send(request_head("POST", "/x", [("Content-Length", str(size))]) + bytes(size))
        found = json.loads(client.read_response().body)
        equal((found["size"], found["headers"]["x-forwarded-for"]), (size, f"{CLIENT}, 127.0.0.1"))
    client.send(request_head("POST", "/trailers", [("Transfer-Encoding", "chunked"), ("TE", "trailers")])
                + b"2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n")
    equal(client.read_response().body, b"hi")
    equal(sorted(client.trailers), [("back-x-sum", "1"), ("grpc-status", "0")])
    for line in daemon.access(4):
        equal((line["client"], line["http"]), (CLIENT, "2"))
