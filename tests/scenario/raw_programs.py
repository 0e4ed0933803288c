"""Real programs behind Protocol=stream, lines and packet."""

import os
import socketserver
import subprocess
import sys
import threading

from harness import equal, tag
from raw_app import ini, read_messages, same
from wire import BINARY, TEXT, open_ws


class Shell(socketserver.BaseRequestHandler):
    """A shell for each connection, whose streams are the socket."""

    def handle(self):
        fd = self.request.fileno()
        script = self.server.script
        subprocess.run(["/bin/sh", "-c", script], stdin=fd, stdout=fd, stderr=subprocess.STDOUT, check=False)


def shell_server(t, script):
    class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
        daemon_threads = True
        request_queue_size = 64

    path = t.tmp / f"shell-{os.urandom(4).hex()}.sock"
    server = Server(str(path), Shell)
    server.script = script
    threading.Thread(target=server.serve_forever, daemon=True).start()
    t.at_end(server.server_close, late=True)
    t.at_end(server.shutdown, late=True)
    return f"unix:{path}"


@tag("tsan")
def test_raw_stream_to_a_shell(t):
    address = shell_server(t, "exec sh 2>&1")
    port = t.daemon(ini(address, "stream", backend="MessageType=text")).port("main")
    shells = [open_ws(t, port) for _ in range(8)]
    for number, ws in enumerate(shells):
        ws.text(f"x={number}\n")
        ws.text("echo $((x * x))\n")
    for number, ws in enumerate(shells):
        line = f"{number * number}\n"
        equal(read_messages(ws, len(line), TEXT).decode(), line)
        ws.text("seq 100000 | cksum; exit 3\n")
    expected = subprocess.run("seq 100000 | cksum", shell=True, capture_output=True, text=True, check=True).stdout
    for ws in shells:
        equal(read_messages(ws, len(expected), TEXT).decode(), expected)
        ws.expect_close(1000)
        ws.send_close()
        ws.expect_end(reset=False)


@tag("tsan")
def test_raw_lines_to_a_program_of_lines(t):
    address = shell_server(t, 'n=0; while read -r line; do n=$((n + 1)); echo "$n: $line"; done; echo "$n in all"')
    port = t.daemon(ini(address, "lines")).port("main")
    for _ in range(5):
        ws = open_ws(t, port)
        for number, line in enumerate(("one", "zwei", "", "4th"), 1):
            ws.text(line)
            ws.expect_message(TEXT, f"{number}: {line}")
        ws.send_close(1000, "enough")
        ws.expect_message(TEXT, "4 in all")
        ws.expect_close(1000, "enough")
        ws.expect_end(reset=False)


@tag("tsan")
def test_raw_stream_to_a_database(t):
    """SQL in, rows out, by SQLite's own shell; one database for all who are connected."""
    t.need("sqlite3", "stdbuf")
    address = shell_server(t, f"exec stdbuf -oL sqlite3 -batch {t.tmp}/app.db")
    port = t.daemon(ini(address, "stream", backend="MessageType=text")).port("main")
    writer, reader = open_ws(t, port), open_ws(t, port)
    writer.text("CREATE TABLE n (i INTEGER, word TEXT);\n")
    # a statement in as many messages as it likes
    for part in ("WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 20000) ",
                 "INSERT INTO n SELECT i, 'wört' || i FROM c;", "\n"):
        writer.text(part)
    writer.text("SELECT count(*), max(i) FROM n;\n")
    equal(read_messages(writer, 12, TEXT), b"20000|20000\n")
    rows = "".join(f"{i}|wört{i}\n" for i in range(1, 20001)).encode()
    reader.text("SELECT i, word FROM n ORDER BY i;\n")
    same(read_messages(reader, len(rows), TEXT), rows)
    for ws in (writer, reader):
        ws.send_close(1000)
        ws.expect_close(1000)
        ws.expect_end(reset=False)


PACKET_PROGRAM = """
import socket, sys
listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
listener.bind(sys.argv[1])
listener.listen()
print("ready", flush=True)
while True:
    peer, _ = listener.accept()
    while packet := peer.recv(1 << 18):
        peer.send(b"%d:" % len(packet) + packet[::-1])
    peer.close()
"""


@tag("tsan")
def test_raw_packet_to_a_program_of_packets(t):
    path = t.tmp / "packets.sock"
    program = t.spawn([sys.executable, "-c", PACKET_PROGRAM, path], stdout=subprocess.PIPE)
    equal(program.stdout.readline(), b"ready\n")
    port = t.daemon(ini(f"unix:{path}", "packet")).port("main")
    for _ in range(3):
        ws = open_ws(t, port)
        for size in (1, 10, 1000, 60_000):
            message = os.urandom(size)
            ws.binary(message)
            ws.expect(BINARY, b"%d:" % size + message[::-1])
        ws.send(b"".join(ws.frame(BINARY, b"%05d" % n) for n in range(200)))  # boundaries hold, however they come
        for n in range(200):
            ws.expect(BINARY, b"5:" + (b"%05d" % n)[::-1])
        ws.send_close(1000)
        ws.expect_close(1000)
        ws.expect_end(reset=False)
