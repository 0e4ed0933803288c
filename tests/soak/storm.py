"""A storm for the soak: storm.py PORT PATH COUNT opens so many WebSockets at once, sends a message on each when all are
open, and says how many came back."""

import resource
import selectors
import socket
import sys
import time

KEY = "c29hayBzb2FrIHNvYWsgcw=="
MESSAGE, ANSWER = b"\x82\x84\0\0\0\0WIND", b"\x82\x04WIND"


def main(port, path, count):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    head = (
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    ).encode()
    selector = selectors.DefaultSelector()
    socks = []
    for _ in range(count):
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(("127.0.0.1", port))
        selector.register(sock, selectors.EVENT_WRITE, bytearray())
        socks.append(sock)
    opened = echoed = 0
    wrong = []
    end = time.monotonic() + 200

    def turn(on_data):
        for key, events in selector.select(1):
            if events & selectors.EVENT_WRITE:
                error = key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if error:
                    wrong.append(f"connect: {error}")
                    selector.unregister(key.fileobj)
                    continue
                key.fileobj.send(head)
                selector.modify(key.fileobj, selectors.EVENT_READ, key.data)
                continue
            try:
                data = key.fileobj.recv(4096)
            except OSError as error:
                data, wrong[len(wrong) :] = b"", [str(error)]
            key.data.extend(data)
            if not data:
                wrong.append(f"ended after {bytes(key.data[:60])}")
                selector.unregister(key.fileobj)
            else:
                on_data(key)

    def on_head(key):
        nonlocal opened
        if key.data.endswith(b"\r\n\r\n"):
            if key.data.startswith(b"HTTP/1.1 101"):
                opened += 1
            else:
                wrong.append(bytes(key.data[:60]).decode())
            key.data.clear()

    def on_echo(key):
        nonlocal echoed
        if bytes(key.data) == ANSWER:
            echoed += 1
            key.data.clear()

    while opened + len(wrong) < count and time.monotonic() < end:
        turn(on_head)
    if not wrong:
        for sock in socks:
            sock.send(MESSAGE)
        while echoed + len(wrong) < count and time.monotonic() < end:
            turn(on_echo)
    print(f"{opened} opened, {echoed} echoed" + (f", {wrong[:5]}" if wrong else ""))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
