"""What a serving protocol is made of: paths, readiness, rows, refusals, and what its servers must answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.client.json_text import read_json
from harness.client.protocols.rows import Batch, answers_of_json, batch_of_json
from harness.config.blocks import Block
from harness.evidence.records import Exchange


def parsed(exchange: Exchange) -> Any:
    """Return the JSON of an answer; None where it is none (NaN and Infinity are read as Python's parser does)."""
    try:
        return read_json(exchange.response)
    except (ValueError, RecursionError):
        return None


def is_2xx(exchange: Exchange) -> bool:
    """Whether the answer is a success by its status."""
    return exchange.status is not None and 200 <= exchange.status < 300  # noqa: PLR2004 - 2xx


def is_4xx(exchange: Exchange) -> bool:
    """Whether the answer refuses the request by its status."""
    return exchange.status is not None and 400 <= exchange.status < 500  # noqa: PLR2004 - 4xx


def no_weakness(_kind: str, _exchange: Exchange) -> str:
    """Return what to do about a bad answer of the well-known servers to a kind of malformed request; here nothing."""
    return ""


def _anything(request: Any) -> bool:
    del request
    return True


@dataclass(frozen=True)
class Expected:
    """What an answer must be: one of these statuses, and JSON that satisfies this schema (None: any bytes)."""

    statuses: tuple[int, ...]
    schema: Mapping[str, Any] | None = None
    within: float | None = None  # seconds


@dataclass(frozen=True)
class Probe:
    """One request of a protocol's conformance suite.

    `spec` is what the specification demands; `shipped`, where given, is what the well-known servers answer instead:
    it is accepted unless `contract.strict`. `path` may hold `{model}`, or be `{ready}` or `{predict}`, the paths of
    the service. `source` names the place in the specification.
    """

    name: str
    method: str
    path: str
    spec: Expected
    source: str
    body: bytes = b""
    content_type: str = "application/json"  # empty: the request has none
    example: bool = False  # the body is the project's first good example; not sent where there is none
    shipped: Expected | None = None
    edit: Callable[[Any], Any] | None = None  # what is done to that example first, if the protocol `takes` it


@dataclass(frozen=True)
class Sign:
    """By one GET a protocol is recognised: what its answer must be like."""

    path: str
    matches: Callable[[Exchange], bool]


@dataclass(frozen=True)
class Dialect:
    """A serving protocol. `ready` and `predict` are paths and may hold `{model}`; times are seconds."""

    name: str
    port: int = 8080
    ready: str = "/health"
    predict: str = "/predict"
    document: str | None = None  # path of its OpenAPI document
    writes_document: bool = False  # the server generates it, so its faults are not the project's
    is_ready: Callable[[Exchange], bool] = is_2xx
    is_answer: Callable[[Exchange], bool] = is_2xx  # a prediction was made
    is_refusal: Callable[[Exchange], bool] = is_4xx  # the request was understood to be wrong
    busy: tuple[int, ...] = ()  # statuses by which a server that is in order asks for the same request later
    batch: Callable[[Any], Batch | None] = batch_of_json  # None: the protocol takes one row a request
    answers: Callable[[Any, int], tuple[Any, ...] | None] = answers_of_json
    error: Mapping[str, Any] | None = None  # JSON Schema of the body of a refusal
    error_shipped: Mapping[str, Any] | None = None  # that of the well-known servers, accepted unless `contract.strict`
    text_errors: frozenset[int] = frozenset()  # statuses whose body the protocol does not want to be JSON
    weakness: Callable[[str, Exchange], str] = no_weakness
    transient: tuple[str, ...] = ()  # keys of an answer that are new each time, such as the ID of the request
    takes: Callable[[Any], bool] = _anything  # whether a request has the form of this protocol
    signs: tuple[Sign, ...] = ()  # all must match for the dialect to be recognised, as must `takes`
    probes: tuple[Probe, ...] = ()
    ready_within: float | None = None  # longest time of one answer of the ready path, where the protocol says one
    predict_within: float | None = None
    stop_within: float | None = None
    # What the platform gives to the serving container; a value may hold `{port}` and `{artifact}`.
    environment: Mapping[str, str] = field(default_factory=dict)
    port_variable: str = ""  # of the environment, where it names the port
    ready_variable: str = ""  # where it names the ready path
    predict_variable: str = ""
    # What follows is for a protocol that also says how the container trains: defaults of `x-harness`.
    train_command: tuple[str, ...] | None = None
    serve_command: tuple[str, ...] | None = None
    artifact: str | None = None
    data: str | None = None  # the folder of the channels, each a folder with its name
    failure: str | None = None  # file in which a failed training says why
    train_files: Callable[[Block], Mapping[str, str]] | None = None  # path in the container -> text, before training
    train_environment: Mapping[str, str] = field(default_factory=dict)

    def lasting(self, answer: Any) -> Any:
        """Return an answer without what is new each time, so that two answers to one request are equal."""
        if not self.transient or not isinstance(answer, dict):
            return answer
        return {key: value for key, value in answer.items() if key not in self.transient}


def filled(template: str, model: str) -> str:
    """Return a path with the name of the model in it."""
    return template.replace("{model}", model)


GetPath = Callable[[str], Exchange]  # GET a path
