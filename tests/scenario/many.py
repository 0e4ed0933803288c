"""A client with thousands of WebSockets, as a process of its own: many.py PORT COUNT.

Opens them all at once, then does what its standard input says, a word a line, and answers each with a line when all
connections have done it: "echo SIZE" (a message of so many bytes on each, which comes back) and "close" (the close
handshake on each). The answer is the word and how many did it; anything unexpected is on stderr, with exit status 1.
"""

import selectors
import socket
import sys
import time

import wire

AT_ONCE = 200  # connections being opened at a time
DEADLINE_S = 240


class Many:
    def __init__(self, port, count):
        self.address = ("127.0.0.1", port)
        self.count = count
        self.selector = selectors.DefaultSelector()
        self.got = {}
        self.end = time.monotonic() + DEADLINE_S

    def events(self):
        if time.monotonic() > self.end:
            raise TimeoutError("took too long")
        return self.selector.select(10)

    def open(self):
        head = wire.handshake_head()
        left, opening, opened = self.count, 0, 0
        while opened < self.count:
            while left and opening < AT_ONCE:
                sock = socket.socket()
                sock.setblocking(False)
                sock.connect_ex(self.address)
                self.selector.register(sock, selectors.EVENT_WRITE)
                left, opening = left - 1, opening + 1
            for key, mask in self.events():
                sock = key.fileobj
                if mask & selectors.EVENT_WRITE:
                    sock.send(head)
                    self.got[sock] = b""
                    self.selector.modify(sock, selectors.EVENT_READ)
                    continue
                self.got[sock] += sock.recv(4096)
                if not self.got[sock].startswith(b"HTTP/1.1 101 "):
                    raise ValueError(f"refused, the connection {opened + 1}: {self.got[sock]!r}")
                if self.got[sock].endswith(b"\r\n\r\n"):
                    opening, opened = opening - 1, opened + 1
        return opened

    def exchange(self, data, expected):
        """Sends data on each and waits until each has got exactly what is expected."""
        for sock in self.got:
            self.got[sock] = b""
            sock.send(data)
        missing = len(self.got)
        while missing:
            for key, _ in self.events():
                sock = key.fileobj
                part = sock.recv(65536)
                if not part:
                    if self.got[sock] != expected:
                        raise ValueError(f"ended after {self.got[sock]!r}")
                    self.selector.unregister(sock)
                self.got[sock] += part
                if self.got[sock] == expected:
                    missing -= bool(part)
                elif not expected.startswith(self.got[sock]):
                    raise ValueError(f"unexpected {self.got[sock]!r}")
        return len(self.got)

    def close(self):
        payload = wire.close_payload(1000)
        done = self.exchange(wire.frame(wire.CLOSE, payload), wire.frame(wire.CLOSE, payload, mask=None))
        for sock in self.got:
            sock.close()
        self.got.clear()
        return done


def main(port, count):
    many = Many(int(port), int(count))
    print("open", many.open(), flush=True)
    for line in sys.stdin:
        word, *numbers = line.split()
        if word == "close":
            done = many.close()
        else:
            payload = b"x" * int(numbers[0])
            done = many.exchange(wire.frame(wire.TEXT, payload), wire.frame(wire.TEXT, payload, mask=None))
        print(word, done, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
