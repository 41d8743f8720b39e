"""Keep-alive HTTP/1.1 connections on one event loop: raw protocols, and the C parser of `httptools`.

A request handed to `Connections.send` ends exactly once, as an answer or as a failure with its reason, whatever the
server does: closes, sends garbage, streams forever, says nothing. Nothing is sent twice: a request that was lost on a
connection that the server closed is lost, and the caller must hear of it.
"""

from __future__ import annotations

import asyncio
import errno
import ssl
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from harness.client.http import MAX_BODY, Target, plain
from harness.errors import InfrastructureError

TICK = 0.05  # seconds between two looks for requests that are out of time
CLOSING = 5.0  # seconds that closing all connections may take
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL)  # this machine is at its end, not the server


@dataclass(slots=True, eq=False)
class Shot:
    """One request: which one it is, its bytes, and when it was due (`time.perf_counter`)."""

    number: int
    raw: bytes
    due: float


Answered = Callable[[Shot, int, bytes, float], None]  # with the status, the body, and the time at which it was whole
Failed = Callable[[Shot, str], None]  # with the reason


class Connections:
    """At most `limit` connections to one server, opened as they are needed, all closed at the end of the `with`.

    A request that is not over `timeout` seconds after it was due has failed, and its connection is closed.
    """

    def __init__(self, target: Target, *, limit: int, timeout: float, answered: Answered, failed: Failed) -> None:
        self._target, self._limit, self._timeout = target, limit, timeout
        self._answered, self._failed = answered, failed
        self._tls = ssl.create_default_context() if target.tls else None
        self._all: set[_Connection] = set()
        self._idle: list[_Connection] = []
        self._opening: set[asyncio.Task[None]] = set()
        self._waiting: deque[Shot] = deque()
        self._flying = 0
        self._crash: BaseException | None = None
        self._changed = asyncio.Event()  # nothing is on its way, a connection is gone, or something is wrong

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(self._crashed)
        self._watcher = self._loop.create_task(self._watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._limit = 0
        tasks = (self._watcher, *self._opening)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in tuple(self._all):
            connection.close()
        async with asyncio.timeout(CLOSING):
            await self._until(lambda: not self._all)

    def send(self, shot: Shot) -> None:
        """Send a request at once if a connection is free, else as soon as one is."""
        self._flying += 1
        while self._idle:
            connection = self._idle.pop()  # the last one used: the others may be closed by the server meanwhile
            if connection.is_open:
                connection.carry(shot)
                return
        self._waiting.append(shot)
        self._open()

    async def drained(self) -> None:
        """Wait until nothing is on its way. Raises InfrastructureError where this machine has no more sockets."""
        await self._until(lambda: not self._flying or self._crash is not None)
        if self._crash is not None:
            raise self._crash

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def _open(self) -> None:
        """Open connections for the requests that wait, as far as the limit allows."""
        while len(self._opening) < len(self._waiting) and len(self._opening) + len(self._all) < self._limit:
            task = self._loop.create_task(self._connect())
            self._opening.add(task)
            task.add_done_callback(self._opened)

    async def _connect(self) -> None:
        try:
            await self._loop.create_connection(
                lambda: _Connection(self), self._target.host, self._target.port, ssl=self._tls
            )
        except (OSError, ValueError) as exc:  # ValueError: a name that cannot be one
            if isinstance(exc, OSError) and exc.errno in EXHAUSTED:
                self._crash = InfrastructureError(
                    f"this machine opens no more connections: {exc}",
                    hint="Raise the limit of open files (`ulimit -n`), or name fewer clients in `contract.load`.",
                )
                self._changed.set()
            elif self._waiting:
                self._fail(self._waiting.popleft(), f"cannot connect: {exc}")

    def _opened(self, task: asyncio.Task[None]) -> None:
        self._opening.discard(task)
        self._open()

    def joined(self, connection: _Connection) -> None:
        """Take a connection that has just been opened."""
        self._all.add(connection)
        self.freed(connection)

    def freed(self, connection: _Connection) -> None:
        """Use a connection that carries nothing."""
        if self._waiting:
            connection.carry(self._waiting.popleft())
        else:
            self._idle.append(connection)

    def gone(self, connection: _Connection) -> None:
        """Forget a connection that is closed."""
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._changed.set()
        self._open()

    def over(self, shot: Shot, outcome: str | tuple[int, bytes, float]) -> None:
        """Report how a request ended: the reason why it failed, or status, body and time."""
        if isinstance(outcome, str):
            self._fail(shot, outcome)
            return
        self._flying -= 1
        self._answered(shot, *outcome)
        if not self._flying:
            self._changed.set()

    def _fail(self, shot: Shot, reason: str) -> None:
        self._flying -= 1
        self._failed(shot, reason)
        if not self._flying:
            self._changed.set()

    async def _watch(self) -> None:
        """Look now and then for requests that are out of time: one timer for all is cheaper than one for each."""
        reason = f"no answer within {self._timeout:g} s"
        while True:
            await asyncio.sleep(TICK)
            oldest = time.perf_counter() - self._timeout
            for connection in tuple(self._all):
                if connection.shot is not None and connection.shot.due < oldest:
                    connection.give_up(reason)
            while self._waiting and self._waiting[0].due < oldest:
                self._fail(self._waiting.popleft(), f"{reason}: no connection was free")

    def _crashed(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Take what was raised inside a callback: the loop would only log it, and its request would never end."""
        self._crash = context.get("exception") or RuntimeError(context["message"])
        self._changed.set()


class _Connection(asyncio.Protocol):
    """One connection; carries one request at a time. The methods `on_...` are called by the parser."""

    def __init__(self, owner: Connections) -> None:
        self.shot: Shot | None = None
        self._owner = owner
        self._parser = HttpResponseParser(self)
        self._transport: asyncio.Transport
        self._status = 0
        self._clear()

    def _clear(self) -> None:
        self._body: list[bytes] = []
        self._size = 0  # bytes received, the head included
        self._head = False  # its end was seen
        self._framed = False  # the head says where the body ends
        self._answers = 0
        self._keep = False
        self._encoding = ""

    @property
    def is_open(self) -> bool:
        """Whether a request can be sent on it."""
        return not self._transport.is_closing()

    def carry(self, shot: Shot) -> None:
        """Send a request."""
        self.shot = shot
        self._transport.write(shot.raw)

    def give_up(self, reason: str) -> None:
        """Fail the request that it carries, and close."""
        shot, self.shot = self.shot, None
        self.close()
        if shot is not None:
            self._owner.over(shot, reason)

    def close(self) -> None:
        """Close at once, without a farewell that the server could delay."""
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = transport  # type: ignore[assignment]  # asyncio names the base class only
        self._owner.joined(self)

    def data_received(self, data: bytes) -> None:
        """Read on; the answer is whole when the parser says so."""
        if self.shot is None:  # nobody asked: what follows could be taken for the next answer
            self.close()
            return
        self._size += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as exc:
            self.give_up("more than one answer" if self._answers else f"no HTTP answer: {exc}")
            return
        if self._size > MAX_BODY:
            self.give_up(f"an answer of more than {MAX_BODY} bytes")
        elif self._answers == 1:
            self._finish(self._status)
        elif self._answers:
            self.give_up("more than one answer")

    def connection_lost(self, exc: Exception | None) -> None:
        """End; an answer that announced no length ends with its connection."""
        if self.shot is not None and self._head and not self._framed and exc is None:
            self._finish(self._parser.get_status_code())
        elif self.shot is not None:
            self.give_up("closed in mid-answer" if self._size else "closed without an answer")
        self._owner.gone(self)

    def _finish(self, status: int) -> None:
        now = time.perf_counter()
        shot, keep = self.shot, self._keep
        body, problem = plain(b"".join(self._body), self._encoding)
        self.shot = None
        self._clear()
        if keep:
            self._owner.freed(self)
        else:
            self.close()
        if shot is not None:
            self._owner.over(shot, problem or (status, body, now))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note whether the head says where the body ends, and how it is encoded."""
        if name.lower() == b"content-encoding":
            self._encoding = value.decode("latin-1")
        if name.lower() in (b"content-length", b"transfer-encoding"):
            self._framed = True

    def on_headers_complete(self) -> None:
        """Note the end of the head."""
        self._head = True

    def on_body(self, data: bytes) -> None:
        """Keep a piece of the body."""
        self._body.append(data)

    def on_message_complete(self) -> None:
        """Note the end of an answer; `100 Continue` and the like only announce one."""
        self._status = self._parser.get_status_code()
        if self._status < 200:  # noqa: PLR2004 - 1xx
            self._body, self._head, self._framed = [], False, False
            return
        self._answers += 1
        self._keep = self._parser.should_keep_alive()
