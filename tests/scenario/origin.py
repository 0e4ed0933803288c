"""AllowedOrigins and RequireOrigin: which pages may open a WebSocket (RFC 6454, RFC 6455 10.2)."""

from harness import contains, equal, tag
from wire import TEXT, handshake_head, open_ws, request_head, status_of

ROUTES = {
    "open": "",
    "exact": "AllowedOrigins=https://app.example.com",
    "port": "AllowedOrigins=https://app.example.com:8443",
    "default-ports": "AllowedOrigins=https://app.example.com:443 http://app.example.com:80",
    "http": "AllowedOrigins=http://app.example.com",
    "wild": "AllowedOrigins=https://*.example.com",
    "wild-port": "AllowedOrigins=http://*.example.com:8080",
    "null": "AllowedOrigins=null",
    "any": "AllowedOrigins=*",
    "v6": "AllowedOrigins=http://[::1]:8080 https://[2001:db8::1]",
    "v4": "AllowedOrigins=http://127.0.0.1:8080",
    "puny": "AllowedOrigins=https://xn--bcher-kva.example",
    "several": "AllowedOrigins=https://one.example https://two.example\nAllowedOrigins=https://three.example",
    "require": "AllowedOrigins=https://app.example.com\nRequireOrigin=yes",
    "require-any": "AllowedOrigins=*\nRequireOrigin=yes",
    "cookie": "AllowedOrigins=https://app.example.com\nRequireOrigin=with-cookie",
    "require-open": "RequireOrigin=yes",
}

INI = "[listen main]\nAddress=127.0.0.1:0\n" + "".join(
    f"[route {name}]\nPath=/{name}\nAction=echo\n{keys}\n" for name, keys in ROUTES.items()
)


def status(t, port, route, origin=None, fields=()):
    origins = [] if origin is None else [("Origin", origin)]
    return status_of(t, port, handshake_head(f"/{route}", [*origins, *fields])).status


def check(t, port, cases):
    for route, origin, expected in cases:
        equal(status(t, port, route, origin), 101 if expected else 403, f"Origin {origin} on {route}")


@tag("tsan")
def test_origin_is_compared_by_scheme_host_and_port(t):
    check(
        t,
        t.daemon(INI).port("main"),
        (
            ("open", "https://anybody.example", True),
            ("open", "null", True),
            ("exact", "https://app.example.com", True),
            ("exact", "HTTPS://App.Example.COM", True),
            ("exact", "https://app.example.com:443", True),
            ("exact", "http://app.example.com", False),
            ("exact", "http://app.example.com:443", False),
            ("exact", "https://app.example.com:80", False),
            ("exact", "https://app.example.com:8443", False),
            ("exact", "https://app.example.com.evil.example", False),
            ("exact", "https://evilapp.example.com", False),
            ("exact", "https://example.com", False),
            ("exact", "https://app.example.co", False),
            ("exact", "wss://app.example.com", False),
            ("exact", "null", False),
            ("port", "https://app.example.com:8443", True),
            ("port", "https://app.example.com", False),
            ("port", "https://app.example.com:84430", False),
            ("default-ports", "https://app.example.com", True),
            ("default-ports", "http://app.example.com", True),
            ("default-ports", "http://app.example.com:443", False),
            ("http", "http://app.example.com:80", True),
            ("http", "https://app.example.com", False),
            ("puny", "https://xn--bcher-kva.example", True),
            ("puny", "https://XN--BCHER-KVA.example", True),
            ("puny", "https://b\u00fccher.example", False),
            ("several", "https://one.example", True),
            ("several", "https://two.example", True),
            ("several", "https://three.example", True),
            ("several", "https://four.example", False),
        ),
    )


def test_origin_wildcard_stands_for_one_or_more_labels(t):
    check(
        t,
        t.daemon(INI).port("main"),
        (
            ("wild", "https://a.example.com", True),
            ("wild", "https://a.b.example.com", True),
            ("wild", "https://A.B.EXAMPLE.com:443", True),
            ("wild", "https://example.com", False),
            ("wild", "https://.example.com", False),
            ("wild", "https://aexample.com", False),
            ("wild", "https://a.example.com.evil.example", False),
            ("wild", "https://a.example.com:8443", False),
            ("wild", "http://a.example.com", False),
            ("wild", "https://*.example.com", False),
            ("wild", "https://evil.example/.example.com", False),
            ("wild", "https://evil.example#.example.com", False),
            ("wild", "https://user@a.example.com", False),
            ("wild-port", "http://a.example.com:8080", True),
            ("wild-port", "http://a.example.com", False),
        ),
    )


def test_origin_null_any_and_addresses(t):
    check(
        t,
        t.daemon(INI).port("main"),
        (
            ("null", "null", True),
            ("null", "https://app.example.com", False),
            ("any", "https://whoever.example", True),
            ("any", "null", True),
            ("v6", "http://[::1]:8080", True),
            ("v6", "http://[::1]", False),
            ("v6", "https://[2001:db8::1]", True),
            ("v6", "https://[2001:DB8::1]:443", True),
            ("v6", "https://[2001:db8::2]", False),
            ("v4", "http://127.0.0.1:8080", True),
            ("v4", "http://127.0.0.1", False),
        ),
    )


def test_origin_that_is_no_origin_is_refused(t):
    check(
        t,
        t.daemon(INI).port("main"),
        [
            ("exact", origin, False)
            for origin in (
                "",
                "app.example.com",
                "//app.example.com",
                "https://app.example.com/",
                "https://app.example.com/path",
                "https://app.example.com?q",
                "https://app.example.com:",
                "https://app.example.com:x",
                "https://app.example.com https://app.example.com",
                "https://app.example.com, https://app.example.com",
                "https:app.example.com",
                "https:///app.example.com",
                "https://",
                "x" * 4000,
            )
        ],
    )


def test_origin_twice_is_always_refused(t):
    port = t.daemon(INI).port("main")
    good = ("Origin", "https://app.example.com")
    for route in ("open", "exact", "any", "require"):
        for other in (good, ("Origin", "https://evil.example"), ("ORIGIN", "null")):
            got = status_of(t, port, handshake_head(f"/{route}", [good, other])).status
            contains((400, 403), got)
            got = status_of(t, port, handshake_head(f"/{route}", [other, good])).status
            contains((400, 403), got)


def test_origin_may_be_absent_unless_it_is_required(t):
    port = t.daemon(INI).port("main")
    cookie = [("Cookie", "session=1")]
    app = "https://app.example.com"
    for route, origin, fields, expected in (
        ("open", None, [], 101),
        ("open", None, cookie, 101),
        ("exact", None, [], 101),
        ("exact", None, cookie, 101),
        ("null", None, [], 101),
        ("any", None, [], 101),
        ("require", None, [], 403),
        ("require", None, cookie, 403),
        ("require", app, [], 101),
        ("require", app, cookie, 101),
        ("require", "https://evil.example", [], 403),
        ("require-any", None, [], 403),
        ("require-any", "https://whoever.example", [], 101),
        ("cookie", None, [], 101),
        ("cookie", None, cookie, 403),
        ("cookie", None, [("cookie", "")], 403),
        ("cookie", app, cookie, 101),
        ("cookie", app, [], 101),
        ("cookie", "https://evil.example", [], 403),
        # it only means something where AllowedOrigins is set
        ("require-open", None, [], 101),
    ):
        equal(status(t, port, route, origin, fields), expected, f"{route} Origin {origin} {fields}")


def test_origin_policy_of_the_websocket_section_is_the_default_of_routes(t):
    ini = """
[listen main]
Address=127.0.0.1:0
[websocket]
AllowedOrigins=https://default.example
RequireOrigin=yes
[route plain]
Path=/plain
Action=echo
[route own]
Path=/own
Action=echo
AllowedOrigins=https://own.example
[route all]
Path=/all
Action=echo
AllowedOrigins=
RequireOrigin=no
"""
    port = t.daemon(ini).port("main")
    for route, origin, expected in (
        ("plain", "https://default.example", 101),
        ("plain", "https://own.example", 403),
        ("plain", None, 403),
        ("own", "https://own.example", 101),
        ("own", "https://default.example", 403),
        ("own", None, 403),
        ("all", "https://whoever.example", 101),
        ("all", None, 101),
    ):
        equal(status(t, port, route, origin), expected, f"{route} Origin {origin}")


def test_origin_refused_is_logged_and_the_daemon_goes_on(t):
    daemon = t.daemon(INI, access=True)
    port = daemon.port("main")
    response = status_of(t, port, handshake_head("/exact", [("Origin", "https://evil.example")]))
    equal(response.status, 403)
    line = daemon.access()[0]
    equal((line["status"], line["origin"], line["route"]), (403, "https://evil.example", "exact"))
    assert line["reason"], line
    # an ordinary request has no origin to be checked
    equal(status_of(t, port, request_head(target="/exact", fields=[("Origin", "https://evil.example")])).status, 426)
    ws = open_ws(t, port, "/exact", [("Origin", "https://app.example.com")])
    ws.text("x")
    ws.expect(TEXT, "x")
