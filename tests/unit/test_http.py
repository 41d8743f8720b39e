"""The HTTP client: whatever a server does is recorded, within its time, and nothing raises."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from harness.client import http
from harness.evidence.records import Exchange

Behaviour = Callable[[socket.socket], None]
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


@contextmanager
def _server(behaviour: Behaviour) -> Iterator[http.Target]:
    """Accept connections, read the request, and behave."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(5)

    def serve() -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            connection.settimeout(5)
            try:
                behaviour(connection)
            except OSError:
                return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield http.Target(*listener.getsockname()[:2])
    finally:
        listener.close()
        thread.join(timeout=5)


def _answering(answer: bytes) -> Behaviour:
    def behave(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(answer)

    return behave


def _ask(behaviour: Behaviour, timeout: float = 5.0, body: bytes = b"") -> Exchange:
    with _server(behaviour) as address:
        method = "POST" if body else "GET"
        return http.send(address, "/predict", case="c", method=method, body=body, timeout=timeout)


def test_answer() -> None:
    """An answer is recorded with its status, type, body and time."""
    exchange = _ask(_answering(OK))
    assert (exchange.status, exchange.content_type, exchange.response) == (200, "application/json", b"{}")
    assert (exchange.case, exchange.method, exchange.path, exchange.error) == ("c", "GET", "/predict", "")
    assert 0 < exchange.seconds < 5


def test_request_as_sent() -> None:
    """A POST carries the body byte for byte, as JSON."""
    seen: list[bytes] = []

    def behave(connection: socket.socket) -> None:
        seen.append(connection.recv(65536))
        while b"\xff[" not in seen[-1]:
            seen.append(seen[-1] + connection.recv(65536))
        connection.sendall(OK)

    assert _ask(behave, body=b"\xff[").request == b"\xff["
    assert b"Content-Type: application/json" in seen[-1]
    assert b"Content-Length: 2" in seen[-1]


@pytest.mark.parametrize("status", [201, 301, 404, 422, 500, 503])
def test_other_statuses(status: int) -> None:
    """Every status is an answer, a redirect too: nobody follows it."""
    exchange = _ask(_answering(f"HTTP/1.1 {status} X\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n".encode()))
    assert (exchange.status, exchange.error) == (status, "")


@pytest.mark.serial
def test_silence() -> None:
    """A server that never answers is a time-out on record."""
    exchange = _ask(lambda _connection: time.sleep(0.5), timeout=0.1)
    assert exchange.status is None
    assert exchange.error == "no answer within 0.1 s"
    assert exchange.seconds < 0.5


def test_hang_in_the_body() -> None:
    """A server that stops in the middle of its answer is a time-out on record, not an answer."""

    def behave(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{")
        time.sleep(0.5)

    exchange = _ask(behave, timeout=0.1)
    assert exchange.status is None
    assert "no answer within" in exchange.error


@pytest.mark.serial
def test_dripping_body() -> None:
    """A server that drips a byte at a time cannot hold the harness longer than the time limit."""

    def behave(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        for _ in range(30):
            connection.sendall(b"x")
            time.sleep(0.05)

    exchange = _ask(behave, timeout=0.3)
    assert exchange.seconds < 1.0
    assert exchange.status is None
    assert "no answer within 0.3 s" in exchange.error


@pytest.mark.parametrize("error", [ConnectionResetError, BrokenPipeError, ConnectionRefusedError, TimeoutError])
def test_a_connection_that_ends_while_it_is_made(error: type[OSError], monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that goes away resets a connection before it is there: nothing can be read from it."""

    def connect(_: object) -> None:
        raise error("gone")

    monkeypatch.setattr("http.client.HTTPConnection.connect", connect)
    exchange = http.send(http.Target("127.0.0.1", 1), "/", case="c", timeout=5.0)
    assert exchange.status is None
    assert exchange.error == ("no answer within 5 s" if error is TimeoutError else f"{error.__name__}: gone")


def test_nobody_listens() -> None:
    """A refused connection is on record."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        target = http.Target(*listener.getsockname()[:2])
    exchange = http.send(target, "/", case="c", timeout=1)
    assert exchange.status is None
    assert "ConnectionRefusedError" in exchange.error


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"hello\r\n\r\n",
        b"\x00\xff\xfe" * 100,
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"a" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 150 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}",
    ],
)
def test_broken_answers(answer: bytes) -> None:
    """A closed connection, garbage, or less than was announced is no answer, and says why."""
    exchange = _ask(_answering(answer))
    assert exchange.status is None
    assert exchange.error


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\n{}", b"{}"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", b"{}"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\n{}", b"{}"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", b"{}"),
    ],
)
def test_unusual_answers(answer: bytes, body: bytes) -> None:
    """Answers without a length, in chunks or after a 100 are read whole."""
    exchange = _ask(_answering(answer))
    assert (exchange.response, exchange.error) == (body, "")
    assert exchange.status in {200, 204}


@pytest.mark.parametrize("head", [b"Content-Length: 4000\r\n", b""])
def test_huge_body_is_cut(monkeypatch: pytest.MonkeyPatch, head: bytes) -> None:
    """An answer longer than the limit is cut there: it cannot fill the memory."""
    monkeypatch.setattr(http, "MAX_BODY", 1000)
    exchange = _ask(_answering(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + b"x" * 4000))
    assert exchange.status == 200
    assert exchange.response == b"x" * 1000
    assert "cut after 1000 bytes" in exchange.error


@pytest.mark.serial
def test_dripping_headers() -> None:
    """A server that drips header after header is as late as one that is silent."""

    def behave(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        for number in range(30):
            connection.sendall(f"X-{number}: x\r\n".encode())
            time.sleep(0.05)

    exchange = _ask(behave, timeout=0.3)
    assert exchange.seconds < 1.0
    assert exchange.error == "no answer within 0.3 s"


def test_an_early_refusal_is_read() -> None:
    """A server that refuses a large body before it has read it is answered 413, not lost."""

    def behave(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n{}")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(2**20):
            pass

    exchange = _ask(behave, body=b"x" * 8 * 2**20)
    assert (exchange.status, exchange.response) == (413, b"{}")
