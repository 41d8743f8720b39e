"""Asks the service to stop while requests are in flight, and records what became of them; the last that a run does."""

from __future__ import annotations

import http.client
import math
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle, islice

from harness.dialects import DIALECTS
from harness.dialects.protocol import Dialect
from harness.engine import Running
from harness.http import JSON, Target
from harness.records import Contract, Exchange, Stop
from harness.stages import Run

GRACE = 10.0  # seconds, the engine's default where the container names none
CLIENTS = (4, 64)  # at least, at most
QUEUE = 0.5  # seconds of work that waits at the service when the signal is sent: that itself takes 0.02 s or more
WARM_UP = 5.0  # seconds at most until every client has been answered once
SLACK = 5.0  # seconds for which answers are waited for beyond the limit
MOST = 0.75
ERRORS = 3  # after so many a client asks no more


@dataclass
class _Client:
    """One connection, kept alive, over which recorded requests are sent one after the other."""

    exchanges: Sequence[Exchange]
    warm: threading.Event = field(default_factory=threading.Event)
    sent_at: float = 0.0  # when the last request was wholly sent
    waits: bool = False  # for the answer to it
    answered: int = 0
    last: Exchange | None = None
    ended_at: float = 0.0  # when `last` was answered, or was lost

    def ask(self, target: Target, closing: threading.Event, timeout: float) -> None:
        """Ask again and again until `closing` is set."""
        connection = target.connect(timeout)
        errors = 0
        for exchange in cycle(self.exchanges):
            if closing.is_set() or errors > ERRORS:
                break
            self.last = self._send(connection, target.prefix + exchange.path, exchange)
            self.ended_at = time.monotonic()
            if self.last.error:
                errors += 1
                connection.close()
            else:
                self.answered += 1
                self.warm.set()
        connection.close()

    def _send(self, connection: http.client.HTTPConnection, path: str, known: Exchange) -> Exchange:
        start = time.monotonic()
        status, kind, body, error = None, "", b"", ""
        try:
            headers = {"Accept": JSON, "Content-Type": known.request_type or JSON}
            connection.request(known.method, path, body=known.request, headers=headers)
            self.sent_at, self.waits = time.monotonic(), True
            response = connection.getresponse()
            body = response.read()
            status, kind = response.status, response.headers.get("Content-Type", "")
        except (OSError, http.client.HTTPException) as exc:
            error = f"{type(exc).__name__}: {exc}"
        self.waits = False
        return replace(
            known, status=status, content_type=kind, response=body, seconds=time.monotonic() - start, error=error
        )


def collect(run: Run, server: Running, target: Target, contract: Contract) -> Stop:
    """Send known-good requests over some connections, then the container's stop signal; wait for its end.

    Counted are requests that were wholly sent before the signal, over connections on which the service had answered
    before, and that were not answered when the engine had delivered the signal.
    """
    dialect = DIALECTS[contract.interface.dialect]
    config = run.engine.inspect(server.container).get("Config", {})
    name = str(config.get("StopSignal") or "SIGTERM")
    limit = dialect.stop_within or float(config.get("StopTimeout") or GRACE)
    good = good_exchanges(contract, dialect)
    clients = [_Client([*good[i % len(good) :], *good[: i % len(good)]]) for i in range(clients_for(good))]
    closing = threading.Event()
    threads = [
        threading.Thread(target=client.ask, args=(target, closing, limit + SLACK), daemon=True) for client in clients
    ]
    for thread in threads:
        thread.start()
    warm = _warm(clients)
    answered = sum(client.answered for client in clients)
    under_way = [(client, client.sent_at) for client in warm if client.waits]
    closing.set()
    before = time.monotonic()
    server.signal(name)
    delivered = time.monotonic()
    ended = server.wait(limit)
    seconds = time.monotonic() - delivered
    if not ended:
        server.stop()
    for thread in threads:
        thread.join(SLACK)
    in_flight = [
        client.last
        for client, sent in under_way
        if client.last is not None
        and client.sent_at == sent
        and client.ended_at > (before if client.last.error else delivered)
    ]
    run.say("stop", f"{name} with {len(in_flight)} requests in flight: ended after {seconds:.1f} s")
    return Stop(
        signal=name,
        number=number_of(name),
        limit=limit,
        seconds=seconds,
        code=server.exit().code,
        killed=not ended,
        clients=len(warm),
        answered=answered,
        in_flight=tuple(in_flight),
    )


def _warm(clients: Sequence[_Client]) -> list[_Client]:
    """Wait until every client has been answered once, and most of those at the same moment wait for an answer."""
    deadline = time.monotonic() + WARM_UP
    for client in clients:
        client.warm.wait(max(0.0, deadline - time.monotonic()))
    warm = [client for client in clients if client.warm.is_set()]
    while sum(client.waits for client in warm) < MOST * len(warm) and time.monotonic() < deadline:
        time.sleep(0.001)  # a moment between two answers; no event tells that it is over
    return warm


def good_exchanges(contract: Contract, dialect: Dialect) -> list[Exchange]:
    """Return the recorded exchanges in which a prediction was made, a few of them."""
    known = [e for kind in ("example", "single") for e in contract.of(kind) if dialect.is_answer(e)]
    return list(islice(known, CLIENTS[1]))


def clients_for(good: Sequence[Exchange]) -> int:
    """Return how many clients it takes that the service is `QUEUE` seconds behind; none without a good request."""
    if not good:
        return 0
    fastest = max(min(exchange.seconds for exchange in good), 1e-4)  # the others may have shared the processor
    return min(max(CLIENTS[0], math.ceil(QUEUE / fastest)), CLIENTS[1])


def number_of(name: str) -> int | None:
    """Return the number of a signal as the engine names it (`SIGTERM`, `TERM` or `15`)."""
    if name.isdecimal():
        return int(name)
    full = name.upper() if name.upper().startswith("SIG") else f"SIG{name.upper()}"
    return signal.Signals[full].value if full in signal.Signals.__members__ else None
