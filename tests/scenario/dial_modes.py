"""wsdial --ping and --load: what they print, for people and as JSON, and how they end."""

import json
import re
import signal

from dialer import ECHO, Running, dial, echo_url, node_h2_server, python_url, served
from harness import contains, equal, limit, tag, waits
from tls import Authority
from wire import CLOSE, PING, PONG, TEXT, Listener, answer_101


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
