"""Logs of the run folder: bounded, on disk as soon as they come, and shown without ever waiting for whoever looks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from harness.evidence.run_folder import disk_errors
from harness.system.output import visible

LIMIT = 1024**3  # bytes of a log that are kept
AT_ONCE = 64 * 1024  # characters that may wait to be shown: of what comes meanwhile only the end is
LATEST = 2048  # characters of that end
PAUSE = 0.05  # seconds between two looks
BAR = 5.0  # seconds between two states of a progress bar


class LogFile:
    """A log while it is written, inside a `with`: opened once, with its first text; on disk when `write` returns.

    It holds at most `limit` bytes. What comes after them is counted, and the file says so at its end. Text that comes
    after the `with` is left.
    """

    def __init__(self, path: Path, limit: int = LIMIT) -> None:
        self.path = path
        self.dropped = 0  # bytes beyond the limit
        self._room = limit
        self._stream: IO[bytes] | None = None
        self._over = True
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._over = False
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        with self._lock, disk_errors(self.path):
            self._over = True
            if self._stream is not None:
                with self._stream as stream:
                    if self.dropped:
                        stream.write(f"\n[harness: {self.dropped} bytes more were printed and not kept]\n".encode())

    def write(self, text: str) -> None:
        """Add text, its line ends in it. Raises DiskFullError, InfrastructureError."""
        data = text.encode("utf-8", "replace")
        with self._lock, disk_errors(self.path):
            if self._over:
                return
            if self._stream is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._stream = self.path.open("ab")
            kept = data[: self._room]
            self._room -= len(kept)
            self.dropped += len(data) - len(kept)
            if kept:
                self._stream.write(kept)
                self._stream.flush()


class Shown:
    """Shows text on a thread of its own, inside a `with`: of a flood only as much as can be shown, and says so."""

    def __init__(self, show: Callable[[str], None], name: str) -> None:
        self._show = show
        self._name = name  # of the file that has it all
        self._changed = threading.Condition()
        self._waiting: list[str] = []
        self._size = 0
        self._left_out = 0  # lines
        self._latest = ""  # the end of what was left out
        self._over = False
        self._bar_shown = float("-inf")
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        with self._changed:
            self._over = True
            self._changed.notify()
        if kind is None:
            self._thread.join()

    def offer(self, text: str) -> None:
        """Take text that may be shown; never waits."""
        with self._changed:
            if self._size + len(text) <= AT_ONCE and not self._left_out:
                self._waiting.append(text)
                self._size += len(text)
            else:
                self._left_out += text.count("\n")
                self._latest = (self._latest + text[-LATEST:])[-LATEST:]
            self._changed.notify()

    def _run(self) -> None:
        with suppress(OSError, ValueError):  # nobody looks any more: the standard output is closed
            over = False
            while not over:
                with self._changed:
                    self._changed.wait_for(lambda: self._waiting or self._latest or self._over)
                    over = self._over
                    texts, left_out, latest = self._waiting, self._left_out, self._latest
                    self._waiting, self._size, self._left_out, self._latest = [], 0, 0, ""
                self._tell("".join(texts))
                if latest:
                    end = latest.partition("\n")[2]  # its first line may have lost its beginning
                    self._show(f"... {left_out - end.count(chr(10))} lines more, see {self._name}")
                    self._tell(end)
                with self._changed:
                    self._changed.wait_for(lambda: self._over, PAUSE)

    def _tell(self, text: str) -> None:
        """Show lines; of a progress bar a state now and then."""
        whole, _, bar = text.rpartition("\n")
        for line in visible(whole) if whole or len(bar) < len(text) else ():
            self._show(line)
        if bar and time.monotonic() - self._bar_shown >= BAR and (line := visible(bar)[-1]):
            self._bar_shown = time.monotonic()
            self._show(line)


class Log:
    """A sink of what a container prints, inside a `with`: the file first, then whoever looks."""

    def __init__(self, file: LogFile, show: Callable[[str], None], name: str) -> None:
        self._file = file
        self._shown = Shown(show, name)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self._shown)
            stack.enter_context(self._file)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._stack.__exit__(kind, exc, tb)

    @property
    def dropped(self) -> int:
        """How many bytes are beyond the limit of the file."""
        return self._file.dropped

    def write(self, text: str) -> None:
        """Keep text, and let it be shown."""
        self._file.write(text)
        self._shown.offer(text)
