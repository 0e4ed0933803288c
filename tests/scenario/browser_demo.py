"""The demo page of conf/demo.ini in headless Chromium, served by the real daemon.

Every test has a daemon and a browser of its own. Conditions are waited for inside the page (webdriver.Browser.wait).
"""

import contextlib
import socket
import urllib.parse

import webdriver

STATE = "document.body.dataset.state === args[0]"
ROWS = "[...document.querySelectorAll('#log tr')].filter(row => row.dataset.event === args[0])"
# the whole visible text of the rows of one event, one string a row
ROW_TEXTS = f"{ROWS}.map(row => row.textContent)"


def demo_ini(t):
    """conf/demo.ini as it is shipped, but on a free port and for any working directory."""
    ini = (t.repo / "conf/demo.ini").read_text()
    for shipped, here in (
        ("Address=127.0.0.1:8080\n", "Address=127.0.0.1:0\n"),
        ("DocumentRoot=conf/demo\n", f"DocumentRoot={t.repo / 'conf/demo'}\n"),
    ):
        assert ini.count(shipped) == 1, f"conf/demo.ini has no line {shipped!r}"
        ini = ini.replace(shipped, here)
    return ini


class Page:
    """The demo page, loaded and ready."""

    def __init__(self, browser, port):
        self.browser = browser
        self.host = f"127.0.0.1:{port}"
        browser.open(f"http://{self.host}/")
        self.wait_state("idle")

    def wait_state(self, state):
        self.browser.wait(STATE, state, what=f"state {state}")

    def wait_rows(self, event, count=1):
        """Waits for so many rows of an event and returns what they say."""
        self.browser.wait(f"{ROWS}.length >= args[1]", event, count, what=f"{count} × {event} in the log")
        return self.browser.run(f"const args = arguments; return {ROW_TEXTS};", event)

    def events(self):
        """The log's events in their order."""
        return self.browser.run("return [...document.querySelectorAll('#log tr')].map(row => row.dataset.event)")

    def connect(self):
        self.browser.click("#connect")
        self.wait_state("open")

    def send(self, text):
        self.browser.fill("#message", text)
        self.browser.click("#send")

    def wait_text(self, selector, part):
        """Waits until an element is shown with this in its text, and returns the text."""
        return self.browser.wait(
            "(element => element.checkVisibility() && element.innerText.includes(args[1]) && element.innerText)"
            "(document.querySelector(args[0]))",
            selector,
            part,
        )

    def wait_fact(self, name, text):
        """Waits for one of the facts above the forms, which are drawn a little later than they are known."""
        self.browser.wait("document.getElementById(`fact-${args[0]}`).textContent === args[1]", name, text)

    def value(self, selector):
        return self.browser.run("return document.querySelector(arguments[0]).value", selector)


@contextlib.contextmanager
def demo_page(t):
    program = webdriver.missing()
    if program:
        t.skip(f"{program} is not installed")
    daemon = t.daemon(demo_ini(t))
    try:
        with webdriver.browser() as browser:
            yield Page(browser, daemon.port("demo"))
    finally:
        daemon.stop()


def equal(got, expected):
    assert got == expected, f"got {got!r}, expected {expected!r}"


def contains(whole, *parts):
    for part in parts:
        assert part in whole, f"{part!r} is not in {whole!r}"


def test_demo_page_loads_without_console_errors_from_its_own_host_only(t):
    with demo_page(t) as page:
        page.connect()
        page.send("hello")
        page.wait_rows("received")
        page.browser.click("#close")
        page.wait_state("closed")

        equal(page.browser.console(), [])
        paths = {}
        for method, params in page.browser.network():
            if method == "Network.requestWillBeSent":
                url = urllib.parse.urlsplit(params["request"]["url"])
            elif method == "Network.webSocketCreated":
                url = urllib.parse.urlsplit(params["url"])
            else:
                ours = params.get("requestId") in paths
                assert not (ours and method == "Network.loadingFailed"), f"a request failed: {params}"
                if ours and method == "Network.responseReceived":
                    response = params["response"]
                    assert response["status"] == 200, f"{response['status']} for {response['url']}"
                continue
            if url.scheme in ("http", "https", "ws", "wss"):  # not the browser's own about: and chrome: pages
                equal(url.netloc, page.host)
                paths[params["requestId"]] = url.path
        for path in ("/", "/style.css", "/demo.js", "/ws"):
            contains(paths.values(), path)


def test_demo_page_icon_is_there(t):
    # a headless browser shows no icon and so does not fetch it
    with demo_page(t) as page:
        loaded = page.browser.run(
            "return new Promise(done => {"
            " const image = new Image(); image.onload = () => done(true); image.onerror = () => done(false);"
            " image.src = document.querySelector('link[rel=icon]').href; })"
        )
        equal(loaded, True)


def test_demo_page_connects_and_tells_what_was_negotiated(t):
    with demo_page(t) as page:
        equal(page.value("#url"), f"ws://{page.host}/ws")
        equal(page.browser.text("#state"), "Not connected")
        equal(page.browser.text("#fact-http"), "HTTP/1.1")

        page.connect()
        equal(page.browser.text("#state"), "Connected")
        equal(page.browser.text("#fact-protocol"), "none")
        contains(page.wait_rows("opened")[0], f"ws://{page.host}/ws", "no subprotocol")
        page.browser.click("#close")
        page.wait_state("closed")

        page.browser.fill("#protocols", "unknown, echo")
        page.connect()
        equal(page.browser.text("#fact-protocol"), "echo")
        contains(page.wait_rows("opened", 2)[1], "subprotocol echo")
        extensions = page.browser.text("#fact-extensions")
        assert extensions == "none" or extensions.startswith("permessage-deflate"), extensions


def test_demo_page_logs_sent_and_received_text(t):
    text = "Grüße, \U0001f30d <b>not markup</b>"
    with demo_page(t) as page:
        page.connect()
        # not by WebDriver's keys: chromedriver types no character outside the basic plane
        page.browser.run("document.querySelector('#message').value = arguments[0]", text)
        page.browser.click("#send")
        size = f"{len(text.encode())} B"
        contains(page.wait_rows("sent")[0], text, size)
        contains(page.wait_rows("received")[0], text, size)
        page.wait_text("#fact-rtt", " ms")
        page.wait_fact("received", "1")
        equal(page.events(), ["opened", "sent", "received"])

        page.browser.click("#clear")
        equal(page.events(), [])
        contains(page.wait_text("#log-empty", "Nothing"), "Nothing yet")


def test_demo_page_shows_binary_as_hex(t):
    with demo_page(t) as page:
        page.connect()
        page.browser.click(".segments label:nth-of-type(2)")
        page.send("00ff 4")
        page.wait_text("#message-error", "pairs of digits")
        page.send("00ff 48 0x69")
        contains(page.wait_rows("received")[0], "00 ff 48 69", "binary", "4 B")

        page.send("ab" * 100)
        received = page.wait_rows("received", 2)[1]
        contains(received, "ab " * 64 + "…", "first 64 bytes", "100 B")
        assert "ab " * 65 not in received, received


def test_demo_page_log_keeps_a_bounded_number_of_rows(t):
    with demo_page(t) as page:
        page.connect()
        page.browser.run(
            "for (let i = 0; i < 300; i++) document.querySelector('#send-form').requestSubmit();",
        )
        page.wait_fact("received", "300")
        equal(page.browser.run("return document.querySelector('#log').rows.length"), 500)
        contains(page.browser.text("#log-note"), "101 older dropped")  # 601 events: opened, 300 sent, 300 received


def test_demo_page_draws_a_burst(t):
    with demo_page(t) as page:
        page.connect()
        page.browser.fill("#burst-count", "0")
        page.browser.click("#burst")
        contains(page.wait_text("#burst-error", "whole number"), "1 to 10,000")

        page.browser.fill("#burst-count", "137")
        page.browser.fill("#burst-size", "200")
        page.browser.fill("#burst-window", "10")
        page.browser.click("#burst")
        page.browser.wait("document.querySelector('#plot').dataset.points === '137'", timeout=30)
        figures = {name: page.browser.text(f"#burst-{name}") for name in ("min", "median", "p95", "max")}
        for name, words in figures.items():
            assert words.endswith(" ms"), f"{name} is {words!r}"
        numbers = [float(words.replace("<", "").replace("ms", "")) for words in figures.values()]
        equal(numbers, sorted(numbers))

        # every message has its mark, as a dot or, above the scale, as a triangle
        marks = page.browser.run(
            "return ['#plot .dots', '#plot .above'].map(selector =>"
            " (document.querySelector(selector).getAttribute('d').match(/M/g) ?? []).length)"
        )
        equal(sum(marks), 137)
        contains(page.browser.run("return document.querySelector('#plot').getAttribute('aria-label')"), "137 messages")
        contains(page.wait_rows("burst")[0], "137 of 137 messages of 200 B", "27,400 B")
        page.wait_fact("sent", "137")
        page.wait_fact("received", "137")


def test_demo_page_ends_a_burst_with_its_connection(t):
    with demo_page(t) as page:
        page.connect()
        # closed in the same turn in which the burst begins: it can never be complete
        page.browser.run(
            "document.querySelector('#burst-count').value = 10000;"
            "document.querySelector('#burst-form').requestSubmit();"
            "document.querySelector('#close-form').requestSubmit();"
        )
        page.wait_state("closed")
        page.wait_text("#burst-error", "closed before every echo")
        equal(page.browser.text("#burst"), "Send burst")


def test_demo_page_stops_a_burst_and_logs_none_of_its_late_echoes(t):
    with demo_page(t) as page:
        page.connect()
        page.browser.run(
            "document.querySelector('#burst-count').value = 10000;"
            "document.querySelector('#burst-window').value = 1000;"
            "document.querySelector('#burst-form').requestSubmit();"  # Send burst
            "document.querySelector('#burst-form').requestSubmit();"  # which has become Stop
        )
        page.wait_text("#burst-error", "Stopped")
        page.send("after the burst")
        contains(page.wait_rows("received")[0], "after the burst")
        equal(page.events(), ["opened", "burst", "sent", "received"])
        page.wait_fact("received", "1,001")


def test_demo_page_closes_with_code_and_reason(t):
    with demo_page(t) as page:
        page.connect()
        page.browser.fill("#code", "4001")
        page.browser.fill("#reason", "time for tea")
        page.browser.click("#close")
        page.wait_state("closed")
        contains(page.browser.text("#state"), "4001")
        contains(page.wait_rows("closing")[0], "code 4001", "time for tea", "12 B")
        contains(page.wait_rows("closed")[0], "code 4001", ", clean")
        equal(page.events(), ["opened", "closing", "closed"])

        page.browser.fill("#code", "1000")
        page.browser.fill("#reason", "")
        page.connect()
        page.browser.click("#close")
        contains(page.wait_rows("closed", 2)[1], "code 1000", "normal closure, clean")


def test_demo_page_explains_a_bad_close_code_or_reason(t):
    with demo_page(t) as page:
        page.connect()
        for code in ("1001", "2999", "5000", "abc", ""):
            page.browser.fill("#code", code)
            page.browser.click("#close")
            page.wait_text("#code-error", "3000 to 4999")
            equal(page.browser.run("return document.activeElement.id"), "code")
        page.browser.fill("#code", "3000")
        page.browser.fill("#reason", "ü" * 62)
        page.browser.click("#close")
        page.wait_text("#reason-error", "124 bytes")
        equal(page.browser.text("#state"), "Connected")

        page.browser.fill("#reason", "ü" * 61 + "u")
        page.browser.click("#close")
        page.wait_state("closed")
        equal(page.browser.run("return document.querySelector('#code-error').hidden"), True)


def test_demo_page_shows_a_refused_origin(t):
    with demo_page(t) as page:
        page.browser.click(".chip[data-path='/refused']")
        equal(page.value("#url"), f"ws://{page.host}/refused")
        page.browser.click("#connect")
        page.wait_state("failed")
        equal(page.browser.text("#state"), "Failed")
        contains(page.wait_text("#problem", "refused"), "403", "Origin")
        contains(page.wait_rows("error")[0], "/refused")
        contains(page.wait_rows("closed")[0], "code 1006", "not clean")
        console = page.browser.console()
        assert any("403" in entry["message"] for entry in console), console

        page.browser.click(".chip[data-path='/ws']")
        page.connect()
        equal(page.browser.run("return document.querySelector('#problem').hidden"), True)


def test_demo_page_explains_a_bad_url_or_subprotocol(t):
    with demo_page(t) as page:
        for url, words in (
            ("", "Enter a URL"),
            ("no url at all", "not a URL"),
            ("/ws", "not a URL"),
            ("ws://", "not a URL"),
            ("http://127.0.0.1/ws", "ws:// instead of http://"),
            ("ftp://127.0.0.1/ws", "ftp:"),
            (f"ws://{page.host}/ws#part", "fragment"),
        ):
            page.browser.fill("#url", url)
            page.browser.click("#connect")
            page.wait_text("#url-error", words)
            equal(page.browser.run("return document.querySelector('#url').ariaInvalid"), "true")
        equal(page.browser.text("#state"), "Not connected")

        page.browser.fill("#url", f"ws://{page.host}/ws")
        for names, words in (("chat, bad/name", "bad/name"), ("chat chat", "twice")):
            page.browser.fill("#protocols", names)
            page.browser.click("#connect")
            page.wait_text("#protocols-error", words)
        page.browser.fill("#protocols", "chat")
        page.connect()
        equal(page.events(), ["opened"])
        equal(page.browser.console(), [])


def test_demo_page_shows_an_unknown_server_and_a_bad_handshake(t):
    with demo_page(t) as page, socket.socket() as deaf:
        # a static path answers no WebSocket handshake
        page.browser.fill("#url", f"ws://{page.host}/index.html")
        page.browser.click("#connect")
        page.wait_state("failed")
        page.wait_text("#problem", "refused")

        # bound and not listening: every connection is refused
        deaf.bind(("127.0.0.1", 0))
        page.browser.fill("#url", f"ws://127.0.0.1:{deaf.getsockname()[1]}/ws")
        page.browser.click("#connect")
        contains(page.wait_rows("error", 2)[1], "could not be reached")
        page.wait_state("failed")

        page.browser.fill("#url", f"ws://{page.host}/ws")
        page.connect()


def test_demo_page_works_by_keyboard_alone(t):
    with demo_page(t) as page:
        browser = page.browser

        def tab_to(element_id):
            seen = []
            for _ in range(40):
                browser.press("Tab")
                seen.append(browser.run("return document.activeElement.id || document.activeElement.tagName"))
                if seen[-1] == element_id:
                    ring = "return getComputedStyle(document.activeElement).outlineStyle"
                    equal(browser.run(ring), "solid")
                    return
            raise AssertionError(f"Tab never reached #{element_id}: {seen}")

        tab_to("url")
        tab_to("protocols")
        browser.type("chat")
        tab_to("connect")
        browser.press("Enter")
        page.wait_state("open")
        equal(browser.run("return document.activeElement.id"), "connect")
        equal(browser.text("#fact-protocol"), "chat")

        tab_to("message")
        browser.press("a", holding="Control")
        browser.type("by key")
        browser.press("Enter", holding="Shift")
        browser.type("board")
        browser.press("Enter")
        contains(page.wait_rows("received")[0], "by key\nboard")

        tab_to("burst-count")
        browser.press("a", holding="Control")
        browser.type("20")
        browser.press("Enter")
        browser.wait("document.querySelector('#plot').dataset.points === '20'")

        tab_to("code")  # around the end of the page and in from its beginning
        browser.press("a", holding="Control")
        browser.type("4002")
        tab_to("reason")
        browser.type("done")
        tab_to("close")
        browser.press("Space")
        page.wait_state("closed")
        contains(browser.text("#state"), "4002")
        equal(browser.run("return document.activeElement.id"), "close")


def test_demo_page_fits_phones_and_both_colour_schemes(t):
    long_word = "x" * 300
    backgrounds = []
    with demo_page(t) as page:
        browser = page.browser
        page.connect()
        page.send(long_word)
        page.wait_rows("received")
        browser.fill("#burst-count", "50")
        browser.click("#burst")
        browser.wait("document.querySelector('#plot').dataset.points === '50'")
        browser.fill("#code", "7")
        browser.click("#close")
        for scheme in ("light", "dark"):
            browser.set_colour_scheme(scheme)
            for width, height in ((320, 640), (375, 812), (768, 1024), (1280, 900)):
                browser.set_viewport(width, height, mobile=width < 700)
                equal(browser.run("return innerWidth"), width)
                # a desktop's scroll bar takes room that clientWidth leaves out
                equal(overflow(browser, "html"), 0)
                equal(overflow(browser, "#log-scroll"), 0)
                wide = browser.run(
                    "return [...document.querySelectorAll('body, body *')]"
                    ".filter(e => !e.closest('.visually-hidden, svg, thead, .wire'))"
                    ".filter(e => e.getBoundingClientRect().right > document.body.clientWidth + 0.5)"
                    ".map(e => e.id || e.className || e.tagName)"
                )
                equal(wide, [])
            backgrounds.append(browser.run("return getComputedStyle(document.body).backgroundColor"))
            equal(low_contrast(browser), [])
    assert backgrounds[0] != backgrounds[1], backgrounds


def overflow(browser, selector):
    """By how many pixels its content is wider than an element."""
    return browser.run("const e = document.querySelector(arguments[0]); return e.scrollWidth - e.clientWidth", selector)


def low_contrast(browser):
    """What has less than WCAG's 4.5:1 between its text and the nearest opaque background behind it."""
    return browser.run(
        """
        const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
        const rgba = colour => {
            canvas.clearRect(0, 0, 1, 1);
            canvas.fillStyle = colour;
            canvas.fillRect(0, 0, 1, 1);
            return canvas.getImageData(0, 0, 1, 1).data;
        };
        const luminance = ([r, g, b]) => [r, g, b].map(v => v / 255)
            .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
            .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
        const behind = element => {
            for (let e = element; e; e = e.parentElement) {
                const colour = rgba(getComputedStyle(e).backgroundColor);
                if (colour[3] > 220)
                    return colour;
            }
            return [255, 255, 255];
        };
        return [...document.querySelectorAll('body *')]
            .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || e.matches('input, textarea'))
            .filter(e => e.checkVisibility() && !e.closest('.visually-hidden'))
            .map(e => {
                const text = getComputedStyle(e);
                const pair = [luminance(rgba(e.closest('svg') ? text.fill : text.color)), luminance(behind(e))];
                const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
                return [ratio, `${e.id || e.className.baseVal || e.className || e.tagName}: ${ratio.toFixed(2)}`];
            })
            .filter(([ratio]) => ratio < 4.5)
            .map(([, words]) => words);
        """
    )
