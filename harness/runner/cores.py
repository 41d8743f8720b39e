"""The cores of the engine, shared out among the containers that work at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Semaphore


class Cores:
    """Lets as many further trainings work at once as the engine has cores that the main line does not use.

    More would finish no earlier: three trainings on two cores take more of them than one after the other do, and the
    service starts later. `count` is the number of cores; 0, where the engine does not say, counts as 1.
    """

    def __init__(self, count: int) -> None:
        self.count = max(1, count)
        self._free = Semaphore(self.count)

    @contextmanager
    def one(self) -> Iterator[None]:
        """Wait for a core and hold it."""
        with self._free:
            yield

    @contextmanager
    def for_the_line(self) -> Iterator[None]:
        """Hold a core if one is free: the main line waits for nobody."""
        is_held = self._free.acquire(blocking=False)
        try:
            yield
        finally:
            if is_held:
                self._free.release()
