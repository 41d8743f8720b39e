"""What further training runs did, each with one thing changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.evidence.records.finding import FileHash
from harness.evidence.records.training import Exit

# Further trainings that must not succeed. One of them tells nearly as much as all: the first that is possible is made.
MUST_FAIL = NO_COLUMN, NO_DATA, NOISE, FULL_DISK = "no-column", "no-data", "unreadable-data", "full-disk"
INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Rerun:
    """Training once more, with one thing changed."""

    name: str
    change: str  # what was changed, in words
    exit: Exit
    files: tuple[FileHash, ...]  # what it left where the artifact belongs
    metrics: tuple[Mapping[str, float | int | str | bool | None], ...] | None
    metrics_error: str | None = None
    brought: tuple[str, ...] = ()  # those of `files` that the image had there already
    metrics_lost: bool = False  # as of an artifact
    signalled: float | None = None  # SIGTERM came after this many seconds; None: it was not sent, or came too late


@dataclass(frozen=True)
class Labels:
    """The target column of the hold-out: what chance alone would score."""

    table: str
    rows: int
    majority: float  # part of the rows with the most frequent value
    numeric: bool  # many different numbers: a regression


@dataclass(frozen=True)
class Repeated:
    """What the predictor of the training image answers with the artifacts of two equal runs."""

    requests: int
    differing: tuple[str, ...]  # for each pair of answers that differs, where
    error: str = ""  # why there is nothing to compare


@dataclass(frozen=True)
class Trainings:
    """All further training runs, and why others were not made."""

    runs: tuple[Rerun, ...]
    left_out: Mapping[str, str]  # name -> why it was not made
    grace: float  # seconds between SIGTERM and SIGKILL
    seed: int = 0  # of the shuffled labels
    labels: Labels | None = None  # of the hold-out; with a small batch both are the same rows
    batch: int = 0  # distinct rows of the small batch
    tile: int = 0
    numeric: bool = False  # the target is one of many numbers
    content: Mapping[str, str] = field(default_factory=dict)  # file that two equal runs left -> how it differs
    repeated: Repeated | None = None

    blocker: None = None

    def of(self, name: str) -> Rerun | None:
        """Return a run by its name; None where it was not made."""
        return next((run for run in self.runs if run.name == name), None)
