"""A small HTTP client over `http.client`: one request, one `Exchange`, whatever happens.

Nothing here raises for what a server does: a refused connection, a time-out or a broken answer is evidence.
"""

from __future__ import annotations

import http.client
import socket
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from harness.errors import DescriptionError
from harness.evidence.records import Exchange

MAX_BODY = 32 * 1024 * 1024  # an answer longer than this is cut: a runaway server must not fill the memory

JSON = "application/json"
GZIP, DEFLATE = ("gzip", "x-gzip"), ("deflate",)
LATE = "no answer within"


@dataclass(frozen=True)
class Target:
    """Where a service answers; `prefix` stands before every path."""

    host: str
    port: int
    tls: bool = False
    prefix: str = ""

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read `http://host:port/prefix`. Raises DescriptionError."""
        hint = "Give the root of the service, for example http://127.0.0.1:8080."
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as exc:
            raise DescriptionError(f"{url!r} is no URL: {exc}", hint=hint) from exc
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise DescriptionError(f"expected an http or https URL with a host, received {url!r}", hint=hint)
        tls = parts.scheme == "https"
        return cls(parts.hostname, port or (443 if tls else 80), tls, parts.path.rstrip("/"))

    @property
    def url(self) -> str:
        """The URL of its root, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}{self.prefix}"

    def connect(self, timeout: float) -> http.client.HTTPConnection:
        """Return a connection, not open yet."""
        kind = http.client.HTTPSConnection if self.tls else http.client.HTTPConnection
        return kind(self.host, self.port, timeout=timeout)


def send(
    target: Target,
    path: str,
    *,
    case: str,
    method: str = "GET",
    body: bytes = b"",
    content_type: str = JSON,
    headers: Mapping[str, str] | None = None,
    timeout: float = 10.0,
) -> Exchange:
    """Send one request on a fresh connection and record the answer; a redirect is an answer and not followed.

    `timeout` is in seconds and bounds the whole exchange, so that a server that hangs or drips is recorded as such.
    `headers` are sent beside the Content-Type and in place of our own.
    """
    start = time.perf_counter()
    status: int | None = None
    heard = http.client.HTTPMessage()
    answer, error = b"", ""
    connection = target.connect(timeout)
    sent = {"Accept": JSON, "Connection": "close", **(headers or {})}
    sent_type = content_type if body or method == "POST" else ""
    if sent_type:
        sent["Content-Type"] = sent_type
    try:
        with _at_most(connection, timeout) as expired:
            connection.connect()  # by itself: of a connection that is reset while it is made nothing can be read
            with suppress(BrokenPipeError, ConnectionResetError):  # a large body may be refused before it is read
                connection.request(method, target.prefix + path, body=body or None, headers=sent)
            response = connection.getresponse()
            raw, is_cut = _read(response)
            status, heard = response.status, response.headers
            if is_cut:
                answer, error = bytes(raw), f"the answer is too long: cut after {MAX_BODY} bytes"
            else:
                answer, error = plain(bytes(raw), heard.get("Content-Encoding", ""))
    except (OSError, http.client.HTTPException, ValueError) as exc:  # ValueError: a header that no request can have
        late = expired.is_set() or isinstance(exc, TimeoutError)
        error = f"{LATE} {timeout:g} s" if late else f"{type(exc).__name__}: {exc}"
    finally:
        connection.close()
    return Exchange(
        case=case,
        method=method,
        path=path,
        request=body,
        status=status,
        content_type=heard.get("Content-Type", ""),
        response=answer,
        seconds=time.perf_counter() - start,
        error=error,
        request_type=sent_type,
        location=heard.get("Location", ""),
        retry_after=heard.get("Retry-After", ""),
    )


def plain(body: bytes, encodings: str) -> tuple[bytes, str]:
    """Return a body without its Content-Encoding; or as it came, and why it cannot be read.

    Servers and proxies compress although `identity` was asked for; every common client reads gzip and deflate.
    """
    try:
        for encoding in reversed([each.strip().lower() for each in encodings.split(",")]):
            if encoding in GZIP:
                body = _inflated(body, 16 + zlib.MAX_WBITS)
            elif encoding in DEFLATE:  # with the header of zlib, as RFC 9110 says, or as some send it, without
                body = _inflated(body, zlib.MAX_WBITS if body[:1] == b"\x78" else -zlib.MAX_WBITS)
            elif encoding not in ("", "identity"):
                return body, f"the answer is encoded as {encoding}, though only `identity` was asked for"
    except zlib.error as exc:
        return body, f"the answer says that it is encoded as {encodings}, and is not: {exc}"
    return body, ""


def _inflated(body: bytes, window: int) -> bytes:
    """Return what was compressed. Raises zlib.error, also for more than MAX_BODY bytes."""
    found = b""
    while body:  # a gzip file may have several members
        reader = zlib.decompressobj(window)
        found += reader.decompress(body, MAX_BODY - len(found) + 1)
        if len(found) > MAX_BODY:
            raise zlib.error(f"more than {MAX_BODY} bytes")
        if not reader.eof:
            raise zlib.error("it ends too soon")
        body = reader.unused_data
    return found


def is_late(exchange: Exchange) -> bool:
    """Whether there was no answer because the time was over, and not because the connection failed."""
    return exchange.status is None and exchange.error.startswith(LATE)


def _read(response: http.client.HTTPResponse) -> tuple[bytearray, bool]:
    """Return the body and whether it was cut. Raises IncompleteRead for less than was announced."""
    answer = bytearray()
    announced = response.length  # None: in chunks, or until the connection closes
    wanted = MAX_BODY if announced is None else min(announced, MAX_BODY)
    while len(answer) < wanted and (chunk := response.read1(wanted - len(answer))):
        answer += chunk
    if announced is not None and len(answer) < wanted:
        raise http.client.IncompleteRead(bytes(answer), wanted - len(answer))
    return answer, len(answer) >= MAX_BODY


@contextmanager
def _at_most(connection: http.client.HTTPConnection, seconds: float) -> Iterator[threading.Event]:
    """End a connection after its time, however its server drips; the event says that this has happened."""
    expired = threading.Event()

    def end() -> None:
        expired.set()
        if connection.sock is not None:
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield expired
        if expired.is_set():  # the end of the connection may look like the end of an answer
            raise TimeoutError
    finally:
        timer.cancel()
