"""Which tests may run beside which: most beside any other, those marked `serial` alone. A plug-in of pytest.

A test that measures time, that counts what is left on the engine or removes what is nobody's, would disturb others or
be disturbed by them. So each test holds a lock while it runs: a serial test alone, all others together. Tests with the
engine share one lock for the machine, whichever session they run in; the others share one for the workers of a session,
and without workers none.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let a test wait for its turn: a hook and no fixture, as it begins before the fixtures of a session do."""
    place = _place(item)
    if place is None:
        return (yield)
    with turn(place, alone=is_serial(item)):
        return (yield)


def is_serial(item: pytest.Item) -> bool:
    """Whether a test runs alone."""
    return item.get_closest_marker("serial") is not None


def _place(item: pytest.Item) -> Path | None:
    """Return where the locks of a test lie; None where nothing runs beside it."""
    if item.get_closest_marker("engine") is not None:
        return Path(tempfile.gettempdir()) / f"harness-engine-tests-{os.getuid()}"
    if not hasattr(item.config, "workerinput"):
        return None
    shared_by_workers: Path = item.config._tmp_path_factory.getbasetemp().parent  # type: ignore[attr-defined]
    return shared_by_workers / "turns"


@contextmanager
def turn(place: Path, *, alone: bool) -> Iterator[None]:
    """Wait until a test may run; what must not run beside it waits meanwhile.

    Everybody passes the gate, and who waits for the lock stands in it: one who wants to be alone would else wait for as
    long as any of the others begins anew before the last of them has ended.
    """
    with place.with_suffix(".lock").open("ab") as lock:
        with place.with_suffix(".gate").open("ab") as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            fcntl.flock(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            fcntl.flock(gate, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)  # by name: a process that a test forked and left may have it open still
