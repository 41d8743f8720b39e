"""What became of the services that train and serve depend on."""

from __future__ import annotations

from dataclasses import dataclass

from harness.evidence.records.finding import FileHash
from harness.evidence.records.training import Exit


@dataclass(frozen=True)
class Companion:
    """A service beside train and serve, as far as it was waited for."""

    service: str
    needed_by: tuple[str, ...]
    condition: str  # of `depends_on`, the most that one of these asks: started, healthy or completed
    seconds: float = 0.0  # from its start to the fulfilment of that
    exit: Exit | None = None  # None: it went on
    log_tail: tuple[str, ...] = ()
    problem: str = ""  # why the condition is not fulfilled
    required: bool = True


@dataclass(frozen=True)
class Services:
    """The services beside train and serve, in the order of their start."""

    companions: tuple[Companion, ...]
    steps: tuple[str, ...] = ()  # those between training and serving
    left: tuple[FileHash, ...] | None = None  # what the last of them left for serving; None: none writes there

    @property
    def failed(self) -> tuple[Companion, ...]:
        """Those without which train or serve cannot go on."""
        return tuple(each for each in self.companions if each.problem and each.required)

    @property
    def blocker(self) -> str | None:
        """Why the line cannot go on after this stage."""
        return f"the service {self.failed[0].service} {self.failed[0].problem}" if self.failed else None
