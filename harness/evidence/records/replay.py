"""What came of a replay: whether the failure came again, and in what the two environments differ."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from harness.evidence.records.finding import Status


class Outcome(StrEnum):
    """The answer of a replay."""

    REPRODUCED = "reproduced"
    NOT_REPRODUCED = "not reproduced"
    CANNOT_REPLAY = "cannot replay"


class Match(StrEnum):
    """How a failure came again. The first three are the same failure."""

    IDENTICAL = "word for word"
    EQUAL = "equal but for numbers, times and IDs"
    HEAD = "the same first line"
    OTHER = "it failed in another way"
    PASSED = "it did not fail"
    UNREACHED = "it was not reached"


SAME = frozenset({Match.IDENTICAL, Match.EQUAL, Match.HEAD})


@dataclass(frozen=True)
class RepeatedFailure:
    """One failure of the recorded run, and what came of it."""

    check: str  # `run` for an error that ended the run
    status: Status
    match: Match
    recorded: str
    received: str

    @property
    def is_same(self) -> bool:
        """Whether it failed again in the same way."""
        return self.match in SAME


@dataclass(frozen=True)
class Difference:
    """One thing in which two environments differ, and how it can explain a failure."""

    subject: str  # `data`, `code`, `packages`, `image`, `variables`, `threads`, `cpu`, `memory`, `engine`, ...
    name: str
    recorded: str
    here: str
    why: str = ""


@dataclass(frozen=True)
class Replay:
    """The verdict of a replay."""

    outcome: Outcome
    recorded: str  # ID of the run that was replayed
    exit_code: int
    run: str = ""  # ID of the new run, empty where there was none
    reason: str = ""  # why it could not be replayed
    hint: str = ""
    checks: tuple[RepeatedFailure, ...] = ()
    also: tuple[str, ...] = ()  # checks that failed only here
    differences: tuple[Difference, ...] = ()  # the likeliest cause first
    changed: tuple[str, ...] = ()  # files of the project that are not as they were
    notes: tuple[str, ...] = ()
