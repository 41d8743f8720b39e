"""Puts the service under load: a steady stream of requests, then more and more clients; judges nothing."""

from __future__ import annotations

import json
import math
import os
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache, partial
from types import TracebackType
from typing import Any, Self

from harness.checks.volatile import AnswerPath, LeftOut, left_out
from harness.client import http
from harness.client.compare import compare
from harness.client.http import Target
from harness.client.load import LoadRequest, Traffic
from harness.client.protocols import DIALECTS
from harness.config.blocks import LatencyBlock, LoadBlock
from harness.config.spec import Spec, Tolerance
from harness.errors import HarnessError
from harness.evidence.records import Contract, Exchange, Load, Step
from harness.runner.stages import Recording

TIMEOUT = 30.0  # seconds that one answer may take, from the time at which its request was due
WARM_UP = 0.2  # seconds of one client before anything is measured
SAMPLING = 0.25  # seconds between two looks at the memory
RATE = 50.0  # requests a second, where the project names no rate and one client gets twice as many
CLOSE = Tolerance(1e-6, 1e-9)  # a server that puts requests together sums in another order
PATIENCE = 3.0  # seconds that may be spent on asking again

ReadMemory = Callable[[], int | None]  # the bytes that the container uses at this moment


def collect(run: Recording, target: Target, contract: Contract, memory: ReadMemory | None = None) -> Load:
    """Ask each good request again, warm up, then measure the stream and the steps.

    The steps end after the first one whose p95 exceeds that of `contract.load`, or that has an error. `memory` is
    asked on a thread meanwhile.
    """
    latency, load = run.spec.block.contract.latency, run.spec.block.contract.load
    asks = pool(run.spec, target, contract)
    traffic = Traffic(target, contract.interface.predict, asks, same=same, timeout=TIMEOUT)
    if not asks:
        return Load(stream=None, steps=(), distinct=0, cores=os.cpu_count() or 0)
    warm = traffic.closed_loop(1, WARM_UP)
    with LoadMeasurement(memory) as measured:
        run.say("load", _line(measured.step(partial(traffic.open_loop, _rate(latency, warm), latency.duration))))
        for clients in _clients(load):
            step = measured.step(partial(traffic.closed_loop, clients, load.duration))
            run.say("load", _line(step))
            if step.errors or step.crossed or step.percentile(95) > load.p95:
                break
    stream, *steps = measured.steps()
    return Load(stream=stream, steps=tuple(steps), distinct=_distinct(asks), cores=os.cpu_count() or 0)


def pool(spec: Spec, target: Target, contract: Contract) -> tuple[LoadRequest, ...]:
    """Return the recorded good requests, one row each where there are such, with the answers to expect.

    Of an answer only that is expected which the examples promise, and which does not change from one time to the
    next for a single client: the time of day, the number of the request.
    """
    predict = contract.interface.predict
    recorded = _recorded(contract)
    whole = next((e.response for e in spec.examples if e.has_response and e.status < 300), None)  # noqa: PLR2004 - 2xx
    changes: set[AnswerPath] = set()
    aside = left_out(spec, contract)
    until = time.monotonic() + PATIENCE
    for exchange in recorded:
        again = http.send(target, predict, case="load", method="POST", body=exchange.request, timeout=TIMEOUT)
        with suppress(ValueError, RecursionError):
            if again.status == exchange.status:
                changes |= set(changing(json.loads(exchange.response), json.loads(again.response)))
        if time.monotonic() > until:
            break
    return tuple(LoadRequest(e.request, _expected(e.response, whole, changes, aside)) for e in recorded)


def _recorded(contract: Contract) -> list[Exchange]:
    is_answer = DIALECTS[contract.interface.dialect].is_answer
    kinds = ([e for e in contract.of(kind) if is_answer(e)] for kind in ("single", "example"))
    return next(filter(None, kinds), [])


def _expected(answer: bytes, example: Any, changes: set[AnswerPath], aside: LeftOut) -> bytes:
    try:
        value = json.loads(answer)
        kept = aside.promised(without(promised(value, example), changes))
    except (ValueError, RecursionError):
        return answer
    return answer if kept == value else json.dumps(kept).encode()


def changing(first: Any, second: Any, path: AnswerPath = ()) -> Iterator[AnswerPath]:
    """Yield the places at which two answers to one request differ: keys, and `*` for any position in a list.

    A list of plain values changes as a whole.
    """
    if isinstance(first, dict) and isinstance(second, dict):
        for key in first:
            yield from changing(first[key], second.get(key), (*path, key))
    elif isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        for left, right in zip(first, second, strict=True):
            yield from changing(left, right, (*path, "*"))
    elif any(compare(first, second, CLOSE)):
        while path and path[-1] == "*":
            path = path[:-1]
        yield path


def without(value: Any, changes: set[AnswerPath], path: AnswerPath = ()) -> Any:
    """Return an answer without what stands at these places."""
    if isinstance(value, dict):
        kept = ((key, child, (*path, key)) for key, child in value.items())
        return {key: without(child, changes, place) for key, child, place in kept if place not in changes}
    if isinstance(value, list):
        return [without(child, changes, (*path, "*")) for child in value]
    return value


def promised(value: Any, example: Any) -> Any:
    """Return the part of an answer whose keys an example's response has; rows are all like its first one."""
    if isinstance(value, dict) and isinstance(example, dict):
        return {key: promised(child, example[key]) for key, child in value.items() if key in example}
    if isinstance(value, list) and isinstance(example, list) and example:
        return [promised(child, example[0]) for child in value]
    return value


def same(expected: bytes, received: bytes) -> bool:
    """Whether two answers are the same JSON but for the last digits of numbers, or else the same bytes."""
    try:
        return not any(compare(_parsed(expected), json.loads(received), CLOSE))
    except (ValueError, RecursionError):
        return expected == received


@lru_cache(maxsize=64)
def _parsed(expected: bytes) -> Any:
    return json.loads(expected)


def _distinct(asks: Sequence[LoadRequest]) -> int:
    """Return how many requests can be told apart by their answers."""
    found: list[bytes] = []
    for ask in asks:
        if not any(same(known, ask.expected) for known in found):
            found.append(ask.expected)
    return len(found)


def _rate(block: LatencyBlock, warm: Step) -> float:
    """Return the rate of the stream: one that nobody named must not overload a slow model."""
    if block.rate is not None:
        return block.rate
    alone = statistics.median(warm.latencies) if warm.latencies else TIMEOUT
    return min(RATE, 0.5 / max(alone, 1e-6))


def _clients(block: LoadBlock) -> list[int]:
    """Return the steps in their order, with the one that is promised among them."""
    return sorted({*block.clients, *([block.sustains] if block.sustains else [])})


class LoadMeasurement:
    """Measures steps while a thread looks at the memory every 0.25 s.

    Engine 20.10 answers only when its own collector has looked, once a second: one thread serves all steps, so that
    none of them waits for it, and a short step may stay without a sample.
    """

    def __init__(self, memory: ReadMemory | None) -> None:
        self._memory = memory
        self._steps: list[tuple[float, Step]] = []
        self._samples: list[tuple[float, int]] = []
        self._failure: HarnessError | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._over.set()
        if kind is None:  # else nobody reads the samples, and the engine may take long to give the last one
            self._thread.join()

    def step(self, measure: Callable[[], Step]) -> Step:
        """Measure one step."""
        start = time.monotonic()
        step = measure()
        self._steps.append((start, step))
        return step

    def steps(self) -> list[Step]:
        """Return all steps, each with its samples; after the `with`. Raises HarnessError where the engine is lost."""
        if self._failure is not None:
            raise self._failure
        ends = [*(start for start, _ in self._steps[1:]), math.inf]
        samples = deque(self._samples)
        found = []
        for (start, step), end in zip(self._steps, ends, strict=True):
            own = []
            while samples and samples[0][0] < end:  # what was seen before the first step is where that one began
                at, used = samples.popleft()
                own.append((round(max(0.0, at - start), 3), used))
            found.append(replace(step, memory=tuple(own)))
        return found

    def _look(self) -> None:
        """Look until the end, and once more after it."""
        if self._memory is None:
            return
        try:
            last = False
            while not last:
                last = self._over.wait(SAMPLING if self._samples else 0)
                used = self._memory()
                if used is not None:
                    self._samples.append((time.monotonic(), used))
        except HarnessError as exc:
            self._failure = exc


def _line(step: Step) -> str:
    what = f"{step.clients} clients" if step.clients else f"{step.rate:g} requests a second"
    p95 = f", p95 {step.percentile(95) * 1000:.1f} ms" if step.latencies else ""
    return f"{what}: {step.answered} of {step.sent} answered, {step.throughput:.0f}/s{p95}"
