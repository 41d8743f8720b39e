"""What a scan of the artifact saw, and which files of the project's repository hold models."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Use(IntEnum):
    """How a pickle uses what it imports, the strongest use last."""

    REFERENCED = 0  # only named: stored, or handed to something else
    BUILT = 1  # an object of it is made (NEWOBJ) or given its state (BUILD)
    CALLED = 2  # called with arguments from the file (REDUCE, INST, OBJ)
    ALTERED = 3  # attributes of the imported thing itself are overwritten (BUILD on a class, function or module)

    @property
    def word(self) -> str:
        """The word for a message."""
        return self.name.lower()


@dataclass(frozen=True)
class Import:
    """One name that loading the file would import."""

    module: str
    name: str
    position: int  # first place: bytes from the start of the unpacked stream
    use: Use
    where: str = ""  # the way inside the file, such as `zlib > array at 120`; empty: the file itself
    count: int = 1

    @property
    def full(self) -> str:
        """Module and name."""
        return f"{self.module}.{self.name}"


class Kind(StrEnum):
    """What else a scan notes."""

    EXTERNAL_DATA = "external data"  # the file names another file to be read with it
    OUTSIDE = "external data outside the artifact's folder"
    CUSTOM_OPERATOR = "custom operator"
    EMBEDDED_CODE = "embedded code"  # a Keras Lambda layer: Python bytecode or source that loading runs
    NATIVE_CODE = "native code"  # a shared library, a program, compiled Python
    COMPUTED_CALL = "computed call"  # what is called is no imported name but the result of a computation
    TRAILING = "data after the end"
    UNKNOWN = "unknown format"


@dataclass(frozen=True)
class Note:
    """One thing beside the imports."""

    kind: Kind
    text: str
    position: int = 0
    where: str = ""


@dataclass(frozen=True)
class ScannedFile:
    """One file of the artifact, read to its end without executing anything."""

    path: str
    size: int
    formats: tuple[str, ...]  # from the outside in, such as `zlib`, `joblib`
    imports: tuple[Import, ...] = ()
    notes: tuple[Note, ...] = ()
    error: str | None = None  # why it could not be read to its end: such a file is never clean


@dataclass(frozen=True)
class Borrowed:
    """A name that a module of the project has from somewhere else: `train.run` is `subprocess.run`."""

    full: str
    module: str  # where it comes from
    name: str


@dataclass(frozen=True)
class Scan:
    """All files of the artifact."""

    files: tuple[ScannedFile, ...]
    own: tuple[str, ...] = ()  # modules among the imports of which the project holds the source
    seconds: float = 0.0
    borrowed: tuple[Borrowed, ...] = ()  # imports of those modules, and of `__main__`, that are dangerous ones

    @property
    def blocker(self) -> str | None:
        """A scan never ends the line."""
        return None


@dataclass(frozen=True)
class TrackedFile:
    """One file in git that looks like a trained model."""

    path: str
    size: int  # of what git stores
    reason: str  # its name or its content


@dataclass(frozen=True)
class Tracked:
    """The models that git tracks in the project's folder."""

    files: tuple[TrackedFile, ...] = ()
    looked_at: int = 0
    pointers: int = 0  # Git LFS pointers and .dvc files: the way it should be
    skipped: str | None = None  # why nothing could be looked at
    unread: int = 0  # not looked at: the limit was reached

    @property
    def blocker(self) -> str | None:
        """What git tracks never ends the line."""
        return None
