"""Asks the service to stop while requests are in flight, and records what became of them; the last that a run does."""

from __future__ import annotations

import http.client
import math
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import islice

from harness.client.http import JSON, Target, plain
from harness.client.protocols import DIALECTS
from harness.client.protocols.protocol import Dialect
from harness.engine import Running
from harness.evidence.records import Contract, Exchange, Stop
from harness.runner.stages import Run

GRACE = 10.0  # seconds, the engine's default where the container names none
CLIENTS = (4, 16)  # at least, at most
QUEUE = 0.25  # seconds of work in one volley of requests: sending the signal takes 0.02 s or more
BUSY = 4.0  # answers recorded while other containers worked beside the service may have taken so many times longer
WARM_UP = 5.0  # seconds at most until every client has been answered once
SETTLED = 0.05  # seconds after which a request has been read by the service, answered or not
SLACK = 5.0  # seconds for which answers are waited for beyond the limit


@dataclass
class _Client:
    """One connection, kept alive: one request to open it, and one that is in flight when the signal comes."""

    warm_up: Exchange
    volley: Exchange
    warm: threading.Event = field(default_factory=threading.Event)  # the first is answered
    sent_at: float | None = None  # when the second was wholly sent
    ended_at: float | None = None  # when it was answered, or was lost
    last: Exchange | None = None

    def ask(self, target: Target, go: threading.Event, timeout: float) -> None:
        """Ask once, and once more when `go` is set."""
        with closing(target.connect(timeout)) as connection:
            if self._send(connection, target, self.warm_up).error:
                return
            self.sent_at = None
            self.warm.set()
            if go.wait(timeout):
                self.last = self._send(connection, target, self.volley)
                self.ended_at = time.monotonic()

    def _send(self, connection: http.client.HTTPConnection, target: Target, known: Exchange) -> Exchange:
        start = time.monotonic()
        status, kind, body, error = None, "", b"", ""
        try:
            headers = {"Accept": JSON, "Content-Type": known.request_type or JSON}
            connection.request(known.method, target.prefix + known.path, body=known.request, headers=headers)
            self.sent_at = time.monotonic()
            response = connection.getresponse()
            body, error = plain(response.read(), response.headers.get("Content-Encoding", ""))
            status, kind = response.status, response.headers.get("Content-Type", "")
        except (OSError, http.client.HTTPException) as exc:
            error = f"{type(exc).__name__}: {exc}"
        return replace(
            known, status=status, content_type=kind, response=body, seconds=time.monotonic() - start, error=error
        )


def collect(run: Run, server: Running, target: Target, contract: Contract) -> Stop:
    """Send a volley of known-good requests, then the container's stop signal; wait for its end.

    Counted are requests that were wholly sent before the signal, over connections on which the service had answered
    before, and that were not answered when the engine had delivered the signal.
    """
    dialect = DIALECTS[contract.interface.dialect]
    config = run.engine.inspect(server.container).get("Config", {})
    name = name_of(str(config.get("StopSignal") or "SIGTERM"))
    limit = dialect.stop_within or float(config.get("StopTimeout") or GRACE)
    good = good_exchanges(contract, dialect)
    clients = [_Client(good[0], good[number % len(good)]) for number in range(clients_for(good))]
    go = threading.Event()
    threads = [threading.Thread(target=each.ask, args=(target, go, limit + SLACK), daemon=True) for each in clients]
    for thread in threads:
        thread.start()
    warm = _fire(clients, go)
    before = time.monotonic()
    under_way = [each for each in warm if each.sent_at is not None and each.ended_at is None]
    server.signal(name)
    delivered = time.monotonic()
    ended = server.wait(limit)
    seconds = time.monotonic() - delivered
    if not ended:
        server.stop()
    for thread in threads:
        thread.join(SLACK)
    in_flight = [
        each.last
        for each in under_way
        if each.last is not None
        and each.ended_at is not None
        and each.ended_at > (before if each.last.error else delivered)
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
        in_flight=tuple(in_flight),
    )


def _fire(clients: Sequence[_Client], go: threading.Event) -> list[_Client]:
    """Send the volley, and return those that sent it at the moment at which the signal is due.

    A server that has not read a request yet cannot know of it, and may close its connection as an idle one. So the
    signal is due when all are sent and one that was still waiting then is answered (a server with a queue), or, where
    none is as yet (all are worked on at once), after half of the time that an answer usually takes.
    """
    deadline = time.monotonic() + WARM_UP
    for each in clients:
        each.warm.wait(max(0.0, deadline - time.monotonic()))
    warm = [each for each in clients if each.warm.is_set()]
    go.set()
    while any(each.sent_at is None and each.ended_at is None for each in warm) and time.monotonic() < deadline:
        time.sleep(0.001)  # a moment: no event tells that the last one is sent
    sent = time.monotonic()
    waiting = [each for each in warm if each.ended_at is None]
    patience = max(SETTLED, min((each.volley.seconds for each in warm), default=0.0) / 2)
    while all(each.ended_at is None for each in waiting) and time.monotonic() < sent + patience:
        time.sleep(0.001)
    return warm


def good_exchanges(contract: Contract, dialect: Dialect) -> list[Exchange]:
    """Return the recorded exchanges in which a prediction was made, a few of them."""
    known = [e for kind in ("example", "single") for e in contract.of(kind) if dialect.is_answer(e)]
    return list(islice(known, CLIENTS[1]))


def clients_for(good: Sequence[Exchange]) -> int:
    """Return how many requests at once keep a service busy for `QUEUE` seconds; none without a good request."""
    if not good:
        return 0
    fastest = max(min(exchange.seconds for exchange in good), 1e-4)  # the others may have shared the processor
    return min(max(CLIENTS[0], math.ceil(QUEUE * BUSY / fastest)), CLIENTS[1])


def name_of(name: str) -> str:
    """Return how a signal is called that the engine names by its number, as Podman does; other names as they are."""
    names = {str(each.value): each.name for each in signal.Signals}
    return names.get(name, name)


def number_of(name: str) -> int | None:
    """Return the number of a signal as the engine names it (`SIGTERM`, `TERM` or `15`)."""
    if name.isdecimal():
        return int(name)
    full = name.upper() if name.upper().startswith("SIG") else f"SIG{name.upper()}"
    return signal.Signals[full].value if full in signal.Signals.__members__ else None
