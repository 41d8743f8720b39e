"""Members of zip and tar archives, one after another, as streams."""

from __future__ import annotations

import io
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import IO, BinaryIO

from harness.scanner.source import CHUNK, Budget, Source, UnreadableError

_END_SIZE, _LOCATOR_SIZE, _RECORD_SIZE = 22, 20, 56
_END_SEARCH = 65_535 + _END_SIZE + _LOCATOR_SIZE + _RECORD_SIZE
IN_MEMORY = 16 * 1024**2  # bytes of an archive inside another stream that are kept in memory; more goes to disk
Member = Callable[[Source, str], None]
Names = Callable[[list[str]], None]


def scan_zip(file: BinaryIO, budget: Budget, names: Names, member: Member, *, whole: bool = True) -> None:
    """Give `names` all names, then `member` each file. Raises UnreadableError for a broken or encrypted archive.

    `whole` says that the file begins with the archive, so that each reader must find the same in it.
    """
    if whole:
        _has_one_directory(file)
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


def _has_one_directory(file: BinaryIO) -> None:
    """Raise UnreadableError where readers of zip would not agree on which directory of the archive counts.

    Python's takes the one that lies before the end record, and shifts it where data lie before the archive; others
    (miniz in PyTorch) go to the place that the records state (APPNOTE 4.3.14 to 4.3.16; CVE-2025-8291).
    """
    size = file.seek(0, io.SEEK_END)
    start = file.seek(max(size - _END_SEARCH, 0))
    tail = file.read(_END_SEARCH)
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or end + _END_SIZE > len(tail):
        return  # `zipfile` says what is wrong
    length, stated = struct.unpack_from("<II", tail, end + 12)
    at = start + end - length
    locator = tail[max(end - _LOCATOR_SIZE, 0) : end]
    if locator.startswith(b"PK\x06\x07"):
        record = end - _LOCATOR_SIZE - _RECORD_SIZE
        if record < 0 or struct.unpack_from("<Q", locator, 8)[0] != start + record:
            raise UnreadableError("a zip archive whose end is not where its last record says")
        length, stated = struct.unpack_from("<QQ", tail, record + 40)
        at = start + record - length
    if at != stated:
        raise UnreadableError(f"a zip archive whose directory lies at byte {at} and is said to lie at {stated}")


def scan_tar(source: Source, member: Member) -> None:
    """Give `member` each file of a tar archive. Raises UnreadableError for a broken one."""
    try:
        with tarfile.open(fileobj=_SourceFile(source), mode="r|") as archive:
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


class _SourceFile(io.RawIOBase):
    """A file over a source, as `tarfile` wants it."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, at most `size`."""
        data = self._source.peek(max(size, 0))
        self._source.skip(len(data))
        return data
