"""Runs a program line by line; it and what it started end with us on every path."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from harness.system.output import LONGEST, Lines
from harness.system.signals import deferred

CHUNK = 64 * 1024


@dataclass(frozen=True)
class Ended:
    """How a program ended; `expired` where it was ended at its time limit."""

    code: int
    expired: bool = False

    @property
    def is_well(self) -> bool:
        """Whether it ended by itself with exit code 0."""
        return self.code == 0 and not self.expired


def stream(
    argv: Sequence[str],
    environment: Mapping[str, str],
    on_line: Callable[[str], None],
    *,
    timeout: float,
    grace: float = 0.0,
    folder: Path | None = None,
    longest: int = LONGEST,
) -> Ended:
    """Run a program to its end, passing on each line of its output, standard error included.

    It works in `folder`, by default in the current one. A line of more than `longest` characters comes in parts.

    After `timeout` seconds, or when `on_line` raises, it is ended: at once, or with `grace` asked first (SIGTERM) and
    killed that many seconds later. Raises OSError when it cannot be started.
    """
    expired = threading.Event()
    with ExitStack() as stack:
        with deferred():  # an interrupt between the start and the next line would leave it behind
            process = stack.enter_context(_start(argv, environment, folder))
            stack.callback(_end, process, grace)

        def expire() -> None:
            expired.set()
            _end(process, grace)

        timer = threading.Timer(timeout, expire)
        timer.daemon = True
        timer.start()
        stack.callback(timer.cancel)
        for line in _lines(process, longest):
            on_line(line.rstrip())
        code = process.wait()
    return Ended(code, expired.is_set())


def _lines(process: subprocess.Popen[bytes], longest: int) -> Iterator[str]:
    """Yield the lines as they come; a carriage return ends one too, as in the progress of a download."""
    lines = Lines(longest)
    # `read1` is there: a pipe of bytes is buffered.
    while chunk := process.stdout.read1(CHUNK) if isinstance(process.stdout, BufferedReader) else b"":
        if text := lines.feed(1, chunk):
            yield from _split(text)
    yield from _split(lines.end())


def _split(text: str) -> list[str]:
    *lines, rest = text.replace("\r", "\n").split("\n")
    return [*lines, rest] if rest else lines


def _start(argv: Sequence[str], environment: Mapping[str, str], folder: Path | None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(environment),
        cwd=folder,
        process_group=0,  # `docker` starts its plugin as a child, apt starts dpkg: all end together
    )


def _end(process: subprocess.Popen[bytes], grace: float) -> None:
    if process.poll() is None and grace:
        _signal(process, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(grace)
    if process.poll() is None:
        _signal(process, signal.SIGKILL)
    process.wait()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # it has just ended
        os.killpg(process.pid, number)
