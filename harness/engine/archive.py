"""Reads files out of containers as tar streams, hashed on the way, with limits: never loaded, never trusted."""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
import tempfile
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import IO

from harness.engine import Engine
from harness.errors import InfrastructureError
from harness.evidence.records import FileHash

MAX_BYTES = 20 * 1024**3  # what a hostile or runaway container may make the host write
MAX_FILES = 100_000
CHUNK = 1024 * 1024


def read_files(
    engine: Engine, container: str, path: str, destination: Path | None = None
) -> tuple[FileHash, ...] | None:
    """Hash every regular file at `path` in a container, sorted by name; None where there is nothing.

    With `destination` the files are also written there. A single file is named by its own name. Raises
    InfrastructureError past the limits on size and number.
    """
    stream = engine.read(container, path)
    if stream is None:
        return None
    found: dict[str, FileHash] = {}  # by the name in the archive
    total = 0
    with _opened(stream, path) as archive:
        for member in archive:
            total += member.size
            if total > MAX_BYTES or len(found) >= MAX_FILES:
                raise InfrastructureError(
                    f"{path} is larger than {MAX_BYTES} bytes or {MAX_FILES} files",
                    hint="Name only the artifact in `train.artifact`, not a whole file system.",
                )
            name = PurePosixPath(member.name)
            name = PurePosixPath(*name.parts[1:]) if len(name.parts) > 1 else name
            if name.is_absolute() or ".." in name.parts:
                raise InfrastructureError(f"the archive of {path} names a file outside it: {member.name}")
            target = destination / name if destination else None
            if member.islnk() and (first := found.get(member.linkname)):  # a second name of a file that came before
                if target is not None and destination is not None:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(destination / first.path, target)
                found[member.name] = replace(first, path=str(name))
            elif member.isreg() and (source := archive.extractfile(member)):
                digest, size = _copy(source, target)
                found[member.name] = FileHash(str(name), size, digest)
    return tuple(sorted(found.values(), key=lambda file: file.path))


@contextmanager
def _opened(stream: Generator[bytes, None, None], path: str) -> Iterator[tarfile.TarFile]:
    """Open a tar stream; one that breaks off is an error of the engine, never a smaller artifact."""
    try:
        with closing(stream), tarfile.open(fileobj=_ChunkFile(stream), mode="r|") as archive:
            yield archive
    except tarfile.TarError as exc:
        raise InfrastructureError(f"the archive of {path} broke off: {exc}", hint="Run again.") from exc


def _copy(source: IO[bytes], target: Path | None) -> tuple[str, int]:
    """Hash a stream, writing it to `target` on the way; return the digest and the size."""
    digest, size = hashlib.sha256(), 0
    if target is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
    with nullcontext() if target is None else target.open("wb") as out:
        while chunk := source.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
            if out is not None:
                out.write(chunk)
    return digest.hexdigest(), size


def read_text(engine: Engine, container: str, path: str, limit: int) -> str | None:
    """Return the text of one file in a container, at most `limit` bytes; None where there is no such file."""
    stream = engine.read(container, path)
    if stream is None:
        return None
    with _opened(stream, path) as archive:
        member = archive.next()
        source = archive.extractfile(member) if member and member.isreg() else None
        return None if source is None else source.read(limit).decode("utf-8", errors="replace")


def write_texts(engine: Engine, container: str, files: Mapping[str, str]) -> None:
    """Write path -> text into a container, readable by every user. One with a read-only root takes none."""
    with tempfile.TemporaryFile() as tar:
        with tarfile.open(fileobj=tar, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for path, text in files.items():
                info = tarfile.TarInfo(path.lstrip("/"))
                body = text.encode()
                info.size, info.mode = len(body), 0o444
                archive.addfile(info, io.BytesIO(body))
        tar.seek(0)
        engine.write(container, "/", tar)


def is_file(engine: Engine, container: str, path: str) -> bool:
    """Whether there is a single file at a path in a container."""
    stream = engine.read(container, path)
    if stream is None:
        return False
    with _opened(stream, path) as archive:
        member = archive.next()
        return member is not None and member.isfile()


class _ChunkFile(io.RawIOBase):
    """A file over an iterator of chunks, as `tarfile` wants it."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill the buffer from the next chunk; 0 at the end."""
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size
