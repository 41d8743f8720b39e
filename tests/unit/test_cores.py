"""The cores of the engine: who waits for one, and who does not."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Barrier, BrokenBarrierError, Event

import pytest

from harness.runner.cores import Cores

LIMIT = 10.0  # seconds


def test_no_more_at_once_than_cores() -> None:
    """Two of three find a core; the third begins when one of them has ended."""
    cores, both, third, leave = Cores(2), Barrier(3), Event(), Event()

    def work() -> None:
        with cores.one():
            both.wait(LIMIT)
            leave.wait(LIMIT)

    def late() -> None:
        with cores.one():
            third.set()

    with ThreadPoolExecutor(3) as pool:
        working = [pool.submit(work) for _ in range(2)]
        both.wait(LIMIT)
        waiting = pool.submit(late)
        assert not third.wait(0.1)
        leave.set()
        for each in (*working, waiting):
            each.result(LIMIT)
    assert third.is_set()


def test_the_line_waits_for_nobody() -> None:
    """The main line holds a core where one is free, goes on without where none is, and may give it back early."""
    cores = Cores(0)
    assert cores.count == 1
    with ExitStack() as held, ThreadPoolExecutor(1) as pool:
        held.enter_context(cores.for_the_line())
        with cores.for_the_line():
            pass
        begun = Event()
        waiting = pool.submit(lambda: _hold(cores, begun))
        assert not begun.wait(0.1)
        held.close()
        held.close()
        waiting.result(LIMIT)
    with pytest.raises(BrokenBarrierError), cores.for_the_line():
        raise BrokenBarrierError
    with cores.one():
        pass


def _hold(cores: Cores, begun: Event) -> None:
    with cores.one():
        begun.set()
