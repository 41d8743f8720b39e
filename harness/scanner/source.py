"""Bytes in one direction, in constant memory and within bounds: files, and what compressed streams hold."""

from __future__ import annotations

import bz2
import lzma
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from threading import Event
from typing import BinaryIO, Protocol

from harness.errors import RunOverError

CHUNK = 256 * 1024
LZMA_MEMORY = 256 * 1024**2  # xz -9 needs 65 MiB; a hostile header asks for 4 GiB
NEWLINE = b"\n"


class UnreadableError(Exception):
    """A file breaks off, breaks its format's rules, or goes beyond the bounds; the text says which and where."""


class CutError(UnreadableError):
    """A stream ends before what was announced: it had to have `needed` bytes."""

    def __init__(self, text: str, needed: int) -> None:
        super().__init__(text)
        self.needed = needed


@dataclass
class Budget:
    """What one scan may cost; shared by all that lies inside a file."""

    expanded: int = 2 * 1024**3  # bytes out of all compressed streams
    depth: int = 8  # streams in streams
    seconds: float = 120.0
    members: int = 100_000  # files inside archives
    over: Event = field(default_factory=Event)  # set when nobody waits for the result any more
    _start: float = field(default_factory=time.monotonic)

    def tick(self) -> None:
        """Raise UnreadableError when the time is over, RunOverError when nobody waits any more.

        Every loop over what a file holds comes here, at the latest with each piece of it that is read.
        """
        if self.over.is_set():
            raise RunOverError("the run has ended")
        if time.monotonic() - self._start > self.seconds:
            raise UnreadableError(f"the scan takes longer than {self.seconds:g} s")

    def unpack(self, size: int) -> None:
        """Count bytes out of a compressed stream. Raises UnreadableError beyond the bound."""
        self.expanded -= size
        if self.expanded < 0:
            raise UnreadableError("expands beyond all bounds: a decompression bomb?")

    def enter(self) -> None:
        """Count one archive member. Raises UnreadableError beyond the bound."""
        self.members -= 1
        if self.members < 0:
            raise UnreadableError("holds too many archive members")


class Source:
    """A stream that is read forward: `at` is the position, `peek` looks ahead."""

    def __init__(self, chunks: Iterator[bytes], budget: Budget, *, file: BinaryIO | None = None, size: int = 0) -> None:
        self.budget = budget
        self._chunks = chunks
        self._file = file  # its position is the end of the buffer: long skips become seeks
        self._size = size
        self._buffer = b""
        self._next = 0  # in the buffer
        self._start = 0  # position of the buffer in the stream

    @classmethod
    def of(cls, file: BinaryIO, size: int, budget: Budget) -> Source:
        """Read a seekable file from its start."""
        return cls(iter(partial(file.read, CHUNK), b""), budget, file=file, size=size)

    @property
    def at(self) -> int:
        """Bytes read so far."""
        return self._start + self._next

    def read(self, count: int) -> bytes:
        """Return exactly `count` bytes. Raises UnreadableError when the stream ends before."""
        end = self._next + count
        if end > len(self._buffer):
            self._fill(count)
            end = self._next + count
            if end > len(self._buffer):
                raise CutError(f"breaks off at byte {self._start + len(self._buffer)}", self._start + end)
        data = self._buffer[self._next : end]
        self._next = end
        return data

    def byte(self) -> int:
        """Return the next byte. Raises UnreadableError at the end."""
        at = self._next
        if at >= len(self._buffer):
            return self.read(1)[0]
        self._next = at + 1
        return self._buffer[at]

    def peek(self, count: int) -> bytes:
        """Return the next bytes, at most `count`, and stay where we are."""
        self._fill(count)
        return self._buffer[self._next : self._next + count]

    def some(self) -> bytes:
        """Return the next bytes, as many as are at hand; empty at the end."""
        self._fill(1)
        data = self._buffer[self._next :]
        self._next = len(self._buffer)
        return data

    def skip(self, count: int) -> None:
        """Pass over `count` bytes. Raises UnreadableError when there are fewer."""
        ready = len(self._buffer) - self._next
        if count > ready and self._file is not None:
            end = self.at + count
            if end > self._size:
                raise CutError(f"breaks off at byte {self._size}: {end - self._size} bytes more were announced", end)
            self._file.seek(end)
            self._buffer, self._next, self._start = b"", 0, end
            return
        while count > ready:
            count -= ready
            self._next = len(self._buffer)
            self._fill(1)
            ready = len(self._buffer) - self._next
            if not ready:
                raise CutError(f"breaks off at byte {self.at}: {count} bytes more were announced", self.at + count)
        self._next += count

    def line(self, limit: int) -> tuple[bytes, bool]:
        """Return a line without its end, and whether it is whole: of a longer one only `limit` bytes are kept."""
        kept, whole = b"", True
        while True:
            if self._next >= len(self._buffer):
                self._fill(1)
                if self._next >= len(self._buffer):
                    raise CutError(f"breaks off at byte {self.at}, in a line", self.at + 1)
            end = self._buffer.find(NEWLINE, self._next)
            stop = len(self._buffer) if end < 0 else end
            if len(kept) + stop - self._next > limit:
                whole = False
            kept = (kept + self._buffer[self._next : min(stop, self._next + limit)])[:limit]
            self._next = stop if end < 0 else stop + 1
            if end >= 0:
                return kept, whole

    def unread(self, data: bytes) -> None:
        """Put back bytes that were read last."""
        self._buffer = data + self._buffer[self._next :]
        self._start += self._next - len(data)
        self._next = 0

    def part(self, count: int) -> Source:
        """Return a stream of the next `count` bytes; the caller drains it."""

        def chunks() -> Iterator[bytes]:
            left = count
            while left:
                data = self.some()
                if not data:
                    raise CutError(f"breaks off at byte {self.at}: {left} bytes more were announced", self.at + left)
                if len(data) > left:
                    self.unread(data[left:])
                    data = data[:left]
                left -= len(data)
                yield data

        return Source(chunks(), self.budget)

    def drain(self) -> None:
        """Read to the end."""
        while self.some():
            pass

    def _fill(self, count: int) -> None:
        """Have `count` bytes in the buffer, or all that there are."""
        ready = len(self._buffer) - self._next
        if ready >= count:
            return
        self.budget.tick()
        parts = [self._buffer[self._next :]]
        while ready < count:
            data = next(self._chunks, b"")
            if not data:
                break
            parts.append(data)
            ready += len(data)
        self._start += self._next
        self._buffer, self._next = b"".join(parts), 0


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes | None: ...

    @property
    def needs_input(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int = ...) -> bytes: ...


class _Zlib:
    """zlib and gzip in the form of the other decompressors of the standard library."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=47)  # 32 + 15: the header says which of the two

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


def _lz4() -> _Decompressor:
    try:
        from lz4.frame import LZ4FrameDecompressor
    except ImportError as exc:
        raise UnreadableError("is compressed with LZ4: `pip install lz4` beside the harness") from exc
    made: _Decompressor = LZ4FrameDecompressor()
    return made


def _zstd() -> _Decompressor:
    raise UnreadableError("is compressed with Zstandard, which is not supported")


PACKED: dict[str, tuple[bytes, Callable[[], _Decompressor]]] = {
    "gzip": (b"\x1f\x8b", _Zlib),
    "zlib": (b"\x78", _Zlib),
    "bz2": (b"BZh", bz2.BZ2Decompressor),
    "xz": (b"\xfd7zXZ", partial(lzma.LZMADecompressor, memlimit=LZMA_MEMORY)),
    "lzma": (b"\x5d\x00", partial(lzma.LZMADecompressor, memlimit=LZMA_MEMORY)),
    "lz4": (b'\x04"M\x18', _lz4),
    "zstd": (b"\x28\xb5\x2f\xfd", _zstd),
}


def unpacked(outer: Source, name: str) -> Source:
    """Return what a compressed stream holds, all of its members; what follows them stays in `outer`.

    Reading raises UnreadableError for a broken or truncated stream, and beyond the budget.
    """
    magic, make = PACKED[name]
    errors = (zlib.error, lzma.LZMAError, OSError, ValueError, EOFError, RuntimeError)

    def chunks() -> Iterator[bytes]:
        while outer.peek(len(magic)) == magic:
            inner = make()
            while not inner.eof:
                hungry = inner.needs_input
                data = outer.some() if hungry else b""
                try:
                    out = inner.decompress(data, CHUNK)
                except errors as exc:
                    raise UnreadableError(f"its {name} stream is broken: {exc}") from exc
                if hungry and not data and not out and not inner.eof:
                    raise UnreadableError(f"its {name} stream breaks off")
                outer.budget.unpack(len(out))
                outer.budget.tick()
                if out:
                    yield out
            outer.unread(inner.unused_data or b"")  # None of lz4

    return Source(chunks(), outer.budget)
