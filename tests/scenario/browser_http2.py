"""Headless Chromium over TLS: its WebSockets go over extended CONNECT on the page's own HTTP/2 connection (RFC 8441).

What the browser did is read from its net log, what the gateway saw from the access log.
"""

import contextlib
import json
import signal

import peers
import webdriver
from browser_demo import Page
from harness import contains, equal, limit
from tls import Authority

FORWARD = "[route app]\nPath=/app\nAction=forward\nBackend=app\n[backend app]\nAddress={address}\n"

# opens sockets one after the other, sends through each and waits for what comes back
TALK = """
const urls = arguments[0];
return (async () => {
  const results = [];
  const sockets = urls.map(url => new WebSocket(url));
  await Promise.all(sockets.map(socket => new Promise((done, failed) => {
    socket.onopen = done;
    socket.onerror = () => failed(new Error('no connection to ' + socket.url));
  })));
  for (const [i, socket] of sockets.entries()) {
    const answer = new Promise(done => { socket.onmessage = event => done(event.data); });
    socket.send('message ' + i);
    results.push(await answer);
  }
  for (const [i, socket] of sockets.entries()) {
    const data = 'x'.repeat(100000 + i);
    const answer = new Promise(done => { socket.onmessage = event => done(event.data); });
    socket.send(data);
    results.push((await answer) === data);
  }
  const closed = sockets.map(socket => new Promise(done => { socket.onclose = event => done([event.code, event.wasClean]); }));
  for (const socket of sockets)
    socket.close(4000, 'done');
  results.push(await Promise.all(closed));
  return results;
})();
"""


def demo_ini(t, certificate, listen="", more=""):
    """conf/demo.ini as it is shipped, but with TLS and on a free port."""
    ini = (t.repo / "conf/demo.ini").read_text()
    pem, key = certificate
    tls = f"TLS=yes\nCertificate={pem}\nCertificateKey={key}\n"
    for shipped, here in (
        ("Address=127.0.0.1:8080\n", f"Address=127.0.0.1:0\n{tls}{listen}"),
        ("DocumentRoot=conf/demo\n", f"DocumentRoot={t.repo / 'conf/demo'}\n"),
    ):
        assert ini.count(shipped) == 1, f"conf/demo.ini has no line {shipped!r}"
        ini = ini.replace(shipped, here)
    return ini + more


class SecurePage(Page):
    def __init__(self, browser, port):
        self.browser = browser
        self.host = f"localhost:{port}"
        browser.open(f"https://{self.host}/")
        self.wait_state("idle")


class NetLog:
    """What --log-net-log wrote, once the browser has ended."""

    def __init__(self, path):
        log = json.loads(path.read_text())
        self._names = {number: name for name, number in log["constants"]["logEventTypes"].items()}
        self.events = log["events"]

    def heads(self, port):
        """HTTP/2 request heads to the port: a list of (session, stream, dict of the fields)."""
        found = []
        for event in self.events:
            if self._names[event["type"]] != "HTTP2_SESSION_SEND_HEADERS":
                continue
            fields = dict(line.split(": ", 1) for line in event["params"]["headers"] if ": " in line)
            if fields.get(":authority") == f"localhost:{port}":
                found.append((event["source"]["id"], event["params"]["stream_id"], fields))
        return found


@contextlib.contextmanager
def secure_demo(t, listen="", more=""):
    program = webdriver.missing()
    if program:
        t.skip(f"{program} is not installed")
    daemon = t.daemon(demo_ini(t, Authority(t).issue("localhost"), listen, more), access=True)
    log = t.tmp / "netlog.json"
    with webdriver.browser("--ignore-certificate-errors", f"--log-net-log={log}") as browser:
        yield daemon, SecurePage(browser, daemon.port("demo")), log


@limit(90)
def test_browser_http2_websockets_share_the_page_connection(t):
    server = peers.PythonServer(t)
    with secure_demo(t, more=FORWARD.format(address=server.address)) as (daemon, page, log):
        port = daemon.port("demo")
        equal(page.browser.text("#fact-http"), "HTTP/2")
        page.connect()
        page.send("hello")
        contains(page.wait_rows("received")[0], "hello")
        urls = [f"wss://{page.host}/ws"] * 4 + [f"wss://{page.host}/app"] * 4
        results = page.browser.run(TALK, urls)
        equal(results[:8], [f"message {i}" for i in range(8)])
        equal(results[8:16], [True] * 8)
        equal(results[16], [[4000, True]] * 8)
        page.browser.click("#close")
        page.wait_state("closed")
        equal(page.browser.console(), [])

    lines = [line for line in daemon.access(12) if line["path"] in ("/", "/ws", "/app")]
    equal({(line["http"], line["tls"], line["status"]) for line in lines}, {("2", "TLSv1.3", 200)})
    equal([line["close_code"] for line in lines if line["path"] == "/app"], [4000] * 4)
    equal({line["origin"] for line in lines if line["path"] == "/ws"}, {f"https://localhost:{port}"})

    heads = NetLog(log).heads(port)
    connects = [h for h in heads if h[2][":method"] == "CONNECT"]
    equal({h[2][":protocol"] for h in connects}, {"websocket"})
    equal(sorted(h[2][":path"] for h in connects), ["/app"] * 4 + ["/ws"] * 5)
    (page_session,) = {h[0] for h in heads if h[2][":path"] == "/"}
    equal({h[0] for h in connects}, {page_session}, "sessions that carried WebSockets")
    assert not any("sec-websocket-key" in h[2] for h in connects), "nobody needs a key there"


@limit(90)
def test_browser_http2_switched_off(t):
    with secure_demo(t, listen="HTTP2=no\n") as (daemon, page, log):
        equal(page.browser.text("#fact-http"), "HTTP/1.1")
        page.connect()
        page.send("hello")
        contains(page.wait_rows("received")[0], "hello")
        page.browser.click("#close")
        page.wait_state("closed")
        equal(page.browser.console(), [])
    lines = {line["path"]: line for line in daemon.access(2)}
    equal([(lines[p]["http"], lines[p]["status"]) for p in ("/", "/ws")], [("1.1", 200), ("1.1", 101)])
    equal(NetLog(log).heads(daemon.port("demo")), [])


@limit(90)
def test_browser_http2_refusal_and_drain(t):
    with secure_demo(t) as (daemon, page, _):
        refused = page.browser.run(
            "return new Promise(done => {"
            " const socket = new WebSocket(arguments[0]);"
            " socket.onclose = event => done([event.code, event.wasClean]); })",
            f"wss://{page.host}/refused",
        )
        equal(refused, [1006, False])
        page.connect()
        page.browser.run(
            "const socket = new WebSocket(arguments[0]); window.ended = null;"
            "socket.onclose = event => { window.ended = [event.code, event.wasClean]; };"
            "return new Promise(done => { socket.onopen = done; });",
            f"wss://{page.host}/ws",
        )
        daemon.signal(signal.SIGTERM)
        page.wait_state("closed")
        equal(page.browser.wait("window.ended"), [1001, True])
        equal(daemon.wait_end(), 0)
    lines = daemon.access(3)
    equal([line["status"] for line in lines if line["path"] == "/refused"], [403])
    equal([line["close_code"] for line in lines if line["path"] == "/ws"], [1001, 1001])
