"""The run as a whole: its stages, its machine, and all of its evidence."""

from __future__ import annotations

from dataclasses import dataclass

from harness.records.build import Data, Images, Lock
from harness.records.exchange import Contract, Fuzz, Load, Skew, Stop
from harness.records.serving import Robustness, Serving
from harness.records.training import Artifact, Training
from harness.spec import Spec


@dataclass(frozen=True)
class StageTime:
    """One stage of the line: when it started after the run did, how long it took, and how it ended."""

    name: str
    start: float
    seconds: float
    outcome: str  # `done`, or why it was not done
    done: bool


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


@dataclass(frozen=True)
class Evidence:
    """All that a run recorded; the only thing a check may look at. A missing record is None."""

    spec: Spec
    environment: Environment | None = None
    lock: Lock | None = None
    images: Images | None = None
    data: Data | None = None
    train: Training | None = None
    artifact: Artifact | None = None
    serve: Serving | None = None
    contract: Contract | None = None
    skew: Skew | None = None
    robustness: Robustness | None = None
    fuzz: Fuzz | None = None
    load: Load | None = None
    stop: Stop | None = None
    stages: tuple[StageTime, ...] = ()
