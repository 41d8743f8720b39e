"""Asks a service from its first moment whether it is ready, and at each yes for a real prediction.

One loop and one rule for a container of this run and for a server that runs already. A service is ready when it says
so and then predicts. One that says so and answers the prediction with a lasting error is ready too after `PATIENCE`
seconds: that error is for the contract to judge. Where the project names no ready path and the service does not have
the conventional one, its API document may name another; else a prediction that is answered says that it is ready.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any

from harness.client import http
from harness.client.http import Target
from harness.client.protocols import DIALECTS, OPENAPI, PLAIN, interface, recognise
from harness.client.protocols.protocol import Dialect, is_2xx
from harness.config.spec import Spec
from harness.engine import Running
from harness.errors import InfrastructureError
from harness.evidence.records import Exchange, Exit, Interface, ReadinessProbe
from harness.openapi.paths import posts, ready_paths
from harness.openapi.reading import operation
from harness.runner.stages import Run, api_document

INTERVAL = 0.05  # seconds between two questions; the death of the container ends the waiting at once
SELDOM = 1.0  # seconds between two questions at most, to a server elsewhere
REFRESH = 1.0  # seconds between two looks for the container's addresses: one that is started again may get others
SEARCH = 5.0  # seconds between two searches for the API document
PROBE_TIMEOUT = 2.0
NOT_YET = (502, 503, 504)
PATIENCE = 2.0  # seconds for which a service that fails at once after its yes is asked again
NOT_FOUND, NOT_IMPLEMENTED, SERVER_ERROR = 404, 501, 500
LATER = (408, 425, 429)  # of the 4xx: the path is there


@dataclass(frozen=True)
class Ready:
    """How the waiting ended: `target` is None where the service never became ready."""

    target: Target | None
    interface: Interface | None
    seconds: float
    asked: tuple[ReadinessProbe, ...]  # in their order, equal ones in a row only once
    died: Exit | None = None

    @property
    def last(self) -> str:
        """What the service said last."""
        if not self.asked:
            return "nothing: it could not be asked"
        return "; ".join(filter(None, (self.asked[-1].answer, self.asked[-1].prediction)))


def wait(run: Run, server: Running, timeout: float, interface: Interface | None = None) -> Ready:
    """Ask a container from its first moment until it is ready, has died, or `timeout` seconds are over.

    `interface` is how the service is spoken to, where that is known.
    """
    run.engine.reach.join(server.container)

    def pause() -> Exit | None:
        return server.exit() if server.wait(INTERVAL) else None

    return until_ready(Inquiry(run.spec, timeout, interface), lambda: candidates(run, server.container), pause)


def await_ready(spec: Spec, target: Target) -> Interface:
    """Return how a service is spoken to that runs already, as soon as it is ready.

    One that predicts nothing within `serve.timeout`, but answers each request for a prediction with an error of its
    own, is the contract's to judge. Raises InfrastructureError where nobody answers, or never more than a "not yet".
    """
    start, timeout = time.monotonic(), spec.block.serve.timeout

    def pause() -> None:  # a server elsewhere has no event to wait for
        time.sleep(min(SELDOM, INTERVAL + (time.monotonic() - start) / 20))

    ready = until_ready(Inquiry(spec, timeout), lambda: (target,), pause)
    last = ready.asked[-1]
    if ready.target is not None or (last.predicted or NOT_FOUND) not in (NOT_FOUND, *NOT_YET):
        return ready.interface or interface(spec, PLAIN)
    raise InfrastructureError(
        f"the service at {target.url} is not ready within {timeout:g} s; last answers: {ready.last}"
        + ("" if last.prediction else "; no prediction was asked for"),
        hint=_hint(spec, last),
    )


def _hint(spec: Spec, last: ReadinessProbe) -> str:
    """Say what to do about a server that never became ready."""
    if last.code is None:
        return "Start it, or correct the URL."
    if last.predicted == NOT_FOUND:
        return "Name the path of its predictions in `contract.predict` (or --predict), and its `serve.ready`."
    if _is_absent(last.code) and spec.block.serve.ready:
        return "Correct `serve.ready`, or remove it: then a prediction that is answered says that the service is ready."
    return "Look at what it waits for; raise `serve.timeout`, or name its `serve.ready` and `serve.dialect`."


def until_ready(inquiry: Inquiry, targets: Callable[[], Sequence[Target]], pause: Callable[[], Exit | None]) -> Ready:
    """Ask at each of the targets in turn, until the service is ready, has died or its time is over.

    `targets` is asked again from time to time; `pause` waits between two questions and returns how the service ended.
    """
    known, looked = targets(), time.monotonic()
    while True:
        if not known or time.monotonic() > looked + REFRESH:
            known, looked = targets(), time.monotonic()
        for target in known:
            if inquiry.is_ready(target):
                return inquiry.ended(target)
        if (died := pause()) is not None:
            return inquiry.ended(None, died)
        if inquiry.left < 0:
            return inquiry.ended(None)


class ProbeOutcome(Enum):
    """What a request for a prediction says of readiness."""

    NO = auto()  # ask again
    LASTING = auto()  # an error, which is for the contract to judge if it lasts
    ANSWERED = auto()


class Inquiry:
    """What was found out about one service while it was asked; its time begins now."""

    def __init__(self, spec: Spec, timeout: float, interface: Interface | None = None) -> None:
        self._spec = spec
        self._timeout = timeout
        self._start = time.monotonic()
        self._interface = interface
        self._asked: list[ReadinessProbe] = []
        self._lasts: dict[Target, float] = {}  # since when it gives the same kind of error
        self._document: dict[str, Any] | None = None
        self._searched: float | None = None

    @property
    def left(self) -> float:
        """Seconds that the service still has."""
        return self._start + self._timeout - time.monotonic()

    def ended(self, target: Target | None, died: Exit | None = None) -> Ready:
        """Return how the waiting ended."""
        return Ready(target, self._interface, time.monotonic() - self._start, tuple(self._asked), died)

    def is_ready(self, target: Target) -> bool:
        """Ask once at one address; whether it is ready, or errs for so long that this is its answer."""
        said, outcome = self._ask(target)
        if not self._asked or replace(said, at=self._asked[-1].at) != self._asked[-1]:
            self._asked.append(said)
        if outcome is ProbeOutcome.LASTING:
            since = self._lasts.setdefault(target, time.monotonic())
            if time.monotonic() < since + PATIENCE and self.left > 0:
                return False
        else:
            self._lasts.pop(target, None)
        if outcome is not ProbeOutcome.NO and self._interface is None:  # nobody recognised it, and yet it predicts
            self._interface = interface(self._spec, PLAIN)
        return outcome is not ProbeOutcome.NO

    def _ask(self, target: Target) -> tuple[ReadinessProbe, ProbeOutcome]:
        """Ask the ready path and, where it says yes or is not there, for a prediction.

        How the service is spoken to is found out as soon as it answers anything. While nobody listens one question is
        enough: those of all dialects would take the cores from what starts there.
        """
        at = time.monotonic() - self._start
        chosen = self._interface or interface(self._spec, PLAIN)
        answer = _get(target, chosen.ready)
        if answer.status is not None and self._interface is None and (found := speak(self._spec, target)):
            self._interface = chosen = found
            answer = _get(target, chosen.ready)
        if _is_absent(answer.status) and DIALECTS[chosen.dialect] in (OPENAPI, PLAIN):
            if self._spec.block.serve.ready is not None:
                return self._no_such_path(at, target, chosen, answer), ProbeOutcome.NO
            chosen, answer = self._documented(target, chosen, answer)
        if self._interface is not None and DIALECTS[chosen.dialect].is_ready(answer):
            return self._predict(
                ReadinessProbe(at, ready=True, answer=describe(answer), code=answer.status), target, chosen
            )
        said = ReadinessProbe(at, ready=False, answer=describe(answer), code=answer.status)
        if _is_absent(answer.status) and DIALECTS[chosen.dialect] in (OPENAPI, PLAIN):
            return self._predict(said, target, chosen)
        return said, ProbeOutcome.NO

    def _predict(self, said: ReadinessProbe, target: Target, chosen: Interface) -> tuple[ReadinessProbe, ProbeOutcome]:
        """Ask for a prediction; `said` tells whether the service called itself ready.

        The first prediction may be slow and has all the time that is left. One that is refused (4xx) shows a service
        that can answer; the contract judges that.
        """
        example, dialect = self._spec.reference, DIALECTS[chosen.dialect]
        if example is None:
            if said.ready:
                return said, ProbeOutcome.ANSWERED
            return said, ProbeOutcome.LASTING if self._document is not None else ProbeOutcome.NO
        body = json.dumps(example.request).encode()
        patience = max(self.left, PROBE_TIMEOUT)
        first = http.send(target, chosen.predict, case="ready", method="POST", body=body, timeout=patience)
        asked = replace(said, prediction=describe(first), predicted=first.status)
        if said.ready:
            return replace(asked, honest=_is_able(first, dialect)), _after_a_yes(first, dialect)
        document = self._document or {}
        elsewhere = operation(document, chosen.predict) is None and bool(posts(document))
        outcome = _without_a_yes(first, dialect, elsewhere=elsewhere)
        answers = outcome is not ProbeOutcome.NO and first.status != NOT_FOUND
        return replace(asked, ready=answers), outcome

    def _documented(self, target: Target, chosen: Interface, answer: Exchange) -> tuple[Interface, Exchange]:
        """Return the ready path that the document has in place of one that is not there, and what it answers."""
        document = self._searched_document(target, chosen) or {}
        for path in ready_paths(document, alive=self._spec.reference is None):
            other = _get(target, path)
            if other.status is not None and not _is_absent(other.status):
                self._interface = replace(chosen, ready=path)
                return self._interface, other
        return chosen, answer

    def _no_such_path(self, at: float, target: Target, chosen: Interface, answer: Exchange) -> ReadinessProbe:
        """Say that the project names a ready path that is not there (as yet), and which the document has."""
        listed = ready_paths(self._searched_document(target, chosen) or {}, alive=True)
        aside = f", and its document lists {', '.join(listed)}" if listed else ""
        told = f"{describe(answer)}: the service has no such path as `serve.ready` names{aside}"
        return ReadinessProbe(at, ready=False, answer=told, code=answer.status)

    def _searched_document(self, target: Target, chosen: Interface) -> dict[str, Any] | None:
        """Return the API document, as soon as it is found; it is looked for only from time to time."""
        now = time.monotonic()
        if self._document is None and (self._searched is None or now > self._searched + SEARCH):
            dialect = DIALECTS[chosen.dialect]
            self._document, _ = api_document.find(target, self._spec.block.serve, dialect, chosen.predict)
            self._searched = time.monotonic()
        return self._document


def _get(target: Target, path: str) -> Exchange:
    return http.send(target, path, case="ready", timeout=PROBE_TIMEOUT)


def _is_absent(status: int | None) -> bool:
    """Whether an answer of the ready path says nothing of the service but that this path is not for asking."""
    refused = status is not None and 300 <= status < SERVER_ERROR and status not in LATER  # noqa: PLR2004 - 3xx, 4xx
    return refused or status == NOT_IMPLEMENTED


def _is_able(first: Exchange, dialect: Dialect) -> bool:
    """Whether a service that says yes could predict, or refused the request."""
    return first.status is not None and first.status < SERVER_ERROR and (dialect.is_answer(first) or not is_2xx(first))


def _after_a_yes(first: Exchange, dialect: Dialect) -> ProbeOutcome:
    """Return what a prediction says of a service that calls itself ready."""
    if first.status is None:  # a connection that breaks is an answer of a kind, a time-out is none
        return ProbeOutcome.NO if http.is_late(first) else ProbeOutcome.LASTING
    if first.status in NOT_YET:
        return ProbeOutcome.NO
    return ProbeOutcome.ANSWERED if _is_able(first, dialect) and first.status != NOT_FOUND else ProbeOutcome.LASTING


def _without_a_yes(first: Exchange, dialect: Dialect, *, elsewhere: bool) -> ProbeOutcome:
    """Return what a prediction says of a service that has no ready path.

    An error of the server may be one of a model that is still loading. Not found is for the contract to judge where
    the document has predictions `elsewhere`; else there may be more to come.
    """
    if dialect.is_answer(first):
        return ProbeOutcome.ANSWERED
    if first.status is None or first.status >= SERVER_ERROR or (first.status == NOT_FOUND and not elsewhere):
        return ProbeOutcome.NO
    return ProbeOutcome.LASTING


def speak(spec: Spec, target: Target) -> Interface | None:
    """Return the interface of a service: of the dialect that the project names, else of the one recognised.

    None where nothing is recognised as yet. A service that only says that it is ready speaks `plain`.
    """
    if spec.block.serve.dialect != "auto":
        return interface(spec, DIALECTS[spec.block.serve.dialect])

    asked: dict[str, Exchange] = {}

    def get(path: str) -> Exchange:
        if path not in asked:
            asked[path] = http.send(target, path, case="recognise", timeout=PROBE_TIMEOUT)
        return asked[path]

    found = recognise(get, spec.examples[0].request if spec.examples else None)
    plain = PLAIN.is_ready(get(interface(spec, PLAIN).ready))
    if any(exchange.status is None for exchange in asked.values()):
        return None  # it began to answer in between: a dialect that was asked for before may be the right one
    if found is None:
        return interface(spec, PLAIN) if plain else None
    return interface(spec, found)


def describe(exchange: Exchange) -> str:
    """Say in one line what was asked and what came back."""
    answer = exchange.error if exchange.status is None else f"{exchange.status}"
    return f"{exchange.method} {exchange.path}: {answer}"


def candidates(run: Run, container: str) -> list[Target]:
    """Return where the service may be reached, best first."""
    return [Target(address.host, address.port) for address in run.engine.reach.addresses(container, run.spec.port)]
