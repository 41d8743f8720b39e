"""What the abstract pickle machine knows about a value: next to nothing, and never the value itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from harness.evidence.records.scan import Import, Kind, Note, Use
from harness.scanner.source import UnreadableError

MAX_NAMES = 10_000  # different imports of one file
MAX_KEYS = 32  # of a dict that is followed: the state of a joblib wrapper has six
_GETTERS = {
    *((module, name) for module in ("builtins", "__builtin__") for name in ("getattr", "type")),
    *((module, "_ufunc_reconstruct") for module in ("numpy.core", "numpy._core")),
}
MAX_NOTES = 100  # of each kind, so that none hides another


class Inert:
    """Data of which nothing is known and that does nothing."""


class Scanned:
    """Bytes in the stream that were scanned as a file of their own."""


def leads_outside(place: str) -> bool:
    """Whether the name of a file leads out of the folder of the file that names it."""
    return any(path.is_absolute() or ".." in path.parts for path in (PurePosixPath(place), PureWindowsPath(place)))


INERT = Inert()
SCANNED = Scanned()


@dataclass(eq=False)
class Ref:
    """An imported name."""

    module: str
    name: str
    position: int
    where: str
    use: Use = Use.REFERENCED
    count: int = 0
    made: Made = field(init=False)
    is_read: bool = False  # a call of it was read: what it returned is in the list in its place
    is_stray: bool = False  # another call of it could not be

    is_watched: bool = field(init=False)  # harmless in few places, so that no call of it may stay unseen

    def __post_init__(self) -> None:
        self.made = Made(self)
        self.is_watched = any((self.is_wrapper, self.is_file_wrapper, self.is_getter, self.is_loader, self.is_memmap))

    @property
    def is_wrapper(self) -> bool:
        """Whether joblib reads the bytes of an array after an object of this class, wherever it is imported from."""
        return self.name.endswith("NumpyArrayWrapper")

    @property
    def is_file_wrapper(self) -> bool:
        """Whether joblib reads another file, pickles too, after an object of this class (joblib before 0.10)."""
        return self.name.endswith("NDArrayWrapper")

    @property
    def is_getter(self) -> bool:
        """Whether it returns what its arguments name."""
        return (self.module, self.name) in _GETTERS

    @property
    def is_loader(self) -> bool:
        """Whether it is torch's loader of the bytes that it is given."""
        return self.name == "_load_from_bytes"

    @property
    def is_memmap(self) -> bool:
        """Whether it opens a file when it is called; arrays name it as their class."""
        return self.name == "memmap"

    @property
    def is_dtype(self) -> bool:
        """Whether it is numpy's dtype."""
        return self.name == "dtype" and self.module.partition(".")[0] == "numpy"

    def used(self, use: Use) -> None:
        """Note a use."""
        self.use = max(self.use, use)


@dataclass(eq=False)
class Made:
    """What a call of an imported name returned; one for all calls, but for array wrappers, whose state matters."""

    ref: Ref
    state: dict[str, Any] | None = None


@dataclass(eq=False)
class Dtype:
    """A numpy dtype, as far as its size; `bad` where it was not written as numpy writes it."""

    kind: str
    size: int
    has_objects: bool
    bad: bool = False


@dataclass(eq=False)
class Mapping:
    """A small dict with text keys; `items` is None as soon as more cannot be said."""

    items: dict[str, Any] | None = field(default_factory=dict)

    def update(self, pairs: list[Any]) -> None:
        """Set items: a key, its value, a key, its value ..."""
        for key, value in zip(pairs[::2], pairs[1::2], strict=False):
            if self.items is None:
                return
            if type(key) is not str or len(self.items) >= MAX_KEYS:
                self.items = None
            else:
                self.items[key] = value


@dataclass
class Found:
    """What was seen in a file so far."""

    refs: dict[tuple[str, str, str], Ref] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)

    def ref(self, module: str, name: str, position: int, where: str) -> Ref:
        """Note an import. Raises UnreadableError when there are too many different ones."""
        ref = self.refs.get((module, name, where))
        if ref is None:
            if len(self.refs) >= MAX_NAMES:
                raise UnreadableError(f"imports more than {MAX_NAMES} different names")
            ref = self.refs[module, name, where] = Ref(module, name, position, where)
        ref.count += 1
        return ref

    def note(self, kind: Kind, text: str, position: int = 0, where: str = "") -> None:
        """Note something else, once for each kind and text."""
        alike = [n.text for n in self.notes if n.kind is kind]
        if len(alike) < MAX_NOTES and text not in alike:
            self.notes.append(Note(kind, text, position, where))

    def imports(self) -> tuple[Import, ...]:
        """Return the imports in the order in which they were met; for a getter whose calls were read, their results."""
        shown = [r for r in self.refs.values() if not r.is_read or r.is_stray or r.use is Use.ALTERED]
        return tuple(Import(r.module, r.name, r.position, r.use, r.where, r.count) for r in shown)
