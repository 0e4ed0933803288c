"""wsdial at a terminal: the line that is typed, messages that come meanwhile, and the terminal afterwards."""

import os
import signal
import termios

from dialer import Terminal
from harness import equal
from wire import PONG, TEXT, Listener, answer_101


def open_terminal(t, *args, **options):
    """A wsdial at a terminal, and its server."""
    listener = Listener(t)
    terminal = Terminal(t, *args, f"ws://{listener.address}/ws", **options)
    server = listener.accept_request()
    answer_101(server)
    return terminal, server


def leave(terminal, server, status=0):
    server.expect_close(1000)
    server.send_close(1000)
    server.close()
    equal(terminal.end(), status)


def test_dial_terminal_line_is_not_torn(t):
    terminal, server = open_terminal(t)
    terminal.expect("> ")
    terminal.type("hel")
    terminal.expect("> hel")
    server.text("news")
    terminal.expect("news", "> hel")
    server.text("two\nlines")
    terminal.expect("news", "two", "lines", "> hel")
    terminal.type("lo\r")
    server.expect(TEXT, "hello")
    terminal.expect("lines", "> hello", "> ")
    server.text("answer")
    terminal.expect("> hello", "answer", "> ")
    terminal.type("\x04")
    leave(terminal, server)
    equal(terminal.screen[-3:], ["> hello", "answer", ""])


def test_dial_terminal_edits_with_its_own_characters(t):
    terminal, server = open_terminal(t)
    terminal.expect("> ")
    terminal.type("ab\x7f")
    terminal.expect("> a")
    terminal.type(" two words\x17")
    terminal.expect("> a two ")
    terminal.type("日本\x7f")
    terminal.expect("> a two 日")
    terminal.type("\x15")
    terminal.expect("> ")
    terminal.type("x\x16\x7f\x16\x04y\n")
    server.expect(TEXT, "x\x7f\x04y")
    terminal.expect("> x^?^Dy", "> ")
    terminal.type("a\x04b\x12\n")  # an end of file within a line is none here
    server.expect(TEXT, "ab")
    terminal.type("\n")
    server.expect(TEXT, "")
    terminal.type("\x04")
    leave(terminal, server)


def test_dial_terminal_follows_what_stty_says(t):
    listener = Listener(t)
    terminal = Terminal(t, f"ws://{listener.address}/ws")
    attributes = termios.tcgetattr(terminal.fd)
    attributes[6][termios.VERASE] = b"#"
    termios.tcsetattr(terminal.fd, termios.TCSANOW, attributes)
    server = listener.accept_request()
    answer_101(server)
    terminal.expect("> ")
    terminal.type("ab#c\x7f\n")
    server.expect(TEXT, "ac\x7f")
    terminal.type("\x04")
    leave(terminal, server)


def test_dial_terminal_shows_the_end_of_a_long_line(t):
    terminal, server = open_terminal(t, columns=20)
    terminal.expect("> ")
    terminal.type("0123456789" * 3)
    terminal.expect("> " + ("0123456789" * 3)[-17:])
    server.text("news")
    terminal.expect("news", "> " + ("0123456789" * 3)[-17:])
    terminal.type("\n")
    server.expect(TEXT, "0123456789" * 3)
    terminal.expect("> " + "0123456789" * 3, "> ")
    terminal.type("\x04")
    leave(terminal, server)


def test_dial_terminal_is_not_steered_by_messages(t):
    terminal, server = open_terminal(t)
    terminal.expect("> ")
    server.text("a\x1b[2Jb\x07\r\tc ä")
    terminal.expect("a\\x1b[2Jb\\x07\\x0d\tc ä", "> ")
    server.binary(b"\x00\x01ab\\\xff")
    terminal.expect("\\x00\\x01ab\\x5c\\xff", "> ")
    server.send_close(1008, "no \x1b[31m")
    server.expect_close(1008)
    server.close()
    equal(terminal.end(), 2)
    equal(terminal.screen[-2:], ['wsdial: the server closed with 1008 "no \\x1b[31m"', ""])


def test_dial_terminal_shows_frames_without_tearing(t):
    terminal, server = open_terminal(t, "-v")
    terminal.expect("> ")
    terminal.type("typ")
    terminal.expect("> typ")
    server.ping(b"x")
    terminal.expect("< frame ping fin length=1 payload=x", "> frame pong fin length=1 payload=x", "> typ")
    server.expect(PONG, b"x")
    terminal.type("\x15\x04")
    leave(terminal, server)


def test_dial_terminal_is_as_before_afterwards(t):
    for end in ("eof", "server", "interrupt", "twice", "terminate"):
        terminal, server = open_terminal(t)
        terminal.expect("> ")
        equal(terminal.settings(), termios.ISIG)
        terminal.type("half a line")
        terminal.expect("> half a line")
        if end == "eof":
            terminal.type("\x15\x04")
            server.expect_close(1000)
        elif end == "server":
            server.send_close(1000)
            server.expect_close(1000)
        elif end == "terminate":
            os.kill(terminal.pid, signal.SIGTERM)
            server.expect_close(1000)
        else:
            terminal.type("\x03")
            server.expect_close(1000)
        before = termios.ISIG | termios.ICANON | termios.ECHO | termios.IEXTEN
        if end == "twice":
            terminal.type("\x03")
            t.wait(lambda now=terminal: now.settings() == before)
            equal(terminal.end(), -signal.SIGINT)
            continue
        server.send_close(1000)
        server.close()
        t.wait(lambda now=terminal: now.settings() == before)
        equal(terminal.end(), 0)
        equal(terminal.screen[-1], "")


def test_dial_terminal_is_given_back_while_suspended(t):
    terminal, server = open_terminal(t)
    terminal.expect("> ")
    terminal.type("typed")
    terminal.expect("> typed")
    terminal.type("\x1a")
    _, status = os.waitpid(terminal.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), status
    equal(terminal.settings(), termios.ISIG | termios.ICANON | termios.ECHO | termios.IEXTEN)
    server.text("meanwhile")
    os.kill(terminal.pid, signal.SIGCONT)
    terminal.expect("meanwhile", "> typed")
    equal(terminal.settings(), termios.ISIG)
    terminal.type("\n")
    server.expect(TEXT, "typed")
    terminal.type("\x04")
    leave(terminal, server)


def test_dial_terminal_that_cannot_move_its_cursor(t):
    terminal, server = open_terminal(t, term="dumb")
    terminal.type("hello\n")
    server.expect(TEXT, "hello")
    equal(terminal.settings() & termios.ICANON, termios.ICANON)
    server.text("answer")
    terminal.expect("hello", "answer", "")
    terminal.type("\x04")
    leave(terminal, server)
    assert b"\033" not in terminal.raw, terminal.raw


def test_dial_terminal_error_before_it_is_open(t):
    listener = Listener(t)
    terminal = Terminal(t, f"ws://{listener.address}/ws")
    listener.accept_request().send("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    equal(terminal.end(), 1)
    equal(terminal.screen, ["wsdial: the handshake was refused: 403 Forbidden", ""])
