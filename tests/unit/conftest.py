"""The unit tests run on all cores at once (`-n auto`), but for those that measure time."""

from __future__ import annotations

import fcntl
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, bool, bool]:
    """Let a test marked `serial` run while no worker of pytest-xdist runs another.

    A hook and no fixture: it begins before the fixtures of a module or a session do. Without workers nothing is locked.
    """
    if not hasattr(item.config, "workerinput"):
        return (yield)
    shared_by_workers: Path = item.config._tmp_path_factory.getbasetemp().parent  # type: ignore[attr-defined]
    with _turn(shared_by_workers, alone=item.get_closest_marker("serial") is not None):
        return (yield)


@contextmanager
def _turn(folder: Path, *, alone: bool) -> Iterator[None]:
    """Hold the lock of the running tests: with the others, or alone.

    Whoever wants it passes the gate first and keeps it shut while waiting: else the others would go on passing the lock
    between them, and one who wants it alone would wait for all of them.
    """
    with (folder / "gate.lock").open("w") as gate, (folder / "running.lock").open("w") as running:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(running, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(running, fcntl.LOCK_UN)  # by name: a process that a test forked and left may have it open still
