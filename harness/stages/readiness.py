"""Asks a service from its first moment whether it is ready, and at each yes for a real prediction."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace

from harness import http
from harness.dialects import DIALECTS, PLAIN, interface, recognise
from harness.dialects.protocol import is_2xx
from harness.engine import Running
from harness.errors import InfrastructureError
from harness.http import Target
from harness.records import Asked, Exchange, Exit, Interface
from harness.spec import Example, Spec
from harness.stages import Run

INTERVAL = 0.05  # seconds between two questions; the death of the container ends the waiting at once
REFRESH = 1.0  # seconds between two looks for the container's addresses: one that is started again may get others
PROBE_TIMEOUT = 2.0
NOT_YET = (502, 503, 504)
PATIENCE = 2.0  # seconds for which a service that fails at once after its yes is asked again
SERVER_ERROR = 500


@dataclass(frozen=True)
class Ready:
    """How the waiting ended: `target` is None where the service never became ready."""

    target: Target | None
    interface: Interface | None
    seconds: float
    asked: tuple[Asked, ...]  # in their order, equal ones in a row only once
    died: Exit | None = None

    @property
    def last(self) -> str:
        """What the service said last."""
        if not self.asked:
            return "nothing: it could not be asked"
        return "; ".join(filter(None, (self.asked[-1].answer, self.asked[-1].prediction)))


def wait(run: Run, server: Running, timeout: float, spoken: Interface | None = None) -> Ready:
    """Ask from the first moment until the service is ready, has died, or `timeout` seconds are over.

    It is ready when it says so and then predicts. One that says so and answers the prediction with a lasting error
    is ready too after `PATIENCE` seconds: that error is for the contract to judge. `spoken` is how the service is
    spoken to, where that is known.
    """
    start = time.monotonic()
    run.engine.reach.join(server.container)
    asked: list[Asked] = []
    lied: float | None = None  # when it first said yes and could not predict
    targets, looked = candidates(run, server.container), start
    while True:
        if not targets or time.monotonic() > looked + REFRESH:
            targets, looked = candidates(run, server.container), time.monotonic()
        for target in targets:
            spoken, said = approach(run.spec, target, spoken, start, timeout)
            if not asked or replace(said, at=asked[-1].at) != asked[-1]:
                asked.append(said)
            lied = time.monotonic() if lied is None and said.ready and not said.honest else lied
            if said.ready and (said.honest or _lasts(said, lied)):
                return Ready(target, spoken, time.monotonic() - start, tuple(asked))
        if server.wait(INTERVAL):
            return Ready(None, spoken, time.monotonic() - start, tuple(asked), server.exit())
        if time.monotonic() > start + timeout:
            return Ready(None, spoken, time.monotonic() - start, tuple(asked))


def approach(
    spec: Spec, target: Target, spoken: Interface | None, start: float, timeout: float
) -> tuple[Interface | None, Asked]:
    """Ask as `ask` does; find out how the service is spoken to as soon as it answers anything, and ask again then.

    While nobody listens one question is enough: those of all dialects would take the cores from what starts there.
    """
    said = ask(spec, target, spoken, start, timeout)
    if spoken is None and said.code is not None and (spoken := speak(spec, target)):
        said = ask(spec, target, spoken, start, timeout)
    return spoken, said


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


def await_ready(spec: Spec, target: Target) -> Interface:
    """Return how a service is spoken to that runs already, as soon as it is ready.

    Raises InfrastructureError when it is not within `serve.timeout`: it is not this project's to start.
    """
    start, timeout = time.monotonic(), spec.block.serve.timeout
    spoken: Interface | None = None
    while True:
        spoken, said = approach(spec, target, spoken, start, timeout)
        if spoken is not None and said.ready and said.honest:
            return spoken
        if time.monotonic() > start + timeout:
            raise InfrastructureError(
                f"the service at {target.url} is not ready within {timeout:g} s; last answer: {said.answer}",
                hint="Start it, correct the URL, or name its `serve.ready` and `serve.dialect`.",
            )
        time.sleep(INTERVAL)  # a server elsewhere has no event to wait for


def ask(spec: Spec, target: Target, spoken: Interface | None, start: float, timeout: float) -> Asked:
    """Ask the ready path and, where it says yes, at once for a real prediction.

    The first prediction may be slow and has all the time that is left of `timeout` seconds since `start`. One that
    is refused (4xx) shows a service that can answer; the contract judges that.
    """
    chosen = spoken or interface(spec, PLAIN)
    dialect = DIALECTS[chosen.dialect]
    at = time.monotonic() - start
    answer = http.send(target, chosen.ready, case="ready", timeout=PROBE_TIMEOUT)
    said = Asked(at, ready=False, answer=describe(answer), code=answer.status)
    if spoken is None or not dialect.is_ready(answer):
        return said
    example = good_example(spec)
    if example is None:
        return replace(said, ready=True)
    body = json.dumps(example.request).encode()
    patience = max(start + timeout - time.monotonic(), PROBE_TIMEOUT)
    first = http.send(target, chosen.predict, case="ready", method="POST", body=body, timeout=patience)
    able = first.status is not None and first.status < SERVER_ERROR and (dialect.is_answer(first) or not is_2xx(first))
    return replace(said, ready=True, prediction=describe(first), predicted=first.status, honest=able)


def good_example(spec: Spec) -> Example | None:
    """Return the first example that gets a prediction; the first of all where none does, None where there is none."""
    return next((e for e in spec.examples if e.status < 300), next(iter(spec.examples), None))  # noqa: PLR2004 - 2xx


def describe(exchange: Exchange) -> str:
    """Say in one line what was asked and what came back."""
    answer = exchange.error if exchange.status is None else f"{exchange.status}"
    return f"{exchange.method} {exchange.path}: {answer}"


def candidates(run: Run, container: str) -> list[Target]:
    """Return where the service may be reached, best first."""
    return [Target(address.host, address.port) for address in run.engine.reach.addresses(container, run.spec.port)]


def _lasts(said: Asked, lied: float | None) -> bool:
    """Whether the prediction after a yes fails with more than a "not yet", and has done so for some time."""
    return (
        said.predicted is not None
        and said.predicted not in NOT_YET
        and lied is not None
        and time.monotonic() > lied + PATIENCE
    )
