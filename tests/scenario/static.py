"""Action=static: files, their types, conditions and ranges (RFC 9110), and no way out of the folder."""

import email.utils
import hashlib
import os
import time

from harness import alone, contains, equal, flavours, tag
from wire import connect, handshake_head, request_head, status_of

HELLO = b"hello, static world\n"


def served(t, **more):
    """Starts a daemon for a folder of its own; returns (daemon, port, folder)."""
    root = t.tmp / "root"
    (root / "sub").mkdir(parents=True)
    (root / "empty-folder").mkdir()
    (root / "hello.txt").write_bytes(HELLO)
    (root / "index.html").write_text("<title>top</title>\n")
    (root / "sub" / "index.html").write_text("<title>sub</title>\n")
    (root / "sub" / "page.html").write_text("<title>page</title>\n")
    (root / "empty.txt").write_bytes(b"")
    (t.tmp / "secret.txt").write_text("secret\n")
    ini = f"""
[listen main]
Address=127.0.0.1:0
[route files]
Path=/files/*
Action=static
DocumentRoot={root}
[route top]
Path=/*
Host=top.example
Action=static
DocumentRoot={root}
"""
    daemon = t.daemon(ini, **more)
    return daemon, daemon.port("main"), root


def get(t, port, path, fields=(), method="GET"):
    return connect(t, port).request(method, f"/files/{path}", fields)


@tag("tsan")
def test_static_file_comes_with_length_type_and_validators(t):
    _, port, _ = served(t)
    response = get(t, port, "hello.txt")
    equal((response.status, response.body), (200, HELLO))
    equal(response.all("Content-Length"), [str(len(HELLO))])
    assert response.get("Content-Type").startswith("text/plain"), response
    assert email.utils.parsedate_to_datetime(response.get("Last-Modified"))
    assert abs(email.utils.parsedate_to_datetime(response.get("Date")).timestamp() - time.time()) < 60
    assert response.get("ETag").strip('W/"'), response
    equal(get(t, port, "empty.txt").body, b"")
    equal(get(t, port, "hello.txt?v=1&x=/../").body, HELLO)
    # without a prefix
    response = connect(t, port).request(target="/sub/page.html", host="top.example")
    equal((response.status, response.body), (200, b"<title>page</title>\n"))


def test_static_types_by_the_names_ends(t):
    _, port, root = served(t)
    for end, kind in (
        ("html", "text/html"),
        ("css", "text/css"),
        ("js", "text/javascript"),
        ("mjs", "text/javascript"),
        ("json", "application/json"),
        ("svg", "image/svg+xml"),
        ("png", "image/png"),
        ("jpg", "image/jpeg"),
        ("gif", "image/gif"),
        ("webp", "image/webp"),
        ("ico", ("image/x-icon", "image/vnd.microsoft.icon")),
        ("txt", "text/plain"),
        ("wasm", "application/wasm"),
        ("woff2", "font/woff2"),
        ("pdf", "application/pdf"),
        ("HTML", "text/html"),
        ("unknown-end", "application/octet-stream"),
    ):
        (root / f"file.{end}").write_bytes(b"x")
        got = get(t, port, f"file.{end}").get("Content-Type").split(";")[0].strip()
        contains((kind,) if isinstance(kind, str) else kind, got)
    (root / "no-end").write_bytes(b"x")
    equal(get(t, port, "no-end").get("Content-Type"), "application/octet-stream")


def test_static_folder_shows_its_index_or_redirects_to_its_slash(t):
    _, port, _ = served(t)
    equal(get(t, port, "").body, b"<title>top</title>\n")
    equal(get(t, port, "sub/").body, b"<title>sub</title>\n")
    equal(get(t, port, "index.html").status, 200)
    for path, location in (("sub", "/files/sub/"), ("sub?a=b", "/files/sub/?a=b")):
        response = get(t, port, path)
        contains((301, 302, 307, 308), response.status)
        got = response.get("Location")
        assert got.endswith(location) and not got.startswith("//"), got
    contains((403, 404), get(t, port, "empty-folder/").status)
    contains((404, 301, 308), connect(t, port).request(target="/files").status)
    equal(get(t, port, "nothing.txt").status, 404)
    equal(get(t, port, "hello.txt/").status, 404)
    equal(get(t, port, "hello.txt/x").status, 404)


def test_static_names_may_be_escaped(t):
    _, port, root = served(t)
    for name, path in (
        ("a b.txt", "a%20b.txt"),
        ("ü.txt", "%C3%BC.txt"),
        ("50%.txt", "50%25.txt"),
        ("a+b.txt", "a+b.txt"),
        ("q?.txt", "q%3F.txt"),
        ("plain.txt", "pl%61in.txt"),
    ):
        (root / name).write_text(name)
        response = get(t, port, path)
        equal((response.status, response.body), (200, name.encode()), path)


# ---- conditions


def test_static_conditions_give_304(t):
    _, port, root = served(t)
    first = get(t, port, "hello.txt")
    tag_, date = first.get("ETag"), first.get("Last-Modified")
    past = "Sat, 01 Jan 2000 00:00:00 GMT"
    for fields, status in (
        ([("If-None-Match", tag_)], 304),
        ([("If-None-Match", f'"other", {tag_}')], 304),
        ([("If-None-Match", f'W/{tag_.removeprefix("W/")}')], 304),  # weak comparison
        ([("If-None-Match", "*")], 304),
        ([("If-None-Match", '"other"')], 200),
        ([("If-None-Match", "garbage")], 200),
        ([("If-Modified-Since", date)], 304),
        ([("If-Modified-Since", past)], 200),
        ([("If-Modified-Since", "garbage")], 200),
        ([("If-None-Match", '"other"'), ("If-Modified-Since", date)], 200),  # RFC 9110, 13.2.2
        ([("If-None-Match", tag_), ("If-Modified-Since", past)], 304),
    ):
        conn = connect(t, port)
        response = conn.request("GET", "/files/hello.txt", fields)
        equal(response.status, status, repr(fields))
        equal(response.get("ETag"), tag_)
        # no body came with a 304: the next response is where it should be
        equal(conn.request("GET", "/files/hello.txt").body, HELLO)
    # another content has another tag, even with the same size
    (root / "hello.txt").write_bytes(HELLO.swapcase())
    os.utime(root / "hello.txt", (1_000_000_000, 1_000_000_000))
    response = get(t, port, "hello.txt", [("If-None-Match", tag_)])
    equal((response.status, response.body), (200, HELLO.swapcase()))
    equal(response.get("Last-Modified"), "Sun, 09 Sep 2001 01:46:40 GMT")


def test_static_head_is_a_get_without_its_body(t):
    _, port, _ = served(t)
    conn = connect(t, port)
    got = conn.request("GET", "/files/hello.txt")
    head = conn.request("HEAD", "/files/hello.txt")
    equal(head.status, 200)
    for name in ("Content-Length", "Content-Type", "ETag", "Last-Modified"):
        equal(head.get(name), got.get(name), name)
    equal(conn.request("HEAD", "/files/nothing").status, 404)
    equal(conn.request("HEAD", "/files/").status, 200)
    equal(conn.request("GET", "/files/hello.txt").body, HELLO)


def test_static_ranges(t):
    _, port, _ = served(t)
    size = len(HELLO)
    for value, first, last in (
        ("bytes=0-4", 0, 4),
        ("bytes=0-0", 0, 0),
        ("bytes=5-", 5, size - 1),
        ("bytes=-5", size - 5, size - 1),
        ("bytes=-1000", 0, size - 1),
        (f"bytes={size - 1}-", size - 1, size - 1),
        ("bytes=2-100000", 2, size - 1),
        ("bytes=2-18446744073709551615", 2, size - 1),
        ("Bytes=0-4", 0, 4),
    ):
        response = get(t, port, "hello.txt", [("Range", value)])
        equal(response.status, 206, value)
        equal(response.body, HELLO[first : last + 1], value)
        equal(response.get("Content-Range"), f"bytes {first}-{last}/{size}", value)
        equal(response.get("Content-Length"), str(last - first + 1))
    for value in (f"bytes={size}-", f"bytes={size}-{size + 10}", "bytes=100000-100001", "bytes=-0"):
        response = get(t, port, "hello.txt", [("Range", value)])
        equal((response.status, response.get("Content-Range")), (416, f"bytes */{size}"), value)
    for value in ("bytes=5-2", "bytes=a-b", "bytes", "bytes=", "lines=0-4", "bytes=--5", "bytes=0-4x", "0-4"):
        response = get(t, port, "hello.txt", [("Range", value)])
        equal((response.status, response.body), (200, HELLO), value)
    # several at once may be refused to be split, but never answered with one of them
    response = get(t, port, "hello.txt", [("Range", "bytes=0-1,5-6")])
    assert response.status == 200 and response.body == HELLO or "multipart/byteranges" in response.get("Content-Type")
    equal(get(t, port, "empty.txt", [("Range", "bytes=0-")]).status, 416)
    contains((200, 206), get(t, port, "hello.txt", [("Range", "bytes=0-4")], "HEAD").status)


def test_static_range_only_if_the_file_is_the_same(t):
    _, port, _ = served(t)
    first = get(t, port, "hello.txt")
    part = ("Range", "bytes=0-4")
    contains((200, 206), get(t, port, "hello.txt", [part, ("If-Range", first.get("ETag"))]).status)
    if not first.get("ETag").startswith("W/"):
        equal(get(t, port, "hello.txt", [part, ("If-Range", first.get("ETag"))]).status, 206)
    for other in ('"other"', "Sat, 01 Jan 2000 00:00:00 GMT", "garbage"):
        response = get(t, port, "hello.txt", [part, ("If-Range", other)])
        equal((response.status, response.body), (200, HELLO), other)
    equal(get(t, port, "hello.txt", [part, ("If-None-Match", first.get("ETag"))]).status, 304)


# ---- no way out


def test_static_no_path_leads_out_of_the_folder(t):
    _, port, _ = served(t)
    for path in (
        "../secret.txt",
        "%2e%2e/secret.txt",
        "%2E%2E/secret.txt",
        ".%2e/secret.txt",
        "..%2fsecret.txt",
        "..%2Fsecret.txt",
        "%2e%2e%2fsecret.txt",
        "..%5csecret.txt",
        "..\\secret.txt",
        "sub/../../secret.txt",
        "sub/%2e%2e/%2e%2e/secret.txt",
        "./../secret.txt",
        "/../secret.txt",
        "//../secret.txt",
        "..;/secret.txt",
        "..%00/secret.txt",
        "%252e%252e/secret.txt",
        "..%c0%afsecret.txt",
        f"{t.tmp}/secret.txt",
        f"/{t.tmp}/secret.txt",
        f"%2f{str(t.tmp).strip('/')}/secret.txt",
        "/etc/passwd",
        "%2fetc/passwd",
    ):
        for host, prefix in (("localhost", "/files/"), ("top.example", "/")):
            response = connect(t, port).request(target=prefix + path, host=host)
            contains((400, 403, 404), response.status)
            assert b"secret\n" not in response.body and b"root:" not in response.body, path
    for path in ("hello.txt%00", "hello.txt%00.html", "hello%00.txt", "%00"):
        contains((400, 404), get(t, port, path).status)


def test_static_symbolic_links_do_not_lead_out(t):
    _, port, root = served(t)
    (root / "file-link.txt").symlink_to(t.tmp / "secret.txt")
    (root / "relative-link.txt").symlink_to("../secret.txt")
    (root / "folder-link").symlink_to(t.tmp)
    (root / "etc").symlink_to("/etc")
    (root / "loop").symlink_to("loop")
    (root / "dangling").symlink_to("nothing")
    for path in ("file-link.txt", "relative-link.txt", "folder-link/secret.txt", "etc/passwd", "loop", "dangling"):
        response = get(t, port, path)
        contains((403, 404), response.status)
    # one that stays inside may work or not
    (root / "inside.txt").symlink_to("hello.txt")
    response = get(t, port, "inside.txt")
    assert response.status in (403, 404) or response.body == HELLO, response.status


def test_static_what_is_no_file_is_not_opened(t):
    _, port, root = served(t)
    os.mkfifo(root / "fifo")
    contains((403, 404), get(t, port, "fifo").status)
    contains((403, 404), get(t, port, "x" * 255).status)
    contains((403, 404, 414), get(t, port, "x" * 300).status)
    contains((403, 404, 414), get(t, port, "x/" * 3000).status)


# ---- connections


@tag("tsan")
def test_static_keep_alive_and_pipelining(t):
    _, port, root = served(t)
    big = bytes(range(256)) * 20_000
    (root / "big.bin").write_bytes(big)
    conn = connect(t, port)
    for _ in range(20):
        equal(conn.request(target="/files/hello.txt").body, HELLO)
    paths = ("hello.txt", "big.bin", "nothing", "empty.txt", "sub/", "big.bin", "hello.txt")
    conn.send(b"".join(request_head(target=f"/files/{path}") for path in paths))
    got = [conn.read_response() for _ in paths]
    equal([r.status for r in got], [200, 200, 404, 200, 200, 200, 200])
    equal([len(r.body) for r in got if r.status == 200], [len(HELLO), len(big), 0, 19, len(big), len(HELLO)])
    # the next request byte by byte, then a WebSocket refused, then more
    for byte in request_head(target="/files/hello.txt"):
        conn.send(bytes([byte]))
    equal(conn.read_response().body, HELLO)


def test_static_connection_close_is_heeded(t):
    _, port, _ = served(t)
    conn = connect(t, port)
    response = conn.request(target="/files/hello.txt", fields=[("Connection", "close")])
    equal((response.status, response.body), (200, HELLO))
    contains(response.tokens("Connection"), "close")
    conn.expect_end(reset=False)
    conn = connect(t, port)
    conn.send(b"GET /files/hello.txt HTTP/1.0\r\n\r\n")
    equal(conn.read_response().body, HELLO)
    conn.expect_end(reset=False)
    # what follows a last request is not answered
    conn = connect(t, port)
    last = request_head(target="/files/hello.txt", fields=[("Connection", "close")])
    conn.send(last + request_head(target="/files/"))
    equal(conn.read_response().body, HELLO)
    conn.expect_end()


def test_static_half_closed_client_gets_its_response(t):
    _, port, _ = served(t)
    conn = connect(t, port)
    conn.send(request_head(target="/files/hello.txt"))
    conn.half_close()
    equal(conn.read_response().body, HELLO)
    conn.expect_end()


def test_static_other_methods_get_405_with_allow(t):
    _, port, _ = served(t)
    for method in ("POST", "PUT", "DELETE", "PATCH", "BREW", "get"):
        response = get(t, port, "hello.txt", method=method)
        equal(response.status, 405, method)
        allow = {part.strip() for part in response.get("Allow").split(",")}
        assert {"GET", "HEAD"} <= allow and method not in allow, allow
    contains((204, 200, 405), get(t, port, "hello.txt", method="OPTIONS").status)
    contains((400, 404, 405, 501), connect(t, port).request("CONNECT", "localhost:80").status)
    contains((404, 405), connect(t, port).request("TRACE", "/files/hello.txt").status)


def test_static_body_of_a_refused_request_is_no_request(t):
    _, port, _ = served(t)
    smuggled = request_head(target="/files/sub/page.html")
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(smuggled), smuggled)
    for fields, body in (
        ([("Content-Length", str(len(smuggled)))], smuggled),
        ([("Transfer-Encoding", "chunked")], chunked),
        ([("Content-Length", "3000000")], bytes(3_000_000)),
    ):
        for method in ("POST", "GET"):
            conn = connect(t, port)
            conn.send_as_far_as_possible(request_head(method, "/files/hello.txt", fields) + body)
            first = conn.read_response()
            contains((200, 405, 400, 413), first.status)
            if "close" in first.tokens("Connection"):
                conn.expect_end()
                continue
            equal(conn.request(target="/files/hello.txt").body, HELLO, f"after {method} {fields}")


def test_static_websocket_handshake_is_no_websocket(t):
    _, port, _ = served(t)
    contains((200, 400, 404, 426), status_of(t, port, handshake_head("/files/hello.txt")).status)


def test_static_changed_files_are_seen_at_once(t):
    _, port, root = served(t)
    conn = connect(t, port)

    def stays(body):
        """Until it is no file of this moment any more, which would not be kept."""
        changed = time.monotonic()
        while time.monotonic() < changed + 0.2:
            equal(conn.request(target="/files/now.txt").body, body)

    for i, size in enumerate((10, 100, 100, 100_000, 100_000, 10)):
        body = bytes([ord("a") + i]) * size
        (root / "now.txt").write_bytes(body)
        stays(body)
        (root / "next.txt").write_bytes(body.upper())
        os.rename(root / "next.txt", root / "now.txt")
        stays(body.upper())
    os.unlink(root / "now.txt")
    equal(conn.request(target="/files/now.txt").status, 404)


def test_static_files_do_not_stay_open(t):
    daemon, port, root = served(t)
    for i in range(100):
        (root / f"f{i}.bin").write_bytes(bytes(20000 * (i % 2)))
    files = daemon.open_files()
    conn = connect(t, port)
    for _ in range(3):
        for i in range(100):
            equal(conn.request(target=f"/files/f{i}.bin").status, 200)
    conn.abort()
    t.wait(lambda: daemon.open_files() <= files, what="files that nobody asks for are closed")


def test_static_moved_links_are_followed_within_a_second(t):
    daemon, port, root = served(t)
    for name in ("one", "two"):
        (root / name).mkdir()
        (root / name / "page.txt").write_text(name)
    os.symlink("one", root / "now")
    conn = connect(t, port)
    equal(conn.request(target="/files/now/page.txt").body, b"one")
    os.symlink("two", root / "new")
    os.rename(root / "new", root / "now")
    t.wait(lambda: conn.request(target="/files/now/page.txt").body == b"two", what="the moved link is followed")


# ---- large files


@tag("tsan")
def test_static_large_file_and_ranges_of_it(t):
    _, port, root = served(t)
    data = os.urandom(5_000_001)
    (root / "large.bin").write_bytes(data)
    conn = connect(t, port)
    for _ in range(3):
        equal(hashlib.sha256(conn.request(target="/files/large.bin").body).digest(), hashlib.sha256(data).digest())
    for first, last in ((0, 0), (1, 4_999_999), (16384, 16383 + 262144), (5_000_000, 5_000_000)):
        response = conn.request("GET", "/files/large.bin", [("Range", f"bytes={first}-{last}")])
        equal(response.status, 206)
        assert response.body == data[first:last + 1], (first, last)
    equal(conn.request("HEAD", "/files/large.bin").body, b"")
    # two pipelined: nothing between or behind them but a head
    conn.send(2 * request_head(target="/files/large.bin"))
    for _ in range(2):
        assert conn.read_response().body == data
    # a client that takes it slowly
    slow = connect(t, port, receive_buffer=4096)
    slow.send(request_head(target="/files/large.bin"))
    assert slow.read_response().body == data


@alone
@flavours("plain")
def test_static_large_file_streams_in_constant_memory(t):
    daemon, port, root = served(t)
    size = 64 << 20
    block = os.urandom(1 << 20)
    with open(root / "large.bin", "wb") as large:
        for _ in range(size >> 20):
            large.write(block)
    get(t, port, "hello.txt")
    before = daemon.peak_kib()
    stalled = [connect(t, port, receive_buffer=4096) for _ in range(20)]
    for conn in stalled:
        conn.send(request_head(target="/files/large.bin"))
    conn = connect(t, port)
    response = conn.request(target="/files/large.bin")
    equal(hashlib.sha256(response.body).digest(), hashlib.sha256(block * (size >> 20)).digest())
    grown = daemon.peak_kib() - before
    # 21 transfers of 64 MiB each, of which 20 hold BufferLimit or less
    assert grown < 16 * 1024, f"{grown} KiB more"


def test_static_file_that_shrinks_while_it_is_sent_ends_the_connection(t):
    daemon, port, root = served(t)
    path = root / "shrinking.bin"
    path.write_bytes(bytes(16 << 20))
    conn = connect(t, port, receive_buffer=4096)
    conn.send(request_head(target="/files/shrinking.bin"))
    conn.read_until(b"\r\n\r\n")
    os.truncate(path, 1000)
    rest = conn.read_all(30)
    assert len(rest) < 16 << 20, "the file was sent whole from nowhere"
    # a client that leaves in the middle
    path.write_bytes(bytes(16 << 20))
    conn = connect(t, port, receive_buffer=4096)
    conn.send(request_head(target="/files/shrinking.bin"))
    conn.read_until(b"\r\n\r\n")
    conn.abort()
    equal(get(t, port, "hello.txt").body, HELLO)
    # and no file stays open
    files = daemon.open_files()
    for _ in range(5):
        conn = connect(t, port, receive_buffer=4096)
        conn.send(request_head(target="/files/shrinking.bin"))
        conn.read_until(b"\r\n\r\n")
        conn.abort()
    t.wait(lambda: daemon.open_files() <= files, what="files that were being sent are closed")
