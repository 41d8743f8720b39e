"""The fixture dataset: its files, and what was seen in its tables."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.evidence.records.finding import FileHash


@dataclass(frozen=True)
class Violation:
    """One breach of the data schema; `row` is the 0-based data row, None for a whole column.

    `line` is where that row begins in its file, counted from 1; None for Parquet.
    """

    file: str
    column: str
    row: int | None
    value: str
    check: str
    line: int | None = None


@dataclass(frozen=True)
class SharedRow:
    """One hold-out row that training has too; both rows are 0-based data rows."""

    holdout: str
    holdout_row: int
    train: str
    train_row: int
    identical: bool  # else equal only within the tolerance


@dataclass(frozen=True)
class Tell:
    """A column that tells the target by itself.

    `score` is its accuracy for classes, its squared correlation for numbers; `skill` the part of what the most
    frequent class leaves to explain.
    """

    column: str
    score: float
    skill: float
    is_copy: bool  # one value for each class, or a straight line


@dataclass(frozen=True)
class Split:
    """The training and the hold-out tables beside each other."""

    train: tuple[str, ...]
    holdout: tuple[str, ...]
    train_rows: int = 0
    holdout_rows: int = 0
    holdout_has_target: bool = False
    shared: int = 0  # hold-out rows that training has too
    repeated: float = 0.0  # share of the training rows that training has more than once
    chance: float = 0.0  # share of hold-out rows that so few values would repeat without any leak
    shared_rows: tuple[SharedRow, ...] = ()  # the first ones
    ignored: tuple[str, ...] = ()  # columns that number the rows
    target: str | None = None
    is_number: bool = False  # the target is a number to regress on
    classes: dict[str, tuple[int, int]] = field(default_factory=dict)  # class -> rows in training, in hold-out
    features: int = 0
    tells: tuple[Tell, ...] = ()
    problem: str = ""  # why the tables could not be compared


@dataclass(frozen=True)
class Drift:
    """How far one column is from the reference: `measure` is L-infinity or Jensen-Shannon.

    `noise` is what samples of these sizes differ by without any drift.
    """

    column: str
    measure: str
    distance: float
    noise: float
    missing: tuple[float, float] = (0.0, 0.0)  # share in the reference, in the fixture
    missing_noise: float = 0.0
    appeared: tuple[str, ...] = ()
    vanished: tuple[str, ...] = ()


@dataclass(frozen=True)
class Secret:
    """One place that looks like a secret; `line` counts from 1, `shown` hides most of it."""

    file: str
    line: int
    kind: str
    shown: str
    is_key: bool  # it opens something; else it is about a person


@dataclass(frozen=True)
class Secrets:
    """What looks like a secret in the files of the dataset."""

    found: tuple[Secret, ...] = ()  # the first ones
    count: int = 0
    keys: int = 0  # of them that open something
    scanned: int = 0  # bytes
    unread: tuple[str, ...] = ()  # files that were not looked into, or not to their end


@dataclass(frozen=True)
class DvcPointer:
    """One `.dvc` pointer held against what is here; both hashes are DVC's: MD5, of a folder with `.dir` behind it."""

    pointer: str
    path: str
    expected: str
    received: str
    differs: tuple[str, ...] = ()  # files of a folder, where DVC's cache says which
    pulled: bool = False


@dataclass(frozen=True)
class Data:
    """The fixture dataset as it lies on the host and was delivered."""

    path: str
    files: tuple[FileHash, ...]
    sha256: str  # over the sorted lines `<sha256>  <path>` of all files
    tables: tuple[str, ...] = ()
    rows: int = 0
    violations: tuple[Violation, ...] = ()  # the first ones
    violation_count: int = 0
    violations_listed: int = 0  # in violations.ndjson of the run
    schema_error: str | None = None
    split: Split | None = None
    drift: tuple[Drift, ...] | None = None
    secrets: Secrets | None = None
    dvc: tuple[DvcPointer, ...] = ()

    blocker: None = None
