"""One tree of errors: each class carries its exit code, each error what to do next.

Exit codes are part of the interface (see README): 0 passed, 1 a check failed, 2 the description is wrong,
3 the infrastructure failed, 4 a check crashed, 5 a replay did not reproduce the failure, 70 the
harness itself crashed, 130 interrupted. A failed check is a finding, not an error.
"""

from __future__ import annotations

from typing import ClassVar

PASSED = 0
CHECK_FAILED = 1
CHECK_CRASHED = 4
NOT_REPRODUCED = 5  # the answer of `harness replay`, not an error
CRASHED = 70  # a defect of the harness itself: EX_SOFTWARE of sysexits(3), never to be read as a failed check
INTERRUPTED = 130


class HarnessError(Exception):
    """What went wrong, and in `hint` what to do next."""

    exit_code: ClassVar[int] = CRASHED  # never raised itself, only its subclasses are
    kind: ClassVar[str] = "error"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class DescriptionError(HarnessError):
    """`compose.yaml`, its `x-harness` block or a file that it names is wrong."""

    exit_code = 2
    kind = "the description is wrong"


class NotPublishedError(DescriptionError):
    """A store holds no artifact of this name, or none at all yet."""

    kind = "nothing is published"


class TamperedError(DescriptionError):
    """What a store holds is not what its name says: it was changed, cut off or never was an artifact."""

    kind = "the artifact store is broken"


class InfrastructureError(HarnessError):
    """The machine, the engine, the registry or the disk failed; the project is not to blame."""

    exit_code = 3
    kind = "the infrastructure failed"


class EngineUnavailableError(InfrastructureError):
    """No container engine answers, or it stopped answering."""

    kind = "no container engine answers"


class ImageUnavailableError(InfrastructureError):
    """An image is neither on this machine nor could it be pulled."""

    kind = "an image cannot be had"


class DiskFullError(InfrastructureError):
    """A disk that the harness or the engine writes to is full."""

    kind = "the disk is full"


class ComposeError(InfrastructureError):
    """The Compose program is missing or failed for a reason that is not the project's."""

    kind = "Compose failed"


class RunOverError(Exception):
    """The run was ended while something worked for it, which nobody waits for: it stops. No error of anybody."""


def is_disk_full(text: str) -> bool:
    """Whether a message of the engine, of Compose or of a program says that a disk is full."""
    lowered = text.lower()
    return "no space left on device" in lowered or "errno 28" in lowered
