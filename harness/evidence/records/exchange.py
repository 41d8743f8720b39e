"""What was asked of the service and what it answered: one by one, under load, fuzzed, and beside training."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

from harness.evidence.records.serving import Interface
from harness.evidence.records.training import Exit


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
    location: str = ""  # where a redirect leads
    retry_after: str = ""  # when the service wants to be asked again, as it says it


@dataclass(frozen=True)
class Contract:
    """Every request that was sent to the service, and what it answered."""

    exchanges: tuple[Exchange, ...]
    interface: Interface
    document: dict[str, Any] | None  # the OpenAPI document
    document_error: str | None = None
    died: Exit | None = None  # how the service ended while it was asked; None: it still ran afterwards

    blocker: None = None

    @property
    def lost_answers(self) -> bool:
        """Whether a request got no answer at all."""
        return any(exchange.status is None for exchange in self.exchanges)

    @property
    def in_vain(self) -> frozenset[str]:
        """The cases that were asked after the service had ended: whatever came first without an answer ended it."""
        lost = [exchange.case for exchange in self.exchanges if exchange.status is None]
        return frozenset(lost[1:] if self.died is not None else ())

    def answer(self, case: str) -> Exchange | None:
        """Return the exchange of a case."""
        return next((exchange for exchange in self.exchanges if exchange.case == case), None)

    def of(self, kind: str) -> tuple[Exchange, ...]:
        """Return the exchanges of a kind of case: what stands before the colon."""
        return tuple(exchange for exchange in self.exchanges if exchange.case.partition(":")[0] == kind)


@dataclass(frozen=True)
class Step:
    """A stretch of requests, all alike: either sent at their times (`rate`), or by a number of `clients`.

    Every request is one of `answered` or of `errors`: `sent` is their sum.
    """

    rate: float | None  # requests a second, sent whether or not earlier ones are answered
    clients: int | None  # each waits for its answer before it asks again
    seconds: float  # until the last request was over
    sent: int
    answered: int  # with the right answer, or with another request's
    latencies: tuple[float, ...]  # seconds, sorted; with `rate` from the time at which a request was due
    errors: Mapping[str, int] = field(default_factory=dict)  # what came instead (`status 500`, `closed ...`) -> times
    crossed: Mapping[str, int] = field(default_factory=dict)  # answers that belong to another request -> times
    samples: tuple[str, ...] = ()  # a few answers that are nobody's
    late: float = 0.0  # seconds: 99 of 100 requests left the harness no later than that after they were due
    memory: tuple[tuple[float, int], ...] = ()  # seconds since the step began, bytes that the container used

    def percentile(self, p: float) -> float:
        """Return the latency in seconds that `p` of 100 answers do not exceed (nearest rank); raises IndexError."""
        return self.latencies[max(0, math.ceil(len(self.latencies) * p / 100) - 1)]

    @property
    def throughput(self) -> float:
        """Answers a second."""
        return self.answered / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Load:
    """The service under a steady stream of requests, and under more and more clients.

    Where no good request was answered before, nothing was sent: `stream` is None.
    """

    stream: Step | None
    steps: tuple[Step, ...]
    distinct: int  # requests with different answers: with fewer than two no answer can be seen to be crossed
    cores: int = 0  # of the machine of the harness; the service often has the same ones
    died: Exit | None = None  # how the service ended under load; None: it still ran afterwards

    blocker: None = None

    @property
    def lost_answers(self) -> bool:
        """Whether a request got another answer than it should, or none."""
        return any(step.errors for step in (self.stream, *self.steps) if step is not None)


@dataclass(frozen=True)
class Skew:
    """Hold-out rows as the training image predicts them; the exchanges `skew:<row>` hold what the service said.

    The examples of the contract follow the rows in the same file: that saves a second start of the image.
    """

    requests: tuple[Any, ...]
    answers: tuple[Any, ...]  # one parsed JSON line each
    exit: Exit
    error: str = ""  # what of the output could not be read
    examples: tuple[str, ...] = ()  # names of the examples that were asked after the rows
    example_answers: tuple[Any, ...] = ()
    with_rows: bool = True  # False: `contract.skew` was left out, and the examples alone were asked

    blocker: None = None


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

    blocker: None = None


@dataclass(frozen=True)
class FuzzFailure:
    """A request, as small as it could be made, that breaks what the API document or a universal rule promises."""

    check: str  # of the tool; `no_answer` where nothing came back
    title: str
    message: str
    operation: str  # method and path as the API document writes them
    count: int  # cases that failed in the same way
    status: int | None  # that the tool received
    sent: Exchange  # the request once more, sent by the harness itself; its case is `fuzz:<number>`
    headers: dict[str, str]  # that belong to the request, the Content-Type apart
    reproduced: bool  # the same came back
    shrunk: bool  # made smaller than any request of the tool
    integers: bool  # refused only because a whole number was written `2.0`: an integer to JSON Schema, not to others
    curl: str


@dataclass(frozen=True)
class Fuzz:
    """What property-based testing of the served API found."""

    tool: str = ""
    seed: int = 0
    phases: tuple[str, ...] = ()
    cases: int = 0
    accepted: int = 0  # answered with 2xx
    operations: tuple[str, ...] = ()
    seconds: float = 0.0
    budget: float = 0.0  # seconds
    failures: tuple[FuzzFailure, ...] = ()
    untested: tuple[str, ...] = ()  # operations that the tool could not test, and why
    out_of_time: bool = False  # before the coverage phase was over; fuzzing goes on until the time is over
    skipped: str = ""  # why it was not done
    error: str = ""  # why it could not be done, or not to its end
    died: Exit | None = None  # how the service ended while it was fuzzed; None: it still ran afterwards

    blocker: None = None

    @property
    def lost_answers(self) -> bool:
        """Whether a request got no answer at all."""
        return any(failure.status is None for failure in self.failures) or bool(self.error)
