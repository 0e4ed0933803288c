"""wsdial --ping, --load and --opens: what they print, for people and as JSON, and how they end."""

import json
import re
import signal

from dialer import ECHO, Running, dial, echo_url, node_h2_server, python_url, served
from harness import contains, equal, limit, tag, waits
from tls import Authority
from wire import BINARY, CLOSE, CONT, PING, PONG, TEXT, Listener, answer_101


# ---- --ping


@waits
def test_dial_ping_prints_as_ping_does(t):
    url = echo_url(t)
    done = dial(t, "--ping", 3, url).expect(0, None, "^$")
    lines = done.out.decode().splitlines()
    peer = url.split("/")[2]
    equal(lines[0], f"PING {url} ({peer}) 8 bytes of data.")
    for i in range(3):
        assert re.fullmatch(rf"8 bytes from {peer}: seq={i + 1} time=\d+\.\d{{3}} ms", lines[1 + i]), lines
    equal(lines[4:6], ["", f"--- {url} ping statistics ---"])
    assert re.fullmatch(r"3 pings transmitted, 3 received, 0% loss, time [23]\d{3}ms", lines[6]) or t.sanitized, lines
    rtt = re.fullmatch(r"rtt min/avg/max/mdev = ([\d.]+)/([\d.]+)/([\d.]+)/([\d.]+) ms", lines[7])
    low, mean, high, _ = map(float, rtt.groups())
    assert 0 < low <= mean <= high < 10_000, lines
    equal(len(lines), 8)


def test_dial_ping_json(t):
    for url, more, http in (
        (echo_url(t), [], "1.1"),
        (echo_url(t), ["--http2"], "2"),
        (f"ws://127.0.0.1:{node_h2_server(t)}/", ["--http2"], "2"),
    ):
        found = json.loads(dial(t, "--ping", 1, "--json", *more, url).expect(0).out)
        equal((found["url"], found["http"], found["tls"]), (url, http, None))
        equal((found["sent"], found["received"], found["loss_percent"]), (1, 1, 0))
        equal(len(found["times_ms"]), 1)
        equal(found["rtt_ms"]["min"], found["times_ms"][0])
        equal(set(found["rtt_ms"]), {"min", "avg", "max", "mdev"})


def test_dial_ping_over_tls(t):
    ca = Authority(t)
    pem, key = ca.issue("localhost")
    ini = ECHO.replace(":0\n", f":0\nTLS=yes\nCertificate={pem}\nCertificateKey={key}\n")
    url = f"wss://localhost:{t.daemon(ini).port('main')}/ws"
    found = json.loads(dial(t, "--ping", 1, "--json", "--cacert", ca.pem, url).expect(0).out)
    equal((found["http"], found["tls"], found["received"]), ("2", "TLSv1.3", 1))


@waits
def test_dial_ping_counts_what_is_lost(t):
    running, server = served(t, "--ping", 3, "--timeout", "500ms")
    first = server.recv_frame()
    equal((first.opcode, len(first.payload)), (PING, 8))
    server.send_frame(PONG, b"not ours")
    server.send_frame(PONG, first.payload)
    server.send_frame(PONG, first.payload)
    second = server.recv_frame()
    assert second.opcode == PING and second.payload != first.payload, second
    equal(server.recv_frame().opcode, PING)
    server.expect_close(1000)
    server.send_close(1000)
    server.close()
    out = running.end().expect(0).out.decode()
    contains(out, "seq=1 ", "3 pings transmitted, 1 received, 66.67% loss")
    equal(out.count("bytes from"), 1)
    # none at all
    running, server = served(t, "--ping", 1, "--timeout", "300ms", "--json")
    equal(server.recv_frame().opcode, PING)
    server.expect_close(1000)
    server.send_close(1000)
    server.close()
    found = json.loads(running.end().expect(2).out)
    equal((found["received"], found["loss_percent"], found["times_ms"], found["rtt_ms"]), (0, 100, [None], None))


def test_dial_ping_ends_with_its_summary(t):
    running, server = served(t, "--ping", 1000)
    ping = server.recv_frame()
    server.send_frame(PONG, ping.payload)
    contains(running.line(), "PING ws://")
    contains(running.line(), "seq=1 ")
    running.signal(signal.SIGINT)
    server.expect_close(1000)
    server.send_close(1000)
    server.close()
    contains(running.end().expect(0).out.decode(), "1 pings transmitted, 1 received")
    # a server that leaves
    running, server = served(t, "--ping", 1000)
    server.recv_frame()
    server.close()
    out = running.end().expect(2, None, "without a Close").out.decode()
    contains(out, "1 pings transmitted, 0 received, 100% loss")


def test_dial_ping_of_a_refusal(t):
    url = echo_url(t).replace("/ws", "/nowhere")
    dial(t, "--ping", 3, url).expect(1, "", "404")
    dial(t, "--load", "3,1,1", "--json", url).expect(1, "", "404")


# ---- --load


@tag("tsan")
def test_dial_load_prints_what_it_found(t):
    url = echo_url(t)
    done = dial(t, "--load", "5,3,1000", "--duration", "500ms", url).expect(0, None, "^$")
    lines = done.out.decode().splitlines()
    equal(lines[0], f"LOAD {url}: 5 connections, 3 messages of 1000 bytes in flight on each")
    found = re.fullmatch(r"(\d+) messages in ([\d.]+) s: (\d+) messages/s, ([\d.]+) MiB/s each way", lines[1])
    messages, seconds, rate, volume = map(float, found.groups())
    assert messages > 15 and 0.4 < seconds < 5 * t.factor, lines
    assert abs(messages / seconds - rate) < rate / 20, lines
    assert abs(rate * 1000 / (1 << 20) - volume) < 0.1, lines
    assert re.fullmatch(r"latency min/avg/max/mdev = [\d.]+/[\d.]+/[\d.]+/[\d.]+ ms", lines[2]), lines
    equal([line.split()[0] for line in lines[3:]], ["50%", "90%", "99%", "99.9%"])
    values = [float(line.split()[1]) for line in lines[3:]]
    equal(values, sorted(values))


def test_dial_load_json(t):
    url, h2 = echo_url(t), f"ws://127.0.0.1:{node_h2_server(t)}/"
    for where, more, expected in (
        (url, [], {"http": "1.1", "size": 100, "compressed": False}),
        (url, ["-b", "--http2"], {"http": "2", "size": 100, "compressed": False}),
        (h2, ["--http2"], {"http": "2", "size": 100, "compressed": False}),
    ):
        done = dial(t, "--load", "4,2,100", "--duration", "300ms", "--json", *more, where).expect(0, None, "^$")
        found = json.loads(done.out)
        equal({key: found[key] for key in expected}, expected)
        equal((found["connections"], found["in_flight"], found["url"]), (4, 2, where))
        assert found["messages"] >= 8 and found["messages_per_second"] > 0, found
        equal(list(found["latency_ms"]), ["min", "avg", "mdev", "p50", "p90", "p99", "p999", "max"])
        latency = found["latency_ms"]
        assert 0 < latency["min"] <= latency["p50"] <= latency["p99"] <= latency["max"], found


@limit(120)
def test_dial_load_of_any_size(t):
    url = echo_url(t, ECHO + "MaxMessageSize=64M\n")
    for c, m, s in ((1, 1, 0), (1, 100, 1), (2, 8, 125), (2, 8, 126), (2, 4, 65536), (1, 3, 3_000_000)):
        for more in ([], ["--http2"]):
            options = ["--load", f"{c},{m},{s}", "--duration", "200ms", "--json", *more]
            found = json.loads(dial(t, *options, url, timeout=60).expect(0, None, "^$").out)
            assert found["messages"] > 0 or t.sanitized, found
    found = json.loads(dial(t, "--load", "200,1,16", "--duration", "300ms", "--json", url).expect(0).out)
    equal(found["connections"], 200)


def test_dial_load_keeps_so_many_in_flight(t):
    running, server = served(t, "--load", "1,3,5", "--duration", "1s", "--json")
    first = [server.recv_frame() for _ in range(3)]
    equal({(f.opcode, len(f.payload)) for f in first}, {(TEXT, 5)})
    server.expect_silence(0.2)
    for _ in range(20):
        server.text(first[0].payload.decode())
        equal(server.recv_frame().opcode, TEXT)
        server.expect_silence(0)
    while True:
        got = server.recv_frame()
        if got.opcode == CLOSE:
            break
    server.send_close(1000)
    server.close()
    equal(json.loads(running.end().expect(0).out)["messages"], 20)


def test_dial_load_needs_an_echo(t):
    for answer in ("longer", b"hell\x00"):
        running, server = served(t, "--load", "1,1,5", "--duration", "30s")
        server.recv_frame()
        server.text(answer) if isinstance(answer, str) else server.binary(answer)
        server.expect_close(1000)
        server.send_close(1000)
        server.close()
        running.end().expect(2, None, "echoes")
    running, server = served(t, "--load", "1,1,5", "--duration", "30s")
    server.close()
    running.end().expect(2, None, "without a Close|reset")
    running, server = served(t, "--load", "1,1,5", "--duration", "30s")
    server.send_close(1001, "going")
    running.end().expect(2, None, 'closed with 1001 "going"')


def test_dial_load_ends_early(t):
    running, server = served(t, "--load", "1,1,10", "--duration", "1h", "--json")
    for _ in range(5):
        server.text(server.recv_frame().payload.decode())
    server.recv_frame()
    running.signal(signal.SIGINT)
    server.expect_close(1000)
    server.send_close(1000)
    server.close()
    equal(json.loads(running.end().expect(0).out)["messages"], 5)
    # before all are open there is nothing to tell
    listener = Listener(t)
    running = Running(t, "--load", "2,1,10", "--duration", "1h", f"ws://{listener.address}/")
    answer_101(listener.accept_request())
    listener.accept_request()
    running.signal(signal.SIGTERM)
    running.end().expect(-signal.SIGTERM)


def test_dial_load_compressed(t):
    url = python_url(t)
    for option in ("--compress", "--no-compress"):
        done = dial(t, "--load", "2,2,2000", "--duration", "300ms", option, "--json", url).expect(0)
        found = json.loads(done.out)
        equal(found["compressed"], option == "--compress")
        assert found["messages"] > 0, found


@tag("tsan")
def test_dial_load_with_several_streams(t):
    url, h2 = echo_url(t), f"ws://127.0.0.1:{node_h2_server(t)}/"
    for where in (url, h2):
        done = dial(t, "--load", "3,2,3000", "--streams", 4, "--duration", "300ms", "--json", where).expect(0, None, "^$")
        found = json.loads(done.out)
        equal((found["http"], found["connections"], found["streams"]), ("2", 3, 4))
        assert found["messages"] >= 24, found
    lines = dial(t, "--load", "2,1,1", "--streams", 3, "--duration", "10ms", url).expect(0).out.decode().splitlines()
    equal(lines[0], f"LOAD {url}: 2 connections of 3 WebSockets, 1 messages of 1 bytes in flight on each")
    dial(t, "--load", "2,1,1", "--streams", 3, url.replace("/ws", "/nowhere")).expect(1, None, "refused: 404")
    running, server = listening(t, "--load", "2,1,1", "--streams", 3)
    server.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    running.end().expect(2, None, "HTTP/2")
    running, server = listening(t, "--load", "2,1,1", "--streams", 3, "--timeout", "1s")
    running.end().expect(2, None, "timeout: no answer")


def listening(t, *args):
    listener = Listener(t)
    running = Running(t, *args, f"ws://{listener.address}/")
    return running, listener.accept()


def test_dial_load_on_tls(t):
    ca = Authority(t)
    pem, key = ca.issue("localhost")
    ini = ECHO.replace(":0\n", f":0\nTLS=yes\nCertificate={pem}\nCertificateKey={key}\n")
    url = echo_url(t, ini).replace("ws://", "wss://").replace("127.0.0.1", "localhost")
    for more, http in (["--http1.1"], "1.1"), ([], "2"), (["--streams", 3], "2"):
        for mode in (["--load", "2,2,20000"], ["--opens", 2]):
            args = [*mode, *more, "--duration", f"{t.factor}s", "--json", "--cacert", ca.pem, url]
            found = json.loads(dial(t, *args).expect(0, None, "^$").out)
            equal((found["http"], found["tls"]), (http, "TLSv1.3"))
            assert found.get("messages", 0) + found.get("opens", 0) > 0, found


def test_dial_load_in_runs(t):
    url = echo_url(t)
    for more in [], ["--streams", 2]:
        lines = "\n3,1K\n0,0,50ms\n1,70000,60s,2\n"
        done = dial(t, "--load", "5,2,100", "--duration", "100ms", "--on-input", "--json", *more, url, stdin=lines)
        ready, *runs = done.expect(0, None, "^$").out.decode().splitlines()
        equal(ready, "READY")
        runs = [json.loads(run) for run in runs]
        equal([(r["in_flight"], r["size"]) for r in runs], [(2, 100), (3, 1024), (0, 0), (1, 70000)])
        many = 5 * (2 if more else 1)
        assert runs[0]["messages"] >= 2 * many and runs[1]["messages"] >= 3 * many, runs
        equal((runs[2]["messages"], runs[2]["latency_ms"], runs[3]["messages"]), (0, None, 2 * many))
    dial(t, "--load", "1,1,1", "--on-input", url, stdin="1,x\n").expect(64, None, "IN_FLIGHT")
    dial(t, "--load", "1,1,1", "--on-input", url, stdin="1,1,1s,0\n").expect(64, None, "IN_FLIGHT")


def test_dial_load_runs_wait_for_what_is_out(t):
    """A run is over when all that it has sent came back, and counts it."""
    running, server = served(t, "--load", "1,2,3", "--on-input", "--json")
    equal(running.line(), "READY")
    running.type("2,3,100ms\n")
    first, second = server.recv_frame(), server.recv_frame()
    server.expect_silence(1)
    server.text(first.payload.decode())
    server.expect_silence(0.2)
    server.text(second.payload.decode())
    found = json.loads(running.line())
    equal(found["messages"], 2)
    assert found["duration_s"] > 1, found
    running.eof()
    server.expect_close(1000)
    server.send_close(1000)
    server.close()
    running.end().expect(0)


def test_dial_load_with_another_answer(t):
    for more in [], ["-b"]:
        running, server = served(t, "--load", "1,1,5", "--answer", 300, "--duration", "1s", "--json", *more)
        for _ in range(5):
            equal(len(server.recv_frame().payload), 5)
            server.binary(b"y" * 300)
        frame = server.recv_frame()
        while frame.opcode != CLOSE:
            frame = server.recv_frame()
        server.send_close(1000)
        server.close()
        equal(json.loads(running.end().expect(0).out)["messages"], 5)
    running, server = served(t, "--load", "1,1,5", "--answer", 300, "--duration", "30s")
    server.recv_frame()
    server.binary(b"y" * 301)
    server.expect_close(1000)
    server.send_close(1000)
    server.close()
    running.end().expect(2, None, "echoes")


def test_dial_load_takes_answers_in_any_pieces(t):
    """Fragments, single bytes, and control frames between them."""
    running, server = served(t, "-b", "--load", "1,1,300", "--duration", "30s")
    for step in (1, 7, 300):
        sent = server.recv_frame()
        equal((sent.opcode, len(sent.payload)), (BINARY, 300))
        server.send_frame(BINARY, sent.payload[:100], fin=False)
        server.send_frame(PING, b"here?")
        equal(server.recv_frame().payload, b"here?")
        server.send_frame(PONG, b"unasked")
        rest = server.frame(CONT, sent.payload[100:])
        for at in range(0, len(rest), step):
            server.send(rest[at : at + step])
    sent = server.recv_frame()
    server.binary(sent.payload[:299] + bytes([sent.payload[299] ^ 1]))
    server.expect_close(1000)
    server.send_close(1000)
    server.close()
    running.end().expect(2, None, "echoes")


# ---- --opens


@tag("tsan")
def test_dial_opens(t):
    url = echo_url(t)
    done = dial(t, "--opens", 3, "--duration", "300ms", url).expect(0, None, "^$")
    lines = done.out.decode().splitlines()
    equal(lines[0], f"OPENS {url}: 3 connections at a time")
    assert re.fullmatch(r"[1-9]\d* opened in [\d.]+ s: \d+/s", lines[1]), lines
    for more, http in ([], "1.1"), (["--streams", 4], "2"):
        args = ["--opens", 3, *more, "--on-input", "--json", "--duration", "200ms", url]
        _, first, second = dial(t, *args, stdin="\n\n").expect(0, None, "^$").out.decode().splitlines()
        for found in json.loads(first), json.loads(second):
            equal((found["http"], found["connections"]), (http, 3))
            assert found["opens"] >= 3 and found["opens_per_second"] > 0, found
            assert 0 < found["latency_ms"]["p50"] <= found["latency_ms"]["p99"], found
    dial(t, "--opens", 2, url.replace("/ws", "/nowhere")).expect(1, None, "404")
