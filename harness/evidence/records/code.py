"""What the project's own code did in the training image: its tests, and its transforms on tables of values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.evidence.records.training import Exit


@dataclass(frozen=True)
class FailedTest:
    """One test that failed or could not run, and what it said."""

    name: str
    message: str


@dataclass(frozen=True)
class Tally:
    """How many tests there were; `failures` holds the first of those that failed."""

    source: str  # `JUnit XML` or `unittest`
    total: int
    skipped: int
    failed: int
    failures: tuple[FailedTest, ...] = ()


@dataclass(frozen=True)
class UnitTests:
    """One run of the project's tests."""

    command: tuple[str, ...]
    exit: Exit | None  # None: the container could not start
    tally: Tally | None = None  # None: nothing says how many tests there were
    error: str = ""  # why the container could not start, or the JUnit XML not be read


@dataclass(frozen=True)
class FeatureTable:
    """Rows put through a transform: what the project expects of them and what came out."""

    transform: str
    table: str
    given: tuple[dict[str, Any], ...]
    expected: tuple[dict[str, Any], ...]
    received: tuple[dict[str, Any], ...]
    error: str = ""  # of the table, of the container, or the traceback of the transform
    relative: float = 1e-6


@dataclass(frozen=True)
class Code:
    """The project's code, tried in the training image."""

    unit_tests: UnitTests | None = None  # None: the project names none
    features: tuple[FeatureTable, ...] = ()

    blocker: None = None
