"""The gateways that are measured, each with one worker, access logs off, and the same backend on a Unix socket.

Time-outs and limits on connections aside everything is as it is by default. Each listens in the clear and with TLS.
What is asked for by path: /forward (WebSockets), /get (ordinary requests, forwarded), /files/ (static files).
"""

import os
import socket
import subprocess
import time

from proc import (START_TIMEOUT_S, TOP, WSRELAYD, Missing, Process, bench_program, free_port, most_connections, read,
                  which, write)


class Gateway(Process):
    """What a row needs to know of a gateway: where it listens, and by what path it does a work."""

    name = ""
    carriers = ("clear", "tls")     # over which it takes WebSockets
    works = ("forward", "get", "static")
    streams = 10                    # WebSockets on an HTTP/2 connection, at most
    peer = True                     # it has its column in the tables

    def port_for(self, carrier):
        return self.port if carrier == "clear" else self.tls_port

    def path_for(self, work):
        return {"forward": "/forward", "get": "/get", "static": "/files/"}[work]

    @staticmethod
    def version():
        return ""


# ---- ours


class Wsrelayd(Gateway):
    name = "wsrelayd"
    carriers = ("clear", "tls", "h2")
    works = ("forward", "echo", "get", "static", "deflate")
    streams = 256

    def __init__(self, folder, pem, workers=1, cpus=None):
        config = write(os.path.join(folder, "wsrelayd.ini"), f"""[server]
Workers={workers}
DrainTimeout=0
[listen plain]
Address=127.0.0.1:0
[listen secure]
Address=127.0.0.1:0
TLS=yes
Certificate={pem.pem}
CertificateKey={pem.key}
[websocket]
MaxMessageSize=64M
[route echo]
Path=/echo
Action=echo
[route forward]
Path=/forward
Action=forward
Backend=app
[route get]
Path=/get
Action=proxy
Backend=app
[route deflate]
Path=/deflate
Action=echo
Compression=edge
[route files]
Path=/files/*
Action=static
DocumentRoot={folder}/files
[backend app]
Address=unix:{folder}/app.sock
""")
        super().__init__([WSRELAYD, "-c", config], r"is ready with", cpus=cpus, stdin=subprocess.DEVNULL)
        self.port, self.tls_port = self.port_of("plain"), self.port_of("secure")

    def port_of(self, name):
        return int(self.wait_for(rf"listening on 127\.0\.0\.1:(\d+) listen={name}\b")[1])

    def path_for(self, work):
        return {"echo": "/echo", "deflate": "/deflate"}.get(work) or super().path_for(work)

    @staticmethod
    def version():
        return output([WSRELAYD, "--version"]).split("\n")[0].split()[-1]


class Again(Wsrelayd):
    """The same program a second time: by how much its figures differ is what the machine adds to a figure."""

    name = "wsrelayd again"
    works = ("forward", "echo", "get", "static")
    peer = False

    @staticmethod
    def version():
        return ""


def output(argv):
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.stdout


class NullProxy(Gateway):
    """The least that a proxy can cost: it understands nothing (null_proxy.c). Two of them, for clear and TLS."""

    name = "null proxy"
    works = ("forward", "get")

    def __init__(self, folder, pem):
        backend = f"{folder}/app.sock"
        argv = [bench_program("null_proxy")]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        super().__init__([*argv, backend], **pipes)
        self.secure = Process([*argv, "-c", pem.pem, "-k", pem.key, backend], **pipes)
        self.port, self.tls_port = (int(p.child.stdout.readline().split()[1]) for p in (self, self.secure))

    def pids(self):
        return super().pids() + self.secure.pids()

    def end(self):
        super().end()
        self.secure.end()


# ---- others


class Other(Gateway):
    """One that cannot be asked to pick a port: a free one is tried, and another if it was taken meanwhile."""

    program = ""

    def __init__(self, folder, pem):
        which(self.program)
        for attempt in range(5):
            self.port, self.tls_port = free_port(), free_port()
            try:
                super().__init__(self.command(folder, pem), stdin=subprocess.DEVNULL)
                for port in (self.port, self.tls_port):
                    self.wait_until_open(port)
                return
            except RuntimeError:
                if attempt == 4:
                    raise

    def wait_until_open(self, port):
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self.child.poll() is None:
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.02)
        self.end()
        raise RuntimeError(f"{self.name} does not start:\n" + "\n".join(self.lines))


class Nginx(Other):
    name = program = "nginx"
    buffers = ""

    def command(self, folder, pem):
        own = f"{folder}/{self.name.replace(' ', '-')}"
        os.makedirs(own, exist_ok=True)
        temp = "".join(f"{kind}_temp_path {own}/{kind};\n" for kind in
                       ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        config = write(f"{own}/nginx.conf", f"""{'user root;' if os.geteuid() == 0 else ''}
daemon off;
worker_processes 1;
pid {own}/pid;
error_log stderr;
events {{ worker_connections {most_connections(12000) * 2 + 64}; }}
http {{
access_log off;
{temp}keepalive_requests 1000000000;
upstream app {{ server unix:{folder}/app.sock; keepalive 128; keepalive_requests 1000000000; }}
server {{
listen 127.0.0.1:{self.port} backlog=4096;
listen 127.0.0.1:{self.tls_port} ssl backlog=4096;
ssl_protocols TLSv1.2 TLSv1.3;
ssl_certificate {pem.pem};
ssl_certificate_key {pem.key};
{self.buffers}
proxy_http_version 1.1;
proxy_read_timeout 1h;
proxy_send_timeout 1h;
location /forward {{
proxy_pass http://app;
proxy_set_header Upgrade $http_upgrade;
proxy_set_header Connection upgrade;
}}
location /get {{ proxy_pass http://app; proxy_set_header Connection ""; }}
location /files/ {{ root {folder}; }}
}}
}}
""")
        return [which("nginx"), "-e", "stderr", "-c", config]

    @staticmethod
    def version():
        return output([which("nginx"), "-v"]).strip().rpartition("/")[2]


class Nginx64k(Nginx):
    """The buffers that large messages want, at 128 KiB and more for each WebSocket."""

    name = "nginx 64k"
    works = ("forward",)
    buffers = "proxy_buffer_size 64k; proxy_buffers 8 64k; proxy_busy_buffers_size 128k;"

    @staticmethod
    def version():
        return ""


class Haproxy(Other):
    name = "HAProxy"
    program = "haproxy"
    carriers = ("clear", "tls", "h2")
    works = ("forward", "get")

    def command(self, folder, pem):
        both = write(f"{folder}/both.pem", read(pem.pem) + read(pem.key))
        config = write(f"{folder}/haproxy.cfg", f"""global
nbthread 1
maxconn {most_connections(12000)}
defaults
mode http
timeout connect 5s
timeout client 1h
timeout server 1h
timeout tunnel 1h
listen bench
bind 127.0.0.1:{self.port} backlog 4096
bind 127.0.0.1:{self.tls_port} backlog 4096 ssl crt {both} alpn h2,http/1.1
server app {folder}/app.sock
""")
        return [which("haproxy"), "-db", "-f", config]

    @staticmethod
    def version():
        return output([which("haproxy"), "-v"]).split()[2].partition("-")[0]


class Nghttpx(Other):
    name = program = "nghttpx"
    carriers = ("clear", "tls", "h2")
    works = ("forward", "get")
    streams = 100

    def command(self, folder, pem):
        return [which("nghttpx"), "--conf=/dev/null", "--workers=1", f"--frontend=127.0.0.1,{self.port};no-tls",
                f"--frontend=127.0.0.1,{self.tls_port}", f"--backend=unix:{folder}/app.sock", "--backlog=4096",
                "--frontend-http2-read-timeout=1h", "--stream-read-timeout=1h", "--stream-write-timeout=1h",
                "--frontend-read-timeout=1h", "--frontend-write-timeout=1h", "--backend-read-timeout=1h",
                "--backend-write-timeout=1h", "--errorlog-file=/dev/stderr", "--accesslog-file=/dev/null",
                "--no-ocsp", pem.key, pem.pem]

    @staticmethod
    def version():
        return output([which("nghttpx"), "-v"]).strip().rpartition("/")[2]


class H2o(Other):
    name = program = "h2o"

    def command(self, folder, pem):
        config = write(f"{folder}/h2o.conf", f"""{'user: root' if os.geteuid() == 0 else ''}
num-threads: 1
max-connections: {most_connections(12000)}
http1-request-timeout: 3600
listen:
  host: 127.0.0.1
  port: {self.port}
listen:
  host: 127.0.0.1
  port: {self.tls_port}
  ssl:
    certificate-file: {pem.pem}
    key-file: {pem.key}
    ocsp-update-interval: 0
hosts:
  default:
    paths:
      /files/:
        file.dir: {folder}/files/
      /:
        proxy.reverse.url: "http://[unix:{folder}/app.sock]/"
        proxy.preserve-host: ON
        proxy.websocket: ON
        proxy.websocket.timeout: 3600000
        proxy.timeout.io: 3600000
        proxy.timeout.keepalive: 60000
""")
        return [which("h2o"), "-c", config]

    @staticmethod
    def version():
        return output([which("h2o"), "-v"]).split()[2]


class Lighttpd(Other):
    name = program = "lighttpd"
    carriers = ("clear", "tls", "h2")
    streams = 8

    def command(self, folder, pem):
        config = write(f"{folder}/lighttpd.conf", f"""server.modules = ("mod_openssl", "mod_proxy")
server.document-root = "{folder}"
server.bind = "127.0.0.1"
server.port = {self.port}
server.listen-backlog = 4096
server.max-fds = {most_connections(12000) * 2 + 200}
server.max-connections = {most_connections(12000)}
server.max-keep-alive-requests = 1000000000
server.max-keep-alive-idle = 3600
server.max-read-idle = 3600
server.max-write-idle = 3600
$SERVER["socket"] == "127.0.0.1:{self.tls_port}" {{
ssl.engine = "enable"
ssl.pemfile = "{pem.pem}"
ssl.privkey = "{pem.key}"
}}
$HTTP["url"] !~ "^/files/" {{
proxy.server = ( "" => (( "host" => "{folder}/app.sock" )) )
proxy.header = ( "upgrade" => "enable" )
}}
""")
        return [which("lighttpd"), "-D", "-f", config]

    @staticmethod
    def version():
        return output([which("lighttpd"), "-v"]).split()[0].rpartition("/")[2]


# ---- servers that echo


class Uws(Other):
    """uWebSockets, as it is in npm's bun: in the PATH, or by `npm install --prefix tests/bench bun`."""

    name = "uWebSockets"
    program = "bun"
    works = ("echo", "deflate")

    def command(self, folder, pem):
        script = write(f"{folder}/uws.js", """
const [, , port, tls_port, pem, key] = process.argv;
const serve = (port, tls, perMessageDeflate) => Bun.serve({
  port: Number(port), hostname: '127.0.0.1', tls,
  fetch(request, server) { return server.upgrade(request) ? undefined : new Response('no'); },
  websocket: {
    message(ws, data) { ws.send(data, perMessageDeflate); },
    maxPayloadLength: 64 << 20, idleTimeout: 0, backpressureLimit: 256 << 20, perMessageDeflate, sendPings: false,
  },
});
serve(port, undefined, true);
serve(tls_port, { cert: Bun.file(pem), key: Bun.file(key) }, false);
""")
        return [self.find(), script, str(self.port), str(self.tls_port), pem.pem, pem.key]

    @staticmethod
    def find():
        local = os.path.join(TOP, "tests", "bench", "node_modules", ".bin", "bun")
        return local if os.path.exists(local) else which("bun")

    def __init__(self, folder, pem):
        self.find()
        self.program = "sh"
        super().__init__(folder, pem)

    def path_for(self, work):
        return "/"

    @classmethod
    def version(cls):
        return "bun " + output([cls.find(), "--version"]).strip()


class NpmWs(Gateway):
    """npm's ws, as the scenarios use it."""

    name = "npm ws"
    carriers = ("clear",)
    works = ("echo", "deflate")

    def __init__(self, folder, pem):
        scenario = os.path.join(TOP, "tests", "scenario")
        if not os.path.exists(os.path.join(scenario, "node_modules", "ws")):
            raise Missing("tests/scenario/node_modules has no ws (npm ci there)")
        argv = [which("node"), os.path.join(scenario, "node_server.js"), "0", "deflate"]
        super().__init__(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.port = int(self.child.stdout.readline())

    def path_for(self, work):
        return "/"

    @staticmethod
    def version():
        return "node " + output([which("node"), "--version"]).strip()


ALL = [Wsrelayd, NullProxy, Nginx, Nginx64k, Haproxy, Nghttpx, H2o, Lighttpd, Uws, NpmWs]
NOT_BEST = (NullProxy.name, Again.name)     # no gateways to be compared with the best of


class Pool:
    """Gateways that are started when they are first needed, and live until the end."""

    def __init__(self, folder, pem, chosen, again=False):
        self.folder, self.pem = folder, pem
        self.classes = [c for c in ALL if c is Wsrelayd or not chosen or c.name.lower() in chosen] + [Again] * again
        self.running = {}
        self.missing = {}       # name -> why

    def able(self, work, carrier):
        """Those that do the work and can be started."""
        return [g for g in (self.get(c) for c in self.classes if work in c.works and carrier in c.carriers)
                if g is not None]

    def get(self, kind):
        if kind.name not in self.running:
            try:
                self.running[kind.name] = kind(self.folder, self.pem)
            except (Missing, RuntimeError) as why:
                self.running[kind.name] = None
                self.missing[kind.name] = str(why)
                print(f"({kind.name} is left out: {why})\n", flush=True)
        return self.running[kind.name]

    def end(self):
        for gateway in self.running.values():
            if gateway is not None:
                gateway.end()
        self.running = {}
