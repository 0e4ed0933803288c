"""Headless Chromium, which offers permessage-deflate on every WebSocket: by HTTP/1.1 and HTTP/2, echo and applications."""

import browser_demo
import browser_http2
import peers
from harness import equal, limit
from pmd import CLIENT_ALONE, CLIENT_BITS, NAME, SERVER_ALONE, SERVER_BITS, offer

# sends text and bytes of many sizes through each socket and compares what comes back
TALK = """
const urls = arguments[0];
const text = n => Array.from({ length: n }, (_, i) => 'word' + i % 97 + (i % 5 ? ' ' : ' ü€😀 ')).join('').slice(0, n);
const same = (a, b) => typeof a === 'string' ? a === b
  : a.byteLength === b.byteLength && new Uint8Array(b).every((byte, i) => byte === new Uint8Array(a)[i]);
const talk = url => new Promise((done, failed) => {
  const socket = new WebSocket(url);
  const messages = [];
  for (const n of [0, 1, 300, 300, 70000, 1000000])
    messages.push(text(n), new Uint8Array(n).map((_, i) => i * i).buffer);
  let echoed = 0;
  socket.binaryType = 'arraybuffer';
  socket.onopen = () => messages.forEach(message => socket.send(message));
  socket.onmessage = event => {
    if (!same(messages[echoed], event.data))
      failed(new Error(`message ${echoed} of ${url} came back otherwise`));
    if (++echoed === messages.length)
      socket.close(4000, 'done');
  };
  socket.onclose = event => done([socket.extensions, echoed, event.code]);
});
return Promise.all(urls.map(talk));
"""


def routes(address):
    alone = "ServerContextTakeover=no\nClientContextTakeover=no\n"
    small = "ServerMaxWindowBits=10\nClientMaxWindowBits=11\n"
    return (
        "[websocket]\nMaxMessageSize=0\n"
        + "".join(
            f"[route z-{name}]\nPath=/z/{name}\nAction=echo\nCompression=edge\n{keys}"
            for name, keys in (("edge", ""), ("alone", alone), ("small", small))
        )
        + "".join(
            f"[route app-{mode}]\nPath=/app/{mode}\nAction=forward\nBackend=app\nCompression={mode}\n"
            for mode in ("edge", "passthrough", "off")
        )
        + f"[backend app]\nAddress={address}\n"
    )


EXPECTED = {
    "/z/edge": NAME,
    "/z/alone": offer(SERVER_ALONE, CLIENT_ALONE),
    "/z/small": offer(f"{SERVER_BITS}=10", f"{CLIENT_BITS}=11"),
    "/app/edge": NAME,
    "/app/off": "",
}


def check(daemon, page, scheme, http):
    paths = [*EXPECTED, "/app/passthrough"]
    found = dict(zip(paths, page.browser.run(TALK, [f"{scheme}://{page.host}{path}" for path in paths])))
    passed = found.pop("/app/passthrough")
    equal(found, {path: [extensions, 12, 4000] for path, extensions in EXPECTED.items()})
    equal(passed[1:], [12, 4000])
    assert passed[0].startswith(NAME), passed
    lines = [line for line in daemon.access(len(paths)) if line["path"] in paths]
    equal({(line["http"], line["messages_in"], line["messages_out"]) for line in lines}, {(http, 12, 12)})
    equal({line["path"]: line["extensions"] or "" for line in lines}, {**EXPECTED, "/app/passthrough": passed[0]})


@limit(120)
def test_browser_deflate_over_http1(t):
    server = peers.PythonServer(t, max_size=None)
    browser_demo.webdriver.missing() and t.skip("Chromium is not installed")
    daemon = t.daemon(browser_demo.demo_ini(t) + routes(server.address), access=True)
    with browser_demo.webdriver.browser() as browser:
        page = browser_demo.Page(browser, daemon.port("demo"))
        check(daemon, page, "ws", "1.1")


@limit(120)
def test_browser_deflate_over_http2(t):
    server = peers.PythonServer(t, max_size=None)
    with browser_http2.secure_demo(t, more=routes(server.address)) as (daemon, page, _):
        check(daemon, page, "wss", "2")
