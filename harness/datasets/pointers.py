"""Reads `.dvc` pointer files, and computes the hashes that DVC would.

The format: https://dvc.org/doc/user-guide/project-structure/dvc-files. A folder's hash ends in `.dir`: it is the MD5 of
a JSON list of its files, `[{"md5": ..., "relpath": ...}]` sorted by path, which the cache holds under that hash. Before
DVC 3 (no `hash: md5` in the pointer) text was hashed with Unix line ends.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from harness.errors import DescriptionError
from harness.evidence.records import DvcPointer

SUFFIX = ".dvc"
SHOWN = 10


@dataclass(frozen=True)
class Pointer:
    """One `.dvc` file, and the file or folder that it stands for."""

    file: Path
    target: Path
    md5: str
    legacy: bool


def target_of(path: Path) -> Path:
    """Return what a path stands for: for a pointer its target, else itself. Raises DescriptionError."""
    return read(path).target if path.suffix == SUFFIX and path.is_file() else path


def is_tracked(root: Path, path: Path) -> bool:
    """Whether DVC tracks a path that may not be here yet."""
    return any(True for _ in _files(root, path))


def find(root: Path, path: Path) -> list[Pointer]:
    """Return the pointers for a dataset: beside it, beside a folder that holds it, or in it."""
    return [read(file) for file in _files(root, path)]


def read(file: Path) -> Pointer:
    """Read a pointer of one file or folder. Raises DescriptionError."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        (out,) = content["outs"]
        md5, path = str(out["md5"]), str(out["path"])
        folder = file.parent / str(content.get("wdir", "."))
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as exc:
        raise DescriptionError(
            f"{file.name} is no pointer of DVC with one `md5` and `path` below `outs`: {exc}",
            hint="Make it with `dvc add`.",
        ) from exc
    return Pointer(file, folder / path, md5, legacy="hash" not in out)


def compare(root: Path, pointer: Pointer, *, pulled: bool) -> DvcPointer:
    """Hash what is here as DVC would, and hold it against the pointer. Raises OSError."""
    files = dict(_hashes(pointer.target, legacy=False))
    received = _digest(files, pointer)
    if received != pointer.md5 and pointer.legacy:
        older = dict(_hashes(pointer.target, legacy=True))
        if _digest(older, pointer) == pointer.md5:
            received = pointer.md5
    same = received == pointer.md5
    return DvcPointer(
        pointer=_relative(pointer.file, root),
        path=_relative(pointer.target, root),
        expected=pointer.md5,
        received=received,
        differs=() if same else tuple(_differences(pointer, files))[:SHOWN],
        pulled=pulled,
    )


def _relative(path: Path, root: Path) -> str:
    path, root = path.resolve(), root.resolve()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _files(root: Path, path: Path) -> Iterator[Path]:
    path = path.absolute()
    if path.suffix == SUFFIX and path.is_file():
        yield path
        return
    for above in (path, *path.parents):
        beside = above.with_name(above.name + SUFFIX) if above.name else above
        if above == root.absolute() or not above.is_relative_to(root.absolute()):
            break
        if beside.is_file():
            yield beside
    if path.is_dir():
        yield from sorted(inner for inner in path.rglob(f"*{SUFFIX}") if inner.is_file())


def _hashes(target: Path, *, legacy: bool) -> Iterator[tuple[str, str]]:
    """Yield the path and the MD5 of each file; that of a file that stands alone is empty."""
    if not target.is_dir():
        yield "", _md5(target, legacy=legacy)
        return
    for file in sorted(target.rglob("*")):
        if file.is_file():
            yield file.relative_to(target).as_posix(), _md5(file, legacy=legacy)


def _md5(file: Path, *, legacy: bool) -> str:
    if legacy:
        content = file.read_bytes()
        return _hex(content if b"\0" in content[:512] else content.replace(b"\r\n", b"\n"))
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _hex(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _digest(files: dict[str, str], pointer: Pointer) -> str:
    if not pointer.target.is_dir():
        return files[""]
    entries = [{"md5": md5, "relpath": path} for path, md5 in sorted(files.items())]
    return _hex(json.dumps(entries, sort_keys=True).encode()) + ".dir"


def _differences(pointer: Pointer, files: dict[str, str]) -> Iterator[str]:
    """Yield the files of a folder that differ, where DVC's cache has its manifest."""
    manifest = _manifest(pointer)
    if manifest is None:
        return
    for path in sorted({*manifest, *files}):
        if path not in files:
            yield f"{path} is missing"
        elif path not in manifest:
            yield f"{path} is not tracked"
        elif manifest[path] != files[path]:
            yield f"{path} has changed"


def _manifest(pointer: Pointer) -> dict[str, str] | None:
    name = Path(pointer.md5[:2], pointer.md5[2:])
    for folder in pointer.file.absolute().parents:
        for cache in (folder / ".dvc/cache/files/md5", folder / ".dvc/cache"):
            if pointer.md5.endswith(".dir") and (cache / name).is_file():
                try:
                    return {e["relpath"]: e["md5"] for e in json.loads((cache / name).read_text(encoding="utf-8"))}
                except (ValueError, KeyError, TypeError):
                    return None
    return None
