"""The run as a whole: its stages, its machine, and all of its evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Protocol

from harness.config.spec import Spec
from harness.errors import DescriptionError
from harness.evidence.records.build import Images, Lock
from harness.evidence.records.code import Code
from harness.evidence.records.dataset import Data
from harness.evidence.records.exchange import Contract, Fuzz, Load, Skew, Stop
from harness.evidence.records.manifest import Loaded, Manifest
from harness.evidence.records.provenance import Provenance
from harness.evidence.records.quality import Quality
from harness.evidence.records.run_environment import Surroundings
from harness.evidence.records.scan import Scan, Tracked
from harness.evidence.records.services import Services
from harness.evidence.records.serving import Robustness, Serving
from harness.evidence.records.training import Artifact, Training
from harness.evidence.records.training_variants import Trainings
from harness.evidence.stages import SLOW


class Selectable(Protocol):
    """A check, as far as its selection needs it."""

    @property
    def name(self) -> str:
        """`<subject>.<expectation>`."""

    @property
    def reads(self) -> tuple[str, ...]:
        """Fields of Evidence that it cannot do without."""

    @property
    def may_read(self) -> tuple[str, ...]:
        """Fields that it reads where they are there."""


@dataclass(frozen=True)
class StageTime:
    """One stage of the line: when it started after the run did, how long it took, and how it ended."""

    name: str
    start: float
    seconds: float
    outcome: str  # `done`, or why it was not done
    done: bool
    left_out: bool = False  # nobody asked for it; else what was not done was not reached


@dataclass(frozen=True)
class Environment:
    """The machine that a run saw."""

    harness: str
    python: str
    host: str
    engine: str
    api: str
    compose: str
    storage: str
    cores: int
    memory: int
    hash_seed: str  # PYTHONHASHSEED of the harness: tox sets a random one
    engine_version: str = ""
    engine_kind: str = ""  # `docker`, `podman`, with ` rootless` behind it
    system: str = ""  # of the engine's machine, as are the next ones
    kernel: str = ""
    architecture: str = ""
    cgroup: str = ""  # version of the control groups
    cpu_model: str = ""
    cpu_flags: tuple[str, ...] = ()  # sorted; empty: unknown
    timezone: str = ""  # of the machine of the harness
    variables: Mapping[str, str] = field(default_factory=dict)  # of the harness: locale, time zone, numbers of threads


JUDGED = "judged"  # the kind of the Ending of a run that has a verdict


@dataclass(frozen=True)
class Ending:
    """How a run ended: with a verdict, or with an error before there was one."""

    exit_code: int
    kind: str  # `judged`, `interrupted`, or the kind of the error as in harness.errors
    message: str = ""
    hint: str = ""


def error_of(ending: Ending | None) -> Ending | None:
    """Return the error that ended a run; None where it came to a verdict, or where nothing says how it ended."""
    return ending if ending is not None and ending.kind != JUDGED else None


@dataclass(frozen=True)
class Selection:
    """Which checks a run was asked for; patterns as in fnmatch(3), such as `contract.*`."""

    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    fast: bool = False  # the main line alone
    deep: bool = False  # fuzz too, as long as its budget allows
    seed: int = 1  # of what is random in a run
    budget: float | None = None  # seconds that fuzzing may take; None: as long as is usual

    def left_out(self, check: Selectable) -> str:
        """Return why a check is left out; empty where it is taken."""
        if self.only and not any(fnmatchcase(check.name, pattern) for pattern in self.only):
            return "left out by --only"
        if any(fnmatchcase(check.name, pattern) for pattern in self.skip):
            return "left out by --skip"
        return "left out by --fast" if self.fast and SLOW & {*check.reads, *check.may_read} else ""

    def verify(self, names: Sequence[str]) -> None:
        """Raise DescriptionError for a pattern that fits no check."""
        for pattern in (*self.only, *self.skip):
            if not any(fnmatchcase(name, pattern) for name in names):
                near = get_close_matches(pattern, names, n=1, cutoff=0.5)
                guess = f"did you mean {near[0]}?" if near else "`harness checks` lists them."
                raise DescriptionError(f"no check is named {pattern}", hint=f"Correct --only or --skip: {guess}")


@dataclass(frozen=True)
class Evidence:
    """All that a run recorded; the only thing a check may look at. A missing record is None."""

    spec: Spec
    selection: Selection | None = None
    environment: Environment | None = None
    lock: Lock | None = None
    images: Images | None = None
    data: Data | None = None
    services: Services | None = None
    train: Training | None = None
    artifact: Artifact | None = None
    serve: Serving | None = None
    contract: Contract | None = None
    code: Code | None = None
    manifest: Manifest | None = None
    loaded: Loaded | None = None
    provenance: Provenance | None = None
    skew: Skew | None = None
    quality: Quality | None = None
    robustness: Robustness | None = None
    fuzz: Fuzz | None = None
    load: Load | None = None
    stop: Stop | None = None
    scan: Scan | None = None
    tracked: Tracked | None = None
    trainings: Trainings | None = None
    surroundings: Surroundings | None = None
    stages: tuple[StageTime, ...] = ()
    end: Ending | None = None
