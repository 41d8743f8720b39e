"""What is known of a failure, and what was found to be its cause."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from harness.evidence.records import Exit, Limits, Serving


class CauseKind(StrEnum):
    """What made a run fail. The values are stable: a replay compares them."""

    EXIT_CODE = "exit code"
    SIGNAL = "signal"
    OUT_OF_MEMORY = "out of memory"
    TIMEOUT = "timeout"
    NEVER_READY = "never ready"
    WRONG_PORT = "wrong port"
    LOOPBACK_ONLY = "listens on loopback only"
    CRASHED_WHILE_SERVING = "crashed while serving"
    COMMAND_NOT_FOUND = "command not found"
    NOT_EXECUTABLE = "not executable"
    WRONG_PLATFORM = "wrong platform"
    BUILD_FAILED = "build failed"
    DISK_FULL_CONTAINER = "disk full in the container"
    DISK_FULL_ENGINE = "disk full on the engine"
    DISK_FULL_HOST = "disk full on the host"
    ENGINE_GONE = "engine gone"
    ENGINE_FAILED = "engine failed"
    BUILDER = "builder unusable"
    KILLED_FROM_OUTSIDE = "ended from outside"
    IMAGE_UNAVAILABLE = "image cannot be had"
    NO_NETWORK = "no network while building"
    ADDRESS_POOL = "network addresses exhausted"
    PORT_TAKEN = "port taken"
    COMPOSE_FAILED = "Compose failed"
    INFRASTRUCTURE = "infrastructure"
    DESCRIPTION = "description"
    INTERRUPTED = "interrupted"
    HARNESS_CRASHED = "harness crashed"

    @property
    def is_infrastructure(self) -> bool:
        """Whether the machine is to blame, never the model: such a run ends with exit code 3."""
        return self in _INFRASTRUCTURE


_INFRASTRUCTURE = frozenset(
    {
        CauseKind.DISK_FULL_CONTAINER,
        CauseKind.DISK_FULL_ENGINE,
        CauseKind.DISK_FULL_HOST,
        CauseKind.ENGINE_GONE,
        CauseKind.ENGINE_FAILED,
        CauseKind.BUILDER,
        CauseKind.KILLED_FROM_OUTSIDE,
        CauseKind.IMAGE_UNAVAILABLE,
        CauseKind.NO_NETWORK,
        CauseKind.ADDRESS_POOL,
        CauseKind.PORT_TAKEN,
        CauseKind.COMPOSE_FAILED,
        CauseKind.INFRASTRUCTURE,
    }
)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """What the records say of one failure: of a container, of a build, or of a run that ended without a verdict."""

    subject: str  # where: `train`, `serve`, `contract`, `trainings:small-batch`, `robustness:hermetic`, `images`, `run`
    exit: Exit | None = None  # of a container that ended
    log: tuple[str, ...] = ()
    log_file: str = ""  # of the run folder
    limits: Limits = field(default_factory=Limits)
    timeout: float | None = None  # seconds that it had
    timeout_key: str = ""  # where the project says so
    peak: int | None = None  # bytes of memory
    requirements: tuple[str, ...] = ()  # files that the images install from
    service: Serving | None = None  # one that never became ready
    served: bool = False  # it had been ready, and ended while it was asked
    build: str = ""  # services whose build failed
    error: str = ""  # the kind of the error that ended the run, as in `harness.errors`
    message: str = ""
    hint: str = ""

    @property
    def code(self) -> int | None:
        """The exit code of a container; None where there is none."""
        return self.exit.code if self.exit is not None else None


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Why something failed."""

    kind: CauseKind
    subject: str  # as in Failure
    summary: str  # one line
    lines: tuple[str, ...] = ()  # of the log, those that matter
    limit: str = ""  # the limit that applied, such as `memory 64 MiB`
    advice: str = ""  # what to try next
    symptom: str = ""  # the name of what the log shows, as in `harness.diagnosis.known`; empty: nothing well known

    @property
    def text(self) -> str:
        """Summary, limit and lines, as a finding shows them."""
        return "\n".join([self.summary, *([f"limit: {self.limit}"] if self.limit else []), *self.lines])
