"""Members of zip and tar archives, one after another, as streams."""

from __future__ import annotations

import io
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import IO, BinaryIO

from harness.scan.source import CHUNK, Budget, Source, UnreadableError

IN_MEMORY = 16 * 1024**2  # bytes of an archive inside another stream that are kept in memory; more goes to disk
Member = Callable[[Source, str], None]
Names = Callable[[list[str]], None]


def scan_zip(file: BinaryIO, budget: Budget, names: Names, member: Member) -> None:
    """Give `names` all names, then `member` each file. Raises UnreadableError for a broken or encrypted archive."""
    try:
        with zipfile.ZipFile(file) as archive:
            entries = [info for info in archive.infolist() if not info.is_dir()]
            names([info.filename for info in entries])
            for info in entries:
                budget.enter()
                if info.flag_bits & 1:
                    raise UnreadableError(f"{info.filename} is encrypted")
                with archive.open(info) as stream:
                    _member(stream, info.filename, budget, member, counted=info.compress_type != zipfile.ZIP_STORED)
    except (zipfile.BadZipFile, NotImplementedError, zlib.error, OSError, EOFError, ValueError, RuntimeError) as exc:
        raise UnreadableError(f"a broken zip archive: {exc}") from exc


def scan_tar(source: Source, member: Member) -> None:
    """Give `member` each file of a tar archive. Raises UnreadableError for a broken one."""
    try:
        with tarfile.open(fileobj=_Stream(source), mode="r|") as archive:
            for info in archive:
                source.budget.enter()
                if info.isreg() and (stream := archive.extractfile(info)):
                    _member(stream, info.name, source.budget, member, counted=False)
    except (tarfile.TarError, OSError, EOFError, ValueError) as exc:
        raise UnreadableError(f"a broken tar archive: {exc}") from exc


@contextmanager
def seekable(source: Source) -> Iterator[BinaryIO]:
    """Yield what is left of a stream as a file that can be read in any order."""
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as file:
        while data := source.some():
            source.budget.unpack(len(data))
            file.write(data)
        file.seek(0)
        yield file  # type: ignore[misc]


def _member(stream: IO[bytes], name: str, budget: Budget, member: Member, *, counted: bool) -> None:
    def chunks() -> Iterator[bytes]:
        for data in iter(partial(stream.read, CHUNK), b""):
            if counted:
                budget.unpack(len(data))
            yield data

    source = Source(chunks(), budget)
    member(source, name)
    source.drain()  # a checksum is compared at the end


class _Stream(io.RawIOBase):
    """A file over a source, as `tarfile` wants it."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, at most `size`."""
        data = self._source.peek(max(size, 0))
        self._source.skip(len(data))
        return data
