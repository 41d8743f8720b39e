"""The verdict of one check, and the hash of one file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from enum import StrEnum


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


# What keeps an empty folder in git, and what a desktop leaves in any folder it shows: no part of a model.
_KEEPERS = (".gitkeep", ".keep", ".placeholder", ".empty", ".gitignore", ".gitattributes")
_HOUSEKEEPING = frozenset((*_KEEPERS, ".ds_store", "thumbs.db", "desktop.ini"))


def is_housekeeping(path: str) -> bool:
    """Whether a file is no part of what training makes, by its name."""
    return path.rpartition("/")[2].lower() in _HOUSEKEEPING


def digest_of(files: tuple[FileHash, ...]) -> str:
    """Return one SHA-256 for all files: that of `sha256sum`'s lines, sorted by path."""
    lines = "".join(f"{f.sha256}  {f.path}\n" for f in files)
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()
