"""The load generator: real requests at their times or by a number of clients, and every answer compared.

Two modes. *Open loop*: requests are sent at a constant rate whether or not earlier ones are answered, and a latency
counts from the time at which its request was due, so that a stalled server is not hidden (coordinated omission, Gil
Tene, "How not to measure latency", 2015). *Closed loop*: clients that each wait for their answer and ask again; this
finds the throughput. Each mode runs one event loop in the thread that calls it.
"""

from __future__ import annotations

import asyncio
import operator
import time
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.client.connections import Connections, Shot
from harness.client.http import JSON, Target
from harness.evidence.records import Step

KEPT = 2000  # latencies of one step that the record keeps
SAMPLES = 3  # other answers of one step that the record keeps
SHOWN = 300  # characters of an answer in a sample
CONNECTIONS = 256  # at most, in an open loop
TIMER = 0.001  # seconds: the loop's timers are that coarse, so shortly before a request is due it does not sleep
ARRIVING = 0.1  # part of a closed loop in which its clients come, one by one: connecting all at once is another test
AWAKE = 0.05  # part of the time that may be spent so: the service often runs on the same cores


@dataclass(frozen=True)
class LoadRequest:
    """One request body, and the answer that it got when nobody else was asking."""

    body: bytes
    expected: bytes


@dataclass(frozen=True)
class Traffic:
    """What is asked of whom: the requests are sent in turn, over and over, each with its own row.

    `same(expected, received)` says whether two answers that differ in their bytes are the same; it must not raise.
    `timeout` is in seconds and counts from the time at which a request is due.
    """

    target: Target
    path: str
    asks: tuple[LoadRequest, ...]
    same: Callable[[bytes, bytes], bool] = operator.eq
    content_type: str = JSON
    timeout: float = 30.0

    def open_loop(self, rate: float, seconds: float, *, connections: int = CONNECTIONS) -> Step:
        """Send `rate` requests a second for a time, whether or not they are answered; returns when all are over."""
        return asyncio.run(_open_loop(self, rate, seconds, connections))

    def closed_loop(self, clients: int, seconds: float) -> Step:
        """Let `clients` ask again and again for a time, each after its answer; returns when all are over."""
        return asyncio.run(_closed_loop(self, clients, seconds))


def thinned(values: Sequence[float], limit: int = KEPT) -> tuple[float, ...]:
    """Return at most `limit` of sorted values: the largest of each of `limit` stretches of equal length.

    With 2000 of them every percentile that is a multiple of 0.05, and the maximum, is exactly that of all values
    (by nearest rank).
    """
    if len(values) <= limit:
        return tuple(values)
    return tuple(values[-(-number * len(values) // limit) - 1] for number in range(1, limit + 1))


async def _open_loop(traffic: Traffic, rate: float, seconds: float, limit: int) -> Step:
    tally = _Tally(traffic)
    late = array("d")
    async with Connections(
        traffic.target, limit=limit, timeout=traffic.timeout, answered=tally.take, failed=tally.fail
    ) as server:
        start = time.perf_counter()
        awake = min(TIMER, AWAKE / rate)
        for number in range(max(1, round(rate * seconds))):
            due = start + number / rate
            while (left := due - time.perf_counter()) > 0:  # noqa: ASYNC110 - it waits for a time, not for a state
                await asyncio.sleep(max(left - awake, 0))
            late.append(time.perf_counter() - due)
            server.send(tally.shot(due))
            await asyncio.sleep(0)  # look at answers between requests that are overdue
        await server.drained()
        lasted = time.perf_counter() - start
    return tally.step(lasted, rate=rate, late=sorted(late)[-(-99 * len(late) // 100) - 1])


async def _closed_loop(traffic: Traffic, clients: int, seconds: float) -> Step:
    tally = _Tally(traffic)

    def again() -> None:
        now = time.perf_counter()
        if now < end:
            server.send(tally.shot(now))

    def answered(shot: Shot, status: int, body: bytes, now: float) -> None:
        tally.take(shot, status, body, now)
        again()

    def failed(shot: Shot, reason: str) -> None:
        tally.fail(shot, reason)
        again()

    async with Connections(
        traffic.target, limit=clients, timeout=traffic.timeout, answered=answered, failed=failed
    ) as server:
        start = time.perf_counter()
        end = start + seconds
        for number in range(clients):
            if number:
                await asyncio.sleep(seconds * ARRIVING / clients)
            server.send(tally.shot(time.perf_counter()))
        await server.drained()
        lasted = time.perf_counter() - start
    return tally.step(lasted, clients=clients)


class _Tally:
    """Counts what becomes of the requests of one step: each ends as answered or as an error."""

    def __init__(self, traffic: Traffic) -> None:
        self._asks, self._same = traffic.asks, traffic.same
        self._raw = tuple(_request(traffic, ask) for ask in traffic.asks)
        self._sent = 0
        self._latencies = array("d")
        self._errors: Counter[str] = Counter()
        self._crossed: Counter[str] = Counter()
        self._samples: list[str] = []

    def shot(self, due: float) -> Shot:
        """Return the next request."""
        number = self._sent % len(self._asks)
        self._sent += 1
        return Shot(number, self._raw[number], due)

    def take(self, shot: Shot, status: int, body: bytes, now: float) -> None:
        """Count an answer."""
        if not 200 <= status < 300:  # noqa: PLR2004 - 2xx
            self._errors[f"status {status}"] += 1
            return
        expected = self._asks[shot.number].expected
        if body != expected and not self._same(expected, body):
            owner = next((n for n, ask in enumerate(self._asks) if self._same(ask.expected, body)), None)
            if owner is None:
                self._errors["other answer"] += 1
                if len(self._samples) < SAMPLES:
                    self._samples.append(f"request {shot.number}: expected {_shown(expected)}, received {_shown(body)}")
                return
            self._crossed[f"request {shot.number} got the answer of request {owner}"] += 1
        self._latencies.append(now - shot.due)

    def fail(self, _shot: Shot, reason: str) -> None:
        """Count a request without an answer."""
        self._errors[reason] += 1

    def step(self, seconds: float, *, rate: float | None = None, clients: int | None = None, late: float = 0.0) -> Step:
        """Return the record."""
        return Step(
            rate=rate,
            clients=clients,
            seconds=seconds,
            sent=self._sent,
            answered=len(self._latencies),
            latencies=tuple(round(value, 6) for value in thinned(sorted(self._latencies))),
            errors=dict(self._errors),
            crossed=dict(self._crossed),
            samples=tuple(self._samples),
            late=late,
        )


def _request(traffic: Traffic, ask: LoadRequest) -> bytes:
    """Return a whole request as bytes, so that nothing is put together while time is measured."""
    target = traffic.target
    host = f"[{target.host}]" if ":" in target.host else target.host
    lines = (
        f"POST {target.prefix}{traffic.path} HTTP/1.1",
        f"Host: {host}:{target.port}",
        f"Accept: {JSON}",
        "Accept-Encoding: identity",
        f"Content-Type: {traffic.content_type}",
        f"Content-Length: {len(ask.body)}",
    )
    return "\r\n".join((*lines, "", "")).encode("latin-1") + ask.body


def _shown(body: bytes) -> str:
    text = body[: SHOWN + 1].decode(errors="replace")
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."
