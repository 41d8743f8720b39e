"""The frozen records that pass between stages, and that the checks read.

Each record is also a file of the run folder (`harness.evidence`), so a record holds data and nothing else.
Sizes are bytes, times are seconds, hashes are hexadecimal SHA-256.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, PlainSerializer

from harness.spec import Handover, Spec


def _body_to_json(body: bytes) -> dict[str, str]:
    try:
        return {"text": body.decode("utf-8")}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode("ascii")}


def _body_from_json(value: object) -> object:
    match value:
        case {"text": str(text)}:
            return text.encode("utf-8")
        case {"base64": str(encoded)}:
            return base64.b64decode(encoded)
        case _:
            return value


# Bytes that stay readable in JSON where they are text, and exact where they are not.
Body = Annotated[bytes, PlainSerializer(_body_to_json, when_used="json"), BeforeValidator(_body_from_json)]


class Status(StrEnum):
    """Verdict of one finding."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    ERROR = "error"
    SKIP = "skip"


@dataclass(frozen=True)
class Finding:
    """What one check found: expected, received, and what to do next."""

    status: Status
    received: str
    expected: str = ""
    advice: str = ""
    check: str = ""

    def of(self, check: str) -> Finding:
        """Return the same finding under the name of its check."""
        return replace(self, check=check)


@dataclass(frozen=True)
class FileHash:
    """One file: its path relative to the folder that was looked at."""

    path: str
    size: int
    sha256: str


def digest_of(files: tuple[FileHash, ...]) -> str:
    """Return one SHA-256 for all files: that of `sha256sum`'s lines, sorted by path."""
    lines = "".join(f"{f.sha256}  {f.path}\n" for f in files)
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


@dataclass(frozen=True)
class BaseImage:
    """One image that a build starts from, or that a service runs without a build."""

    reference: str
    service: str
    digest: str | None  # the digest in the reference, if it has one
    local: str | None = None  # set for the base that `harness setup` built: SHA-256 of its package list
    default: str | None = None  # what the Dockerfile itself names, where a build argument replaced it


@dataclass(frozen=True)
class BuiltImage:
    """An image as the engine has it. `diff_ids` identify its content, the ID depends on the image store."""

    service: str
    reference: str
    id: str
    diff_ids: tuple[str, ...]
    platform: str
    size: int
    working_dir: str
    user: str


@dataclass(frozen=True)
class Images:
    """What the images stage built."""

    builder: str
    compose: str
    images: tuple[BuiltImage, ...]
    bases: tuple[BaseImage, ...]
    requirements: dict[str, str] = field(default_factory=dict)  # requirements file -> SHA-256
    failure: str | None = None  # the services whose build failed
    log_tail: tuple[str, ...] = ()

    def of(self, service: str) -> BuiltImage:
        """Return the image of a service; raises KeyError."""
        return {image.service: image for image in self.images}[service]

    @property
    def blocker(self) -> str | None:
        """Why the line cannot go on after this stage."""
        return f"the build of {self.failure} failed" if self.failure else None


@dataclass(frozen=True)
class Violation:
    """One breach of the data schema; `row` is the 0-based data row, None for a whole column."""

    file: str
    column: str
    row: int | None
    value: str
    check: str


@dataclass(frozen=True)
class Data:
    """The fixture dataset as it lies on the host and was delivered."""

    path: str
    files: tuple[FileHash, ...]
    sha256: str  # over the sorted lines `<sha256>  <path>` of all files
    tables: tuple[str, ...] = ()
    rows: int = 0
    violations: tuple[Violation, ...] = ()
    violation_count: int = 0
    schema_error: str | None = None

    blocker: None = None


@dataclass(frozen=True)
class Exit:
    """How a container ended."""

    code: int | None  # None: it was stopped at its time limit
    oom_killed: bool
    timed_out: bool
    seconds: float
    log_tail: tuple[str, ...]

    def describe(self) -> str:
        """Say in a few words how it ended."""
        if self.timed_out:
            return f"stopped at its time limit after {self.seconds:.1f} s"
        if self.oom_killed:
            return f"killed because it used all its memory (exit code {self.code})"
        if self.code is not None and self.code > 128:  # noqa: PLR2004 - the shell's rule: 128 + signal number
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

    @property
    def blocker(self) -> str | None:
        """Why the line cannot go on after this stage."""
        return None if self.files else f"training left no artifact at {self.path}"


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

    @property
    def blocker(self) -> str | None:
        """Why the line cannot go on after this stage."""
        return None if self.ready else "the service never became ready"


@dataclass(frozen=True)
class Exchange:
    """One request and its answer, byte for byte."""

    case: str  # `example:<name>`, `malformed:<case>`, `recovery:<case>` or `document`
    method: str
    path: str
    request: Body
    status: int | None  # None: no answer
    content_type: str
    response: Body
    seconds: float
    error: str = ""


@dataclass(frozen=True)
class Contract:
    """Every request that was sent to the service, and what it answered."""

    exchanges: tuple[Exchange, ...]
    document: dict[str, Any] | None  # the OpenAPI document
    document_error: str | None = None

    blocker: None = None

    def answer(self, case: str) -> Exchange | None:
        """Return the exchange of a case."""
        return next((exchange for exchange in self.exchanges if exchange.case == case), None)


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
class Lock:
    """The pins of `harness.lock`."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # a pin that is not understood is not verified

    platform: str
    bases: dict[str, str]  # base image reference as the Dockerfile names it -> digest
    requirements: dict[str, str]
    data: str | None
    images: dict[str, tuple[str, ...]] = field(default_factory=dict)  # for reference: service -> diff-IDs
    version: Literal[1] = 1


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
    stages: tuple[StageTime, ...] = ()
