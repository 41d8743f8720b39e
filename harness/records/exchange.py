"""What was asked of the service and what it answered: one by one, under load, fuzzed, and beside training."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

from harness.records.serving import Interface
from harness.records.training import Exit


def _body_to_json(body: bytes) -> dict[str, str]:
    try:
        return {"text": body.decode("utf-8")}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode("ascii")}


def _body_from_json(value: object) -> object:
    match value:
        case {"text": str(text)}:
            return text.encode("utf-8")
        case {"base64": str(encoded)}:
            return base64.b64decode(encoded)
        case _:
            return value


# Bytes that stay readable in JSON where they are text, and exact where they are not.
Body = Annotated[bytes, PlainSerializer(_body_to_json, when_used="json"), BeforeValidator(_body_from_json)]


@dataclass(frozen=True)
class Exchange:
    """One request and its answer, byte for byte."""

    case: str  # `<kind>:<what>`: `example:adelie`, `rejects-null:/instances/0/sex`, `recovers:...`, or `document`
    method: str
    path: str
    request: Body
    status: int | None  # None: no answer
    content_type: str
    response: Body
    seconds: float
    error: str = ""
    request_type: str = ""  # the Content-Type that was sent, empty without a body


@dataclass(frozen=True)
class Contract:
    """Every request that was sent to the service, and what it answered."""

    exchanges: tuple[Exchange, ...]
    interface: Interface
    document: dict[str, Any] | None  # the OpenAPI document
    document_error: str | None = None

    blocker: None = None

    def answer(self, case: str) -> Exchange | None:
        """Return the exchange of a case."""
        return next((exchange for exchange in self.exchanges if exchange.case == case), None)

    def of(self, kind: str) -> tuple[Exchange, ...]:
        """Return the exchanges of a kind of case: what stands before the colon."""
        return tuple(exchange for exchange in self.exchanges if exchange.case.partition(":")[0] == kind)


@dataclass(frozen=True)
class Step:
    """A stretch of requests, all alike: either sent at their times (`rate`), or by a number of `clients`."""

    rate: float | None  # requests a second, sent whether or not earlier ones are answered
    clients: int | None  # each waits for its answer before it asks again
    seconds: float
    sent: int
    answered: int
    latencies: tuple[float, ...]  # seconds, sorted; with `rate` from the time at which a request was due
    errors: tuple[str, ...] = ()  # one for each request without a good answer: `status 500`, `closed`, ...
    crossed: tuple[str, ...] = ()  # answers that belong to another request
    memory: tuple[tuple[float, int], ...] = ()  # seconds since the step began, bytes that the container used

    def percentile(self, p: float) -> float:
        """Return the latency in seconds that `p` of 100 answers do not exceed (nearest rank); raises IndexError."""
        return self.latencies[max(0, math.ceil(len(self.latencies) * p / 100) - 1)]


@dataclass(frozen=True)
class Load:
    """The service under a steady stream of requests, and under more and more clients."""

    stream: Step
    steps: tuple[Step, ...]
    distinct: int  # requests with different answers: with fewer than two no answer can be seen to be crossed
    cores: int = 0


@dataclass(frozen=True)
class Skew:
    """Hold-out rows as the training image predicts them; the exchanges `skew:<row>` hold what the service said."""

    requests: tuple[Any, ...]
    answers: tuple[Any, ...]  # one parsed JSON line each
    exit: Exit
    error: str = ""  # what of the output could not be read


@dataclass(frozen=True)
class Stop:
    """What the service did when it was asked to stop while requests were in flight."""

    signal: str
    number: int | None  # of the signal; None where this machine has no such signal
    limit: float  # seconds until it is killed
    seconds: float
    code: int | None  # exit code; None where it was killed
    killed: bool  # it did not end within the limit
    clients: int  # each of which sent one request just before the signal
    in_flight: tuple[Exchange, ...] = ()  # sent before the signal and not answered by then; cases as in the contract


@dataclass(frozen=True)
class FuzzFailure:
    """One request, shrunk, that breaks what the API document or a universal rule promises."""

    check: str
    title: str
    message: str
    method: str
    path: str
    curl: str
    status: int | None = None


@dataclass(frozen=True)
class Fuzz:
    """What property-based testing found."""

    tool: str
    seed: int
    phases: tuple[str, ...]
    cases: int
    seconds: float
    failures: tuple[FuzzFailure, ...] = ()
    error: str = ""  # why it could not be done
