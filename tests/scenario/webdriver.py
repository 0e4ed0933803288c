"""A small W3C WebDriver client for headless Chromium: plain HTTP to a chromedriver that it starts itself.

Only the standard library. Waiting is done inside the page (a condition is looked at again and again until it holds or
its deadline has passed), so nothing here sleeps.
"""

import base64
import contextlib
import http.client
import json
import pathlib
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time

DRIVER_NAMES = ("chromedriver",)
BROWSER_NAMES = ("chromium", "chromium-browser", "google-chrome")
START_TIMEOUT_S = 30
COMMAND_TIMEOUT_S = 120
END_TIMEOUT_S = 10
ELEMENT_KEY = "element-6066-11e4-a52e-4f735466cecf"  # W3C WebDriver, 12.2

BROWSER_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
)

KEYS = {
    "Control": "\ue009",
    "Enter": "\ue007",
    "Escape": "\ue00c",
    "Shift": "\ue008",
    "Space": " ",
    "Tab": "\ue004",
}


class WebDriverError(Exception):
    """chromedriver refused a command, or a condition did not come true in time."""


def _which(names):
    return next((path for path in map(shutil.which, names) if path), None)


def missing():
    """Returns which program is not installed, or None when all is there."""
    if _which(DRIVER_NAMES) is None:
        return "chromedriver"
    if _which(BROWSER_NAMES) is None:
        return "chromium"
    return None


class Driver:
    """One chromedriver process, on a free port of its own choice."""

    def __init__(self, folder):
        self._process = subprocess.Popen(
            [_which(DRIVER_NAMES), "--port=0", f"--log-path={folder / 'chromedriver.log'}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        try:
            self.port = self._read_port()
        except BaseException:
            self.stop()
            raise

    def _read_port(self):
        deadline = time.monotonic() + START_TIMEOUT_S
        said = b""
        while True:
            ready, _, _ = select.select([self._process.stdout], [], [], max(0, deadline - time.monotonic()))
            chunk = self._process.stdout.read1(4096) if ready else b""
            if not chunk:
                raise WebDriverError(f"chromedriver did not start: {said.decode(errors='replace')!r}")
            said += chunk
            found = re.search(rb"on port (\d+)\.", said)
            if found:
                return int(found[1])

    def call(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=COMMAND_TIMEOUT_S)
        with contextlib.closing(connection):
            payload = None if method != "POST" else json.dumps(body or {})
            connection.request(method, path, payload, {"Content-Type": "application/json; charset=utf-8"})
            value = json.load(connection.getresponse())["value"]
        if isinstance(value, dict) and "error" in value:
            raise WebDriverError(f"{method} {path}: {value['error']}: {value.get('message', '')}")
        return value

    def stop(self):
        """Ends the process by its own id; it takes its browsers with it."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


class Browser:
    """One browser session: a fresh profile, the console and the network recorded."""

    def __init__(self, driver, profile, flags=()):
        self._driver = driver
        self._network = []
        options = {
            "binary": _which(BROWSER_NAMES),
            "args": [*BROWSER_FLAGS, *flags, f"--user-data-dir={profile}"],
        }
        always = {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            "timeouts": {"script": COMMAND_TIMEOUT_S * 1000},
        }
        answer = driver.call("POST", "/session", {"capabilities": {"alwaysMatch": always}})
        self._path = f"/session/{answer['sessionId']}"
        # leaves the browser's own start page, and forgets what that one asked for
        self.open("about:blank")
        self.console()
        self.network()
        self._network.clear()

    def _post(self, path, **body):
        return self._driver.call("POST", f"{self._path}/{path}", body)

    def quit(self):
        self._driver.call("DELETE", self._path)

    def open(self, url):
        self._post("url", url=url)

    def run(self, script, *arguments):
        """Runs the body of a function in the page and returns its value; a promise's when it is there."""
        return self._post("execute/sync", script=script, args=list(arguments))

    def wait(self, condition, *arguments, timeout=15, what=None):
        """Waits until condition, a JavaScript expression that may use args[0], args[1] …, is truthy; returns it."""
        script = f"""
            const args = Array.from(arguments), done = args.pop(), end = performance.now() + {timeout * 1000};
            (function look() {{
                let value = null, thrown = null;
                try {{
                    value = ({condition});
                }} catch (error) {{
                    thrown = String(error);
                }}
                if (value || thrown || performance.now() > end)
                    done([value || null, thrown]);
                else
                    setTimeout(look, 10);
            }})();"""
        value, thrown = self._post("execute/async", script=script, args=list(arguments))
        if value is None:
            wanted = f"{what or condition} {arguments or ''}"
            raise WebDriverError(f"{thrown} in {wanted}" if thrown else f"not within {timeout} s: {wanted}")
        return value

    def find(self, selector):
        return self._post("element", using="css selector", value=selector)[ELEMENT_KEY]

    def click(self, selector):
        # to the middle first: at the edge it may be under a header that stays in view
        self.run("document.querySelector(arguments[0]).scrollIntoView({ block: 'center' })", selector)
        self._post(f"element/{self.find(selector)}/click")

    def fill(self, selector, text):
        """Replaces what stands in a field, as a person would by typing."""
        element = self.find(selector)
        self._post(f"element/{element}/clear")
        if text:
            self._post(f"element/{element}/value", text=text)

    def text(self, selector):
        """What a person sees of the first element that matches."""
        return self._driver.call("GET", f"{self._path}/element/{self.find(selector)}/text")

    def press(self, *keys, holding=None):
        """Presses keys one after the other: names from KEYS or single characters."""
        codes = [KEYS.get(key, key) for key in keys]
        actions = [{"type": kind, "value": code} for code in codes for kind in ("keyDown", "keyUp")]
        if holding:
            held = KEYS[holding]
            actions = [{"type": "keyDown", "value": held}, *actions, {"type": "keyUp", "value": held}]
        self._post("actions", actions=[{"type": "key", "id": "keyboard", "actions": actions}])

    def type(self, text):
        """Types into whatever has the focus."""
        self.press(*text)

    def devtools(self, command, **parameters):
        return self._post("goog/cdp/execute", cmd=command, params=parameters)

    def set_colour_scheme(self, scheme):
        self.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def set_viewport(self, width, height, mobile=False, scale=1):
        self.devtools(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=mobile
        )

    def console(self):
        """The console's entries since the last call."""
        return self._post("se/log", type="browser")

    def network(self):
        """All DevTools events so far, as (method, parameters)."""
        for entry in self._post("se/log", type="performance"):
            event = json.loads(entry["message"])["message"]
            self._network.append((event["method"], event["params"]))
        return self._network

    def screenshot(self, path):
        png = self._driver.call("GET", f"{self._path}/screenshot")
        pathlib.Path(path).write_bytes(base64.b64decode(png))


@contextlib.contextmanager
def browser(*flags):
    """A browser of one's own, started with these flags too; gone with all its files at the end of the block."""
    with tempfile.TemporaryDirectory(prefix="webdriver.", ignore_cleanup_errors=True) as name:
        folder = pathlib.Path(name)
        driver = Driver(folder)
        try:
            session = Browser(driver, folder / "profile", flags)
            try:
                yield session
            finally:
                session.quit()
        finally:
            driver.stop()
