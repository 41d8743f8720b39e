"""How a container ended, what training did, and what it left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.evidence.records.finding import FileHash
from harness.evidence.records.limits import Limits

LAST_SIGNAL = 64  # of Linux, see signal(7): 255 is no signal but what exit(-1) makes


@dataclass(frozen=True)
class Exit:
    """How a container ended."""

    code: int | None  # None: it was stopped at its time limit
    oom_killed: bool
    timed_out: bool
    seconds: float
    log_tail: tuple[str, ...]
    started: str = ""  # as the engine says it, in UTC; empty in old records
    finished: str = ""
    error: str = ""  # the engine's own message, where it has one
    ooms: int = 0  # times that the engine saw a process of it killed for memory: not always the first one
    limits: Limits = field(default_factory=Limits)
    lost: str = ""  # why the end of what it printed is not known: then `log_tail` is not its end
    dropped: int = 0  # bytes that it printed and that the log of the run folder, which has a limit, does not hold

    @property
    def unread(self) -> str:
        """Why the log that was kept is not all that it printed; empty where it is."""
        return self.not_whole(self.lost, self.dropped)

    @staticmethod
    def not_whole(lost: str, dropped: int) -> str:
        """Say in one sentence what a log lacks; empty where it lacks nothing."""
        return lost or (f"its last {dropped} bytes are beyond the limit of a log and were not kept" if dropped else "")

    def describe(self) -> str:
        """Say in a few words how it ended."""
        if self.timed_out:
            return f"stopped at its time limit after {self.seconds:.1f} s"
        if self.oom_killed:
            return f"killed because it used all its memory (exit code {self.code})"
        if self.code is not None and 128 < self.code <= 128 + LAST_SIGNAL:  # noqa: PLR2004 - the shell's rule
            return f"ended by signal {self.code - 128} (exit code {self.code})"
        return f"exit code {self.code}"


@dataclass(frozen=True)
class Training:
    """What the training run did."""

    image: str
    command: tuple[str, ...]
    exit: Exit
    in_image_build: bool  # the project's own way is to train inside an image build
    memory_limit: int
    peak: int | None = None  # the highest use of memory, None where nobody could say
    peak_source: str = ""
    peak_at: float = 0.0  # when it was last looked at
    memory: tuple[tuple[float, int], ...] = ()  # seconds after the start, bytes in use then, file cache not counted
    failure: str = ""  # what a failed training wrote where its protocol wants the reason

    @property
    def blocker(self) -> str | None:
        """Why the line cannot go on after this stage."""
        return None if self.exit.code == 0 else f"training did not end well: {self.exit.describe()}"


@dataclass(frozen=True)
class Artifact:
    """What training left, hashed as it came out of the train container."""

    path: str
    files: tuple[FileHash, ...]
    missing: str | None  # the engine's message, where there is nothing at `path`
    metrics_path: str
    metrics_declared: bool
    metrics: tuple[Mapping[str, float | int | str | bool | None], ...] | None
    metrics_error: str | None = None
    brought: tuple[str, ...] = ()  # those of `files` that the image had there, and training did not touch
    metrics_lost: bool = False  # more was recorded than could be read, `metrics_error` says why: nothing judges by them

    @property
    def blocker(self) -> str | None:
        """Why the line cannot go on after this stage."""
        return None if self.files else f"training left no artifact at {self.path}"

    @property
    def metrics_name(self) -> str | None:
        """The name of the metrics among the files, where they lie there."""
        folder = f"{self.path.rstrip('/')}/"
        return self.metrics_path.removeprefix(folder) if self.metrics_path.startswith(folder) else None
