"""Keeps the paths of the `x-harness` block inside the project: whoever writes the block must not read this machine.

A key of a path carries a `HostPath` in its type, which says how it is read; the walk below finds all that do, so that a
new key cannot be forgotten. Symbolic links count as where they lead. What Compose reads itself (build contexts, mounts)
is Compose's business, what the command line names is the user's own. A link into a cache of DVC stays: there a file is
named by the MD5 of its content, so only who knows a content can name it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from harness.config.blocks import Block
from harness.config.reference import SCHEME
from harness.config.values import HostPath, Reads
from harness.errors import DescriptionError
from harness.project.compose_file import KEY, Places

Loc = tuple[str | int, ...]

HINT = (
    "Name a file inside the project, relative to the folder of compose.yaml: copy it there, or have DVC fetch it.\n"
    "For what projects share, run from the folder above: `harness run --project .. --file NAME/compose.yaml`."
)
_ABSOLUTE = re.compile(r"^(?:[/~]|[A-Za-z]:[\\/])")
_IN_CACHE = re.compile(r"/[0-9a-f]{2}/[0-9a-f]{30}(?:\.dir)?$")  # as DVC lays out a cache, wherever that is
_WILD = re.compile(r"[*?\[]")


def verify(root: Path, block: Block, places: Places | None = None) -> None:
    """Raise DescriptionError, with the place of each, where paths of the block lead out of the project at `root`."""
    lines = []
    for loc, reads, value in host_paths(block):
        if why := _problem(root, reads, value):
            where = places(*loc) if places is not None else ""
            lines.append(f"{where}`{'.'.join(map(str, (KEY, *loc)))}`: {value!r} {why}")
    if lines:
        raise DescriptionError("\n".join(lines), hint=HINT)


def verify_files(root: Path, path: Path, what: str) -> None:
    """Raise DescriptionError where a path, or what lies in it, is outside of the project at `root`."""
    if why := (_outside(root, path) or _escaping(root, path)):
        raise DescriptionError(f"{what}: {os.path.relpath(path, root)!r} {why}", hint=HINT)


def host_paths(block: BaseModel) -> Iterator[tuple[Loc, Reads, str]]:
    """Yield all paths of this machine that a block names: where they stand, how they are read, what they are."""
    for name, field in type(block).model_fields.items():
        yield from _walk((field.alias or name,), field.annotation, tuple(field.metadata), getattr(block, name))


def _walk(loc: Loc, kind: Any, metadata: tuple[Any, ...], value: Any) -> Iterator[tuple[Loc, Reads, str]]:
    """Yield the paths in a value of a type; of a union those of whatever it is."""
    if isinstance(kind, type) and isinstance(value, BaseModel) and isinstance(value, kind):
        yield from (((*loc, *inner), reads, path) for inner, reads, path in host_paths(value))
    elif kind is str and isinstance(value, str):
        yield from ((loc, mark.reads, value) for mark in metadata if isinstance(mark, HostPath))
    for inner, other, more, each in _inner(kind, metadata, value):
        yield from _walk((*loc, *inner), other, more, each)


def _inner(kind: Any, metadata: tuple[Any, ...], value: Any) -> Iterator[tuple[Loc, Any, tuple[Any, ...], Any]]:
    """Yield the types that a type is made of, each with where it stands, its marks and its part of the value."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        yield (), arguments[0], (*metadata, *arguments[1:]), value
    elif origin in (Union, UnionType):
        yield from (((), each, metadata, value) for each in arguments)
    elif origin is tuple and isinstance(value, tuple):
        yield from (((number,), arguments[0], metadata, each) for number, each in enumerate(value))
    elif origin is dict and isinstance(value, dict):
        for key, each in value.items():
            yield (key,), arguments[0], (), key
            yield (key,), arguments[1], (), each


def _problem(root: Path, reads: Reads, value: str) -> str:
    """Return why a path is none of the project's; empty where it is."""
    if reads is Reads.STORE and value.startswith(SCHEME):
        return ""
    name = value.partition("@")[0] if reads is Reads.STORE else value
    why = _misspelt(name, reads)
    if why or reads is Reads.CONTEXT:
        return why
    found = _matches(root, name) if reads is Reads.GLOB else iter((root / name,))
    outside = next((why for why in (_outside(root, path) for path in found) if why), "")
    return outside or (_escaping(root, root / name) if reads in (Reads.FOLDER, Reads.STORE) else "")


def _misspelt(value: str, reads: Reads) -> str:
    """Return why a path is outside wherever the project lies; empty where that depends on links."""
    parts = value.replace("\\", "/").split("/")
    if "\0" in value:
        return "holds a NUL"
    if _ABSOLUTE.match(value):
        return "is an absolute path: elsewhere it is another file, or none"
    first = os.path.normpath("/".join(parts)).split("/")[0]
    ascends = first == ".." or (reads in (Reads.GLOB, Reads.CONTEXT) and ".." in parts)
    return "leads out of the project" if ascends else ""


def _matches(root: Path, pattern: str) -> Iterator[Path]:
    """Yield what a glob finds, and the folders before its first wildcard."""
    fixed = pattern.split("/")
    yield root.joinpath(*fixed[: next((n for n, part in enumerate(fixed) if _WILD.search(part)), len(fixed))])
    try:
        yield from root.glob(pattern)
    except (ValueError, NotImplementedError):  # an empty pattern: whoever reads the files says so
        return


def _outside(root: Path, path: Path) -> str:
    """Return why a path is outside, its symbolic links followed; empty where it is not."""
    try:
        real = path.resolve()
    except (OSError, RuntimeError) as exc:
        return f"cannot be followed: {exc}"
    if real.is_relative_to(root.resolve()) or (_IN_CACHE.search(str(real)) and path != real):
        return ""
    return "leads out of the project, by a symbolic link" if _stays(root, path) else "leads out of the project"


def _stays(root: Path, path: Path) -> bool:
    return Path(os.path.normpath(path.absolute())).is_relative_to(os.path.normpath(root.absolute()))


def _escaping(root: Path, folder: Path) -> str:
    """Return which link below a folder leads out of the project; empty where none does."""
    for parent, folders, names in os.walk(folder):
        for name in sorted((*folders, *names)):
            path = Path(parent, name)
            if path.is_symlink() and (why := _outside(root, path)):
                return f"holds {path.relative_to(folder).as_posix()!r}, which {why}"
    return ""
