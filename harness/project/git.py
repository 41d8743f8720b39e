"""Asks git about the project's repository; the only caller of the git program."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.system.process import stream

TIMEOUT = 30.0  # seconds for one question
_REGULAR = "100"  # modes 100644 and 100755; symbolic links and submodules hold no content


class NoRepositoryError(Exception):
    """There is no git program, or no repository; the text says which."""


@dataclass(frozen=True)
class IndexEntry:
    """One regular file of git's index."""

    path: str  # relative to the folder that was asked about
    blob: str


def tracked(root: Path) -> Iterator[IndexEntry]:
    """Yield the files below a folder that git tracks, those that are only staged too. Raises NoRepositoryError."""
    for record in ask(root, "ls-files", "--stage", "-z").split("\0"):
        about, _, path = record.partition("\t")
        words = about.split(" ")
        if path and words[0].startswith(_REGULAR):
            yield IndexEntry(path, words[1])


def size(root: Path, blob: str) -> int:
    """Return how many bytes git stores for a file. Raises NoRepositoryError."""
    return int(ask(root, "cat-file", "-s", blob).strip() or 0)


def text(root: Path, blob: str) -> str:
    """Return what git stores for a small file. Raises NoRepositoryError."""
    return ask(root, "cat-file", "blob", blob)


def ask(root: Path, *words: str) -> str:
    """Return what git prints for a command in a folder. Raises NoRepositoryError where it ends with an error."""
    lines: list[str] = []
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    # A partial clone would fetch what it lacks, and a hook of the file system would start programs.
    environment |= {"GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    argv = ["git", "-C", str(root), "-c", "core.fsmonitor=false", *words]
    try:
        ended = stream(argv, environment, lines.append, timeout=TIMEOUT, longest=sys.maxsize)
    except OSError as exc:
        raise NoRepositoryError(f"no git program: {exc.strerror}") from exc
    said = "\n".join(lines)
    if not ended.is_well:
        why = f"git took longer than {TIMEOUT:g} s" if ended.expired else said.removeprefix("fatal: ")
        with suppress(IndexError):
            why = why.splitlines()[0]
        raise NoRepositoryError(why)
    return said
