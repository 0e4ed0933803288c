"""TLS listeners: versions, certificates by name and of clients, resumption. The openssl program makes the keys."""

import contextlib
import select
import signal
import socket
import ssl
import subprocess
import warnings

import peers
from harness import SANITIZER_REPORT, contains, equal, tag
from wire import BINARY, TEXT, check_101, connect, handshake_head, open_ws, request_head

ECHO = "[route ws]\nPath=/ws\nAction=echo\n"
FAILURES = (ssl.SSLError, ConnectionResetError, BrokenPipeError)

# what a strict verifier wants (RFC 5280), which Python is since 3.13
CA_CONFIG = """
[req]
distinguished_name=name
x509_extensions=ca
[name]
[ca]
basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash
"""
LEAF_EXTENSIONS = """\
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
"""


class Authority:
    """A certificate authority in t.tmp."""

    def __init__(self, t, name="ca"):
        t.need("openssl")
        self.t = t
        self.folder = t.tmp / name
        self.folder.mkdir()
        self.pem = self.folder / "ca.pem"
        self._count = 0
        config = self.folder / "ca.cnf"
        config.write_text(CA_CONFIG)
        key = self._key("ca")
        subject = ["-subj", f"/CN=Test {name}", "-days", "30"]
        self._openssl("req", "-x509", "-new", "-config", config, "-key", key, *subject, "-out", self.pem)

    def _openssl(self, *args):
        done = subprocess.run(
            ["openssl", *map(str, args)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60 * self.t.factor,
            check=False,
        )
        assert done.returncode == 0, f"openssl {args[0]}: {done.stderr}"

    def _key(self, name):
        path = self.folder / f"{name}.key"
        self._openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path)
        return path

    def issue(self, *names, client=False, days=20):
        """A certificate for DNS names or, where they look so, addresses; returns the paths (certificate, key)."""
        self._count += 1
        name = f"{self._count}"
        key, request, pem = self._key(name), self.folder / f"{name}.csr", self.folder / f"{name}.pem"
        extensions = self.folder / f"{name}.ext"
        alternatives = ",".join(("IP:" if n.replace(".", "").isdigit() else "DNS:") + n for n in names)
        usage = "clientAuth" if client else "serverAuth"
        extensions.write_text(f"{LEAF_EXTENSIONS}subjectAltName={alternatives}\nextendedKeyUsage={usage}\n")
        self._openssl("req", "-new", "-key", key, "-subj", f"/CN={names[0]}", "-out", request)
        ca = ["-CA", self.pem, "-CAkey", self.folder / "ca.key", "-CAcreateserial"]
        self._openssl("x509", "-req", "-in", request, *ca, "-days", str(days), "-extfile", extensions, "-out", pem)
        return pem, key

    def context(self, certificate=None, minimum=None, maximum=None):
        """A client's SSLContext that trusts this authority."""
        context = ssl.create_default_context(cafile=str(self.pem))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            if minimum:
                context.minimum_version = minimum
            if maximum:
                context.maximum_version = maximum
        if certificate:
            context.load_cert_chain(*map(str, certificate))
        return context


def ini(*certificates, keys="", more=ECHO):
    pairs = "".join(f"Certificate={pem}\nCertificateKey={key}\n" for pem, key in certificates)
    return f"[listen tls]\nAddress=127.0.0.1:0\nTLS=yes\n{pairs}{keys}\n{more}"


def names_of(sock):
    return [value for _, value in sock.getpeercert()["subjectAltName"]]


def wss(t, port, context, name="localhost"):
    return open_ws(t, port, tls=context, server_name=name)


@tag("tsan")
def test_tls_echo_over_both_versions(t):
    ca = Authority(t)
    daemon = t.daemon(ini(ca.issue("localhost")), access=True)
    for version, shown in ((ssl.TLSVersion.TLSv1_2, "1.2"), (ssl.TLSVersion.TLSv1_3, "1.3")):
        ws = wss(t, daemon.port("tls"), ca.context(minimum=version, maximum=version))
        equal(ws.sock.version(), f"TLSv{shown}")
        for size in (0, 5, 125, 126, 16_383, 16_384, 16_385, 70_000, 300_000):
            ws.text("x" * size)
            ws.expect_message(TEXT, "x" * size)
        ws.send(b"".join(ws.frame(TEXT, str(i)) for i in range(200)))
        for i in range(200):
            ws.expect_message(TEXT, str(i))
        ws.finish()  # which ends with close_notify: without one expect_end would say reset
        contains(daemon.access()[0]["tls"], shown)


def test_tls_real_clients(t):
    peers.need_websockets(t)
    ca = Authority(t)
    port = t.daemon(ini(ca.issue("127.0.0.1"))).port("tls")

    async def client():
        async with peers.connect(f"wss://127.0.0.1:{port}/ws", ssl=ca.context()) as ws:
            for message in ("hello", bytes(1 << 20)):
                await ws.send(message)
                equal(await ws.recv(), message)
            await ws.close(1000, "ok")
            equal(peers.close_of(ws), (1000, "ok"))

    peers.talk(client())
    found = peers.node_client(t, f"wss://127.0.0.1:{port}/ws")
    equal((found["status"], found["pongs"], found["code"]), (101, 1, 4000))


def test_tls_large_message_is_echoed_while_it_is_sent(t):
    ca = Authority(t)
    port = t.daemon(ini(ca.issue("localhost"))).port("tls")
    ws = wss(t, port, ca.context())
    payload = bytes(range(256)) * (4_000 if t.sanitized else 60_000)
    data = ws.frame(BINARY, payload)
    # a TLS socket of Python's is not for two threads
    ws.sock.setblocking(False)
    sent = 0
    while sent < len(data):
        readable, writable, _ = select.select([ws.sock], [ws.sock], [], 10 * t.factor)
        assert readable or writable, "nothing goes on"
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
            sent += ws.sock.send(data[sent : sent + 65536])
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
            while ws.fill(0):
                pass
    ws.expect_message(BINARY, payload)
    ws.finish()


def test_tls_minimum_version(t):
    ca = Authority(t)
    pair = ca.issue("localhost")
    old = {"minimum": ssl.TLSVersion.TLSv1_2, "maximum": ssl.TLSVersion.TLSv1_2}
    daemon = t.daemon(ini(pair, keys="TLSMinVersion=1.3"))
    try:
        wss(t, daemon.port("tls"), ca.context(**old))
    except FAILURES:
        pass
    else:
        raise AssertionError("TLS 1.2 was accepted")
    wss(t, daemon.port("tls"), ca.context()).finish()
    # 1.1 is never taken, whatever the client would do
    port = t.daemon(ini(pair)).port("tls")
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=20 * t.factor,
        check=False,
    )
    assert done.returncode != 0, done.stdout
    wss(t, port, ca.context(**old)).finish()


def test_tls_cipher_strings(t):
    ca = Authority(t)
    keys = "TLSCiphers=ECDHE-ECDSA-AES256-GCM-SHA384 TLS_CHACHA20_POLY1305_SHA256"
    done = t.call("-t", ini=ini(ca.issue("localhost"), keys=keys))
    if done.returncode:
        keys = "TLSCiphers=ECDHE-ECDSA-AES256-GCM-SHA384:TLS_CHACHA20_POLY1305_SHA256"
    port = t.daemon(ini(ca.issue("localhost"), keys=keys)).port("tls")
    two = ssl.TLSVersion.TLSv1_2
    equal(wss(t, port, ca.context(maximum=two)).sock.cipher()[0], "ECDHE-ECDSA-AES256-GCM-SHA384")
    equal(wss(t, port, ca.context()).sock.cipher()[0], "TLS_CHACHA20_POLY1305_SHA256")
    refused = ca.context(maximum=two)
    refused.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    try:
        wss(t, port, refused)
    except FAILURES:
        pass
    else:
        raise AssertionError("a cipher that is not configured was used")


def test_tls_certificate_is_chosen_by_name(t):
    ca = Authority(t)
    first = ca.issue("first.example", "localhost")
    second = ca.issue("second.example")
    wild = ca.issue("*.wild.example")
    port = t.daemon(ini(first, second, wild)).port("tls")
    context = ca.context()
    context.check_hostname = False
    for name, expected in (
        ("first.example", "first.example"),
        ("second.example", "second.example"),
        ("SECOND.example", "second.example"),
        ("a.wild.example", "*.wild.example"),
        ("a.b.wild.example", "first.example"),
        ("wild.example", "first.example"),
        ("unknown.example", "first.example"),
        (None, "first.example"),
    ):
        conn = connect(t, port, tls=context, server_name=name)
        equal(names_of(conn.sock)[0], expected, f"certificate for {name}")


def test_tls_client_certificates(t):
    ca, stranger = Authority(t), Authority(t, "stranger")
    pair, good, bad = ca.issue("localhost"), ca.issue("client", client=True), stranger.issue("client", client=True)
    for mode in ("off", "optional", "required"):
        keys = "" if mode == "off" else f"ClientCertificate={mode}\nClientCA={ca.pem}"
        daemon = t.daemon(ini(pair, keys=keys))
        port = daemon.port("tls")
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            for certificate, allowed in (
                (None, mode != "required"),
                (good, True),
                (bad, mode == "off"),
            ):
                context = ca.context(certificate, minimum=version, maximum=version)
                try:
                    ws = wss(t, port, context)
                    ws.text("x")
                    ws.expect(TEXT, "x")
                    passed = True
                except (*FAILURES, AssertionError):
                    passed = False  # in 1.3 the client hears of it at its first read only
                equal(passed, allowed, f"{mode} {version} {certificate}")


def test_tls_sessions_are_resumed(t):
    ca = Authority(t)
    port = t.daemon(ini(ca.issue("localhost")) + "[server]\nWorkers=2\n").port("tls")
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = ca.context(minimum=version, maximum=version)
        ws = wss(t, port, context)
        ws.text("so that the tickets of 1.3 are read")
        ws.recv_message()
        session = ws.sock.session
        assert session is not None and session.has_ticket, version
        equal(ws.sock.session_reused, False)
        ws.finish()
        # on whatever worker
        for _ in range(6):
            sock = socket.create_connection(("127.0.0.1", port), 10 * t.factor)
            t.at_end(sock.close)
            again = context.wrap_socket(sock, server_hostname="localhost", session=session)
            t.at_end(again.close)
            again.sendall(handshake_head() + b"\x81\x80\0\0\0\0")
            assert again.recv(4096)
            equal(again.session_reused, True, f"{version}")
            session = again.session or session


def test_tls_handshake_failures_are_logged_at_info_and_nothing_louder(t):
    ca = Authority(t)
    daemon = t.daemon(ini(ca.issue("localhost")) + "[server]\nHandshakeTimeout=1500ms\n")
    port = daemon.port("tls")
    # plain HTTP on a TLS port
    conn = connect(t, port)
    conn.send(request_head(target="/ws"))
    said = conn.read_all()
    assert b"101" not in said[:20], said
    # garbage, half a ClientHello, nothing, a client that does not like the certificate
    for data in (b"\xff" * 300, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b""):
        conn = connect(t, port)
        conn.send(data)
        if not data:
            conn.close()
        else:
            conn.read_all()
    try:
        connect(t, port, tls=ssl.create_default_context(), server_name="localhost")
        raise AssertionError("verified by nobody")
    except ssl.SSLCertVerificationError:
        pass
    wss(t, port, ca.context()).finish()
    daemon.wait_log(r"(?i)info: .*(tls|ssl)")
    for line in daemon.log.splitlines():
        assert not line.startswith(("error", "warning")), line


def test_tls_handshake_that_takes_too_long_is_cut(t):
    ca = Authority(t)
    port = t.daemon(ini(ca.issue("localhost")) + "[server]\nHandshakeTimeout=1500ms\n").port("tls")
    silent, partial = connect(t, port), connect(t, port)
    partial.send(b"\x16\x03\x01\x02\x00\x01")
    silent.read_all()
    partial.read_all()
    # the request's head has its part of that time, too
    late = connect(t, port, tls=ca.context(), server_name="localhost")
    late.send(handshake_head()[:30])
    equal(late.read_response().status, 408)


def test_tls_connection_that_is_cut_without_close_notify_is_a_vanished_client(t):
    ca = Authority(t)
    daemon = t.daemon(ini(ca.issue("localhost")), access=True)
    ws = wss(t, daemon.port("tls"), ca.context())
    ws.text("x")
    ws.expect(TEXT, "x")
    # shutdown() of the socket below: an end without close_notify
    socket.socket.shutdown(ws.sock, socket.SHUT_WR)
    line = daemon.access()[0]
    equal(line["closed_by"], "client")
    assert line["close_code"] != 1000, line


def test_tls_certificates_are_read_anew_on_hup(t):
    ca = Authority(t)
    pem, key = ca.issue("before.example", "localhost")
    daemon = t.daemon(ini((pem, key)))
    port = daemon.port("tls")
    old = wss(t, port, ca.context())
    new_pem, new_key = ca.issue("after.example", "localhost")
    pem.write_bytes(new_pem.read_bytes())
    key.write_bytes(new_key.read_bytes())
    equal(names_of(connect(t, port, tls=ca.context(), server_name="localhost").sock)[0], "before.example")
    daemon.signal(signal.SIGHUP)

    def name():
        return names_of(connect(t, port, tls=ca.context(), server_name="localhost").sock)[0]

    t.wait(lambda: name() == "after.example", what="the new certificate")
    old.text("still here")
    old.expect(TEXT, "still here")
    # a key that does not fit changes nothing
    _, other_key = ca.issue("other.example")
    key.write_bytes(other_key.read_bytes())
    daemon.signal(signal.SIGHUP)
    daemon.wait_log(r"(?i)error: .*(key|certificate)|ini:\d+: .*(key|certificate)")
    equal(name(), "after.example")
    old.text("and still")
    old.expect(TEXT, "and still")


def test_tls_bad_configurations_are_refused(t):
    ca = Authority(t)
    pem, key = ca.issue("localhost")
    _, other_key = ca.issue("localhost")
    (t.tmp / "garbage.pem").write_text("garbage\n")
    for text, word in (
        (ini(), "Certificate"),
        (ini((pem, other_key)), "key"),
        (ini((t.tmp / "nothing.pem", key)), "nothing.pem"),
        (ini((t.tmp / "garbage.pem", key)), "garbage.pem"),
        (ini((pem, t.tmp / "nothing.key")), "nothing.key"),
        (ini((pem, key), keys="TLSMinVersion=1.1"), "TLSMinVersion"),
        (ini((pem, key), keys="TLSCiphers=no-such-cipher"), "TLSCiphers"),
        (ini((pem, key), keys="ClientCertificate=required"), "ClientCA"),
        (ini((pem, key), keys=f"ClientCertificate=required\nClientCA={t.tmp}/nothing.pem"), "nothing.pem"),
        (ini((pem, key), keys=f"Certificate={pem}"), "Certificate"),
    ):
        done = t.call("-t", ini=text)
        equal(done.returncode, 78, f"{text}\n{done.stderr}")
        contains(done.stderr.lower(), word.lower())
        assert not SANITIZER_REPORT.search(done.stderr), done.stderr


def test_tls_and_plain_listeners_side_by_side(t):
    ca = Authority(t)
    daemon = t.daemon(ini(ca.issue("localhost")) + "[listen plain]\nAddress=127.0.0.1:0\n")
    ws = open_ws(t, daemon.port("plain"))
    ws.text("plain")
    ws.expect(TEXT, "plain")
    ws = wss(t, daemon.port("tls"), ca.context())
    check_101(ws.response)
    ws.text("secret")
    ws.expect(TEXT, "secret")
