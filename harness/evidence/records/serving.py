"""How the service started, what it does when things are not as they should be, and how it stopped."""

from __future__ import annotations

from dataclasses import dataclass

from harness.config.spec import Handover
from harness.evidence.records.finding import FileHash
from harness.evidence.records.training import Exit


@dataclass(frozen=True)
class Interface:
    """How a service is spoken to: the dialect's name, and its paths with the names of the model filled in."""

    dialect: str
    ready: str
    predict: str


@dataclass(frozen=True)
class ReadinessProbe:
    """Once asked whether the service is ready: seconds after its start, and what it said."""

    at: float
    ready: bool  # the ready path said yes
    answer: str
    code: int | None = None  # status of the ready path; None: no answer
    prediction: str = ""  # what a prediction got right after; empty where none was asked for
    predicted: int | None = None  # its status
    honest: bool = True  # False: it said yes and could not predict


@dataclass(frozen=True)
class Serving:
    """How the service started, and the artifact as its container sees it."""

    image: str
    handover: Handover
    artifact_path: str
    files: tuple[FileHash, ...] | None  # None: nothing at `artifact_path`
    ready: bool
    seconds: float
    last_answer: str  # what the ready path said last
    died: Exit | None
    log_tail: tuple[str, ...]
    listening: tuple[str, ...]  # sockets that listen inside the container, looked up when not ready
    port: int
    ready_path: str
    timeout: float
    interface: Interface | None = None  # None: no dialect was recognised
    asked: tuple[ReadinessProbe, ...] = ()  # from the first moment on; equal ones in a row only once

    @property
    def blocker(self) -> str | None:
        """Why the line cannot go on after this stage."""
        return None if self.ready else "the service never became ready"


@dataclass(frozen=True)
class Start:
    """The serving image started once more, changed in one way, to see what it does."""

    name: str  # `artifact-missing`, `artifact-truncated`, `hermetic`, `no-network`, `read-only`, `arbitrary-uid`, ...
    ready: bool = False  # the ready path said yes, at least once
    answered: bool = False  # and a prediction was made
    heard: bool = False  # it answered at all, if only to say that it is not ready
    seconds: float = 0.0
    watched: float = 0.0  # how long it had
    last_answer: str = ""
    exit: Exit | None = None  # None: it still ran when it was ended
    log_tail: tuple[str, ...] = ()
    impossible: str = ""  # why it could not be tried


@dataclass(frozen=True)
class Health:
    """The HEALTHCHECK of a serving container: run while it serves, and run where nothing serves."""

    command: tuple[str, ...] = ()  # empty: there is none
    timeout: float = 30.0
    alive_code: int | None = None  # exit code beside a service that answers: 0 is right; None: no end within `timeout`
    alive_output: str = ""
    dead_code: int | None = None  # exit code in a container in which no service runs: 0 is wrong
    dead_output: str = ""


@dataclass(frozen=True)
class Robustness:
    """How the serving image behaves when things are not as they should be."""

    starts: tuple[Start, ...] = ()
    health: Health | None = None
    user: str = ""  # as the container is configured; empty or 0 is root
    uid: int | None = None  # of its first process; None where it could not be read

    blocker: None = None

    def start(self, name: str) -> Start | None:
        """Return one of the starts."""
        return next((start for start in self.starts if start.name == name), None)
