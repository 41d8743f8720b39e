"""The whole description as it was loaded: the block, the Compose model that it speaks of, and the contract."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from harness.config.blocks import Block


class Handover(StrEnum):
    """How the artifact gets from the train container into the serving one."""

    MOUNTED = "mounted"  # a volume that both services mount
    BAKED = "baked"  # the serving Dockerfile copies it from the build context
    TRAINED_IN_BUILD = "trained in build"  # a stage of the serving Dockerfile trains


@dataclass(frozen=True)
class Tolerance:
    """`abs(received - expected) <= max(absolute, relative * abs(expected))`, as in `math.isclose`.

    `fields` holds other tolerances for single places: JSON pointer, `*` for any key or position -> tolerance.
    """

    relative: float = 1e-6
    absolute: float = 0.0
    fields: tuple[tuple[str, Tolerance], ...] = ()

    def at(self, pointer: str) -> Tolerance:
        """Return the tolerance of one place in an answer: the first of `fields` that fits it, else this one."""
        parts = pointer.split("/")
        for pattern, tolerance in self.fields:
            wanted = pattern.split("/")
            if len(wanted) == len(parts) and all(w in ("*", p) for w, p in zip(wanted, parts, strict=True)):
                return tolerance
        return self


@dataclass(frozen=True)
class Example:
    """One prediction request and the answer that the contract promises."""

    name: str
    file: str
    request: Any
    response: Any
    has_response: bool
    status: int
    tolerance: Tolerance

    @property
    def is_good(self) -> bool:
        """Whether its request is one that the service answers with success."""
        return 200 <= self.status < 300  # noqa: PLR2004 - 2xx


class Relation(StrEnum):
    """What the answers of a behavioural test must have in common (CheckList, Ribeiro et al. 2020)."""

    INVARIANCE = "invariance"  # INV: a change that must not matter
    DIRECTIONAL = "directional"  # DIR: a change after which an output must not fall, or not rise
    MINIMUM = "minimum"  # MFT: simple cases, of which a given part must be right


@dataclass(frozen=True)
class Behaviour:
    """One behavioural test: requests, and the relation in which their answers must stand."""

    name: str
    file: str
    relation: Relation
    requests: tuple[Any, ...]  # the original first, then one for each step of the change
    responses: tuple[Any, ...] = ()  # of the cases of a `minimum` test
    output: str = ""  # JSON pointer into the answer; empty: all of it
    never: str = ""  # `falls` or `rises`, for a `directional` test
    at_least: float = 1.0  # part of the cases that must be right
    tolerance: Tolerance = Tolerance()


@dataclass(frozen=True)
class Spec:
    """The loaded description: the `x-harness` block and the Compose model that it speaks of."""

    root: Path
    files: tuple[Path, ...]
    project: str
    block: Block
    model: dict[str, Any]  # `docker compose config`, `$` doubled as Compose prints it
    handover: Handover
    train_key: str  # name of the train service in the run's own Compose file
    serve_key: str
    port: int
    serve_artifact: str | None  # path in the serving container; None: below its working directory
    examples: tuple[Example, ...] = ()
    behaviours: tuple[Behaviour, ...] = ()
    baseline: dict[str, Any] | None = None  # the committed API document
    converted: bool = False  # `serve_artifact` is what a step between training and serving makes, in its own volume

    @property
    def reference(self) -> Example | None:
        """The first good example, else the first of all: it is asked for readiness, and bad requests are made of it."""
        return next((each for each in self.examples if each.is_good), next(iter(self.examples), None))
